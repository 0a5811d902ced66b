"""Checked definitions on their way from files to the store, on disk where they are many.

All of all files are checked before the first is written; a million of them fill a gigabyte as
objects. The spool is a temporary database of SQLite's own, which nobody else sees, which stays in
memory while it is small, and which ends with the process. It tells ids that are given twice.
"""

import sqlite3
from collections.abc import Iterator
from typing import Self

from synccron.model.schedule import Definition
from synccron.store.codec import decode, encode

_PAGE = 500
_ADD = "INSERT INTO spool (id, file, line) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"


class Spool:
    """Definitions by id, in the order in which they were added; a context manager."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA cache_size = -16384")
        self._db.execute(
            "CREATE TABLE spool (n INTEGER PRIMARY KEY, id TEXT UNIQUE, file INTEGER NOT NULL,"
            " line INTEGER NOT NULL, definition TEXT)"
        )
        self._db.execute("BEGIN")
        self._count = 0

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it, and forget what is in it."""
        self._db.close()

    def __len__(self) -> int:
        """Tell how many definitions there are."""
        return self._count

    def __iter__(self) -> Iterator[Definition]:
        """Give the definitions, some in memory at a time."""
        last = 0
        while rows := self._db.execute(
            "SELECT n, definition FROM spool WHERE n > ? AND definition IS NOT NULL"
            " ORDER BY n LIMIT ?",
            (last, _PAGE),
        ).fetchall():
            last = rows[-1][0]
            for _, definition in rows:
                yield decode(Definition, definition)

    def take(self, schedule_id: str, file: int = 0, line: int = 0) -> tuple[int, int | None]:
        """Take an id for what stands there; or give the file and the line that have it already."""
        if self._db.execute(_ADD, (schedule_id, file, line)).rowcount:
            return file, None
        found: tuple[int, int] = self._db.execute(
            "SELECT file, line FROM spool WHERE id = ?", (schedule_id,)
        ).fetchone()
        return found

    def put(self, definition: Definition) -> None:
        """Add the definition of an id that was taken."""
        self._db.execute(
            "UPDATE spool SET definition = ? WHERE id = ?",
            (encode(definition), definition.id),
        )
        self._count += 1

    def forget(self, file: int) -> None:
        """Forget what a file gave: it is read again."""
        (gone,) = self._db.execute(
            "SELECT count(definition) FROM spool WHERE file = ?", (file,)
        ).fetchone()
        self._db.execute("DELETE FROM spool WHERE file = ?", (file,))
        self._count -= gone
