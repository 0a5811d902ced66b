"""The life of a cluster in which things break at random, and all that is known of it.

Each fault is drawn from a seed; after each some minutes of them is a silence in which all that has
happened so far is judged.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from synccron.client import Client
from synccron.clock import Clock, SystemClock
from synccron.errors import SynccronError
from synccron.model.judge import History, judge
from synccron.model.ledger import Violation
from synccron.store import open_store
from synccron.store.history import read_history
from tests.etcd import Members
from tests.faults.chaos import NAMES, Fault, Ground, faults
from tests.faults.field import SCHEDULES, Field, command, settle_down, until
from tests.faults.measure import Taken, size_of, taken

ROUND = 150.0  # seconds of faults between two judgements
KEPT = 600  # ended jobs that are kept of each schedule: the store must stop growing
ORDERS = 2.0  # seconds between two triggers, each of which is sent twice
SAMPLE = 10.0  # seconds between two measurements
ALONE = "alone"  # the schedule that must never run beside itself


def schedules(folder: Path) -> dict[str, dict[str, object]]:
    """Little work of every kind: a soak is about time, and not about load."""
    lock = (
        f"exec 9>>{folder}/lock; flock -n 9 || echo $SYNCCRON_JOB_ID >> {folder}/overlaps;"
        " sleep 0.3"
    )
    return {
        "quick": SCHEDULES["quick"],
        "catching": SCHEDULES["catching"],
        "one": {**SCHEDULES["one"], "cron": "*/3 * * * * *"},
        ALONE: {"cron": "*/2 * * * * *", "run": command(lock), "overlap": "skip"},
        "long": SCHEDULES["long"],
        "forking": {**SCHEDULES["forking"], "cron": "*/10 * * * * *"},
        "flaky": {**SCHEDULES["flaky"], "cron": "*/5 * * * * *"},
        "python": {**SCHEDULES["python"], "cron": "*/5 * * * * *"},
        "edited": {"cron": "@every 3s", "run": command("true")},
        "by-hand": SCHEDULES["by-hand"],
    }


class Orders(threading.Thread):
    """Triggers a job every moment, each twice with its key, and remembers what was acknowledged."""

    def __init__(self, store: str, clock: Clock) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, str] = {}
        self.doubled: list[str] = []
        self.refused = 0
        self._store = store
        self._clock = clock
        self._one = threading.Lock()
        self._over = threading.Event()

    def run(self) -> None:
        with Client(self._store, clock=self._clock) as client:
            number = 0
            while not self._over.wait(ORDERS):
                with self._one:
                    # One that was not acknowledged is sent again: it may be there already.
                    number += self._order(client, f"order-{number}")

    def _order(self, client: Client, key: str) -> bool:
        for _ in range(2):
            try:
                made = client.trigger("by-hand", key=key)
            except SynccronError:
                self.refused += 1
                return False
            if self.acknowledged.setdefault(key, made.id) != made.id:
                self.doubled.append(key)
        return True

    @contextmanager
    def resting(self) -> Iterator[None]:
        with self._one:
            yield

    def end(self) -> None:
        self._over.set()
        self.join()


@dataclass
class Recovery:
    """How long it took until all was well after a fault, each time, in seconds."""

    fault: Fault
    took: list[float] = field(default_factory=list)


class Life:
    """One cluster, and what is known of its life."""

    def __init__(
        self,
        made: Field,
        clock: Clock,
        members: Members | None,
        client: Client,
        seed: int,
        tell: Callable[[str], object],
    ) -> None:
        self.made = made
        self.clock = clock
        self.members = members
        self.client = client
        self._tell = tell
        self.luck = Random(seed)  # noqa: S311 - it has to come again
        self.ground = Ground(made, client, self.luck, members)
        self.orders = Orders(made.store, self.clock)
        self.names = list(schedules(made.folder))
        self.recoveries = {each.name: Recovery(each) for each in faults(members)}
        self.broken: list[str] = []
        self.slots: set[str] = set()
        self.missed: dict[tuple[str, int, str], int] = {}
        self.attempts: Counter[str] = Counter()
        self.late: list[list[int]] = []  # of each round, in ms
        self.sizes: list[tuple[float, float]] = []
        self.lives: dict[tuple[str, int], list[Taken]] = {}
        self.rounds = 0
        self.by_hand = 0  # attempts that ran beside the one whose claim was taken away by hand
        self.end_at = 0.0
        self._told = 0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._born = self.seconds()

    def seconds(self) -> float:
        return SystemClock().monotonic() / 1000

    @property
    def age(self) -> float:
        return self.seconds() - self._born

    def live(self, minutes: float) -> None:
        """Break things until the time is over."""
        self.end_at = self.seconds() + 60 * minutes
        for name in NAMES:
            self.ground.start(name)
        self.ground.recovered()
        self.orders.start()
        self._sampler.start()
        try:
            while self.seconds() < self.end_at:
                self._break(min(self.end_at, self.seconds() + ROUND))
                self._judge()
        finally:
            self.orders.end()
            self._over.set()
            self._sampler.join()

    def _break(self, until_then: float) -> None:
        while self.seconds() < until_then:
            fault = self.luck.choice(faults(self.members))
            try:
                fault.happen(self.ground)
                self.recoveries[fault.name].took.append(self.ground.recovered())
            except (pytest.fail.Exception, SynccronError) as error:
                self.broken.append(f"after '{fault.name}' at {self.age:.0f} s: {error}")
                self.ground.mend()
            threading.Event().wait(self.luck.uniform(1, 5))

    def _judge(self) -> None:
        """Stop the clockwork, see that everything ends, and judge; then go on."""
        self.ground.mend()
        try:
            with self.orders.resting():
                until(self.ground.whole, "a leader and three nodes", 0.1)
                settle_down(self.client, self.names)
                until(lambda: not self.made.running(), "handlers to end", 0.1)
                self._read()
        except (pytest.fail.Exception, SynccronError) as error:
            self.broken.append(f"at the judgement at {self.age:.0f} s: {error}")
        self.rounds += 1
        self.client.resume(*self.names)
        for each in self.broken[self._told :]:
            self._tell(f"broken: {each}")
        self._told = len(self.broken)
        self._tell(
            f"{self.age / 60:5.1f} min: {len(self.slots)} slots run,"
            f" {sum(self.missed.values())} missed, {self.times()} faults,"
            f" {len(self.broken)} laws broken"
        )

    def _read(self) -> None:
        with open_store(self.made.store, clock=self.clock) as store:
            histories = [read_history(store, name) for name in self.names]
        found = judge(histories, self.made.done(), quiet=True)
        known = {*self.broken}  # what is kept is judged again in every round
        told = [str(each) for each in found if not self._of_clocks(each)]
        self.broken += [each for each in told if each not in known]
        late: list[int] = []
        for history in histories:
            late += self._note(history)
        self.late.append(late)

    def _note(self, history: History) -> Iterator[int]:
        for miss in history.misses:
            self.missed[miss.schedule_id, miss.first, miss.reason] = miss.count
        for job in history.jobs:
            if job.kind == "slot" and job.id not in self.slots:
                self.slots.add(job.id)
                self.attempts.update(each.outcome or "none" for each in job.attempts)
                if job.attempts:
                    yield job.attempts[0].started_at - job.run_at

    def _of_clocks(self, found: Violation) -> bool:
        """Whether it only seems so: two attempts told their times by clocks that differ.

        Whether they truly ran beside each other is known by a lock that they take.
        """
        if "held a claim beside" not in found.message:
            return False
        slot = parse_slot(found.subject)
        return any(abs(slot - each) < 300_000 for each in self.ground.set_from)

    def settle(self) -> None:
        """See, when all is over, that each order that was acknowledged has run, and once."""
        ended = {deed.job_id for deed in self.made.done() if deed.ended}
        for key, job_id in self.orders.acknowledged.items():
            again = self.client.trigger("by-hand", key=key)
            if again.id != job_id or not again.deduplicated:
                self.broken.append(f"durable: {job_id} was acknowledged, and is not there")
            if job_id not in ended:
                self.broken.append(f"at least once: {job_id} was acknowledged, and has not run")
        self.broken += [f"one job per key: {key} is two jobs" for key in self.orders.doubled]
        self.broken += self.ground.died
        overlaps = self.made.folder / "overlaps"
        for job_id in overlaps.read_text().splitlines() if overlaps.exists() else ():
            # Whoever revokes a lease takes a claim from a node that cannot know it yet.
            if any(abs(parse_slot(job_id) - each) < 15_000 for each in self.ground.revoked):
                self.by_hand += 1
            else:
                self.broken.append(f"overlap: {job_id} ran beside another")

    def _sample(self) -> None:
        size = size_of(self.made.store, self.members)
        while not self._over.wait(SAMPLE):
            told = size()
            if told is not None:
                self.sizes.append((self.age, told))
            for name, node in list(self.made.nodes.items()):
                found = taken(node.pid, self.age)
                if found is not None:
                    self.lives.setdefault((name, node.pid), []).append(found)

    def times(self) -> int:
        return sum(len(each.took) for each in self.recoveries.values())


def parse_slot(job_id: str) -> int:
    """Read the slot from the id of a slot's job, in ms."""
    return int(datetime.strptime(job_id.rpartition(":")[2], "%Y%m%dT%H%M%S%z").timestamp() * 1000)
