"""The listing of a store on etcd: the newest jobs of many schedules in one read."""

from collections.abc import Sequence

from synccron.model.job import Job
from synccron.store.etcd.draft import newest_below
from synccron.store.etcd.layout import job_of
from synccron.store.etcd.store import EtcdStore
from synccron.store.listing import RecordListing

_NEWEST = 4  # jobs that are looked at; a schedule whose last four all wait or run is asked alone


class EtcdListing(RecordListing):
    """A namespace, opened to be listed."""

    def __init__(self, store: EtcdStore) -> None:
        super().__init__(store)
        self._cluster = store.cluster

    def _newest(self, ids: Sequence[str]) -> dict[str, Sequence[Job]]:
        cluster = self._cluster
        starts = [cluster.layout.kept("job", each, "") for each in ids]
        found: dict[str, Sequence[Job]] = {}
        pages = newest_below(cluster.etcd, starts, _NEWEST)
        for each, pairs in zip(ids, pages, strict=True):
            jobs = [job_of(pair, cluster.base) for pair in pairs]
            whole = len(jobs) < _NEWEST or any(job.settled for job in jobs)
            found[each] = jobs if whole else super()._newest([each])[each]
        return found
