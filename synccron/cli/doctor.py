"""`doctor`: looks at store, nodes, clocks, handlers, disk and unit, and says what to do.

What is gathered of this host is here, the rest in `client/doctor.py`; what it means is judged in
`model/doctor.py`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from synccron.cli.call import Call, command
from synccron.cli.paper import Paper, visible
from synccron.cli.place import MAIN, file_of
from synccron.cli.unit import (
    AFTER_DRAIN,
    Service,
    drain_of,
    options_of,
    program_of,
    unit_path,
    value_of,
)
from synccron.clock import SystemClock
from synccron.errors import StoreError, StoreForeign, StoreMissing, StoreNewer
from synccron.model.doctor import (
    Finding,
    Level,
    judge_containment,
    judge_room,
    judge_store,
)
from synccron.model.time import SECOND, format_duration, parse_duration
from synccron.store import examine, logs_of, open_store

app = typer.Typer()

ETC = Path("/etc")
SYSTEMD = Path("/run/systemd/system")  # is there where systemd runs
_TONES = {"ok": "green", "warning": "yellow", "problem": "red"}


@command(app, "doctor")
def doctor(call: Call) -> int:
    """Look for trouble. Store, nodes, clocks, time zones, handlers, disk, unit; with advice."""
    held = _containment(ETC, runs=SYSTEMD.exists())  # as whom it was called
    place, clock = call.reach(), SystemClock()
    from synccron.client.doctor import diagnose

    condition = examine(place, clock=clock, timeout=call.store_timeout)
    found = judge_store(condition)
    if not condition.damage:  # else nothing that it says is to be relied on
        try:
            with open_store(place, clock=clock, timeout=call.store_timeout) as store:
                found += diagnose(store, clock.now())
        except (StoreMissing, StoreForeign, StoreNewer):
            raise
        except StoreError as error:  # what is wrong with its members has been found
            found.append(_away(place, error))
    found += [*_disk(place), *held, *unit_findings(ETC, runs=SYSTEMD.exists())]
    well = not any(one.level == "problem" for one in found)
    told = {
        "healthy": well,
        "findings": [
            {
                "level": one.level,
                "check": one.check,
                "where": one.where,
                "message": one.message,
                "hint": one.hint,
            }
            for one in found
        ],
    }
    call.answer(told, lambda: _lines(call.paper(), found))
    return 0 if well else 1


def _away(place: str, error: StoreError) -> Finding:
    return Finding(
        level="problem",
        check="store",
        where=place,
        message=error.message,
        hint=error.hint or "mend the store first",
    )


def unit_findings(etc: Path, *, runs: bool) -> Iterator[Finding]:
    """Judge this host's units. `runs`: systemd does."""
    units = [etc / unit_path(template=template) for template in (False, True)]
    there = [path for path in units if path.exists()]
    if not there and runs:
        yield Finding(
            level="warning",
            check="unit",
            where=str(units[0]),
            message="there is no unit: nobody starts a node after a reboot",
            hint="synccron install-service",
        )
    elif not there:
        yield Finding(
            level="ok", check="unit", where=str(units[0]), message="systemd does not run here"
        )
    for path in there:
        yield _unit(path)
    named = etc / file_of(MAIN).relative_to("/etc")
    if units[0] in there and not named.exists():
        yield Finding(
            level="problem",
            check="unit",
            where=str(named),
            message="the unit reads its store from this file, and it is not there",
            hint="synccron install-service",
        )


def _unit(path: Path) -> Finding:
    def told(level: Level, message: str, hint: str | None = None) -> Finding:
        return Finding(level=level, check="unit", where=str(path), message=message, hint=hint)

    try:
        text = path.read_text(encoding="utf-8")
        folder = path.with_name(f"{path.name}.d")
        dropped = sorted(folder.glob("*.conf")) if folder.is_dir() else []
        whole = "\n".join([text, *(each.read_text(encoding="utf-8") for each in dropped)])
        options = options_of(whole)
        drain = drain_of(options)
        stop = parse_duration(value_of(whole, "TimeoutStopSec") or "90")
    except (OSError, ValueError) as error:
        return told("warning", f"it cannot be judged: {error}", "synccron install-service")
    if stop < drain:
        return told(
            "problem",
            f"TimeoutStopSec is {format_duration(stop)}, shorter than the drain of"
            f" {format_duration(drain)}: jobs are killed in it",
            f"set it to {(drain + AFTER_DRAIN) // SECOND}, or run install-service again",
        )
    if value_of(whole, "KillMode") not in ("mixed", "process"):
        return told(
            "problem",
            "KillMode is not mixed: TERM ends the jobs before the drain",
            "set KillMode=mixed",
        )
    user = value_of(text, "User") or "root"
    wanted = Service(
        program=program_of(text),
        user=user,
        template="@." in path.name,
        options=options[2:] if options[:2] == ["--log", "json"] else options,
    )
    if wanted.unit() != text:
        return told(
            "warning",
            "it is not what this version writes",
            "synccron install-service -- OPTIONS; keep your changes in a drop-in",
        )
    return told("ok", "it is current")


def _containment(etc: Path, *, runs: bool) -> list[Finding]:
    """Judge what holds attempts together: the unit delegates, or what this process could have."""
    unit = etc / unit_path(template=False)
    if runs and unit.exists() and value_of(unit.read_text("utf-8"), "Delegate") == "yes":
        return judge_containment("cgroup", "the unit delegates control groups to the node")
    from synccron.handlers.containment import containment

    held = containment()
    return judge_containment(held.word, held.sentence)


def _disk(place: str) -> Iterator[Finding]:
    """Judge the disk that keeps whole outputs, as far as it is there."""
    folder = logs_of(place)
    if not folder.exists():
        return
    room = os.statvfs(folder)
    free, whole = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    yield from judge_room("logs", str(folder), free, whole)


def _lines(paper: Paper, found: list[Finding]) -> Iterator[str]:
    for one in found:
        word = paper.tint(f"{one.level:<8}", _TONES[one.level])
        yield f"{word} {one.check:<11} {visible(one.where)}: {visible(one.message)}"
        if one.hint is not None:
            yield f"{'':<8} {'':<11} -> {visible(one.hint)}"
