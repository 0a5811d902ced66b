"""Reads of any record: from where, in which order, under which conditions; a page at a time."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Output, Receipt, Step
from synccron.model.lease import Totals
from synccron.model.plan import Due
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.model.time import Instant
from synccron.store.base import Look, Where
from synccron.store.codec import decode
from synccron.store.etcd import misses, orders
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.deeds import deed_of
from synccron.store.etcd.draft import keys_between, pair_of, ranges
from synccron.store.etcd.layout import (
    Pair,
    end_of,
    job_of,
    last_part,
    newest_first,
    place_of,
)
from synccron.store.etcd.nodes import sums_of
from synccron.store.etcd.view import View

_MAGIC = frozenset("*?[")  # what makes a pattern of a name
_PIECE = 500  # schedules that are read at once
_TIES = 1024  # keys that one transaction may have made


def schedules(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Schedule], str | None]:
    """Read a page of schedules, by id."""
    found: list[Schedule] = []
    for view, names in _views(cluster, where, after):
        found += _chosen(view, names, where, limit + 1 - len(found))
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
    return found, None


def due(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Due], str | None]:
    """Read a page of schedules with their intentions, and the slots on that have a job."""
    found: list[Schedule] = []
    intentions: dict[str, tuple[Job, ...]] = {}
    for view, names in _views(cluster, where, after):
        # Of one view: a cursor beside the intentions of another moment would be a lie (law 2).
        chosen = _chosen(view, names, where, limit + 1 - len(found))
        intentions |= {
            each.id: tuple(job for entry in view.intentions(each.id) for job in entry.jobs)
            for each in chosen
        }
        found += chosen
        if len(found) > limit:
            break
    more = found[limit - 1].id if len(found) > limit else None
    return _completed(cluster, found[:limit], intentions), more


def _chosen(view: View, names: Sequence[str], where: Where, most: int) -> list[Schedule]:
    """Give the schedules of a view that are wanted."""
    found: list[Schedule] = []
    for name in names:
        if len(found) == most:
            break
        schedule = view.schedule(name)
        if schedule is not None and _meets(schedule, where):
            found.append(schedule)
    return found


def _views(
    cluster: Cluster, where: Where, after: str | None
) -> Iterator[tuple[View, Sequence[str]]]:
    """Give views that have the schedules that may be wanted, and their ids in order.

    Who asks for all reads a piece at a time: they may be a hundred thousand.
    """
    wanted = _few(cluster, where)
    if wanted is not None:
        wanted = [name for name in wanted if after is None or name > after]
        for n in range(0, len(wanted), _PIECE):
            piece = wanted[n : n + _PIECE]
            yield _standing(cluster, piece, besides_queue=where.besides_queue), piece
        return
    layout, more = cluster.layout, True
    begin = layout.watched("sched", "") if after is None else layout.watched("sched", after) + b"\0"
    while more:
        answer = cluster.etcd.range(begin, end_of(layout.watched("sched", "")), limit=_PIECE)
        pairs, more = [pair_of(kv) for kv in answer.kvs], answer.more
        if not pairs:
            return
        names = [last_part(pair.key) for pair in pairs]
        revision = answer.header.revision
        due_jobs = (
            layout.watched("due", names[0], ""),
            end_of(layout.watched("due", names[-1], "")),
        )
        view = cluster.read_view([due_jobs], revision)
        keys = [layout.watched(kind, name) for kind in ("cursor", "history") for name in names]
        others, _ = ranges(cluster.etcd, keys, revision)
        for pair in (*pairs, *others):
            if pair is not None:
                view.set(pair)
        yield view, names
        begin = pairs[-1].key + b"\0"


def due_soon(cluster: Cluster, look: Look, limit: int) -> list[Due]:
    """Read what the leader has to decide, the longest due first."""
    with cluster.view_with(lambda view: view.due_ids(look, limit), "sched", "cursor") as (
        view,
        names,
    ):
        found = [
            (schedule, tuple(job for entry in view.intentions(name) for job in entry.jobs))
            for name in names
            if (schedule := view.schedule(name)) is not None
        ]
    intentions = {each.id: intended for each, intended in found}
    return _completed(cluster, [each for each, _ in found], intentions)


def tombstones(cluster: Cluster, where: Where) -> list[Tombstone]:
    """Read what stays of removed schedules."""
    wanted = _wanted(where)
    if wanted is not None:
        pairs, _ = ranges(cluster.etcd, [cluster.layout.kept("gone", each) for each in wanted])
    else:
        pairs = list(cluster.below(cluster.layout.kept("gone", "")))
    return [
        replace(decode(Tombstone, pair.value), mod=pair.mod) for pair in pairs if pair is not None
    ]


def read_jobs(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Job], str | None]:
    """Read a page of jobs, newest first."""
    if where.ids is not None:
        found = cluster.find(where.ids)
        return [job for job in found.values() if _fits(job, where)], None
    if where.schedule is not None:
        return _line(cluster, where, after, limit)
    return newest(
        cluster,
        cluster.layout.kept("job", ""),
        lambda pair: job_of(pair, cluster.base),
        lambda job: _fits(job, where),
        after,
        limit,
    )


def newest(
    cluster: Cluster,
    start: bytes,
    make: Callable[[Pair], Any],
    fits: Callable[[Any], bool],
    after: str | None,
    limit: int,
) -> tuple[list[Any], str | None]:
    """Read records below a key by the revision that made them, the newest first.

    etcd sorts the whole range for this, so it is what people ask for, and no node. The mark is that
    revision and a key: what one transaction made has one revision.
    """
    found: list[Any] = []
    messages = cluster.etcd.messages
    while True:
        revision, _, key = (after or "").partition(":")
        answer = cluster.etcd.range(
            start,
            end_of(start),
            limit=limit + _TIES,
            sort_order=messages.RangeRequest.DESCEND,
            sort_target=messages.RangeRequest.CREATE,
            max_create_revision=int(revision or 0),
        )
        pairs = sorted(map(pair_of, answer.kvs), key=lambda each: (-each.create, each.key))
        if answer.more:
            # The oldest revision may have more than what was read of it.
            pairs = [each for each in pairs if each.create > pairs[-1].create]
        mark = bytes.fromhex(key)
        for pair in pairs:
            if revision and pair.create == int(revision) and pair.key <= mark:
                continue
            if len(found) == limit:
                return found, after
            after = f"{pair.create}:{pair.key.hex()}"
            record = make(pair)
            if fits(record):
                found.append(record)
        if not answer.more:
            return found, None


def revisions(cluster: Cluster, where: Where) -> list[Revision]:
    """Read revisions, the newest first."""
    if where.schedule is not None:
        pairs = cluster.below(cluster.layout.kept("rev", where.schedule, ""))
    else:
        pairs = cluster.below(cluster.layout.kept("rev", ""))
        pairs.sort(key=lambda each: -each.create)
    read = (decode(Revision, pair.value) for pair in pairs)
    return [each for each in read if where.since is None or each.at >= where.since]


def read_misses(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Miss], str | None]:
    """Read a page of misses, the newest first."""

    def fits(miss: Miss) -> bool:
        return where.since is None or miss.recorded_at >= where.since

    def make(pair: Pair) -> Miss:
        return decode(Miss, pair.value)

    if where.schedule is None:
        return newest(cluster, cluster.layout.kept("miss", ""), make, fits, after, limit)
    start = cluster.layout.kept("miss", where.schedule, "")
    return _ascending(cluster, start, make, fits, after, limit)


def letters(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[DeadLetter], str | None]:
    """Read a page of dead letters, the newest first."""

    def make(pair: Pair) -> DeadLetter:
        return decode(DeadLetter, pair.value)

    def fits(letter: DeadLetter) -> bool:
        return (where.schedule is None or letter.schedule_id == where.schedule) and (
            where.since is None or letter.ts >= where.since
        )

    if where.ids is not None:
        keys = [cluster.layout.kept("dead", each) for each in where.ids]
        pairs, _ = ranges(cluster.etcd, keys)
        return [make(pair) for pair in pairs if pair is not None and fits(make(pair))], None
    return newest(cluster, cluster.layout.kept("dead", ""), make, fits, after, limit)


def read_deeds(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Deed], str | None]:
    """Read a page of what was done, the newest first."""

    def fits(deed: Deed) -> bool:
        return (where.schedule is None or deed.schedule_id == where.schedule) and (
            where.since is None or deed.at >= where.since
        )

    return _ascending(cluster, cluster.layout.kept("deed", ""), deed_of, fits, after, limit)


def outputs(cluster: Cluster, where: Where) -> list[Output]:
    """Read the kept ends of outputs."""
    return [
        Output(job_id=last_part(pair.key), tail=pair.value[1:], truncated=bool(pair.value[0]))
        for pair in _hung(cluster, "out", where)
    ]


def steps(cluster: Cluster, where: Where) -> list[Step]:
    """Read the stored results of steps."""
    layout = cluster.layout
    starts = (
        [layout.kept("step", "")]
        if where.ids is None
        else [layout.hung("step", each, "") for each in where.ids]
    )
    return [
        Step(
            job_id=last_part(pair.key.rsplit(b"/", 1)[0]),
            key=last_part(pair.key).removeprefix("="),
            value=pair.value.decode(),
        )
        for start in starts
        for pair in cluster.below(start)
    ]


def receipts(cluster: Cluster, where: Where) -> list[Receipt]:
    """Read the records of keys."""
    read = (orders.receipt_of_pair(cluster, pair) for pair in _hung(cluster, "key", where))
    return [each for each in read if where.since is None or each.at >= where.since]


def totals(cluster: Cluster, overdue: Instant | None) -> Totals:
    """Read the store at a glance."""
    etcd, layout = cluster.etcd, cluster.layout
    start = layout.kept("dead", "")
    dead = etcd.range(start, end_of(start), count_only=True).count
    sums = sums_of(cluster.one(layout.kept("sums")))
    with cluster.view() as view:
        states = [entry.document["state"] for entry in view.waits()]
        late = () if overdue is None else view.undecided(overdue).values()
        return Totals(
            schedules=view.count(),
            paused=len(view.paused()),
            scheduled=states.count("scheduled"),
            queued=states.count("queued"),
            running=len(view.running),
            dead_letters=dead,
            dead_letters_trimmed=sums.dead_letters_trimmed,
            overdue=len(late),
            oldest_due_at=min(late, default=None),
            counters=dict(sums.counters),
            last_tick_at=sums.last_tick_at,
            horizon=sums.horizon,
        )


def _completed(
    cluster: Cluster, schedules: Sequence[Schedule], intentions: dict[str, tuple[Job, ...]]
) -> list[Due]:
    """Complete schedules with what is recorded from their cursors on.

    That is nothing where the last slot that was dispatched is before the cursor; the others, whose
    cursor was taken back or that are new, are looked up.
    """
    unknown = [
        each
        for each in schedules
        if (each.cursor.last_slot is None or each.cursor.last_slot >= each.cursor.next)
        and cluster.recorded.get(each.id, (None,))[0] != each.cursor.mod
    ]
    layout = cluster.layout
    jobs_from = [
        (layout.kept("job", each.id, ""), layout.kept("job", each.id, _before(each)))
        for each in unknown
    ]
    newest = misses.newest(cluster, [each.id for each in unknown])
    for each, keys in zip(unknown, keys_between(cluster.etcd, jobs_from), strict=True):
        ahead = {job.id for job in intentions[each.id]}
        places = [place_of(job_id) for job_id in map(last_part, keys) if job_id not in ahead]
        slots = frozenset(place[1] for place in places if place is not None and place[0] == each.id)
        cluster.recorded[each.id] = (
            each.cursor.mod,
            slots,
            _missed(cluster, each, newest[each.id]),
        )
    return [_due(cluster, each, intentions[each.id]) for each in schedules]


def _due(cluster: Cluster, schedule: Schedule, intentions: tuple[Job, ...]) -> Due:
    mark, taken, missed = cluster.recorded.get(schedule.id, (None, frozenset(), ()))
    if mark != schedule.cursor.mod:
        return Due(schedule=schedule, intentions=intentions)
    return Due(schedule=schedule, intentions=intentions, taken=taken, missed=missed)


def _missed(cluster: Cluster, schedule: Schedule, newest_one: Pair | None) -> tuple[Miss, ...]:
    """Read the misses that reach to a cursor or past it; mostly the newest ends before."""
    first = schedule.cursor.next
    if newest_one is None or decode(Miss, newest_one.value).last < first:
        return ()
    found: list[Miss] = []
    for pair in cluster.below(cluster.layout.kept("miss", schedule.id, "")):
        miss = decode(Miss, pair.value)
        if miss.last < first:
            break
        found.append(miss)
    return tuple(found)


def _before(schedule: Schedule) -> str:
    """Name the part of a key that ends the slots from a cursor on."""
    return newest_first(schedule.cursor.next - 1)


def _standing(cluster: Cluster, wanted: Sequence[str], *, besides_queue: bool) -> View:
    """Read a view that has these schedules, and what waits of them."""
    layout = cluster.layout
    keys = [
        layout.watched(kind, name) for name in wanted for kind in ("sched", "cursor", "history")
    ]
    pairs, revision = ranges(cluster.etcd, keys)
    starts = [
        layout.watched("due", name, "")
        for name, pair in zip(wanted, pairs[::3], strict=True)
        if pair is not None and not besides_queue
    ]
    view = cluster.read_view([(start, end_of(start)) for start in starts], revision)
    for pair in pairs:
        if pair is not None:
            view.set(pair)
    return view


def _few(cluster: Cluster, where: Where) -> list[str] | None:
    """Name the schedules that may be wanted, in order; None: it may be any.

    What is so of few, and known of all, is not looked for among all.
    """
    wanted = _wanted(where)
    few = [] if wanted is None else [frozenset(wanted)]
    if where.paused_until is not None or where.overdue is not None:
        with cluster.view() as view:
            if where.paused_until is not None:
                few.append(view.paused(where.paused_until))
            if where.overdue is not None:
                few.append(frozenset(view.undecided(where.overdue)))
    return sorted(few[0].intersection(*few[1:])) if few else None


def _wanted(where: Where) -> list[str] | None:
    ids = where.ids
    if where.schedule is not None:
        ids = [where.schedule] if ids is None or where.schedule in ids else []
    if ids is None and where.pattern is not None and not _MAGIC & set(where.pattern):
        ids = [where.pattern]  # a name: it need not be looked for among all
    return None if ids is None else sorted(set(ids))


def _meets(schedule: Schedule, where: Where) -> bool:
    labels = schedule.definition.labels
    until, at = schedule.paused_until, schedule.undecided_at
    return (
        (where.pattern is None or bool(_glob(where.pattern).fullmatch(schedule.id)))
        and all(labels.get(key) == value for key, value in (where.labels or {}).items())
        and (where.since is None or schedule.created_at >= where.since)
        and (where.overdue is None or (at is not None and at < where.overdue))
        and (
            where.paused_until is None
            or (schedule.paused and until is not None and until <= where.paused_until)
        )
    )


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _fits(job: Job, where: Where) -> bool:
    return (
        (where.schedule is None or job.schedule_id == where.schedule)
        and (where.states is None or job.state in where.states)
        and not (where.decided and job.intention)
        and (where.since is None or job.created_at >= where.since)
    )


def _line(
    cluster: Cluster, where: Where, after: str | None, limit: int
) -> tuple[list[Job], str | None]:
    """Read the jobs of one schedule, by slot, or by when they were made."""
    start = cluster.layout.kept("job", where.schedule or "", "")
    return _ascending(
        cluster,
        start,
        lambda pair: job_of(pair, cluster.base),
        lambda job: _fits(job, where),
        after,
        limit,
    )


def _ascending(
    cluster: Cluster,
    start: bytes,
    make: Callable[[Pair], Any],
    fits: Callable[[Any], bool],
    after: str | None,
    limit: int,
) -> tuple[list[Any], str | None]:
    """Read records in the order of their keys. The mark is the last key."""
    found: list[Any] = []
    begin = start if after is None else bytes.fromhex(after) + b"\0"
    last = b""
    while True:
        answer = cluster.etcd.range(begin, end_of(start), limit=limit + 1)
        for kv in answer.kvs:
            record = make(pair_of(kv))
            if not fits(record):
                continue
            if len(found) == limit:
                return found, last.hex()
            found.append(record)
            last = kv.key
        if not answer.more:
            return found, None
        begin = answer.kvs[-1].key + b"\0"


def _hung(cluster: Cluster, kind: str, where: Where) -> Iterable[Pair]:
    if where.ids is None:
        return cluster.below(cluster.layout.kept(kind, ""))
    pairs, _ = ranges(cluster.etcd, [cluster.layout.hung(kind, each) for each in where.ids])
    return [pair for pair in pairs if pair is not None]
