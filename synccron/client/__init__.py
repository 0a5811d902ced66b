"""The Python API, and the public values with their JSON shapes."""

from synccron.client.client import Client, Registered
from synccron.client.values import (
    Attempt,
    DeadLetter,
    Job,
    Miss,
    Node,
    Retry,
    Revision,
    Schedule,
    Status,
)

__all__ = [
    "Attempt",
    "Client",
    "DeadLetter",
    "Job",
    "Miss",
    "Node",
    "Registered",
    "Retry",
    "Revision",
    "Schedule",
    "Status",
]
