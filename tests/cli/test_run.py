"""A node as users start it, and the commands that need one."""

import json
import re
import signal
from typing import Any

import pytest

ALWAYS = "0 0 1 1 *"


def register(cli: Any, name: str, command: str, *words: str) -> None:
    answer = cli("register", name, "--cron", ALWAYS, *words, "--", "sh", "-c", command)
    assert answer.status == 0, answer.err


@pytest.fixture
def running(node):
    one = node("--id", "n1", "--lease", "1s")
    one.until("leader_acquired")
    return one


@pytest.mark.usefixtures("running")
def test_waiting_streams_the_output_and_ends_as_the_job_did(cli):
    register(cli, "good", "echo one; echo two >&2")
    good = cli("trigger", "good", "--key", "1", "--wait")
    assert good.status == 0
    assert sorted(good.out.splitlines()) == ["one", "two"]
    assert good.err.startswith("manual:good:1  completed  after ")
    register(cli, "bad", "echo no; exit 7")
    bad = cli("trigger", "bad", "--wait", "--wait-timeout", "30s")
    assert bad.status == 1
    assert bad.out == "no\n"
    assert "failed" in bad.err


@pytest.mark.usefixtures("running")
def test_waiting_with_json_gives_the_settled_job_on_stdout_and_its_output_on_stderr(cli):
    register(cli, "bad", "echo no; exit 7")
    answer = cli("trigger", "bad", "--key", "1", "--wait", "--json")
    assert answer.status == 1
    assert answer.json["state"] == "failed"
    assert answer.json["exit_code"] == 7
    assert answer.err == "no\n"


@pytest.mark.usefixtures("running")
def test_a_job_is_shown_with_its_attempts_and_output(cli):
    register(cli, "bad", "cat; echo; echo no; exit 7", "--max-attempts", "2")
    cli("trigger", "bad", "--key", "1", "--input", '{"n": 1}', "--wait")
    job = cli("job", "manual:bad:1", "--json").json
    assert [one["outcome"] for one in job["attempts"]] == ["failed", "failed"]
    assert [one["exit_code"] for one in job["attempts"]] == [7, 7]
    assert job["node"] == "n1"
    assert job["output"] == '{"n":1}\nno\n'
    page = cli("job", "manual:bad:1").out
    assert page.startswith("manual:bad:1  failed\n")
    assert "attempts (2 at most)" in page
    assert page.endswith('{"n":1}\nno\n')


@pytest.mark.usefixtures("running")
def test_logs_give_all_attempts_where_they_ran(cli):
    register(cli, "bad", "echo attempt $SYNCCRON_ATTEMPT; exit 1", "--max-attempts", "2")
    cli("trigger", "bad", "--key", "1", "--wait")
    assert cli("logs", "manual:bad:1").out == "attempt 1\nattempt 2\n"
    assert cli("logs", "bad").out == "attempt 1\nattempt 2\n"
    assert cli("logs", "bad", "-f").out == "attempt 1\nattempt 2\n"
    lines = cli("logs", "bad", "-f", "--json").out.splitlines()
    told = [json.loads(line) for line in lines]
    assert [list(one) for one in told] == [["id", "attempt", "ts", "output"]] * 2
    assert [(one["attempt"], one["output"]) for one in told] == [
        (1, "attempt 1\n"),
        (2, "attempt 2\n"),
    ]
    assert told[0]["ts"] <= told[1]["ts"]


@pytest.mark.usefixtures("running")
def test_logs_tell_when_each_line_came(cli):
    register(cli, "x", "echo one; read line; echo two")
    cli("trigger", "x", "--key", "1", "--wait")
    lines = cli("logs", "x", "-t").out.splitlines()
    assert [line[25:] for line in lines] == ["one", "two"]
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line[:25]) for line in lines
    )
    chunks = cli("logs", "x", "--json", "-t").json["chunks"]
    assert "".join(one["output"] for one in chunks) == "one\ntwo\n"
    assert chunks[0]["ts"] == lines[0][:24]


@pytest.mark.parametrize("other", ["-t", "--json"])
def test_raw_output_is_the_output_and_nothing_else(cli, other):
    register(cli, "x", "true")
    assert cli("logs", "x", "--raw", other).status == 2


def test_logs_are_followed_until_the_job_has_ended(cli, running, tmp_path):
    gate = tmp_path / "gate"
    register(cli, "slow", f"echo begun; until [ -e {gate} ]; do sleep 0.01; done; echo over")
    cli("trigger", "slow", "--key", "1")
    running.until("job_started")
    assert "running" in cli("ls", "slow").out
    gate.touch()
    assert cli("logs", "slow", "-f").out == "begun\nover\n"


@pytest.mark.usefixtures("running")
def test_logs_fall_back_to_the_tail_that_the_store_keeps(cli, store):
    register(cli, "x", "echo kept; exit 1")
    cli("trigger", "x", "--key", "1", "--wait")
    for path in store.with_name(f"{store.name}.logs").rglob("*.log"):
        path.unlink()
    assert cli("logs", "x").out == "kept\n"
    assert cli("logs", "x", "-f").out == "kept\n"


