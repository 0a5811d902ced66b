"""Group commit: one connection writes, and one fsync serves all who wait.

Whoever comes first commits what has gathered, its own piece and those of others; what gathers
meanwhile is the next group, committed by the first of them. There is no thread, and one who is
alone waits for nobody. Each piece has a SAVEPOINT: what it raises is its own and undoes no
neighbour. An error at COMMIT is raised to all of the group: whether it was stored is unknown to
them, unless the error's class says so.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from synccron.clock import Clock
from synccron.errors import StoreError, SynccronError
from synccron.model.time import Duration
from synccron.store.sqlite.connection import connect, failed, translated, translating, version
from synccron.store.sqlite.files import Files
from synccron.store.sqlite.lock import WriteLock
from synccron.store.sqlite.schema import MIGRATIONS, NEEDED
from synccron.store.sqlite.sessions import Sessions

T = TypeVar("T")
GROUP = 500  # rows changed in one transaction, after which no further piece joins it


class Transaction:
    """A write transaction: its connection, and the counters that it hands out.

    The counters are written back once, before COMMIT; numbers of a piece that failed are lost,
    never given twice.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.crowded: set[str] = set()  # schedules whose queue of lone jobs this piece has touched
        self._mark: int
        self._fence: int
        self._mark, self._fence = connection.execute("SELECT mark, fence FROM meta").fetchone()
        self._stored = self._mark, self._fence

    def mark(self) -> int:
        """Give a mark for a version of a record: no other has it, ever."""
        self._mark += 1
        return self._mark

    def fence(self) -> int:
        """Give a fencing token: greater than all before it (law 5)."""
        self._fence += 1
        return self._fence

    def go_on_from(self, fence: int) -> None:
        """Give no token up to this one any more."""
        self._fence = max(self._fence, fence)

    def keep_counters(self) -> None:
        """Write the counters, if any was used."""
        if self._stored != (self._mark, self._fence):
            self.db.execute("UPDATE meta SET mark = ?, fence = ?", (self._mark, self._fence))


Piece = Callable[[Transaction], T]


class _Request:
    """A piece that somebody waits for; `woken` is set when it is answered, or is to lead."""

    def __init__(self, piece: Piece[Any], until: int) -> None:
        self.piece = piece
        self.until = until
        self.woken = threading.Event()
        self.answered = False
        self.result: Any = None
        self.error: Exception | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result

    def answer(self) -> None:
        self.answered = True
        self.woken.set()


class Writer:
    """The one connection of this process that writes.

    The lock guards the queue and `_led`: that somebody is committing. Only who leads uses the
    connection. `committed` is called after each commit.
    """

    def __init__(
        self,
        files: Files,
        sessions: Sessions,
        clock: Clock,
        *,
        timeout: Duration,
        synchronous: str,
        committed: Callable[[], None],
    ) -> None:
        self._files = files
        self._sessions = sessions
        self._clock = clock
        self._timeout = timeout
        self._synchronous = synchronous
        self._committed = committed
        self._lock = threading.Lock()
        self._queue: deque[_Request] = deque()
        self._led = False
        self._closed = False
        self._write_lock: WriteLock | None = None
        self._connection: sqlite3.Connection | None = None

    def write(self, piece: Piece[T]) -> T:
        """Run a piece in a transaction; when it returns, what it did is durable (law 7)."""
        request = _Request(piece, self._clock.monotonic() + self._timeout)
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self._files.database} is closed")
            self._queue.append(request)
            lead, self._led = not self._led, True
        if not lead:
            self._wait(request)
        if not request.answered:
            self._lead(request)
        result: T = request.outcome()
        return result

    def close(self) -> None:
        """Refuse what comes, and close the connection once nothing is under way."""
        with self._lock:
            self._closed = True
            if not self._led:
                self._disconnect()

    def trace(self, told: Callable[[str], None] | None) -> None:
        """Tell each statement as it is executed."""
        self._connected().set_trace_callback(told)

    def _wait(self, request: _Request) -> None:
        try:
            request.woken.wait()
        except BaseException:  # an interrupt: whoever was to lead must not leave the others waiting
            with self._lock, suppress(ValueError):
                self._queue.remove(request)
            if request.woken.is_set() and not request.answered:
                self._hand_over()
            raise

    def _lead(self, mine: _Request) -> None:
        """Commit one group, ours among it, and hand over to who came meanwhile."""
        group: list[_Request] = []
        try:
            lock = self._locked()
            lock.acquire(mine.until)
            try:
                self._transact(group)
            finally:
                lock.release()
            self._committed()
        except (SynccronError, sqlite3.Error, OSError) as error:
            _fail(group or [self._withdrawn(mine)], self._named(error))
        except BaseException:
            _fail(group or [self._withdrawn(mine)], StoreError("the write was interrupted"))
            raise
        finally:
            self._hand_over()
            for request in group:
                request.answer()

    def _transact(self, group: list[_Request]) -> None:
        connection = self._connected()
        # Law 3: all of a piece or nothing; and nobody else writes meanwhile.
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(connection)
            start = connection.total_changes
            while connection.total_changes - start < GROUP:
                with self._lock:
                    if not self._queue:
                        break
                    group.append(self._queue.popleft())
                _run(group[-1], transaction, self._files)
            transaction.keep_counters()
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has ended the transaction itself after some errors; else it must go now.
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise

    def _hand_over(self) -> None:
        with self._lock:
            if self._queue:
                self._queue[0].woken.set()
                return
            self._led = False
            if self._closed:
                self._disconnect()

    def _withdrawn(self, request: _Request) -> _Request:
        with self._lock, suppress(ValueError):
            self._queue.remove(request)
        return request

    def _named(self, error: SynccronError | sqlite3.Error | OSError) -> SynccronError:
        if isinstance(error, SynccronError):
            return error
        if isinstance(error, sqlite3.Error):
            return translated(error, self._files)
        return failed(error, self._files)

    def _locked(self) -> WriteLock:
        if self._write_lock is None:
            self._write_lock = WriteLock(self._files, self._sessions, self._clock)
        return self._write_lock

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        with translating(self._files):
            connection = connect(self._files, self._timeout, "rw", self._synchronous)
            try:
                migrate(connection, self._files)
            except BaseException:
                connection.close()
                raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._write_lock is not None:
            self._write_lock.close()
            self._write_lock = None


def migrate(connection: sqlite3.Connection, files: Files) -> None:
    """Bring the layout to this version, one step a transaction. The caller holds the lock.

    `user_version` says what a program must know; the table `layout` which steps were made.
    """
    found = version(connection, files)
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        noted = (
            ""
            if number == 1
            else "CREATE TABLE IF NOT EXISTS layout (version INTEGER PRIMARY KEY) STRICT;"
            f"INSERT INTO layout (version) VALUES ({number});"
        )
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; {noted}"
            f" PRAGMA user_version = {min(number, NEEDED)}; COMMIT"
        )


def _run(request: _Request, transaction: Transaction, files: Files) -> None:
    connection = transaction.db
    transaction.crowded.clear()
    connection.execute("SAVEPOINT piece")
    try:
        request.result = request.piece(transaction)
    except Exception as error:
        if not connection.in_transaction:
            raise  # the whole group went with it (the disk is full)
        connection.execute("ROLLBACK TO piece")
        request.error = translated(error, files) if isinstance(error, sqlite3.Error) else error
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE piece")


def _fail(group: list[_Request], error: SynccronError) -> None:
    """Give each its own error: one that several threads raise would mix their traces."""
    for request in group:
        if request.error is None:
            request.error = type(error)(error.message, hint=error.hint, details=error.details)
            request.error.__cause__ = error
