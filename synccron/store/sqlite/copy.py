"""The whole store out, as it was at one instant, and into a store that has nothing yet."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from synccron.errors import Refused
from synccron.model.copy import Base, Failing, Key, Record, bare_of_marks
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Receipt, Step
from synccron.model.lease import Node
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.store.codec import decode, readable
from synccron.store.sqlite.connection import Readers
from synccron.store.sqlite.deeds import insert_deeds
from synccron.store.sqlite.reading import SHELVES, totals
from synccron.store.sqlite.records import insert_jobs, insert_letters, insert_misses, insert_notices
from synccron.store.sqlite.rows import revision_values
from synccron.store.sqlite.schedules import INSERT_REVISION, insert_schedule, insert_tombstone
from synccron.store.sqlite.writer import Transaction

_KINDS = (Tombstone, Revision, Job, Output, Step, Receipt, Miss, DeadLetter)
_FILLED = (
    "schedules", "tombstones", "revisions", "jobs", "receipts", "misses", "dead_letters", "notices",
    "deeds", "nodes",
)  # fmt: skip
# What came in another order than it was made in is given its place.
_ORDERS = (("jobs", "created_at, run_at, id"), ("revisions", "at, version"),
           ("dead_letters", "ts, id"), ("deeds", "at, seq"))  # fmt: skip


def dump(readers: Readers) -> Iterator[Record]:
    """Give every record, the oldest first, as the store was when it was asked for."""
    # A copy of its pages, which SQLite keeps in a file of its own that has no name: who reads for
    # long would else keep the log of the store from being cut.
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        with readers.view() as live:
            live.backup(db)
        yield _base(db)
        yield from _records(db, Schedule)
        for (schedule_id,) in db.execute("SELECT id FROM schedules WHERE failing = 1 ORDER BY id"):
            yield Failing(schedule_id=schedule_id)
        for kind in _KINDS:
            yield from _records(db, kind)
        # Told at most once: not those that a node is about to tell.
        yield from _records(db, Notice, " WHERE session IS NULL")
        yield from _records(db, Deed)


def load(transaction: Transaction, records: Iterable[Record]) -> None:
    """Write every record, with marks of this store. Raises Refused: it has some already."""
    db = transaction.db
    filled = [name for name in _FILLED if db.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]
    if filled:
        raise Refused(
            f"the store is not empty: it has {', '.join(filled).replace('_', ' ')}",
            hint="restore into a store that is not there yet",
        )
    in_order = True
    for record in records:
        if isinstance(record, Base):
            _start(transaction, record)
            in_order = record.in_order
        else:
            _insert(transaction, record)
    for table, order in () if in_order else _ORDERS:
        db.execute(
            f"UPDATE {table} SET seq = -place FROM (SELECT seq AS was,"
            f" row_number() OVER (ORDER BY {order}) AS place FROM {table}) WHERE seq = was"
        )
        db.execute(f"UPDATE {table} SET seq = -seq")


def _base(db: sqlite3.Connection) -> Base:
    found = totals(db, None)
    records = (text for (text,) in db.execute("SELECT record FROM nodes"))
    nodes = list(readable(lambda text: decode(Node, text), records))
    counters = dict(found.counters)
    for node in nodes:
        for name, count in node.counters.items():
            counters[name] = counters.get(name, 0) + count
    ticks = [found.last_tick_at, *(node.ticked_at for node in nodes)]
    (fence,) = db.execute("SELECT fence FROM meta").fetchone()
    (epoch,) = db.execute("SELECT epoch FROM leader").fetchone()
    return Base(
        fence=fence,
        epoch=epoch,
        in_order=True,
        counters=counters,
        last_tick_at=max((tick for tick in ticks if tick is not None), default=None),
        dead_letters_trimmed=found.dead_letters_trimmed,
        horizon=found.horizon,
    )


def _records(db: sqlite3.Connection, kind: type[Any], where: str = "") -> Iterator[Record]:
    shelf = SHELVES[kind]
    for row in db.execute(f"{shelf.select}{where} ORDER BY {', '.join(shelf.key)}"):
        made = shelf.make(row)
        yield _key(db, made) if isinstance(made, Receipt) else bare_of_marks(made)


def _key(db: sqlite3.Connection, receipt: Receipt) -> Key:
    row = db.execute(
        "SELECT schedule_id, needs FROM jobs WHERE id = ?", (receipt.job_id,)
    ).fetchone()
    schedule_id, needs = (None, None) if row is None else row
    return Key(receipt=receipt, schedule_id=schedule_id, needs=needs)


def _start(transaction: Transaction, base: Base) -> None:
    db = transaction.db
    # Law 5: against a token that the store before has given since the copy was made.
    transaction.go_on_from(base.fence)
    db.execute(
        "UPDATE meta SET dead_letters_trimmed = ?, horizon = ?, last_tick_at = ?",
        (base.dead_letters_trimmed, base.horizon, base.last_tick_at),
    )
    db.execute("UPDATE leader SET epoch = ?", (base.epoch,))
    db.executemany("INSERT INTO counters (name, value) VALUES (?, ?)", list(base.counters.items()))


def _insert(transaction: Transaction, record: Record) -> None:  # noqa: PLR0912 - one for each kind
    db = transaction.db
    match record:
        case Schedule():
            insert_schedule(transaction, record)
        case Tombstone():
            insert_tombstone(transaction, record)
        case Revision():
            db.execute(INSERT_REVISION, revision_values(record))
        case Job():
            insert_jobs(transaction, [record])
        case Output():
            db.execute(
                "INSERT INTO outputs (job_id, tail, truncated) VALUES (?, ?, ?)",
                (record.job_id, record.tail, int(record.truncated)),
            )
        case Step():
            db.execute(
                "INSERT INTO steps (job_id, key, value) VALUES (?, ?, ?)",
                (record.job_id, record.key, record.value),
            )
        case Key(receipt=receipt):
            db.execute(
                "INSERT INTO receipts (job_id, at, digest, state) VALUES (?, ?, ?, ?)",
                (receipt.job_id, receipt.at, receipt.digest, receipt.state),
            )
        case Miss():
            insert_misses(transaction, [record])
        case DeadLetter():
            insert_letters(transaction, [record])
        case Failing():
            db.execute("UPDATE schedules SET failing = 1 WHERE id = ?", (record.schedule_id,))
        case Notice():
            insert_notices(transaction, [record])
        case Deed():
            insert_deeds(transaction, [record])
        case Base():
            raise ValueError("a second base")
