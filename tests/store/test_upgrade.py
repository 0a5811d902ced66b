"""Stores of released versions are read and written on by this one, and by its neighbours beside it.

`released/` has what the released programs themselves wrote; those files are never made anew.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.errors import StoreNewer
from synccron.model.job import Attempt, Job
from synccron.model.lease import Node
from synccron.model.schedule import Definition, Retry, Schedule
from synccron.store.base import EVERYTHING
from synccron.store.codec import encode
from synccron.store.history import read_all
from synccron.store.released import FIRST
from synccron.store.sqlite import connection, schema, store, writer
from synccron.store.sqlite.store import SqliteStore
from tests.make import NOW, definition
from tests.store.conftest import Place

RELEASED = Path(__file__).parent / "released"
JOBS = {
    "every-second:20261124T225715Z": "completed",
    "manual:fails:k1": "failed",
    "manual:backup:deploy-42": "completed",
    "manual:hangs:h1": "running",
    "manual:retries:r1": "scheduled",
    "submit:billing:invoice:s1": "queued",
}


@pytest.fixture
def first(place: Place) -> Place:
    """A file as the first released version left it: it was killed with a job running."""
    place.folder.mkdir(mode=0o700)
    place.path.touch(mode=0o600)
    database = sqlite3.connect(place.path)
    database.executescript((RELEASED / "sqlite-1.sql").read_text(encoding="utf-8"))
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    return place


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A program whose layout has one more column than this one's; undone, it is this one again."""
    steps = (*schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN further TEXT")
    monkeypatch.setattr(writer, "MIGRATIONS", steps)
    for module in (connection, store):
        monkeypatch.setattr(module, "VERSION", len(steps))
    yield monkeypatch
    monkeypatch.undo()


def layout(place: Place) -> tuple[int, int]:
    """What the file says that a program must know, and the newest step that was made."""
    database = sqlite3.connect(place.path)
    (needed,) = database.execute("PRAGMA user_version").fetchone()
    steps = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'layout'").fetchone()
    made = database.execute("SELECT max(version) FROM layout").fetchone()[0] if steps else needed
    database.close()
    return needed, made


def register(opened: SqliteStore, name: str = "more") -> bool:
    from synccron.model.change import register as registering

    change = registering(None, definition(id=name), NOW, "me@here", "2026f")
    assert change is not None
    return opened.apply([change])


def test_a_file_of_the_first_version_is_read_whole(first: Place) -> None:
    with Client(str(first.path)) as client:
        schedules = {each.id: each for each in client.list()}
        assert set(schedules) == {
            "backup", "every-second", "fails", "handled", "hangs", "retries", "sleeping",
        }  # fmt: skip
        assert schedules["backup"].to_json()["retry"]["max_attempts"] == 3
        assert schedules["handled"].input == {"currency": "EUR", "list": [1, 2.5, None, "ü"]}
        assert (schedules["fails"].paused, schedules["fails"].pause_reason) == (True, "holiday")
        assert [each.version for each in client.revisions("every-second")] == [2, 1]
        states = {each.id: each.state for each in client.jobs(limit=100)}
        assert states.items() >= JOBS.items()
        assert client.output("manual:backup:deploy-42") == (b"backed up\n", False)
        (letter,) = client.dead_letters()
        assert letter.job_id == "manual:fails:k1"
        again = client.trigger("backup", key="deploy-42", input={"a": 1})
        assert again.deduplicated


def test_a_file_of_the_first_version_is_written_on(first: Place) -> None:
    opened = first.open()
    assert register(opened)
    (lost,) = opened.lost(10)
    assert lost.job.id == "manual:hangs:h1"
    assert layout(first) == (schema.NEEDED, schema.VERSION)


def test_an_older_file_is_brought_to_this_layout_by_the_first_command_that_reads(
    first: Place, next_version: pytest.MonkeyPatch
) -> None:
    del next_version
    assert len(list(read_all(first.open(create=False), Schedule, EVERYTHING))) == 7
    assert layout(first) == (schema.NEEDED, schema.VERSION + 1)


def test_neighbouring_versions_work_on_one_file(
    first: Place, next_version: pytest.MonkeyPatch
) -> None:
    newer = first.open()
    assert register(newer, "of-the-newer")
    next_version.undo()
    older = first.open()
    assert register(older, "of-the-older")
    assert {"of-the-newer", "of-the-older"} <= {
        each.id for each in read_all(newer, Schedule, EVERYTHING)
    }
    assert layout(first) == (schema.NEEDED, schema.VERSION + 1)


def test_a_layout_that_only_a_later_version_can_use_is_refused_by_this_one(
    first: Place, next_version: pytest.MonkeyPatch
) -> None:
    next_version.setattr(writer, "NEEDED", schema.VERSION + 1)
    first.open()
    next_version.undo()
    before = first.path.read_bytes()
    with pytest.raises(StoreNewer, match="later version of synccron") as caught:
        first.open()
    assert caught.value.hint == "install the newer version here too"
    assert first.path.read_bytes() == before


@pytest.mark.parametrize(
    "record",
    [
        definition(),
        Retry(),
        Attempt(attempt=1, node="n", fence=1, started_at=0),
        Job(
            id="j",
            kind="slot",
            schedule_id="a",
            state="queued",
            run_at=0,
            created_at=0,
            needs="run",
        ),
        Node(
            id="n",
            session="s",
            host="h",
            pid=1,
            version="1",
            started_at=0,
            tzdata="",
            concurrency=1,
        ),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_uses_nothing_new_is_written_as_the_first_version_wrote_it(record: object) -> None:
    assert json.loads(encode(record)).keys() == FIRST[type(record).__name__]


def test_each_field_that_came_since_the_first_version_has_a_default() -> None:
    since = [each for each in fields(Definition) if each.name not in FIRST["Definition"]]
    assert since
    text = encode(definition())
    assert not any(f'"{each.name}"' in text for each in since)


def test_each_table_is_copied_or_left_out_for_a_reason(place: Place) -> None:
    copied = {
        "meta", "counters", "leader",  # as the Base
        "schedules", "tombstones", "revisions", "jobs", "outputs", "steps", "receipts", "misses",
        "dead_letters", "notices", "deeds",
    }  # fmt: skip
    left_out = {
        "nodes",  # belong to where they are
        "chunks", "followers",  # of attempts that run, and a restored store has none
        "layout",  # is the file's own
    }  # fmt: skip
    place.open()
    database = sqlite3.connect(place.path)
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    database.close()
    assert {name for (name,) in rows} == copied | left_out
