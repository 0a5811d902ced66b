"""Commands on jobs, as far as they need no running node."""

import json
import re
import signal
import subprocess
import sys
from typing import Any

JOB_FIELDS = [
    "id",
    "schedule_id",
    "kind",
    "slot",
    "key",
    "retry_of",
    "state",
    "attempt",
    "max_attempts",
    "node",
    "fence",
    "run_at",
    "created_at",
    "started_at",
    "finished_at",
    "lateness_ms",
    "duration_ms",
    "exit_code",
    "error",
    "result",
    "deduplicated",
    "cancel_requested_at",
]
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"


def register(cli: Any, name: str = "x", *words: str) -> None:
    answer = cli("register", name, "--cron", "0 0 1 1 *", *words, "--", "true")
    assert answer.status == 0, answer.err


def test_a_trigger_needs_no_node_and_tells_the_job(cli):
    register(cli)
    answer = cli("trigger", "x", "--key", "deploy-42")
    assert (answer.status, answer.out) == (0, "manual:x:deploy-42  queued\n")
    job = cli("job", "manual:x:deploy-42", "--json").json
    assert list(job) == [*JOB_FIELDS, "attempts", "output", "output_truncated"]
    assert job["state"] == "queued"
    assert job["kind"] == "manual"
    assert job["key"] == "deploy-42"
    assert job["slot"] is None
    assert job["deduplicated"] is False
    assert job["attempts"] == []
    assert job["output"] == ""
    assert re.fullmatch(INSTANT, job["created_at"])


def test_the_same_key_finds_the_first_job(cli):
    register(cli)
    first = cli("trigger", "x", "--key", "k", "--json").json
    assert list(first) == JOB_FIELDS
    again = cli("trigger", "x", "--key", "k", "--json").json
    assert again["id"] == first["id"]
    assert again["deduplicated"] is True
    assert "not run again" in cli("trigger", "x", "--key", "k").out
    assert len(cli("jobs", "--json").json) == 1


def test_the_same_key_with_another_input_is_refused(cli):
    register(cli)
    cli("trigger", "x", "--key", "k", "--input", "1")
    answer = cli("trigger", "x", "--key", "k", "--input", "2", "--json")
    assert answer.status == 2
    assert answer.error["code"] == "key_conflict"
    assert answer.out == ""


def test_a_trigger_that_overlap_forbids_is_refused_unless_forced(cli):
    register(cli, "x", "--overlap", "skip")
    assert cli("trigger", "x").status == 0
    refused = cli("trigger", "x", "--json")
    assert refused.status == 1
    assert refused.error["code"] == "refused"
    assert cli("trigger", "x", "--force").status == 0


def test_waiting_ends_with_1_when_the_time_is_over_and_the_job_goes_on(cli):
    register(cli)
    answer = cli("trigger", "x", "--key", "k", "--wait", "--wait-timeout", "50ms")
    assert answer.status == 1
    assert answer.err.startswith(
        "error: manual:x:k is queued: it has not ended within 50ms\nhint: "
    )
    assert cli("job", "manual:x:k", "--json").json["state"] == "queued"


def test_jobs_are_listed_newest_first_and_selected(cli):
    for name in ("x", "y"):
        register(cli, name)
    for key in ("1", "2"):
        for name in ("x", "y"):
            cli("trigger", name, "--key", key)

    def ids(*words: str) -> list[str]:
        return [one["id"] for one in cli("jobs", "--json", *words).json]

    assert ids("--schedule", "x") == ["manual:x:2", "manual:x:1"]
    assert len(ids()) == 4
    assert len(ids("-n", "3")) == 3
    assert ids("--schedule", "nobody") == []
    assert ids("--state", "running") == []
    assert len(ids("--state", "queued", "--state", "running")) == 4
    assert len(ids("--since", "1h")) == 4
    assert ids("--since", "2100-01-01T00:00:00Z") == []
    assert list(cli("jobs", "--json").json[0]) == JOB_FIELDS


