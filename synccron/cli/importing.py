"""The command that turns a crontab into a schedule file."""

import getpass
import os
import pwd
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, print_json
from synccron.cli.paper import say
from synccron.errors import InvalidInput

if TYPE_CHECKING:
    from synccron.cli.crontab import Entry

app = typer.Typer()

_SYSTEM = ("/etc/crontab", "/etc/cron.d")
_READ = re.compile(r"[A-Za-z0-9_-]+")  # of a folder, cron reads no other names
_SPOOL = "/var/spool/cron/"
_LARGEST = 1024 * 1024  # bytes


@command(app, "import-crontab", store=False)
def import_crontab(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A crontab, a folder of them, or -.")],
    system: Annotated[
        bool, typer.Option("--system", help="A user stands before each command (/etc/crontab).")
    ] = False,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose crontab it is (yours).")
    ] = None,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The zone that cron ran in (this host's).")
    ] = None,
) -> int:
    """Print a crontab as a schedule file. What can't be carried over is said on stderr; then 1."""
    from synccron.cli.crontab import translate

    system = system or (user is None and file.startswith(_SYSTEM))
    if system and user is not None:
        raise InvalidInput("--system and --user exclude each other: the lines say whose they are")
    zone = tz or _zone()
    found: list[Entry] = []
    above: list[str] = []
    complete = True
    for name in _crontabs(file, system=system):
        done = translate(
            _read(name),
            zone=zone,
            system=system,
            user=None if system else user or _owner(name),
            home=_home,
            taken={each.id for each in found},
        )
        for each in done.said:
            say(f"{name}:{each.line}: {'left out: ' if each.left_out else ''}{each.message}")
            complete = complete and not each.left_out
        found += done.entries
        above += done.comments
    if call.json:
        schedules = {each.id: each.fields for each in found}
        print_json({"defaults": {"tz": zone}, "schedules": schedules})
    else:
        print(_text(found, above, file, zone), end="")
    return 0 if complete else 1


def _crontabs(file: str, *, system: bool) -> list[str]:
    """Name the crontabs that are meant: the file, or those of a folder that cron would read."""
    if not os.path.isdir(file):  # noqa: PTH112 - a name that is too long is none either
        return [file]
    if not system:
        raise InvalidInput(
            f"{file} is a folder", hint="of system crontabs, as /etc/cron.d is? add --system"
        )
    return sorted(str(each) for each in Path(file).iterdir() if _READ.fullmatch(each.name))


def _text(found: "list[Entry]", above: list[str], file: str, zone: str) -> str:
    from synccron.cli.text import HEAD, NOTHING, file_text, schedule_text

    source = "stdin" if file == "-" else file
    head = [
        f"from {source}, by synccron import-crontab",
        "Commands find the input, null, on their standard input, where cron gave them nothing.",
        *([""] if above else []),
        *above,
    ]
    text = file_text(head, {"defaults": {"tz": zone}})
    if not found:
        return text + NOTHING
    entries = (schedule_text(each.id, each.fields, each.comments) for each in found)
    return text + HEAD + "".join(f"\n{each}" for each in entries)


def _read(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise InvalidInput(f"{file} is larger than {_LARGEST} bytes: no crontab")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{file}:{line}: no UTF-8 text") from error


def _owner(file: str) -> str:
    """Tell whose a user's crontab is: in cron's own folder, its name; else who asks."""
    return Path(file).name if file.startswith(_SPOOL) else getpass.getuser()


def _home(user: str | None) -> str | None:
    try:
        return None if user is None else pwd.getpwnam(user).pw_dir
    except KeyError:  # a user of another host
        return None


def _zone() -> str:
    """Name this host's time zone. Raises InvalidInput where its name is not to be found."""
    from synccron.model.cron import CronError, timetable

    for name in _zone_names():
        try:
            timetable("@daily", name)
        except CronError:
            continue
        return name
    raise InvalidInput("this host's time zone has no name", hint="give it: --tz Europe/Berlin")


def _zone_names() -> list[str]:
    """Give what may be the zone's name: the variable, Debian's file, where the link leads."""
    names = [os.environ.get("TZ", "").removeprefix(":")]
    with suppress(OSError, UnicodeDecodeError):
        names.append(Path("/etc/timezone").read_text(encoding="utf-8").strip())
    names.append(os.path.realpath("/etc/localtime").partition("zoneinfo/")[2])
    return [name for name in names if name]