@pytest.mark.usefixtures("running")
def test_output_is_escaped_on_a_terminal_and_whole_in_a_pipe(cli, terminal):
    register(cli, "evil", r"printf '\033]52;c;x\007\r\233\377 \342\200\256 end\n'")
    cli("trigger", "evil", "--key", "1", "--wait")
    shown = terminal("logs", "evil").out
    assert shown == "\\x1b]52;c;x\\x07\\r\\x9b\\xff \\u202e end\r\n"
    assert "\x1b]52" not in terminal("job", "manual:evil:1", "--no-color").out
    assert "\x1b]52;c;x\x07" in terminal("logs", "evil", "--raw").out
    assert cli("logs", "evil", "--json").json["output"].startswith("\x1b]52;c;x\x07\r\\x9b\\xff")
    assert cli("job", "manual:evil:1", "--json").json["output"].endswith("end\n")


def test_dead_letters_are_listed_retried_removed_and_purged(cli, running):
    register(cli, "bad", "echo no; exit 1")
    for key in ("1", "2", "3", "4"):
        cli("trigger", "bad", "--key", key, "--wait")
    found = cli("dlq", "ls", "--json").json
    assert [one["key"] for one in found] == ["4", "3", "2", "1"]
    assert list(found[0]) == [
        *("id", "kind", "schedule_id", "slot", "key", "job_id", "message", "attempts", "ts"),
        *("node", "epoch"),
    ]
    assert found[0]["kind"] == "job"
    assert found[0]["job_id"] == "manual:bad:4"
    header, *rows = cli("dlq", "ls").out.splitlines()
    assert header.split()[:3] == ["ID", "KIND", "SCHEDULE"]
    assert [row.split()[0] for row in rows] == [one["id"] for one in found]
    assert cli("dlq", "show", found[0]["id"], "--json").json == found[0]
    assert "manual:bad:4" in cli("dlq", "show", found[0]["id"]).out
    assert cli("dlq", "rm", found[0]["id"], "nope").status == 3
    assert len(cli("dlq", "ls", "--json").json) == 4

    (again,) = cli("dlq", "retry", found[3]["id"], "--json").json
    assert again["kind"] == "retry"
    assert again["retry_of"] == "manual:bad:1"
    running.until("job_settled", job_id=again["id"])
    left = cli("dlq", "ls", "--json").json
    assert found[3]["id"] not in [one["id"] for one in left]
    assert cli("dlq", "rm", found[0]["id"], "--json").json == {"removed": 1}
    assert len(cli("dlq", "retry", "--all", "--json").json) == 3
    assert cli("dlq", "purge").status == 2
    assert cli("dlq", "purge", "--yes").status == 0
    assert cli("dlq", "retry", "--all").status == 0


def test_nodes_and_status_tell_who_leads(cli, running):
    (one,) = cli("nodes", "--json").json
    assert list(one) == [
        *("id", "session", "host", "pid", "version", "leader", "epoch", "handlers", "allow_run"),
        *("labels", "concurrency", "running", "started_at", "last_seen_at"),
    ]
    assert one["id"] == "n1"
    assert one["pid"] == running.process.pid
    assert one["leader"] is True
    assert "run" in one["handlers"]
    status = cli("status", "--json").json
    assert status["leader"] == "n1"
    assert status["epoch"] == one["epoch"]
    assert status["nodes"] == 1
    assert "leader, epoch" in cli("nodes").out


def test_a_node_carries_labels_and_ls_tells_where_none_has_them(cli, node, tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "schedules:\n"
        '  near: {cron: "0 0 1 1 *", run: "true", node_labels: {zone: eu}}\n'
        '  far: {cron: "0 0 1 1 *", run: "true", node_labels: {zone: us}}\n'
    )
    assert cli("register", "-f", str(path)).status == 0
    node("--id", "n1", "--label", "zone=eu", "--label", "disk=fast").until("node_joined")
    assert cli("trigger", "near", "--wait").status == 0
    refused = cli("trigger", "far")
    assert refused.status == 1
    assert "no live node offers 'run' with zone=us, which far needs" in refused.err
    (one,) = cli("nodes", "--json").json
    assert one["labels"] == {"zone": "eu", "disk": "fast"}
    states = {line.split()[0]: line.split()[-1] for line in cli("ls").out.splitlines()[1:]}
    assert states == {"near": "ok", "far": "no-handler"}
    assert "zone=us" in cli("show", "far").out


def test_a_node_that_permits_some_commands_offers_no_others(cli, node):
    register(cli, "good", "echo a")
    register(cli, "bad", "id")
    node("--id", "n1", "--allow-run", "sh -c 'echo *'", "--allow-run", "/bin/true").until(
        "node_joined"
    )
    assert cli("trigger", "good", "--wait").status == 0
    assert cli("trigger", "bad").status == 1
    (one,) = cli("nodes", "--json").json
    assert one["allow_run"] == ["sh -c 'echo *'", "/bin/true"]
    states = {line.split()[0]: line.split()[-1] for line in cli("ls").out.splitlines()[1:]}
    assert states == {"good": "ok", "bad": "no-handler"}
    assert cli("why", "bad", "--json").json["next"]["verdict"] == "no_node"


