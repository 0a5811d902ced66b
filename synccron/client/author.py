"""Who gives a command, as deeds, revisions, pauses and misses remember it."""

import os
import pwd
import secrets
import socket
from collections.abc import Sequence

from synccron.model.deed import Deed, Verb, named
from synccron.model.time import Instant


def author() -> str:
    """Name who changes things: `user@host`, and `alice(root)@host` for alice's sudo.

    The kernel tells who it is, and no variable that anybody may set.
    """
    user = _name(os.getuid())
    behind = os.environ.get("SUDO_UID", "") if os.getuid() == 0 else ""
    if behind.isdecimal() and behind != "0":
        user = f"{_name(int(behind))}({user})"
    return f"{user}@{socket.gethostname()}"


def deed(
    verb: Verb,
    now: Instant,
    ids: Sequence[str],
    schedule_id: str | None = None,
    detail: str | None = None,
) -> Deed:
    """Tell what whoever gives this command does, to what has these ids."""
    return Deed(
        id=secrets.token_hex(6),
        at=now,
        by=author(),
        verb=verb,
        schedule_id=schedule_id,
        subject=named(ids),
        count=len(ids),
        detail=detail,
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
