"""What a Python handler gets: its job, and the ways back to the node."""

import json
import logging
import signal
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST_RESULT = 64 * 1024  # bytes of JSON of a result or a step
LARGEST_STEPS = 1024 * 1024  # of all steps of a job


class JobCancelled(BaseException):
    """The attempt is to end: it was cancelled, timed out, or its node gives it up."""


class JobContext:
    """One attempt of a job, seen from its handler.

    `input` is the decoded JSON value; `slot` an aware datetime, or None; `fence` grows with each
    attempt of any job, for fencing side effects; `log` writes lines to the job's output.
    """

    def __init__(
        self,
        *,
        job_id: str,
        schedule_id: str | None,
        slot: datetime | None,
        attempt: int,
        fence: int,
        input: Any,  # noqa: A002 - the field's name
        steps: dict[str, str],
        remember: Callable[[str, str], str | None],
    ) -> None:
        self.job_id = job_id
        self.schedule_id = schedule_id
        self.slot = slot
        self.attempt = attempt
        self.fence = fence
        self.input = input
        self.log = logging.getLogger("synccron.job")
        self._steps = steps
        self._remember = remember
        self._stopping = False
        self._polled = False

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is to end. A handler that asks ends by itself, in `kill_after`.

        In one that never asks, JobCancelled is raised instead, wherever it is.
        """
        self._polled = True
        return self._stopping

    def heartbeat(self) -> None:
        """Mark a place where the handler can end. Raises JobCancelled if it is to."""
        if self._stopping:
            raise JobCancelled(f"the attempt {self.attempt} of {self.job_id} is to end")

    def step(self, key: str, work: Callable[[], T]) -> T:
        """Give the stored result of `work` if an earlier attempt completed this step, else do it.

        The result is a JSON value of at most 64 KiB, and comes back as JSON gives it. Raises
        ValueError for a result that is none, and JobCancelled where the job is another's by now.
        """
        self.heartbeat()
        if key not in self._steps:
            text = as_json(work(), f"the result of step {key!r}")
            if sum(map(len, self._steps.values())) + len(text) > LARGEST_STEPS:
                raise ValueError(f"the steps of a job may have {LARGEST_STEPS} bytes in all")
            kept = self._remember(key, text)
            if kept is None:
                raise JobCancelled(f"the job {self.job_id} was taken up by another attempt")
            self._steps[key] = kept
        result: T = json.loads(self._steps[key])
        return result

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        """Take the signal that asks to end; the child installs it."""
        first, self._stopping = not self._stopping, True
        if first and not self._polled:
            raise JobCancelled(f"the attempt {self.attempt} of {self.job_id} is to end")

    def listen(self) -> None:
        """Take TERM from now on."""
        signal.signal(signal.SIGTERM, self.on_term)


def as_json(value: Any, what: str) -> str:
    """Write a value as JSON. Raises ValueError: it is none, or too large."""
    try:
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is no JSON value: {error}") from error
    if len(text) > LARGEST_RESULT:
        raise ValueError(f"{what} has {len(text)} bytes of JSON, at most {LARGEST_RESULT} are kept")
    return text
