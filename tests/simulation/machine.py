"""Who takes part: nodes, each a real `Node` whose loops are turned by hand, and a person.

All of them reach the store in memory by a `Wire` of their own, on which calls are lost, held up, or
the last thing that their caller does.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from threading import Condition
from typing import Any, Protocol, cast

from synccron.clock import Clock, ManualClock
from synccron.engine.loop import LONGEST_IDLE, Loop
from synccron.engine.node import Node
from synccron.errors import SessionLost, StoreError
from synccron.model.lease import Node as Record
from synccron.model.lease import Session
from synccron.model.time import SECOND, Duration, format_duration
from synccron.store.base import Store
from tests.simulation.memory.store import MemoryStore
from tests.simulation.script import NEVER, Running, Script
from tests.simulation.steps import Meeting, Setting, Step

LEASE: Duration = 2 * SECOND
NODE_LEASE: Duration = 4 * SECOND
UNTURNED = frozenset({"sweeper"})  # it looks at files
BLINK: Duration = 5  # how long news of the store takes


class Killed(BaseException):
    """A process was killed: nothing of it goes on, and none of its code handles this."""


class Caller(Protocol):
    """Who has a wire: `life` counts its processes; `meets` is what the next calls meet.

    `campaigns`: it does so just now, and its other loops wait for that.
    """

    name: str
    life: int
    cut: bool
    frozen: bool
    campaigns: bool
    meets: list[Meeting]

    def kill(self) -> None:
        """Kill the process."""


class Around(Protocol):
    """What a machine asks of the world around it."""

    clock: ManualClock
    setting: Setting
    decided: list[int]
    meets: list[Meeting]

    def go(self, ms: Duration) -> None:
        """Let time pass, with whatever comes meanwhile."""

    def take(self, step: Step, caller: Caller | None = None) -> None:
        """Take a step."""

    def open(self, clock: Clock) -> Store:
        """Open the store."""

    def handlers(self) -> Script:
        """Make the handlers of a process."""

    def end(self, node: str, store: Store) -> None:
        """Let a node's process be gone, and what it had open."""


class OwnClock:
    """The clock of a machine: its wall clock may be off. Who waits on it lets the world go on."""

    def __init__(self, around: Around, off: Duration) -> None:
        self._around = around
        self.off = off

    def now(self) -> int:
        """Tell this machine's wall-clock time."""
        return self._around.clock.now() + self.off

    def monotonic(self) -> int:
        """Tell the time that never jumps."""
        return self._around.clock.monotonic()

    def wait(self, condition: Condition, timeout: int | None) -> bool:  # noqa: ARG002 - one thread
        """Let time pass for as long."""
        self._around.go(SECOND if timeout is None else max(1, timeout))
        return False


class Wire:
    """The store as one process reaches it: an implementation of Store, verb by verb."""

    changes_at_once = MemoryStore.changes_at_once
    jobs_at_once = MemoryStore.jobs_at_once

    def __init__(self, caller: "Caller", around: Around, store: Store) -> None:
        self._caller, self._around, self._store = caller, around, store
        self._life = caller.life

    def watch(self, changed: Callable[[], None]) -> None:
        """Hear of nothing: news come by `Machine.hear`."""

    def close(self) -> None:
        """Close it."""
        self._store.close()

    def __getattr__(self, verb: str) -> Any:
        """Give a verb of the store, at the end of the wire."""
        act = getattr(self._store, verb)

        def call(*words: Any, **named: Any) -> Any:
            return self._call(verb, words, lambda: act(*words, **named))

        return call

    def join(self, node: Record, ttl: Duration) -> Session:
        """Register as a machine of its own."""
        named = replace(node, host=self._caller.name)
        return cast("Session", self._call("join", (), lambda: self._store.join(named, ttl)))

    def report(self, at: Session, node: Record) -> None:
        """Report as a machine of its own."""
        named = replace(node, host=self._caller.name)
        self._call("report", (), lambda: self._store.report(at, named))

    def _call(self, verb: str, words: tuple[Any, ...], act: Callable[[], Any]) -> Any:
        meeting = self._meeting(verb)
        how = None if meeting is None else meeting.how
        if meeting is not None and how == "held":
            self._caller.campaigns = verb == "campaign"
            for step in meeting.meanwhile:
                self._around.take(step, self._caller)
            self._caller.frozen = self._caller.campaigns = False
        if how == "before":
            self._caller.kill()
        if self._life != self._caller.life:
            raise Killed
        if how == "unreachable" or self._caller.cut:
            raise StoreError(f"{verb}: the store cannot be reached")
        torn = getattr(self._store, "torn", nullcontext) if how == "amid" else nullcontext
        lost = getattr(self._store, "unheard", nullcontext) if how == "unanswered" else nullcontext
        with torn(), lost():
            answer = act()
        self._note(verb, words, answer)
        if how in ("after", "amid"):
            self._caller.kill()
            raise Killed
        if how == "unanswered":
            raise StoreError(f"{verb}: no answer came")
        return answer

    def _meeting(self, verb: str) -> Meeting | None:
        shared = self._around.meets if self._caller.name != "user" else []
        for meets in (self._caller.meets, shared):
            for each in meets:
                if each.verb == verb:
                    meets.remove(each)
                    return each
        return None

    def _note(self, verb: str, words: tuple[Any, ...], answer: Any) -> None:
        """Note the terms that begin, and whose decisions the store has taken (law 4)."""
        decided = self._around.decided
        if verb == "campaign" and answer is not None and answer.epoch not in decided:
            decided.append(answer.epoch)
        if verb == "prune" or (verb == "dispatch" and any(answer)):
            decided.append(words[0].epoch)


