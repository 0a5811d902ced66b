"""The listing of a store on etcd: the newest jobs of many schedules in one read."""

from collections.abc import Sequence

from synccron.model.job import Job
from synccron.store.etcd.draft import newest_below
from synccron.store.etcd.layout import job_of
from synccron.store.etcd.store import EtcdStore
from synccron.store.listing import RecordListing

_MORE = 3  # looked at beyond what is asked for; where more wait or run, a schedule is asked alone


class EtcdListing(RecordListing):
    """A namespace, opened to be listed."""

    def __init__(self, store: EtcdStore) -> None:
        super().__init__(store)
        self._cluster = store.cluster

    def _newest(self, ids: Sequence[str], past: int) -> dict[str, Sequence[Job]]:
        cluster = self._cluster
        starts = [cluster.layout.kept("job", each, "") for each in ids]
        found: dict[str, Sequence[Job]] = {}
        most = past + _MORE
        pages = newest_below(cluster.etcd, starts, most)
        for each, pairs in zip(ids, pages, strict=True):
            jobs = [job_of(pair, cluster.base) for pair in pairs]
            whole = len(jobs) < most or sum(job.settled for job in jobs) >= past
            found[each] = jobs if whole else super()._newest([each], past)[each]
        return found
