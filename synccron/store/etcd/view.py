"""What is under `watched/`, in memory: made of its keys as they were at one revision, and queried.

It decides nothing and reads no store; `mirror.py` keeps one up to date, a command fills one with
what it needs.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.model.schedule import Schedule
from synccron.model.time import Instant
from synccron.store.base import Look
from synccron.store.codec import decode, unreadable
from synccron.store.etcd.layout import (
    Layout,
    Lead,
    Pair,
    Seat,
    Standing,
    last_part,
    schedule_of,
)
from synccron.store.etcd.queues import Entry, Queues
from synccron.store.etcd.roster import LOST, Roster


class View:
    """Records by their keys, and the orders in which they are asked for.

    `texts` is how many bytes of the texts of schedules it keeps (None: all): see `roster.py`.
    """

    def __init__(self, layout: Layout, base: int, texts: int | None = None) -> None:
        self._root = layout.watched("")
        self._nodes = layout.watched("node", "")
        self._roster = Roster(texts)
        self._history: dict[str, Instant] = {}
        self._queues = Queues(self._root, base)
        self.running = self._queues.running
        self.seats: dict[str, tuple[Seat, int]] = {}
        self.live: dict[str, Pair] = {}
        self.leader: tuple[Lead, int] | None = None
        self.busy: dict[str, int] = {}
        self.cancels: dict[str, int] = {}
        self.notices: dict[bytes, Pair] = {}
        self.followed: set[str] = set()

    def set(self, pair: Pair) -> None:
        """Take in a key as it was written; what can't be read is as if it were not there.

        Else one record that somebody spoilt would hold up every schedule.
        """
        try:
            self._set(pair)
        except Exception:  # noqa: BLE001 - whatever it is that stands there
            self.remove(pair.key)

    def _set(self, pair: Pair) -> None:
        self._queues.drop(pair.key)  # a key that is written anew is another
        kind, _, rest = pair.key[len(self._root) :].decode().partition("/")
        match kind:
            case "sched":
                self._roster.stand(rest, pair)
                return
            case "cursor":
                self._roster.move(rest, pair)
                return
            case "history":
                self._history[rest] = int(pair.value)
            case "due":
                self._queues.wait(pair)
            case "run":
                self._queues.run(pair)
            case "node":
                self.seats[rest] = (decode(Seat, pair.value), pair.mod)
            case "live":
                self.live[rest] = pair
            case "leader":
                self.leader = (decode(Lead, pair.value), pair.create)
            case "busy":
                self.busy[rest] = pair.mod
            case _:
                self._set_request(kind, pair)

    def remove(self, key: bytes) -> None:
        """Take note that a key is gone."""
        self._queues.drop(key)
        kind, _, rest = key[len(self._root) :].decode().partition("/")
        match kind:
            case "sched":
                self._roster.stand(rest, None)
            case "cursor":
                self._roster.move(rest, None)
            case "history":
                self._history.pop(rest, None)
            case "node":
                self.seats.pop(rest, None)
            case "live":
                self.live.pop(rest, None)
            case "leader":
                self.leader = None
            case "busy":
                self.busy.pop(rest, None)
            case _:
                self._remove_request(kind, key)

    def _set_request(self, kind: str, pair: Pair) -> None:
        """Take in what nodes are asked to do."""
        match kind:
            case "cancel":
                self.cancels[last_part(pair.key)] = int(pair.value)
            case "notice":
                self.notices[pair.key] = pair
            case "follow":
                self.followed.add(last_part(pair.key))
            case _:
                pass  # of a later version: it is of no concern to this one

    def _remove_request(self, kind: str, key: bytes) -> None:
        match kind:
            case "cancel":
                self.cancels.pop(last_part(key), None)
            case "notice":
                self.notices.pop(key, None)
            case "follow":
                self.followed.discard(last_part(key))
            case _:
                pass

    # Questions.

    def count(self) -> int:
        """Tell how many schedules there are."""
        return len(self._roster)

    def paused(self, until: Instant | None = None) -> frozenset[str]:
        """Give the schedules that are paused (until an instant: whose pause ends by then)."""
        return frozenset(
            name
            for name, at in self._roster.paused.items()
            if name in self._roster and (until is None or (at is not None and at <= until))
        )

    def lacking(self, schedule_ids: Iterable[str], *kinds: str) -> list[bytes]:
        """Name the texts of schedules that have to be read before they can be asked for."""
        return [
            self._root + f"{kind}/{each}".encode()
            for each in schedule_ids
            for kind in kinds
            if self._roster.lacks(kind, each)
        ]

    def trim(self) -> None:
        """Put away texts of schedules that are too much."""
        self._roster.trim()

    def learn(self, pairs: Iterable[Pair]) -> None:
        """Lay down texts of schedules that were read by themselves."""
        for pair in pairs:
            kind, _, name = pair.key[len(self._root) :].decode().partition("/")
            self._roster.learn(kind, name, pair)

    def registered(self, schedule_id: str) -> bool:
        """Tell whether a schedule is registered."""
        return schedule_id in self._roster

    def definition(self, schedule_id: str) -> tuple[Standing, int] | None:
        """Give how a schedule stands, and the mark of that; None: it is not known."""
        return self._roster.standing(schedule_id)

    def schedule(self, schedule_id: str) -> Schedule | None:
        """Give a schedule; None: it is not known. One that lost its cursor can't be read."""
        found = self.definition(schedule_id)
        if found is None:
            return None
        standing, mod = found
        try:
            cursor = self._roster.cursor(schedule_id)
        except (StoreDamaged, StoreNewer) as error:
            standing = replace(standing, definition=unreadable(schedule_id, error))
            cursor = replace(LOST, mod=self._roster.mark("cursor", schedule_id))
        if cursor is None:
            return None
        intended = [each.run_at for each in self.intentions(schedule_id)]
        return schedule_of(
            standing,
            mod,
            cursor,
            history_from=self._history.get(schedule_id, 0),
            ahead=min(intended, default=None),
        )

    def intentions(self, schedule_id: str) -> list[Entry]:
        """Give what is written ahead of a schedule, in order of the slots."""
        return sorted(self._queues.intended_in(schedule_id), key=lambda each: each.run_at)

    def due_ids(self, look: Look, limit: int) -> list[str]:
        """Give the schedules that the leader has to look at, the longest due first."""
        found: dict[str, Instant] = {}
        for at, schedule_id in self._roster.due():
            if at > look.until or len(found) >= limit:
                break
            if not self._tried_later(schedule_id, look.now):
                found[schedule_id] = at
        late: dict[str, Instant] = {}
        for at, _, key in self._queues.intended:
            if at > look.now or len(late) >= limit:
                break
            entry = self._queues.waiting[key]
            schedule_id = entry.document["schedule_id"]
            if (
                (at < look.overdue or entry.document["needs"] not in look.offered)
                and schedule_id in self._roster
                and not self._tried_later(schedule_id, look.now)
            ):
                late.setdefault(schedule_id, at)
        for schedule_id, at in late.items():
            found[schedule_id] = min(at, found.get(schedule_id, at))
        return [each for _, each in sorted((at, name) for name, at in found.items())][:limit]

    def _tried_later(self, schedule_id: str, now: Instant) -> bool:
        lost = schedule_id in self._roster.lost  # what was written would look like its cursor
        return lost or self._roster.retry_at.get(schedule_id, 0) > now

    def waiting(
        self,
        until: Instant,
        wanted: Callable[[Entry], bool],
        *,
        each: int,
        besides: AbstractSet[str],
    ) -> Iterator[Entry]:
        """Give the jobs that may start by an instant, earliest first, of a line its share."""
        return self._queues.ready(until, wanted, each=each, besides=besides)

    def expired(self, until: Instant) -> Iterator[Entry]:
        """Give the jobs that it is too late for by an instant."""
        return self._queues.expired(until)

    def active(self, line: str, besides: str = "") -> tuple[Job, ...]:
        """Give the jobs of a line, besides one, that are queued, run or wait for a retry."""
        return tuple(
            replace(job, cancel_requested_at=self.cancels.get(job.id))
            for each in self._queues.active(line, besides)
            for job in each.jobs
        )

    def runs_in(self, line: str) -> int:
        """Tell how many jobs of a line run."""
        return self._queues.runs_in(line)

    def waits(self) -> list[Entry]:
        """Give all jobs that wait."""
        return list(self._queues.waiting.values())

    def waits_in(self, line: str) -> list[Entry]:
        """Give the jobs of a line that wait."""
        return self._queues.waits_in(line)

    def undecided(self, before: Instant) -> dict[str, Instant]:
        """Give the schedules whose oldest slot that is not decided is before an instant, and it.

        See `Schedule.undecided_at`. It costs by how many there are, and how many are paused.
        """
        found: dict[str, Instant] = {}
        for at, name in self._roster.due():
            if at >= before:
                break
            found[name] = self._roster.next(name)
        # One whose dispatch is tried later stands elsewhere in the order.
        for name in self._roster.retry_at:
            if name in self._roster and (at := self._roster.next(name)) < before:
                found[name] = at
        for at, _, key in self._queues.intended:
            if at >= before:
                break
            name = str(self._queues.waiting[key].document["schedule_id"])
            if name in self._roster:
                found[name] = min(at, found.get(name, at))
        for name, until in self._roster.paused.items():
            found.pop(name, None)
            if name in self._roster and until is not None and until < before:
                found[name] = until
        return found

    def needs(self) -> frozenset[str]:
        """Tell what schedules and unsettled jobs need."""
        entries = (*self._queues.waiting.values(), *self.running.values())
        return self._roster.needs() | {str(each.document["needs"]) for each in entries}

    def nodes(self) -> list[Node]:
        """Give the nodes that have not ended."""
        return [self.seats[name][0].node for name in sorted(self.seats)]

    def seat_at(self, key: bytes) -> Seat | None:
        """Find a node by the key of its record; None: the key is another's."""
        if not key.startswith(self._nodes):
            return None
        name = key[len(self._nodes) :].decode()
        return self.seats[name][0] if name in self.seats else None

    def seated(self, session: str) -> tuple[Seat, int] | None:
        """Find a node by its session."""
        return next((each for each in self.seats.values() if each[0].node.session == session), None)
