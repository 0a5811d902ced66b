"""Which key holds what, and how its value is written. docs/store-layout.md explains the layout.

Two halves under one prefix: `watched/` is what nodes follow and decide from, in the order in which
it was written; `kept/` is what is read when somebody asks. Instants that must come newest first
are written as 13 digits of 9999999999999 less the instant.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.chunk import Chunk
from synccron.model.job import Attempt, Job, Notice, State
from synccron.model.lease import Node
from synccron.model.schedule import Cursor, Definition, Schedule
from synccron.model.time import Instant, parse_slot_name
from synccron.store.codec import decode, encode, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST = 9_999_999_999_999
_SAFE = ":@=+,"  # every other character that means something in a key is percent-encoded
SCHEMA = 1  # what a program must know to work here
UNFINISHED = 0  # in its place while a copy is being restored
FENCES = 128  # claims of one transaction, which share a revision


class Pair(NamedTuple):
    """A key's value, and the revisions that made and last wrote it; a mod of 0: it is not there."""

    key: bytes
    value: bytes
    create: int
    mod: int
    lease: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What a namespace is. A restore draws another `incarnation` and raises the bases."""

    schema: int
    incarnation: str
    fence_base: int = 0
    epoch_base: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A schedule but for its cursor: what commands write."""

    definition: Definition
    version: int
    created_at: Instant
    updated_at: Instant
    paused: bool = False
    paused_until: Instant | None = None
    pause_reason: str | None = None
    paused_by: str | None = None
    paused_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A node's record, and which process wrote it: pid, start time, and boot with pid namespace."""

    node: Node
    pid: int
    start: int
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Who leads: the value of the leader's key."""

    node: str
    session: str
    ttl: int
    lease: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The record of a key: where its job is, and what tells whether the caller made it."""

    at: Instant
    digest: str
    line: str
    nonce: str
    state: State


class Layout:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.root = f"{prefix}/"

    def key(self, *parts: str) -> bytes:
        """Name a key, or a range of them where the last part is empty."""
        return (self.root + "/".join(parts)).encode()

    def meta(self) -> bytes:
        """Name the key of the namespace itself."""
        return self.key("meta")

    def watched(self, *parts: str) -> bytes:
        """Name a key that nodes follow."""
        return self.key("watched", *parts)

    def kept(self, *parts: str) -> bytes:
        """Name a key that nobody follows."""
        return self.key("kept", *parts)

    def due(self, job: Job) -> bytes:
        """Name the key of a job that waits: `watched/due/{line}/{run_at}/{job}`."""
        return self.watched("due", line_of(job), f"{job.run_at:013d}", escaped(job.id))

    def run(self, job: Job) -> bytes:
        """Name the key of a job that runs: `watched/run/{line}/{job}`."""
        return self.watched("run", line_of(job), escaped(job.id))

    def cancel(self, job: Job) -> bytes:
        """Name the key of a request to end a running job."""
        return self.watched("cancel", line_of(job), escaped(job.id))

    def busy(self, job: Job) -> bytes:
        """Name the key that every change of who runs or waits in a line touches."""
        return self.watched("busy", line_of(job))

    def notice(self, notice: Notice) -> bytes:
        """Name the key of what people are to be told: `watched/notice/{at}/{id}`."""
        return self.watched("notice", f"{notice.at:013d}", notice.id)

    def follow(self, job_id: str) -> bytes:
        """Name the key of who follows a job: `watched/follow/{job}`."""
        return self.watched("follow", escaped(job_id))

    def chunk(self, chunk: Chunk) -> bytes:
        """Name the key of a chunk of output: `kept/chunk/{job}/{attempt}/{at}`."""
        return self.hung("chunk", chunk.job_id, f"{chunk.attempt:04d}", f"{chunk.at:016d}")

    def job(self, job: Job) -> bytes:
        """Name the key of a job's record: `kept/job/{line}/{newest first}/{job}`."""
        return self.job_at(line_of(job), placed(job), job.id)

    def job_at(self, line: str, at: Instant, job_id: str) -> bytes:
        """Name the key of a job's record by what it is made of."""
        return self.kept("job", line, newest_first(at), escaped(job_id))

    def hung(self, kind: str, job_id: str, *parts: str) -> bytes:
        """Name a key that hangs on a job: its output, a step, a receipt."""
        return self.kept(kind, escaped(job_id), *parts)


def end_of(start: bytes) -> bytes:
    """Give the end of the range of all keys that begin so. They never begin with 0xff alone."""
    return start[:-1] + bytes([start[-1] + 1])


