"""A client on a real store, with a clock that the test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.clock import ManualClock
from synccron.events import Event
from synccron.store import open_store
from synccron.store.base import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "synccron.db")


@pytest.fixture
def client(path: str, clock: ManualClock, told: list[Event]) -> Iterator[Client]:
    with Client(path, create=True, clock=clock, on_event=told.append) as opened:
        yield opened


@pytest.fixture
def store(client: Client, path: str, clock: ManualClock) -> Iterator[Store]:  # noqa: ARG001 - it makes the file
    """The same store, opened as a node would."""
    with open_store(path, clock=clock) as opened:
        yield opened
