"""Backup and restore, as users call them: files, rights, exit statuses, what was lost meanwhile."""

import json
import os
import stat
from pathlib import Path

import pytest

from synccron.client import Client, Schedule
from synccron.client.copies import look
from synccron.clock import ManualClock
from synccron.errors import InvalidInput
from synccron.model.copy import Base
from synccron.model.job import Admission
from synccron.model.lease import Node
from synccron.model.time import HOUR
from synccron.store import open_store
from synccron.store.copy import lines


@pytest.fixture
def copy(cli, tmp_path):
    """A copy of a store with a schedule, a job and a dead key."""
    cli("register", "backup", "--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--", "true")
    cli("register", "often", "--cron", "* * * * *", "--owner", "web", "--", "true")
    cli("trigger", "backup", "--key", "k1")
    cli("pause", "often", "--reason", "holiday")
    path = tmp_path / "synccron.copy"
    told = cli("backup", str(path), "--json")
    assert told.status == 0
    assert told.json["records"]["schedules"] == 2
    return path


@pytest.fixture
def elsewhere(tmp_path):
    return str(tmp_path / "elsewhere" / "synccron.db")


def test_a_restored_store_shows_the_same(cli, copy, elsewhere):
    told = cli("restore", str(copy), "--store", elsewhere)
    assert told.status == 0
    assert told.out.startswith(f"restored {copy}, as it was at ")
    assert cli("ls", "--json", "--store", elsewhere).json == cli("ls", "--json").json
    assert cli("jobs", "--json", "--store", elsewhere).json == cli("jobs", "--json").json
    assert (
        cli("show", "often", "--json").json
        == cli("show", "often", "--json", "--store", elsewhere).json
    )
    again = cli("trigger", "backup", "--key", "k1", "--json", "--store", elsewhere)
    assert again.json["deduplicated"]


def test_a_copy_is_for_its_owner_alone_and_replaces_an_older_one(cli, copy):
    old = os.umask(0)
    try:
        assert cli("backup", str(copy)).status == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in copy.parent.iterdir() if "copy" in each.name] == [copy.name]


def test_a_copy_can_go_through_a_pipe(cli, copy, tmp_path, elsewhere):
    other = tmp_path / "piped"
    assert copy.exists()
    other.write_text(cli("backup", "-").out)
    assert cli("restore", str(other), "--store", elsewhere).status == 0


def test_a_copy_that_is_not_whole_is_refused_wherever_it_is_torn(copy, tmp_path):
    content = copy.read_bytes()
    torn = tmp_path / "torn"
    ends = [n for n, byte in enumerate(content) if byte == 10]
    for end in (0, 1, *ends[:-1], *(each + 1 for each in ends[:-1]), len(content) - 2):
        torn.write_bytes(content[:end])
        with pytest.raises(InvalidInput):
            look(torn)


def test_a_copy_with_another_byte_anywhere_is_refused(copy, tmp_path):
    content = bytearray(copy.read_bytes())
    for at in range(0, len(content) - 1, 97):
        changed = content.copy()
        changed[at] ^= 1
        other = tmp_path / "changed"
        other.write_bytes(changed)
        with pytest.raises(InvalidInput):
            look(other)


def test_a_bad_copy_makes_no_store_and_ends_with_2(cli, copy, elsewhere):
    copy.write_bytes(b"".join(copy.read_bytes().splitlines(keepends=True)[:-1]))
    told = cli("restore", str(copy), "--store", elsewhere)
    assert told.status == 2
    assert told.err.splitlines() == [
        f"error: {copy} is not whole: its last line is missing",
        "hint: nothing was restored: it takes a copy that is whole",
    ]
    assert not Path(elsewhere).exists()


@pytest.mark.parametrize("content", ["", "{}\n", "schedules: {}\n"], ids=["empty", "json", "yaml"])
def test_what_is_no_copy_is_called_so(cli, tmp_path, elsewhere, content):
    path = tmp_path / "x"
    path.write_text(content)
    told = cli("restore", str(path), "--store", elsewhere)
    assert (told.status, told.err.splitlines()[0]) == (2, f"error: {path} is no copy of a store")


