"""The life of a job: waiting, claimed, settled, lost, cancelled.

Law 5 is kept here: a claim makes the key of a run, whose revision is its fencing token, and what
ends an attempt compares that.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice

from synccron.errors import SessionLost
from synccron.model.deed import Deed
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    Job,
    Settlement,
    claimed,
    claimed_before,
)
from synccron.model.lease import Session
from synccron.model.needs import SHELL
from synccron.model.schedule import JsonText
from synccron.model.time import Instant
from synccron.store.base import Mine
from synccron.store.etcd import deeds, misses, notices
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Answer, Draft, Refused
from synccron.store.etcd.layout import (
    Pair,
    escaped,
    fence_in,
    fence_of,
    job_of,
    job_text,
    line_of,
    revision_of,
)
from synccron.store.etcd.orders import same
from synccron.store.etcd.queues import Entry
from synccron.store.etcd.schedules import counted, put_letter, put_waiting, touch
from synccron.store.etcd.view import View

_TRIES = 20  # of writes that meet others again and again
_MOVED = -1  # in place of a mark: what was read stands no more


def waiting(
    cluster: Cluster,
    offers: frozenset[str],
    until: Instant,
    limit: int,
    mine: Mine,
    *,
    each: int | None,
    besides: AbstractSet[str],
) -> list[Candidate]:
    """Read what may start, earliest first."""

    def wanted(entry: Entry) -> bool:
        needs = entry.document["needs"]
        mine_ = needs in offers and mine(entry.id, needs, entry.run_at, entry.failed_on)
        return mine_ and bool([*entry.jobs])

    with cluster.view() as view:
        ready = view.waiting(until, wanted, each=each or limit, besides=besides)
        found = {entry.id: entry.job for entry in islice(ready, limit)}
        late = islice(view.expired(until), limit)
        found |= {entry.id: entry.job for entry in late if wanted(entry)}
    first = sorted(found.values(), key=lambda job: (job.run_at, job.mod))
    return cluster.candidates(first[:limit])


def lost(cluster: Cluster, limit: int) -> list[Claim]:
    """Read the claims of sessions whose registration etcd has ended."""
    with cluster.view() as view:
        jobs = [
            job
            for entry in view.running.values()
            if entry.document["session"] not in view.live
            for job in entry.jobs
        ]
    return [_claim_of(cluster, job) for job in jobs[:limit]]


def cancelling(cluster: Cluster, at: Session) -> list[str]:
    """Read which jobs of a session somebody asked to cancel."""
    with cluster.view() as view:
        return [
            entry.id
            for entry in view.running.values()
            if entry.document["session"] == at.id and entry.id in view.cancels
        ]


def claim(
    cluster: Cluster, at: Session, admissions: Sequence[Admission], now: Instant
) -> list[Claim | None]:
    """Do what each admission says, if it stands. Raises SessionLost."""
    busy = _busy(cluster, admissions)
    passed = misses.to_join(cluster, [each.miss for each in admissions if each.miss is not None])

    def drafting(admission: Admission, mod: int | None) -> Callable[[int], Draft]:
        def make(place: int) -> Draft:
            draft = _compared(cluster, admission.candidate, mod)
            if admission.miss is not None:
                _pass_over(cluster, draft, admission, passed.get(admission.miss.schedule_id))
            elif admission.job is not None:
                _end_others(cluster, draft, admission.replaces, now)
                _rewrite(cluster, draft, admission.candidate.job, admission.job)
            else:
                _begin(cluster, draft, admission.candidate, at, place, now)
            return draft

        return make

    alive = cluster.draft()
    # Law 5: against a node whose registration has ended, and whose claims others take.
    alive.there(cluster.layout.watched("live", at.id))
    makes = [
        drafting(each, mod) for each, mod in zip(admissions, busy, strict=True) if mod != _MOVED
    ]
    try:
        answers = iter(cluster.commit_each(alive, makes))
    except Refused:
        raise SessionLost(f"the session {at.id} of node {at.node} has ended") from None
    return [
        None if mod == _MOVED else _claim(cluster, each, at, next(answers), now)
        for each, mod in zip(admissions, busy, strict=True)
    ]


def settle(cluster: Cluster, settlements: Sequence[Settlement]) -> list[Job | None]:
    """Write what follows each attempt's end, if its claim is the newest."""
    asked: dict[str, Pair | None] = {}

    def drafting(settlement: Settlement) -> Callable[[int], Draft]:
        return lambda _: _settlement(cluster, settlement, asked.get(settlement.job.id))

    answers = cluster.commit_each(cluster.draft(), [drafting(each) for each in settlements])
    again = []
    for settlement, answer in zip(settlements, answers, strict=True):
        cancel = answer.found[1] if answer.found else None
        if not answer.written and cancel is not None:
            asked[settlement.job.id] = cancel
            again.append(settlement)
    repeated = dict(
        zip(
            (each.job.id for each in again),
            cluster.commit_each(cluster.draft(), [drafting(each) for each in again]),
            strict=True,
        )
    )
    return [
        _settled(
            cluster,
            settlement,
            repeated.get(settlement.job.id, answer),
            asked.get(settlement.job.id),
        )
        for settlement, answer in zip(settlements, answers, strict=True)
    ]


