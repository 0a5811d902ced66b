"""All schedules as a node knows them by heart: when each is due, and what tells that it changed.

Most schedules are not due for long, and a hundred thousand of their texts fill a hundred megabytes
and more. So of all a few facts are kept, and the texts only of those that somebody has read or
written of late. A text counts while its mark is the one that the facts have: so what is read of a
schedule was so at the revision that the whole view shows. Who needs a text that is not here
(`lacks`) reads it and lays it down (`learn`).
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import intern

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.needs import needs_of
from synccron.model.schedule import Cursor
from synccron.model.time import Instant
from synccron.model.timetable import FOREVER
from synccron.store.codec import decode
from synccron.store.etcd.layout import Pair, Standing, document, standing_of
from synccron.store.etcd.queues import Order

TEXTS = 8 * 1024 * 1024  # bytes of text that are kept, about
_BESIDE = 300  # bytes that a text takes beside its own
_READ = 4096  # texts that are kept as records
LOST = Cursor(next=FOREVER, decided_until=0, history_from=0)  # for one that can't be read


@lru_cache(maxsize=_READ)
def _standing(text: bytes, name: str) -> Standing:
    return standing_of(text, name)


@dataclass(slots=True)
class _Facts:
    """What is kept of each: the marks of its two keys (0: it is not there), and when it is due."""

    name: str
    standing: int = 0
    cursor: int = 0
    needs: str | None = None
    next: Instant = 0


class Texts:
    """Texts by their keys; those that were longest not asked for go when they are too many.

    `most` is how many bytes of them stay (None: all).
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._held: OrderedDict[tuple[str, str], Pair] = OrderedDict()
        self._size = 0

    def put(self, kind: str, name: str, pair: Pair) -> None:
        """Lay down a text, in place of an older one."""
        self.drop(kind, name)
        self._held[kind, name] = pair
        self._size += _size(pair)

    def drop(self, kind: str, name: str) -> None:
        """Put away what is here of a key."""
        before = self._held.pop((kind, name), None)
        if before is not None:
            self._size -= _size(before)

    def get(self, kind: str, name: str, mod: int) -> Pair | None:
        """Give a text, if it is here and has this mark."""
        found = self._held.get((kind, name))
        if found is None or found.mod != mod:
            return None
        self._held.move_to_end((kind, name))
        return found

    def trim(self) -> None:
        """Put away what is too much."""
        while self._most is not None and self._size > self._most:
            _, gone = self._held.popitem(last=False)
            self._size -= _size(gone)


