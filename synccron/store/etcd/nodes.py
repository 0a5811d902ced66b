"""Nodes and the lead: keys on leases, which etcd ends, beside records that outlast them.

`live/{session}` hangs on the node's lease, `leader` on the leader's; `node/{id}` stays until the
session ends: its owner left, another took over its id, or somebody noticed that it is dead and has
no claims. Until then a node that was stopped may wake, hang its session on a new lease, and go on.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from synccron.errors import IdTaken, SessionLost
from synccron.model.lease import Counter, Node, Session, Term
from synccron.model.time import SECOND, Duration, Instant
from synccron.store.beings import Being, myself, open_being
from synccron.store.codec import decode, encode
from synccron.store.etcd.client import Etcd, LeaseGone
from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import Draft, ranges
from synccron.store.etcd.layout import Lead, Pair, Seat, end_of

_TRIES = 20
SHORTEST_LEASE: Duration = 2 * SECOND  # etcd grants no shorter ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What ended nodes and commands counted, and what retention did."""

    counters: Mapping[str, int]
    last_tick_at: Instant | None = None
    dead_letters_trimmed: int = 0
    horizon: Instant | None = None


NOTHING = Sums(counters={})


@dataclass(slots=True)
class _Held:
    """A session or a lead that this handle holds: its lease, and how long that is granted for."""

    lease: int
    granted: Duration
    mod: int = 0
    term: Term | None = None


