"""A real HTTP server that answers as a test tells it to, and keeps what it was sent."""

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ENOUGH = 50.0


class Hook:
    """A webhook on the loopback: `answers` are the statuses to come, the last one for ever.

    A callable in place of a status gets the handler, and answers by itself. `hold` lets requests
    wait, unanswered, until the server is closed.
    """

    def __init__(
        self,
        *answers: int | Callable[[BaseHTTPRequestHandler], None],
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.answers = list(answers or (200,))
        self.requests: list[dict[str, Any]] = []
        self.closing = threading.Event()
        self._news = threading.Condition()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook._take(self)

            def log_message(self, *_: object) -> None:
                """Tests have nothing to say here."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/hook?token=secret"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hold(self, _: BaseHTTPRequestHandler) -> None:
        """Answer nothing for as long as the server is there."""
        self.closing.wait(ENOUGH)

    def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many requests."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, ENOUGH), self.requests
            return list(self.requests)

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._news:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.requests.append(
                {
                    "path": handler.path,
                    "headers": {name.lower(): value for name, value in handler.headers.items()},
                    "body": json.loads(body),
                }
            )
            self._news.notify_all()
        if callable(answer):
            answer(handler)
            return
        handler.send_response(answer)
        if answer in (301, 302, 307):
            handler.send_header("Location", "http://127.0.0.1:1/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
