"""The jobs that wait and run, by their lines, in the orders in which nodes ask for them.

A line is a schedule, or what was submitted to one handler. It decides nothing: which jobs have to
be the first of their line, and how many may run, stands in the jobs. Looking for work costs by what
is found, however long the queues are.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush, merge, nsmallest
from operator import itemgetter
from types import NoneType
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.job import ACTIVE, Job
from synccron.model.time import Instant
from synccron.store.etcd.layout import Pair, document, job_of

K = TypeVar("K", bound=tuple[Any, ...])
Place = tuple[Instant, int, bytes]  # of a job that waits: its instant, its mark, its key


# What is asked of the plain document of each job, with its types.
_ASKED: tuple[tuple[str, tuple[type, ...]], ...] = (
    *((name, (str,)) for name in ("id", "state", "kind", "needs")),
    *((name, (int,)) for name in ("run_at", "alone")),
    ("attempts", (list,)),
    *((name, (int, NoneType)) for name in ("retry_delay", "revision")),
    *((name, (str, NoneType)) for name in ("schedule_id", "session")),
)
_LATER = ("expires_at", "max_running")  # left out where they are null


class Entry:
    """A job that waits or runs: its plain document, and its record where it is asked for."""

    def __init__(self, pair: Pair, base: int) -> None:
        self.pair = pair
        self._base = base
        self.document = document(pair.value)
        if not all(isinstance(self.document.get(name, ...), kind) for name, kind in _ASKED):
            raise ValueError("no job")
        if not all(isinstance(self.document.get(name), (int, NoneType)) for name in _LATER):
            raise ValueError("no job")

    @cached_property
    def job(self) -> Job:
        """Read the record. Raises StoreDamaged, StoreNewer."""
        return job_of(self.pair, self._base)

    @property
    def jobs(self) -> Iterator[Job]:
        """Read the record; none where it can't be read."""
        with suppress(StoreDamaged, StoreNewer):
            yield self.job

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.document["id"])

    @property
    def run_at(self) -> Instant:
        """When it is to start."""
        return int(self.document["run_at"])

    @property
    def place(self) -> Place:
        """Where it stands among those that wait."""
        return self.run_at, self.pair.mod, self.pair.key

    @property
    def failed_on(self) -> str | None:
        """The node whose attempt failed, where it waits for a retry."""
        if self.document["retry_delay"] is None:
            return None
        return next((job.failed_on for job in self.jobs), None)

    @property
    def alone(self) -> bool:
        """Whether no other attempt of its line may run beside it."""
        return bool(self.document["alone"])

    @property
    def begun(self) -> bool:
        """Whether an attempt of it was ever started."""
        return bool(self.document["attempts"])

    @property
    def replaces(self) -> bool:
        """Whether it has yet to replace others."""
        return bool(self.document.get("replaces"))

    @property
    def expires_at(self) -> Instant | None:
        """When it is too late to begin."""
        return self.document.get("expires_at")

    @property
    def intention(self) -> bool:
        """Whether it was written ahead, and never claimed or queued."""
        found = self.document
        return bool(
            found["kind"] == "slot" and found["state"] == "scheduled" and found["revision"] is None
        )


class Order(Generic[K]):
    """Keys in order; few enough that moving them is cheaper than a tree.

    What is added while it is `loading` is put in order once, and then.
    """

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._loading = True

    def add(self, key: K) -> None:
        """Put a key in its place."""
        if self._loading:
            self._keys.append(key)
        else:
            insort(self._keys, key)

    def discard(self, key: K) -> None:
        """Take a key out, if it is there."""
        self._settle()
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            del self._keys[at]

    @property
    def first(self) -> K | None:
        """The first key."""
        self._settle()
        return self._keys[0] if self._keys else None

    def __len__(self) -> int:
        """Tell how many keys there are."""
        return len(self._keys)

    def __iter__(self) -> Iterator[K]:
        """Give the keys in their order."""
        self._settle()
        return iter(self._keys)

    def _settle(self) -> None:
        if self._loading:
            self._keys.sort()
            self._loading = False


