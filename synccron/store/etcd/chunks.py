"""Who follows which job, and the chunks of output that its node publishes meanwhile."""

from collections.abc import Sequence

from synccron.model.chunk import Chunk
from synccron.model.lease import Session
from synccron.model.time import SECOND
from synccron.store.base import FOLLOWED, Where
from synccron.store.codec import decode, encode
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, Make


def follow(cluster: Cluster, job_id: str) -> None:
    """Note that a job is followed: the key goes by itself with its lease."""
    lease, _ = cluster.etcd.grant(FOLLOWED // SECOND)
    draft = cluster.draft()
    draft.put(cluster.layout.follow(job_id), b"", lease)
    cluster.commit(draft)


def followed(cluster: Cluster, at: Session) -> frozenset[str]:
    """Read which jobs of a session are followed."""
    with cluster.view() as view:
        if not view.followed:
            return frozenset()
        running = (each for each in view.running.values() if each.document["session"] == at.id)
        return frozenset(each.id for each in running if each.id in view.followed)


def publish(cluster: Cluster, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
    """Write chunks, and remove others."""

    def putting(chunk: Chunk) -> Make:
        def make(_: int) -> Draft:
            draft = cluster.draft()
            draft.put(cluster.layout.chunk(chunk), encode(chunk).encode())
            return draft

        return make

    def removing(chunk: Chunk) -> Make:
        def make(_: int) -> Draft:
            draft = cluster.draft()
            draft.delete(cluster.layout.chunk(chunk))
            return draft

        return make

    makes = [*(removing(each) for each in gone), *(putting(each) for each in fresh)]
    cluster.commit_each(cluster.draft(), makes)


def read(cluster: Cluster, where: Where) -> list[Chunk]:
    """Read what is published of jobs, in order."""
    layout = cluster.layout
    starts = (
        [layout.kept("chunk", "")]
        if where.ids is None
        else [layout.hung("chunk", each, "") for each in where.ids]
    )
    return [decode(Chunk, pair.value) for start in starts for pair in cluster.below(start)]
