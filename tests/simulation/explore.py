"""Explore what two nodes and a person may do to one store, step by step, and judge what is left.

Every turn of a node is two steps, what it reads and decides, and what it writes, so that anything
may come in between: the other node, time, a clock that jumps, a command, a death, an answer that is
lost. The decisions are the real ones (`plan`, `admit`, `settle`, `change`), the store is in memory
and compares what the real ones do. Two ways through it: a seeded random walk, and every order of
steps to a depth.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from synccron.clock import Clock, ManualClock
from synccron.errors import IdTaken, SessionLost, StaleTerm
from synccron.model.admit import Place, admit
from synccron.model.change import Change, pause, register, resume, unregister
from synccron.model.job import Admission, Claim, Ending, Job, Miss, Outcome, Settlement
from synccron.model.judge import History, judge
from synccron.model.lease import Node, Session, Term
from synccron.model.order import triggered
from synccron.model.overlap import passes_over
from synccron.model.plan import Due, Plan, plan
from synccron.model.schedule import Definition, Retry, Revision, Schedule, Tombstone
from synccron.model.settle import settle
from synccron.model.time import SECOND, Duration
from synccron.store.base import Look, Where
from tests.make import definition
from tests.simulation.memory.state import Memory
from tests.simulation.memory.store import MemoryStore

LEASE: Duration = 2 * SECOND
NODE_LEASE: Duration = 4 * SECOND
AHEAD: Duration = 6 * SECOND
ENDINGS: tuple[Ending, ...] = ("completed", "completed", "failed", "given_back")
SCHEDULES: tuple[Definition, ...] = (
    definition(id="each", cron="* * * * * *", misfire_grace=3 * SECOND),
    definition(id="all", cron="*/2 * * * * *", misfire="catch_up_all", max_catch_up_runs=5),
    definition(
        id="lone",
        cron="*/2 * * * * *",
        overlap="skip",
        misfire="catch_up_one",
        retry=Retry(max_attempts=2),
    ),
    definition(
        id="rare", cron="*/5 * * * * *", handler="h", overlap="skip", max_dispatch_failures=2
    ),
    definition(id="loose", cron="*/3 * * * * *", handler="h", strict_handlers=False),
    definition(
        id="queue", cron="* * * * * *", overlap="queue", misfire="catch_up_all", max_catch_up_runs=4
    ),
    definition(id="newest", cron="* * * * * *", overlap="replace", retry=Retry(max_attempts=2)),
    definition(
        id="prompt",
        cron="*/2 * * * * *",
        start_within=SECOND,
        max_running=1,
        misfire="catch_up_all",
        max_catch_up_runs=3,
    ),
)
NAMES = tuple(each.id for each in SCHEDULES)
OTHERS: dict[str, tuple[dict[str, Any], ...]] = {
    "each": ({"cron": "*/3 * * * * *"}, {"input": "1"}, {"handler": "h", "run": None}),
    "all": ({"cron": "* * * * * *"}, {"overlap": "skip"}),
    "lone": ({"cron": "*/3 * * * * *"}, {"overlap": "allow"}, {"enabled": False}),
    "rare": ({"handler": None, "run": "true"},),
    "loose": ({"tz": "Asia/Kolkata"},),
    "queue": ({"overlap": "replace"}, {"cron": "*/2 * * * * *"}),
    "prompt": ({"start_within": 3 * SECOND}, {"max_running": None, "overlap": "queue"}),
    "newest": ({"overlap": "skip"}, {"enabled": False}),
}


class Broken(AssertionError):
    """A law did not hold, and after which steps."""


class OwnClock:
    """A node's clock: the common one, and how far its wall clock is off."""

    def __init__(self, clock: ManualClock, off: Duration) -> None:
        self._clock = clock
        self.off = off

    def now(self) -> int:
        """Tell this node's wall-clock time."""
        return self._clock.now() + self.off

    def monotonic(self) -> int:
        """Tell the time since the boot."""
        return self._clock.monotonic()

    wait: Any = None


