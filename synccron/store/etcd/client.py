"""Calls to a cluster that some member answers, within a time; leases; and watches.

One package-wide rule makes failure simple: a write is a transaction that compares what it was
decided from, so that it may be sent again to the next member when nobody knows whether the first
one did it. Who sent it recognises its own write where the second answer is a refusal.

The network's time is the machine's, whatever clock decisions are made by.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from synccron.clock import SystemClock
from synccron.errors import NoQuorum, StoreAuth, StoreError, StoreFull
from synccron.model.time import Duration
from synccron.store.etcd import bridge
from synccron.store.etcd.address import Address, Login

PAGE = 1000  # keys of the first answer of many
MOST = 10_000  # of a later one: etcd counts all that is left for each
ANSWER = 4 * 1024 * 1024  # bytes that a later one is to have, about
_SHORTEST_TRY: Duration = 500
_PAUSE = 0.1  # seconds between rounds through all members
_PROBE = 0.3  # seconds for the question whether a member is there at all
_KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # each client has connections of its own
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses more than one in 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Compacted(Exception):
    """The revision that was asked for is not kept any more."""


class LeaseGone(Exception):
    """There is no such lease."""


class _Link:
    """A connection to one member, with its token where a user is known."""

    def __init__(self, package: Any, address: Address, at: int, login: Login | None) -> None:
        host, port = address.endpoints[at]
        self.at = at
        self.closed = False
        self.client = package.client(
            host=host,
            port=port,
            ca_cert=address.ca,
            cert_cert=address.cert,
            cert_key=address.key,
            timeout=_PROBE * 10,
            user=None if login is None else login.user,
            password=None if login is None else login.password(),
            grpc_options=_OPTIONS,
        )

    @property
    def metadata(self) -> Any:
        # The token travels here: gRPC refuses it as call credentials on a plaintext channel.
        return self.client.metadata

    def close(self) -> None:
        self.closed = True  # before it is: who meets a closed channel knows why
        self.client.close()


class Etcd:
    """The calls that the store makes, each within `timeout` ms; safe to use from many threads.

    `trouble` is why the last call did not reach a cluster that can decide, if it did not. The lock
    guards the link: whoever sees a member fail leaves it for all.
    """

    def __init__(self, address: Address, login: Login | None, timeout: Duration) -> None:
        self._package, self.messages = bridge.load()
        import grpc

        self._grpc = grpc
        self._address = address
        self._login = login
        self._timeout = timeout
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._at = 0
        self._closed = threading.Event()
        self.trouble: StoreError | None = None

    def close(self) -> None:
        """End all calls and watches."""
        self._closed.set()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def abandon(self) -> None:
        """Leave the member that is called now: what it should tell does not come."""
        self._leave(self._link)

    # Calls.

    def range(self, key: bytes, end: bytes = b"", **options: Any) -> Any:
        """Read keys; `options` are those of RangeRequest. Linearizable unless it says otherwise."""
        request = self.messages.RangeRequest(key=key, range_end=end, **options)
        return self._call(lambda client: client.kvstub.Range, request)

    def pages(
        self, key: bytes, end: bytes, revision: int = 0, size: int = ANSWER, **options: Any
    ) -> Iterator[Any]:
        """Read any number of keys as they were at one revision (0: now), an answer at a time."""
        limit = PAGE
        while True:
            answer = self.range(key, end, limit=limit, revision=revision, **options)
            yield answer
            if not answer.more:
                return
            limit = min(MOST, max(1, limit * size // max(1, answer.ByteSize())))
            revision = revision or answer.header.revision
            key = answer.kvs[-1].key + b"\0"

    def txn(self, request: Any) -> Any:
        """Compare and write, as a TxnRequest says. Sent again if its outcome is unknown."""
        return self._call(lambda client: client.kvstub.Txn, request)

    def compact(self, revision: int) -> None:
        """Forget what was before a revision."""
        request = self.messages.CompactionRequest(revision=revision)
        with suppress(Compacted):
            self._call(lambda client: client.kvstub.Compact, request)

    def grant(self, ttl: int) -> tuple[int, int]:
        """Make a lease of some seconds: its id, and the seconds that it has."""
        request = self.messages.LeaseGrantRequest(TTL=ttl)
        answer = self._call(lambda client: client.leasestub.LeaseGrant, request)
        return answer.ID, answer.TTL

    def revoke(self, lease: int) -> None:
        """End a lease and what hangs on it."""
        request = self.messages.LeaseRevokeRequest(ID=lease)
        with suppress(LeaseGone):
            self._call(lambda client: client.leasestub.LeaseRevoke, request)

    def keep_alive(self, lease: int, within: Duration) -> int:
        """Renew a lease: the seconds that it has from now, 0 if it is gone."""
        request = self.messages.LeaseKeepAliveRequest(ID=lease)

        def method(client: Any) -> Callable[..., Any]:
            # etcd answers each request of a stream. One request and no more is a plain call, which
            # spares the threads that gRPC starts for a stream: half of what a node at rest did.
            made: Callable[..., Any] = client.channel.unary_unary(
                _KEEP_ALIVE,
                request_serializer=self.messages.LeaseKeepAliveRequest.SerializeToString,
                response_deserializer=self.messages.LeaseKeepAliveResponse.FromString,
            )
            return made

        return max(0, int(self._call(method, request, within).TTL))

    def left(self, lease: int) -> int:
        """Tell the seconds that a lease has; 0 if it is gone."""
        request = self.messages.LeaseTimeToLiveRequest(ID=lease)
        answer = self._call(lambda client: client.leasestub.LeaseTimeToLive, request)
        return max(0, int(answer.TTL))

    def watch(self, key: bytes, end: bytes, revision: int) -> Iterator[Any]:
        """Give answers with events from a revision on, until it breaks or the member is left.

        Raises Compacted, or StoreError where it breaks.
        """
        link = self._connected()
        done = threading.Event()
        create = self.messages.WatchCreateRequest(key=key, range_end=end, start_revision=revision)

        def requests() -> Iterator[Any]:
            yield self.messages.WatchRequest(create_request=create)
            done.wait()  # the stream lives as long as its requests do

        try:
            stream = self.messages.WatchStub(link.client.channel).Watch(
                requests(), metadata=link.metadata
            )
        except ValueError as error:
            raise self._left(link, error) from error
        try:
            for answer in stream:
                if answer.canceled or answer.watch_id < 0:
                    # A dead token is answered so: what is wrong, the next call says.
                    if answer.compact_revision:
                        raise Compacted
                    self._renew(link)
                    raise StoreError("etcd has cancelled the watch")
                yield answer
            raise StoreError("etcd has ended the watch")
        except self._grpc.RpcError as error:
            self._leave(link)
            raise self._meant(error) from error
        finally:
            done.set()
            stream.cancel()

    # What only a look at the cluster itself asks.

    def status(self, at: int) -> Any:
        """Ask one member, by its place in the address, how it is. Raises StoreError."""
        try:
            link = _Link(self._package, self._address, at, None)
            try:
                return link.client.maintenancestub.Status(
                    self.messages.StatusRequest(), timeout=_PROBE * 10
                )
            finally:
                link.close()
        except self._grpc.RpcError as error:
            raise StoreError(_plain(self._meant(error))) from error

    def alarms(self) -> tuple[str, ...]:
        """Name the alarms that are raised."""
        request = self.messages.AlarmRequest()  # its first action is to list
        answer = self._call(lambda client: client.maintenancestub.Alarm, request)
        kinds = self.messages.AlarmMember.DESCRIPTOR.fields_by_name["alarm"].enum_type
        return tuple(
            f"{kinds.values_by_number[each.alarm].name} at member {each.memberID:x}"
            for each in answer.alarms
        )

    # How a call finds a member.

    def _call(
        self,
        method: Callable[[Any], Callable[..., Any]],
        request: Any,
        within: Duration | None = None,
    ) -> Any:
        timeout = self._timeout if within is None else within
        until = self._clock.monotonic() + timeout
        members = len(self._address.endpoints)
        each = timeout if members == 1 else max(_SHORTEST_TRY, timeout // (members + 1))
        tries, renewed = 0, False
        while True:
            left = until - self._clock.monotonic()
            link: _Link | None = None
            try:
                link = self._connected()
                answer = method(link.client)(
                    request, timeout=max(1, min(left, each)) / 1000, metadata=link.metadata
                )
            except (self._grpc.RpcError, ValueError) as error:
                if isinstance(error, ValueError):
                    meant: Exception = self._left(link, error)
                else:
                    meant = self._meant(error)
                if isinstance(meant, StoreAuth) and link is not None and not renewed:
                    renewed = self._renew(link)
                    if renewed:
                        continue
                if type(meant) not in (StoreError, NoQuorum):
                    raise meant from error
                self._leave(link)
                tries += 1
                if self._closed.is_set() or self._clock.monotonic() + 20 >= until:
                    self.trouble = self._told(meant)
                    raise self.trouble from error
                if tries % members == 0:
                    self._closed.wait(_PAUSE)
            else:
                self.trouble = None
                return answer

    def _connected(self) -> _Link:
        """Give the link, made if there is none. Raises RpcError where the login fails."""
        with self._lock:
            if self._closed.is_set():
                raise StoreError("the store is closed")
            if self._link is None:
                self._link = _Link(self._package, self._address, self._at, self._login)
            return self._link

    def _leave(self, link: _Link | None) -> None:
        """Go to the next member, if nobody else has; what hangs on the old link breaks."""
        with self._lock:
            if link is not None and link is not self._link:
                return
            self._at = (self._at + 1) % len(self._address.endpoints)
            self._link = None
        if link is not None:
            link.close()

    def _left(self, link: _Link | None, error: ValueError) -> Exception:
        """Tell what gRPC means by it: that another call has closed this link meanwhile."""
        if link is None or not link.closed:
            return error
        return StoreError("etcd cannot be reached: another call has left this member")

    def _renew(self, link: _Link) -> bool:
        """Log in anew at the same member: tokens end, and their end is not told beforehand."""
        if self._login is None:
            return False
        with self._lock:
            if link is self._link:
                self._link = None
        link.close()
        return True

    def _meant(self, error: Any) -> Exception:  # noqa: PLR0911 - one answer for each kind
        """Tell what an answer of gRPC or etcd means. The texts are etcd's, and stable since 3.3."""
        code, text = error.code(), str(error.details() or "")
        codes = self._grpc.StatusCode
        said = text.removeprefix("etcdserver: ")
        if "compacted" in text:
            return Compacted()
        if "lease not found" in text:
            return LeaseGone()
        if "space exceeded" in text:
            return StoreFull(
                "etcd is full: it takes reads and deletions alone (alarm NOSPACE)",
                hint="compact and defragment it, or raise its quota; then etcdctl alarm disarm",
            )
        if code in (codes.UNAUTHENTICATED, codes.PERMISSION_DENIED) or any(
            each in text for each in ("auth", "user name is empty", "token")
        ):
            return StoreAuth(
                f"etcd refuses: {said}", hint="check the user, its password and its role"
            )
        if code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED, codes.CANCELLED, codes.UNKNOWN):
            if text.startswith("etcdserver:"):
                return NoQuorum(f"etcd cannot decide: {said}")
            return StoreError(f"etcd cannot be reached: {said}")
        if "too many requests" in text:
            return StoreError(f"etcd is overloaded: {said}")
        return _Refused(f"etcd refuses a request: {code.name}: {said}")

    def _told(self, meant: Exception) -> StoreError:
        """Say which it is at the end of all tries: members that answer have no quorum."""
        names = ", ".join(f"{host}:{port}" for host, port in self._address.endpoints)
        for at in range(len(self._address.endpoints)):
            with suppress(self._grpc.RpcError):
                link = _Link(self._package, self._address, at, None)
                try:
                    answer = link.client.maintenancestub.Status(
                        self.messages.StatusRequest(), timeout=_PROBE
                    )
                finally:
                    link.close()
                what = "has no leader" if not answer.leader else "does not answer in time"
                return NoQuorum(
                    f"etcd at {names} {what}",
                    hint="bring back more than half of its members",
                )
        return StoreError(
            f"etcd at {names} cannot be reached: {_plain(meant)}",
            hint="check that it runs, and the addresses in the store's URL",
        )


class _Refused(StoreError):
    """Something that no retry can mend, and no user has caused."""


def _plain(error: Exception) -> str:
    text = str(error).removeprefix("etcd cannot be reached: ")
    return " ".join(text.split())[:200]