def remember(cluster: Cluster, held: Claim, key: str, value: JsonText) -> JsonText | None:
    """Keep the first result of a step."""
    step = cluster.layout.hung("step", held.job.id, "=" + escaped(key))
    draft = cluster.draft()
    _held(cluster, draft, held)
    draft.absent(step)
    draft.put(step, value.encode())
    draft.ask(cluster.layout.run(held.job))
    draft.ask(step)
    answer = cluster.commit(draft)
    if answer.written:
        return value
    run, first = answer.found
    if run is None or run.create != revision_of(held.fence, cluster.base) or first is None:
        return None
    return first.value.decode()


def cancel(cluster: Cluster, job_id: str, now: Instant, deed: Deed | None = None) -> Job | None:
    """Ask a job to end; one that has not started ends here."""
    for _ in range(_TRIES):
        job = cluster.find([job_id]).get(job_id)
        if job is None or job.settled or job.cancel_requested_at is not None:
            return job
        asked = replace(job, cancel_requested_at=now)
        draft, layout = cluster.draft(), cluster.layout
        draft.stands(layout.job(job), job.mod)
        if job.state == "running":
            draft.put(layout.cancel(job), str(now).encode())
        else:
            asked = replace(asked, state="cancelled", finished_at=now)
            draft.delete(layout.due(job))
            touch(cluster, draft, job)
        draft.put(layout.job(job), job_text(asked))
        if deed is not None:
            deeds.put(cluster, draft, [deed])
        answer = cluster.commit(draft)
        if answer.written:
            return replace(asked, mod=answer.revision)
    return None


def _busy(cluster: Cluster, admissions: Sequence[Admission]) -> list[int | None]:
    """Find the mark to compare for each job that is counted; _MOVED: it may not begin any more.

    The view is of one revision: who is active in it and the mark of that belong together.
    """
    if not any(counted(each.candidate.job) for each in admissions):
        return [None] * len(admissions)
    with cluster.view() as view:
        marks: list[int | None] = []
        for each in admissions:
            job = each.candidate.job
            if not counted(job):
                marks.append(None)
                continue
            stands = _has_room(view, each) and (
                not job.alone or same(view.active(line_of(job), job.id), each.candidate.active)
            )
            marks.append(view.busy.get(line_of(job), 0) if stands else _MOVED)
        return marks


def _has_room(view: View, admission: Admission) -> bool:
    """Tell whether an attempt may be added to those of its line."""
    job = admission.candidate.job
    begins = admission.job is None and admission.miss is None
    return not begins or job.max_running is None or view.runs_in(line_of(job)) < job.max_running


def _compared(cluster: Cluster, candidate: Candidate, busy: int | None) -> Draft:
    """Demand that a candidate is as it was read, and ask who has it if it is not."""
    draft, job, layout = cluster.draft(), candidate.job, cluster.layout
    # Law 5: against another node that claimed it, or a command that ended it.
    draft.stands(layout.due(job), job.mod)
    if candidate.seen is not None and job.schedule_id is not None:
        draft.stands(layout.watched("sched", job.schedule_id), candidate.seen)
    if busy is not None:
        # Overlap, at the instant: no two attempts of a schedule that runs alone hold a claim, nor
        # more of another than it may have.
        draft.stands(layout.busy(job), busy)
    draft.ask(layout.run(job))
    return draft


def _begin(
    cluster: Cluster,
    draft: Draft,
    candidate: Candidate,
    at: Session,
    place: int,
    now: Instant,
) -> None:
    job = claimed(candidate, at.node, at.id, fence_in(place), now)
    text = job_text(job)
    draft.delete(cluster.layout.due(candidate.job))
    draft.put(cluster.layout.run(job), text)
    draft.put(cluster.layout.job(job), text)
    touch(cluster, draft, job)


