"""A mirror that is being loaded: whoever asks waits as long as more comes in, and no longer."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from synccron.clock import SystemClock
from synccron.errors import StoreError
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.layout import Layout
from synccron.store.etcd.mirror import Horizon, Mirror

TIMEOUT = 300  # ms


class Slow:
    """Pages that come one at a time, each within the patience of who waits; then the watch."""

    trouble = None

    def __init__(self, pages: int, *, hangs: bool) -> None:
        self._pages = pages
        self._hangs = hangs
        self.over = threading.Event()

    def pages(self, *_: object, **_options: object) -> Iterator[Any]:
        for _page in range(self._pages):
            self.over.wait(TIMEOUT / 3 / 1000)
            yield SimpleNamespace(header=SimpleNamespace(revision=7), kvs=[])
        if self._hangs:
            self.over.wait()

    def watch(self, *_: object) -> Iterator[Any]:
        self.over.wait()
        return iter(())

    def abandon(self) -> None:
        """Let go of a connection that is silent."""


def mirror(etcd: Slow) -> Mirror:
    clock = SystemClock()
    return Mirror(cast("Etcd", etcd), Layout("synccron"), 0, clock, Horizon(), TIMEOUT)


def test_who_asks_waits_for_a_load_that_takes_longer_than_any_call_may():
    etcd = Slow(8, hangs=False)
    made = mirror(etcd)
    try:
        with made.view() as view:
            assert view.count() == 0
    finally:
        made.close()
        etcd.over.set()
        made.join()


def test_a_load_that_stands_still_is_an_error():
    etcd = Slow(2, hangs=True)
    made = mirror(etcd)
    try:
        with pytest.raises(StoreError, match="silent"), made.view():
            pass
    finally:
        made.close()
        etcd.over.set()
        made.join()
