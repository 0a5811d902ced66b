"""What is fuzzed, and what must hold whatever comes: a named error, or it works; and soon."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from time import process_time
from typing import Any

from synccron.__main__ import main
from synccron.cli.crontab import translate
from synccron.cli.files import read_files
from synccron.cli.text import HEAD, file_text, schedule_text
from synccron.errors import InvalidInput
from synccron.model.cron import FOREVER, CronError, timetable
from synccron.model.definition import define
from synccron.model.time import SECOND, Instant, parse_instant

NOW: Instant = parse_instant("2026-11-23T22:00:00Z")
SOON = 20.0  # seconds of the processor: far more than any of it takes
STATUSES = {0, 1, 2, 3, 4, 130}


@contextmanager
def soon() -> Iterator[None]:
    """Fail if what is done inside takes much of the processor, however busy it is with others."""
    start = process_time()
    yield
    took = process_time() - start
    assert took < SOON, f"it took {took:.1f} s of the processor"


def cron(text: str) -> None:
    """An expression is refused, or its slots are in order and counted as they are walked."""
    with soon():
        try:
            table = timetable(text, "Europe/Berlin", "job")
        except CronError:
            return
        slots = [table.next(NOW)]
        while len(slots) < 4 and slots[-1] != FOREVER:
            slots.append(table.next(slots[-1]))
        walked = [slot for slot in slots if slot != FOREVER]
        assert walked == sorted(set(walked))
        for slot in walked:
            assert slot > NOW
            assert slot % SECOND == 0
            assert table.next(slot - 1) == slot
            assert table.previous(slot) == slot
        if len(walked) == 4:
            assert table.count(walked[0], walked[-1]) == 3
        define("job", {"cron": text, "run": "true"})


def schedule_file(content: bytes) -> None:
    """A file is refused with the places of all that is wrong with it, or each of it is valid."""
    details: Sequence[Mapping[str, Any]] = ()
    with soon():
        try:
            with read_files(["-"], io.BytesIO(content)) as spool:
                for each in spool:
                    timetable(each.cron, each.tz, each.id)
                    json.loads(each.input)
        except InvalidInput as error:
            details = error.details
    breaks = (b"\n", b"\r", *(mark.encode() for mark in "\x85\u2028\u2029"))
    lines = sum(map(content.count, breaks)) + 2
    for one in details:
        assert one["message"]
        assert "\n" not in one["message"]
        assert one["line"] is None or 0 < one["line"] <= lines


def crontab(text: str, *, system: bool) -> None:
    """What is taken over of a crontab is a valid file; what is not, is said with its line."""
    with soon():
        done = translate(
            text, zone="Europe/Berlin", system=system, user=None, home=lambda _: "/home/x"
        )
        lines = text.count("\n") + 1
        assert all(0 < said.line <= lines for said in done.said)
        if not done.entries:
            return
        made = file_text(["from -", *done.comments], {"defaults": {"tz": "UTC"}}) + HEAD
        made += "\n".join(
            schedule_text(each.id, each.fields, each.comments) for each in done.entries
        )
        with read_files(["-"], io.BytesIO(made.encode(errors="replace"))) as spool:
            assert {each.id for each in spool} == {each.id for each in done.entries}


def command_line(words: Sequence[str], stdin: bytes = b"") -> int:
    """A command line is obeyed or refused in one of the ways of the contract; no traceback."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with soon(), redirect_stdout(out), redirect_stderr(err):
            # Who asks for a traceback gets one.
            status = main([word for word in words if word != "--debug"])
    finally:
        sys.stdin = before
    err.flush()
    said = err.buffer.getvalue().decode(errors="replace")
    assert status in STATUSES, (status, words)
    assert "Traceback" not in said, said
    assert "internal" not in said.partition("\n")[0], said
    if status == 2:
        assert "error" in said, (words, said)
    return status


def in_folder(folder: Path) -> dict[str, str]:
    """Give the variables that keep a command line in a folder."""
    return {
        "SYNCCRON_STORE": str(folder / "state" / "synccron.db"),
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "SYNCCRON_ETCD_PASSWORD_FILE": "",
    }
