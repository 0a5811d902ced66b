"""What registering does to a store: all is checked, then written in pieces that stand as read."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import tzdata

from synccron.client.author import author, deed
from synccron.clock import Clock
from synccron.errors import InvalidInput, Refused, StoreError
from synccron.events import Events
from synccron.model import change
from synccron.model.change import Change
from synccron.model.deed import Deed
from synccron.model.difference import Difference, difference
from synccron.model.plan import Due
from synccron.model.schedule import Definition, Schedule, Tombstone
from synccron.model.time import Duration, Instant
from synccron.store.base import EVERYTHING, INTENTIONS_A_CHANGE, Store, Where
from synccron.store.history import read_all

PATIENT = 5  # tries of many at once, before each half of them is written by itself
TRIES = 50  # how often a write is decided anew when what it was decided for has moved
PAGE = 500  # schedules that are compared at once
FIRST = 100  # schedules that are written at once, to begin with
LONG: Duration = 50  # what the write of a piece may take


class Checked(Sized, Iterable[Definition], Protocol):
    """Definitions that are checked and distinct, and may be more than memory should hold."""


@dataclass(slots=True)
class Registered:
    """What a registration did: ids in the order given."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, list[str]]:
        """Give the JSON shape of `register`."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "pruned": self.pruned,
        }


class Registration:
    """Registers definitions in one store; `now` is the time that cursors are computed by.

    `take_over`: also what another owner has.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        now: Callable[[], Instant],
        events: Events,
        *,
        take_over: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self._events = events
        self._take_over = take_over

    def register(
        self, definitions: Checked, progress: Callable[[int], object] | None
    ) -> Registered:
        """Write what has changed of definitions, which are distinct; they are taken as they come.

        `progress` is told how many are done. Raises Refused: another owner has some.
        """
        done, count = Registered(), 0
        most = self._store.changes_at_once
        if len(definitions) > min(most, FIRST):
            self._check_owners(definitions)  # all of them, before the first piece is written
        size, coming = min(most, FIRST), iter(definitions)
        while piece := list(islice(coming, size)):
            took = self._piece(piece, done)
            # What nodes write waits meanwhile: no piece may keep them long, on any disk.
            size = max(1, size // 2) if took > LONG else min(most, size * 2)
            count += len(piece)
            if progress is not None:
                progress(count)
        return done

    def compare(self, definitions: Checked, prune: Collection[str]) -> Iterator[Difference]:
        """Tell what `register` would do, and write nothing. Raises what it would raise."""
        self._check_owners(definitions)
        now, by, zones = self._now(), author(), tzdata.IANA_VERSION
        for page in _pages(definitions):
            old = known(self._store, [each.id for each in page])
            for each in page:
                made = change.register(old.get(each.id), each, now, by, zones)
                yield difference(each.id, old.get(each.id), made)
        if prune:
            kept = {each.id for each in definitions}
            for stray in self.strays(prune, kept):
                read = known(self._store, [stray.id]).get(stray.id)
                if isinstance(read, Due):
                    yield difference(stray.id, read, change.unregister(read, now))

    def strays(self, owners: Collection[str], kept: Collection[str]) -> Iterator[Schedule]:
        """Give the schedules of these owners that are not among the kept ids."""
        for each in read_all(self._store, Schedule, EVERYTHING):
            if each.definition.owner in owners and each.id not in kept:
                yield each

    def _piece(self, definitions: Sequence[Definition], done: Registered) -> Duration:
        """Register some; how long their write took."""
        by, zones = author(), tzdata.IANA_VERSION
        for tried in range(TRIES):
            now = self._now()
            old = known(self._store, [each.id for each in definitions])
            self._refuse_foreign([(each, old.get(each.id)) for each in definitions])
            decided = [
                (each, change.register(old.get(each.id), each, now, by, zones))
                for each in definitions
            ]
            changes = [made for _, made in decided if made is not None]
            if len(definitions) > 1 and (tried == PATIENT or too_much(self._store, changes, old)):
                half = len(definitions) // 2
                return max(
                    self._piece(definitions[:half], done), self._piece(definitions[half:], done)
                )
            start = self._clock.monotonic()
            # Law 2: refused as a whole if a dispatch or another command came in between.
            if not changes or self._store.apply(changes, [_deed(changes, old, now)]):
                for each, made in decided:
                    self._note(each.id, made, old.get(each.id), done)
                return self._clock.monotonic() - start
        raise StoreError("the schedules kept changing meanwhile", hint="try again")

    def _check_owners(self, definitions: Checked) -> None:
        if self._take_over:
            return
        found: list[tuple[Definition, Due | Tombstone | None]] = []
        for page in _pages(definitions):
            wanted = {each.id: each for each in page}
            for stored in read_all(self._store, Schedule, Where(ids=list(wanted))):
                read = Due(schedule=stored)
                if change.foreign(read, wanted[stored.id]) is not None:
                    found.append((wanted[stored.id], read))
        self._refuse_foreign(found)

    def _refuse_foreign(self, pairs: Sequence[tuple[Definition, Due | Tombstone | None]]) -> None:
        if self._take_over:
            return
        found = [
            f"the schedule {each.id} is {owner}'s"
            for each, old in pairs
            if (owner := change.foreign(old, each)) is not None
        ]
        if found:
            details = [
                {"file": None, "line": None, "column": None, "message": one} for one in found
            ]
            hint = "name its owner, or take it over: --take-over"
            raise Refused(found[0], hint=hint, details=details)

    def _note(
        self, name: str, made: Change | None, old: Due | Tombstone | None, done: Registered
    ) -> None:
        if made is None:
            done.unchanged.append(name)
        elif isinstance(old, Due):
            done.updated.append(name)
            self._events.emit("schedule_updated", schedule_id=name)
        else:
            done.created.append(name)
            self._events.emit("schedule_registered", schedule_id=name)


def known(store: Store, ids: Sequence[str]) -> dict[str, Due | Tombstone]:
    """Read what a store has of these ids; those that it never had are left out."""
    where = Where(ids=ids)
    found: dict[str, Due | Tombstone] = {
        each.id: each for each in read_all(store, Tombstone, where)
    }
    found.update({each.schedule.id: each for each in read_all(store, Due, where)})
    return found


def too_much(
    store: Store, changes: Sequence[Change], before: Mapping[str, Due | Tombstone]
) -> bool:
    """Tell whether changes, with the intentions that they touch, are more than one write."""
    found = (before.get(each.id) for each in changes)
    touched = sum(len(each.intentions) for each in found if isinstance(each, Due))
    return len(changes) + touched // INTENTIONS_A_CHANGE > store.changes_at_once


def _deed(changes: Sequence[Change], old: Mapping[str, Due | Tombstone], now: Instant) -> Deed:
    """Tell of a piece as one deed: each schedule has its revision besides."""
    ids = [each.id for each in changes]
    updated = sum(isinstance(old.get(each), Due) for each in ids)
    what = f"{len(ids) - updated} created, {updated} updated"
    return deed("register", now, ids, ids[0] if len(ids) == 1 else None, what)


def _pages(definitions: Iterable[Definition]) -> Iterator[list[Definition]]:
    coming = iter(definitions)
    while page := list(islice(coming, PAGE)):
        yield page


def distinct(definitions: Sequence[Definition]) -> None:
    """Raise InvalidInput if an id is given twice."""
    seen: set[str] = set()
    for each in definitions:
        if each.id in seen:
            raise InvalidInput(f"the schedule {each.id} is given twice")
        seen.add(each.id)
