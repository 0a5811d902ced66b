"""Handlers that follow a script: the fate of an attempt is drawn from the run's seed and its job.

They keep what the real ones promise: TERM, then KILL; timeouts; what `stops` ends by the node's own
deadline, also while the node itself is stopped; nothing outlives the node.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from synccron.handlers.base import Invocation
from synccron.model.job import Ending, Outcome
from synccron.model.judge import Sighting
from synccron.model.time import SECOND, Duration

NEVER: int = 1 << 60


@dataclass(frozen=True, slots=True)
class Fate:
    """How an attempt ends when nobody ends it: after `lasts` (None: it hangs), with `ending`.

    `obeys` is how long after TERM it ends (None: only KILL ends it). `kills`: its node dies of it.
    """

    lasts: Duration | None
    ending: Ending = "completed"
    permanent: bool = False
    obeys: Duration | None = 100
    kills: bool = False


FATES = (
    *(Fate(lasts) for lasts in (0, 10, 10, 200, 200, 900, 900, 2500)),
    Fate(3000, obeys=None),
    *(Fate(lasts, "failed") for lasts in (10, 400)),
    Fate(10, "failed", permanent=True),
    Fate(None),
    Fate(None, obeys=None),
    Fate(300, kills=True),
)
WELL = Fate(10)


def fate(seed: int, job_id: str, attempt: int) -> Fate:
    """Draw the fate of an attempt: the same in every order of steps."""
    return FATES[zlib.crc32(f"{seed}/{job_id}/{attempt}".encode()) % len(FATES)]


@dataclass(slots=True)
class Running:
    """An attempt under way; instants are monotonic ms. `why` it was told to end."""

    invocation: Invocation
    ended: Callable[[Outcome], None]
    fate: Fate
    since: int
    why: Ending | None = None
    term_at: int = NEVER
    kill_at: int = NEVER

    def stop(self, why: Ending, now: int) -> None:
        """Send TERM, and KILL later; the first `why` stays."""
        if self.why is None:
            self.why, self.term_at = why, now
            self.kill_at = now + self.invocation.kill_after

    def end(self, *, calm: bool) -> tuple[int, Ending, bool]:
        """Tell when it ends, how, and whether by itself, as things stand."""
        lasts = self.fate.lasts
        if calm and (lasts is None or self.fate.kills):
            lasts = SECOND
        own = NEVER if lasts is None else self.since + lasts
        obeys = NEVER if self.fate.obeys is None else self.term_at + self.fate.obeys
        told = min(obeys, self.kill_at)
        if own <= min(told, self.term_at):
            return own, self.fate.ending, True
        return told, self.why or "given_back", False


class Script:
    """The handlers of one process of a node.

    `outbox` are the ends that the node has not heard of yet.
    """

    def __init__(
        self,
        seed: int,
        monotonic: Callable[[], int],
        sightings: list[Sighting],
        calm: Callable[[], bool],
    ) -> None:
        self._seed = seed
        self._now = monotonic
        self._sightings = sightings
        self._calm = calm
        self.running: dict[int, Running] = {}
        self.outbox: list[tuple[Running, Outcome]] = []
        self._relied: list[tuple[int, str]] = []
        self._unsure = False

    def start(self, invocation: Invocation, ended: Callable[[Outcome], None]) -> "Stoppable":
        """Start an attempt."""
        drawn = fate(self._seed, invocation.job_id, invocation.attempt)
        chosen = WELL if self._calm() else drawn
        made = Running(invocation, ended, chosen, self._now())
        if self._unsure and invocation.stops:
            self.outbox.append((made, Outcome(ending="lost", error="lost")))
            return Stoppable(made, self._now)
        self.running[invocation.fence] = made
        self._write(made, ended=False)
        return Stoppable(made, self._now)

    def rely(self, term_at: int, kill_at: int) -> None:
        """Note until when claims surely stand."""
        self._relied = [(term_at, "term"), (kill_at, "kill")]
        self._unsure = False
        self._lapse()

    def hold(self, _file: str) -> None:
        """All that runs ends with its node."""

    def close(self) -> None:
        """End whatever still runs."""
        for each in list(self.running.values()):
            self._end(each, each.why or "given_back", itself=False)
        self.deliver()

    def vanish(self) -> None:
        """End with the node's process; nobody is left to be told."""
        for each in self.running.values():
            self._write(each, ended=True, gone=True)
        self.running.clear()

    def next(self) -> int:
        """Tell when something is to happen here, in monotonic ms."""
        calm = self._calm()
        at = [each.end(calm=calm)[0] for each in self.running.values()]
        at += [
            each.since + each.invocation.timeout
            for each in self.running.values()
            if each.invocation.timeout is not None and each.why is None
        ]
        at += [instant for instant, _ in self._relied[:1]]
        return min(at, default=NEVER)

    def turn(self) -> bool:
        """Do what the guardian does at this instant; whether an attempt has killed its node."""
        now, calm = self._now(), self._calm()
        self._lapse()
        for each in list(self.running.values()):
            timeout = each.invocation.timeout
            at, ending, itself = each.end(calm=calm)
            if at <= now:
                if each.fate.kills and itself and not calm:
                    return True
                self._end(each, ending, itself=itself)
            elif timeout is not None and each.since + timeout <= now:
                each.stop("timed_out", now)
        return False

    def _lapse(self) -> None:
        now = self._now()
        while self._relied and self._relied[0][0] <= now:
            _, what = self._relied.pop(0)
            self._unsure = True
            self._stop_unsure(what, now)

    def _stop_unsure(self, what: str, now: int) -> None:
        for each in self.running.values():
            if each.invocation.stops:
                each.stop("lost", now)
                if what == "kill":
                    each.kill_at = now

    def deliver(self) -> None:
        """Let the node hear of the ends."""
        while self.outbox:
            ended, outcome = self.outbox.pop(0)
            ended.ended(outcome)

    def _end(self, running: Running, ending: Ending, *, itself: bool) -> None:
        del self.running[running.invocation.fence]
        self._write(running, ended=True, gone=not itself)
        permanent = running.fate.permanent and itself
        error = None if ending == "completed" else ending
        self.outbox.append((running, Outcome(ending=ending, error=error, permanent=permanent)))

    def _write(self, running: Running, *, ended: bool, gone: bool = False) -> None:
        made = running.invocation
        self._sightings.append(
            Sighting(
                job_id=made.job_id,
                attempt=made.attempt,
                fence=made.fence,
                ended=ended,
                at=self._now(),
                gone=gone,
            )
        )


@dataclass(frozen=True, slots=True)
class Stoppable:
    """What the node holds of an attempt under way."""

    running: Running
    now: Callable[[], int]

    def stop(self, why: Ending) -> None:
        """Ask it to end."""
        self.running.stop(why, self.now())
