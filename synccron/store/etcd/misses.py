"""Records of slots that were passed over: joined to the entry that they follow, or new ones."""

from collections.abc import Sequence
from dataclasses import replace

from synccron.model.job import Miss
from synccron.model.time import Instant
from synccron.store.codec import decode, encode
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, firsts, keys_between, ranges
from synccron.store.etcd.layout import Pair, last_part, newest_first, place_of


def newest(cluster: Cluster, schedule_ids: Sequence[str]) -> dict[str, Pair | None]:
    """Read the newest entry of each schedule."""
    starts = [cluster.layout.kept("miss", each, "") for each in schedule_ids]
    return dict(zip(schedule_ids, firsts(cluster.etcd, starts), strict=True))


def to_join(cluster: Cluster, passed: Sequence[Miss]) -> dict[str, Pair | None]:
    """Read the entry of each schedule that its misses may join; None: they make a new one.

    Law 2: no entry covers a slot that has another record. Where the cron has changed since, there
    may be jobs between the two, of slots that the new cron does not have.
    """
    oldest = {each.schedule_id: each for each in sorted(passed, key=lambda miss: -miss.first)}
    found = newest(cluster, list(oldest))
    near = [name for name, pair in found.items() if pair and _ends(pair) == oldest[name].follows]
    between = [
        (
            cluster.layout.kept("job", name, newest_first(oldest[name].first - 1)),
            cluster.layout.kept("job", name, newest_first(oldest[name].follows or 0)),
        )
        for name in near
    ]
    for name, keys in zip(near, keys_between(cluster.etcd, between), strict=True):
        if any(place_of(last_part(key)) is not None for key in keys):
            found[name] = None
    return found


def _ends(pair: Pair) -> Instant:
    return decode(Miss, pair.value).last


def erase(cluster: Cluster, draft: Draft, misses: Sequence[Miss]) -> None:
    """Remove entries that stand as read; what is written in the place of one comes after."""
    keys = [
        cluster.layout.kept("miss", each.schedule_id, newest_first(each.first)) for each in misses
    ]
    found, _ = ranges(cluster.etcd, keys)
    for key, miss, pair in zip(keys, misses, found, strict=True):
        if pair is None or decode(Miss, pair.value) != miss:
            draft.never()
            return
        # Law 2: against another who records misses of the schedule in the same moment.
        draft.stands(key, pair.mod)
        draft.delete(key)


def write(
    cluster: Cluster, draft: Draft, misses: Sequence[Miss], before: Pair | None
) -> frozenset[Instant]:
    """Add misses of one schedule, oldest first, to a draft; `before` is what they may join.

    Gives the slots that a new entry begins with.

    Law 2: the entry that grows is compared as read, and a new one with nothing, against another
    who records misses of the schedule in the same moment.
    """
    last = None if before is None else decode(Miss, before.value)
    demanded: set[bytes] = set(draft.writes)
    opened: set[Instant] = set()
    for miss in misses:
        joins = last is not None and (miss.follows, miss.reason) == (last.last, last.reason)
        if joins and last is not None:
            entry = replace(
                last,
                last=miss.last,
                count=last.count + miss.count,
                recorded_at=miss.recorded_at,
                by=miss.by,
                epoch=miss.epoch,
            )
        else:
            entry = replace(miss, follows=None)
            opened.add(miss.first)
        key = cluster.layout.kept("miss", entry.schedule_id, newest_first(entry.first))
        if key not in demanded:
            demanded.add(key)
            draft.stands(key, before.mod if before is not None and before.key == key else 0)
        draft.put(key, encode(entry).encode())
        last = entry
    return frozenset(opened)