def test_jobs_in_a_pipe_are_plain_aligned_and_absolute(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    (header, line) = cli("jobs").out.splitlines()
    assert header.split() == ["JOB", "STATE", "AT", "TOOK", "TRY", "NODE", "ERROR"]
    assert re.fullmatch(rf"manual:x:1  queued  {INSTANT}  -     0    -     -", line)


def test_no_jobs_are_an_empty_list(cli):
    register(cli)
    assert cli("jobs", "--json").out == "[]\n"
    assert cli("jobs").status == 0


def test_jobs_of_a_removed_schedule_are_still_listed(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    cli("unregister", "x")
    (job,) = cli("jobs", "--schedule", "x", "--json").json
    assert job["state"] == "cancelled"
    assert job["error"] == "unregistered"


def test_a_job_that_has_not_started_is_cancelled_and_twice_is_no_error(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    assert cli("cancel", "manual:x:1").out.startswith("manual:x:1  cancelled")
    assert cli("cancel", "manual:x:1", "--json").json[0]["state"] == "cancelled"


def test_of_several_jobs_an_unknown_one_cancels_none(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    assert cli("cancel", "manual:x:1", "manual:x:2").status == 3
    assert cli("job", "manual:x:1", "--json").json["state"] == "queued"


def test_a_job_that_has_ended_is_run_once_more(cli):
    register(cli)
    cli("trigger", "x", "--key", "1", "--input", '{"n": 7}')
    unsettled = cli("retry", "manual:x:1")
    assert unsettled.status == 1
    cli("cancel", "manual:x:1")
    (again,) = cli("retry", "manual:x:1", "--json").json
    assert again["kind"] == "retry"
    assert again["retry_of"] == "manual:x:1"
    assert again["id"].startswith("retry:x:")


def test_logs_of_a_job_that_wrote_nothing_are_empty(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    assert cli("logs", "x").out == ""
    assert cli("logs", "x", "--json").json == {
        "id": "manual:x:1",
        "output": "",
        "output_truncated": False,
    }


def test_status_and_nodes_have_their_fields(cli):
    register(cli)
    cli("trigger", "x", "--key", "1")
    status = cli("status", "--json").json
    assert list(status) == [
        *("leader", "epoch", "nodes", "schedules", "paused", "scheduled", "queued", "running"),
        *("dead_letters", "dead_letters_trimmed", "overdue", "oldest_due_at", "counters"),
    ]
    assert list(status["counters"]) == [
        *("leader_changes", "dispatch_submitted", "dispatch_failed", "dispatch_retried"),
        *("dispatch_skipped", "dispatch_dlq", "trigger_submitted", "trigger_failed"),
        *("trigger_rejected", "tick_errors", "last_tick_at"),
    ]
    assert status["leader"] is None
    assert status["schedules"] == 1
    assert status["queued"] == 1
    assert status["counters"]["trigger_submitted"] == 1
    assert "nobody leads" in cli("status").out
    assert cli("nodes", "--json").json == []
    assert cli("nodes").out == ""


def test_watched_jobs_are_told_with_each_change_until_interrupted(cli, begin):
    register(cli)
    cli("trigger", "x", "--key", "1")
    child = begin("jobs", "--watch", "--json")
    first = json.loads(child.stdout.readline())
    assert (first["id"], first["state"]) == ("manual:x:1", "queued")
    cli("cancel", "manual:x:1")
    assert json.loads(child.stdout.readline())["state"] == "cancelled"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, b"", b"")


def test_watched_jobs_are_one_live_page_on_a_terminal(cli, screen):
    cli("register", "x", "--cron", "0 0 1 1 *", "--", "true")
    cli("trigger", "x", "--key", "before")
    page = screen("jobs", "--watch", "--schedule", "x")
    page.until("manual:x:before")
    assert "\x1b[?1049h" in page.written  # the other screen: what was there comes back
    cli("trigger", "x", "--key", "seen")
    page.until("manual:x:seen")
    cli("cancel", "manual:x:seen")
    page.until("cancelled")
    status, written = page.interrupt()
    assert status == 130
    assert "\x1b[?1049l" in written


def test_watched_jobs_are_lines_on_a_pipe(cli, begin):
    register(cli)
    cli("trigger", "x", "--key", "1")
    child = begin("jobs", "--watch")
    assert child.stdout.readline() == b"manual:x:1  queued\n"
    cli("cancel", "manual:x:1")
    assert child.stdout.readline().startswith(b"manual:x:1  cancelled")


def test_a_watched_status_is_one_live_page_on_a_terminal(cli, screen):
    cli("register", "x", "--cron", "0 0 1 1 *", "--", "true")
    page = screen("status", "--watch")
    page.until("nobody leads")
    assert "\x1b[?1049h" in page.written  # the other screen: what was there comes back
    cli("trigger", "x", "--key", "seen")
    page.until("1 queued")
    status, written = page.interrupt()
    assert status == 130
    assert "\x1b[?1049l" in written


def test_a_watched_status_is_told_with_each_change(cli, begin):
    register(cli)
    child = begin("status", "--watch", "--json")
    assert json.loads(child.stdout.readline())["queued"] == 0
    cli("trigger", "x", "--key", "1")
    told: dict[str, Any] = {}
    while told.get("queued") != 1:  # the counters may be told before
        told = json.loads(child.stdout.readline())


def test_waiting_that_is_interrupted_ends_with_130(cli, begin):
    register(cli)
    child = begin("trigger", "x", "--key", "1", "--wait")
    watching = begin("jobs", "--watch", "--json")
    assert json.loads(watching.stdout.readline())["id"] == "manual:x:1"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, b"", b"")
    assert cli("job", "manual:x:1", "--json").json["state"] == "queued"


def test_a_reader_that_goes_away_is_no_error(cli):
    register(cli)
    for key in range(5):
        cli("trigger", "x", "--key", str(key))
    line = f"{sys.executable} -m synccron jobs | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=30)
    assert ended.stderr == b""
    assert ended.returncode in (0, 141)


def test_a_terminal_gets_colour_and_relative_times_and_a_pipe_does_not(cli, terminal):
    register(cli)
    cli("trigger", "x", "--key", "1")
    cli("cancel", "manual:x:1")
    shown = terminal("jobs")
    assert shown.status == 0
    assert "\x1b[33mcancelled" in shown.out
    assert re.search(r" (now|\d+s ago) ", shown.out)
    assert "\x1b" not in terminal("jobs", NO_COLOR="1").out
    assert "\x1b" not in terminal("jobs", TERM="dumb").out
    assert "\x1b" not in terminal("jobs", "--no-color").out
    assert re.search(r" (now|\d+s ago) ", terminal("jobs", "--no-color").out)
    assert "\x1b" not in cli("jobs").out
    assert "\x1b[31mfailing" in terminal("ls").out
    assert "in " in terminal("ls").out


def test_json_on_a_terminal_is_still_one_document(cli, terminal):
    register(cli)
    assert json.loads(terminal("ls", "--json").out)[0]["id"] == "x"
