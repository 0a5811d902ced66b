"""Why a slot ran or did not, as people and scripts see it."""

from datetime import UTC, datetime

from synccron.client import Client, Schedule
from synccron.clock import ManualClock
from synccron.model.time import HOUR, MINUTE


def test_before_anything_ran_it_says_what_would_be_needed(cli):
    assert cli("register", "job", "--cron", "0 3 1 1 *", "--", "true").status == 0
    told = cli("why", "job")
    assert (told.status, told.err) == (0, "")
    first, following, sentence, last = told.out.splitlines()
    assert first == "job"
    assert following.startswith("next slot  ")
    assert following.endswith("T03:00:00Z  nobody_leads")
    assert (
        sentence == "  No node runs: when one starts, the newest slot runs if it is at most 1m old."
    )
    assert last == "last slot  none has come yet"
    assert cli("why", "nowhere").status == 3
    assert cli("why", "job", "--slot", "yesterday").status == 2


def test_a_slot_of_a_pause_names_who_resumed_it(cli, store):
    assert cli("register", "job", "--cron", "0 * * * *", "--", "true").status == 0
    clock = ManualClock(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000))
    with Client(str(store), clock=clock) as client:
        client.register(Schedule(id="paused", cron="* * * * *", run="true"))
        client.pause("paused")
        clock.jump(HOUR + MINUTE // 2)
        client.resume("paused")
    told = cli("why", "paused", "--slot", "2026-01-01T00:30:00Z")
    assert "that slot  2026-01-01T00:30:00Z  missed (paused)" in told.out
    assert "one of 60 slots from 2026-01-01T00:01:00Z to 2026-01-01T01:00:00Z" in told.out
    found = cli("why", "paused", "--slot", "2026-01-01T00:30:00Z", "--json").json
    assert (found["id"], found["last"]["verdict"], found["last"]["reason"]) == (
        "paused",
        "missed",
        "paused",
    )
    assert (
        list(found["next"])
        == list(found["last"])
        == [*("slot", "verdict", "reason", "text", "job_id", "by", "epoch", "decided_at")]
    )
    assert "@" in found["last"]["by"]


def test_a_job_of_a_running_node_names_leader_and_node(cli, node):
    assert cli("register", "job", "--cron", "* * * * * *", "--", "true").status == 0
    running = node("--id", "n1")
    settled = running.until("job_settled", state="completed")
    found = cli("why", "job", "--json").json
    assert (found["next"]["verdict"], found["next"]["by"]) == ("will_run", "n1")
    slot = cli("job", settled["job_id"], "--json").json["slot"]
    told = cli("why", "job", "--slot", slot, "--json").json["last"]
    assert (told["verdict"], told["by"], told["epoch"]) == ("completed", "n1", 1)