def _rewrite(cluster: Cluster, draft: Draft, before: Job, job: Job) -> None:
    draft.delete(cluster.layout.due(before))
    if job.settled:
        draft.put(cluster.layout.job(job), job_text(job))
        touch(cluster, draft, job)
    else:
        put_waiting(cluster, draft, job)


def _end_others(cluster: Cluster, draft: Draft, replaced: Sequence[Job], now: Instant) -> None:
    """Ask for the end of what runs, and end what waits, as it was read."""
    layout = cluster.layout
    for job in replaced:
        if job.state == "running":
            draft.stands(layout.run(job), job.mod)
            # Against a person who cancels it in the same moment: the first asked.
            draft.stands(layout.cancel(job), 0)
            draft.put(layout.cancel(job), str(now).encode())
        else:
            draft.stands(layout.due(job), job.mod)
            draft.delete(layout.due(job))
        draft.put(layout.job(job), job_text(job))


def _pass_over(cluster: Cluster, draft: Draft, admission: Admission, before: Pair | None) -> None:
    job = admission.candidate.job
    draft.delete(cluster.layout.due(job))
    draft.delete(cluster.layout.job(job))
    touch(cluster, draft, job)
    if admission.miss is not None:
        opened = misses.write(cluster, draft, [admission.miss], before)
        notices.put(cluster, draft, admission.notices, opened)


def _claim(
    cluster: Cluster, admission: Admission, at: Session, answer: Answer, now: Instant
) -> Claim | None:
    candidate = admission.candidate
    if not answer.written:
        run = answer.found[0] if answer.found else None
        before = None if run is None else job_of(run, cluster.base)
        again = claimed_before(admission, before, at.id)
        if run is not None and again is not None:
            cluster.horizon.wrote(run.mod)  # what this handle reads from now on shows it
        return again
    if admission.miss is not None or admission.job is not None or candidate.definition is None:
        return None
    fence = fence_of(answer.revision, answer.place, cluster.base)
    job = replace(claimed(candidate, at.node, at.id, fence, now), mod=answer.revision)
    return Claim(job=job, definition=candidate.definition, session=at.id, fence=fence)


def _claim_of(cluster: Cluster, job: Job) -> Claim:
    return Claim(
        job=job,
        definition=cluster.definition(job),
        session=job.session or "",
        fence=job.fence or 0,
    )


def _held(cluster: Cluster, draft: Draft, held: Claim) -> None:
    # Law 5: against a late result, whose job another attempt has.
    draft.made(cluster.layout.run(held.job), revision_of(held.fence, cluster.base))


def _settlement(cluster: Cluster, settlement: Settlement, cancel: Pair | None) -> Draft:
    draft, layout, held = cluster.draft(), cluster.layout, settlement.claim
    job = _ended(settlement, cancel)
    _held(cluster, draft, held)
    if settlement.gone:
        # Law 5: against the node that is said to be dead, and comes back just now.
        draft.absent(layout.watched("live", held.session))
    draft.stands(layout.cancel(job), 0 if cancel is None else cancel.mod)
    draft.delete(layout.run(held.job))
    if job.settled:
        draft.put(layout.job(job), job_text(job))
        touch(cluster, draft, job)
        if job.needs != SHELL:
            draft.delete_below(layout.hung("step", job.id, ""))
    else:
        put_waiting(cluster, draft, job)
    if cancel is not None:
        draft.delete(layout.cancel(job))
    else:
        if settlement.dead is not None:
            put_letter(cluster, draft, settlement.dead)
        notices.put(cluster, draft, settlement.notices)
        notices.put_change(cluster, draft, settlement)
    output = settlement.output
    if output is not None:
        draft.put(layout.hung("out", job.id), bytes([output.truncated]) + output.tail)
    elif len(job.attempts) > 1:
        draft.delete(layout.hung("out", job.id))
    for key in (layout.run(job), layout.cancel(job), layout.job(job)):
        draft.ask(key)
    return draft


def _ended(settlement: Settlement, cancel: Pair | None) -> Job:
    if cancel is None:
        return settlement.job
    return replace(settlement.cancelled, cancel_requested_at=int(cancel.value))


def _settled(
    cluster: Cluster, settlement: Settlement, answer: Answer, cancel: Pair | None
) -> Job | None:
    job = _ended(settlement, cancel)
    if answer.written:
        return replace(job, mod=answer.revision)
    # The first sending may have done it, and its answer been lost.
    stored = answer.found[2] if answer.found else None
    if stored is None:
        return None
    found = job_of(stored, cluster.base)
    return found if replace(found, mod=0) == replace(job, mod=0) else None
