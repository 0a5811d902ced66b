"""How a store on etcd is: who of its members answers, alarms, room, and what a write takes."""

import os
import ssl
import urllib.request

from synccron.clock import Clock
from synccron.errors import StoreAuth, StoreError
from synccron.model.doctor import Condition, Member
from synccron.model.time import Duration
from synccron.store.etcd.address import Address, address, login, plain
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.layout import SCHEMA

_LEASE = 60  # seconds: of the lease that is made to see how long that takes
_PATIENCE = 2.0  # seconds for a page of etcd's metrics
_QUOTA = b"etcd_server_quota_backend_bytes "


def examine(url: str, clock: Clock, timeout: Duration) -> Condition:
    """Examine the cluster that a URL names. Raises StoreError where none of it answers."""
    where = address(url)
    etcd = Etcd(where, login(os.environ), timeout)
    try:
        members = tuple(
            _member(etcd, at, f"{host}:{port}") for at, (host, port) in enumerate(where.endpoints)
        )
        took = _latency(etcd, clock, some=any(each.error is None for each in members))
        return Condition(
            place=where.name,
            layout=SCHEMA,  # who opens a store refuses any other
            newest=SCHEMA,
            latency=took,
            members=members,
            alarms=_alarms(etcd),
            quota=_quota(where),
            compacts=where.compacts,
            plain=plain(where),
        )
    finally:
        etcd.close()


def _latency(etcd: Etcd, clock: Clock, *, some: bool) -> Duration | None:
    """Make a lease, which is a write. None: none goes through, though some members answer."""
    began = clock.monotonic()
    try:
        lease, _ = etcd.grant(_LEASE)
    except StoreAuth:
        raise
    except StoreError:
        if not some:
            raise
        return None
    took = clock.monotonic() - began
    etcd.revoke(lease)
    return took


def _member(etcd: Etcd, at: int, endpoint: str) -> Member:
    try:
        told = etcd.status(at)
    except StoreError as error:
        return Member(endpoint=endpoint, error=error.message)
    if not told.leader:
        return Member(endpoint=endpoint, error="it knows no leader: it is cut off from the others")
    return Member(endpoint=endpoint, version=told.version, size=told.dbSize)


def _alarms(etcd: Etcd) -> tuple[str, ...]:
    try:
        return etcd.alarms()
    except StoreError:
        return ()  # a user who may not ask: a full store refuses writes in words of its own


def _quota(where: Address) -> int | None:
    """Read the quota off a member's page of metrics; None: it has none for us."""
    scheme = "http" if where.ca is None else "https"
    context = None
    if where.ca is not None:
        context = ssl.create_default_context(cafile=where.ca)
        if where.cert is not None:
            context.load_cert_chain(where.cert, where.key)
    for host, port in where.endpoints:
        try:
            page = f"{scheme}://{host}:{port}/metrics"
            with urllib.request.urlopen(page, timeout=_PATIENCE, context=context) as answer:  # noqa: S310 - the scheme is ours
                for line in answer:
                    if line.startswith(_QUOTA):
                        return int(float(line.split()[1])) or None
        except (OSError, ValueError):
            continue
    return None
