import json
import os
import re
import stat
from typing import Any

import pytest

from synccron.cli.standing import standing
from synccron.client import Client, Schedule
from synccron.clock import ManualClock, SystemClock
from synccron.model.time import DAY, parse_instant
from synccron.store import open_listing

SCHEDULE_FIELDS = [
    "id",
    "cron",
    "tz",
    "run",
    "handler",
    "input",
    "misfire",
    "max_catch_up_runs",
    "misfire_grace_ms",
    "start_within_ms",
    "overlap",
    "max_running",
    "timeout_ms",
    "kill_after_ms",
    "retry",
    "on_lost",
    "on_disconnect",
    "env",
    "cwd",
    "user",
    "limits",
    "labels",
    "node_labels",
    "strict_handlers",
    "max_dispatch_failures",
    "notify",
    "owner",
    "paused",
    "next_run_at",
    "cursor_at",
    "last_slot_at",
    "consecutive_failures",
    "last_error",
    "history_from",
    "created_at",
    "updated_at",
    "version",
]
NEW_YEAR = "0 0 1 1 *"

FILE = """\
defaults:
  tz: Europe/Berlin
schedules:
  backup:
    cron: "30 2 * * *"
    run: ["/usr/local/bin/backup", "--all"]
    labels: {team: web}
  cleanup:
    cron: "0 * * * *"
    run: echo clean
"""


@pytest.fixture
def jobs_yaml(tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE)
    return path


def ids(answer: Any) -> list[str]:
    return [one["id"] for one in answer.json]


def test_register_is_idempotent_and_says_what_it_did(cli, jobs_yaml):
    first = cli("register", "-f", str(jobs_yaml))
    assert first.status == 0
    assert first.out == "created backup\ncreated cleanup\n2 created, 0 updated, 0 unchanged\n"
    again = cli("register", "-f", str(jobs_yaml), "--json")
    assert again.json == {
        "created": [],
        "updated": [],
        "unchanged": ["backup", "cleanup"],
        "pruned": [],
    }
    jobs_yaml.write_text(FILE.replace("30 2", "31 2"))
    assert cli("register", "-f", str(jobs_yaml), "--json").json["updated"] == ["backup"]


def test_register_makes_the_store_for_nobody_else_to_read(cli, jobs_yaml, store):
    cli("register", "-f", str(jobs_yaml))
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700


