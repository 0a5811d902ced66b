"""A run of the simulation as a list of steps: plain values, drawn from a seed before anything runs.

So any part of the list is a run, too: that is how a failing one is made short.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, get_args

from synccron.model.schedule import Definition, Retry
from synccron.model.time import MINUTE, SECOND, Duration
from tests.make import definition

Word = str | int
How = Literal["unreachable", "unanswered", "before", "after", "amid", "held"]
HOWS: tuple[How, ...] = (*get_args(How), "unanswered", *("held",) * 7)
# What a node asks of the store; those that write stand there more often.
VERBS = (
    *("dispatch",) * 7,
    *("claim",) * 5,
    *("settle",) * 4,
    *("renew", "campaign", "report", "join", "due", "waiting", "lost", "read", "prune", "apply"),
)
ASKED = ("apply", "apply", "enqueue", "enqueue", "cancel", "read")
LOOPS = (
    *("heart", "heart", "elector", "dispatcher", "dispatcher", "dispatcher", "worker", "worker"),
    *("worker", "settler", "settler", "canceller", "reaper", "registrar", "skew", "keeper"),
)
COMMANDS = (
    *("register", "register", "register", "pause", "resume", "resume", "unregister"),
    *("trigger", "trigger", "trigger", "force", "cancel", "cancel", "retry", "retry_dead", "reset"),
)
CHANGES = ("register", "register", "pause", "pause", "resume", "unregister", "trigger", "cancel")


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a call to the store meets: the next one of this verb.

    `unreachable`: it never arrives. `unanswered`: it does what it does, and nobody hears of it.
    `before`, `after`: whoever called is killed then. `amid`: it is killed while the store writes.
    `held`: it is on its way while other things happen.
    """

    verb: str
    how: How
    meanwhile: tuple["Step", ...] = ()

    def __str__(self) -> str:
        """Say it in words."""
        during = "; ".join(map(str, self.meanwhile))
        return f"{self.verb} {self.how}{': ' + during if during else ''}"


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody does: a node (`n1`), a person (`user`), or the world (`all`).

    `meets` is what comes in the way of a command, or of what a node (or any) does next.
    """

    who: str
    what: str
    words: tuple[Word, ...] = ()
    meets: tuple[Meeting, ...] = ()

    def __str__(self) -> str:
        """Say it in words."""
        words = " ".join(map(str, self.words))
        met = "".join(f" [{each}]" for each in self.meets)
        return f"{self.who} {self.what}{' ' + words if words else ''}{met}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run begins with. `seed` decides the fate of each attempt.

    `labels` are which nodes carry `gpu=yes`, `off` how far each node's wall clock is off. `lag`:
    what is read was so up to this long ago.
    """

    seed: int
    names: tuple[str, ...]
    nodes: int = 2
    cluster: bool = False
    lag: Duration = 0
    ahead: Duration = 9 * SECOND
    concurrency: int = 2
    labels: tuple[bool, ...] = (True, False, False)
    off: tuple[Duration, ...] = (0, 0, 0)


def _schedules() -> dict[str, Definition]:
    """Give a schedule for each rule there is."""
    twice = Retry(max_attempts=2)
    made = (
        definition(id="each", cron="* * * * * *", misfire_grace=3 * SECOND),
        definition(id="all", cron="*/2 * * * * *", misfire="catch_up_all", max_catch_up_runs=5),
        definition(id="pieces", cron="* * * * * *", misfire="catch_up_all", max_catch_up_runs=9),
        definition(id="one", cron="*/5 * * * * *", misfire="catch_up_one", on_lost="fail"),
        definition(id="lone", cron="*/2 * * * * *", overlap="skip", retry=twice),
        definition(
            id="queue",
            cron="* * * * * *",
            overlap="queue",
            misfire="catch_up_all",
            max_catch_up_runs=4,
        ),
        definition(id="newest", cron="*/2 * * * * *", overlap="replace", retry=twice),
        definition(id="goes-on", cron="*/3 * * * * *", overlap="skip", on_disconnect="continue"),
        definition(
            id="prompt",
            cron="*/2 * * * * *",
            start_within=SECOND,
            max_running=1,
            misfire="catch_up_all",
            max_catch_up_runs=3,
        ),
        definition(
            id="gpu", cron="*/5 * * * * *", node_labels={"gpu": "yes"}, max_dispatch_failures=2
        ),
        definition(
            id="loose", cron="*/3 * * * * *", node_labels={"gpu": "yes"}, strict_handlers=False
        ),
        definition(
            id="short",
            cron="*/2 * * * * *",
            timeout=SECOND,
            kill_after=SECOND,
            overlap="queue",
            retry=Retry(max_attempts=3, backoff="exponential", delay=500, max_delay=2 * SECOND),
        ),
        definition(id="rare", cron="0 0 1 1 *"),
    )
    return {each.id: each for each in made}