@dataclass(slots=True)
class _Line:
    """What waits and runs of one line; `queue` is what waits but those `intended`, in order.

    `replacing`, `begun` and `alone` are the keys of those in the queue that are so.
    """

    waiting: dict[bytes, Entry] = field(default_factory=dict)
    running: dict[bytes, Entry] = field(default_factory=dict)
    intended: dict[bytes, Entry] = field(default_factory=dict)
    queue: Order[Place] = field(default_factory=Order)
    replacing: set[bytes] = field(default_factory=set)
    begun: set[bytes] = field(default_factory=set)
    alone: set[bytes] = field(default_factory=set)

    def head(self) -> bytes | None:
        """Give the first of those that run alone; None while one runs."""
        if not self.alone or any(each.alone for each in self.running.values()):
            return None
        # What has begun is finished before another begins.
        if first := [self.waiting[key] for key in self.begun & self.alone]:
            return min(first, key=_rank).pair.key
        found: Entry | None = None
        for at, _, key in self.queue:
            if found is not None and at > found.run_at:
                break
            if key in self.alone and (found is None or self.waiting[key].id < found.id):
                found = self.waiting[key]
        return None if found is None else found.pair.key


class Queues:
    """All lines, and the orders across them: `intended` are the intentions."""

    def __init__(self, root: bytes, base: int) -> None:
        self._root = root
        self._base = base
        self._lines: dict[str, _Line] = {}
        self._heads: Order[Place] = Order()
        self._expiring: Order[tuple[Instant, bytes]] = Order()
        self._retrying: dict[bytes, Entry] = {}
        self.intended: Order[Place] = Order()
        self.waiting: dict[bytes, Entry] = {}
        self.running: dict[bytes, Entry] = {}

    def run(self, pair: Pair) -> None:
        """Take in a job that runs."""
        entry = self.running[pair.key] = Entry(pair, self._base)
        self._line(pair.key).running[pair.key] = entry

    def wait(self, pair: Pair) -> None:
        """Take in a job that waits."""
        key, entry = pair.key, Entry(pair, self._base)
        line = self._line(key)
        self.waiting[key] = line.waiting[key] = entry
        if entry.expires_at is not None:
            self._expiring.add((entry.expires_at, key))
        if entry.document["retry_delay"] is not None:
            self._retrying[key] = entry
        if entry.intention:
            line.intended[key] = entry
            self.intended.add(entry.place)
            return
        for keys, belongs in (
            (line.replacing, entry.replaces),
            (line.begun, entry.begun),
            (line.alone, entry.alone),
        ):
            if belongs:
                keys.add(key)
        before = line.queue.first
        line.queue.add(entry.place)
        self._move_head(before, line.queue.first)

    def drop(self, key: bytes) -> None:
        """Forget what a key stood for."""
        entry = self.waiting.pop(key, None)
        if entry is None and self.running.pop(key, None) is None:
            return
        name = _line_in(key, self._root)
        line = self._lines[name]
        line.running.pop(key, None)
        if entry is not None:
            self._leave(line, entry)
        if not line.waiting and not line.running:
            del self._lines[name]

    def waits_in(self, name: str) -> list[Entry]:
        """Give the jobs of a line that wait."""
        found = self._lines.get(name)
        return [] if found is None else list(found.waiting.values())

    def intended_in(self, name: str) -> list[Entry]:
        """Give the intentions of a line."""
        found = self._lines.get(name)
        return [] if found is None else list(found.intended.values())

    def runs_in(self, name: str) -> int:
        """Tell how many jobs of a line run."""
        found = self._lines.get(name)
        return 0 if found is None else len(found.running)

    def active(self, name: str, besides: str) -> list[Entry]:
        """Give the jobs of a line, besides one, that are queued, run or wait for a retry.

        Of each the first ACTIVE, in order of their instants.
        """
        line = self._lines.get(name)
        if line is None:
            return []
        phases: dict[str, list[Entry]] = {}
        queued = (line.waiting[key] for _, _, key in line.queue)
        for each in (*line.running.values(), *queued):
            if each.id != besides:
                phases.setdefault(each.document["state"], []).append(each)
        found = [each for phase in phases.values() for each in nsmallest(ACTIVE, phase, key=_rank)]
        return sorted(found, key=_rank)

    def ready(
        self,
        until: Instant,
        wanted: Callable[[Entry], bool],
        *,
        each: int,
        besides: AbstractSet[str],
    ) -> Iterator[Entry]:
        """Give the jobs that may start by an instant, earliest first, `each` of a line at most.

        Then the retries whose instant is further ahead than their delay: the clock jumped back.
        """
        intended = self._intended(until, wanted)
        queued = self._queued(until, wanted, each, besides)
        for _, entry in merge(intended, queued, key=itemgetter(0)):
            yield entry
        for entry in list(self._retrying.values()):
            far = entry.run_at > until and entry.run_at - entry.document["retry_delay"] > until
            if far and wanted(entry):
                yield entry

    def expired(self, until: Instant) -> Iterator[Entry]:
        """Give the jobs that it is too late for by an instant."""
        for at, key in self._expiring:
            if at >= until:
                return
            yield self.waiting[key]

    def _intended(
        self, until: Instant, wanted: Callable[[Entry], bool]
    ) -> Iterator[tuple[Place, Entry]]:
        for place in self.intended:
            if place[0] > until:
                return
            entry = self.waiting[place[2]]
            if wanted(entry):
                yield place, entry

    def _queued(
        self,
        until: Instant,
        wanted: Callable[[Entry], bool],
        each: int,
        besides: AbstractSet[str],
    ) -> Iterator[tuple[Place, Entry]]:
        """Merge the lines: each comes in when its first job's turn has come."""
        lines: list[tuple[Place, Entry, Iterator[tuple[Place, Entry]]]] = []
        for place in (*self._due_heads(until), None):
            while lines and (place is None or lines[0][0] < place):
                at, entry, others = heappop(lines)
                yield at, entry
                for following in others:
                    heappush(lines, (*following, others))
                    break
            if place is not None:
                given = self._of_line(_line_in(place[2], self._root), until, wanted, each, besides)
                for first in given:
                    heappush(lines, (*first, given))
                    break

    def _due_heads(self, until: Instant) -> Iterator[Place]:
        for place in self._heads:
            if place[0] > until:
                return
            yield place

    def _of_line(
        self,
        name: str,
        until: Instant,
        wanted: Callable[[Entry], bool],
        each: int,
        besides: AbstractSet[str],
    ) -> Iterator[tuple[Place, Entry]]:
        line = self._lines[name]
        left = 0 if _public(name) in besides else each
        most = None
        head = line.head()
        for place in line.queue:
            only_replacing = left <= 0 or (head is None and len(line.alone) == len(line.queue))
            if place[0] > until or (only_replacing and not line.replacing):
                return
            entry = line.waiting[place[2]]
            if entry.replaces:
                if wanted(entry):
                    yield place, entry
                continue
            if most is None:
                most = entry.document.get("max_running")
                left = left if most is None else min(left, most - len(line.running))
            if left > 0 and (not entry.alone or place[2] == head) and wanted(entry):
                left -= 1
                yield place, entry

    def _line(self, key: bytes) -> _Line:
        return self._lines.setdefault(_line_in(key, self._root), _Line())

    def _leave(self, line: _Line, entry: Entry) -> None:
        key = entry.pair.key
        del line.waiting[key]
        if entry.expires_at is not None:
            self._expiring.discard((entry.expires_at, key))
        self._retrying.pop(key, None)
        if entry.intention:
            del line.intended[key]
            self.intended.discard(entry.place)
            return
        for keys in (line.replacing, line.begun, line.alone):
            keys.discard(key)
        before = line.queue.first
        line.queue.discard(entry.place)
        self._move_head(before, line.queue.first)

    def _move_head(self, before: Place | None, after: Place | None) -> None:
        if before != after:
            if before is not None:
                self._heads.discard(before)
            if after is not None:
                self._heads.add(after)


def _rank(entry: Entry) -> tuple[Instant, str]:
    return entry.run_at, entry.id


def _line_in(key: bytes, root: bytes) -> str:
    """Read the line out of a key of a job: `{root}due/{line}/…`."""
    return key[len(root) :].decode().split("/", 2)[1]


def _public(name: str) -> str:
    """Name a line as jobs do."""
    return f"submit:{unquote(name[1:])}" if name.startswith("~") else name