@dataclass(slots=True)
class Peer:
    """A node: what it holds in memory. `unsure` is a claim whose answer was lost."""

    name: str
    offers: frozenset[str] = frozenset({"run"})
    off: Duration = 0
    session: Session | None = None
    term: Term | None = None
    plans: tuple[Plan, ...] = ()
    admissions: tuple[Admission, ...] = ()
    claims: tuple[Claim, ...] = ()
    ended: tuple[Settlement, ...] = ()
    lost: tuple[Settlement, ...] = ()


@dataclass(slots=True)
class Person:
    """Who gives commands: a change that was decided, and is not written yet."""

    changes: tuple[Change, ...] = ()


@dataclass
class World:
    """Everything; `copy` gives one that goes its own way. `steps` are those that led here."""

    clock: ManualClock
    memory: Memory
    peers: tuple[Peer, ...]
    person: Person = field(default_factory=Person)
    started: dict[str, tuple[int, ...]] = field(default_factory=dict)
    joined: int = 0
    jumped: bool = False
    steps: tuple[str, ...] = ()

    def copy(self) -> "World":
        """Give a world that stands as this one, and knows nothing of it."""
        clock = ManualClock(self.clock.now(), self.clock.monotonic())
        memory = Memory(clock)
        memory.state = self.memory.state.copy()
        return World(
            clock,
            memory,
            tuple(replace(peer) for peer in self.peers),
            replace(self.person),
            dict(self.started),
            self.joined,
            self.jumped,
            self.steps,
        )

    def store(self, peer: Peer | None = None) -> MemoryStore:
        """Open a handle, with the clock of a node."""
        clock: Clock = self.clock if peer is None else OwnClock(self.clock, peer.off)
        return MemoryStore(self.memory, clock)

    # What nodes do.

    def join(self, peer: Peer) -> bool:
        """Register anew, where the session is over."""
        if peer.session is not None:
            return False
        self.joined += 1
        node = Node(
            id=peer.name,
            session=f"{peer.name}-{self.joined}",
            host="here",
            pid=1,
            version="0",
            started_at=self.clock.now(),
            tzdata="t",
            concurrency=2,
            offers=peer.offers,
        )
        try:
            peer.session = self.store(peer).join(node, NODE_LEASE)
        except IdTaken:
            return False
        return True

    def beat(self, peer: Peer) -> bool:
        """Renew the session, and the lead."""
        if peer.session is None:
            return False
        store = self.store(peer)
        try:
            store.renew(peer.session)
        except SessionLost:
            peer.session, peer.term = None, None
            return True
        if peer.term is not None:
            peer.term = store.campaign(peer.session, LEASE)
        return True

    def campaign(self, peer: Peer) -> bool:
        """Take the lead, where nobody has it."""
        if peer.session is None or peer.term is not None:
            return False
        peer.term = self.store(peer).campaign(peer.session, LEASE)
        return peer.term is not None

    def look(self, peer: Peer) -> bool:
        """Read what is due, and decide."""
        if peer.term is None or peer.plans:
            return False
        store, now = self.store(peer), self.clock.now() + peer.off
        offered = frozenset(
            name for node in store.read(Node).items if node.live for name in node.offers
        )
        look = Look(now=now, until=now + AHEAD // 2, overdue=now - peer.term.ttl, offered=offered)
        made = [
            plan(each, now, peer.term, offered, ahead=AHEAD, piece=3) for each in store.due(look, 9)
        ]
        peer.plans = tuple(each for each in made if each is not None)
        return bool(peer.plans)

    def dispatch(self, peer: Peer) -> bool:
        """Write what was decided, perhaps long ago."""
        if not peer.plans or peer.term is None:
            return False
        try:
            self.store(peer).dispatch(peer.term, peer.plans)
        except StaleTerm:
            peer.term = None
        peer.plans = ()
        return True

    def dispatch_twice(self, peer: Peer) -> bool:
        """Write it, and send it again, as the answer was lost."""
        plans, term = peer.plans, peer.term
        if not self.dispatch(peer):
            return False
        if peer.term is not None and term is not None:
            answers = self.store(peer).dispatch(term, plans)
            self.demand(not any(answers), "a dispatch that was sent again was written again")
        return True

    def see(self, peer: Peer) -> bool:
        """Read what may start, and judge it."""
        if peer.session is None or peer.admissions:
            return False
        store, now = self.store(peer), self.clock.now() + peer.off
        room = 2 - len(peer.claims)
        made: list[Admission] = []
        for candidate in store.waiting(peer.offers, now, 60):
            place = Place(node=peer.name, full=room <= 0, others=False, lease=LEASE)
            admission = admit(candidate, now, place)
            if admission is not None:
                made.append(admission)
                room -= admission.job is None and admission.miss is None
        peer.admissions = tuple(made)
        return bool(made)

    def claim(self, peer: Peer) -> bool:
        """Write what was judged, perhaps long ago."""
        return self._claim(peer, known=True)

    def claim_unknown(self, peer: Peer) -> bool:
        """Write it, and never hear of it: it is asked for again."""
        return self._claim(peer, known=False)

    def _claim(self, peer: Peer, *, known: bool) -> bool:
        if not peer.admissions or peer.session is None:
            return False
        try:
            now = self.clock.now() + peer.off
            claims = self.store(peer).claim(peer.session, peer.admissions, now)
        except SessionLost:
            peer.session, peer.term, peer.admissions = None, None, ()
            return True
        if known:
            held = {claim.fence for claim in peer.claims}
            fresh = tuple(each for each in claims if each is not None and each.fence not in held)
            peer.claims, peer.admissions = (*peer.claims, *fresh), ()
        return True

    def end(self, peer: Peer, ending: Ending = "completed") -> bool:
        """Let the oldest attempt end."""
        if not peer.claims:
            return False
        first, *rest = peer.claims
        now = self.clock.now() + peer.off
        ended = settle(first, Outcome(ending=ending, error="why"), now, 0.5)
        peer.claims, peer.ended = tuple(rest), (*peer.ended, ended)
        return True

    def settle(self, peer: Peer) -> bool:
        """Write how attempts ended."""
        if not peer.ended:
            return False
        self.store(peer).settle(peer.ended, self.clock.now())
        peer.ended = ()
        return True

    def settle_unknown(self, peer: Peer) -> bool:
        """Write it, and never hear of it: it is sent again."""
        if not peer.ended:
            return False
        self.store(peer).settle(peer.ended, self.clock.now())
        return True

    def find_lost(self, peer: Peer) -> bool:
        """Read which claims are lost."""
        if peer.session is None or peer.lost:
            return False
        now = self.clock.now() + peer.off
        peer.lost = tuple(
            settle(claim, Outcome(ending="lost"), now, 0.5, gone=True)
            for claim in self.store(peer).lost(9)
        )
        return bool(peer.lost)

    def reap(self, peer: Peer) -> bool:
        """Write that they are lost, unless their node is back."""
        if not peer.lost:
            return False
        self.store(peer).settle(peer.lost, self.clock.now())
        peer.lost = ()
        return True

    def die(self, peer: Peer) -> bool:
        """Be killed."""
        if peer.session is None:
            return False
        self.memory.kill(peer.session.id)
        peer.session = peer.term = None
        peer.plans = peer.admissions = peer.claims = peer.ended = peer.lost = ()
        return True

    def resign(self, peer: Peer) -> bool:
        """Hand over."""
        if peer.term is None:
            return False
        self.store(peer).resign(peer.term)
        peer.term = None
        return True

    # What a person does.

    def decide(self, name: str, what: str, choice: int = 0) -> bool:
        """Read a schedule, and decide a command."""
        store, now = self.store(), self.clock.now()
        where = Where(ids=(name,))
        found = store.read(Due, where).items
        change: Change | None = None
        match what:
            case "register":
                old: Due | Tombstone | None = next(iter(found), None)
                old = old or next(iter(store.read(Tombstone, where).items), None)
                base = next(each for each in SCHEDULES if each.id == name)
                others = ({}, *OTHERS[name])
                wanted = replace(base, **others[choice % len(others)])
                change = register(old, wanted, now, "me", "t")
            case "pause" if found:
                change = pause(found[0], now, None, None, "me")
            case "resume" if found:
                change = resume(found[0], now, "me")
            case "unregister" if found:
                change = unregister(found[0], now, "me")
            case _:
                pass
        self.person.changes = () if change is None else (change,)
        return change is not None

    def apply(self) -> bool:
        """Write the command."""
        if not self.person.changes:
            return False
        self.store().apply(self.person.changes)
        self.person.changes = ()
        return True

    def trigger(self, name: str, choice: int) -> bool:
        """Trigger a schedule, in one step: it is one write that compares the schedule."""
        found = self.store().read(Schedule, Where(ids=(name,))).items
        if not found:
            return False
        definition = found[0].definition
        active = self.store().active(name) if definition.alone else None
        if active is not None and passes_over(definition.overlap, active):
            return False
        order = triggered(found[0], f"k{choice}", None, self.clock.now(), active=active)
        return self.store().enqueue(order, 0) is not None

    def cancel(self, choice: int) -> bool:
        """Cancel a job that has not settled."""
        names = list(self.memory.state.open)
        if not names:
            return False
        self.store().cancel(names[choice % len(names)], self.clock.now())
        return True

    # What happens by itself.

    def tick(self, ms: Duration = SECOND) -> bool:
        """Let time pass."""
        self.clock.advance(ms)
        return True

    def jump(self, ms: Duration) -> bool:
        """Let the wall clock jump."""
        self.clock.jump(ms)
        self.jumped = True
        return True

    # What must hold.

    def demand(self, holds: bool, message: str) -> None:
        """Say what broke, and how it came to that."""
        if not holds:
            raise Broken("\n".join([message, "after:", *self.steps]))

    def check(self) -> None:
        """Demand what must hold after each step."""
        state = self.memory.state
        running: dict[str, int] = {}
        for job_id in state.open:
            job = state.jobs[job_id]
            schedule = state.schedules.get(job.schedule_id or "")
            if job.intention:
                self.demand(schedule is not None, f"{job.id}: an intention of no schedule")
                assert schedule is not None
                self.demand(not schedule.paused, f"{job.id}: an intention of a paused schedule")
                self.demand(job.run_at < schedule.cursor.next, f"{job.id}: not before its cursor")
            if job.state == "running" and job.alone:
                running[job.schedule_id or ""] = running.get(job.schedule_id or "", 0) + 1
        for name, number in running.items():
            self.demand(number == 1, f"{name}: {number} claims at once, though it runs alone")
        for schedule in state.schedules.values():
            cursor = schedule.cursor
            self.demand(cursor.decided_until < cursor.next, f"{schedule.id}: decided past its next")
        self._check_attempts()

    def _check_attempts(self) -> None:
        """Laws 1 and 5: what was begun stays begun, and each attempt has a token of its own."""
        state = self.memory.state
        for job_id, fences in self.started.items():
            job = state.jobs.get(job_id)
            self.demand(job is not None, f"{job_id}: was begun, and is gone")
            assert job is not None
            now = tuple(each.fence for each in job.attempts)
            self.demand(now[: len(fences)] == fences, f"{job_id}: its attempts are others")
        for job in state.jobs.values():
            if job.attempts:
                self.started[job.id] = tuple(each.fence for each in job.attempts)
        tokens = [fence for fences in self.started.values() for fence in fences]
        self.demand(len(tokens) == len(set(tokens)), "a token was given twice")

    def judge(self, *, quiet: bool = False) -> None:
        """Demand that the laws hold of the whole history."""
        store = self.store()
        histories = [
            History(
                schedule=schedule,
                revisions=store.read(Revision, Where(schedule=schedule.id)).items,
                jobs=store.read(Job, Where(schedule=schedule.id), limit=10_000).items,
                misses=store.read(Miss, Where(schedule=schedule.id), limit=10_000).items,
            )
            for schedule in store.read(Schedule).items
        ]
        # That no two claims are held at once `check` has seen itself, at each step.
        agreed = not self.jumped and not any(peer.off for peer in self.peers)
        found = judge(histories, quiet=quiet, clocks_agreed=agreed)
        self.demand(not found, "\n".join(map(str, found)))

    def come_to_rest(self) -> None:
        """One node that is well, and time: everything must be decided, and settle."""
        one = self.peers[0]
        self.jumped = self.jumped or any(peer.off for peer in self.peers)
        for peer in self.peers[1:]:
            self.die(peer)
        one.off, one.offers = 0, frozenset({"run", "h"})
        self.die(one)
        self.person.changes = ()
        self.tick(NODE_LEASE)
        for turn in range(300):
            if turn == 10:
                for name in sorted(self.memory.state.schedules):
                    if self.decide(name, "pause"):
                        self.apply()
            for act in (
                self.join,
                self.beat,
                self.campaign,
                self.look,
                self.dispatch,
                self.find_lost,
                self.reap,
                self.see,
                self.claim,
                self.see,
                self.claim,
            ):
                act(one)
            while self.end(one):
                pass
            self.settle(one)
            self.check()
            if turn > 10 and not self.memory.state.open:
                break
            self.tick()
        for schedule in self.store().read(Schedule).items:
            at = schedule.next_run_at
            late = at is not None and at <= self.clock.now()
            self.demand(not late, f"{schedule.id}: is undecided at rest")
        self.judge(quiet=True)


Step = tuple[str, Callable[[World], bool]]


def begin(names: Sequence[str] = NAMES) -> World:
    """Give a world with schedules, and two nodes, of which one leads."""
    clock = ManualClock()
    world = World(clock, Memory(clock), (Peer("n1"), Peer("n2", offers=frozenset({"run", "h"}))))
    for name in names:
        world.decide(name, "register")
        world.apply()
    for peer in world.peers:
        world.join(peer)
    world.campaign(world.peers[0])
    return world


def take(world: World, step: Step) -> bool:
    """Take a step where it can be taken, and check what it left."""
    name, act = step
    world.steps = (*world.steps, name)
    if not act(world):
        world.steps = world.steps[:-1]
        return False
    world.check()
    return True


def of_peer(number: int, verb: str, *words: Any) -> Step:
    """Name a step of a node."""
    return f"n{number + 1}.{verb}{words or ''}", lambda world: getattr(world, verb)(
        world.peers[number], *words
    )


def of_world(verb: str, *words: Any) -> Step:
    """Name a step of the world."""
    return f"{verb}{words}", lambda world: getattr(world, verb)(*words)


_OFTEN = ("look", "dispatch", "see", "claim", "end", "settle", "beat", "beat")
_SELDOM = (
    "claim_unknown",
    "settle_unknown",
    "dispatch_twice",
    "campaign",
    "campaign",
    "join",
    "join",
    "find_lost",
    "reap",
    "reap",
)


def some_step(luck: Random) -> Step:
    """Draw a step."""
    draw = luck.random()
    number = luck.randrange(2)
    if draw < 0.55:
        verb = luck.choice(_OFTEN)
        return of_peer(number, verb, *([luck.choice(ENDINGS)] if verb == "end" else []))
    if draw < 0.72:
        return of_peer(number, luck.choice(_SELDOM))
    if draw < 0.86:
        return of_world("tick", luck.choice((100, 400, SECOND, SECOND, SECOND, 3 * SECOND)))
    if draw < 0.93:
        what = luck.choice(("register", "register", "pause", "resume", "resume", "unregister"))
        return of_world("decide", luck.choice(NAMES), what, luck.randrange(4))
    if draw < 0.97:
        return of_world("apply")
    rare: list[Callable[[], Step]] = [
        lambda: of_peer(number, luck.choice(("die", "resign"))),
        lambda: of_world("jump", luck.choice((-7, -3, -1, 1, 3, 7, 30)) * SECOND),
        lambda: of_world("tick", luck.choice((8, 20, 90)) * SECOND),
        lambda: of_world("trigger", luck.choice(NAMES), luck.randrange(9)),
        lambda: of_world("cancel", luck.randrange(99)),
    ]
    return luck.choice(rare)()


def walk(seed: int, steps: int = 150) -> int:
    """Walk at random; how many steps were taken. Raises Broken."""
    luck, taken = Random(seed), 0  # noqa: S311 - a seed shall give the same walk
    world = begin()
    for peer in world.peers:
        peer.off = luck.choice((0, 0, 0, -300, 400, 1500))
    while taken < steps:
        step = some_step(luck)
        if take(world, step):
            taken += 1
            if taken % 25 == 0:
                world.judge()
            if step[0].startswith("decide") and luck.random() < 0.7:
                take(world, of_world("apply"))
    world.come_to_rest()
    return taken


def starts() -> Iterator[tuple[str, World, list[Step]]]:
    """Give where every order of steps begins: a world, and what may be done in it."""
    nodes = [
        of_peer(number, verb)
        for number in (0, 1)
        for verb in ("look", "dispatch", "see", "claim", "end", "settle")
    ]
    for name in NAMES:
        world = begin([name])
        written = (of_peer(0, "look"), of_peer(0, "dispatch"), of_world("tick", SECOND))
        for step in (*written, of_world("tick", SECOND)):
            take(world, step)
        yield f"{name}, written", world, [*nodes, of_world("tick", SECOND)]
        change = [of_world("decide", name, "pause"), of_world("apply")]
        yield f"{name}, paused", world, [*nodes, *change]
        change = [of_world("decide", name, "register", 1), of_world("apply")]
        yield f"{name}, changed", world, [*nodes, *change]
        change = [of_world("decide", name, "unregister"), of_world("apply")]
        yield f"{name}, removed", world, [*nodes, *change]
        late = world.copy()
        take(late, of_world("tick", NODE_LEASE))
        take(late, of_peer(1, "beat"))
        handover = [of_peer(0, "beat"), of_peer(1, "campaign"), of_peer(1, "find_lost")]
        yield f"{name}, succeeded", late, [*nodes, *handover, of_peer(1, "reap")]


def orders(world: World, steps: Sequence[Step], depth: int) -> int:
    """Take the steps in every order to a depth; how many were taken. Raises Broken."""
    taken = 0
    for step in steps:
        copy = world.copy()
        if not take(copy, step):
            continue
        taken += 1
        if depth > 1:
            taken += orders(copy, steps, depth - 1)
        else:
            copy.judge()
    return taken


def main() -> None:
    """Explore at length, and tell what was explored."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--steps", type=int, default=1_000_000, help="of the random walk")
    words.add_argument("--depth", type=int, default=6, help="of every order of steps")
    words.add_argument("--seed", type=int, default=0, help="of the first walk")
    given = words.parse_args()
    for name, world, steps in starts():
        taken = orders(world, steps, given.depth)
        print(f"every order to a depth of {given.depth}: {name}: {taken} steps", flush=True)
    taken, seed = 0, given.seed
    while taken < given.steps:
        try:
            taken += walk(seed)
        except Broken:
            print(f"the walk with seed {seed}:", file=sys.stderr)
            raise
        seed += 1
    print(f"random walks: {taken} steps, seeds {given.seed} to {seed - 1}: no law broke")


if __name__ == "__main__":
    main()
