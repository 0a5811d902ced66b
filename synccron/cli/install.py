"""Makes a node a service of this host: writes the unit, and the file that names the store.

What the files say stands in `unit.py`. Nothing is started: the commands to do that are printed.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from synccron.cli.call import Call, command
from synccron.cli.paper import say
from synccron.cli.place import MAIN, file_of
from synccron.cli.unit import USER, Service, environment_file, files_of
from synccron.errors import InvalidInput
from synccron.store import is_cluster, store_file

app = typer.Typer()

_STATE = Path("/var/lib/synccron")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    old: str | None

    @property
    def what(self) -> str:
        if self.old is None:
            return "written"
        return "unchanged" if self.old == self.text else "changed"

    def to_json(self, *, whole: bool) -> dict[str, Any]:
        told = {"path": str(self.path), "what": self.what}
        return {**told, "text": self.text} if whole else told


@command(app, "install-service", store=False)
def install_service(
    call: Call,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- OPTION…", help="Options of `synccron run`.", show_default=False),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="The store of the node.")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of several stores: synccron@NAME.service."),
    ] = None,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="Whom it runs as; root: jobs may name their user.")
    ] = USER,
    etcd_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="The user that etcd knows.")
    ] = None,
    etcd_password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its password; systemd hands it over.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written, and write nothing.")
    ] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Write below this folder, for an image of a host.")
    ] = Path("/"),
) -> None:
    """Write the systemd unit of a node on this host. As often as you like."""
    service = Service(
        program=program(),
        user=_user(user),
        template=instance is not None,
        options=_checked(options or []),
    )
    password = _absolute(etcd_password_file, "--etcd-password-file")
    if (etcd_user is None) != (password is None):
        raise InvalidInput("--etcd-user and --etcd-password-file are given together, or neither")
    named = file_of(MAIN if instance is None else instance).relative_to("/")
    texts = files_of(service, instance, version=systemd_version(), password=password)
    files = [_file(root / "etc" / path, text) for path, text in texts.items()]
    environment = root / named
    old = _read(environment)
    given = _store(store, instance, known=old is not None)
    text = environment_file(given, etcd_user, password, old or "")
    files.append(_File(environment, text, old))
    if not dry_run:
        for each in files:
            _write(each)
    unit = "synccron" if instance is None else f"synccron@{instance}"
    following = [
        *(["systemd-sysusers"] if service.user == USER else []),
        "systemctl daemon-reload",
        f"systemctl enable --now {unit}",
        f"systemctl restart {unit}",
    ][: None if any(each.what == "changed" for each in files) else -1]

    def lines() -> list[str]:
        if dry_run:
            return [line for each in files for line in (f"# {each.path}", each.text)]
        return [*(f"{each.what:<9}  {each.path}" for each in files), "next:", *_indent(following)]

    told = [each.to_json(whole=dry_run) for each in files]
    call.answer({"files": told, "next": following}, lines)


def program() -> str:
    """Name the synccron that this one is, as a unit can start it. Raises InvalidInput."""
    beside = Path(sys.executable).with_name("synccron")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("synccron")
    if found is None:
        raise InvalidInput(
            f"there is no program synccron beside {sys.executable}, nor in PATH",
            hint="install the package: pip install synccron",
        )
    return str(Path(found).absolute())


def systemd_version() -> int | None:
    """Tell the version of this host's systemd; None: there is none."""
    try:
        told = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"systemd (\d+)", told.stdout)
    return int(found[1]) if found else None


def _checked(options: list[str]) -> list[str]:
    """Check options as `run` would. Raises UsageError, InvalidInput."""
    from synccron.cli.tree import load

    for option in options:
        name = option.partition("=")[0]
        if name in ("--store", "--log", "--debug", "-h", "--help"):
            raise InvalidInput(f"{name} is no option for a unit", hint="the store has its own file")
    load("run").make_context("synccron run", list(options)).close()
    try:
        _ = Service(program="", options=options).drain
    except ValueError as error:
        raise InvalidInput(f"--drain: {error}") from error
    return options


def _user(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", name):
        raise InvalidInput(f"--user: {name!r} is no name of a user")
    return name


def _absolute(path: str | None, option: str) -> str | None:
    if path is not None and not re.fullmatch(r"/[\w./+-]+", path):
        raise InvalidInput(f"{option}: {path!r} is no absolute path without blanks")
    return path


def _store(store: str | None, instance: str | None, *, known: bool) -> str | None:
    """Check the store's name. None: the file says it, or the default is right."""
    if store is None:
        own = instance is not None and not known
        return f"sqlite://{_STATE / f'{instance}.db'}" if own else None
    if is_cluster(store):
        from synccron.store.etcd.address import address

        address(store)
        return store
    if "://" not in store and not store.startswith("/"):
        raise InvalidInput(
            f"--store: '{store}' means something else in another folder",
            hint="name an absolute path",
        )
    if not store_file(store).is_relative_to(_STATE):
        say(
            f"warning: the unit may write below {_STATE} alone: allow"
            f" ReadWritePaths={store_file(store).parent} by `systemctl edit`"
        )
    return store


def _file(path: Path, text: str) -> _File:
    return _File(path, text, _read(path))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint="run it as root") from error


def _write(file: _File) -> None:
    """Write a file, whole or not at all."""
    if file.what == "unchanged":
        return
    draft = file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(file.text, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(file.path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InvalidInput(
            f"{file.path} cannot be written: {error.strerror}",
            hint="run it as root; --dry-run prints what it would write",
        ) from error


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
