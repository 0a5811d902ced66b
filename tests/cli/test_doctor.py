"""`doctor` on real stores and hosts' files; what its findings mean is tested on values."""

import sqlite3
from pathlib import Path

import pytest

from synccron.cli.doctor import unit_findings
from synccron.cli.unit import Service, unit_path
from tests.etcd import Members, needed

ALWAYS = "@every 1h"


def found(document, check: str):
    return [one for one in document["findings"] if one["check"] == check]


def test_a_store_with_a_node_is_well_and_each_thing_that_was_looked_at_is_said(cli, node):
    cli("register", "x", "--cron", ALWAYS, "--", "true")
    node().until("leader_acquired")
    answer = cli("doctor", "--json")
    assert answer.status == 0, answer.json
    assert answer.json["healthy"]
    checks = {one["check"] for one in answer.json["findings"]}
    assert checks >= {"integrity", "layout", "latency", "disk", "nodes", "leader", "tzdata"}
    assert checks >= {"clock", "schedules", "overdue", "dlq", "containment", "unit"}
    assert list(answer.json["findings"][0]) == ["level", "check", "where", "message", "hint"]
    page = cli("doctor", "--debug")
    assert "ok       integrity" in page.out, page.err


def test_a_problem_is_exit_1_and_says_what_to_do(cli):
    cli("register", "x", "--cron", ALWAYS, "--", "true")
    answer = cli("doctor")
    assert answer.status == 1
    assert "problem  nodes       nodes: no node runs\n" in answer.out
    assert "-> start one: systemctl start synccron" in answer.out


def test_a_handler_that_nobody_offers_is_found(cli, node):
    cli("register", "x", "--cron", ALWAYS, "--handler", "nobody:has_this")
    node().until("leader_acquired")
    document = cli("doctor", "--json").json
    (one,) = found(document, "handlers")
    assert one["level"] == "problem"
    assert "x ('nobody:has_this')" in one["message"]


def test_a_damaged_store_is_told_and_not_touched(cli, store):
    cli("register", "x", "--cron", ALWAYS, "--", "true")
    with sqlite3.connect(store) as db:
        db.executescript(
            "CREATE TABLE spare (a); CREATE INDEX spare_a ON spare (a);"
            "INSERT INTO spare VALUES (1); PRAGMA writable_schema = ON;"
            "DELETE FROM sqlite_master WHERE name = 'spare_a';"
        )
    db.close()
    before = store.read_bytes()
    answer = cli("doctor", "--json")
    assert answer.status == 1
    (one,) = found(answer.json, "integrity")
    assert one["level"] == "problem"
    assert "backup" in one["hint"]
    assert store.read_bytes() == before


def test_a_store_that_is_not_there_is_exit_4(cli):
    answer = cli("doctor")
    assert answer.status == 4
    assert answer.err.startswith("error: there is no store at")


# The unit.


def unit(etc: Path, text: str) -> Path:
    path = etc / unit_path(template=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    named = etc / "synccron" / "synccron.env"
    named.parent.mkdir()
    named.write_text("SYNCCRON_STORE=/x.db\n")
    return path


TEXT = Service(program="/usr/bin/synccron", options=["--drain", "2m"]).unit()


def judged(etc: Path) -> tuple[str, str]:
    (one,) = unit_findings(etc, runs=True)
    assert one.hint is not None or one.level == "ok"
    return one.level, one.message


def test_a_host_with_systemd_and_no_unit_is_warned(tmp_path):
    assert judged(tmp_path)[0] == "warning"
    (one,) = unit_findings(tmp_path, runs=False)
    assert one.level == "ok"


@pytest.mark.parametrize("user", ["synccron", "root"])
@pytest.mark.parametrize("options", [[], ["--drain", "2m"], ["--apply", "/a b"]])
def test_a_unit_as_it_was_written_is_current(tmp_path, user, options):
    unit(tmp_path, Service(program="/usr/bin/synccron", user=user, options=options).unit())
    assert judged(tmp_path) == ("ok", "it is current")


def test_a_unit_of_another_version_is_a_warning(tmp_path):
    unit(tmp_path, TEXT.replace("WatchdogSec=60", "WatchdogSec=90"))
    assert judged(tmp_path)[0] == "warning"


def test_a_time_to_stop_that_is_shorter_than_the_drain_is_a_problem(tmp_path):
    unit(tmp_path, TEXT.replace("TimeoutStopSec=150", "TimeoutStopSec=90"))
    level, message = judged(tmp_path)
    assert level == "problem"
    assert message.startswith("TimeoutStopSec is 1m30s, shorter than the drain of 2m")


def test_what_is_dropped_in_counts(tmp_path):
    path = unit(tmp_path, TEXT)
    folder = path.with_name(f"{path.name}.d")
    folder.mkdir()
    (folder / "slow.conf").write_text("[Service]\nTimeoutStopSec=30s\n")
    assert judged(tmp_path)[0] == "problem"
    (folder / "slow.conf").write_text("[Service]\nKillMode=control-group\n")
    assert judged(tmp_path)[0] == "problem"


def test_a_unit_whose_file_of_the_store_is_gone_is_a_problem(tmp_path):
    unit(tmp_path, TEXT)
    (tmp_path / "synccron" / "synccron.env").unlink()
    found = list(unit_findings(tmp_path, runs=True))
    assert [one.level for one in found] == ["ok", "problem"]


def test_a_cluster_without_quorum_is_told_member_by_member(cli, monkeypatch):
    needed()
    members = Members(3)
    try:
        members.start()
        monkeypatch.setenv("SYNCCRON_STORE", members.url())
        cli("register", "x", "--cron", ALWAYS, "--", "true")
        members.members[0].kill()
        members.members[1].kill()
        answer = cli("doctor", "--json", "--store-timeout", "2s")
        assert answer.status == 1
        told = {(one["check"], one["where"]) for one in answer.json["findings"]}
        assert ("members", f"127.0.0.1:{members.members[0].port}") in told
        assert ("members", f"127.0.0.1:{members.members[1].port}") in told
        assert ("store", members.url()) in told
    finally:
        members.close()


def test_a_unit_that_cannot_be_read_is_a_warning(tmp_path):
    unit(tmp_path, "[Service]\nTimeoutStopSec=infinity\nExecStart=/usr/bin/synccron run\n")
    assert judged(tmp_path)[0] == "warning"
