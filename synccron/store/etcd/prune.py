"""Retention: find what is older than the limits, and remove it in small pieces.

A round goes through the stages below and, within them, from line to line. What to remove is read
first, keys alone where they tell enough; what has ended does not change any more. At the end of a
round the leader lets etcd forget what it keeps of the past.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from synccron.errors import StaleTerm, StoreAuth
from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.lease import Term
from synccron.model.schedule import Cursor, Revision
from synccron.model.time import MINUTE, SECOND, Duration, Instant
from synccron.store.base import Limits
from synccron.store.codec import decode, encode, readable
from synccron.store.etcd import lines
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, Make, Refused, pair_of, ranges
from synccron.store.etcd.layout import Kept, Pair, end_of, job_of, last_part, newest_first
from synccron.store.etcd.nodes import sums_of
from synccron.store.etcd.orders import forget
from synccron.store.etcd.schedules import led

PIECE = 100  # records that one piece removes
LARGEST = 20 << 10  # bytes of a job with its output, more or less
LOOK = 1000  # records that one piece looks at
PAST: Duration = 10 * MINUTE  # how much of the past etcd keeps for watches that broke


@dataclass(frozen=True, slots=True)
class Find:
    """What a piece removes, and where its stage goes on (None: it is done)."""

    makes: Sequence[Make]
    after: str | None
    trimmed: int = 0


Stage = Callable[[Cluster, Limits, str], Find]
T = TypeVar("T")


class Past:
    """Remembers when which revision was new, so that what is older than PAST can be compacted."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []

    def compact(self, cluster: Cluster) -> None:
        """Note the revision of now, and let etcd forget what is old enough."""
        now = cluster.clock.monotonic()
        revision = cluster.etcd.range(cluster.meta.key, count_only=True).header.revision
        self._seen.append((now, revision))
        old = [each for at, each in self._seen if at <= now - PAST]
        if not old:
            return
        self._seen = [(at, each) for at, each in self._seen if at > now - PAST]
        try:
            cluster.etcd.compact(old[-1])
        except StoreAuth:
            return  # a role may forbid it: then the cluster's administrator compacts


def prune(cluster: Cluster, term: Term, limits: Limits, mark: str | None) -> str | None:
    """Remove the next piece of a round: its mark is `stage:place`. Raises StaleTerm."""
    name, _, after = (mark or f"{next(iter(STAGES))}:").partition(":")
    names = list(STAGES)
    later = names[names.index(name) + 1 :]
    found = STAGES[name](cluster, limits, after)
    _write(cluster, term, [*found.makes, *_sums(cluster, limits, found.trimmed)])
    if found.after is not None:
        return f"{name}:{found.after}"
    return f"{later[0]}:" if later else None


def _write(cluster: Cluster, term: Term, makes: Sequence[Make]) -> None:
    try:
        # Law 4: retention is the leader's; also where there is nothing to remove.
        cluster.commit_each(led(cluster, term), makes or [lambda _: cluster.draft()])
    except Refused:
        raise StaleTerm(f"the term {term.epoch} of node {term.node} is over") from None


def _sums(cluster: Cluster, limits: Limits, trimmed: int) -> list[Make]:
    key = cluster.layout.kept("sums")
    before = cluster.one(key)
    sums = sums_of(before)
    horizon = max(sums.horizon or 0, limits.horizon)
    if not trimmed and horizon == sums.horizon:
        return []
    fresh = replace(sums, horizon=horizon, dead_letters_trimmed=sums.dead_letters_trimmed + trimmed)

    def make(_: int) -> Draft:
        draft = cluster.draft()
        draft.stands(key, 0 if before is None else before.mod)
        draft.put(key, encode(fresh).encode())
        return draft

    return [make]


