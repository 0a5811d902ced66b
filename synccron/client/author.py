"""Who gives a command, as revisions, pauses and misses remember it."""

import getpass
import socket


def author() -> str:
    """Name who changes things: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
