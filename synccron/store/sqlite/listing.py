"""The listing of a store on SQLite: rows, without the records that other reads make of them.

Each page is a short view of its own, so that a listing of a million schedules, read by a slow pipe,
keeps no log of writes from being folded back into the database.
"""

import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from synccron.clock import Clock
from synccron.model.permit import Offer
from synccron.model.time import Duration
from synccron.store.listing import PAGE, Listed
from synccron.store.sqlite.connection import Readers
from synccron.store.sqlite.files import find

LABELLED = """{} IN (
  SELECT l.id FROM schedules AS l
  JOIN revisions AS lr ON lr.schedule_id = l.id AND lr.version = l.version,
  json_each(lr.definition, '$.labels') AS label WHERE label.key = ? AND label.value = ?
)"""
_PAGE = """
SELECT s.id, s.needs, s.paused, s.failures, s.next, r.definition,
  (SELECT min(run_at) FROM jobs
   WHERE schedule_id = s.id AND phase = 'intended' AND phase <> 'settled'),
  EXISTS (SELECT 1 FROM jobs
   WHERE schedule_id = s.id AND phase = 'running' AND phase <> 'settled'),
  e.state, e.finished_at,
  (SELECT group_concat(state, ' ') FROM (
    SELECT state FROM jobs WHERE line = s.id AND phase = 'settled' ORDER BY seq DESC LIMIT ?
  ))
FROM schedules AS s JOIN revisions AS r ON r.schedule_id = s.id AND r.version = s.version
LEFT JOIN jobs AS e ON e.seq = (
  SELECT seq FROM jobs WHERE line = s.id AND phase = 'settled' ORDER BY seq DESC LIMIT 1
)
WHERE {} ORDER BY s.id LIMIT ?
"""


# As `codec.definition_of` has it, with all that is listed but `run` and `handler`.
_UNREADABLE: dict[str, Any] = {
    "cron": "unreadable",
    "tz": "UTC",
    "misfire": "skip",
    "overlap": "allow",
    "labels": {},
    "strict_handlers": True,
}


class SqliteListing:
    """A store's file, opened to be listed."""

    def __init__(self, path: str, clock: Clock, timeout: Duration, synchronous: str) -> None:
        self._files = find(path, create=False)
        self._clock = clock
        self._readers = Readers(self._files, timeout, synchronous)

    def offers(self) -> frozenset[Offer] | None:
        """Tell what the living nodes offer."""
        with self._readers.view() as db:
            nodes = db.execute("SELECT session, record FROM nodes").fetchall()
        if not nodes:
            return None
        from synccron.store.sqlite.sessions import Sessions

        sessions = Sessions(self._files, self._clock)
        living = [json.loads(record) for name, record in nodes if sessions.alive(name)]
        return frozenset(map(_offer, living)) or None

    def page(
        self, pattern: str | None, labels: Mapping[str, str], after: str | None, past: int = 0
    ) -> tuple[list[Listed], str | None]:
        """Read the next schedules."""
        conditions: list[str] = ["s.id > ?"]
        values: list[object] = [past, after or ""]
        if pattern is not None:
            conditions.append("s.id GLOB ?")
            values.append(glob(pattern))
        for key, value in labels.items():
            conditions.append(LABELLED.format("s.id"))
            values += [key, value]
        with self._readers.view() as db:
            rows = db.execute(_PAGE.format(" AND ".join(conditions)), [*values, PAGE])
            found = list(map(_listed, rows))
        return found, found[-1].id if len(found) == PAGE else None

    def close(self) -> None:
        """Close the connections."""
        self._readers.close()


def _offer(node: Mapping[str, Any]) -> Offer:
    patterns = node.get("allow_run")
    return Offer(frozenset(node["offers"]), None if patterns is None else tuple(patterns))


def _listed(row: "sqlite3.Row | tuple[Any, ...]") -> Listed:
    schedule_id, needs, paused, failures, coming, definition, *rest = row
    ahead, running, state, finished, past = rest
    made = _document(definition)
    next_run_at = coming if ahead is None else min(coming, ahead)
    return Listed(
        id=schedule_id,
        cron=made["cron"],
        tz=made["tz"],
        run=made.get("run"),
        handler=made.get("handler"),
        needs=needs,
        misfire=made["misfire"],
        overlap=made["overlap"],
        labels=made["labels"],
        strict_handlers=made["strict_handlers"],
        paused=bool(paused),
        failures=failures,
        next_run_at=None if paused else next_run_at,
        running=bool(running),
        last_state=state,
        last_finished_at=finished,
        past=tuple(past.split()) if past else (),
    )


def _document(definition: str) -> Mapping[str, Any]:
    """Read what is listed of a definition; of one that can't be read, what stands for it."""
    try:
        made = json.loads(definition)
    except (ValueError, RecursionError):
        return _UNREADABLE
    if not isinstance(made, dict):
        return _UNREADABLE
    sound = all(isinstance(made.get(name), type(each)) for name, each in _UNREADABLE.items())
    return made if sound and {"run", "handler"} <= made.keys() else _UNREADABLE


def glob(pattern: str) -> str:
    """Write a shell's glob as SQLite's: [!a] is [^a]."""
    return re.sub(r"\[!", "[^", pattern)
