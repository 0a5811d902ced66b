"""The Python API: schedules, jobs and dead letters of one store.

Each call reads, lets the model decide, and writes if what was read still stands; where it does not,
it reads again. What a call that writes has returned is durable (law 7). How that is done stands in
`registration.py`, `changes.py` and `orders.py`.
"""

import builtins
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias

from synccron.client import copies, glance, values
from synccron.client.agenda import agenda
from synccron.client.audit import Audited, audit
from synccron.client.author import author, deed
from synccron.client.changes import Changes
from synccron.client.given import check_inputs, defined, instant, state
from synccron.client.orders import Orders
from synccron.client.reads import (
    check_readable,
    jobs_of,
    letters_of,
    newest,
    newest_jobs,
    require,
    revisions_of,
    schedule_of,
    trail,
)
from synccron.client.registration import Checked, Registered, distinct
from synccron.client.reset import reset_cursors
from synccron.client.why import Why, why
from synccron.clock import Bell, Clock, SystemClock
from synccron.errors import InvalidInput, JobNotSettled
from synccron.events import Event, Events
from synccron.model import change
from synccron.model.agenda import Agenda
from synccron.model.chunk import Chunk
from synccron.model.deed import Verb
from synccron.model.definition import check_handler, json_text
from synccron.model.job import DeadLetter, Miss, Output
from synccron.model.schedule import Definition, Schedule
from synccron.model.time import SECOND, to_datetime, to_duration
from synccron.store import open_store
from synccron.store.base import DISCARDED, Store, Where
from synccron.store.history import read_all
from synccron.store.overdue import overdue

UNSET: Any = object()
# `Client.list` shadows the type in the class's annotations.
Jobs: TypeAlias = list[values.Job]
Misses: TypeAlias = list[values.Miss]
DeadLetters: TypeAlias = list[values.DeadLetter]
Deeds: TypeAlias = list[values.Deed]
Nodes: TypeAlias = list[values.Node]
Chunks: TypeAlias = list[Chunk]


