"""Attempts under a real guardian."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synccron.handlers.base import Invocation
from synccron.handlers.local import LocalHandlers, LocalRun
from synccron.model.job import Outcome
from synccron.model.schedule import Limits

ENOUGH = 50.0  # seconds; only a test that fails waits so long


class Started:
    """One attempt that was started."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._outcome: Outcome | None = None
        self.run: LocalRun | None = None

    def end(self, outcome: Outcome) -> None:
        assert self._outcome is None, "ended twice"
        self._outcome = outcome
        self._done.set()

    def outcome(self) -> Outcome:
        assert self._done.wait(ENOUGH), "it does not end"
        assert self._outcome is not None
        return self._outcome

    def stop(self, why: Any) -> None:
        assert self.run is not None
        self.run.stop(why)


class Workshop:
    """Handlers in a folder of their own; each attempt gets the next fencing token."""

    def __init__(self, folder: Path, *, cells: bool = False) -> None:
        self.folder = folder
        self.handlers = LocalHandlers(store=str(folder), pass_env=["PASSED", "MORE_*"], cells=cells)
        self._fence = os.getpid() * 1000

    def invocation(self, **fields: Any) -> Invocation:
        self._fence += 1
        values: dict[str, Any] = {
            "job_id": f"job-{self._fence}",
            "schedule_id": "backup",
            "slot": 1_767_225_600_000,
            "attempt": 1,
            "fence": self._fence,
            "input": '{"a":1}',
            "run": None,
            "handler": None,
            "env": {},
            "cwd": None,
            "user": None,
            "timeout": None,
            "kill_after": 300,
            "limits": Limits(),
            "log": str(self.folder / f"{self._fence}.log"),
        }
        return Invocation(**{**values, **fields})

    def start(self, **fields: Any) -> Started:
        started = Started()
        started.run = self.handlers.start(self.invocation(**fields), started.end)
        return started

    def end_of(self, run: str | tuple[str, ...], **fields: Any) -> Outcome:
        return self.start(run=run, **fields).outcome()

    def end_of_handler(self, source: str, **fields: Any) -> Outcome:
        """Run the function f of a module with this source."""
        self._fence += 1
        name = f"handler_{self._fence}"
        (self.folder / f"{name}.py").write_text(source)
        return self.start(handler=f"{name}:f", **fields).outcome()


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setenv("PASSED", "yes")
    monkeypatch.setenv("MORE_OF_IT", "too")
    monkeypatch.setenv("NOT_PASSED", "no")
    monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD", "canary")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = Workshop(tmp_path)
    yield made
    made.handlers.close()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    def wait(seen: Callable[[], bool]) -> None:
        for _ in range(int(ENOUGH * 50)):
            if seen():
                return
            threading.Event().wait(0.02)
        pytest.fail("waited in vain")

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    def is_alive(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX"

    return is_alive
