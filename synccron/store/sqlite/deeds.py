"""The trail of what was done by commands, each deed in the transaction of its change."""

from collections.abc import Iterable

from synccron.model.deed import Deed
from synccron.store.codec import decode, encode
from synccron.store.sqlite.rows import Row
from synccron.store.sqlite.writer import Transaction


def deed_of(row: Row) -> Deed:
    """Make a deed of the column record."""
    return decode(Deed, row[0])


def insert_deeds(transaction: Transaction, deeds: Iterable[Deed]) -> None:
    """Add to the trail."""
    transaction.db.executemany(
        "INSERT INTO deeds (schedule_id, at, record) VALUES (?, ?, ?)",
        [(each.schedule_id, each.at, encode(each)) for each in deeds],
    )
