"""A node with --only-handlers or --allow-run: what the store says runs only if it may."""

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
    handlers = LocalHandlers(store=str(tmp_path), pass_env=["ASKED"], cells=False, allow_run=())

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


@pytest.fixture
def permit(workshop: Workshop, tmp_path: Path) -> Iterator[Start]:
    """Start an attempt on a node that runs two commands."""
    handlers = LocalHandlers(
        store=str(tmp_path), cells=False, pass_env=["ASKED"], allow_run=["/bin/echo *", "id; id"]
    )

    def begin(**fields: Any) -> Outcome:
        started = Started()
        started.run = handlers.start(workshop.invocation(**fields), started.end)
        return started.outcome()

    yield begin
    handlers.close()


def test_a_command_that_is_permitted_runs(permit):
    for run in (("/bin/echo", "a; b"), "/bin/echo a", "id; id"):
        assert permit(run=run, env={"ASKED": "yes"}).ending == "completed"


def test_a_command_that_is_not_permitted_is_refused_for_good_and_never_starts(permit, tmp_path):
    canary = tmp_path / "canary"
    for run in (f"/bin/echo a; touch {canary}", f"id; touch {canary}", ("touch", str(canary))):
        ended = permit(run=run)
        assert (ended.ending, ended.permanent) == ("failed", True)
        assert ended.error == "this node does not run this command (--allow-run)"
    assert not canary.exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "BASH_ENV", "IFS"])
def test_a_variable_that_could_change_what_a_command_is_is_refused(permit, name):
    ended = permit(run=("/bin/echo", "a"), env={name: "/tmp"})
    assert ended.permanent
    assert f"takes no {name!a} of a schedule (--allow-run, --pass-env)" in (ended.error or "")


def test_what_is_no_installed_handler_is_refused_where_some_commands_are_permitted(permit):
    assert "is no installed handler" in (permit(handler="os:abort").error or "")


@pytest.mark.usefixtures("start")
def test_only_entry_points_are_offered_and_none_is_taken_for_the_shell():
    assert resolve.installed() == {"bill"}
