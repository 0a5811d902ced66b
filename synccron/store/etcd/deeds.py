"""The trail of what was done by commands, each deed in the transaction of its change.

Also the one change that is nobody else's: dead letters that somebody removes.
"""

from collections.abc import Iterable, Sequence

from synccron.model.deed import Deed
from synccron.store.base import DISCARDED
from synccron.store.codec import decode, encode
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, ranges
from synccron.store.etcd.layout import Pair, newest_first

_TRIES = 20  # of removals that meet others again and again


def put(cluster: Cluster, draft: Draft, deeds: Iterable[Deed]) -> None:
    """Add to the trail."""
    for each in deeds:
        key = cluster.layout.kept("deed", newest_first(each.at), each.id)
        draft.put(key, encode(each).encode())


def deed_of(pair: Pair) -> Deed:
    """Read a deed."""
    return decode(Deed, pair.value)


def discard(cluster: Cluster, dead: Sequence[str], deed: Deed | None) -> int:
    """Remove dead letters by id, and tell who did, where there was any of them."""
    gone, left = 0, [cluster.layout.kept("dead", each) for each in dict.fromkeys(dead)]
    for _ in range(_TRIES):
        pairs, _ = ranges(cluster.etcd, left)
        found = [pair for pair in pairs if pair is not None]
        left = []
        for n in range(0, len(found), DISCARDED):
            piece = found[n : n + DISCARDED]
            if _removed(cluster, piece, deed):
                gone += len(piece)
            else:
                left += [pair.key for pair in piece]
        if not left:
            break
    return gone


def _removed(cluster: Cluster, letters: Sequence[Pair], deed: Deed | None) -> bool:
    draft = cluster.draft()
    for each in letters:
        # Law 7: counted and told once, against another who removes or retries it.
        draft.stands(each.key, each.mod)
        draft.delete(each.key)
    put(cluster, draft, [] if deed is None else [deed])
    return cluster.commit(draft).written
