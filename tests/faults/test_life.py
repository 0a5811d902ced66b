"""What owners do while slots are due, jobs that kill their node, and long queues: the laws hold."""

from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Schedule
from synccron.clock import ManualClock, SystemClock
from synccron.model.time import DAY
from tests.etcd import Members
from tests.faults.field import (
    LONG,
    command,
    limit,
    playing,
    register,
    seeded,
    settle_down,
    trying,
    until,
)

pytestmark = [pytest.mark.faults, limit(600)]

EDITS = 300 if LONG else 30
BACKLOG = 10_000 if LONG else 200
POISON = 'kill -9 "$(cat node.pid)"; sleep 600'


@pytest.fixture(params=["sqlite", "etcd"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the nodes keep their state."""
    if request.param == "sqlite":
        return str(tmp_path / "synccron.db")
    members: Members = request.getfixturevalue("etcd")
    return members.url(f"life/{tmp_path.name}")


def test_schedules_are_edited_paused_and_removed_while_they_are_due(
    tmp_path: Path, url: str
) -> None:
    luck = seeded(20_261_124)
    names = [f"edited-{number}" for number in range(6)]

    def drawn() -> dict[str, Any]:
        return {
            "cron": luck.choice(["* * * * * *", "*/2 * * * * *", "@every 3s"]),
            "tz": luck.choice(["UTC", "Europe/Berlin", "America/St_Johns"]),
            "misfire": luck.choice(["skip", "catch_up_one", "catch_up_all"]),
            "overlap": luck.choice(["allow", "skip"]),
            "run": command("true"),
        }

    with (
        playing(tmp_path, url, ("2s", "4s")) as made,
        trying("schedules edited, paused and removed while due", "F31") as tried,
    ):
        register(made, {"steady": {"cron": "* * * * * *", "run": command("true")}})
        register(made, {name: drawn() for name in names})
        for node in ("n1", "n2"):
            made.start(node)
        with Client(made.store) as client:
            until(lambda: len(made.done()) > 10, "jobs to run")
            for number in range(EDITS):
                if number % 3 == 0:
                    before = len(made.done())
                    until(lambda seen=before: len(made.done()) > seen + 2, "jobs to run")  # type: ignore[misc]
                name = luck.choice(names)
                match luck.choice(["edit", "edit", "pause", "resume", "remove", "kill"]):
                    case "edit":
                        register(made, {name: drawn()})
                    case "pause" if _there(client, name):
                        client.pause(name)
                    case "resume" if _there(client, name):
                        client.resume(name)
                    case "remove" if _there(client, name):
                        client.unregister(name)
                    case "kill" if luck.random() < 0.3:
                        made.kill("n1")
                        made.start("n1")
                    case _:
                        continue
                tried.times += 1
            register(made, {name: drawn() for name in names})
            settle_down(client, ["steady", *names])
        made.judged(tried, names)


def _there(client: Client, name: str) -> bool:
    return name in {schedule.id for schedule in client.list()}


def test_a_job_that_kills_its_node_is_given_up_and_retried_once_by_hand(
    tmp_path: Path, url: str
) -> None:
    schedules: dict[str, dict[str, object]] = {
        "poison": {"cron": "0 0 1 1 *", "run": POISON, "cwd": str(tmp_path)},
        "healthy": {"cron": "* * * * * *", "run": command("true")},
    }
    with (
        playing(tmp_path, url, ("2s", "2s")) as made,
        trying("a job that kills its node", "F33") as tried,
    ):
        register(made, schedules)

        def start() -> None:
            made.start("n1")
            (tmp_path / "node.pid").write_text(str(made.nodes["n1"].pid))

        start()
        with Client(made.store) as client:
            poisoned = client.trigger("poison", key="once").id

            def given_up() -> bool:
                if made.nodes["n1"].poll() is not None:
                    start()  # as systemd would
                return client.job(poisoned).settled

            until(given_up, "the job to be given up")
            ended = client.job(poisoned)
            assert (ended.state, [each.outcome for each in ended.attempts]) == (
                "failed",
                ["lost"] * 4,
            )
            # What ran beside it each time dies with its node, and may be given up, too.
            (letter,) = [each for each in client.dead_letters() if each.job_id == poisoned]
            assert letter.kind == "job"
            client.pause("poison")
            register(made, {"poison": {"cron": "0 0 1 1 *", "run": command("true")}})
            again = client.retry_dead(letter.id)
            assert poisoned not in [each.job_id for each in client.dead_letters()]
            until(lambda: client.job(again[0].id).state == "completed", "the retry")
            settle_down(client, list(schedules))
        made.judged(tried, list(schedules))
        tried.times = 4


@pytest.mark.parametrize("misfire", ["skip", "catch_up_one", "catch_up_all"])
def test_a_week_without_nodes_is_decided_at_once_and_every_slot_has_its_record(
    tmp_path: Path, url: str, misfire: Any
) -> None:
    clock = ManualClock(SystemClock().now() - 7 * DAY)
    with (
        playing(tmp_path, url, ("2s", "4s")) as made,
        trying(f"all nodes down for a week, {misfire}", "F23") as tried,
    ):
        with Client(made.store, create=True, clock=clock) as client:
            client.register(
                Schedule(id="down", cron="* * * * * *", run=command("true"), misfire=misfire)
            )
        made.start("n1")
        with Client(made.store) as client:
            until(lambda: len(made.done()) >= (100 if misfire == "catch_up_all" else 3), "jobs")
            settle_down(client, ["down"])
        made.judged(tried, ["down"])
        assert tried.slots > 600_000
        tried.times = 1


def test_a_long_queue_drains_and_what_is_due_meanwhile_is_not_held_up(
    tmp_path: Path, url: str
) -> None:
    with (
        playing(tmp_path, url, ("2s", "4s")) as made,
        trying("a long queue, and what is due meanwhile", "F22") as tried,
    ):
        register(
            made,
            {
                "queue": {"cron": "0 0 1 1 *", "run": command("true")},
                "due": {"cron": "* * * * * *", "run": command("true")},
            },
        )
        with Client(made.store) as client:
            for number in range(BACKLOG):
                client.trigger("queue", key=str(number))
            made.start("n1")
            until(
                lambda: not client.jobs(schedule="queue", states=["queued", "running"], limit=1),
                "the queue to drain",
            )
            until(lambda: "due" in [each.schedule_id for each in client.jobs()], "a slot to come")
            settle_down(client, ["due", "queue"])
            late = [job.lateness for job in client.jobs(schedule="due") if job.lateness is not None]
            tried.notes.append(f"the latest start of what came due was {max(late)} late")
        made.judged(tried, ["due", "queue"])
        tried.times = 1
