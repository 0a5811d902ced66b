"""A person who gives commands, by the real client; what it confirms, they remember."""

from collections.abc import Callable, Sequence
from unittest import mock

from synccron.client.client import Client
from synccron.client.values import Job
from synccron.clock import Clock
from synccron.errors import StoreError, SynccronError
from synccron.model.schedule import Definition
from tests.simulation.machine import Around, Killed, OwnClock, Wire
from tests.simulation.steps import Meeting, Step, edited

MOST = 1000


class Person:
    """Gives commands. `acknowledged` are ids of jobs, `registered` revisions, `cancelled` jobs."""

    name = "user"

    def __init__(self, around: Around) -> None:
        self._around = around
        self.life = 0
        self.cut = self.frozen = self.campaigns = False
        self.meets: list[Meeting] = []
        self.acknowledged: list[str] = []
        self.registered: list[tuple[str, int]] = []
        self.cancelled: list[str] = []
        self._nonces = 0
        self._busy = False

    def kill(self) -> None:
        """Kill the command."""
        self.life += 1

    def give(self, step: Step) -> None:
        """Give a command; what had no answer is repeated once."""
        if self._busy:
            return
        self._busy = True
        try:
            for meets in (step.meets, ()):
                self.meets = [*meets]
                clock = OwnClock(self._around, 0)
                wire = Wire(self, self._around, self._around.open(clock))
                try:
                    self._command(self._client(wire, clock), step)
                except StoreError:
                    continue
                except (SynccronError, Killed):
                    break
                finally:
                    wire.close()
                break
        finally:
            self._busy = False

    def _client(self, wire: Wire, clock: Clock) -> Client:
        with mock.patch("synccron.client.client.open_store", return_value=wire):
            return Client("simulated", clock=clock)

    def _command(self, client: Client, step: Step) -> None:
        name, choice = str(step.words[0]), int(step.words[1])
        with mock.patch("secrets.token_hex", self._nonce):
            match step.what:
                case "register":
                    self.register(client, edited(name, choice))
                case "pause":
                    client.pause(name)
                case "resume":
                    client.resume(name)
                case "unregister":
                    client.unregister(name)
                case "trigger" | "force":
                    force = step.what == "force"
                    job = client.trigger(name, key=f"k{choice % 6}{force:d}", force=force)
                    self.acknowledged.append(job.id)
                case "cancel":
                    self._cancel(client, choice)
                case "retry":
                    self._again(client.retry, _some(client.jobs(limit=MOST), choice, settled=True))
                case "retry_dead":
                    self._again(client.retry_dead, [each.id for each in client.dead_letters()][:1])
                case "reset":
                    client.reset_cursor(name)
                case _:
                    raise AssertionError(step)

    def register(self, client: Client, definition: Definition) -> None:
        """Register a schedule."""
        done = client.register(definition)
        if done.created or done.updated:
            version = next(iter(client.revisions(definition.id))).version
            self.registered.append((definition.id, version))

    def _cancel(self, client: Client, choice: int) -> None:
        for job_id in _some(client.jobs(limit=MOST), choice, settled=False):
            for job in client.cancel(job_id):
                if job.state == "cancelled" or job.cancel_requested_at is not None:
                    self.cancelled.append(job.id)

    def _again(self, again: Callable[..., Sequence[Job]], ids: Sequence[str]) -> None:
        if ids:
            self.acknowledged += [job.id for job in again(*ids)]

    def _nonce(self, _: int) -> str:
        self._nonces += 1
        return f"nonce{self._nonces}"


def _some(jobs: Sequence[Job], choice: int, *, settled: bool) -> list[str]:
    """Choose a job, if there is any."""
    ids = [job.id for job in jobs if job.settled == settled]
    return [ids[choice % len(ids)]] if ids else []
