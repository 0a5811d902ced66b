"""Make a new database: whole, or not at all.

It is written beside its place and then given its name, so that a crash leaves no half of it, and an
empty file is never taken for a new store.
"""

import os
from contextlib import suppress
from pathlib import Path

from synccron.clock import Clock
from synccron.model.time import Duration
from synccron.store.sqlite.connection import connect, failed, translating
from synccron.store.sqlite.files import Files, open_private, sync_folder
from synccron.store.sqlite.lock import WriteLock
from synccron.store.sqlite.schema import APPLICATION_ID
from synccron.store.sqlite.sessions import Sessions
from synccron.store.sqlite.writer import migrate


def create(files: Files, sessions: Sessions, clock: Clock, timeout: Duration) -> None:
    """Make the database unless it is there. Raises StoreReadonly, StoreFull or StoreError."""
    lock = WriteLock(files, sessions, clock)
    try:
        lock.acquire(clock.monotonic() + timeout)  # against another process that makes it too
        try:
            if not files.database.exists():
                _create(files)
        finally:
            lock.release()
    finally:
        lock.close()


def _create(files: Files) -> None:
    draft = files._replace(database=files.draft)
    try:
        for leftover in (draft.database, draft.log, Path(f"{draft.database}-shm")):
            leftover.unlink(missing_ok=True)
        os.close(open_private(draft.database))
        with translating(files):
            connection = connect(draft, 0, "rw", "FULL")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                migrate(connection, files)
            finally:
                connection.close()
        os.link(draft.database, files.database)  # unlike a rename, it replaces nothing
        sync_folder(files.folder)
    except OSError as error:
        raise failed(error, files) from error
    finally:
        with suppress(OSError):  # what stands there is removed by whoever makes it next, too
            draft.database.unlink(missing_ok=True)
