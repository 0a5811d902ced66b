"""The stores, behind one interface."""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from synccron.clock import Clock
from synccron.errors import InvalidInput
from synccron.model.time import Duration
from synccron.store.logs import logs_folder

if TYPE_CHECKING:
    from synccron.model.doctor import Condition
    from synccron.store.base import Store
    from synccron.store.listing import Listing

_SYSTEM = "/var/lib/synccron/synccron.db"
_FORMS = "write sqlite:///absolute/path/synccron.db, a plain path, or etcd://host:2379/prefix"
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}


def open_store(
    url: str, *, create: bool = False, clock: Clock, timeout: Duration = 5000
) -> "Store":
    """Open the store that a URL or a plain path names; `create` makes it if it is not there.

    `timeout` (ms) is how long a write waits for others. Raises InvalidInput for a URL that cannot
    be read or has a password in it, StoreMissing and the other StoreErrors for a store that cannot
    be used.
    """
    if is_cluster(url):
        from synccron.store.etcd.store import open_etcd

        return open_etcd(url, create=create, clock=clock, timeout=timeout)
    path, synchronous = _sqlite(url)
    from synccron.store.sqlite.store import open_sqlite

    return open_sqlite(path, create=create, clock=clock, timeout=timeout, synchronous=synchronous)


def leaks(url: str) -> bool:
    """Tell whether what is written to a store leaves this host unencrypted."""
    if not is_cluster(url):
        return False
    from synccron.store.etcd.address import address, plain

    return plain(address(url))


def has_password(url: str) -> bool:
    """Tell whether there is a password for this store. Raises InvalidInput: the half of a login."""
    if not is_cluster(url):
        return False
    from synccron.store.etcd.address import login

    return login(os.environ) is not None


def open_listing(url: str, *, clock: Clock, timeout: Duration = 5000) -> "Listing":
    """Open the store that a URL or a plain path names to list its schedules, and nothing else.

    Raises like `open_store`.
    """
    if is_cluster(url):
        from synccron.store.etcd.listing import EtcdListing
        from synccron.store.etcd.store import open_etcd

        return EtcdListing(open_etcd(url, create=False, clock=clock, timeout=timeout))
    path, synchronous = _sqlite(url)
    from synccron.store.sqlite.listing import SqliteListing

    return SqliteListing(path, clock, timeout, synchronous)


def examine(url: str, *, clock: Clock, timeout: Duration = 5000) -> "Condition":
    """Find out how a store is. Slow; raises like `open_store`."""
    if is_cluster(url):
        from synccron.store.etcd import condition as cluster

        return cluster.examine(url, clock, timeout)
    from synccron.store.sqlite import condition

    return condition.examine(_sqlite(url)[0], clock, timeout)


def is_cluster(url: str) -> bool:
    """Tell whether a URL names a store on a cluster, and not a file of this host."""
    return url.partition("://")[0] in ("etcd", "etcds") and "://" in url


def shortest_lease(url: str) -> Duration:
    """Tell the shortest lease that a kind of store can keep, in ms: etcd grants none below 2 s."""
    return 2000 if is_cluster(url) else 500


def store_file(url: str) -> Path:
    """Name the database file behind a URL or a plain path, without symbolic links.

    Raises InvalidInput like `open_store`.
    """
    path, _ = _sqlite(url)
    return Path(os.path.realpath(path))


def logs_of(url: str) -> Path:
    """Name the folder on this host for the logs of the store that a URL names.

    Beside the file of a store on SQLite; beside where that would be for one on a cluster.
    """
    if not is_cluster(url):
        return logs_folder(store_file(url))
    prefix = urlsplit(url).path.strip("/") or "synccron"
    return logs_folder(_default_file().with_name(f"etcd-{quote(prefix, safe='')}"))


def default_store_url() -> str:
    """Name the store of this host: the system's for root or where it exists, else the user's.

    A service has it in the state directory that its manager gave it.
    """
    return f"sqlite://{quote(str(_default_file()))}"


def _default_file() -> Path:
    path = Path(_SYSTEM)
    given = Path(os.environ.get("STATE_DIRECTORY", "").partition(":")[0])
    if given.is_absolute():
        return given / path.name
    # not Path.exists: it raises where a folder is private to others
    if os.geteuid() == 0 or os.path.exists(path):  # noqa: PTH110
        return path
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return folder / "synccron" / "synccron.db"


def _sqlite(url: str) -> tuple[str, str]:
    """Read the path and the level of synchronous out of a URL. Never shows what may be secret."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        if not url:
            raise InvalidInput("the store's name is empty", hint=_FORMS)
        return url, "FULL"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInput("the store's URL cannot be read", hint=_FORMS) from error
    if "@" in parts.netloc:
        raise InvalidInput(
            "the store's URL has a user or a password in it",
            hint="credentials belong into the environment or a file, never into a URL",
        )
    if scheme != "sqlite":
        raise InvalidInput(f"{scheme}:// names no kind of store", hint=_FORMS)
    if parts.netloc or not parts.path.startswith("/") or parts.path == "/":
        raise InvalidInput(
            "the store's URL has no absolute path: sqlite:// takes three slashes",
            hint="write sqlite:///absolute/path/file.db; a relative path goes without the scheme",
        )
    if parts.fragment:
        raise InvalidInput("the store's URL has a fragment: write # as %23", hint=_FORMS)
    return unquote(parts.path), _level(parts.query)


def _level(query: str) -> str:
    """Read `sync`: full (the default), or normal: loss of power may take the last writes."""
    level = "full"
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "sync":
            raise InvalidInput(f"the store's URL has an unknown key {key!r}", hint="known: sync")
        level = value
    if level not in _SYNCHRONOUS:
        raise InvalidInput(f"sync={level} is not known", hint="write sync=full or sync=normal")
    return _SYNCHRONOUS[level]