class Roster:
    """The facts of all schedules, their order by when they are due, and `texts` bytes of texts.

    `paused`: the schedules that are, and until when. `retry_at`: of the dispatches that failed.
    `lost`: those whose cursor can't be read. Nothing of them is due, as nobody knows what is.
    """

    def __init__(self, texts: int | None) -> None:
        self._facts: dict[str, _Facts] = {}
        self._count = 0
        self._needs: Counter[str] = Counter()
        self._order: Order[tuple[Instant, str]] = Order()
        self._texts = Texts(texts)
        self.paused: dict[str, Instant | None] = {}
        self.retry_at: dict[str, Instant] = {}
        self.lost: set[str] = set()

    def stand(self, name: str, pair: Pair | None) -> None:
        """Take in how a schedule stands; None: it is gone."""
        facts = self._before(name)
        if facts.needs is not None:
            self._needs[facts.needs] -= 1
            if not self._needs[facts.needs]:
                del self._needs[facts.needs]
        self.paused.pop(name, None)
        if pair is None:
            facts.standing, facts.needs = 0, None
        else:
            needs, paused, until = _told_by(pair.value, name)
            facts.standing, facts.needs = pair.mod, intern(needs)
            self._needs[facts.needs] += 1
            if paused:
                self.paused[name] = until
        self._after("sched", name, facts, pair)

    def move(self, name: str, pair: Pair | None) -> None:
        """Take in where a schedule's cursor is; None: it is gone."""
        facts = self._before(name)
        self.retry_at.pop(name, None)
        self.lost.discard(name)
        facts.cursor, facts.next = 0, 0
        if pair is not None:
            facts.cursor = pair.mod
            try:
                cursor = decode(Cursor, pair.value)
            except (StoreDamaged, StoreNewer):
                cursor = LOST
                self.lost.add(name)
            facts.next = cursor.next
            if cursor.retry_at is not None:
                self.retry_at[name] = cursor.retry_at
        self._after("cursor", name, facts, pair)

    def learn(self, kind: str, name: str, pair: Pair) -> None:
        """Lay down a text that was read by itself; all that was asked for at once stays."""
        self._texts.put(kind, name, pair)

    def trim(self) -> None:
        """Put away texts that are too much."""
        self._texts.trim()

    # Questions.

    def __len__(self) -> int:
        """Tell how many schedules there are."""
        return self._count

    def __contains__(self, name: object) -> bool:
        """Tell whether a schedule is registered."""
        facts = self._facts.get(name) if isinstance(name, str) else None
        return facts is not None and bool(facts.standing and facts.cursor)

    def __iter__(self) -> Iterator[str]:
        """Give the ids of all, in no order."""
        return (name for name, facts in self._facts.items() if facts.standing and facts.cursor)

    def lacks(self, kind: str, name: str) -> bool:
        """Tell whether a text has to be read before it can be asked for."""
        return bool(self.mark(kind, name)) and self._text(kind, name) is None

    def standing(self, name: str) -> tuple[Standing, int] | None:
        """Give how a schedule stands, and the mark of that; None: it is not known."""
        pair = self._text("sched", name)
        return None if pair is None else (_standing(pair.value, name), pair.mod)

    def cursor(self, name: str) -> Cursor | None:
        """Give a schedule's cursor; None: it is not known. Raises StoreDamaged, StoreNewer."""
        pair = self._text("cursor", name)
        return None if pair is None else replace(decode(Cursor, pair.value), mod=pair.mod)

    def due(self) -> Iterator[tuple[Instant, str]]:
        """Give when the leader has to look at each that is not paused, the longest due first."""
        return iter(self._order)

    def next(self, name: str) -> Instant:
        """Tell the next slot of a schedule that is registered."""
        return self._facts[name].next

    def needs(self) -> frozenset[str]:
        """Tell what the schedules need."""
        return frozenset(self._needs)

    def mark(self, kind: str, name: str) -> int:
        """Give the mark of one of a schedule's two keys; 0: it is not there."""
        facts = self._facts.get(name)
        if facts is None:
            return 0
        return facts.standing if kind == "sched" else facts.cursor

    def _text(self, kind: str, name: str) -> Pair | None:
        return self._texts.get(kind, name, self.mark(kind, name))

    def _before(self, name: str) -> _Facts:
        """Take a schedule out of the order; its facts, to be changed."""
        facts = self._facts.get(name)
        if facts is None:
            return _Facts(name)
        if facts.standing and facts.cursor:
            self._count -= 1
            if name not in self.paused:
                self._order.discard(self._place(facts))
        return facts

    def _after(self, kind: str, name: str, facts: _Facts, pair: Pair | None) -> None:
        """Put a schedule in its place, and the text that has come in with it."""
        if pair is None:
            self._texts.drop(kind, name)
        else:
            self._texts.put(kind, name, pair)
            self._texts.trim()
        if not facts.standing and not facts.cursor:
            self._facts.pop(name, None)
            return
        self._facts[name] = facts
        if facts.standing and facts.cursor:
            self._count += 1
            if name not in self.paused:
                self._order.add(self._place(facts))

    def _place(self, facts: _Facts) -> tuple[Instant, str]:
        # As Cursor.due_at, which this spares to make.
        return max(facts.next, self.retry_at.get(facts.name, facts.next)), facts.name


def _size(pair: Pair) -> int:
    return len(pair.value) + _BESIDE


def _told_by(text: bytes, name: str) -> tuple[str, bool, Instant | None]:
    """Read what a schedule needs, whether it is paused, and until when."""
    try:
        found = document(text)
        definition = found["definition"]
        needs = needs_of(definition.get("handler"), definition.get("node_labels", {}))
        return needs, bool(found.get("paused")), found.get("paused_until")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        standing = standing_of(text, name)
        return standing.definition.needs, standing.paused, standing.paused_until