def newest_first(at: Instant) -> str:
    """Write an instant so that later ones sort first."""
    return f"{_LAST - at:013d}"


@lru_cache(maxsize=1024)  # one job's id is in several keys
def escaped(text: str) -> str:
    """Write an id as one part of a key."""
    return quote(text, safe=_SAFE)


def last_part(key: bytes) -> str:
    """Read the id that is the last part of a key."""
    return unquote(key.rsplit(b"/", 1)[1].decode())


def line_of(job: Job) -> str:
    """Name what a job belongs to: its schedule, or the handler that it was submitted to."""
    # No schedule's id begins with a tilde.
    return job.schedule_id if job.schedule_id is not None else "~" + escaped(job.needs)


def placed(job: Job) -> Instant:
    """Tell where in its line a job stands: at its slot, or when it was made."""
    return job.slot if job.kind == "slot" and job.slot is not None else job.created_at


def place_of(job_id: str) -> tuple[str, Instant] | None:
    """Read line and instant out of the id of a slot's job; None: it is another's."""
    schedule_id, _, name = job_id.partition(":")
    slot = parse_slot_name(name)
    return None if slot is None else (schedule_id, slot)


def job_text(job: Job) -> bytes:
    """Write a job's record."""
    return encode(job, mod=0).encode()


def fence_in(place: int) -> int:
    """Give what is written for a token that is made by the write itself, at a place in it.

    The token is the revision of the write and that place. A value cannot hold the revision that
    writes it, so it is filled in when the record is read.
    """
    return -1 - place


def job_of(pair: Pair, base: int) -> Job:
    """Read a job's record; `base` is what tokens begin from."""
    return replace(_filled(decode(Job, pair.value), pair, base), mod=pair.mod)


def fence_of(revision: int, place: int, base: int) -> int:
    """Give the token of a claim: it grows with the revision, and with the place in it."""
    return base + revision * FENCES + place


def revision_of(fence: int, base: int) -> int:
    """Give the revision of the claim that has this token."""
    return (fence - base) // FENCES


def _filled(job: Job, pair: Pair, base: int) -> Job:
    if not job.attempts or job.attempts[-1].fence >= 0:
        return job
    newest: Attempt = job.attempts[-1]
    fence = fence_of(pair.mod, fence_in(newest.fence), base)
    return replace(job, attempts=(*job.attempts[:-1], replace(newest, fence=fence)))


def standing_text(schedule: Schedule) -> bytes:
    """Write a schedule but for its cursor."""
    standing = Standing(
        definition=schedule.definition,
        version=schedule.version,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
        paused=schedule.paused,
        paused_until=schedule.paused_until,
        pause_reason=schedule.pause_reason,
        paused_by=schedule.paused_by,
        paused_at=schedule.paused_at,
    )
    return encode(standing).encode()


def cursor_text(cursor: Cursor) -> bytes:
    """Write a cursor."""
    return encode(cursor, mod=0).encode()


def schedule_of(
    standing: Standing, mod: int, cursor: Cursor, *, history_from: Instant, ahead: Instant | None
) -> Schedule:
    """Put a schedule together again."""
    return Schedule(
        definition=standing.definition,
        version=standing.version,
        created_at=standing.created_at,
        updated_at=standing.updated_at,
        cursor=replace(cursor, history_from=max(cursor.history_from, history_from)),
        paused=standing.paused,
        paused_until=standing.paused_until,
        pause_reason=standing.pause_reason,
        paused_by=standing.paused_by,
        paused_at=standing.paused_at,
        ahead=ahead,
        mod=mod,
    )


def standing_of(text: bytes, schedule_id: str) -> Standing:
    """Read how a schedule stands; of one that can't be read, as much as can be."""
    try:
        return decode(Standing, text)
    except (StoreDamaged, StoreNewer) as error:
        definition = unreadable(schedule_id, error)
    with suppress(ValueError, TypeError, RecursionError, StoreDamaged, StoreNewer):
        # The version above all: no other revision may have it.
        sound = json.loads(encode(Definition(id=schedule_id, cron="unreadable")))
        rest = decode(Standing, json.dumps({**document(text), "definition": sound}))
        return replace(rest, definition=definition)
    return Standing(definition=definition, version=0, created_at=0, updated_at=0)


def document(value: bytes) -> "Mapping[str, Any]":
    """Read a value as plain JSON, where its fields are looked at before it is worth a record."""
    read: dict[str, Any] = json.loads(value)
    return read
