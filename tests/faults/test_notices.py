"""A node is killed while it tells people: it is not told again, and that is said."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Notify, Schedule
from tests.hooks import Hook

pytestmark = pytest.mark.faults
ENOUGH = 50.0


class Process:
    """A node as a process, and the events that it tells."""

    def __init__(self, store: str, name: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "synccron", "run", "--store", store, "--id", name),
                *("--log", "json", "--lease", "2s", "--node-lease", "4s", "--drain", "0"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._told: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until(self, event: str, **fields: object) -> None:
        def found() -> bool:
            return any(
                each["event"] == event and fields.items() <= each.items() for each in self._told
            )

        with self._news:
            if not self._news.wait_for(found, ENOUGH):
                pytest.fail("\n".join([f"waited in vain for {event}", *map(str, self._told)]))

    def events(self, event: str) -> list[dict[str, Any]]:
        with self._news:
            return [each for each in self._told if each["event"] == event]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(ENOUGH)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._told.append(json.loads(line))
                self._news.notify_all()


@pytest.fixture
def nodes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for each in started:
        each.kill()


@pytest.fixture(params=["sqlite", "etcd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "synccron.db")
    url: str = request.getfixturevalue("etcd").url(f"test/{secrets.token_hex(8)}")
    return url


def test_what_a_killed_node_was_telling_is_told_at_most_once_and_said(
    store: str, tmp_path: Path, nodes: list[Process]
) -> None:
    with Hook() as hook, Client(store, create=True) as client:
        hook.answers = [hook.hold, 200]
        on = ["failure", "recovery"]
        to = Notify(on=on, webhook=hook.url, timeout=30)
        sign = tmp_path / "well"
        client.register(Schedule(id="job", cron="@yearly", run=f"test -e {sign}", notify=[to]))
        nodes.append(Process(store, "n1"))
        nodes[0].until("node_joined")
        client.trigger("job", key="1")
        hook.until(1)  # it has arrived, and no answer comes
        nodes.append(Process(store, "n2"))
        nodes[1].until("node_joined")
        nodes[0].kill()
        nodes[1].until("notice_failed", on="failure")
        sign.touch()
        client.trigger("job", key="2")
        nodes[1].until("notice_told", on="recovery")
        told = [each["body"]["event"] for each in hook.requests]
    assert told == ["failure", "recovery"]
    (failed,) = nodes[1].events("notice_failed")
    assert "may have arrived" in failed["error"]
