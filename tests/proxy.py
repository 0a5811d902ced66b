"""A TCP proxy on loopback that can fall silent, each way: a partition without privileges."""

import selectors
import socket
import threading

from tests.etcd import free_ports


class Proxy:
    """Forwards to a port until it is cut; then connections stay open, and nothing passes.

    It can be cut one way: what is sent arrives and no answer comes back, or the other way round.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        (self.port,) = free_ports(1)
        self._there = self._back = True  # what passes: to the target, and from it
        self._closed = False
        self._near: dict[socket.socket, socket.socket] = {}
        self._far: dict[socket.socket, socket.socket] = {}
        self._bell, self._rings = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self, *, there: bool = True, back: bool = True) -> None:
        """Let nothing pass to the target, and nothing from it; or one of both."""
        self._set(not there, not back)

    def mend(self) -> None:
        self._set(True, True)

    def close(self) -> None:
        self._closed = True
        self._bell.send(b"!")
        self._thread.join()

    def _set(self, there: bool, back: bool) -> None:
        self._there, self._back = there, back
        self._bell.send(b"!")

    def _run(self) -> None:
        self._selector.register(self._rings, selectors.EVENT_READ)
        self._listen()
        while not self._closed:
            for key, _ in self._selector.select():
                if key.fileobj is self._rings:
                    self._rings.recv(1 << 10)
                    self._listen()
                    break  # the others of this round may be cut now
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._pass(key.fileobj)
        for each in (*self._near, *self._far, self._listener, self._bell, self._rings):
            each.close()
        self._selector.close()

    def _listen(self) -> None:
        """Read from those that are not cut: what the others send waits in buffers."""
        heard = self._selector.get_map()
        wanted = {
            self._rings,
            *([self._listener] if self._there or self._back else []),
            *(self._near if self._there else ()),
            *(self._far if self._back else ()),
        }
        for each in [key.fileobj for key in heard.values() if key.fileobj not in wanted]:
            self._selector.unregister(each)
        for new in wanted - {key.fileobj for key in heard.values()}:
            self._selector.register(new, selectors.EVENT_READ)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), timeout=1)
        except OSError:
            near.close()
            return
        self._near[near], self._far[far] = far, near
        self._listen()

    def _pass(self, source: socket.socket) -> None:
        sink = self._near.get(source) or self._far.get(source)
        if sink is None:  # its other end has gone in this round
            return
        try:
            chunk = source.recv(1 << 16)
            if chunk:
                sink.sendall(chunk)
                return
        except OSError:
            pass
        for each in (source, sink):
            self._near.pop(each, None)
            self._far.pop(each, None)
            if each in {key.fileobj for key in self._selector.get_map().values()}:
                self._selector.unregister(each)
            each.close()
