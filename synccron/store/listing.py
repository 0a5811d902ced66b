"""What a listing shows of each schedule: read by the page, and as cheaply as a store can.

`ls` is called all the time, and of a million schedules too. So it has a read of its own, which
takes neither the records nor the modules that everything else needs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from synccron.model.job import Job
    from synccron.model.permit import Offer
    from synccron.store.base import Store

PAGE = 1000


class Listed(NamedTuple):
    """A schedule as a listing shows it; instants in ms. `last_*` is of its newest ended job.

    `past` are the states of its newest ended jobs, the newest first, as many as were asked for.
    """

    id: str
    cron: str
    tz: str
    run: str | Sequence[str] | None
    handler: str | None
    needs: str
    misfire: str
    overlap: str
    labels: Mapping[str, str]
    strict_handlers: bool
    paused: bool
    failures: int
    next_run_at: int | None
    running: bool
    last_state: str | None
    last_finished_at: int | None
    past: Sequence[str] = ()


class Listing(Protocol):
    """A store that was opened to be listed."""

    def offers(self) -> "frozenset[Offer] | None":
        """Tell what the living nodes offer; None: no node lives."""

    def page(
        self, pattern: str | None, labels: Mapping[str, str], after: str | None, past: int = 0
    ) -> tuple[list[Listed], str | None]:
        """Read some schedules by id, and the mark to read on from (None: that was all).

        `pattern` is a shell glob on the id, `past` how many ended jobs of each are told of.
        """

    def close(self) -> None:
        """Close it."""


class RecordListing:
    """The listing of any store, made of its records."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    def offers(self) -> "frozenset[Offer] | None":
        """Tell what the living nodes offer."""
        from synccron.model.lease import Node
        from synccron.store.base import Where
        from synccron.store.history import read_all

        nodes = read_all(self._store, Node, Where())
        return frozenset(node.offer for node in nodes if node.live) or None

    def page(
        self, pattern: str | None, labels: Mapping[str, str], after: str | None, past: int = 0
    ) -> tuple[list[Listed], str | None]:
        """Read the next schedules."""
        from synccron.model.schedule import Schedule
        from synccron.store.base import Where

        where = Where(pattern=pattern, labels=labels or None)
        found: list[Listed] = []
        page = self._store.read(Schedule, where, after=after, limit=PAGE)
        newest = self._newest([one.id for one in page.items], max(1, past))
        for one in page.items:
            jobs = newest[one.id]
            ended = [job for job in jobs if job.settled]
            last = ended[0] if ended else None
            made = one.definition
            found.append(
                Listed(
                    id=one.id,
                    cron=made.cron,
                    tz=made.tz,
                    run=made.run,
                    handler=made.handler,
                    needs=made.needs,
                    misfire=made.misfire,
                    overlap=made.overlap,
                    labels=made.labels,
                    strict_handlers=made.strict_handlers,
                    paused=one.paused,
                    failures=one.cursor.failures,
                    next_run_at=one.next_run_at,
                    running=any(job.state == "running" for job in jobs),
                    last_state=None if last is None else last.state,
                    last_finished_at=None if last is None else last.finished_at,
                    past=tuple(job.state for job in ended[:past]),
                )
            )
        return found, page.after

    def _newest(self, ids: "Sequence[str]", past: int) -> "dict[str, Sequence[Job]]":
        """Read the newest jobs of each schedule: whether one runs, and so many that have ended."""
        from synccron.model.job import SETTLED, Job
        from synccron.store.base import Where

        ended = tuple(SETTLED)
        return {
            each: [
                *self._store.read(Job, Where(schedule=each, states=("running",)), limit=1).items,
                *self._store.read(Job, Where(schedule=each, states=ended), limit=past).items,
            ]
            for each in ids
        }

    def close(self) -> None:
        """Close the store."""
        self._store.close()
