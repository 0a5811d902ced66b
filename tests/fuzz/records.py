"""Records that somebody else wrote: one is spoilt, and everything else has to go on.

A store has two schedules with all that can hang on them. Something of the one is spoilt, past
synccron. Then nodes have to run the other in time, and commands to answer, or to say what is wrong.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st

from synccron.clock import ManualClock
from synccron.errors import SynccronError
from synccron.model.deed import Deed
from synccron.model.order import triggered
from synccron.model.schedule import Notify
from synccron.model.time import MINUTE, SECOND
from synccron.store import open_store
from synccron.store.base import Store
from tests.engine.conftest import Bench
from tests.fuzz.targets import command_line, soon

_COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("ls",), ("ls", "-w"), ("ls", "--json"), ("show", "victim"), ("show", "victim", "--json")),
    *(
        ("next", "victim"),
        ("next", "--all"),
        ("jobs",),
        ("jobs", "--json"),
        ("dlq", "ls"),
        ("nodes",),
    ),
    *(
        ("status",),
        ("doctor",),
        ("why", "victim"),
        ("audit",),
        ("deeds",),
        ("deeds", "victim"),
        ("export",),
    ),
    *(("trigger", "victim"), ("logs", "victim"), ("backup", "copy"), ("pause", "victim")),
    *(("resume", "victim"), ("register", "victim", "--cron", "@daily", "--", "true")),
    *(("job", "manual:victim:k"), ("retry", "manual:victim:k"), ("cancel", "manual:victim:k")),
    *(("dlq", "retry", "--all"), ("dlq", "purge", "--yes"), ("unregister", "victim")),
)

# What a value becomes: how, and a number that says where or which.
Spoiling = tuple[str, int]
_FOREIGN = (
    *(
        "",
        "{",
        "[]",
        "{}",
        "null",
        "true",
        "0",
        '""',
        "NaN",
        '{"a":' * 2000,
        "\x00",
        "💥",
        "9" * 400,
    ),
    *('{"id":"victim"}', '{"next":1e999}', '{"next":-1}', '{"next":9223372036854775807}'),
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        2**53,
        9223372036854775807,
        10**30,
        "",
        "x",
        "nonsense",
        [],
        {},
        [None],
    ),
    *({"a": [{}]}, "9" * 300, "\x1b]52;c;x\x07", "\u202e", "run", "* * * * *", "UTC", [[]] * 3),
)


def spoilings() -> st.SearchStrategy[tuple[int, Spoiling]]:
    """Give which record is spoilt, and how."""
    how = st.sampled_from(["field", "field", "field", "foreign", "bit", "cut", "more", "gone"])
    return st.tuples(st.integers(0, 10_000), st.tuples(how, st.integers(0, 1_000_000)))


def spoilt(value: bytes, spoiling: Spoiling) -> bytes:
    """Spoil a text: as JSON where it is some."""
    how, number = spoiling
    match how:
        case "foreign":
            return _FOREIGN[number % len(_FOREIGN)].encode()
        case "bit" if value:
            at = number // 8 % len(value)
            return value[:at] + bytes([value[at] ^ (1 << number % 8)]) + value[at + 1 :]
        case "cut":
            return value[: number % (len(value) + 1)]
        case "more":
            return value + value[: number % 50]
        case "field":
            return _field(value, number)
        case _:
            return value


def _field(value: bytes, number: int) -> bytes:
    """Give one field of a document, at any depth, another value; or one that nobody knows."""
    try:
        document = json.loads(value)
    except ValueError:
        return value[::-1]
    places = list(_places(document))
    if not places:
        return json.dumps(_VALUES[number % len(_VALUES)]).encode()
    holder, key = places[number % len(places)]
    choice = number // len(places) % (len(_VALUES) + 2)
    if choice < len(_VALUES):
        holder[key] = _VALUES[choice]
    elif isinstance(holder, dict) and choice == len(_VALUES):
        del holder[key]
    elif isinstance(holder, dict):
        holder["nobody_knows"] = 1
    return json.dumps(document).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    holders = [document]
    while holders:
        holder = holders.pop()
        keys: Sequence[Any] = ()
        if isinstance(holder, dict):
            keys = sorted(holder)
        elif isinstance(holder, list):
            keys = range(len(holder))
        for key in keys:
            yield holder, key
            holders.append(holder[key])


class Place(Protocol):
    """One kind of store, and a way past synccron to what is in it."""

    url: str

    def spoil(self, which: int, spoiling: Spoiling) -> str:
        """Spoil one record of the victim's; tell which."""


