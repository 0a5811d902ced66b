"""A TCP proxy on loopback that can fall silent: a partition without privileges."""

import selectors
import socket
import threading

from tests.etcd import free_ports


class Proxy:
    """Forwards to a port until it is cut; then connections stay open, and nothing passes."""

    def __init__(self, target: int) -> None:
        self._target = target
        (self.port,) = free_ports(1)
        self._cut = threading.Event()
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._cut.set()

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ, None)
        pairs: list[socket.socket] = []
        while not self._closed.is_set():
            if self._cut.is_set():
                self._closed.wait(0.01)  # nothing is read: what is sent waits in buffers
                continue
            for key, _ in selector.select(0.05):
                if key.data is None:
                    pairs += self._accept(selector)
                elif isinstance(key.fileobj, socket.socket):
                    self._pass(selector, key.fileobj, key.data)
        for each in pairs:
            each.close()
        selector.close()

    def _accept(self, selector: selectors.BaseSelector) -> list[socket.socket]:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), timeout=1)
        except OSError:
            near.close()
            return []
        selector.register(near, selectors.EVENT_READ, far)
        selector.register(far, selectors.EVENT_READ, near)
        return [near, far]

    def _pass(
        self, selector: selectors.BaseSelector, source: socket.socket, sink: socket.socket
    ) -> None:
        try:
            chunk = source.recv(1 << 16)
            if chunk:
                sink.sendall(chunk)
                return
        except OSError:
            pass
        for each in (source, sink):
            try:
                selector.unregister(each)
            except (KeyError, ValueError):
                continue
            each.close()
