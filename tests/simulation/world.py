"""A run: machines and a person on one store, time, steps, and the judgement at its end.

One thread does it all: a loop that waits for the store, or for a clock, lets the others go on from
within its call. So what may come between any read and its write does.
"""

from contextlib import suppress
from dataclasses import dataclass
from random import Random

from synccron.clock import Clock, ManualClock
from synccron.model.judge import Sighting, judge
from synccron.model.ledger import Violation
from synccron.model.time import MINUTE, SECOND, Duration
from synccron.store.base import Store
from synccron.store.history import read_history
from tests.simulation.machine import LEASE, Caller, Machine
from tests.simulation.person import Person
from tests.simulation.places import IN_MEMORY, Made
from tests.simulation.script import Script
from tests.simulation.steps import Meeting, Setting, Step

AGAIN: Duration = 3 * LEASE + 5 * SECOND  # after a fault, service is as usual within this
LONGEST: Duration = 5 * MINUTE  # until everything has settled, at rest


@dataclass(frozen=True, slots=True)
class Build:
    """What a run is made of; a broken one shows that the judge sees it."""

    place: Made = IN_MEMORY
    handlers: type[Script] = Script


WHOLE = Build()


class World:
    """Everything there is. `calm`: attempts end well, and soon. `meets`: what any calls meet.

    `slots` is how many the last judgement was of.
    `decided` are the epochs of terms as they began, and of leaders' writes, as the store took them.
    """

    def __init__(self, setting: Setting, build: Build = WHOLE) -> None:
        self.setting = setting
        self.clock = ManualClock()
        self.place = build.place(self.clock, setting)
        self.sightings: list[Sighting] = []
        self.decided: list[int] = []
        self.meets: list[Meeting] = []
        self.calm = False
        self.slots = 0
        self._build = build
        self._luck = Random(setting.seed)  # noqa: S311 - a seed shall give the same run
        self._began = self.clock.now() - self.clock.monotonic()
        self._jumped = False
        self.machines = [Machine(f"n{n + 1}", self, n) for n in range(setting.nodes)]
        self.person = Person(self)

    def begin(self) -> None:
        """Start all nodes, and register the schedules."""
        for machine in self.machines:
            machine.start()
        for name in self.setting.names:
            self.take(Step("user", "register", (name, 0)))

    # What machines ask.

    def open(self, clock: Clock) -> Store:
        """Open the store."""
        return self.place.open(clock)

    def handlers(self) -> Script:
        """Make the handlers of a process."""
        seed, monotonic = self.setting.seed, self.clock.monotonic
        return self._build.handlers(seed, monotonic, self.sightings, lambda: self.calm)

    def end(self, node: str, store: Store) -> None:
        """Let a node's process be gone, and what it had open."""
        self.place.end(node, store)

    def go(self, ms: Duration) -> None:
        """Let time pass, with whatever comes meanwhile."""
        until = self.clock.monotonic() + ms
        while True:
            now = self.clock.monotonic()
            at = min([until, *(each.next() for each in self.machines)])
            if at > now:
                self.clock.advance(at - now)
            for each in self.machines:
                each.turn_script()
            due = [(each, name) for each in self.machines for name in each.due()]
            self._luck.shuffle(due)
            for machine, name in due:
                self._turn(machine, name)
            if at >= until:
                return

    def take(self, step: Step, caller: Caller | None = None) -> None:
        """Take a step."""
        if step.who == "user":
            before = self.place.mark()
            self.person.give(step)
            self._tell(before)
        elif step.who == "all":
            self._pass(step)
        elif step.who == "caller":
            if caller is not None:
                caller.frozen = step.what == "freeze"
        else:
            self._machine(step)

    # What is judged.

    def rest(self) -> tuple[Violation, ...]:
        """Let all faults end, look whether all is as usual soon, come to rest, and judge."""
        for each in self.machines:
            each.frozen = each.cut = False
            each.meets.clear()
            each.clock.off = 0
        ahead = self.clock.now() - self.clock.monotonic() - self._began
        self.clock.jump(-ahead)
        self.calm = True
        self.meets.clear()
        if not self.machines[0].labelled:
            self.machines[0].kill()
            self.machines[0].labelled = True
        for each in self.machines:
            each.start()
        self.go(AGAIN)
        since = self.clock.now()
        self.go(3 * SECOND)
        until = self.clock.now()
        # A clock that was wrong leaves records of instants to come: usual is what it was before.
        found = self.judge(well=None if self._jumped else (since, until))
        for name in self.setting.names:
            self.take(Step("user", "pause", (name, 0)))
        # What a clock that was wrong has queued for later starts then, and not now (law 6).
        latest = max((job.run_at for job in self.place.unsettled()), default=0)
        self.clock.jump(max(0, latest - self.clock.now()))
        left = LONGEST
        while self.place.unsettled() and left > 0:
            self.go(SECOND)
            left -= SECOND
        return found or self.judge(quiet=True)

    def judge(
        self, *, quiet: bool = False, well: tuple[int, int] | None = None
    ) -> tuple[Violation, ...]:
        """Judge what is there."""
        histories, store = [], self.open(self.clock)
        for name in self.setting.names:
            with suppress(LookupError):
                histories.append(read_history(store, name))
        self.slots = sum(job.kind == "slot" for each in histories for job in each.jobs)
        self.slots += sum(miss.count for each in histories for miss in each.misses)
        return judge(
            histories,
            self.sightings,
            self.person.acknowledged,
            quiet=quiet,
            registered=self.person.registered,
            cancelled=self.person.cancelled,
            decided=self.decided,
            left=self._left() if quiet else (),
            well=well,
            clocks_agreed=not self._jumped and not any(self.setting.off),
            whole=True,
        )

    def _left(self) -> list[str]:
        """Name what runs though nothing should: of a process that is there, or that was killed."""
        running = [each for machine in self.machines for each in machine.running()]
        return [f"{each.invocation.job_id} with fence {each.invocation.fence}" for each in running]

    def _pass(self, step: Step) -> None:
        if step.what == "meets":
            self.meets += step.meets
            return
        ms = int(step.words[0])
        match step.what:
            case "passes":
                self.go(ms)
            case "sleeps":  # the host is suspended, or all processes are stopped
                self.clock.advance(ms)
            case "jumps":
                self._jumped = True
                self.clock.jump(ms)
            case _:
                raise AssertionError(step)

    def _machine(self, step: Step) -> None:
        machine = self.machines[int(step.who[1:]) - 1]
        match step.what:
            case "start":
                machine.start()
            case "kill":
                machine.kill()
            case "freeze":
                machine.frozen = machine.node is not None
            case "wake":
                machine.frozen = False
            case "cut":
                machine.cut = True
            case "join":
                machine.cut = False
            case "term":
                machine.term(int(step.words[0]))
            case "jump":
                self._jumped = True
                machine.clock.off += int(step.words[0])
            case "meets":
                machine.meets += step.meets
            case _:
                self._turn(machine, step.what)

    def _turn(self, machine: Machine, name: str) -> None:
        before = self.place.mark()
        machine.turn(name)
        self._tell(before)

    def _tell(self, before: int) -> None:
        """Let news of the store come to those who listen."""
        if self.place.mark() != before:
            for each in self.machines:
                each.hear()