def test_a_copy_of_a_later_form_or_with_what_only_a_later_version_knows_is_refused(copy, tmp_path):
    later = tmp_path / "later"
    later.write_bytes(copy.read_bytes().replace(b'"copy":1', b'"copy":2'))
    with pytest.raises(InvalidInput, match="in a later form"):
        look(later)
    base = Base(fence=1, epoch=1, in_order=True)
    first, second, *rest = lines([base], 0, "9.9")
    second = second.replace(b'"fence"', b'"further":1,"fence"')
    later.write_bytes(b"".join([first, second, *rest]))
    with pytest.raises(InvalidInput, match="later version of synccron") as caught:
        look(later)
    assert caught.value.hint == "install the newer version here too"


def test_a_store_that_is_not_empty_is_left_as_it_is(cli, copy):
    before = cli("ls", "--json").json
    told = cli("restore", str(copy))
    assert told.status == 1
    assert told.err.startswith("error: the store is not empty")
    assert cli("ls", "--json").json == before


@pytest.mark.parametrize("place", ["the store", "/dev/null", "another file"])
def test_what_is_no_copy_is_never_replaced(cli, copy, store, tmp_path, place):
    assert copy.exists()
    other = tmp_path / "other"
    other.write_text("mine")
    path = {"the store": store, "another file": other}.get(place, Path("/dev/null"))
    told = cli("backup", str(path))
    assert told.status == 2
    assert "is no copy of a store: it was not replaced" in told.err
    assert other.read_text() == "mine"
    assert len(cli("ls", "--json").json) == 2
    assert not Path("/dev/null").is_file()


def test_what_cannot_be_written_is_said_in_a_line(cli, copy):
    told = cli("backup", "/proc/nowhere/x")
    assert told.status == 2
    assert told.err.startswith("error: /proc/nowhere/x cannot be written: ")
    assert cli("backup", str(copy), "--store", "/nowhere/x.db").status == 4


@pytest.mark.parametrize(
    ("on_lost", "cancelled", "state"),
    [("rerun", False, "queued"), ("fail", False, "failed"), ("rerun", True, "cancelled")],
)
def test_what_ran_when_the_copy_was_made_is_lost(tmp_path, on_lost, cancelled, state):
    clock = ManualClock()
    with Client(str(tmp_path / "a.db"), create=True, clock=clock) as client:
        client.register(Schedule(id="s", cron="@daily", run="true", on_lost=on_lost))
        job = client.trigger("s", key="k")
        with open_store(str(tmp_path / "a.db"), clock=clock) as store:
            node = Node(
                id="n", session="s", host="h", pid=1, version="0", started_at=0, tzdata="",
                concurrency=1,
            )  # fmt: skip
            at = store.join(node, HOUR)
            (candidate,) = store.waiting(frozenset({"run"}), clock.now(), 5)
            (claim,) = store.claim(at, [Admission(candidate=candidate)], clock.now())
            assert claim is not None
            if cancelled:
                client.cancel(job.id)
            client.backup(tmp_path / "copy")
    copy = look(tmp_path / "copy")
    assert list(copy.running) == [job.id]
    with Client(str(tmp_path / "b.db"), create=True, clock=clock) as client:
        client.restore(copy)
        found = client.job(job.id)
        assert (found.state, found.attempts[0].outcome) == (state, "lost")
        assert len(client.dead_letters()) == (state == "failed")
        assert client.trigger("s", key="k").state == state


def test_the_answer_in_json_has_the_records(cli, copy, elsewhere):
    told = cli("restore", str(copy), "--store", elsewhere, "--json").json
    assert told["file"] == str(copy)
    assert told["records"]["jobs"] == 1
    assert json.loads(copy.read_bytes().splitlines()[0])["synccron"]["copy"] == 1
