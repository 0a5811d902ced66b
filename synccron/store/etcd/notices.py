"""What people are to be told: written with what it tells of, taken by one node, and removed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from synccron.model.job import Job, Notice, Settlement
from synccron.model.time import Instant
from synccron.store.codec import decode, encode, readable
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, Make
from synccron.store.etcd.layout import Pair


def put(
    cluster: Cluster,
    draft: Draft,
    notices: Iterable[Notice],
    opened: frozenset[Instant] = frozenset(),
) -> None:
    """Add what people are to be told; of misses only where they have `opened` an entry."""
    for notice in notices:
        if notice.opens is None or notice.opens in opened:
            draft.put(cluster.layout.notice(notice), _text(notice))


def put_change(cluster: Cluster, draft: Draft, settlement: Settlement) -> None:
    """Add how a schedule is from now on, and what is told if that is a change."""
    job: Job = settlement.job
    if settlement.failing is None or job.schedule_id is None:
        return
    key, change = cluster.layout.kept("failing", job.schedule_id), draft.part()
    # One notice for a change of state: against another job of the schedule that ends beside it.
    if settlement.failing:
        change.there(cluster.layout.watched("sched", job.schedule_id))
        change.absent(key)
        change.put(key, b"")
    else:
        change.there(key)
        change.delete(key)
    put(cluster, change, settlement.changed)


def read(cluster: Cluster) -> list[Notice]:
    """Read what people are to be told, in its order."""
    if cluster.mirror is None:
        pairs = cluster.below(cluster.layout.watched("notice", ""))
        return list(readable(_notice_of, pairs))
    with cluster.view() as view:
        return list(readable(_notice_of, (view.notices[key] for key in sorted(view.notices))))


def take(cluster: Cluster, session: str | None, notices: Sequence[Notice]) -> list[Notice | None]:
    """Give notices to a session, or (None) to whoever takes them; each that stands as read."""

    def taking(notice: Notice) -> Make:
        def make(_: int) -> Draft:
            draft, key = cluster.draft(), cluster.layout.notice(notice)
            # Told at most once: against another node that takes it in the same moment.
            draft.stands(key, notice.mod)
            draft.put(key, _text(replace(notice, session=session)))
            draft.ask(key)
            return draft

        return make

    answers = cluster.commit_each(cluster.draft(), [taking(each) for each in notices])
    taken: list[Notice | None] = []
    for notice, answer in zip(notices, answers, strict=True):
        ours = replace(notice, session=session, mod=answer.revision)
        stands = answer.found[0] if answer.found else None
        if not answer.written:
            # The first sending may have done it, and its answer been lost.
            found = None if stands is None else _notice_of(stands)
            ours = replace(ours, mod=0 if found is None else found.mod)
            taken.append(ours if session is not None and found == ours else None)
        else:
            taken.append(ours)
    return taken


def told(cluster: Cluster, notices: Sequence[Notice]) -> list[bool]:
    """Remove notices that stand as read; which were there."""

    def removing(notice: Notice) -> Make:
        def make(_: int) -> Draft:
            draft, key = cluster.draft(), cluster.layout.notice(notice)
            draft.stands(key, notice.mod)
            draft.delete(key)
            return draft

        return make

    answers = cluster.commit_each(cluster.draft(), [removing(each) for each in notices])
    return [each.written for each in answers]


def _text(notice: Notice) -> bytes:
    return encode(replace(notice, mod=0)).encode()


def _notice_of(pair: Pair) -> Notice:
    return replace(decode(Notice, pair.value), mod=pair.mod)
