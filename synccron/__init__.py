"""Distributed cron with durable dispatch.

What is heavy is loaded when it is used: `import synccron` reads this file alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synccron.client import Client, DeadLetter, Job, Notify, Retry, Schedule
    from synccron.engine.node import Node
    from synccron.errors import (
        InvalidInput,
        JobNotSettled,
        KeyConflict,
        NotFound,
        Refused,
        StoreError,
        SynccronError,
    )
    from synccron.events import Event
    from synccron.handlers.context import JobCancelled, JobContext

_HOMES = {
    "Client": "synccron.client",
    "DeadLetter": "synccron.client",
    "Event": "synccron.events",
    "InvalidInput": "synccron.errors",
    "Job": "synccron.client",
    "JobCancelled": "synccron.handlers.context",
    "JobContext": "synccron.handlers.context",
    "JobNotSettled": "synccron.errors",
    "KeyConflict": "synccron.errors",
    "Node": "synccron.engine.node",
    "NotFound": "synccron.errors",
    "Refused": "synccron.errors",
    "Notify": "synccron.client",
    "Retry": "synccron.client",
    "Schedule": "synccron.client",
    "StoreError": "synccron.errors",
    "SynccronError": "synccron.errors",
}

__all__ = [
    "Client",
    "DeadLetter",
    "Event",
    "InvalidInput",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobNotSettled",
    "KeyConflict",
    "Node",
    "NotFound",
    "Notify",
    "Refused",
    "Retry",
    "Schedule",
    "StoreError",
    "SynccronError",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'synccron' has no attribute {name!r}")
    return getattr(import_module(home), name)
