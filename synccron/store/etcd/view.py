"""What is under `watched/`, in memory: made of its keys as they were at one revision, and queried.

It decides nothing and reads no store; `mirror.py` keeps one up to date, a command fills one with
what it needs.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache
from typing import Any

from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.model.needs import needs_of
from synccron.model.schedule import Cursor, Schedule
from synccron.model.time import Instant
from synccron.store.base import Look
from synccron.store.codec import decode
from synccron.store.etcd.layout import (
    Layout,
    Lead,
    Pair,
    Seat,
    Standing,
    document,
    last_part,
    schedule_of,
)
from synccron.store.etcd.queues import Entry, Order, Queues

_READ = 4096  # texts of schedules that are kept as records


@lru_cache(maxsize=_READ)
def _standing(text: bytes) -> Standing:
    return decode(Standing, text.decode())


class View:
    """Records by their keys, and the orders in which they are asked for.

    Of schedules it keeps the text, and the few facts that are asked of all of them: most are not
    due for long, and as records a hundred thousand of them would fill hundreds of megabytes.
    """

    def __init__(self, layout: Layout, base: int) -> None:
        self._root = layout.watched("")
        self._mods: dict[bytes, int] = {}
        self._standing: dict[str, tuple[bytes, int]] = {}
        self._cursors: dict[str, tuple[bytes, int]] = {}
        self._retry_at: dict[str, Instant] = {}  # of the dispatches that failed
        self._paused: dict[str, Instant | None] = {}  # the schedules that are, and until when
        self._needs: Counter[str] = Counter()
        self._history: dict[str, Instant] = {}
        self._due_at: dict[str, Instant] = {}
        self._due_order: Order[tuple[Instant, str]] = Order()
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
        """Take in a key as it was written."""
        self._drop(pair.key)
        kind, _, rest = pair.key[len(self._root) :].decode().partition("/")
        match kind:
            case "sched":
                self._stand(rest, pair)
                self._place(rest)
                return
            case "cursor":
                self._cursors[rest] = (pair.value, pair.mod)
                self._place(rest)
                return
            case "history":
                self._history[rest] = int(pair.value)
            case "due":
                self._queues.wait(pair)
            case "run":
                self._queues.run(pair)
            case "node":
                self.seats[rest] = (decode(Seat, pair.value.decode()), pair.mod)
            case "live":
                self.live[rest] = pair
            case "leader":
                self.leader = (decode(Lead, pair.value.decode()), pair.create)
            case "busy":
                self.busy[rest] = pair.mod
            case _:
                self._set_request(kind, pair)
        self._mods[pair.key] = pair.mod

    def remove(self, key: bytes) -> None:
        """Take note that a key is gone."""
        self._drop(key)
        kind, _, rest = key[len(self._root) :].decode().partition("/")
        match kind:
            case "sched":
                self._stand(rest, None)
                self._place(rest)
            case "cursor":
                self._cursors.pop(rest, None)
                self._place(rest)
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

    def ids(self) -> list[str]:
        """Give the ids of all schedules, in order."""
        return sorted(each for each in self._standing if each in self._cursors)

    def definition(self, schedule_id: str | None) -> tuple[Standing, int] | None:
        """Give how a schedule stands, and the mark of that; None: it is not registered."""
        found = None if schedule_id is None else self._standing.get(schedule_id)
        return None if found is None else (_standing(found[0]), found[1])

    def schedule(self, schedule_id: str) -> Schedule | None:
        """Give a schedule; None: it is not registered."""
        found, cursor = self.definition(schedule_id), self._cursor(schedule_id)
        if found is None or cursor is None:
            return None
        intended = [each.run_at for each in self.intentions(schedule_id)]
        return schedule_of(
            *found,
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
        for at, schedule_id in self._due_order:
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
                and schedule_id in self._standing
                and not self._tried_later(schedule_id, look.now)
            ):
                late.setdefault(schedule_id, at)
        for schedule_id, at in late.items():
            found[schedule_id] = min(at, found.get(schedule_id, at))
        return [each for _, each in sorted((at, name) for name, at in found.items())][:limit]

    def _tried_later(self, schedule_id: str, now: Instant) -> bool:
        return self._retry_at.get(schedule_id, 0) > now

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
            replace(each.job, cancel_requested_at=self.cancels.get(each.id))
            for each in self._queues.active(line, besides)
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

    def due_at(self, schedule_id: str) -> Instant | None:
        """Tell when the leader has to look at a schedule; None: it is paused."""
        return self._due_at.get(schedule_id)

    def undecided_at(self, schedule_id: str) -> Instant | None:
        """Tell the oldest slot of a schedule that is not decided; see `Schedule.undecided_at`."""
        cursor = self._cursor(schedule_id)
        if schedule_id not in self._standing or cursor is None:
            return None
        if schedule_id in self._paused:
            return self._paused[schedule_id]
        return min([cursor.next, *(each.run_at for each in self.intentions(schedule_id))])

    def needs(self) -> frozenset[str]:
        """Tell what schedules and unsettled jobs need."""
        entries = (*self._queues.waiting.values(), *self.running.values())
        return frozenset(self._needs.keys() | {str(each.document["needs"]) for each in entries})

    def nodes(self) -> list[Node]:
        """Give the nodes that have not ended."""
        return [self.seats[name][0].node for name in sorted(self.seats)]

    def seat_at(self, key: bytes) -> Seat | None:
        """Find a node by the key of its record; None: the key is another's."""
        kind, _, name = key[len(self._root) :].decode().partition("/")
        return self.seats[name][0] if kind == "node" and name in self.seats else None

    def seated(self, session: str) -> tuple[Seat, int] | None:
        """Find a node by its session."""
        return next((each for each in self.seats.values() if each[0].node.session == session), None)

    def mod(self, key: bytes) -> int:
        """Tell the revision that last wrote a key; 0: it is not there."""
        kind, _, rest = key[len(self._root) :].decode().partition("/")
        if kind in ("sched", "cursor"):
            found = (self._standing if kind == "sched" else self._cursors).get(rest)
            return 0 if found is None else found[1]
        return self._mods.get(key, 0)

    # How the orders are kept.

    def _drop(self, key: bytes) -> None:
        """Forget what a key of a job stood for; a key that is written anew is another."""
        self._mods.pop(key, None)
        self._queues.drop(key)

    def _place(self, schedule_id: str) -> None:
        self._retry_at.pop(schedule_id, None)
        before = self._due_at.pop(schedule_id, None)
        if before is not None:
            self._due_order.discard((before, schedule_id))
        found = self._cursors.get(schedule_id)
        if found is not None and schedule_id in self._standing and schedule_id not in self._paused:
            cursor = document(found[0])  # as Cursor.due_at, which this spares to make
            retry_at = cursor.get("retry_at")
            if retry_at is not None:
                self._retry_at[schedule_id] = retry_at
            due_at = max(cursor["next"], retry_at or cursor["next"])
            self._due_at[schedule_id] = due_at
            self._due_order.add((due_at, schedule_id))

    def _stand(self, schedule_id: str, pair: Pair | None) -> None:
        """Keep how a schedule stands; None: it is gone."""
        before = self._standing.pop(schedule_id, None)
        if before is not None:
            needs = _needs(document(before[0]))
            self._needs[needs] -= 1
            if not self._needs[needs]:
                del self._needs[needs]
        self._paused.pop(schedule_id, None)
        if pair is None:
            return
        self._standing[schedule_id] = (pair.value, pair.mod)
        found = document(pair.value)
        self._needs[_needs(found)] += 1
        if found.get("paused"):
            self._paused[schedule_id] = found.get("paused_until")

    def _cursor(self, schedule_id: str) -> Cursor | None:
        found = self._cursors.get(schedule_id)
        if found is None:
            return None
        return replace(decode(Cursor, found[0].decode()), mod=found[1])


def _needs(standing: Mapping[str, Any]) -> str:
    """Read what a schedule needs, as Definition.needs tells it."""
    definition = standing["definition"]
    return needs_of(definition.get("handler"), definition.get("node_labels", {}))
