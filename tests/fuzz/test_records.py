"""Records that somebody spoilt hold up nobody else, and are told of by name."""

import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from synccron.__main__ import main
from synccron.model.job import DeadLetter
from synccron.model.time import SECOND
from synccron.store.base import Where
from tests.engine.conftest import Bench
from tests.etcd import Members
from tests.fuzz.records import EtcdPlace, Spoiling, SqlitePlace, filled, records, spoilings

if TYPE_CHECKING:
    from synccron.store.etcd.store import EtcdStore


def short(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def half_seconds(node: Bench, count: int) -> None:
    """Let the node have a turn each half second."""
    for _ in range(count):
        node.advance_to(node.clock.now() + SECOND // 2)
        node.dispatcher.turn()
        node.worker.turn()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Give a folder that is not there yet; commands are called in the test's."""
    monkeypatch.chdir(tmp_path)

    def new() -> Path:
        made = tmp_path / secrets.token_hex(4)
        made.mkdir()
        return made

    return new


def test_a_record_that_is_spoilt_in_a_file_holds_up_nobody_else(
    folder: Callable[[], Path],
) -> None:
    @short(10)
    @given(spoilings())
    def fuzz(given: tuple[int, Spoiling]) -> None:
        records(SqlitePlace(folder()), *given, some=5)

    fuzz()


@pytest.mark.usefixtures("folder")
@pytest.mark.xdist_group("etcd")
def test_a_record_that_is_spoilt_in_etcd_holds_up_nobody_else(etcd: Members) -> None:
    @short(5)
    @given(spoilings())
    def fuzz(given: tuple[int, Spoiling]) -> None:
        records(EtcdPlace(etcd.url(f"fuzz/{secrets.token_hex(8)}")), *given, some=5)

    fuzz()


def test_commands_answer_for_what_fuzzing_has_found_in_a_file(folder: Callable[[], Path]) -> None:
    # A paused schedule whose definition is gone: `ls -w` tells its cron, `resume` looks for a slot.
    records(SqlitePlace(folder()), 481, ("field", 0))


@pytest.mark.usefixtures("folder")
@pytest.mark.xdist_group("etcd")
def test_commands_answer_for_what_fuzzing_has_found_in_etcd(etcd: Members) -> None:
    # A schedule without its cursor: `backup` reads both.
    records(EtcdPlace(etcd.url(f"fuzz/{secrets.token_hex(8)}")), 238, ("gone", 0))


@pytest.mark.usefixtures("folder")
@pytest.mark.xdist_group("etcd")
@pytest.mark.parametrize("text", ["", '{"next":"x"}', '{"next":1,"later":1}', '{"next":5}'])
def test_a_schedule_in_etcd_whose_cursor_cannot_be_read_is_told_of_and_can_be_registered_anew(
    etcd: Members, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = etcd.url(f"fuzz/{secrets.token_hex(8)}")

    def told(*words: str) -> tuple[int, str]:
        status = main([*words, "--store", url])
        said = capsys.readouterr()
        return status, said.out + said.err

    with filled(url) as node:
        cluster = cast("EtcdStore", node.store).cluster
        key = cluster.layout.watched("cursor", "victim")
        draft = cluster.draft()
        draft.put(key, text.encode())
        assert cluster.commit(draft).written
        half_seconds(node, 6)
        left = cluster.one(key)
        assert left is not None
        assert left.value == text.encode()  # nobody writes what looks like its cursor
        assert "victim" in told("ls")[1]
        for command in ("show", "pause", "why"):
            status, said = told(command, "victim")
            assert (status, "a stored Cursor " in said) == (4, True), (command, said)
        assert "its slots cannot be told: a stored Cursor " in told("audit")[1]
        assert "what is stored of a schedule cannot be read: victim" in told("doctor")[1]
        node.register(id="victim", cron="* * * * * *")
        begun = len(node.handlers.runs)
        for run in node.handlers.runs:
            run.end()
        half_seconds(node, 6)
        assert "victim" in {run.invocation.schedule_id for run in node.handlers.runs[begun:]}


@pytest.mark.parametrize("text", ["{", "[]", '{"id":"victim","later":1}', "9" * 400])
def test_a_definition_that_cannot_be_read_is_given_up_at_once_and_can_be_registered_anew(
    folder: Callable[[], Path], text: str
) -> None:
    place = SqlitePlace(folder())
    with filled(place.url) as node:
        with closing(sqlite3.connect(place.url, isolation_level=None)) as db:
            db.execute("UPDATE revisions SET definition = ? WHERE schedule_id = 'victim'", (text,))
        half_seconds(node, 60)
        letters = node.store.read(DeadLetter, Where(schedule="victim")).items
        (letter,) = (each for each in letters if each.kind == "dispatch")
        assert letter.message.startswith("a stored Definition ")
        node.register(id="victim", cron="* * * * * *")
        begun = len(node.handlers.runs)
        for run in node.handlers.runs:
            run.end()
        node.advance_to(node.clock.now() + 70 * SECOND)
        half_seconds(node, 4)
        assert "victim" in {run.invocation.schedule_id for run in node.handlers.runs[begun:]}
