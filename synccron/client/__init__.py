"""The Python API, and the public values with their JSON shapes."""

from synccron.client.client import Client
from synccron.client.registration import Registered
from synccron.client.values import (
    Attempt,
    DeadLetter,
    Deed,
    Difference,
    Job,
    Miss,
    Node,
    Notify,
    Retry,
    Revision,
    Schedule,
    Status,
)

__all__ = [
    "Attempt",
    "Client",
    "DeadLetter",
    "Deed",
    "Difference",
    "Job",
    "Miss",
    "Node",
    "Notify",
    "Registered",
    "Retry",
    "Revision",
    "Schedule",
    "Status",
]
