"""The Python API: schedules, jobs and dead letters of one store.

Each call reads, lets the model decide, and writes if what was read still stands; where it does not,
it reads again. What a call that writes has returned is durable (law 7).
"""

import builtins
import secrets
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias

import tzdata

from synccron.client import copies, reset, values
from synccron.client.audit import Audited, audit
from synccron.client.author import author, deed
from synccron.client.reads import (
    job_of_letter,
    jobs_of,
    letters_of,
    newest,
    newest_jobs,
    require,
    schedule_of,
    trail,
)
from synccron.client.registration import (
    TRIES,
    Checked,
    Registered,
    Registration,
    distinct,
    too_much,
)
from synccron.client.why import Why, why
from synccron.clock import Bell, Clock, SystemClock
from synccron.errors import (
    InvalidInput,
    JobNotSettled,
    KeyConflict,
    Refused,
    StoreError,
)
from synccron.events import Event, Events
from synccron.model import change, order
from synccron.model.agenda import Agenda
from synccron.model.change import Change
from synccron.model.chunk import Chunk
from synccron.model.deed import Verb
from synccron.model.definition import check_handler, check_key, define, json_text
from synccron.model.job import STATES, DeadLetter, Job, Miss, Order, Output, Receipt, State
from synccron.model.lease import COUNTERS, Node, Term, Totals, told_now
from synccron.model.needs import in_words
from synccron.model.overlap import passes_over
from synccron.model.permit import covered
from synccron.model.plan import Due
from synccron.model.schedule import Definition, JsonText, Revision, Schedule
from synccron.model.time import (
    SECOND,
    Duration,
    Instant,
    format_duration,
    format_instant,
    parse_instant,
    to_datetime,
    to_duration,
    to_instant,
)
from synccron.store import open_store
from synccron.store.base import DISCARDED, Look, Store, Where
from synccron.store.history import read_all
from synccron.store.overdue import OVERDUE, overdue

