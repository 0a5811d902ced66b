"""Who did what, as the command line tells it."""

import getpass
import os
import pwd
import socket

import pytest

from synccron.client.author import author

ME = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


@pytest.fixture
def done(cli):
    """Some of everything that commands do, the newest last."""
    cli("register", "a", "--cron", "@yearly", "--", "false")
    cli("register", "a", "--cron", "@yearly", "--", "true")
    cli("register", "a", "--cron", "@yearly", "--", "true")  # changes nothing
    cli("pause", "a", "--reason", "holiday")
    cli("pause", "a", "--reason", "holiday")  # it is paused so already
    cli("resume", "a")
    cli("trigger", "a", "--key", "k")
    cli("trigger", "a", "--key", "k")  # the same again
    cli("cancel", "manual:a:k")
    cli("retry", "manual:a:k")
    cli("unregister", "a")


def test_each_command_that_changes_something_is_told_with_who_gave_it(cli, done):  # noqa: ARG001
    found = cli("deeds", "--json").json
    assert [each["verb"] for each in found] == [
        *("unregister", "retry", "cancel", "trigger", "resume", "pause", "register", "register")
    ]
    assert {each["by"] for each in found} == {ME}
    assert list(found[0]) == ["at", "by", "verb", "schedule_id", "subject", "count", "detail"]
    details = {each["verb"]: each["detail"] for each in found[:-1]}
    assert details["pause"] == "holiday"
    assert details["retry"] == "of manual:a:k"
    assert details["register"] == "0 created, 1 updated"
    assert found[2]["subject"] == "manual:a:k"


def test_deeds_are_told_to_people_too_and_of_one_schedule(cli, done):  # noqa: ARG001
    header, first, *_ = cli("deeds", "-n", "1").out.splitlines()
    assert header.split() == ["WHEN", "BY", "DID", "TO", "WHAT", "ELSE"]
    assert first.split()[1:] == [ME, "unregister", "a", "-"]
    assert len(cli("deeds", "a", "--json").json) == 8
    assert cli("deeds", "b", "--json").json == []
    assert cli("deeds", "--since", "2099-01-01T00:00:00Z").out == ""


def test_many_that_are_registered_at_once_are_one_deed_and_told_of_each(cli, tmp_path):
    path = tmp_path / "jobs.yaml"
    lines = (f"  s{n}: {{cron: '@daily', run: 'true'}}" for n in range(40))
    path.write_text("schedules:\n" + "\n".join(lines))
    cli("register", "-f", str(path))
    (all_of_them,) = cli("deeds", "--json").json
    assert (all_of_them["count"], all_of_them["detail"]) == (40, "40 created, 0 updated")
    assert all_of_them["subject"] == "s0, s1, s2, s3, s4 and 35 more"
    (one,) = cli("deeds", "s39", "--json").json
    assert (one["verb"], one["by"], one["detail"]) == ("register", ME, "version 1")


def test_what_a_purge_removed_and_a_restore_brought_is_told(cli, tmp_path, node):
    cli("register", "bad", "--cron", "@yearly", "--", "false")
    node("--id", "n1").until("node_joined")
    cli("trigger", "bad", "--wait")
    assert cli("dlq", "purge", "--yes", "--json").json == {"removed": 1}
    purge, *_ = cli("deeds", "--json").json
    assert (purge["verb"], purge["count"]) == ("purge", 1)
    assert cli("dlq", "purge", "--yes").status == 0  # there is nothing to be removed
    assert len([each for each in cli("deeds", "--json").json if each["verb"] == "purge"]) == 1
    copy, other = str(tmp_path / "copy"), str(tmp_path / "other" / "synccron.db")
    cli("backup", copy)
    cli("restore", copy, "--store", other)
    restored, *before = cli("deeds", "--json", "--store", other).json
    assert (restored["verb"], restored["subject"], restored["by"]) == ("restore", "copy", ME)
    assert before == cli("deeds", "--json").json


def test_a_variable_does_not_make_anybody_another(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "mallory")
    assert getpass.getuser() == "mallory"
    assert author() == ME


def test_who_is_behind_sudo_is_told(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "4000000000")
    assert author() == f"uid 4000000000(root)@{socket.gethostname()}"
    monkeypatch.setattr(os, "getuid", lambda: 4000000001)
    assert author() == f"uid 4000000001@{socket.gethostname()}"