def test_all_commands_cannot_be_refused_and_some_permitted(cli):
    answer = cli("run", "--only-handlers", "--allow-run", "true")
    assert answer.status == 2
    assert "give one of them" in answer.err


def test_a_label_that_cannot_be_one_is_refused(cli):
    for words in (("zone",), ("a b=c",)):
        answer = cli("run", "--label", *words)
        assert answer.status == 2
        assert answer.err.startswith("error: ")


@pytest.mark.usefixtures("running")
def test_a_schedule_that_no_node_offers_is_no_handler(cli):
    cli("register", "py", "--cron", ALWAYS, "--handler", "nobody-has-this")
    assert cli("ls", "py").out.splitlines()[1].endswith("no-handler")
    refused = cli("trigger", "py", "--json")
    assert refused.status == 1
    assert refused.error["code"] in ("no_handler", "refused")


@pytest.mark.usefixtures("running")
def test_a_schedule_whose_last_job_failed_is_failing(cli):
    register(cli, "bad", "exit 1")
    cli("trigger", "bad", "--wait")
    (line,) = cli("ls", "bad").out.splitlines()[1:]
    assert line.endswith("failing")
    assert "failed 2" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_lets_its_jobs_end_and_exits_with_0(
    cli, running, tmp_path, number
):
    gate = tmp_path / "gate"
    register(cli, "slow", f"until [ -e {gate} ]; do sleep 0.01; done; echo over")
    cli("trigger", "slow", "--key", "1")
    running.until("job_started")
    running.tell(number)
    running.until("leader_lost")
    gate.touch()
    running.until("job_settled", state="completed")
    status, out, _ = running.end()
    assert (status, out) == (0, "")
    assert cli("job", "manual:slow:1", "--json").json["state"] == "completed"
    assert cli("nodes", "--json").json == []


def test_a_second_signal_ends_a_node_at_once_and_its_job_is_given_back(cli, running, tmp_path):
    register(cli, "slow", f"until [ -e {tmp_path / 'never'} ]; do sleep 0.01; done")
    cli("trigger", "slow", "--key", "1")
    running.until("job_started")
    running.tell(signal.SIGTERM)
    running.until("leader_lost")
    running.tell(signal.SIGTERM)
    assert running.end()[0] == 0
    job = cli("job", "manual:slow:1", "--json").json
    assert job["state"] == "queued"
    assert job["attempts"][0]["outcome"] == "given_back"


def test_a_node_applies_its_files_at_the_start_and_on_hup(cli, node, tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(f'schedules: {{a: {{cron: "{ALWAYS}", run: "true"}}}}')
    one = node("--apply", str(path))
    one.until("leader_acquired")
    assert [each["id"] for each in cli("ls", "--json").json] == ["a"]
    path.write_text("schedules: {a: {cron: nonsense}}")
    one.tell(signal.SIGHUP)
    told = one.until("tick_error")
    assert told["level"] == "error"
    assert "jobs.yaml" in json.dumps(told)
    path.write_text(f'schedules: {{b: {{cron: "{ALWAYS}", run: "true"}}}}')
    one.tell(signal.SIGHUP)
    one.until("schedule_registered")
    assert [each["id"] for each in cli("ls", "--json").json] == ["a", "b"]


def test_a_node_with_a_bad_file_does_not_start(program, tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text("schedules: {a: {cron: nonsense}}")
    answer = program("run", "--apply", str(path))
    assert answer.status == 2
    assert answer.err.startswith(f"error: {path}:1:")


def test_a_node_that_cannot_use_its_store_ends_with_4(program, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"no database" * 1000)
    answer = program("run", "--store", str(path))
    assert answer.status == 4
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err


def test_an_id_that_is_alive_is_waited_for_and_a_signal_ends_the_wait(node):
    first = node("--id", "n1")
    first.until("leader_acquired")
    second = node("--id", "n1")
    second.until("tick_error")
    second.tell(signal.SIGTERM)
    assert second.end()[0] == 0


def test_log_lines_are_text_unless_told_otherwise(program, tmp_path):
    answer = program("run", "--store", str(tmp_path / "x" / "y.db"), "--lease", "1ms")
    assert answer.status == 2
    assert answer.err.startswith("error: lease is 1ms")


def test_an_ahead_that_a_fail_over_could_outlast_is_refused_in_one_line(program, tmp_path):
    answer = program("run", "--store", str(tmp_path / "y.db"), "--lease", "10s")
    assert answer.status == 2
    assert answer.err.splitlines() == [
        "error: ahead is 20s, expected 25s (twice the lease, and 5s) to 1m, or 0: at its instant"
    ]
    assert not (tmp_path / "y.db").exists()
