"""What people are to be told: taken by one node, and removed when it was told."""

from collections.abc import Sequence
from dataclasses import replace

from synccron.model.job import Notice
from synccron.store.codec import decode
from synccron.store.sqlite.rows import Row
from synccron.store.sqlite.writer import Transaction


def notice_of(row: Row) -> Notice:
    """Make a notice of the columns record, session, mod."""
    record, session, mod = row
    return replace(decode(Notice, record), session=session, mod=mod)


def take(
    transaction: Transaction, session: str | None, notices: Sequence[Notice]
) -> list[Notice | None]:
    """Give notices to a session, or (None) to whoever takes them; each that stands as read."""
    return [_take(transaction, session, notice) for notice in notices]


def _take(transaction: Transaction, session: str | None, notice: Notice) -> Notice | None:
    mod = transaction.mark()
    # Told at most once: against another node that takes it in the same moment.
    taken = transaction.db.execute(
        "UPDATE notices SET session = ?, mod = ? WHERE id = ? AND mod = ?",
        (session, mod, notice.id, notice.mod),
    )
    return replace(notice, session=session, mod=mod) if taken.rowcount else None


def told(transaction: Transaction, notices: Sequence[Notice]) -> list[bool]:
    """Remove notices that stand as read; which were there."""
    return [
        transaction.db.execute(
            "DELETE FROM notices WHERE id = ? AND mod = ?", (notice.id, notice.mod)
        ).rowcount
        == 1
        for notice in notices
    ]
