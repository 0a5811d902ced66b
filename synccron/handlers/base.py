"""What the worker knows of handlers: start an attempt, learn its end once.

Handlers know neither stores nor schedules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from synccron.model.job import Ending, Outcome
from synccron.model.schedule import JsonText, Limits
from synccron.model.time import Duration, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One attempt to be started, with all that its process gets.

    Either `run` (text for /bin/sh, or an argument list) or `handler` is given. `steps` are results
    of steps that earlier attempts completed; `remember` keeps a new one (the first stays; None: the
    claim was lost) and may be called from any thread. `log` is the file for the whole output
    (None: it is not kept). `stops`: it ends when its claim can't be relied on any more
    (`Handlers.rely`).
    """

    job_id: str
    schedule_id: str | None
    slot: Instant | None
    attempt: int
    fence: int
    input: JsonText
    run: str | tuple[str, ...] | None
    handler: str | None
    env: Mapping[str, str]
    cwd: str | None
    user: str | None
    timeout: Duration | None
    kill_after: Duration
    log: str | None
    limits: Limits
    stops: bool = False
    steps: Mapping[str, JsonText] = field(default_factory=dict)
    remember: Callable[[str, JsonText], JsonText | None] | None = None


class Run(Protocol):
    """One attempt under way; nothing of its process group outlives it."""

    def stop(self, why: Ending) -> None:
        """Ask it to end (TERM), and KILL it `kill_after` later; the first `why` stays."""


class Handlers(Protocol):
    """The ways to run things on this node."""

    def start(self, invocation: Invocation, ended: Callable[[Outcome], None]) -> Run:
        """Start an attempt, don't wait for it; `ended` is called once, from any thread.

        Never raises for what the invocation asks: that is an outcome, too.
        """

    def rely(self, term_at: int, kill_at: int) -> None:
        """Say until when claims surely stand, in ms of the system's monotonic time.

        Attempts that `stops` get TERM at the first instant and KILL at the second, unless it is
        said anew before; also if the node itself is stopped meanwhile.
        """

    def hold(self, file: str) -> None:
        """Lock the first byte of a session's file until nothing is left of what runs here."""

    def close(self) -> None:
        """End whatever still runs, with KILL, and wait until nothing of it is left."""