class SqlitePlace:
    """A file: the values of any row but the bystander's."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder / "synccron.db")

    def spoil(self, which: int, spoiling: Spoiling) -> str:
        """Spoil a column of a row; STRICT tables and indexes refuse some of it."""
        with closing(sqlite3.connect(self.url, isolation_level=None)) as db:
            cells = []
            for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            ).fetchall():
                if table in ("meta", "layout", "leader", "nodes"):
                    continue  # the counters of all, and the very node that has to go on
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                for place, row in enumerate(
                    db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
                ):
                    if not any("bystander" in str(each) for each in row):
                        cells += [
                            (table, place, name, each)
                            for name, each in zip(columns, row, strict=True)
                        ]
            table, place, column, value = cells[which % len(cells)]
            key = f"rowid = (SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {place})"
            if (
                "WITHOUT ROWID"
                in db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[
                    0
                ]
            ):
                key = f"{column} IS ?1"
            said = f"{table}.{column} {value!r:.80}"
            try:
                if spoiling[0] == "gone":
                    db.execute(f"DELETE FROM {table} WHERE {key}", (value,) if "?1" in key else ())
                else:
                    db.execute(
                        f"UPDATE {table} SET {column} = ?2 WHERE {key} AND ?1 IS ?1",
                        (value, _cell(value, spoiling)),
                    )
            except sqlite3.Error as error:
                return f"{said}: refused, {error}"
            return f"{said}: {spoiling}"


def _cell(value: Any, spoiling: Spoiling) -> Any:
    if isinstance(value, str):
        return spoilt(value.encode(), spoiling).decode(errors="replace")
    if isinstance(value, bytes):
        return spoilt(value, spoiling)
    numbers = (None, 0, -1, 1, 2**31, 2**53, 2**63 - 1, -(2**63), (value or 0) + 1)
    return numbers[spoiling[1] % len(numbers)]


class EtcdPlace:
    """A prefix: the values of any key but the bystander's."""

    def __init__(self, url: str) -> None:
        self.url = url

    def spoil(self, which: int, spoiling: Spoiling) -> str:
        """Spoil the value of a key."""
        from synccron.store.etcd.store import EtcdStore

        with open_store(self.url, clock=ManualClock()) as store:
            assert isinstance(store, EtcdStore)
            cluster = store.cluster
            pairs = [
                pair
                for pair in cluster.below(cluster.layout.root.encode())
                if b"bystander" not in pair.key + pair.value
                and not pair.key.endswith((b"/meta", b"/leader", b"/sums", b"/n1"))
                and b"/live/" not in pair.key
            ]
            pair = pairs[which % len(pairs)]
            draft = cluster.draft()
            if spoiling[0] == "gone":
                draft.delete(pair.key)
            else:
                draft.put(pair.key, spoilt(pair.value, spoiling), pair.lease)
            assert cluster.commit(draft).written
        return f"{pair.key!r} {pair.value!r:.80}: {spoiling}"


@contextmanager
def filled(url: str) -> Iterator[Bench]:
    """Make a store with two schedules, jobs in every state, and all that hangs on them."""
    clock = ManualClock()
    with open_store(url, create=True, clock=clock, timeout=30_000) as store:
        if url.startswith("etcd"):
            store.watch(lambda: None)
        node = Bench(store, clock, "n1", concurrency=50)
        node.elector.seek()
        told = (Notify(on=("failure", "missed"), webhook="http://127.0.0.1:9/"),)
        for name in ("victim", "bystander"):
            node.register(id=name, cron="* * * * * *", notify=told)
            node.register(id=name, cron="*/2 * * * * *", notify=told, timeout=MINUTE)
        _run(node, "failed")
        _trigger(store, node, "k")
        for run in node.run_due():
            run.end("completed", result='{"a":1}', tail=b"said")
        node.worker.settle_ended()
        _trigger(store, node, "waits")
        yield node


def _trigger(store: Store, node: Bench, key: str) -> None:
    for name in ("victim", "bystander"):
        order = triggered(node.schedule(name), key, None, node.clock.now(), active=None)
        told = Deed(
            id=secrets.token_hex(4),
            at=node.clock.now(),
            by="me@here",
            verb="trigger",
            schedule_id=name,
            subject=order.job.id,
        )
        store.enqueue(replace(order, deed=told), 0)


def _run(node: Bench, ending: Any) -> None:
    node.advance_to(node.schedule("bystander").cursor.next + SECOND)
    for run in node.run_due():
        run.end(ending, error="x", tail=b"oops")
    node.worker.settle_ended()


def records(place: Place, which: int, spoiling: Spoiling, some: int | None = None) -> None:
    """One record is spoilt: the bystander runs in time, and commands answer or say what is wrong.

    `some`: no more than so many commands.
    """
    with filled(place.url) as node, soon():
        said = place.spoil(which, spoiling)
        begun = len(node.handlers.runs)
        for _ in range(6):
            node.advance_to(node.clock.now() + 500)
            for turn in (
                node.dispatcher.turn,
                node.worker.turn,
                node.reaper.turn,
                node.keeper.turn,
            ):
                try:
                    turn()
                except SynccronError as error:
                    raise AssertionError(f"{said}: {turn.__qualname__}: {error!r}") from error
        ran = {run.invocation.schedule_id for run in node.handlers.runs[begun:]}
        assert "bystander" in ran, said
        turn_of = which % len(_COMMANDS)
        for words in (*_COMMANDS[turn_of:], *_COMMANDS[:turn_of])[:some]:
            away = ["--store-timeout", "5s"] if place.url.startswith("etcd") else []
            status = command_line([*words, "--store", place.url, *away])
            assert status in (0, 1, 2, 3, 4), (said, words)
