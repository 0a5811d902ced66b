"""The etcd store: each verb of the interface, as one read or one conditional write.

What the verbs do is in `schedules`, `jobs`, `nodes`, `prune` and `reading`; this file joins them to
the calls, the leases and the mirror. A handle reads afresh what it is asked; one that watches
follows instead, and decides from its mirror.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, ClassVar, Self

from synccron.clock import Clock
from synccron.errors import StaleTerm, StoreDamaged, StoreForeign, StoreMissing, StoreNewer
from synccron.model.change import Change
from synccron.model.chunk import Chunk
from synccron.model.copy import Record
from synccron.model.deed import Deed
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    DeadLetter,
    Job,
    Miss,
    Notice,
    Order,
    Output,
    Receipt,
    Settlement,
    Step,
)
from synccron.model.lease import Counter, Node, Session, Term, Totals
from synccron.model.plan import Due, Plan
from synccron.model.schedule import JsonText, Revision, Schedule, Tombstone
from synccron.model.time import Duration, Instant
from synccron.store.base import EVERYTHING, Limits, Look, Mine, Page, R, Where
from synccron.store.codec import encode
from synccron.store.etcd import (
    chunks,
    copy,
    deeds,
    jobs,
    nodes,
    notices,
    orders,
    prune,
    reading,
    schedules,
)
from synccron.store.etcd.address import address, login
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, commit, pair_of
from synccron.store.etcd.layout import SCHEMA, UNFINISHED, Layout, Meta, Pair, document, end_of
from synccron.store.etcd.mirror import Horizon, Mirror


def open_etcd(url: str, *, create: bool, clock: Clock, timeout: Duration) -> "EtcdStore":
    """Open the namespace that a URL names; `create` makes it if it is not there.

    Raises InvalidInput, StoreMissing, StoreForeign, StoreNewer, or another StoreError where the
    cluster cannot be used.
    """
    where = address(url)
    user = login(os.environ)
    etcd = Etcd(where, user, timeout)
    try:
        layout = Layout(where.prefix)
        meta = _meta(etcd, layout, url, create=create)
        cluster = Cluster(etcd, layout, meta, clock, Horizon())
        return EtcdStore(cluster, Etcd(where, user, timeout), timeout, compacts=where.compacts)
    except BaseException:
        etcd.close()
        raise


class EtcdStore:
    """A store on a cluster, shared by the nodes of many hosts; an implementation of Store."""

    changes_at_once: ClassVar[int] = 20  # each compares up to six keys, of 128
    jobs_at_once: ClassVar[int] = 60  # each is compared, and two keys

    def __init__(self, cluster: Cluster, beats: Etcd, timeout: Duration, *, compacts: bool) -> None:
        self.cluster = cluster
        self._beats = beats
        self._timeout = timeout
        self.leases = nodes.Leases(cluster, beats)
        self._past = prune.Past() if compacts else None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it; sessions that have not left end as if their process had died."""
        mirror = self.cluster.mirror
        if mirror is not None:
            mirror.close()
        self.leases.close()
        self._beats.close()
        self.cluster.etcd.close()
        if mirror is not None:
            mirror.join()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed`, from any thread, whenever something may have changed."""
        cluster = self.cluster
        if cluster.mirror is None:
            cluster.mirror = Mirror(
                cluster.etcd,
                cluster.layout,
                cluster.base,
                cluster.clock,
                cluster.horizon,
                self._timeout,
            )
        cluster.mirror.listen(changed)

    # Reads: each is one consistent view.

    def read(
        self, kind: type[R], where: Where = EVERYTHING, after: str | None = None, limit: int = 500
    ) -> Page[R]:
        """Read a page of any record."""
        items, more = _READS[kind](self, where, after, limit)
        return Page(tuple(items), more)

    def due(self, look: Look, limit: int) -> Sequence[Due]:
        """Read the schedules that the leader has to look at."""
        return reading.due_soon(self.cluster, look, limit)

    def waiting(
        self,
        offers: frozenset[str],
        until: Instant,
        limit: int,
        mine: Mine = lambda *_: True,
        *,
        each: int | None = None,
        besides: AbstractSet[str] = frozenset(),
    ) -> Sequence[Candidate]:
        """Read the jobs that may start."""
        return jobs.waiting(self.cluster, offers, until, limit, mine, each=each, besides=besides)

    def active(self, schedule_id: str) -> Sequence[Job]:
        """Read the jobs of a schedule that run, are queued or wait for a retry."""
        return orders.active(self.cluster, schedule_id)

    def needs(self) -> frozenset[str]:
        """Read what the schedules and the unsettled jobs need."""
        with self.cluster.view() as view:
            return view.needs()

    def lost(self, limit: int) -> Sequence[Claim]:
        """Read the claims of sessions that are gone."""
        return jobs.lost(self.cluster, limit)

    def cancelling(self, at: Session) -> Sequence[str]:
        """Read which jobs of this session somebody asked to cancel."""
        return jobs.cancelling(self.cluster, at)

    def followed(self, at: Session) -> frozenset[str]:
        """Read which jobs of this session somebody follows."""
        return chunks.followed(self.cluster, at)

    # Writes.

    def apply(self, changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
        """Write all changes, or none."""
        return schedules.apply(self.cluster, changes, self.cluster.clock.now(), deeds)

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        """Write each plan whole or not at all."""
        try:
            return schedules.dispatch(self.cluster, term, plans)
        except StaleTerm:
            self.leases.drop(term.session)
            raise

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        """Make the job, or give the receipt of the first one of its key."""
        return orders.enqueue(self.cluster, order, keep)

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        """Do what each admission says."""
        return jobs.claim(self.cluster, at, admissions, now)

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:  # noqa: ARG002 - the records bear it
        """Write what follows each attempt's end."""
        written = jobs.settle(self.cluster, settlements)
        if any(each.gone for each in settlements):
            nodes.end_dead(self.cluster, self.leases)
        return written

    def remember(self, claim: Claim, key: str, value: JsonText) -> JsonText | None:
        """Keep a step's result; the first stays."""
        return jobs.remember(self.cluster, claim, key, value)

    def cancel(self, job_id: str, now: Instant, deed: Deed | None = None) -> Job | None:
        """Ask a job to end."""
        return jobs.cancel(self.cluster, job_id, now, deed)

    def discard(self, dead: Sequence[str], deed: Deed | None = None) -> int:
        """Remove dead letters by id."""
        return deeds.discard(self.cluster, dead, deed)

    def follow(self, job_id: str) -> None:
        """Ask the node that runs a job to publish what it writes."""
        chunks.follow(self.cluster, job_id)

    def publish(self, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
        """Write chunks of output, and remove others."""
        chunks.publish(self.cluster, fresh, gone)

    def take(self, session: str | None, of: Sequence[Notice]) -> Sequence[Notice | None]:
        """Give notices to a session, or back."""
        return notices.take(self.cluster, session, of)

    def told(self, of: Sequence[Notice]) -> Sequence[bool]:
        """Remove notices; which were there."""
        return notices.told(self.cluster, of)

    def prune(self, term: Term, limits: Limits, after: str | None) -> str | None:
        """Remove a bounded piece of what is older than the limits."""
        try:
            more = prune.prune(self.cluster, term, limits, after)
        except StaleTerm:
            self.leases.drop(term.session)
            raise
        if more is None:
            nodes.end_dead(self.cluster, self.leases)
            if self._past is not None:
                self._past.compact(self.cluster)
        return more

    def tally(self, counts: Mapping[Counter, int]) -> None:
        """Add to the counters of what no node did."""
        nodes.tally(self.cluster, counts)

    # Copies.

    def dump(self) -> Iterator[Record]:
        """Give everything but nodes, as it is at this instant."""
        return copy.dump(self.cluster)

    def load(self, records: Iterable[Record]) -> None:
        """Write everything into this store, which has nothing yet."""
        copy.load(self.cluster, records)

    # Nodes.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node."""
        return self.leases.join(node, ttl)

    def renew(self, at: Session) -> int:
        """Keep node and claims; waits for no other write."""
        return self.leases.renew(at)

    def report(self, at: Session, node: Node) -> None:
        """Replace the node's record."""
        self.leases.report(at, node)

    def leave(self, at: Session) -> None:
        """End the session now."""
        self.leases.leave(at)

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it."""
        return self.leases.campaign(at, ttl)

    def resign(self, term: Term) -> None:
        """Hand over at once."""
        self.leases.resign(term)


def _meta(etcd: Etcd, layout: Layout, url: str, *, create: bool) -> Pair:
    """Read what the namespace is; made if it is not there, and may be."""
    key = layout.meta()
    answer = etcd.range(key)
    if not answer.kvs:
        start = layout.key("")
        others = etcd.range(start, end_of(start), limit=1, keys_only=True)
        if others.kvs:
            raise StoreForeign(
                f"the keys under {layout.root} of etcd belong to another program",
                hint="name another prefix in the store's URL: etcd://host:2379/prefix",
            )
        if not create:
            raise StoreMissing(
                f"there is no store at {url}", hint="register a file, or start a node, to make it"
            )
        fresh = Meta(schema=SCHEMA, incarnation=secrets.token_hex(8))
        draft = Draft(etcd.messages, layout.watched(""))
        draft.absent(key)
        draft.put(key, encode(fresh).encode())
        commit(etcd, draft)
        answer = etcd.range(key)
    pair = pair_of(answer.kvs[0])
    schema = document(pair.value).get("schema")
    if schema == UNFINISHED:
        raise StoreDamaged(
            f"a restore into the keys under {layout.root} of etcd has not finished",
            hint=f"remove them and restore again: etcdctl del --prefix {layout.root}",
        )
    if schema != SCHEMA:
        raise StoreNewer(
            f"the store has layout {schema}, and this version knows {SCHEMA}",
            hint="install a later version of synccron",
        )
    return pair


_Read = Callable[[EtcdStore, Where, str | None, int], tuple[Sequence[Any], str | None]]


def _read_nodes(store: EtcdStore, where: Where) -> Sequence[Node]:
    found = nodes.nodes(store.cluster)
    return [each for each in found if where.ids is None or each.id in where.ids]


def _all(read: Callable[[EtcdStore, Where], Sequence[Any]]) -> _Read:
    """Read what is few, or asked for by name, in one page."""
    return lambda store, where, _, limit: (read(store, where)[:limit], None)


def _paged(
    read: Callable[[Cluster, Where, str | None, int], tuple[Sequence[Any], str | None]],
) -> _Read:
    return lambda store, where, after, limit: read(store.cluster, where, after, limit)


_READS: dict[Any, _Read] = {
    Schedule: _paged(reading.schedules),
    Due: _paged(reading.due),
    Job: _paged(reading.read_jobs),
    Miss: _paged(reading.read_misses),
    DeadLetter: _paged(reading.letters),
    Deed: _paged(reading.read_deeds),
    Tombstone: _all(lambda store, where: reading.tombstones(store.cluster, where)),
    Revision: _all(lambda store, where: reading.revisions(store.cluster, where)),
    Output: _all(lambda store, where: reading.outputs(store.cluster, where)),
    Step: _all(lambda store, where: reading.steps(store.cluster, where)),
    Receipt: _all(lambda store, where: reading.receipts(store.cluster, where)),
    Chunk: _all(lambda store, where: chunks.read(store.cluster, where)),
    Notice: _all(lambda store, _: notices.read(store.cluster)),
    Node: _all(_read_nodes),
    Term: _all(lambda store, _: [term] if (term := store.leases.current()) else []),
    Totals: _all(lambda store, where: [reading.totals(store.cluster, where.overdue)]),
}
