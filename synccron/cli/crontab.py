"""A crontab as schedules: what cron would run, when, as whom, in which surroundings.

The rules are those of Debian's cron and of cronie. What a schedule cannot say is told by line and
left out, never guessed. Nothing is read here but the text: whose home is where is an argument.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from synccron.model.definition import define
from synccron.model.reading import Problem

Home = Callable[[str | None], str | None]

SHELL = "/bin/sh"
_BOURNE = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
_SETTING = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s="']+)\s*=\s*(.*?)\s*$""")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_FIELDS = 5
_LONGEST_NAME = 64
_WORDS, _MOST_WORDS = 3, 6  # of a name: more make a sentence
_OWN = frozenset({"CRON_TZ", "MAILTO", "MAILFROM", "SHELL", "CONTENT_TYPE", "RANDOM_DELAY"})
# Words of a command that say nothing of what it does.
_PREFIXES = frozenset(
    {
        "cd",
        "exec",
        "nice",
        "ionice",
        "nohup",
        "env",
        "sudo",
        "time",
        "timeout",
        "flock",
        "test",
        "set",
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """Something to be told of a line (0: of the whole); `left_out`: nothing came of the line."""

    line: int
    message: str
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule that a line became: its id, the fields of a schedule file, comments above it."""

    id: str
    line: int
    fields: Mapping[str, Any]
    comments: tuple[str, ...] = ()


@dataclass(slots=True)
class Imported:
    """What became of a crontab; `comments` stand above all schedules."""

    entries: list[Entry] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Settings:
    """What the lines so far have set for those that follow."""

    env: dict[str, str] = field(default_factory=dict)
    shell: str = SHELL
    tz: str | None = None
    mail: str | None = None


def translate(
    text: str,
    *,
    zone: str,
    system: bool,
    user: str | None,
    home: Home,
    taken: Collection[str] = (),
) -> Imported:
    """Translate a crontab, line by line.

    `zone` is the host's: lines without CRON_TZ are by its clock. `system`: a user stands before
    each command; else `user` (None: the node's) is whose it is. `home` tells the folder of a user.
    `taken` are ids that other crontabs have.
    """
    done, settings, above = Imported(), _Settings(), list[str]()
    names = set(taken)
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.lstrip(" \t").rstrip("\r")
        if not bare.strip():
            bare = ""
        if bare.startswith("#"):
            above.append(bare.lstrip("#").strip())
            continue
        if bare and (setting := _SETTING.fullmatch(line)) is not None:
            _set(settings, setting, number, done)
        elif bare:
            try:
                entry = _entry(bare, number, settings, zone, system, user, home, names)
                done.entries.append(
                    Entry(entry.id, number, entry.fields, (*above, *entry.comments))
                )
                names.add(entry.id)
                above = []
                continue
            except _LeftOut as error:
                done.said.append(Said(number, str(error), left_out=True))
        done.comments += above
        above = []
    done.comments += above
    return done


class _LeftOut(ValueError):
    """A line that no schedule can say."""


def _set(settings: _Settings, found: re.Match[str], number: int, done: Imported) -> None:
    name, value = _unquoted(found[1]), _unquoted(found[2])
    match name:
        case "SHELL":
            settings.shell = value or SHELL
        case "CRON_TZ":
            settings.tz = value or None
        case "MAILTO":
            settings.mail = value or None
            if value:
                told = f"MAILTO: output is kept with each job; {value} is told of failures (notify)"
                done.said.append(Said(number, told))
        case "MAILFROM" | "CONTENT_TYPE":
            done.said.append(Said(number, f"{name}: synccron writes no mail of its own"))
        case "RANDOM_DELAY":
            told = "RANDOM_DELAY: jobs start at their instant; H in a field spreads them"
            done.said.append(Said(number, told))
        case _ if _VARIABLE.fullmatch(name) and not name.startswith("SYNCCRON_"):
            settings.env[name] = value
        case _:
            told = f"{name!a} is no name that a variable of a job may have"
            done.said.append(Said(number, told, left_out=True))


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _entry(
    line: str,
    number: int,
    settings: _Settings,
    zone: str,
    system: bool,
    user: str | None,
    home: Home,
    names: set[str],
) -> Entry:
    """Make a schedule of a line. Raises _LeftOut."""
    when, rest = _when(line.removeprefix("-"))
    if system:
        user, _, rest = _split(rest)
        if not rest:
            raise _LeftOut("no command after the user: a line of a system crontab has both")
    command, given = divided(rest)
    if not command.strip():
        raise _LeftOut("no command")
    env = dict(settings.env)
    folder = env.get("HOME") or home(user)
    fields: dict[str, Any] = {"cron": when, "run": _run(settings.shell, command, given)}
    if settings.tz is not None:
        fields["tz"] = settings.tz
    if env:
        fields["env"] = env
    if folder is not None and folder.startswith("/"):
        fields["cwd"] = folder
    if user is not None:
        fields["user"] = user
    name = _name(command, f"{when} {user or ''} {command}", names)
    if settings.mail is not None:
        subject = f"{name}: failed"
        fields["notify"] = [{"on": ["failure"], "command": ["mail", "-s", subject, settings.mail]}]
    _check(name, {"tz": zone, **fields})
    return Entry(name, number, fields)


def _when(line: str) -> tuple[str, str]:
    """Take the fields, or a macro, off a line."""
    if line.startswith("@"):
        macro, _, rest = _split(line)
        if macro == "@reboot":
            raise _LeftOut(
                "@reboot has no instant: let a systemd unit do it (Type=oneshot,"
                " WantedBy=multi-user.target)"
            )
        return macro, rest
    fields, rest = [], line
    for _ in range(_FIELDS):
        word, _, rest = _split(rest)
        fields.append(word)
    if not fields[-1] or not rest:
        raise _LeftOut("expected five fields and a command, NAME=VALUE, or a comment")
    return " ".join(fields), rest


def _split(text: str) -> tuple[str, str, str]:
    found = re.match(r"([^ \t]*)([ \t]*)(.*)", text, re.DOTALL)
    return ("", "", "") if found is None else (found[1], found[2], found[3])


def divided(text: str) -> tuple[str, str | None]:
    r"""Divide a line's command from the input that it is given after the first % (None: no %).

    In the command \% is % and \\ is \; in the input \% is %, and % is the end of a line. The input
    ends with one.
    """
    command: list[str] = []
    at, escaped = 0, False
    for at, char in enumerate(text):  # noqa: B007 - where it ended matters
        if escaped:
            if char in "%\\":
                command[-1] = char
            else:
                command.append(char)
            escaped = False
        elif char == "%":
            break
        else:
            command.append(char)
            escaped = char == "\\"
    else:
        return "".join(command), None
    lines = re.sub(r"\\%|%", lambda found: "\n" if found[0] == "%" else "%", text[at + 1 :])
    return "".join(command), lines if not lines or lines.endswith("\n") else f"{lines}\n"


def _run(shell: str, command: str, given: str | None) -> str | list[str]:
    """Write what is run: the shell with the command, fed with the input."""
    bourne = shell.rpartition("/")[2] in _BOURNE
    if given is not None and not bourne:
        return f"printf %s {shlex.quote(given)} | {shlex.quote(shell)} -c {shlex.quote(command)}"
    script = command if given is None else _fed(command, given)
    return script if shell == SHELL else [shell, "-c", script]


def _fed(command: str, given: str) -> str:
    if not given:
        return f"exec </dev/null\n{command}"
    end = "END"
    while f"\n{end}\n" in f"\n{given}":
        end += "_"
    return f"exec <<'{end}'\n{given}{end}\n{command}"


def _name(command: str, whole: str, taken: set[str]) -> str:
    """Name a schedule by what it runs; where another does so, by more of it, then by a digest."""
    words = list(islice(_telling(command), _MOST_WORDS))
    for count in range(_WORDS, _MOST_WORDS + 1):
        plain = "-".join(words[:count])[:_LONGEST_NAME].strip("-._") or "job"
        if plain not in taken:
            return plain
    plain = "-".join(words[:_WORDS])[:_LONGEST_NAME].strip("-._") or "job"
    digest = hashlib.sha256(whole.encode()).hexdigest()
    length = 4
    while (name := f"{plain}-{digest[:length]}") in taken:
        length += 1
        if length > len(digest):
            digest += "x"
    return name


def _telling(command: str) -> Iterator[str]:
    """Give the words of a command that tell it from others: the program, and what it is given."""
    words = re.split(r"[\s;&|<>()'\"`]+", command.partition(">")[0])
    for word in words:
        base = word.rstrip("/").rpartition("/")[2]
        short = word.startswith("-") and not word.startswith("--")  # an option that tells little
        if not base or short or base in _PREFIXES or "=" in word or word.startswith("$"):
            continue
        found = _WORD.findall(base.lstrip("-"))
        if found:
            yield "-".join(found)


def _check(name: str, fields: Mapping[str, Any]) -> None:
    _, problems = define(name, fields)
    if problems:
        raise _LeftOut("; ".join(_plain(each) for each in problems))


def _plain(problem: Problem) -> str:
    return str(problem)
