"""Changes of schedules in a store: in pieces, each written if what it was decided for stands."""

import socket
from collections.abc import Callable, Collection, Sequence

from synccron.client.author import deed
from synccron.client.reads import check_readable, require
from synccron.client.registration import PATIENT, TRIES, Registration, too_much
from synccron.clock import Clock
from synccron.errors import InvalidInput, StoreError
from synccron.events import Events
from synccron.model import change
from synccron.model.change import Change
from synccron.model.cron import CronError
from synccron.model.deed import Verb
from synccron.model.lease import Node, told_now
from synccron.model.plan import Due
from synccron.model.schedule import Schedule
from synccron.model.time import Duration, Instant, format_duration, format_instant
from synccron.store.base import Store, Where
from synccron.store.history import read_all


class Changes:
    """Changes schedules of one store, by a time that its nodes agree with."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events

    def now(self) -> Instant:
        """Tell the time by which cursors are computed; says so where it is not this host's."""
        now = self._clock.now()
        nodes = list(read_all(self._store, Node, Where()))
        told = told_now(nodes, socket.gethostname(), now)
        if told != now:
            way = "behind" if told > now else "ahead of"
            self._events.emit(
                "tick_error",
                "warning",
                error=f"this host's clock is about {format_duration(abs(told - now))} {way} the"
                f" nodes': now is taken as {format_instant(told)}, as they say",
            )
        return told

    def registration(self, *, take_over: bool) -> Registration:
        """Begin to register, by that time; `take_over`: also what another owner has."""
        off = self.now() - self._clock.now()
        return Registration(
            self._store,
            self._clock,
            lambda: self._clock.now() + off,
            self._events,
            take_over=take_over,
        )

    def change(
        self,
        ids: Sequence[str],
        decide: Callable[[Due, Instant], Change | None],
        verb: Verb,
        detail: str | None = None,
    ) -> None:
        """Change schedules, in pieces of what the store changes at once; none if one is unknown."""
        known = {each.id for each in read_all(self._store, Schedule, Where(ids=ids))}
        require(ids, known, "schedule")
        wanted = list(dict.fromkeys(ids))
        off = self.now() - self._clock.now()
        piece = self._store.changes_at_once
        for start in range(0, len(wanted), piece):
            self._change_piece(wanted[start : start + piece], decide, off, verb, detail)

    def _change_piece(
        self,
        ids: Sequence[str],
        decide: Callable[[Due, Instant], Change | None],
        off: Duration,
        verb: Verb,
        detail: str | None,
    ) -> None:
        for tried in range(TRIES):
            now = self._clock.now() + off
            found = {each.schedule.id: each for each in read_all(self._store, Due, Where(ids=ids))}
            require(ids, found, "schedule")
            decided = (_decided(decide, each, now) for each in found.values())
            changes = [made for made in decided if made is not None]
            if len(ids) > 1 and (tried == PATIENT or too_much(self._store, changes, found)):
                self._change_piece(ids[: len(ids) // 2], decide, off, verb, detail)
                self._change_piece(ids[len(ids) // 2 :], decide, off, verb, detail)
                return
            # Law 2: refused as a whole if a dispatch or another command came in between.
            done = [deed(verb, now, [each.id], each.id, detail) for each in changes]
            if not changes or self._store.apply(changes, done):
                return
        raise StoreError("the schedules kept changing meanwhile", hint="try again")

    def prune(self, ids: Sequence[str], owners: Collection[str]) -> None:
        """Remove schedules of these owners, that their files have no more."""

        def decide(read: Due, now: Instant) -> Change | None:
            theirs = read.schedule.definition.owner in owners  # unless it was taken over just now
            return change.unregister(read, now) if theirs else None

        self.change(ids, decide, "unregister", "no longer in the file")
        for name in ids:
            self._events.emit("schedule_unregistered", schedule_id=name)


def _decided(
    decide: Callable[[Due, Instant], Change | None], read: Due, now: Instant
) -> Change | None:
    try:
        return decide(read, now)
    except CronError as error:
        check_readable(read.schedule.definition)
        raise InvalidInput(
            f"the cron of {read.schedule.id} cannot be read by this version: {error}",
            hint="register it again",
        ) from error
