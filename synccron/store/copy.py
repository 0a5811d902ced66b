"""The lines of a copy: a header, a record a line, and a last line that tells whether it is whole.

    {"synccron":{"at":1795561029119,"copy":1,"version":"0.1.0"}}
    {"Base":{…}}
    {"Schedule":{…}}
    …
    {"end":{"records":42,"sha256":"…"}}

The digest is of all bytes before the last line. Which records there are, and in which order, is
`model/copy.py`'s.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from synccron.errors import InvalidInput, StoreDamaged, StoreNewer
from synccron.model.copy import KINDS, Record
from synccron.model.time import Instant
from synccron.store.codec import decode, encode

FORMAT = 1
BEGINNING = b'{"synccron":{'
LONGEST_LINE = 64 * 1024 * 1024  # bytes: far more than any record has
_WHOLE = "nothing was restored: it takes a copy that is whole"
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in KINDS}


def lines(records: Iterable[Record], at: Instant, version: str) -> Iterator[bytes]:
    """Write a copy that was made at an instant by a version of the program."""
    digest, count = hashlib.sha256(), 0
    head = {"synccron": {"copy": FORMAT, "version": version, "at": at}}
    line = json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    digest.update(line)
    yield line
    for record in records:
        line = f'{{"{type(record).__name__}":{encode(record)}}}\n'.encode()
        digest.update(line)
        count += 1
        yield line
    yield f'{{"end":{{"records":{count},"sha256":"{digest.hexdigest()}"}}}}\n'.encode()


def begun(line: bytes, name: str) -> Instant:
    """Read the header: when the copy was made. Raises InvalidInput."""
    try:
        head = json.loads(line)["synccron"]
        form, version, at = int(head["copy"]), str(head["version"]), int(head["at"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{name} is no copy of a store", hint="`synccron backup FILE` makes one"
        ) from error
    if form != FORMAT:
        raise InvalidInput(
            f"{name} was written by synccron {version} in a later form ({form}, here {FORMAT})",
            hint="install the newer version here too",
        )
    return at


def records(copy: Iterable[bytes], name: str) -> Iterator[Record]:
    """Read a copy to its end, header included. Raises InvalidInput: it is damaged, or not whole."""
    digest, count = hashlib.sha256(), 0
    for number, line in enumerate(copy, start=1):
        if number == 1:
            begun(line, name)
        elif line.startswith(b'{"end":'):
            _check_end(line, count, digest.hexdigest(), name)
            return
        else:
            yield _record(line, name, number)
            count += 1
        digest.update(line)
    raise InvalidInput(
        f"{name} is not whole: its last line is missing",
        hint=_WHOLE,
    )


def _record(line: bytes, name: str, number: int) -> Record:
    kind, _, text = line.partition(b":")
    known = _KINDS.get(kind.decode(errors="replace").strip('{"'))
    if known is None or not text.endswith(b"}\n"):
        raise InvalidInput(f"{name}:{number}: no record: {line[:40]!r}", hint=_WHOLE)
    try:
        return cast("Record", decode(known, text[:-2].decode()))
    except (UnicodeDecodeError, StoreDamaged) as error:
        raise InvalidInput(f"{name}:{number}: {error}", hint=_WHOLE) from error
    except StoreNewer as error:
        raise InvalidInput(f"{name}:{number}: {error.message}", hint=error.hint) from error


def _check_end(line: bytes, count: int, digest: str, name: str) -> None:
    try:
        end = json.loads(line)["end"]
        told = int(end["records"]), str(end["sha256"])
    except (ValueError, TypeError, KeyError):
        told = (0, "")
    if told != (count, digest):
        raise InvalidInput(
            f"{name} is damaged: its digest is not that of its last line",
            hint=_WHOLE,
        )