SCHEDULES = _schedules()
EDITS: tuple[dict[str, Any], ...] = (
    {},
    {"cron": "*/3 * * * * *"},
    {"tz": "Asia/Kolkata"},
    {"overlap": "skip"},
    {"overlap": "allow"},
    {"overlap": "replace"},
    {"misfire": "catch_up_all", "max_catch_up_runs": 3},
    {"enabled": False},
    {"input": "1"},
    {"node_labels": {"gpu": "yes"}},
    {"max_running": 1},
    {"on_disconnect": "continue"},
)


def edited(name: str, choice: int) -> Definition:
    """Give a schedule as somebody writes it."""
    return replace(SCHEDULES[name], **EDITS[choice % len(EDITS)])


def draw(seed: int, length: int = 34) -> tuple[Setting, tuple[Step, ...]]:
    """Draw a run."""
    luck = Random(seed)  # noqa: S311 - a seed shall give the same run
    nodes = luck.choice((1, 2, 2, 3, 3))
    setting = Setting(
        seed=seed,
        names=tuple(sorted(luck.sample(sorted(SCHEDULES), luck.choice((2, 3, 4))))),
        nodes=nodes,
        cluster=luck.random() < 0.5,
        ahead=luck.choice((9 * SECOND, 9 * SECOND, 0)),
        concurrency=luck.choice((1, 2, 4)),
        labels=tuple(luck.random() < 0.6 for _ in range(nodes)),
        off=tuple(luck.choice((0, 0, 0, -300, 400, 1500)) for _ in range(nodes)),
    )
    lag = (0, 0, 300, 1500)[seed % 4] if setting.cluster else 0
    return replace(setting, lag=lag), tuple(_step(luck, setting) for _ in range(length))


def _step(luck: Random, setting: Setting) -> Step:
    chance = luck.random()
    if chance < 0.30:
        return Step("all", "passes", (luck.choice((100, 400, 700, SECOND, SECOND, 3 * SECOND)),))
    node = f"n{luck.randrange(setting.nodes) + 1}"
    if chance < 0.55:
        verbs = luck.choices(VERBS, k=luck.choice((1, 1, 2)))
        who = luck.choice((node, "all", "all"))
        return Step(who, "meets", (), tuple(_meeting(luck, setting, verb) for verb in verbs))
    if chance < 0.63:
        return Step(node, luck.choice(LOOPS))
    if chance < 0.80:
        return _command(luck, setting)
    return _fault(luck, node)


def _fault(luck: Random, node: str) -> Step:
    kinds: tuple[tuple[str, tuple[Word, ...]], ...] = (
        ("kill", ()),
        *((("start", ()),) * 6),
        ("freeze", ()),
        ("wake", ()),
        ("wake", ()),
        ("cut", ()),
        ("join", ()),
        ("join", ()),
        ("term", (luck.choice((0, 500, 3000)),)),
        ("jump", (luck.choice((-7, -3, -1, 1, 3, 7, 40)) * SECOND,)),
    )
    what, words = luck.choice(kinds)
    if luck.random() < 0.12:
        return luck.choice(
            (
                Step("all", "sleeps", (luck.choice((3, 8, 20, 90, 3600)) * SECOND,)),
                Step("all", "jumps", (luck.choice((-30, -7, 7, 30, 3600)) * SECOND,)),
            )
        )
    return Step(node, what, words)


def _command(luck: Random, setting: Setting, chance: float = 0.25) -> Step:
    words = (luck.choice(setting.names), luck.randrange(24))
    met = luck.random() < chance
    meets = (_meeting(luck, setting, luck.choice(ASKED)),) if met else ()
    return Step("user", luck.choice(COMMANDS), words, meets)


def _meeting(luck: Random, setting: Setting, verb: str) -> Meeting:
    how = luck.choice(HOWS)
    return Meeting(verb, how, _meanwhile(luck, setting, verb) if how == "held" else ())


def _meanwhile(luck: Random, setting: Setting, verb: str) -> tuple[Step, ...]:
    """Draw what happens while a call is on its way."""
    node = f"n{luck.randrange(setting.nodes) + 1}"
    kind = luck.randrange(6) if verb != "claim" else luck.choice((0, 1, 4, 4, 5, 5))
    if kind < 2:  # whoever called it is stopped, and the others go on
        time = luck.choice((500, 1500, 1800, 1800, 3 * SECOND, 6 * SECOND, MINUTE))
        return (Step("caller", "freeze"), Step("all", "passes", (time,)), Step("caller", "wake"))
    if kind < 4:
        words = (luck.choice(setting.names), luck.randrange(24))
        return (Step("user", luck.choice(CHANGES), words),)
    if kind == 4:
        return (Step("all", "passes", (luck.choice((100, SECOND, 3 * SECOND)),)),)
    return tuple(Step(node, luck.choice(LOOPS)) for _ in range(luck.choice((1, 2, 3))))


def shown(setting: Setting, steps: Sequence[Step]) -> str:
    """Write a run for people."""
    return "\n".join([str(setting), *(f"{number:3} {each}" for number, each in enumerate(steps))])
