"""Orders of jobs: triggered, submitted, or run again; each key makes one job."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from synccron.client import values
from synccron.client.author import deed
from synccron.client.reads import job_of_letter, jobs_of, letters_of, schedule_of
from synccron.client.registration import TRIES
from synccron.clock import Bell, Clock
from synccron.errors import KeyConflict, Refused, StoreError
from synccron.events import Events
from synccron.model import order
from synccron.model.definition import check_key
from synccron.model.job import Job, Order, Receipt
from synccron.model.lease import Node
from synccron.model.needs import in_words
from synccron.model.overlap import passes_over
from synccron.model.permit import covered
from synccron.model.schedule import JsonText, Revision, Schedule
from synccron.model.time import SECOND, Duration, Instant, format_instant, to_datetime
from synccron.store.base import Store, Where
from synccron.store.history import read_all

ADVERTISE: Duration = SECOND  # nodes have this long to offer a handler that they have just heard of


class Orders:
    """Orders jobs of one store."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events

    def trigger(
        self, name: str, key: str | None, given: JsonText | None, *, force: bool
    ) -> values.Job:
        """Run a schedule now, with this input or (None) the stored one; once for each key.

        Raises what `Client.trigger` does.
        """
        key = secrets.token_hex(8) if key is None else check_key(key)
        try:
            return self._trigger(name, key, given, force=force)
        except StoreError as error:
            self._events.emit("trigger_failed", "error", schedule_id=name, key=key, code=error.code)
            hint = f"repeat it with the same key, it runs once: --key {key}"
            error.hint = hint if error.hint is None else f"{error.hint}; {hint}"
            raise

    def submit(
        self, handler: str, key: str | None, given: JsonText, now: Instant, run_at: Instant | None
    ) -> values.Job:
        """Run a handler without a schedule, now or then; once for each key."""
        key = secrets.token_hex(8) if key is None else check_key(key)
        wanted = order.submitted(handler, key, given, now, run_at)
        receipt = self._store.enqueue(wanted, now - order.KEY_KEPT)
        if receipt is None:
            raise StoreError(f"the job {wanted.job.id} was refused by the store")
        return self._made(wanted, receipt)

    def retry(self, ids: Sequence[str]) -> list[values.Job]:
        """Run settled jobs again."""
        old = jobs_of(self._store, ids)
        for job in old:
            if not job.settled:
                raise Refused(f"the job {job.id} is still {job.state}", hint="cancel it first")
        wanted = [self._again(job.schedule_id, job.needs, job.slot, job) for job in old]
        return [self._enqueue(each) for each in wanted]

    def retry_dead(self, ids: Sequence[str]) -> list[values.Job]:
        """Run what was given up again, and remove the dead letters, each in one transaction."""
        letters = letters_of(self._store, ids)
        wanted = []
        for letter in letters:
            job = job_of_letter(self._store, letter)
            again = self._again(letter.schedule_id, letter.needs, letter.slot, job)
            wanted.append(replace(again, dead=letter.id))
        return [self._enqueue(each) for each in wanted]

    def _trigger(self, name: str, key: str, given: JsonText | None, *, force: bool) -> values.Job:
        for _ in range(TRIES):
            now = self._clock.now()
            schedule = schedule_of(self._store, name, besides_queue=True)
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
            where = Where(ids=(schedule_id,), besides_queue=True)
            found = self._store.read(Schedule, where).items
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
