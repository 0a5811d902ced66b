"""The audit, as people and scripts see it."""

import sqlite3

import pytest

from synccron.client import Client, Schedule
from synccron.clock import ManualClock, SystemClock
from synccron.model.time import HOUR, to_datetime


@pytest.fixture
def history(cli, store):
    """A schedule of every minute that was paused for an hour, an hour ago."""
    assert cli("register", "other", "--cron", "@every 9h", "--", "true").status == 0
    clock = ManualClock(SystemClock().now() // HOUR * HOUR - 2 * HOUR)
    with Client(str(store), clock=clock) as client:
        client.register(Schedule(id="job", cron="* * * * *", run="true"))
        client.pause("job")
        clock.jump(HOUR)
        client.resume("job")
        client.pause("job")
    return to_datetime(clock.now())


@pytest.mark.usefixtures("history")
def test_a_whole_history_is_said_in_one_line(cli):
    told = cli("audit", "job")
    assert (told.status, told.err) == (0, "")
    line = "1 schedules, 60 slots: 0 jobs, 60 missed: each has exactly one record\n"
    assert told.out == line
    assert cli("audit", "--json").json == {
        "schedules": 2,
        "slots": 60,
        "jobs": 0,
        "missed": 60,
        "violations": [],
    }


@pytest.mark.usefixtures("history")
def test_slots_without_a_record_are_named_and_the_answer_is_no(cli, store):
    with sqlite3.connect(store) as database:
        database.execute("UPDATE misses SET first = first + 120000, count = count - 2")
    database.close()
    told = cli("audit")
    assert told.status == 1
    assert "no slot vanishes: job: 2 slots from" in told.out
    assert told.out.endswith("58 missed: 1 violations\n")
    found = cli("audit", "job", "--json")
    assert (found.status, len(found.json["violations"])) == (1, 1)
    assert cli("audit", "--since", "10m").status == 0
    assert cli("audit", "nowhere").status == 3


def test_an_audit_beside_running_nodes_calls_nothing_wrong(cli, node):
    for name in ("a", "b"):
        assert cli("register", name, "--cron", "* * * * * *", "--", "true").status == 0
    running = node("--id", "n1")
    running.until("job_settled")
    for turn in range(4):
        assert cli("audit").status == 0
        assert cli("pause" if turn % 2 == 0 else "resume", "a").status == 0
        assert cli("register", "b", "--cron", f"*/{turn + 2} * * * * *", "--", "true").status == 0
        running.until("job_settled")
    found = cli("audit", "--json")
    assert (found.status, found.json["violations"]) == (0, [])
    assert found.json["slots"] >= 5
