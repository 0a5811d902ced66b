"""Connections to the database: how one is opened, what SQLite's errors mean, who may read.

Nothing else in the process opens the database's file: closing any descriptor of it would drop the
locks that SQLite holds (https://www.sqlite.org/howtocorrupt.html).
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from urllib.parse import quote

from synccron.clock import Clock
from synccron.errors import (
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreNewer,
    StoreReadonly,
)
from synccron.model.time import Duration
from synccron.store.sqlite.files import Files, full, missing, read_only
from synccron.store.sqlite.schema import APPLICATION_ID, VERSION

_IDLE_READERS = 4
_READ_CACHE = 512  # KiB of pages of SQLite's 2,000: who writes empties it, and the system has them
_CHECK: Duration = 50  # how long a check for damage may take, in ms
_DAMAGED_HINT = "keep the file and its -wal and -shm for a look, and restore a backup"


def translated(error: sqlite3.Error, files: Files) -> StoreError:
    """Give our error for one of SQLite's."""
    path = files.database
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged: {error}", hint=_DAMAGED_HINT)
    if code == sqlite3.SQLITE_FULL or (
        code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and full(files.folder)
    ):
        return no_room(files)
    if code == sqlite3.SQLITE_READONLY:
        return readonly(files)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{path} is locked by another program",
            hint="end what has it open beside synccron (a database shell, a backup tool)",
        )
    if code == sqlite3.SQLITE_CANTOPEN and not path.exists():
        return missing(files)
    return StoreError(f"{path} cannot be used: {error}")


def failed(error: OSError, files: Files) -> StoreError:
    """Give our error for one of the system's, at a file beside the database."""
    if error.errno in (ENOSPC, EDQUOT):
        return no_room(files)
    if error.errno in (EROFS, EACCES, EPERM):
        return readonly(files)
    return StoreError(f"the files beside {files.database} cannot be used: {error}")


def no_room(files: Files) -> StoreFull:
    """Give the error for a disk that is full."""
    return StoreFull(
        f"there is no room left for {files.database}: nothing was stored",
        hint="make room on that disk; nodes go on by themselves",
    )


def readonly(files: Files) -> StoreReadonly:
    """Give the error for a write to what may only be read."""
    return StoreReadonly(
        f"{files.database} may only be read",
        hint="look at the rights of the file and its folder, and whether the disk is read-only",
    )


@contextmanager
def translating(files: Files) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, files) from error


def connect(files: Files, timeout: Duration, mode: str, synchronous: str) -> sqlite3.Connection:
    """Open a connection; nothing is in it but what its first statement finds.

    `mode` is rw or ro (and ro&immutable=1). `synchronous` is set on each connection, as it is kept
    by none, and read back.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(files.database))}?mode={mode}",
        uri=True,
        isolation_level=None,  # law 3: nothing begins a transaction but our BEGIN IMMEDIATE
        check_same_thread=False,
        timeout=timeout / 1000,
        cached_statements=256,
    )
    try:
        _set_up(connection, files, synchronous)
        if mode != "rw":
            connection.execute(f"PRAGMA cache_size = -{_READ_CACHE}")
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, files: Files, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    if level != {"NORMAL": 1, "FULL": 2}[synchronous]:
        raise StoreError(f"{files.database}: synchronous={synchronous} was not taken")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def version(connection: sqlite3.Connection, files: Files) -> int:
    """Tell the version of the store's layout.

    Raises StoreForeign, StoreDamaged, and StoreNewer: it needs a program that knows more.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (needed,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    path = files.database
    if application != APPLICATION_ID and not tables:
        raise StoreDamaged(f"{path} is empty: it has no store in it", hint=_DAMAGED_HINT)
    if application != APPLICATION_ID:
        raise StoreForeign(
            f"{path} is the database of another program",
            hint="name another file with --store; this one was not touched",
        )
    if needed > VERSION:
        raise StoreNewer(
            f"{path} was written by a later version of synccron (layout {needed}, here {VERSION})",
            hint="install the newer version here too",
        )
    steps = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'layout'").fetchone()
    if steps is None:  # as the first version left it, or nothing yet
        return int(needed)
    (found,) = connection.execute("SELECT max(version) FROM layout").fetchone()
    return int(found)


def check(connection: sqlite3.Connection, files: Files, clock: Clock) -> None:
    """Look for damage, for a short time. Raises StoreDamaged."""
    until = clock.monotonic() + _CHECK
    connection.set_progress_handler(lambda: clock.monotonic() > until, 10_000)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    else:
        if found != "ok":
            raise StoreDamaged(f"{files.database} is damaged: {found}", hint=_DAMAGED_HINT)
    finally:
        connection.set_progress_handler(None, 0)


class Readers:
    """Connections that only read, each lent to one thread at a time.

    The lock guards the list of those that are idle.
    """

    def __init__(self, files: Files, timeout: Duration, synchronous: str) -> None:
        self._files = files
        self._timeout = timeout
        self._synchronous = synchronous
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._immutable = False

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection with one consistent view of the store, for a short time."""
        with translating(self._files):
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("ROLLBACK")
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self._files.database} is closed")
            if self._immutable and self._files.log.exists():
                self._immutable = False
                while self._idle:
                    self._idle.pop().close()
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._files, self._timeout, "ro", self._synchronous)
        try:
            version(connection, self._files)
        except sqlite3.OperationalError:
            connection.close()
            connection = self._frozen()
        except BaseException:
            connection.close()
            raise
        return connection

    def _frozen(self) -> sqlite3.Connection:
        """Open what is on a read-only file system, where no log can be made and none is.

        With a log, or where others may write, it would be wrong: SQLite would read past both.
        """
        self._immutable = read_only(self._files.folder) and not self._files.log.exists()
        mode = "ro&immutable=1" if self._immutable else "ro"
        connection = connect(self._files, self._timeout, mode, self._synchronous)
        try:
            version(connection, self._files)
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()
