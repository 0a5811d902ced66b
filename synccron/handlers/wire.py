"""Messages between a node, its guardian and Python children: JSON with a length before it."""

import json
import socket
import struct
from typing import Any

Message = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode
_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16
LARGEST = 16 << 20  # bytes; more is no message of ours


def pack(message: Message) -> bytes:
    """Write a message."""
    body = _encode(message).encode()
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """What has come in of messages so far."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[Message]:
        """Take what came; the messages that are complete now. Raises ValueError for nonsense."""
        self._buffer += chunk
        messages, at = [], 0
        while len(self._buffer) >= at + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            if length > LARGEST:
                raise ValueError(f"a message of {length} bytes")
            start, end = at + _LENGTH.size, at + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(json.loads(self._buffer[start:end].decode()))
            at = end
        del self._buffer[:at]
        return messages


class Outbox:
    """What is still to be sent on a socket that does not block: nobody who is slow holds us up."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def put(self, message: Message) -> None:
        """Add a message."""
        self._buffer += pack(message)

    def flush(self, connection: socket.socket) -> None:
        """Send what can be sent now; what is for nobody any more is forgotten."""
        try:
            while self._buffer:
                del self._buffer[: connection.send(self._buffer)]
        except BlockingIOError:
            return
        except OSError:
            self._buffer.clear()  # the other end is closed, which its reader finds out


def receive(connection: socket.socket, inbox: Inbox) -> list[Message] | None:
    """Wait for what comes on a blocking socket; None: the other end is closed."""
    try:
        chunk = connection.recv(_CHUNK)
    except ConnectionResetError:
        return None
    return inbox.feed(chunk) if chunk else None
