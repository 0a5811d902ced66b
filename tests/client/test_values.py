"""The JSON shapes, to the letter: names, order, and nulls that are never missing."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

import synccron
from synccron.client import Client, Retry, Schedule
from synccron.client.values import shapes

SHAPES = {
    "schedule": "id cron tz run handler input misfire max_catch_up_runs misfire_grace_ms"
    " start_within_ms overlap max_running timeout_ms kill_after_ms retry on_lost on_disconnect"
    " env cwd user limits labels node_labels strict_handlers max_dispatch_failures notify owner"
    " paused next_run_at cursor_at last_slot_at consecutive_failures last_error history_from"
    " created_at updated_at version",
    "job": "id schedule_id kind slot key retry_of state attempt max_attempts node fence run_at"
    " created_at started_at finished_at lateness_ms duration_ms exit_code error result"
    " deduplicated cancel_requested_at",
    "status": "leader epoch nodes schedules paused scheduled queued running dead_letters"
    " dead_letters_trimmed overdue oldest_due_at counters",
    "counters": "leader_changes dispatch_submitted dispatch_failed dispatch_retried"
    " dispatch_skipped dispatch_dlq trigger_submitted trigger_failed trigger_rejected tick_errors"
    " last_tick_at",
}


@pytest.fixture
def keys(client: Client) -> Callable[[str], list[str]]:
    client.register(Schedule(id="s", cron="@daily", run="x"))
    made = {
        "schedule": client.get("s").to_json(),
        "job": client.trigger("s", key="k").to_json(),
        "status": client.status().to_json(),
        "counters": client.status().to_json()["counters"],
    }
    return lambda name: list(made[name])


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_its_fields_in_their_order(keys: Callable[[str], list[str]], name: str) -> None:
    assert keys(name) == SHAPES[name].split()


def test_values_are_written_as_promised(client: Client) -> None:
    client.register(Schedule(id="s", cron="@daily", run="x", timeout="90s"))
    shape = client.get("s").to_json()
    assert (shape["timeout_ms"], shape["handler"], shape["owner"]) == (90_000, None, None)
    assert shape["next_run_at"] == "2026-01-02T00:00:00Z"
    assert shape["retry"] == Retry().to_json()
    assert list(shape["retry"]) == ["max_attempts", "backoff", "delay_ms", "max_delay_ms"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "sqlite3 rich yaml typer croniter grpc asyncio synccron.engine synccron.client"
    code = f"import sys, synccron; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_client_does_not_load_what_it_does_not_use() -> None:
    heavy = "rich yaml typer grpc asyncio synccron.engine"
    code = (
        "import sys; from synccron import Client;"
        f" print([m for m in {heavy.split()!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", synccron.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(synccron, name).__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sheduler'"):
        _ = synccron.Sheduler


@pytest.mark.parametrize("damaged", [2**63 - 1, -(2**63), 10**30, -(10**30)])
def test_what_no_calendar_has_is_the_nearest_that_it_has(damaged: int) -> None:
    assert shapes.moment(damaged) is not None
    assert abs(shapes.delta(damaged)) > timedelta(days=999_999_998)
