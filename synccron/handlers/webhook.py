"""Post a notice to a webhook: one request, with a deadline for the whole of it.

No redirect is followed: it could carry the headers, which may be secret, to somewhere else.
"""

import http.client
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from synccron.model.time import Duration, format_duration

_AGENT = "synccron"
_UNFIT = (ValueError, http.client.InvalidURL)
_LATER = frozenset({408, 425, 429})  # of 4xx: the request may be right at another time


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: None is that it was taken; `again`: another try may help."""

    error: str | None
    again: bool = False


def post(url: str, headers: Mapping[str, str], body: bytes, timeout: Duration) -> Answer:
    """Post JSON to a URL; it takes at most about `timeout` ms. Never raises."""
    late = threading.Event()
    connection: http.client.HTTPConnection | None = None

    def cut() -> None:
        late.set()
        wire = None if connection is None else connection.sock
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    # The socket's own timeout starts anew with each byte, so that a server could hold it for ever.
    watchdog = threading.Timer(timeout / 1000, cut)
    watchdog.daemon = True
    try:
        connection, path = _connection(url, timeout)
        watchdog.start()
        sent = {"Content-Type": "application/json", "User-Agent": _AGENT, **headers}
        connection.request("POST", path, body, sent)
        return _judged(connection.getresponse().status)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            return Answer(f"no answer within {format_duration(timeout)}", again=True)
        if not isinstance(error, OSError) and isinstance(error, _UNFIT):
            return Answer("its URL or one of its headers is not fit for a request")
        return Answer(_said(error), again=True)
    finally:
        watchdog.cancel()
        if connection is not None:
            connection.close()


def _connection(url: str, timeout: Duration) -> tuple[http.client.HTTPConnection, str]:
    """Prepare a connection, and give what the request asks for. Raises ValueError for no URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
        raise ValueError(parts.scheme)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return kind(parts.hostname, parts.port, timeout=timeout / 1000), path


def _judged(status: int) -> Answer:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(None)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Answer(f"answered {status}: redirects are not followed")
    again = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
    return Answer(f"answered {status}", again=again)


def _said(error: Exception) -> str:
    """Say what went wrong, without anything that was sent."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
