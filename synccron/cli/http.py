"""What `run --http` serves: /healthz, /readyz and /metrics, to whoever may reach the address.

Nothing that a client does holds anything up: connections are few, short, and closed for newer ones.
What is served is the node's own knowledge; no answer waits for the store.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from synccron.clock import Clock, SystemClock
from synccron.engine.health import Health
from synccron.errors import InvalidInput
from synccron.model.time import SECOND, Duration

PATHS = ("/healthz", "/readyz", "/metrics")
MOST = 16  # connections; a further one closes the oldest
DEADLINE: Duration = 10 * SECOND  # of a connection, from its beginning to its end
LOOPBACK = "127.0.0.1"
_TEXT = "text/plain; charset=utf-8"

Page = Callable[[str], tuple[bytes, str]]  # of an Accept header: the body, and its type


def address_of(text: str) -> tuple[str, int]:
    """Read `host:port`, `[::1]:port`, `:port` or a port alone, which are loopback's.

    Raises InvalidInput.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16 or host.count("[") != host.count("]"):
        raise InvalidInput(
            f"--http: {text!r} is no address", hint="write :9180, or 10.0.0.1:9180 for other hosts"
        )
    return host.strip("[]") or LOOPBACK, int(port)


class Pages:
    """What is answered, by path. `metrics` is None where nothing can measure."""

    def __init__(self, health: Callable[[], Health], metrics: Page | None) -> None:
        self._health = health
        self._metrics = metrics

    def page(self, path: str, accept: str) -> tuple[HTTPStatus, bytes, str]:
        """Give status, body and type."""
        if path == "/metrics":
            if self._metrics is None:
                missing = b"metrics need a package: pip install 'synccron[metrics]'\n"
                return HTTPStatus.NOT_IMPLEMENTED, missing, _TEXT
            return HTTPStatus.OK, *self._metrics(accept)
        health = self._health()
        if path == "/healthz":
            return self._answer(well=health.turning, troubles=health.troubles)
        if path == "/readyz":
            return self._answer(well=health.ready, troubles=health.troubles)
        return HTTPStatus.NOT_FOUND, f"there is {', '.join(PATHS)}\n".encode(), _TEXT

    def _answer(self, *, well: bool, troubles: tuple[str, ...]) -> tuple[HTTPStatus, bytes, str]:
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        return (
            status,
            "".join(f"{one}\n" for one in (("ok",) if well else troubles)).encode(),
            _TEXT,
        )


class Server(ThreadingHTTPServer):
    """Listens from its making on, and answers between `start` and `stop`.

    `_open` are the connections by when they began (monotonic ms), the oldest first; the lock guards
    it against their threads. Raises InvalidInput where it cannot listen.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Pages, clock: Clock) -> None:
        host, port = address
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.pages = pages
        self.names = frozenset({"localhost", host.lower(), socket.gethostname().lower()})
        self.loopback = host in (LOOPBACK, "::1", "localhost")
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[socket.socket, int] = {}
        self._thread = threading.Thread(
            target=self.serve_forever, name="synccron-http", daemon=True
        )
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise InvalidInput(
                f"--http: {host}:{port} cannot be listened on: {error.strerror}",
                hint="another program may have it: `ss -ltnp` tells which",
            ) from error

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and listening."""
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()

    # The hooks of socketserver.

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; the oldest connection yields where there are too many."""
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= MOST else None
            self._open[request] = self._clock.monotonic()
        if oldest is not None:
            self._cut(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close what takes too long; called twice a second."""
        late = self._clock.monotonic() - DEADLINE
        with self._lock:
            over = [request for request, began in self._open.items() if began < late]
        for request in over:
            self._cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no event."""

    def _cut(self, request: socket.socket) -> None:
        """End a connection; its thread finds out and closes it."""
        with self._lock:
            self._open.pop(request, None)
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself


@contextmanager
def serving(
    address: str | None, health: Callable[[], Health], metrics: Page | None
) -> Iterator[None]:
    """Serve while this context lasts (None: nothing). Raises InvalidInput."""
    if address is None:
        yield
        return
    server = Server(address_of(address), Pages(health, metrics), SystemClock())
    server.start()
    try:
        yield
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    """One connection: one GET, one answer."""

    timeout = DEADLINE / SECOND
    server: Server

    def do_GET(self) -> None:
        """Answer."""
        if not self._known_host():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = self.path.partition("?")[0]
        status, body, kind = self.server.pages.page(path, self.headers.get("Accept", ""))
        self._send(status, body, kind)

    def _refuse(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _refuse  # noqa: N815

    def _known_host(self) -> bool:
        """Tell whether it was asked by a name of this host.

        A page of another site whose name was made to point here (DNS rebinding) would ask by that
        name; an address cannot be made to.
        """
        host = self.headers.get("Host", "")
        name = host.partition("]")[0].strip("[") if "[" in host else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self.server.names or self._known_beyond(name.lower())
        return True

    def _known_beyond(self, name: str) -> bool:
        """Tell whether it is this host's name with its domain, where others may ask at all."""
        own = socket.gethostname().lower().partition(".")[0]
        return not self.server.loopback and name.startswith(f"{own}.")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error, in a line of plain text."""
        del message, explain
        self._send(HTTPStatus(code), f"{HTTPStatus(code).phrase}\n".encode(), _TEXT)

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Name the server, without versions."""
        return "synccron"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: who asks how it is does so all the time."""