def _jobs(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find jobs of the next line: of a schedule, a removed one too, or of a submitted handler.

    The mark is how many of a line are kept in this round, and the last line.
    """
    kept, _, line = after.partition(" ") if after else (str(_most(cluster, limits)), "", "")
    begin = lines.end_of_line(cluster, line) if line else cluster.layout.kept("job", "")
    passed, found = lines.next_long(cluster, begin, limits.least)
    if found is None:
        return Find([], None if passed is None else f"{kept} {passed}")
    line = passed or line
    done = f"{kept} {found}"
    below = cluster.layout.kept("job", found, "")
    keys = [pair.key for pair in cluster.below(below, keys_only=True)]
    doomed = _old(cluster, keys, replace(limits, most=int(kept)))
    pairs = (pair for pair in ranges(cluster.etcd, doomed[:PIECE])[0] if pair is not None)
    jobs = list(readable(lambda pair: job_of(pair, cluster.base), pairs))
    settled = [job for job in jobs if job.settled]
    more = len(doomed) > PIECE and bool(settled)
    return Find(_forgetting(cluster, settled), f"{kept} {line}" if more else done)


def _most(cluster: Cluster, limits: Limits) -> int:
    """Tell how many jobs of a line may be kept so that all of them stay within the bytes."""
    etcd, start = cluster.etcd, cluster.layout.kept("job", "")
    total = etcd.range(start, end_of(start), count_only=True).count
    if limits.bytes is None or total * LARGEST <= limits.bytes:
        return limits.most
    sizes = list(lines.sizes(cluster))
    fits, wide = limits.least, limits.most
    while fits < wide:  # the largest number that fits
        middle = (fits + wide + 1) // 2
        if sum(min(count, middle) * size for count, size in sizes) <= limits.bytes:
            fits = middle
        else:
            wide = middle - 1
    return fits


def _old(cluster: Cluster, keys: Sequence[bytes], limits: Limits) -> list[bytes]:
    """Find the keys of a line beyond what is kept, the oldest first; unsettled ones among them."""
    found = []
    for rank, key in enumerate(keys):
        at = 9_999_999_999_999 - int(key.split(b"/")[-2])
        if rank >= limits.least and (rank >= limits.most or at < limits.horizon):
            found.append(key)
    unsettled = _unsettled(cluster, found)
    return [key for key in reversed(found) if last_part(key) not in unsettled]


def _unsettled(cluster: Cluster, keys: Sequence[bytes]) -> frozenset[str]:
    """Tell which jobs wait or run."""
    if not keys:
        return frozenset()
    with cluster.view() as view:
        return frozenset(entry.id for entry in (*view.waits(), *view.running.values()))


def _forgetting(cluster: Cluster, jobs: Sequence[Job]) -> list[Make]:
    """Remove settled jobs; their keys remember how they ended, their schedules where history is."""
    receipts = _receipts_of(cluster, [job for job in jobs if job.kind != "slot"])

    def make(job: Job) -> Make:
        def drafted(_: int) -> Draft:
            draft = cluster.draft()
            forget(cluster, draft, job)
            receipt = receipts.get(job.id)
            if receipt is not None:
                kept = replace(decode(Kept, receipt.value), state=job.state)
                draft.stands(receipt.key, receipt.mod)
                draft.put(receipt.key, encode(kept).encode())
            return draft

        return drafted

    return [*_histories(cluster, jobs), *(make(job) for job in jobs)]


def _receipts_of(cluster: Cluster, jobs: Sequence[Job]) -> dict[str, Pair]:
    keys = [cluster.layout.hung("key", job.id) for job in jobs]
    pairs, _ = ranges(cluster.etcd, keys)
    return {job.id: pair for job, pair in zip(jobs, pairs, strict=True) if pair is not None}


def _histories(cluster: Cluster, jobs: Sequence[Job]) -> list[Make]:
    """Let each schedule's history begin after the newest slot that goes.

    Written in the same request as the removals, before them: what is kept is never less than what
    the history says.
    """
    moved: dict[str, Instant] = {}
    for job in jobs:
        if job.kind == "slot" and job.slot is not None and job.schedule_id is not None:
            moved[job.schedule_id] = max(moved.get(job.schedule_id, 0), job.slot + SECOND)
    makes: list[Make] = []
    for schedule_id, at in moved.items():
        key = cluster.layout.watched("history", schedule_id)
        before = cluster.one(key)
        if before is not None and int(before.value) >= at:
            continue

        def make(_: int, key: bytes = key, name: str = schedule_id, at: Instant = at) -> Draft:
            draft = cluster.draft()
            draft.there(cluster.layout.watched("sched", name))
            draft.put(key, str(at).encode())
            return draft

        makes.append(make)
    return makes


def _misses(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find misses before their schedule's history, and old ones of removed schedules."""
    pairs, mark = _some(cluster, "miss", after)
    read = _read(Miss, pairs)
    history = _history(cluster, {miss.schedule_id for _, miss in read})
    doomed = [
        pair
        for pair, miss in read
        if (
            miss.last < history[miss.schedule_id]
            if miss.schedule_id in history
            else miss.recorded_at < limits.horizon
        )
    ]
    return Find(_removing(cluster, doomed), mark)


def _revisions(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find revisions that explain no slot which is kept: neither by their time nor for a job."""
    pairs, mark = _doubtful(cluster, after)
    read = _read(Revision, pairs)
    history = _history(cluster, {each.schedule_id for _, each in read})
    used: dict[str, frozenset[int | None]] = {}
    doomed: list[Pair] = []
    newer: Revision | None = None
    for pair, each in read:  # of a schedule the newest first
        follows = newer if newer is not None and newer.schedule_id == each.schedule_id else None
        newer = each
        if each.schedule_id in history:
            start = history[each.schedule_id]
            old = follows is not None and follows.cursor <= start and follows.at <= start
        else:
            old = each.at < limits.horizon and not _any(cluster, "miss", each.schedule_id)
        if not old:
            continue
        if each.schedule_id not in used:
            used[each.schedule_id] = _used(cluster, each.schedule_id)
        if each.version not in used[each.schedule_id]:
            doomed.append(pair)
    return Find(_removing(cluster, doomed), mark)


def _doubtful(cluster: Cluster, after: str) -> tuple[list[Pair], str | None]:
    """Read the next revisions that may be of no use any more, and the mark to go on from.

    The only one of a schedule is not: most schedules have no other, and are not looked at.
    """
    start = cluster.layout.kept("rev", "")
    begin = bytes.fromhex(after) + b"\0" if after else start
    named, more = lines.named(cluster, "rev", begin)
    with cluster.view() as view:
        few = [
            key
            for line, keys in named
            if len(keys) > 1 or not view.registered(line)
            for key in keys
        ]
    last = named[-1][1][-1] if named else b""
    if len(few) > LOOK:
        few, last, more = few[:LOOK], few[LOOK - 1], True
    pairs, _ = ranges(cluster.etcd, few)
    return [pair for pair in pairs if pair is not None], last.hex() if more else None


def _letters(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find the dead letters beyond what is kept, of one schedule and of all; the oldest go."""
    start = cluster.layout.kept("dead", "")
    count = cluster.etcd.range(start, end_of(start), count_only=True).count
    if count <= min(limits.dead, limits.dead_each):
        return Find([], None)
    pairs = sorted(cluster.below(start), key=lambda each: (-each.create, each.key))
    doomed: list[Pair] = []
    of_one: dict[str, int] = {}
    for rank, (pair, letter) in enumerate(_read(DeadLetter, pairs)):
        line = letter.schedule_id or f"~{letter.needs}"
        of_one[line] = of_one.get(line, 0) + 1
        if rank >= limits.dead or of_one[line] > limits.dead_each:
            doomed.append(pair)
    doomed = doomed[-PIECE:]
    more = after or "again" if len(doomed) == PIECE else None
    return Find(_removing(cluster, doomed), more, trimmed=len(doomed))


def _receipts(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find keys that may be used again. One whose job has not ended stays."""
    pairs, mark = _some(cluster, "key", after)
    old = [pair for pair, kept in _read(Kept, pairs) if kept.at < limits.keys]
    jobs = cluster.find([last_part(pair.key) for pair in old])
    doomed = [pair for pair in old if (job := jobs.get(last_part(pair.key))) is None or job.settled]
    return Find(_removing(cluster, doomed), mark)


def _deeds(cluster: Cluster, limits: Limits, after: str) -> Find:
    """Find what was done too long ago, or before the newest that are kept."""
    start = cluster.layout.kept("deed", "")
    begin = cluster.layout.kept("deed", newest_first(max(0, limits.keys - 1)))
    if cluster.etcd.range(start, end_of(start), count_only=True).count > limits.deeds:
        newest = cluster.etcd.range(start, end_of(start), limit=limits.deeds, keys_only=True)
        begin = min(begin, newest.kvs[-1].key + b"\0")
    answer = cluster.etcd.range(begin, end_of(start), limit=PIECE)
    doomed = list(map(pair_of, answer.kvs))
    return Find(_removing(cluster, doomed), after or "again" if answer.more else None)


def _removing(cluster: Cluster, pairs: Sequence[Pair]) -> list[Make]:
    """Remove keys as they were read."""

    def make(pair: Pair) -> Make:
        def drafted(_: int) -> Draft:
            draft = cluster.draft()
            draft.stands(pair.key, pair.mod)
            draft.delete(pair.key)
            return draft

        return drafted

    return [make(pair) for pair in pairs]


def _some(cluster: Cluster, kind: str, after: str) -> tuple[list[Pair], str | None]:
    """Read the next keys of a kind, and the mark to go on from."""
    start = cluster.layout.kept(kind, "")
    begin = bytes.fromhex(after) + b"\0" if after else start
    answer = cluster.etcd.range(begin, end_of(start), limit=LOOK)
    pairs = [pair_of(kv) for kv in answer.kvs]
    return pairs, pairs[-1].key.hex() if answer.more else None


def _history(cluster: Cluster, names: set[str]) -> dict[str, Instant]:
    """Tell where the history of each schedule begins; removed ones have none."""
    layout, ordered = cluster.layout, sorted(names)
    cursors, revision = ranges(cluster.etcd, [layout.watched("cursor", each) for each in ordered])
    moved, _ = ranges(cluster.etcd, [layout.watched("history", each) for each in ordered], revision)
    return {
        name: max(cursor.history_from, int(at.value) if at and at.value.isdigit() else 0)
        for name, pair, at in zip(ordered, cursors, moved, strict=True)
        for cursor in readable(
            lambda text: decode(Cursor, text), () if pair is None else (pair.value,)
        )
    }


def _any(cluster: Cluster, kind: str, name: str) -> bool:
    start = cluster.layout.kept(kind, name, "")
    return bool(cluster.etcd.range(start, end_of(start), count_only=True).count)


def _used(cluster: Cluster, schedule_id: str) -> frozenset[int | None]:
    """Tell which revisions the kept jobs of a schedule have."""
    start = cluster.layout.kept("job", schedule_id, "")
    jobs = readable(lambda pair: job_of(pair, cluster.base), cluster.below(start))
    return frozenset(job.revision for job in jobs)


def _read(kind: type[T], pairs: Iterable[Pair]) -> list[tuple[Pair, T]]:
    """Read records, each beside its key; what can't be read is left where it is."""
    return list(readable(lambda pair: (pair, decode(kind, pair.value)), pairs))


STAGES: dict[str, Stage] = {
    "jobs": _jobs,
    "misses": _misses,
    "revisions": _revisions,
    "letters": _letters,
    "receipts": _receipts,
    "deeds": _deeds,
}
