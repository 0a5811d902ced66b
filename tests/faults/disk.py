"""A disk between SQLite and the real one: it fails when told, and remembers what is durable.

SQLite reaches files through a table of functions (https://www.sqlite.org/vfs.html). `Disk` puts
one in its place that passes everything on, but for writes, truncations and syncs: it may refuse
those, and it writes them down, so that it can say what a disk may hold after a loss of power, when
all that was synced is there, and of everything later an arbitrary part.
"""

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

NEVER = 1 << 60
OK, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, FULL, CANTOPEN = 0, 778, 1034, 1546, 13, 14
SECTOR = 512  # a disk writes whole sectors; of a longer write some may be there and others not

_Pointer = ctypes.c_void_p
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer)
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, _Pointer, _Pointer, _Pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("close", _CLOSE),
        ("read", _Pointer),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("rest", _Pointer * 13),
    )


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", _Pointer),
        ("name", ctypes.c_char_p),
        ("data", _Pointer),
        ("open", _OPEN),
        ("rest", _Pointer * 14),
    )


@dataclass(frozen=True)
class Event:
    """What happened to a file: bytes written at a place, cut to a length, or synced."""

    what: str
    path: str
    at: int = 0
    content: bytes = b""


def reachable() -> bool:
    """Tell whether this Python's SQLite is a library that others can ask, and no part of it."""
    return hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_register")


class Disk:
    """Every database that this process opens while it is `inserted` is on this disk."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calls = 0  # that could have failed
        self.fail_at = NEVER  # the number of the call that fails, and all after it
        self.code: int = FULL
        self._paths: dict[int, str] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        self._lib = ctypes.CDLL(_sqlite3.__file__)
        self._lib.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._lib.sqlite3_vfs_find.argtypes = (ctypes.c_char_p,)
        self._real = self._lib.sqlite3_vfs_find(None).contents
        self._real_open = _OPEN(ctypes.cast(self._real.open, _Pointer).value or 0)
        self._vfs = _Vfs.from_buffer_copy(self._real)
        self._vfs.name = b"synccron-faults"
        self._vfs.open = _OPEN(self._open)

    @contextmanager
    def inserted(self) -> Iterator[None]:
        """Put the disk in place of the real one."""
        self._lib.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        try:
            yield
        finally:
            self._lib.sqlite3_vfs_register(ctypes.byref(self._real), 1)
            self._lib.sqlite3_vfs_unregister(ctypes.byref(self._vfs))

    def _open(self, _vfs: int, name: int, file: int, flags: int, out: Any) -> int:
        # The name goes on as the address that came: SQLite keeps it while the file is open.
        if self._fails():
            # An open that failed leaves no table behind: SQLite must not close it.
            ctypes.cast(file, ctypes.POINTER(_Pointer))[0] = None
            return CANTOPEN
        code = int(self._real_open(ctypes.addressof(self._real), name, file, flags, out))
        table: Any = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(_Methods)))
        if code == OK and table[0]:
            self._paths[file] = ctypes.string_at(name).decode() if name else ""
            table[0] = ctypes.pointer(self._wrapped(table[0]))
        return code

    def _wrapped(self, real: Any) -> _Methods:
        address = ctypes.addressof(real.contents)
        if address not in self._tables:
            given = real.contents
            made = _Methods.from_buffer_copy(given)
            write = _WRITE(ctypes.cast(given.write, _Pointer).value or 0)
            truncate = _TRUNCATE(ctypes.cast(given.truncate, _Pointer).value or 0)
            sync = _SYNC(ctypes.cast(given.sync, _Pointer).value or 0)
            made.write = _WRITE(
                lambda file, data, size, at: self._do(
                    IOERR_WRITE,
                    lambda: write(file, data, size, at),
                    lambda: Event("write", self._paths[file], at, ctypes.string_at(data, size)),
                )
            )
            made.truncate = _TRUNCATE(
                lambda file, size: self._do(
                    IOERR_TRUNCATE,
                    lambda: truncate(file, size),
                    lambda: Event("cut", self._paths[file], size),
                )
            )
            made.sync = _SYNC(
                lambda file, flags: self._do(
                    IOERR_FSYNC,
                    lambda: sync(file, flags),
                    lambda: Event("sync", self._paths[file]),
                )
            )
            self._tables[address] = made, given
        return self._tables[address][0]

    def _do(self, refused: int, work: Callable[[], int], event: Callable[[], Event]) -> int:
        if self._fails():
            return FULL if self.code == FULL and refused == IOERR_WRITE else refused
        code = work()
        if code == OK:
            self.events.append(event())
        return code

    def _fails(self) -> bool:
        self.calls += 1
        return self.calls >= self.fail_at


def after_power_loss(base: dict[str, bytes], events: list[Event], luck: Random) -> dict[str, bytes]:
    """Give the files that a disk may hold when the power goes after these events.

    All that a later sync of its file covers is there; of the rest each sector may be, in any order.
    """
    synced = {event.path: number for number, event in enumerate(events) if event.what == "sync"}
    files = {path: bytearray(content) for path, content in base.items()}
    for number, event in enumerate(events):
        content = files.setdefault(event.path, bytearray())
        durable = number < synced.get(event.path, -1)
        if event.what == "cut" and (durable or luck.random() < 0.5):
            del content[event.at :]
        if event.what != "write":
            continue
        for start in range(0, len(event.content), SECTOR):
            if durable or luck.random() < 0.5:
                piece = event.content[start : start + SECTOR]
                end = event.at + start
                content.extend(bytes(max(0, end - len(content))))
                content[end : end + len(piece)] = piece
    return {path: bytes(content) for path, content in files.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """Read the database's files as they are now; -shm is memory, and gone when the power is."""
    return {
        str(path): path.read_bytes()
        for path in folder.iterdir()
        if path.name.endswith((".db", "-wal"))
    }
