"""What happens, told to whoever listens: best effort, and never in anyone's way."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from synccron.model.time import Instant, format_instant

EventName = Literal[
    "leader_acquired",
    "leader_lost",
    "tick_error",
    "schedule_registered",
    "schedule_updated",
    "schedule_unregistered",
    "dispatch_submitted",
    "dispatch_skipped",
    "dispatch_failed",
    "dispatch_dlq",
    "dispatch_advanced_after_failures",
    "trigger_submitted",
    "trigger_rejected",
    "trigger_failed",
    "job_started",
    "job_settled",
    "job_lost",
    "notice_told",
    "notice_failed",
    "node_joined",
    "node_left",
    "store_lost",
    "store_back",
]
EVENT_NAMES: tuple[str, ...] = get_args(EventName)
Level = Literal["debug", "info", "warning", "error"]
_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII but space, quotation mark and equals sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened: when (ms), how bad, what, and its particulars (JSON values)."""

    ts: Instant
    level: Level
    event: EventName
    fields: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Give the object of one log line."""
        return {
            "ts": format_instant(self.ts),
            "level": self.level,
            "event": self.event,
            **self.fields,
        }


Listener = Callable[[Event], object]


class Events:
    """Hands events to its listeners in turn; what a listener raises is swallowed."""

    def __init__(self, now: Callable[[], Instant], *listeners: Listener) -> None:
        self._now = now
        self._listeners = listeners

    def emit(self, event: EventName, /, level: Level = "info", **fields: Any) -> None:
        """Tell all listeners. Never raises: an event is best effort, the store is the record."""
        told = Event(ts=self._now(), level=level, event=event, fields=fields)
        for listener in self._listeners:
            try:
                listener(told)
            except Exception:
                logging.getLogger("synccron").debug("an event listener raised", exc_info=True)


def json_line(event: Event) -> str:
    """Write an event as one line of JSON; control characters stay escaped."""
    return json.dumps(event.to_json(), ensure_ascii=True, default=str)


def text_line(event: Event) -> str:
    """Write an event as one line for people: time, level, name, `key=value` pairs."""
    pairs = " ".join(f"{key}={_word(value)}" for key, value in event.fields.items())
    return f"{format_instant(event.ts)} {event.level:<7} {event.event} {pairs}".rstrip()


def _word(value: Any) -> str:
    if type(value) is int:  # most that are no text, and writing JSON takes its time
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