def test_register_takes_several_files_a_folder_and_stdin(cli, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        text = f'schedules: {{{name}: {{cron: "@daily", run: "true"}}}}'
        (folder / f"{name}.yaml").write_text(text)
    (tmp_path / "c.yaml").write_text('schedules: {c: {cron: "@daily", run: "true"}}')
    answer = cli(
        *("register", "--json", "-f", str(folder), "-f", str(tmp_path / "c.yaml"), "-f", "-"),
        stdin='schedules: {d: {cron: "@daily", run: "true"}}',
    )
    assert sorted(answer.json["created"]) == ["a", "b", "c", "d"]


def test_a_file_with_one_bad_schedule_changes_nothing(cli, jobs_yaml, tmp_path, store):
    bad = tmp_path / "bad.yaml"
    bad.write_text('schedules:\n  x:\n    cron: "61 * * * *"\n    run: "true"\n    timezone: UTC\n')
    answer = cli("register", "-f", str(jobs_yaml), "-f", str(bad))
    assert answer.status == 2
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert all(re.match(r"error: .*bad\.yaml:\d+:\d+: ", line) for line in lines), lines
    assert len(lines) >= 2  # all errors of the file at once
    assert not store.exists()
    cli("register", "-f", str(jobs_yaml))
    assert cli("register", "-f", str(bad)).status == 2
    assert ids(cli("ls", "--json")) == ["backup", "cleanup"]


def test_errors_of_a_file_are_located_in_json_too(cli, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text('schedules:\n  x:\n    cron: "@daily"\n    run: "true"\n    timezone: UTC\n')
    answer = cli("register", "-f", str(bad), "--json")
    assert answer.status == 2
    assert answer.error["code"] == "invalid"
    (detail,) = answer.error["details"]
    assert {"file", "line", "column", "message"} <= detail.keys()
    assert detail["line"] == 5


def test_a_schedule_is_registered_without_a_file(cli):
    answer = cli(
        *("register", "nightly", "--cron", "30 2 * * *", "--tz", "Europe/Berlin"),
        *("--input", '{"a": [1]}', "--misfire", "catch_up_one", "--timeout", "2h"),
        *("--overlap", "skip", "--label", "team=web", "--label", "tier=1", "--max-attempts", "3"),
        *("--env", "MODE=full", "--cwd", "/tmp", "--json"),
        *("--", "/usr/bin/backup", "--all", "-v"),
    )
    assert answer.status == 0, answer.err
    assert answer.json["created"] == ["nightly"]
    shown = cli("show", "nightly", "--json").json
    assert shown["run"] == ["/usr/bin/backup", "--all", "-v"]
    assert shown["input"] == {"a": [1]}
    assert shown["misfire"] == "catch_up_one"
    assert shown["timeout_ms"] == 7_200_000
    assert shown["overlap"] == "skip"
    assert shown["labels"] == {"team": "web", "tier": "1"}
    assert shown["retry"]["max_attempts"] == 3
    assert shown["env"] == {"MODE": "full"}
    assert shown["cwd"] == "/tmp"
    assert shown["tz"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["../x", "--cron", "@daily"], "../x"),
        (["x", "--cron", "61 * * * *"], "61"),
        (["x", "--cron", "0 0 30 2 *"], "0 0 30 2 *"),
        (["x", "--cron", "@daily", "--tz", "Mars/Phobos"], "Mars/Phobos"),
        (["x", "--cron", "@daily", "--misfire", "maybe"], "maybe"),
        (["x", "--cron", "@daily", "--overlap", "forbid"], "forbid"),
        (["x", "--cron", "@daily", "--timeout", "soon"], "soon"),
        (["x", "--cron", "@daily", "--max-attempts", "0"], "max_attempts"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_and_nothing_is_made(cli, store, words, said):
    answer = cli("register", *words, "--", "true")
    assert answer.status == 2
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert not store.exists()


def test_a_line_for_the_shell_that_is_taken_as_a_program_is_warned_of(cli):
    answer = cli("register", "x", "--cron", "@daily", "--", "echo hi | wc")
    assert answer.status == 0
    assert "warning: 'echo hi | wc' is taken as the name of one program" in answer.err


def test_ls_in_a_pipe_is_plain_aligned_and_absolute(cli):
    cli("register", "yearly", "--cron", NEW_YEAR, "--", "true")
    cli("register", "z", "--cron", "@every 8784h", "--tz", "Asia/Tokyo", "--", "true")
    cli("pause", "z")
    lines = cli("ls").out.splitlines()
    assert lines[0].split() == ["ID", "WHEN", "TZ", "NEXT", "LAST", "STATE"]
    assert re.fullmatch(
        r"yearly  0 0 1 1 \*     UTC         \d{4}-01-01T00:00:00Z  -     ok", lines[1]
    )
    assert re.fullmatch(
        r"z       @every 8784h  Asia/Tokyo  -                     -     paused", lines[2]
    )
    assert len(lines) == 3


def test_ls_in_json_has_every_field_in_order(cli):
    cli("register", "yearly", "--cron", NEW_YEAR, "--", "true")
    (one,) = cli("ls", "--json").json
    assert list(one) == SCHEDULE_FIELDS
    assert one["retry"] == {
        "max_attempts": 1,
        "backoff": "fixed",
        "delay_ms": 1000,
        "max_delay_ms": 600_000,
    }
    assert one["next_run_at"].endswith("-01-01T00:00:00Z")
    assert one["timeout_ms"] is None
    assert one["owner"] is None
    assert one["node_labels"] == {}


def test_ls_selects_by_a_glob_and_by_labels(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    assert ids(cli("ls", "b*", "--json")) == ["backup"]
    assert ids(cli("ls", "--label", "team=web", "--json")) == ["backup"]
    assert ids(cli("ls", "--label", "team=db", "--json")) == []
    assert ids(cli("ls", "[a-c]*", "--json")) == ["backup", "cleanup"]


def test_an_empty_ls_names_its_store_on_stderr(cli, store, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    nothing = cli("ls", "zzz*")
    assert (nothing.status, nothing.out) == (0, "")
    assert nothing.err == f"no schedules match in {store}\n"
    cli("unregister", "backup", "cleanup")
    assert cli("ls").err == f"no schedules in {store}\n"
    assert cli("ls", "--json").out == "[]\n"


def test_wide_says_when_in_words_and_what_it_runs(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    (header, backup, _) = cli("ls", "-w").out.splitlines()
    assert header.split()[-4:] == ["MISFIRE", "OVERLAP", "LABELS", "RUNS"]
    assert backup.endswith("skip     allow    team=web  /usr/local/bin/backup --all")
    assert "30 2 * * *" not in backup


def test_names_are_escaped_wherever_they_are_shown(cli):
    cli("register", "x", "--cron", "@daily", "--label", "a=\x1b[2J\u202e", "--", "ev\x1bil\r", "\n")
    for words in (("ls", "-w"), ("show", "x")):
        out = cli(*words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "\r" not in out
        assert "ev\\x1bil\\r" in out
        assert "a=\\x1b[2J\\u202e" in out
    assert cli("show", "x", "--json").json["run"] == ["ev\x1bil\r", "\n"]


def test_show_tells_all_of_a_schedule(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    shown = cli("show", "backup", "--json").json
    assert list(shown) == [*SCHEDULE_FIELDS, "recent_jobs", "misses", "revisions"]
    assert [one["version"] for one in shown["revisions"]] == [1]
    assert set(shown["revisions"][0]) == {"version", "at", "by"}
    page = cli("show", "backup").out
    assert page.startswith("backup  ok\n")
    assert "30 2 * * *" in page
    assert "Europe/Berlin" in page
    assert "/usr/local/bin/backup --all" in page
    assert "revisions" in page


@pytest.mark.parametrize(
    "words",
    [
        ["show", "nope"],
        ["next", "nope"],
        ["trigger", "nope"],
        ["unregister", "backup", "nope", "cleanup"],
        ["pause", "backup", "nope"],
        ["resume", "backup", "nope"],
        ["job", "backup:20261123T220000Z"],
        ["logs", "nope"],
        ["logs", "manual:backup:nope"],
        ["logs", "backup"],
        ["cancel", "nope"],
        ["retry", "nope"],
        ["dlq", "show", "nope"],
        ["dlq", "rm", "nope"],
        ["dlq", "retry", "nope"],
    ],
)
def test_what_is_not_there_ends_with_3_and_changes_nothing(cli, jobs_yaml, words):
    cli("register", "-f", str(jobs_yaml))
    before = cli("ls", "--json").out
    answer = cli(*words)
    assert answer.status == 3
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert cli(*words, "--json").error["code"] == "not_found"
    assert cli("ls", "--json").out == before


def test_unregister_and_its_alias_remove(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    assert cli("rm", "backup").out == "unregistered backup\n"
    assert cli("unregister", "cleanup", "--json").json == {"unregistered": ["cleanup"]}
    assert cli("ls", "--json").json == []


def test_pause_and_resume(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    (paused,) = cli("pause", "backup", "--reason", "holiday", "--json").json
    assert paused["paused"] is True
    assert paused["next_run_at"] is None
    assert "paused" in cli("ls", "backup").out
    assert cli("pause", "cleanup", "--until", "2h").out == "paused cleanup\n"
    (resumed,) = cli("resume", "backup", "--json").json
    assert resumed["paused"] is False
    assert resumed["next_run_at"] is not None
    assert cli("resume", "cleanup").out.startswith("resumed cleanup, runs next ")


def test_pause_refuses_an_end_that_is_no_time(cli, jobs_yaml):
    cli("register", "-f", str(jobs_yaml))
    answer = cli("pause", "backup", "--until", "tomorrow")
    assert answer.status == 2
    assert answer.err.startswith("error: --until: 'tomorrow' is no instant")


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["show", "x"],
        ["next", "x"],
        ["unregister", "x"],
        ["pause", "x"],
        ["resume", "x"],
        ["trigger", "x"],
        ["jobs"],
        ["job", "x"],
        ["logs", "x"],
        ["cancel", "x"],
        ["retry", "x"],
        ["dlq", "ls"],
        ["nodes"],
        ["status"],
    ],
)
def test_only_register_and_run_make_a_store(cli, store, words):
    answer = cli(*words, "--json")
    assert answer.status == 4
    assert answer.error["code"] == "store_missing"
    assert answer.error["hint"]
    assert not store.exists()
    plain = cli(*words)
    assert plain.err.startswith("error: ")
    assert "\nhint: " in plain.err


def test_a_store_that_is_no_database_is_told_apart(cli, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"no database" * 1000)
    answer = cli("ls", "--store", str(other), "--json")
    assert answer.status == 4
    assert answer.error["code"] in ("store_damaged", "store_foreign")
    assert other.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize("url", ["sqlite://relative", "etcd://user:secret@host/x", "redis://x"])
def test_a_store_that_cannot_be_meant_is_refused_and_no_secret_is_printed(cli, url):
    answer = cli("ls", "--store", url)
    assert answer.status in (2, 4)
    assert "secret" not in answer.err
    assert answer.err.startswith("error: ")


def test_a_schedule_whose_next_run_has_passed_is_late(cli):
    register = ("register", "x", "--cron", "@every 1s", "--", "true")
    assert cli(*register).status == 0
    (one,) = cli("ls", "--json").json
    passed = parse_instant(one["next_run_at"]) + 5_000
    store = open_listing(os.environ["SYNCCRON_STORE"], clock=SystemClock())
    (listed,), _ = store.page(None, {}, None)
    store.close()
    for now, state in ((passed, "ok"), (passed + 1, "late")):
        assert standing(listed, None, now) == state


def test_a_long_registration_shows_its_progress_on_a_terminal_alone(cli, terminal, tmp_path):
    path = tmp_path / "many.yaml"
    lines = [f'  s{n}: {{cron: "@daily", run: "true"}}' for n in range(1000)]
    path.write_text("\n".join(["schedules:", *lines]))
    shown = terminal("register", "-f", str(path))
    assert shown.status == 0
    assert "registering" in shown.out
    assert "1000 created, 0 updated, 0 unchanged" in shown.out
    assert "created s999" not in shown.out
    again = cli("register", "-f", str(path))
    assert again.out == "0 created, 0 updated, 1000 unchanged\n"
    assert again.err == ""


def test_json_is_valid_whatever_it_carries(cli):
    cli("register", "x", "--cron", "@daily", "--input", '"\\u001b\\u202e"', "--", "true\x9b")
    out = cli("show", "x", "--json").out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out)["input"] == "\x1b\u202e"


def test_reset_cursor_leaves_a_cursor_alone_that_stands_where_it_belongs(cli):
    assert cli("register", "job", "--cron", "* * * * *", "--", "true").status == 0
    left = cli("reset-cursor", "job")
    assert (left.status, left.out) == (0, "")
    assert left.err == "job is left alone: its cursor stands where it belongs\n"
    assert cli("reset-cursor", "job", "--json").json == {"reset": [], "left": ["job"]}
    assert cli("reset-cursor", "job", "nowhere").status == 3


def test_reset_cursor_brings_back_what_a_wrong_clock_left(cli, store):
    assert cli("register", "other", "--cron", "@daily", "--", "true").status == 0
    wrong = ManualClock(SystemClock().now() + 30 * DAY)
    with Client(str(store), clock=wrong) as client:
        client.register(Schedule(id="job", cron="* * * * *", run="true"))
    told = cli("why", "job")
    assert "stranded" in told.out
    assert "'synccron reset-cursor job' brings it back." in told.out
    told = cli("reset-cursor", "job", "other")
    assert (told.status, told.err) == (
        0,
        "other is left alone: its cursor stands where it belongs\n",
    )
    assert told.out.startswith("reset job, runs next ")
    assert cli("why", "job", "--json").json["next"]["verdict"] == "nobody_leads"
    assert "its cursor, reset" in cli("show", "job").out
    assert cli("audit").status == 0
