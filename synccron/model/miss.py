"""Turn a range of slots that a rule passed over into as few records as the law allows."""

from collections.abc import Iterable

from synccron.model.cron import Timetable
from synccron.model.job import Miss, Reason
from synccron.model.time import Instant


def missed(
    table: Timetable,
    schedule_id: str,
    first: Instant,
    last: Instant,
    *,
    besides: Iterable[Instant],
    reason: Reason,
    now: Instant,
    by: str | None = None,
    epoch: int | None = None,
) -> tuple[Miss, ...]:
    """Record the slots from `first` to `last`, both included, except those in `besides`.

    Consecutive slots are one entry, which never covers a slot that has another record: it is cut
    there. Costs as many steps as there are cuts, however long the range is.
    """
    entries: list[Miss] = []
    start = first
    for cut in (*sorted(slot for slot in set(besides) if first <= slot <= last), last + 1):
        count = table.count(start - 1, cut - 1)
        newest = table.previous(cut - 1)
        if count and newest is not None:
            oldest = table.next(start - 1)
            entries.append(
                Miss(
                    schedule_id=schedule_id,
                    first=oldest,
                    last=newest,
                    count=count,
                    reason=reason,
                    recorded_at=now,
                    # Behind a cut there is another record, whether this cron has its slot or not.
                    follows=table.previous(oldest - 1) if start == first else None,
                    by=by,
                    epoch=epoch,
                )
            )
        start = cut + 1
    return tuple(entries)
