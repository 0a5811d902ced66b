"""What the Python API gives and takes: the fields of the JSON shapes as attributes.

Instants are aware datetimes in UTC, durations timedeltas. `to_json` writes exactly the shapes of
docs/cli.md: absent values are null, never missing.
"""

from synccron.client.values.deeds import Deed
from synccron.client.values.jobs import Attempt, DeadLetter, Job, Miss
from synccron.client.values.nodes import Node, Status
from synccron.client.values.schedules import Difference, Notify, Retry, Revision, Schedule
from synccron.client.values.shapes import DurationLike, Json

__all__ = [
    "Attempt",
    "DeadLetter",
    "Deed",
    "Difference",
    "DurationLike",
    "Job",
    "Json",
    "Miss",
    "Node",
    "Notify",
    "Retry",
    "Revision",
    "Schedule",
    "Status",
]
