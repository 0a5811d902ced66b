"""What somebody did by a command, as the Python API gives it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from synccron.client.values.shapes import Json, shape_of
from synccron.model import deed
from synccron.model.time import to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody (`by`: user@host) did by a command; `count` is to how many of the subject."""

    at: datetime
    by: str
    verb: str
    schedule_id: str | None
    subject: str
    count: int
    detail: str | None

    @classmethod
    def of(cls, read: deed.Deed) -> Self:
        """Make one of the store's record."""
        return cls(
            at=to_datetime(read.at),
            by=read.by,
            verb=read.verb,
            schedule_id=read.schedule_id,
            subject=read.subject,
            count=read.count,
            detail=read.detail,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `deeds`."""
        return shape_of(self)
