"""A node with --only-handlers: what the store says runs only if it is installed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synccron.handlers import resolve
from synccron.handlers.local import LocalHandlers
from synccron.model.job import Outcome
from tests.handlers.conftest import Started, Workshop

Start = Callable[..., Outcome]


@pytest.fixture
def start(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Start an attempt on a node that has one entry point, `bill`, and runs nothing else."""
    (tmp_path / "bills.py").write_text("import os\ndef bill(ctx): return os.environ.get('ASKED')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(resolve, "entry_points", lambda: {"bill": "bills:bill", "run": "os:system"})
    handlers = LocalHandlers(
        store=str(tmp_path), pass_env=["ASKED"], cells=False, only_handlers=True
    )

    def begin(**fields: Any) -> Outcome:
        started = Started()
        started.run = handlers.start(workshop.invocation(**fields), started.end)
        return started.outcome()

    yield begin
    handlers.close()


def test_an_installed_handler_runs_with_the_variables_that_its_node_lets_a_schedule_set(start):
    ended = start(handler="bill", env={"ASKED": "yes", "TRACEPARENT": "00-1-2-00"})
    assert (ended.ending, ended.result) == ("completed", '"yes"')


@pytest.mark.parametrize("run", ["touch {}", ("touch", "{}")], ids=["text", "list"])
def test_a_command_is_refused_for_good_and_never_starts(start, tmp_path, run):
    canary = tmp_path / "canary"
    words = run.format(canary) if isinstance(run, str) else tuple(w.format(canary) for w in run)
    ended = start(run=words)
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert "no commands (--only-handlers)" in (ended.error or "")
    assert not canary.exists()


@pytest.mark.parametrize("handler", ["os:abort", "unknown", "run", None])
def test_what_is_no_installed_handler_is_refused_for_good(start, handler):
    ended = start(handler=handler)
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert "is no installed handler" in (ended.error or "")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "HOME", "asked", "A\nB"])
def test_a_variable_that_could_change_what_a_handler_is_is_refused(start, name):
    ended = start(handler="bill", env={name: "/tmp"})
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert f"takes no {name!a} of a schedule" in (ended.error or "")


def test_a_command_and_an_installed_handler_at_once_are_refused(start, tmp_path):
    ended = start(handler="bill", run=f"touch {tmp_path / 'canary'}")
    assert ended.permanent
    assert not (tmp_path / "canary").exists()


@pytest.mark.usefixtures("start")
def test_only_entry_points_are_offered_and_none_is_taken_for_the_shell():
    assert resolve.installed() == {"bill"}
