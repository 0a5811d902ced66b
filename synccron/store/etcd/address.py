"""Where a cluster is, and how to be let in: the URL, and credentials that are never part of it."""

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from synccron.errors import InvalidInput

PORT = 2379
PREFIX = "synccron"
FORM = "write etcd://host:2379,host2:2379/prefix, or etcds:// for TLS"
USER, PASSWORD, PASSWORD_FILE = (
    "SYNCCRON_ETCD_USER",
    "SYNCCRON_ETCD_PASSWORD",
    "SYNCCRON_ETCD_PASSWORD_FILE",
)
CREDENTIAL = "etcd-password"  # its name among those that a service manager hands over
_KEYS = ("ca", "cert", "compact", "key")
_COMPACT = ("own", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One namespace of one cluster.

    `ca`, `cert` and `key` name files; `ca` is None without TLS. `compacts`: the leader removes what
    etcd has kept of the past. `name` is the URL, which holds nothing secret.
    """

    name: str
    endpoints: tuple[tuple[str, int], ...]
    prefix: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    compacts: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """A user and how to learn its password, which may change in its file."""

    user: str
    _password: str | None = field(default=None, repr=False)
    _file: str | None = None

    def password(self) -> str:
        """Read the password. Raises InvalidInput where its file cannot be read."""
        if self._file is None:
            return self._password or ""
        try:
            return Path(self._file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"the password for etcd is in {self._file}, which cannot be read: {error}",
                hint=f"{PASSWORD_FILE} names the file",
            ) from error


def address(url: str) -> Address:
    """Read an etcd:// or etcds:// URL. Raises InvalidInput, and shows nothing of a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInput("the store's URL cannot be read", hint=FORM) from error
    if "@" in parts.netloc:
        raise InvalidInput(
            "the store's URL has a user or a password in it",
            hint=f"set {USER} and {PASSWORD_FILE} (or {PASSWORD}) instead",
        )
    if parts.fragment:
        raise InvalidInput("the store's URL has a fragment", hint=FORM)
    options = _options(parts.query)
    secure = parts.scheme == "etcds"
    files = {name: options.get(name) for name in ("ca", "cert", "key")}
    if not secure and any(files.values()):
        raise InvalidInput("ca, cert and key need TLS", hint="write etcds:// instead of etcd://")
    if (files["cert"] is None) != (files["key"] is None):
        raise InvalidInput("the store's URL needs cert and key together, or neither")
    for name, path in files.items():
        if path is not None and not os.access(path, os.R_OK):
            raise InvalidInput(f"the store's URL has {name}={path}, which cannot be read")
    prefix = unquote(parts.path).strip("/") or PREFIX
    return Address(
        name=url,
        endpoints=tuple(_endpoint(each) for each in parts.netloc.split(",")),
        prefix=prefix,
        ca=files["ca"] or (_system_ca() if secure else None),
        cert=files["cert"],
        key=files["key"],
        compacts=options.get("compact", "own") == "own",
    )


def plain(where: Address) -> bool:
    """Tell whether what goes to the members leaves this host unencrypted."""
    return where.ca is None and not all(_own(host) for host, _ in where.endpoints)


def _own(host: str) -> bool:
    """Tell whether a name is this host's own: what goes there leaves it nowhere."""
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def login(environment: Mapping[str, str]) -> Login | None:
    """Read user and password out of the environment; None: neither is set.

    A password that the service manager hands over ($CREDENTIALS_DIRECTORY) goes before a file that
    the variable names: that one may be for the eyes of root alone.
    """
    user, password, file = (environment.get(name) for name in (USER, PASSWORD, PASSWORD_FILE))
    handed = Path(environment.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    if user and not password and handed.is_absolute() and handed.exists():
        return Login(user, None, str(handed))
    if not user:
        if password or file:
            raise InvalidInput(f"a password for etcd is set, but {USER} is not")
        return None
    if bool(password) == bool(file):
        raise InvalidInput(f"{USER} is set: set one of {PASSWORD_FILE} and {PASSWORD}, too")
    return Login(user, password, file or None)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise InvalidInput(
                f"the store's URL has an unknown key {key!r}", hint=f"known: {', '.join(_KEYS)}"
            )
        if key == "compact" and value not in _COMPACT:
            raise InvalidInput(f"compact={value} is not known", hint="write compact=own or never")
        options[key] = value
    return options


def _endpoint(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"the store's URL has a bad address {text!r}", hint=FORM) from error
    if not parts.hostname:
        raise InvalidInput("the store's URL names no host", hint=FORM)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, PORT if port is None else port


def _system_ca() -> str:
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        raise InvalidInput("no certificates of authorities are installed: name them with ?ca=")
    return found
