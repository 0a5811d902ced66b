"""Copies of a store: written to a file that is whole or not there, restored from a whole one."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from synccron import __version__
from synccron.client.author import deed
from synccron.errors import InvalidInput
from synccron.model.copy import Base, Failing, Key, Record, raised, taken_up
from synccron.model.job import Job, State
from synccron.model.schedule import Definition, Revision
from synccron.model.time import Instant
from synccron.store.base import Store
from synccron.store.copy import BEGINNING, LONGEST_LINE, begun, lines, records

Counts = dict[str, int]  # how many records of each kind
_COUNTED = {
    "Schedule": "schedules",
    "Tombstone": "tombstones",
    "Revision": "revisions",
    "Job": "jobs",
    "Output": "outputs",
    "Step": "steps",
    "Key": "keys",
    "Miss": "misses",
    "DeadLetter": "dead_letters",
    "Notice": "notices",
    "Deed": "deeds",
}


def backup(store: Store, file: Path, now: Instant) -> Counts:
    """Write a copy to a file of mode 0600, in place of one that is there, once it is whole.

    Raises InvalidInput where the file can't be written or is something else, and StoreError.
    """
    _check_place(file)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as opened:
                counts = write(store, opened, now)
                opened.flush()
                os.fsync(opened.fileno())
            draft.replace(file)
            _sync_folder(file.parent)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from error
    return counts


def _check_place(file: Path) -> None:
    """Refuse to replace what is no copy: a store's own file, a device."""
    try:
        known = not file.exists()
        if file.is_file():
            with file.open("rb") as opened:
                known = opened.read(len(BEGINNING)) in (BEGINNING, b"")
    except OSError as error:  # also a name that is too long to look for
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from error
    if not known:
        raise InvalidInput(
            f"{file} is there, and is no copy of a store: it was not replaced",
            hint="name another file; - is stdout",
        )


def write(store: Store, out: BinaryIO, now: Instant) -> Counts:
    """Write a copy to a stream."""
    counts = dict.fromkeys(_COUNTED.values(), 0)

    def counted() -> Iterator[Record]:
        for record in store.dump():
            name = _COUNTED.get(type(record).__name__)
            if name is not None:
                counts[name] += 1
            yield record

    out.writelines(lines(counted(), now, __version__))
    return counts


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that was read to its end: it is whole, and every record in it can be read.

    `running` are the jobs that ran when it was made, with their revisions.
    """

    file: Path
    at: Instant
    counts: Counts
    running: Mapping[str, tuple[str, int]]


def look(file: Path) -> Copy:
    """Read a copy to its end. Raises InvalidInput, with the line."""
    counts: Counter[str] = Counter()
    running: dict[str, tuple[str, int]] = {}
    try:
        with file.open("rb") as opened:
            at = begun(opened.readline(LONGEST_LINE), str(file))
        with file.open("rb") as opened:
            for record in records(_lines(opened), str(file)):
                counts[_COUNTED.get(type(record).__name__, "")] += 1
                if isinstance(record, Job) and record.state == "running":
                    running[record.id] = _revision(record)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    told = {name: counts[name] for name in _COUNTED.values()}
    return Copy(file, at, told, running)


def restore(store: Store, copy: Copy, now: Instant) -> Counts:
    """Write a copy into a store that has nothing yet.

    What ran when it was made has been lost since. Raises Refused: the store is not empty.
    """
    with copy.file.open("rb") as opened:
        store.load(_since(copy, records(_lines(opened), str(copy.file)), now))
    return copy.counts


def _since(copy: Copy, found: Iterator[Record], now: Instant) -> Iterator[Record]:
    """Give the records as they are to go on from: nothing runs, and no token comes again."""
    wanted = frozenset(copy.running.values())
    definitions: dict[tuple[str, int], Definition] = {}
    ended: dict[str, State] = {}
    failing: set[str] = set()
    later: list[Record] = []  # after those of their kind that are older
    for record in found:
        match record:
            case Base():
                yield raised(record, copy.at, now)
            case Job(state="running"):
                definition = definitions.get(_revision(record))
                known = (record.schedule_id or "") in failing
                job, more = taken_up(record, definition, now, failing=known)
                ended[job.id] = job.state
                failing.update(each.schedule_id for each in more if isinstance(each, Failing))
                later += more
                yield job
            case Failing():
                failing.add(record.schedule_id)
                yield record
            case Key(receipt=receipt) if receipt.job_id in ended:
                told = replace(receipt, state=ended[receipt.job_id])
                yield replace(record, receipt=told)
            case Revision() if (record.schedule_id, record.version) in wanted:
                definitions[record.schedule_id, record.version] = record.definition
                yield record
            case _:
                yield record
    yield from later
    yield deed("restore", now, [copy.file.name])


def _revision(job: Job) -> tuple[str, int]:
    return job.schedule_id or "", job.revision or 0


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    while line := opened.readline(LONGEST_LINE):
        yield line


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
