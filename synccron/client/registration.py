"""What registering does to a store: all is checked, then written in pieces that stand as read."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import tzdata

from synccron.client.author import author
from synccron.errors import InvalidInput, Refused, StoreError
from synccron.events import Events
from synccron.model import change
from synccron.model.change import Change
from synccron.model.difference import Difference, difference
from synccron.model.plan import Due
from synccron.model.schedule import Definition, Schedule, Tombstone
from synccron.model.time import Instant
from synccron.store.base import EVERYTHING, INTENTIONS_A_CHANGE, Store, Where
from synccron.store.history import read_all

TRIES = 50  # how often a write is decided anew when what it was decided for has moved
PAGE = 500  # schedules that are compared at once


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
        self, store: Store, now: Callable[[], Instant], events: Events, *, take_over: bool
    ) -> None:
        self._store = store
        self._now = now
        self._events = events
        self._take_over = take_over

    def register(
        self, definitions: Sequence[Definition], progress: Callable[[int, int], object] | None
    ) -> Registered:
        """Write what has changed. Raises InvalidInput, and Refused: another owner has some."""
        _distinct(definitions)
        done = Registered()
        piece = self._store.changes_at_once
        if len(definitions) > piece:
            self._check_owners(definitions)  # all of them, before the first piece is written
        for start in range(0, len(definitions), piece):
            self._piece(definitions[start : start + piece], done)
            if progress is not None:
                progress(min(start + piece, len(definitions)), len(definitions))
        return done

    def compare(
        self, definitions: Sequence[Definition], prune: Collection[str]
    ) -> Iterator[Difference]:
        """Tell what `register` would do, and write nothing. Raises what it would raise."""
        _distinct(definitions)
        self._check_owners(definitions)
        now, by, zones = self._now(), author(), tzdata.IANA_VERSION
        for start in range(0, len(definitions), PAGE):
            page = definitions[start : start + PAGE]
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

    def _piece(self, definitions: Sequence[Definition], done: Registered) -> None:
        by, zones = author(), tzdata.IANA_VERSION
        for _ in range(TRIES):
            now = self._now()
            old = known(self._store, [each.id for each in definitions])
            self._refuse_foreign([(each, old.get(each.id)) for each in definitions])
            decided = [
                (each, change.register(old.get(each.id), each, now, by, zones))
                for each in definitions
            ]
            changes = [made for _, made in decided if made is not None]
            if len(definitions) > 1 and too_much(self._store, changes, old):
                half = len(definitions) // 2
                self._piece(definitions[:half], done)
                self._piece(definitions[half:], done)
                return
            # Law 2: refused as a whole if a dispatch or another command came in between.
            if not changes or self._store.apply(changes):
                for each, made in decided:
                    self._note(each.id, made, old.get(each.id), done)
                return
        raise StoreError("the schedules kept changing meanwhile", hint="try again")

    def _check_owners(self, definitions: Sequence[Definition]) -> None:
        if self._take_over:
            return
        wanted = {each.id: each for each in definitions}
        for_them = Where(ids=list(wanted))
        stored = read_all(self._store, Schedule, for_them)
        self._refuse_foreign([(wanted[each.id], Due(schedule=each)) for each in stored])

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


def _distinct(definitions: Sequence[Definition]) -> None:
    seen: set[str] = set()
    for each in definitions:
        if each.id in seen:
            raise InvalidInput(f"the schedule {each.id} is given twice")
        seen.add(each.id)
