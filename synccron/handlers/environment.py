"""What a handler's environment has: an allow-list, what was asked for, and what it is told."""

import fnmatch
import os
import sys
from collections.abc import Mapping, Sequence

from synccron.handlers.base import Invocation
from synccron.model.time import format_instant

_ALLOWED = ("PATH", "HOME", "USER", "LANG", "LC_*", "TZ")
_SECRET = ("SYNCCRON_ETCD_*", "SYNCCRON_STORE*")  # never, whatever --pass-env says
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def passed(node: Mapping[str, str], pass_env: Sequence[str]) -> dict[str, str]:
    """Give what attempts get of a node's environment."""
    allowed = (*_ALLOWED, *pass_env)
    found = {
        name: value
        for name, value in node.items()
        if _any(name, allowed) and not _any(name, _SECRET)
    }
    return {"PATH": _PATH, **found}


def own_environment(invocation: Invocation) -> dict[str, str]:
    """Give what an attempt has beside that, without SYNCCRON_INPUT_FILE, which its file has."""
    slot = invocation.slot
    return {
        **invocation.env,
        "SYNCCRON_JOB_ID": invocation.job_id,
        "SYNCCRON_SCHEDULE_ID": invocation.schedule_id or "",
        "SYNCCRON_SLOT": "" if slot is None else format_instant(slot),
        "SYNCCRON_ATTEMPT": str(invocation.attempt),
        "SYNCCRON_FENCE": str(invocation.fence),
    }


def plain_environment() -> dict[str, str]:
    """Give what a process of our own that runs others' code begins with.

    This process's path, and none of its secrets: children can read them there.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SYNCCRON_")}
    return {**plain, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