class Machine:
    """A host with one process on it; `life` counts its processes, so that none outlives its end."""

    def __init__(self, name: str, around: Around, number: int) -> None:
        self.name = name
        self.life = 0
        self.cut = False
        self.frozen = self.campaigns = False
        self.node: Node | None = None
        self.clock = OwnClock(around, around.setting.off[number])
        self._around = around
        self.labelled = around.setting.labels[number]
        self.script: Script | None = None
        self._left: list[Running] = []
        self.meets: list[Meeting] = []
        self._store: Store | None = None
        self._loops: dict[str, Loop] = {}
        self._due: dict[str, int] = {}
        self._busy: set[str] = set()
        self._rung = 0

    @property
    def up(self) -> bool:
        """Whether its process runs, and is not stopped."""
        return self.node is not None and not self.frozen and not self.campaigns

    def start(self) -> None:
        """Start its process, unless it runs."""
        if self.node is not None or "process" in self._busy:
            return
        around, setting = self._around, self._around.setting
        self.life += 1
        node = Node(
            "/simulated/synccron.db",
            id=self.name,
            concurrency=setting.concurrency,
            lease=format_duration(LEASE),
            node_lease=format_duration(NODE_LEASE),
            ahead=format_duration(setting.ahead),
            labels={"gpu": "yes"} if self.labelled else {},
            clock=self.clock,
            luck=lambda: 0.5,
        )
        script = around.handlers()
        self._store = around.open(self.clock)
        wire = Wire(self, around, self._store)
        self.script = script
        self._busy = {"process"}
        try:
            loops = node.enter(cast("Store", wire), script)
        except Killed:
            return
        except (SessionLost, StoreError):
            self._drop()
            return
        finally:
            self._busy.discard("process")
        now = around.clock.monotonic()
        self.node = node
        self._loops = {each.name: each for each in loops if each.name not in UNTURNED}
        self._due = dict.fromkeys(self._loops, now)
        self.frozen = False

    def kill(self) -> None:
        """Kill its process, and what it runs, with -9."""
        if self.node is None and "process" not in self._busy:
            return
        if self.script is not None:
            self.script.vanish()
            self._left += self.script.running.values()
        if self._store is not None:
            self._around.end(self.name, self._store)
        self._drop()

    def term(self, drain: Duration) -> None:
        """Ask its process to end, and wait for that."""
        if not self.up or self._busy or self.node is None:
            return
        node, life = self.node, self.life
        self._busy.add("process")
        try:
            node.stop(format_duration(drain))
        except Killed:
            return
        finally:
            self._busy.discard("process")
        if life == self.life:
            self._drop()

    def running(self) -> list[Running]:
        """Give the attempts that run on it, also of processes that were killed."""
        now = [] if self.script is None else [*self.script.running.values()]
        return [*self._left, *now]

    def hear(self) -> None:
        """Let those loops look that news of the store, or of ends, make look."""
        if self.node is None or self.script is None:
            return
        now = self._around.clock.monotonic()
        for name in ("worker", "dispatcher", "elector"):
            if name in self._due:
                self._due[name] = min(self._due[name], now + BLINK)

    def next(self) -> int:
        """Tell when something is to happen here, in monotonic ms."""
        if self.script is None:
            return NEVER
        at = [self.script.next()]
        if self.up:
            at += [due for name, due in self._due.items() if name not in self._busy]
        return min(at)

    def turn_script(self) -> None:
        """Do what the guardian does at this instant, also of a process that is stopped."""
        if self.script is None:
            return
        for _ in range(9):
            if self.script.next() > self._around.clock.monotonic():
                break
            if self.script.turn():
                self.kill()
                return
        if self.up and self.script.outbox:
            self.script.deliver()
            self._due["settler"] = self._around.clock.monotonic()

    def due(self) -> list[str]:
        """Name the loops whose turn has come."""
        now = self._around.clock.monotonic()
        if not self.up:
            return []
        return [name for name, at in self._due.items() if at <= now and name not in self._busy]

    def turn(self, name: str) -> None:
        """Let a loop take its turn."""
        loop = self._loops.get(name)
        if not self.up or loop is None or name in self._busy:
            return
        node, life = self.node, self.life
        self._busy.add(name)
        try:
            idle = loop.take()
        except Killed:
            return
        finally:
            if life == self.life:
                self._busy.discard(name)
        if life != self.life or node is None:
            return
        now = self._around.clock.monotonic()
        self._due[name] = now + max(1, min(idle, LONGEST_IDLE))
        if node._heart.rings != self._rung:
            self._rung = node._heart.rings
            self._due["heart"] = now

    def _drop(self) -> None:
        self.life += 1
        self.node = self.script = self._store = None
        self._loops, self._due = {}, {}
        self._busy = set()
        self._rung = 0
        self.frozen = self.campaigns = False
