"""Which store a command is for: the one that was given, else what this host's file says.

The order is: the option, the variable SYNCCRON_STORE, the file that the unit reads too, the default
of `store/`. `@NAME` names the file of one of several stores. Root acts as the owner of a store on
this host, so that nothing in it comes to belong to root.
"""

import os
import re
import stat
from collections.abc import MutableMapping
from pathlib import Path

from synccron.errors import InvalidInput
from synccron.store import default_store_url, is_cluster, store_file

FOLDER = Path("/etc/synccron")
MAIN = "synccron"  # the file of the one store that most hosts have
STORE = "SYNCCRON_STORE"
USER, PASSWORD_FILE = "SYNCCRON_ETCD_USER", "SYNCCRON_ETCD_PASSWORD_FILE"
_NAMES = (STORE, USER, PASSWORD_FILE)
_LINE = re.compile(r"\s*([A-Z_][A-Z0-9_]*)\s*=(.*)")
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def place_of(
    given: str | None,
    environment: MutableMapping[str, str] = os.environ,
    folder: Path = FOLDER,
) -> str:
    """Name the store: a URL or a path.

    Where a file names it, the file's user and password file for etcd go into the environment,
    unless a user is there. Raises InvalidInput for a file that is absent, unsafe or unreadable.
    """
    if given is not None and not given.startswith("@"):
        return given
    path = file_of(MAIN if given is None else given[1:], folder)
    if given is None and not path.exists():
        return default_store_url()
    settings = read(path)
    if STORE not in settings:
        raise InvalidInput(f"{path} names no store", hint=f"add a line {STORE}=URL to it")
    place = settings.pop(STORE)
    if USER not in environment:
        environment.update(settings)
    return place


def file_of(name: str, folder: Path = FOLDER) -> Path:
    """Name the file of a store's name. Raises InvalidInput."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise InvalidInput(f"'@{name}' names no store of this host", hint=_known(folder))
    return folder / f"{name}.env"


def read(path: Path) -> dict[str, str]:
    """Read the settings in a file of lines `NAME=value`, as systemd's EnvironmentFile= does.

    Only what says which store it is counts. Raises InvalidInput.
    """
    try:
        found = path.stat()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidInput(f"there is no file {path}", hint=_known(path.parent)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path}, which names this host's store, cannot be read: {error}",
            hint="name the store with --store",
        ) from error
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & _OTHERS:
        raise InvalidInput(
            f"{path} could be written by others than root, who could name a store of theirs",
            hint=f"chown root {path}; chmod 644 {path}",
        )
    return dict(_settings(text, path))


def act_as_owner(place: str) -> None:
    """Let root be the user that a store's file belongs to, for the rest of this command.

    Not where that user could not read the program itself; whoever opens the store refuses, then.
    """
    if os.geteuid() != 0 or is_cluster(place):
        return
    try:
        owner = store_file(place).parent.stat()
    except OSError:
        return  # it is not there, or cannot be: who opens it says so
    if owner.st_uid == 0:
        return
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    if not readable():
        os.seteuid(0)
        os.setegid(0)


def readable() -> bool:
    """Tell whether this process may read the modules that are not imported yet."""
    return all(os.access(path, os.R_OK, effective_ids=True) for path in (__file__, os.__file__))


def _settings(text: str, path: Path) -> list[tuple[str, str]]:
    import shlex

    settings = []
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in _NAMES:
            continue
        try:
            words = shlex.split(found[2])
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: {error}") from error
        if len(words) != 1:
            raise InvalidInput(f"{path}:{number}: {found[1]} takes one value")
        settings.append((found[1], words[0]))
    return settings


def _known(folder: Path) -> str:
    names = sorted(f"@{each.stem}" for each in folder.glob("*.env"))
    return f"{folder} has: {', '.join(names)}" if names else f"{folder} has no such file"