FAR: Instant = 1 << 60
SOON = 2000  # schedules that are looked at for what comes next of all
OVERDUE_NAMED = 5  # of the schedules that are overdue, how many `status` names
ADVERTISE: Duration = SECOND  # nodes have this long to offer a handler that they have just heard of
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
        definitions = [_defined(each) for each in schedules]
        _check_inputs(
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
        registration = self._registration(take_over=take_over)
        done = registration.register(definitions, progress)
        if prune:
            kept = {each.id for each in definitions}
            done.pruned = [each.id for each in registration.strays(prune, kept)]
            self._prune(done.pruned, prune)
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
        definitions = [_defined(each) for each in schedules]
        distinct(definitions)
        registration = self._registration(take_over=take_over)
        return map(values.Difference.of, registration.compare(definitions, prune))

    def unregister(self, *ids: str) -> None:
        """Remove schedules; jobs that have not started are cancelled, history stays.

        Raises NotFound if any is unknown; nothing is removed then.
        """
        by = author()
        self._change(ids, lambda read, now: change.unregister(read, now, by), "unregister")
        for name in ids:
            self._events.emit("schedule_unregistered", schedule_id=name)

    def pause(
        self, *ids: str, until: datetime | str | None = None, reason: str | None = None
    ) -> None:
        """Stop making jobs of slots; with `until`, the leader resumes then. Raises NotFound."""
        end = None if until is None else _instant(until)
        by = author()
        self._change(
            ids, lambda read, now: change.pause(read, now, end, reason, by), "pause", reason
        )

    def resume(self, *ids: str) -> None:
        """Go on with the first slot after now. Raises NotFound."""
        by = author()
        self._change(ids, lambda read, now: change.resume(read, now, by), "resume")

    def reset_cursor(self, *ids: str) -> builtins.list[str]:
        """Bring back cursors that a wrong clock left in the future; the ids of those it moved.

        Each goes to the first slot after now: intentions and misses of instants still to come are
        taken back, what ran stays. Any other cursor is left alone. Raises NotFound if any is
        unknown; nothing is changed then.
        """
        now = self._told_now()
        known = {each.id for each in read_all(self._store, Schedule, Where(ids=ids))}
        require(ids, known, "schedule")
        return [
            name
            for name in dict.fromkeys(ids)
            if reset.reset_cursor(self._store, name, now, tzdata.IANA_VERSION)
        ]

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
        return (each.definition for each in read_all(self._store, Schedule, Where()))

    def misses(self, id: str, limit: int = 100) -> Misses:  # noqa: A002
        """Read the newest misses of a schedule, newest first."""
        page = self._store.read(Miss, Where(schedule=id), limit=limit)
        return [values.Miss.of(miss) for miss in page.items]

    def revisions(self, id: str) -> Iterator[values.Revision]:  # noqa: A002
        """Read the kept changes of a schedule's definition, newest first."""
        found = read_all(self._store, Revision, Where(schedule=id))
        newer = next(found, None)
        while newer is not None:
            older = next(found, None)
            yield values.Revision.of(newer, older)
            newer = older

    def agenda(self, after: datetime | str | None = None, limit: int = 10) -> Agenda:
        """Read the coming slots of all schedules: the first `limit` instants.

        From now on of those that are due first, as many as one read gives; after an instant of all,
        which takes as long as reading them does.
        """
        found = Agenda(self._clock.now() if after is None else _instant(after), limit)
        if after is not None:
            for schedule in read_all(self._store, Schedule, Where()):
                found.add(schedule)
            return found
        every = Look(now=FAR, until=FAR, overdue=FAR, offered=frozenset())
        read = self._store.due(every, SOON)
        for each in read:
            found.add(each.schedule)
        if len(read) == SOON:
            found.end(read[-1].schedule.next_run_at)
        return found

    def why(self, id: str, slot: datetime | str | None = None) -> Why:  # noqa: A002
        """Say what the next slot will do, and why the last one, or this one, did what it did.

        Raises NotFound.
        """
        return why(self._store, id, None if slot is None else _instant(slot), self._clock.now())

    def audit(self, *ids: str, since: datetime | str | None = None) -> Iterator[Audited]:
        """Prove for these schedules, or all, that each slot has exactly one record; one by one.

        From where the history begins, or `since`, to the cursor. Raises NotFound if any is unknown.
        """
        if ids:
            known = {each.id for each in read_all(self._store, Schedule, Where(ids=ids))}
            require(ids, known, "schedule")
        return audit(self._store, ids or None, None if since is None else _instant(since))

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
        key = secrets.token_hex(8) if key is None else check_key(key)
        given = None if input is UNSET else json_text(input)
        try:
            return self._trigger(id, key, given, force=force)
        except StoreError as error:
            self._events.emit("trigger_failed", "error", schedule_id=id, key=key, code=error.code)
            hint = f"repeat it with the same key, it runs once: --key {key}"
            error.hint = hint if error.hint is None else f"{error.hint}; {hint}"
            raise

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
        key = secrets.token_hex(8) if key is None else check_key(key)
        if at is not None and delay is not None:
            raise InvalidInput("both at and delay are given: expected one of them")
        now = self._clock.now()
        run_at = now + to_duration(delay) if delay is not None else None
        run_at = _instant(at) if at is not None else run_at
        wanted = order.submitted(handler, key, json_text(input), now, run_at)
        receipt = self._store.enqueue(wanted, now - order.KEY_KEPT)
        if receipt is None:
            raise StoreError(f"the job {wanted.job.id} was refused by the store")
        return self._made(wanted, receipt)

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
            states=None if states is None else tuple(map(_state, states)),
            decided=states is None,
            since=None if since is None else _instant(since),
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
        old = jobs_of(self._store, ids)
        for job in old:
            if not job.settled:
                raise Refused(f"the job {job.id} is still {job.state}", hint="cancel it first")
        wanted = [self._again(job.schedule_id, job.needs, job.slot, job) for job in old]
        return [self._enqueue(each) for each in wanted]

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
        letters = letters_of(self._store, ids)
        wanted = []
        for letter in letters:
            job = job_of_letter(self._store, letter)
            again = self._again(letter.schedule_id, letter.needs, letter.slot, job)
            wanted.append(replace(again, dead=letter.id))
        return [self._enqueue(each) for each in wanted]

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
        where = Where(schedule=id, since=None if since is None else _instant(since))
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
        term = self._term()
        found = read_all(self._store, Node, Where())
        return [values.Node.of(node, term) for node in found if node.live]

    def status(self) -> values.Status:
        """Read the whole at a glance."""
        term = self._term()
        nodes = list(read_all(self._store, Node, Where()))
        late = self._clock.now() - OVERDUE
        totals = self._store.read(Totals, Where(overdue=late)).items[0]
        ticks = [totals.last_tick_at, *(node.ticked_at for node in nodes)]
        last = max((tick for tick in ticks if tick is not None), default=None)
        return values.Status(
            leader=None if term is None else term.node,
            epoch=None if term is None else term.epoch,
            nodes=sum(node.live for node in nodes),
            schedules=totals.schedules,
            paused=totals.paused,
            scheduled=totals.scheduled,
            queued=totals.queued,
            running=totals.running,
            dead_letters=totals.dead_letters,
            dead_letters_trimmed=totals.dead_letters_trimmed,
            overdue=totals.overdue,
            overdue_ids=self._overdue_ids(totals.overdue),
            oldest_due_at=None
            if totals.oldest_due_at is None
            else to_datetime(totals.oldest_due_at),
            counters=_summed([totals.counters, *(node.counters for node in nodes)]),
            last_tick_at=None if last is None else to_datetime(last),
        )

    def _told_now(self) -> Instant:
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

    def _registration(self, *, take_over: bool) -> Registration:
        off = self._told_now() - self._clock.now()
        return Registration(
            self._store,
            self._clock,
            lambda: self._clock.now() + off,
            self._events,
            take_over=take_over,
        )

    def _prune(self, ids: Sequence[str], owners: Collection[str]) -> None:
        def decide(read: Due, now: Instant) -> Change | None:
            theirs = read.schedule.definition.owner in owners  # unless it was taken over just now
            return change.unregister(read, now) if theirs else None

        self._change(ids, decide, "unregister", "no longer in the file")
        for name in ids:
            self._events.emit("schedule_unregistered", schedule_id=name)

    def _overdue_ids(self, number: int) -> tuple[str, ...]:
        return tuple(name for name, _ in self.overdue(OVERDUE_NAMED)) if number else ()

    def _change(
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
        off = self._told_now() - self._clock.now()
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
        for _ in range(TRIES):
            now = self._clock.now() + off
            found = {each.schedule.id: each for each in read_all(self._store, Due, Where(ids=ids))}
            require(ids, found, "schedule")
            changes = [made for each in found.values() if (made := decide(each, now)) is not None]
            if len(ids) > 1 and too_much(self._store, changes, found):
                self._change_piece(ids[: len(ids) // 2], decide, off, verb, detail)
                self._change_piece(ids[len(ids) // 2 :], decide, off, verb, detail)
                return
            # Law 2: refused as a whole if a dispatch or another command came in between.
            done = [deed(verb, now, [each.id], each.id, detail) for each in changes]
            if not changes or self._store.apply(changes, done):
                return
        raise StoreError("the schedules kept changing meanwhile", hint="try again")

    def _trigger(self, name: str, key: str, given: JsonText | None, *, force: bool) -> values.Job:
        for _ in range(TRIES):
            now = self._clock.now()
            schedule = schedule_of(self._store, name)
            judged = schedule.definition.alone and not force
            active = self._store.active(name) if judged else None
            wanted = order.triggered(schedule, key, given, now, active=active, force=force)
            first = self._receipt(wanted.job.id, now - order.KEY_KEPT)
            if first is not None:
                return self._made(wanted, first)
            self._check_offered(schedule)
            if active is not None:
                self._check_overlap(schedule, active)
            # Laws 1 and 7: one job a key; and the schedule and its active jobs are compared.
            told = deed("trigger", now, [wanted.job.id], name, "forced" if force else None)
            receipt = self._store.enqueue(replace(wanted, deed=told), now - order.KEY_KEPT)
            if receipt is not None:
                return self._triggered(wanted, receipt)
        raise StoreError(f"the schedule {name} kept changing meanwhile", hint="try again")

    def _triggered(self, wanted: Order, receipt: Receipt) -> values.Job:
        made = self._made(wanted, receipt)
        if not made.deduplicated:
            self._store.tally({"trigger_submitted": 1})
            self._events.emit(
                "trigger_submitted", schedule_id=made.schedule_id, job_id=made.id, key=made.key
            )
        return made

    def _check_offered(self, schedule: Schedule) -> None:
        """Refuse a strict schedule that none of the live nodes offers; give them time to."""
        definition = schedule.definition
        if not definition.strict_handlers:
            return
        until = self._clock.monotonic() + ADVERTISE
        waiting = Bell(self._clock)
        while True:
            live = [node for node in read_all(self._store, Node, Where()) if node.live]
            working = [node for node in live if node.offers]
            offers = [node.offer for node in working]
            if not live or covered(offers, definition.needs, definition.run):
                return
            if self._clock.monotonic() >= until:
                break
            waiting.wait(0, 50)
        self._reject(schedule.id, "no_handler")
        raise Refused(
            f"no live node offers {in_words(definition.needs)}, which {schedule.id} needs",
            hint="start a node that has it, or register with strict_handlers: false",
        )

    def _check_overlap(self, schedule: Schedule, active: Sequence[Job]) -> None:
        """Refuse what the schedule's overlap forbids beside its active jobs."""
        overlap = schedule.definition.overlap
        if not passes_over(overlap, active):
            return
        self._reject(schedule.id, "overlap")
        last = active[-1]
        waits = " and only one may wait" if overlap == "queue" else ""
        raise Refused(
            f"the schedule {schedule.id} is busy{waits}: job {last.id} is {last.state}",
            hint="wait for it, or run beside it with --force",
        )

    def _reject(self, name: str, reason: str) -> None:
        self._store.tally({"trigger_rejected": 1})
        self._events.emit("trigger_rejected", "warning", schedule_id=name, reason=reason)

    def _receipt(self, job_id: str, keep: Instant) -> Receipt | None:
        found = self._store.read(Receipt, Where(ids=(job_id,))).items
        return found[0] if found and found[0].at >= keep else None

    def _made(self, wanted: Order, receipt: Receipt) -> values.Job:
        """Give the job of a receipt, which may be older than this order. Raises KeyConflict."""
        if receipt.digest != wanted.digest:
            raise KeyConflict(
                f"the key {wanted.job.key!r} was used with another input at "
                f"{format_instant(receipt.at)}, for job {receipt.job_id}",
                hint="give this input a key of its own",
            )
        found = self._store.read(Job, Where(ids=(receipt.job_id,))).items
        if found:
            return values.Job.of(found[0], deduplicated=not receipt.new)
        return values.Job(
            id=receipt.job_id,
            schedule_id=wanted.job.schedule_id,
            kind=wanted.job.kind,
            key=wanted.job.key,
            state=receipt.state,
            created_at=to_datetime(receipt.at),
            deduplicated=True,
        )

    def _again(
        self, schedule_id: str | None, needs: str, slot: Instant | None, old: Job | None
    ) -> Order:
        """Order another run of a job, or (None) of a slot that never became one."""
        now, nonce = self._clock.now(), secrets.token_hex(8)
        if schedule_id is None:
            given = "null" if old is None or old.input is None else old.input
            again = order.resubmitted(needs, given, nonce, now)
        else:
            found = self._store.read(Schedule, Where(ids=(schedule_id,))).items
            if not found:
                raise Refused(
                    f"the schedule {schedule_id} is not registered any more",
                    hint="register it again, or remove the dead letter",
                )
            given_or_stored = None if old is None else self._input(old)
            again = order.repeated(found[0], given_or_stored, slot, nonce, now)
        retry_of = None if old is None else old.id
        made = replace(again.job, retry_of=retry_of)
        told = deed("retry", now, [made.id], schedule_id, f"of {retry_of}" if retry_of else None)
        return replace(again, job=made, deed=told)

    def _input(self, old: Job) -> JsonText | None:
        """Give the input that a job ran with: its own, or that of the revision it ran."""
        if old.input is not None or old.schedule_id is None:
            return old.input
        for revision in read_all(self._store, Revision, Where(schedule=old.schedule_id)):
            if revision.version == old.revision:
                return revision.definition.input
        return None

    def _enqueue(self, wanted: Order) -> values.Job:
        # Law 7: the new job and the end of the dead letter are one write.
        receipt = self._store.enqueue(wanted, self._clock.now() - order.KEY_KEPT)
        if receipt is None:
            raise Refused(
                f"{wanted.dead or wanted.job.schedule_id} has changed meanwhile", hint="look again"
            )
        return self._made(wanted, receipt)

    def _term(self) -> Term | None:
        found = self._store.read(Term).items
        return found[0] if found else None

    def _watched(self) -> Bell:
        if self._bell is None:
            self._bell = Bell(self._clock)
            self._store.watch(self._bell.ring)
        return self._bell


def _check_inputs(definitions: Sequence[Definition]) -> None:
    """Ask handlers that can be imported here about their inputs. Raises InvalidInput."""
    asked = [each for each in definitions if each.handler is not None]
    if not asked:
        return
    from synccron.handlers.inputs import ill_shaped

    answers = ill_shaped([(each.handler or "", each.input) for each in asked])
    details = [
        {
            "file": None,
            "line": None,
            "column": None,
            "message": f"{each.id}: {'.'.join(('input', *map(str, path)))}: {message}",
        }
        for each, problems in zip(asked, answers, strict=True)
        for path, message in problems
    ]
    if details:
        raise InvalidInput(details[0]["message"] or "", details=details)


def _defined(given: values.Schedule | Definition) -> Definition:
    if isinstance(given, Definition):
        return given
    made, problems = define(given.id, given.fields())
    if made is None or problems:
        details = [
            {"file": None, "line": None, "column": None, "message": f"{given.id}: {each}"}
            for each in problems
        ]
        raise InvalidInput(details[0]["message"] or "", details=details)
    return made


def _state(text: str) -> State:
    for state in STATES:
        if state == text:
            return state
    raise InvalidInput(f"{text!r} is no state: expected one of {', '.join(STATES)}")


def _instant(given: datetime | str) -> Instant:
    try:
        return parse_instant(given) if isinstance(given, str) else to_instant(given)
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = dict.fromkeys(COUNTERS, 0)
    for each in counts:
        for name, value in each.items():
            total[name] = total.get(name, 0) + value
    return total
