"""How a store on SQLite is: its integrity, its layout, how fast its disk is and how full."""

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from statistics import median

from synccron.clock import Clock
from synccron.model.doctor import Condition
from synccron.model.time import Duration
from synccron.store.sqlite.connection import connect, translating, version
from synccron.store.sqlite.files import Files, find, open_private
from synccron.store.sqlite.schema import VERSION

_LINES = 5  # of what a check says
_WRITES = 3


def examine(path: str, clock: Clock, timeout: Duration) -> Condition:
    """Examine the store at a path, wholly: a large one takes its time. Raises StoreError."""
    files = find(path, create=False)
    with translating(files), closing(connect(files, timeout, "ro", "FULL")) as connection:
        layout = version(connection, files)
        try:
            rows = connection.execute(f"PRAGMA integrity_check({_LINES})").fetchall()
            damage = tuple(str(row[0]) for row in rows if row[0] != "ok")
            references = connection.execute("PRAGMA foreign_key_check").fetchmany(_LINES)
            damage += tuple(f"a row of {row[0]} refers to nothing" for row in references)
        except sqlite3.DatabaseError as error:
            damage = (str(error),)
    room = os.statvfs(files.folder)
    return Condition(
        place=str(files.database),
        layout=layout,
        newest=VERSION,
        damage=damage,
        latency=_latency(files, clock),
        free=room.f_bavail * room.f_frsize,
        room=room.f_blocks * room.f_frsize,
    )


def _latency(files: Files, clock: Clock) -> Duration | None:
    """Write some bytes through to the disk beside the database, as a commit does."""
    path = Path(files.folder, f".doctor-{secrets.token_hex(8)}")
    took = []
    try:
        fd = open_private(path)
        try:
            for _ in range(_WRITES):
                began = clock.monotonic()
                os.pwrite(fd, b"\0" * 4096, 0)
                os.fdatasync(fd)
                took.append(clock.monotonic() - began)
        finally:
            os.close(fd)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return round(median(took))
