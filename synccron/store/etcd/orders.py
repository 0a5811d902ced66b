"""Orders: jobs that no slot made, the records of their keys, and what they may meet."""

import secrets
from collections.abc import Sequence

from synccron.model.job import (
    Job,
    Order,
    Receipt,
)
from synccron.model.needs import SHELL
from synccron.model.time import Instant
from synccron.store.codec import decode, encode
from synccron.store.etcd import deeds
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, ranges
from synccron.store.etcd.layout import (
    Kept,
    Pair,
    end_of,
    job_of,
    last_part,
    line_of,
    placed,
)
from synccron.store.etcd.schedules import put_waiting

_TRIES = 20  # of writes that meet others again and again


def active(cluster: Cluster, schedule_id: str) -> tuple[Job, ...]:
    """Read the jobs of a schedule that run, are queued or wait for a retry."""
    if cluster.mirror is None:
        return _active(cluster, schedule_id)
    with cluster.view() as view:
        return view.active(schedule_id)


def enqueue(cluster: Cluster, order: Order, keep: Instant) -> Receipt | None:
    """Make a job, or give the receipt of the first one of its key."""
    nonce = secrets.token_hex(8)
    for _ in range(_TRIES):
        known = _receipt(cluster, order, keep, nonce)
        if isinstance(known, Receipt):
            return known
        draft = _ordered(cluster, order, known, nonce)
        if draft is None:
            return None
        if cluster.commit(draft).written:
            return _receipt_of(order.job, order.digest, new=True)
    return None


def forget(cluster: Cluster, draft: Draft, job: Job) -> None:
    """Remove a settled job and what hangs on it, but for its receipt."""
    draft.delete(cluster.layout.job(job))
    draft.delete(cluster.layout.hung("out", job.id))
    draft.delete_below(cluster.layout.hung("chunk", job.id, ""))
    if job.needs != SHELL:
        draft.delete_below(cluster.layout.hung("step", job.id, ""))


def same(found: Sequence[Job], read: Sequence[Job]) -> bool:
    """Tell whether these are the jobs that were read, as they were."""
    return {(job.id, job.mod) for job in found} == {(job.id, job.mod) for job in read}


def _receipt(
    cluster: Cluster, order: Order, keep: Instant, nonce: str
) -> Receipt | tuple[Pair | None, Job | None]:
    """Read the receipt of an order's key, or what stands where the new job goes."""
    job = order.job
    pair = cluster.one(cluster.layout.hung("key", job.id))
    if pair is None:
        return None, None
    kept = decode(Kept, pair.value)
    earlier = _at(cluster, job.id, kept)
    if kept.nonce == nonce:
        return _receipt_of(job, order.digest, new=True)
    if kept.at >= keep or (earlier is not None and not earlier.settled):
        state = kept.state if earlier is None else earlier.state
        return Receipt(job_id=job.id, at=kept.at, digest=kept.digest, state=state)
    return pair, earlier


def receipt_of_pair(cluster: Cluster, pair: Pair) -> Receipt:
    """Read a receipt, with the newest known state of its job."""
    job_id, kept = last_part(pair.key), decode(Kept, pair.value)
    job = _at(cluster, job_id, kept)
    return Receipt(
        job_id=job_id,
        at=kept.at,
        digest=kept.digest,
        state=kept.state if job is None else job.state,
    )


def _at(cluster: Cluster, job_id: str, kept: Kept) -> Job | None:
    pair = cluster.one(cluster.layout.job_at(kept.line, kept.at, job_id))
    return None if pair is None else job_of(pair, cluster.base)


def _receipt_of(job: Job, digest: str, *, new: bool) -> Receipt:
    return Receipt(job_id=job.id, at=job.created_at, digest=digest, state=job.state, new=new)


def _ordered(
    cluster: Cluster, order: Order, known: tuple[Pair | None, Job | None], nonce: str
) -> Draft | None:
    """Draft a new job with its receipt; None: what the order asks for is not there."""
    job, layout, draft = order.job, cluster.layout, cluster.draft()
    receipt, earlier = known
    wanted = [layout.watched("sched", line_of(job)), layout.busy(job)]
    if order.dead is not None:
        wanted.append(layout.kept("dead", order.dead))
    (standing, busy, *dead), revision = ranges(cluster.etcd, wanted)
    if order.seen is not None:
        if standing is None or standing.mod != order.seen:
            return None
        # Law 5: against a change of the schedule in the same moment.
        draft.stands(layout.watched("sched", line_of(job)), order.seen)
    if order.active is not None:
        if not same(_active(cluster, line_of(job), revision), order.active):
            return None
        # Overlap: against another trigger, or a slot, in the same moment.
        draft.stands(layout.busy(job), 0 if busy is None else busy.mod)
    if order.dead is not None:
        if dead[0] is None:
            return None
        draft.stands(layout.kept("dead", order.dead), dead[0].mod)
        draft.delete(layout.kept("dead", order.dead))
    key = layout.hung("key", job.id)
    draft.stands(key, 0 if receipt is None else receipt.mod)
    if earlier is not None:
        forget(cluster, draft, earlier)
    kept = Kept(
        at=placed(job), digest=order.digest, line=line_of(job), nonce=nonce, state=job.state
    )
    draft.put(key, encode(kept).encode())
    if order.deed is not None:
        deeds.put(cluster, draft, [order.deed])
    put_waiting(cluster, draft, job)
    return draft


def _active(cluster: Cluster, line: str, revision: int = 0) -> tuple[Job, ...]:
    starts = [cluster.layout.watched(kind, line, "") for kind in ("due", "run", "cancel")]
    view = cluster.read_view([(start, end_of(start)) for start in starts], revision)
    return view.active(line)