class Client:
    """A store, opened; a context manager that closes it.

    `store` is a URL or a path; `timeout` is how long a write waits for others. Raises InvalidInput
    for a URL that cannot be read, and StoreError where the store cannot be used. `create` makes a
    store that is not there. `on_event` gets every Event; what it raises is swallowed.
    """

    def __init__(
        self,
        store: str,
        *,
        timeout: timedelta | str | float = 5,
        create: bool = False,
        clock: Clock | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._events = Events(self._clock.now, *([on_event] if on_event else []))
        self._store: Store = open_store(
            store, create=create, clock=self._clock, timeout=to_duration(timeout)
        )
        self._changes = Changes(self._store, self._clock, self._events)
        self._orders = Orders(self._store, self._clock, self._events)
        self._bell: Bell | None = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the store; nothing that was written is lost."""
        self._store.close()

    # Schedules.

    def register(
        self,
        *schedules: values.Schedule | Definition,
        take_over: bool = False,
        prune: Collection[str] = (),
        progress: Callable[[int, int], object] | None = None,
    ) -> Registered:
        """Apply schedules, idempotently; `progress` is told how many of how many are done.

        All are checked before anything is written; many are written in pieces of at most what the
        store changes at once (500 on SQLite, 20 on etcd), and about 50 ms each. `take_over`: also
        those that another owner has. `prune` names owners whose other schedules are removed. Raises
        InvalidInput with all that is wrong, and where, and Refused: another owner has some.
        """
        definitions = [defined(each) for each in schedules]
        check_inputs(
            [made for made, given in zip(definitions, schedules, strict=True) if made is not given]
        )
        distinct(definitions)
        total = len(definitions)
        told = None if progress is None else lambda done: progress(done, total)
        return self.register_checked(definitions, take_over=take_over, prune=prune, progress=told)

    def register_checked(
        self,
        definitions: Checked,
        *,
        take_over: bool = False,
        prune: Collection[str] = (),
        progress: Callable[[int], object] | None = None,
    ) -> Registered:
        """Apply definitions that are checked and distinct already, taking them as they come.

        For more of them than memory should hold. `progress` is told how many are done; else it is
        `register`.
        """
        registration = self._changes.registration(take_over=take_over)
        done = registration.register(definitions, progress)
        if prune:
            kept = {each.id for each in definitions}
            done.pruned = [each.id for each in registration.strays(prune, kept)]
            self._changes.prune(done.pruned, prune)
        return done

    def compare(
        self,
        *schedules: values.Schedule | Definition,
        take_over: bool = False,
        prune: Collection[str] = (),
    ) -> Iterator[values.Difference]:
        """Tell what `register` would do with each, in order, then what it would remove.

        Nothing is written. Raises what `register` would raise.
        """
        definitions = [defined(each) for each in schedules]
        distinct(definitions)
        registration = self._changes.registration(take_over=take_over)
        return map(values.Difference.of, registration.compare(definitions, prune))

    def unregister(self, *ids: str) -> None:
        """Remove schedules; jobs that have not started are cancelled, history stays.

        Raises NotFound if any is unknown; nothing is removed then.
        """
        by = author()
        self._changes.change(ids, lambda read, now: change.unregister(read, now, by), "unregister")
        for name in ids:
            self._events.emit("schedule_unregistered", schedule_id=name)

    def pause(
        self, *ids: str, until: datetime | str | None = None, reason: str | None = None
    ) -> None:
        """Stop making jobs of slots; with `until`, the leader resumes then. Raises NotFound."""
        end = None if until is None else instant(until)
        by = author()
        self._changes.change(
            ids, lambda read, now: change.pause(read, now, end, reason, by), "pause", reason
        )

    def resume(self, *ids: str) -> None:
        """Go on with the first slot after now. Raises NotFound."""
        by = author()
        self._changes.change(ids, lambda read, now: change.resume(read, now, by), "resume")

    def reset_cursor(self, *ids: str) -> builtins.list[str]:
        """Bring back cursors that a wrong clock left in the future; the ids of those it moved.

        Each goes to the first slot after now: intentions and misses of instants still to come are
        taken back, what ran stays. Any other cursor is left alone. Raises NotFound if any is
        unknown; nothing is changed then.
        """
        return reset_cursors(self._store, ids, self._changes.now())

    def get(self, id: str) -> values.Schedule:  # noqa: A002 - a schedule's id
        """Read one schedule. Raises NotFound."""
        return values.Schedule.of(schedule_of(self._store, id))

    def list(
        self, pattern: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[values.Schedule]:
        """Read schedules by id, a page at a time; `pattern` is a shell glob on the id."""
        where = Where(pattern=pattern, labels=labels or None)
        return map(values.Schedule.of, read_all(self._store, Schedule, where))

    def definitions(self) -> Iterator[Definition]:
        """Read what all schedules say, by id, a page at a time: what `register` takes again."""
        found = read_all(self._store, Schedule, Where())
        return (check_readable(each.definition) for each in found)

    def misses(self, id: str, limit: int = 100) -> Misses:  # noqa: A002
        """Read the newest misses of a schedule, newest first."""
        page = self._store.read(Miss, Where(schedule=id), limit=limit)
        return [values.Miss.of(miss) for miss in page.items]

    def revisions(self, id: str) -> Iterator[values.Revision]:  # noqa: A002
        """Read the kept changes of a schedule's definition, newest first."""
        return revisions_of(self._store, id)

    def agenda(self, after: datetime | str | None = None, limit: int = 10) -> Agenda:
        """Read the coming slots of all schedules: the first `limit` instants.

        From now on of those that are due first, as many as one read gives; after an instant of all,
        which takes as long as reading them does.
        """
        return agenda(
            self._store, self._clock.now(), None if after is None else instant(after), limit
        )

    def why(self, id: str, slot: datetime | str | None = None) -> Why:  # noqa: A002
        """Say what the next slot will do, and why the last one, or this one, did what it did.

        Raises NotFound.
        """
        return why(self._store, id, None if slot is None else instant(slot), self._clock.now())

    def audit(self, *ids: str, since: datetime | str | None = None) -> Iterator[Audited]:
        """Prove for these schedules, or all, that each slot has exactly one record; one by one.

        From where the history begins, or `since`, to the cursor. Raises NotFound if any is unknown.
        """
        if ids:
            known = {each.id for each in read_all(self._store, Schedule, Where(ids=ids))}
            require(ids, known, "schedule")
        return audit(self._store, ids or None, None if since is None else instant(since))

    # Jobs.

    def trigger(
        self,
        id: str,  # noqa: A002 - a schedule's id
        *,
        key: str | None = None,
        input: Any = UNSET,  # noqa: A002 - the field's name
        force: bool = False,
    ) -> values.Job:
        """Run a schedule now, with its stored input or the one given.

        The same key within 90 days gives the first job and runs nothing. Raises NotFound, Refused
        (overlap, or no live node offers it), KeyConflict (the key had another input), InvalidInput,
        and StoreError, whose hint has the key to repeat it with.
        """
        given = None if input is UNSET else json_text(input)
        return self._orders.trigger(id, key, given, force=force)

    def submit(
        self,
        handler: str,
        *,
        input: Any = None,  # noqa: A002 - the field's name
        key: str | None = None,
        at: datetime | str | None = None,
        delay: timedelta | str | float | None = None,
    ) -> values.Job:
        """Run a handler without a schedule: now, at an instant, or after a delay.

        The same handler and key within 90 days give the first job. Raises InvalidInput, and
        KeyConflict.
        """
        check_handler(handler)
        if at is not None and delay is not None:
            raise InvalidInput("both at and delay are given: expected one of them")
        now = self._clock.now()
        run_at = now + to_duration(delay) if delay is not None else None
        run_at = instant(at) if at is not None else run_at
        return self._orders.submit(handler, key, json_text(input), now, run_at)

    def job(self, id: str) -> values.Job:  # noqa: A002 - a job's id
        """Read one job. Raises NotFound."""
        return values.Job.of(jobs_of(self._store, (id,))[0])

    def output(self, id: str) -> tuple[bytes, bool]:  # noqa: A002 - a job's id
        """Read the kept end of a job's output, and whether there was more."""
        found = self._store.read(Output, Where(ids=(id,))).items
        return (found[0].tail, found[0].truncated) if found else (b"", False)

    def follow(self, id: str) -> None:  # noqa: A002 - a job's id
        """Ask the node that runs a job to publish what it writes, for 15 s: see `published`."""
        self._store.follow(id)

    def published(self, id: str) -> Chunks:  # noqa: A002 - a job's id
        """Read what the node of a job has published, in order: the newest 128 KiB at the most."""
        return [*read_all(self._store, Chunk, Where(ids=(id,)))]

    def jobs(
        self,
        *,
        schedule: str | None = None,
        states: Sequence[str] | None = None,
        since: datetime | str | None = None,
        limit: int = 50,
    ) -> Jobs:
        """Read jobs, newest first; also of schedules that were removed.

        Those that were only written ahead of their slot are among them if `states` asks for them.
        """
        where = Where(
            schedule=schedule,
            states=None if states is None else tuple(map(state, states)),
            decided=states is None,
            since=None if since is None else instant(since),
        )
        return [values.Job.of(each) for each in newest_jobs(self._store, where, limit)]

    def wait(self, id: str, timeout: timedelta | str | float | None = None) -> values.Job:  # noqa: A002
        """Wait until a job has settled. Raises NotFound, and JobNotSettled after `timeout`."""
        bell = self._watched()
        until = None if timeout is None else self._clock.monotonic() + to_duration(timeout)
        while True:
            seen = bell.rings
            job = self.job(id)
            if job.settled:
                return job
            left = None if until is None else until - self._clock.monotonic()
            if left is not None and left <= 0:
                raise JobNotSettled(f"the job {id} is still {job.state}", hint="it goes on")
            bell.wait(seen, SECOND if left is None else min(left, SECOND))

    def cancel(self, *ids: str) -> Jobs:
        """Ask jobs to end; those that have not started never will.

        A job that had ended otherwise is given as it is. Raises NotFound if any is unknown; nothing
        is cancelled then.
        """
        now = self._clock.now()
        cancelled = [
            self._store.cancel(job.id, now, deed("cancel", now, [job.id], job.schedule_id))
            for job in jobs_of(self._store, ids)
        ]
        return [values.Job.of(job) for job in cancelled if job is not None]

    def retry(self, *ids: str) -> Jobs:
        """Run settled jobs again: new jobs with the current definition, old slots and inputs.

        Raises NotFound if any is unknown, Refused if any has not ended or its schedule is gone;
        nothing is made then.
        """
        return self._orders.retry(ids)

    # Dead letters.

    def dead_letters(self, limit: int | None = None) -> DeadLetters:
        """Read dead letters, newest first."""
        found = newest(self._store, DeadLetter, Where(), 1 << 30 if limit is None else limit)
        return [values.DeadLetter.of(each) for each in found]

    def dead_letter(self, id: str) -> values.DeadLetter:  # noqa: A002 - a dead letter's id
        """Read one dead letter. Raises NotFound."""
        return values.DeadLetter.of(letters_of(self._store, (id,))[0])

    def retry_dead(self, *ids: str) -> Jobs:
        """Run what was given up again, and remove the dead letters, each in one transaction.

        Raises NotFound if any is unknown, Refused if its schedule is gone; nothing is made then.
        """
        return self._orders.retry_dead(ids)

    def discard_dead(self, *ids: str) -> int:
        """Remove dead letters; how many. Raises NotFound if any is unknown."""
        letters_of(self._store, ids)
        return self._discard(ids, "remove")

    def purge_dead(self) -> int:
        """Remove all dead letters; how many."""
        return self._discard([letter.id for letter in self.dead_letters()], "purge")

    def _discard(self, ids: Sequence[str], verb: Verb) -> int:
        now, gone = self._clock.now(), 0
        for start in range(0, len(ids), DISCARDED):
            piece = ids[start : start + DISCARDED]
            gone += self._store.discard(piece, deed(verb, now, piece))
        return gone

    # The whole.

    def deeds(
        self,
        id: str | None = None,  # noqa: A002 - a schedule's id
        *,
        since: datetime | str | None = None,
        limit: int = 50,
    ) -> Deeds:
        """Read who did what by commands, newest first; with `id`, to one schedule."""
        where = Where(schedule=id, since=None if since is None else instant(since))
        return [values.Deed.of(each) for each in trail(self._store, where, limit)]

    def backup(self, file: str | Path) -> dict[str, int]:
        """Write a copy of everything but nodes to a file (mode 0600); how many records of each.

        A file that is there is replaced once the copy is whole. Raises InvalidInput where the file
        can't be written.
        """
        return copies.backup(self._store, Path(file), self._clock.now())

    def backup_to(self, out: BinaryIO) -> dict[str, int]:
        """Write a copy to a stream; how many records of each kind."""
        return copies.write(self._store, out, self._clock.now())

    def restore(self, file: str | Path | copies.Copy) -> dict[str, int]:
        """Go on from a copy, also of another kind of store; this one must be empty.

        What ran when it was made is lost and taken up, or not, as `on_lost` says; slots since then
        fall under the misfire rules. Raises InvalidInput: the copy is damaged, and nothing was
        written; Refused: the store is not empty.
        """
        copy = file if isinstance(file, copies.Copy) else copies.look(Path(file))
        return copies.restore(self._store, copy, self._clock.now())

    def overdue(self, limit: int = 100) -> builtins.list[tuple[str, datetime]]:
        """Read schedules whose oldest slot should have been decided 5 s ago, and that slot.

        Whatever their state: also where a failed dispatch waits to be tried again, or a pause
        should have ended.
        """
        found = overdue(self._store, self._clock.now(), limit=limit)
        return [(each.schedule_id, to_datetime(each.since)) for each in found]

    def nodes(self) -> Nodes:
        """Read the nodes that are alive."""
        return glance.nodes(self._store)

    def status(self) -> values.Status:
        """Read the whole at a glance."""
        return glance.status(self._store, self._clock.now())

    def _watched(self) -> Bell:
        if self._bell is None:
            self._bell = Bell(self._clock)
            self._store.watch(self._bell.ring)
        return self._bell