class Leases:
    """The sessions and leads of one handle. `beats` has connections of its own.

    So that no other call holds up a renewal. The heart alone renews; nothing here is shared but
    with who joins, leaves and resigns, which a node does not do beside its heart.
    """

    def __init__(self, cluster: Cluster, beats: Etcd) -> None:
        self._cluster = cluster
        self._beats = beats
        self._sessions: dict[str, _Held] = {}
        self._leads: dict[str, _Held] = {}

    def close(self) -> None:
        """Let all leases end now, like a process that died; what cannot be told ends by itself."""
        for held in (*self._sessions.values(), *self._leads.values()):
            with suppress(Exception):
                self._beats.revoke(held.lease)
        self._sessions.clear()
        self._leads.clear()

    # Sessions.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node, in place of one of the same id that is gone. Raises IdTaken."""
        cluster, layout = self._cluster, self._cluster.layout
        held = self._grant(ttl)
        key = layout.watched("node", node.id)
        try:
            for _ in range(_TRIES):
                before = cluster.one(key)
                draft = cluster.draft()
                # Law 5: against another process of the same id.
                draft.stands(key, 0 if before is None else before.mod)
                if before is not None:
                    seat = decode(Seat, before.value)
                    if seat.node.session == node.session:
                        held.mod = before.mod
                        break
                    self._take_over(draft, seat)
                draft.put(key, _seat(self._stamped(node)))
                draft.put(layout.watched("live", node.session), b"", held.lease)
                revision = self._commit(draft)
                if revision:
                    held.mod = revision
                    break
        except BaseException:
            with suppress(Exception):
                self._beats.revoke(held.lease)
            raise
        self._sessions[node.session] = held
        return Session(node=node.id, id=node.session, ttl=held.granted)

    def renew(self, at: Session) -> int:
        """Keep a session; one whose lease has ended is hung on a new one, if it still stands."""
        held = self._sessions.get(at.id)
        if held is None:
            raise _lost(at)
        sent = self._cluster.clock.monotonic()
        seconds = self._beats.keep_alive(held.lease, held.granted // 3)
        if seconds:
            return sent + seconds * SECOND  # etcd counts from later
        layout = self._cluster.layout
        self._seat_of(at, held)
        fresh = self._grant(at.ttl)
        draft = self._cluster.draft()
        draft.stands(layout.watched("node", at.node), held.mod)
        draft.put(layout.watched("live", at.id), b"", fresh.lease)
        if not self._commit(draft):
            self._beats.revoke(fresh.lease)
            self._seat_of(at, held)
            return sent
        held.lease, held.granted = fresh.lease, fresh.granted
        return sent + fresh.granted

    def report(self, at: Session, node: Node) -> None:
        """Replace a node's record. Raises SessionLost."""
        key = self._cluster.layout.watched("node", at.node)
        held = self._sessions.setdefault(at.id, _Held(lease=0, granted=at.ttl))
        for _ in range(_TRIES):
            draft = self._cluster.draft()
            draft.stands(key, held.mod)
            draft.put(key, _seat(self._stamped(replace(node, session=at.id))))
            revision = self._commit(draft)
            if revision:
                held.mod = revision
                return
            self._seat_of(at, held)

    def leave(self, at: Session) -> None:
        """End a session: its record goes, and its counters are added to the sums."""
        lead = self._leads.get(at.id)
        if lead is not None and lead.term is not None:
            self.resign(lead.term)
        self.end(at.node, at.id)
        held = self._sessions.pop(at.id, None)
        if held is not None and held.lease:
            self._beats.revoke(held.lease)

    def end(self, node_id: str, session: str, *, gone: bool = False) -> None:
        """End a session if it stands; with `gone`, only if its registration has ended."""
        cluster, layout = self._cluster, self._cluster.layout
        key, sums = layout.watched("node", node_id), layout.kept("sums")
        for _ in range(_TRIES):
            (record, counted), _ = ranges(cluster.etcd, [key, sums])
            if record is None:
                return
            seat = decode(Seat, record.value)
            if seat.node.session != session:
                return
            draft = cluster.draft()
            draft.stands(key, record.mod)
            if gone:
                draft.absent(layout.watched("live", session))
            draft.delete(key)
            draft.delete(layout.watched("live", session))
            _add(draft, sums, counted, seat.node.counters, seat.node.ticked_at)
            if self._commit(draft):
                return
            if gone and cluster.one(layout.watched("live", session)) is not None:
                return

    # The lead.

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it; None: another has it, or the session has ended."""
        mine = self._leads.get(at.id)
        if mine is not None and mine.term is not None:
            kept = self._keep(mine, mine.term)
            if kept is not None:
                return kept
            self.drop(at.id)
        cluster, layout = self._cluster, self._cluster.layout
        leads = layout.watched("leader")
        if self._led():
            return None
        sent = cluster.clock.monotonic()
        held = self._grant(ttl)
        value = encode(Lead(node=at.node, session=at.id, ttl=held.granted, lease=held.lease))
        draft = cluster.draft()
        # Law 4: etcd lets one take it; a new key is a new term, and its revision the epoch.
        draft.absent(leads)
        draft.there(layout.watched("live", at.id))
        draft.put(leads, value.encode(), held.lease)
        self._commit(draft)
        found = cluster.one(leads)
        if found is None or found.value != value.encode():
            self._beats.revoke(held.lease)
            return None
        held.term = Term(
            node=at.node,
            session=at.id,
            epoch=cluster.known.epoch_base + found.create,
            ttl=held.granted,
            until=sent + held.granted,
        )
        self._leads[at.id] = held
        return held.term

    def resign(self, term: Term) -> None:
        """Give up the lead, if this term still has it."""
        draft = self._cluster.draft()
        leads = self._cluster.layout.watched("leader")
        draft.made(leads, term.epoch - self._cluster.known.epoch_base)
        draft.delete(leads)
        self._commit(draft)
        mine = self._leads.get(term.session)
        if mine is not None and mine.term is not None and mine.term.epoch == term.epoch:
            self.drop(term.session)

    def drop(self, session: str) -> None:
        """Forget a lead that is over, and let its lease end."""
        held = self._leads.pop(session, None)
        if held is not None:
            with suppress(Exception):
                self._beats.revoke(held.lease)

    def current(self) -> Term | None:
        """Read who leads; None: nobody."""
        found = self._leader()
        if found is None:
            return None
        lead, create = found
        epoch = self._cluster.known.epoch_base + create
        mine = self._leads.get(lead.session)
        if mine is not None and mine.term is not None and mine.term.epoch == epoch:
            return mine.term
        now = self._cluster.clock.monotonic()
        until = now + self._cluster.etcd.left(lead.lease) * SECOND
        return Term(node=lead.node, session=lead.session, epoch=epoch, ttl=lead.ttl, until=until)

    def _keep(self, held: _Held, term: Term) -> Term | None:
        sent = self._cluster.clock.monotonic()
        if self._cluster.mirror is not None:
            with suppress(Exception), self._cluster.mirror.view() as view:
                leader = view.leader
                ours = term.epoch - self._cluster.known.epoch_base
                if leader is None or leader[1] != ours:
                    return None
        seconds = self._beats.keep_alive(held.lease, held.granted // 3)
        if not seconds:
            return None
        # Counted from before it was sent: etcd counts from later.
        held.term = replace(term, until=sent + seconds * SECOND)
        return held.term

    def _led(self) -> bool:
        """Tell whether somebody leads, without a call where a mirror knows."""
        return self._leader() is not None

    def _leader(self) -> tuple[Lead, int] | None:
        if self._cluster.mirror is not None:
            with self._cluster.mirror.view() as view:
                return view.leader
        pair = self._cluster.one(self._cluster.layout.watched("leader"))
        return None if pair is None else (decode(Lead, pair.value), pair.create)

    def _grant(self, ttl: Duration) -> _Held:
        lease, seconds = self._beats.grant(max(SHORTEST_LEASE, ttl) // SECOND)
        return _Held(lease=lease, granted=seconds * SECOND)

    def _commit(self, draft: Draft) -> int:
        """Write a draft: the revision, or 0 where it was refused."""
        try:
            answer = self._cluster.commit(draft)
        except LeaseGone:
            return 0
        return answer.revision if answer.written else 0

    def _seat_of(self, at: Session, held: _Held) -> None:
        """Learn the mark of a session's record. Raises SessionLost: it is another's, or gone."""
        record = self._cluster.one(self._cluster.layout.watched("node", at.node))
        if record is None or decode(Seat, record.value).node.session != at.id:
            self._sessions.pop(at.id, None)
            raise _lost(at)
        held.mod = record.mod

    def _take_over(self, draft: Draft, seat: Seat) -> None:
        """Demand that the old session of an id is gone, and count what it counted."""
        cluster, layout = self._cluster, self._cluster.layout
        live = layout.watched("live", seat.node.session)
        sums = layout.kept("sums")
        (registered, leader, counted), _ = ranges(
            cluster.etcd, [live, layout.watched("leader"), sums]
        )
        if registered is not None:
            if not _provably_gone(seat):
                raise IdTaken(
                    f"a node with the id {seat.node.id} is registered and may be alive",
                    hint="stop it, or give this one another --id",
                )
            self._beats.revoke(registered.lease)
            if leader is not None:
                lead = decode(Lead, leader.value)
                if lead.session == seat.node.session:
                    self._beats.revoke(lead.lease)
        draft.absent(live)
        _add(draft, sums, counted, seat.node.counters, seat.node.ticked_at)

    def _stamped(self, node: Node) -> Node:
        return replace(node, last_seen_at=self._cluster.clock.now())


def tally(cluster: Cluster, counts: Mapping[Counter, int]) -> None:
    """Add to the sums."""
    key = cluster.layout.kept("sums")
    for _ in range(_TRIES):
        draft = cluster.draft()
        _add(draft, key, cluster.one(key), {str(k): v for k, v in counts.items()}, None)
        if cluster.commit(draft).written:
            return


def nodes(cluster: Cluster) -> list[Node]:
    """Read the nodes that have not ended."""
    if cluster.mirror is None:
        starts = [cluster.layout.watched(kind, "") for kind in ("node", "live")]
        view = cluster.read_view([(start, end_of(start)) for start in starts])
        return [replace(each, live=each.session in view.live) for each in view.nodes()]
    skews = cluster.mirror.skews()
    with cluster.mirror.view() as view:
        return [
            replace(each, live=each.session in view.live, skew=skews.get(each.session))
            for each in view.nodes()
        ]


def end_dead(cluster: Cluster, leases: Leases) -> None:
    """End all sessions whose registration has ended and that have no claims left."""
    with cluster.view() as view:
        running = {entry.document["session"] for entry in view.running.values()}
        dead = [
            (each.id, each.session)
            for each in view.nodes()
            if each.session not in view.live and each.session not in running
        ]
    for node_id, session in dead:
        leases.end(node_id, session, gone=True)


def sums_of(pair: Pair | None) -> Sums:
    """Read the sums."""
    return NOTHING if pair is None else decode(Sums, pair.value)


def _add(
    draft: Draft,
    key: bytes,
    before: Pair | None,
    counts: Mapping[str, int],
    ticked_at: Instant | None,
) -> None:
    sums = sums_of(before)
    counters = dict(sums.counters)
    for name, count in counts.items():
        if count:
            counters[name] = counters.get(name, 0) + count
    ticked = max(sums.last_tick_at or 0, ticked_at or 0) or None
    draft.stands(key, 0 if before is None else before.mod)
    draft.put(key, encode(replace(sums, counters=counters, last_tick_at=ticked)).encode())


def _seat(node: Node) -> bytes:
    me = myself()
    return encode(Seat(node=node, pid=me.pid, start=me.start, boot=_place(me.boot))).encode()


def _place(boot: str) -> str:
    """Name where pids mean the same: this boot, and this namespace of processes."""
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _provably_gone(seat: Seat) -> bool:
    """Tell whether the process that wrote a record is not there any more, here."""
    me = myself()
    if seat.boot != _place(me.boot) or seat.pid == os.getpid():
        return False
    fd = open_being(Being(seat.pid, seat.start, me.boot))
    if fd is None:
        return True
    os.close(fd)
    return False


def _lost(at: Session) -> SessionLost:
    return SessionLost(f"the session {at.id} of node {at.node} has ended")
