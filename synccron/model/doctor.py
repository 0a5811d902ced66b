"""What is wrong with a store and its nodes, judged from values that others have gathered.

Each finding says what, where and what to do. A problem is what loses slots, or may soon; a warning
is worth a look. What is well is said too, so that everybody sees what was looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from synccron.model.change import stranded
from synccron.model.lease import Node, Term, Totals
from synccron.model.needs import in_words
from synccron.model.permit import covered
from synccron.model.schedule import Schedule, Unreadable
from synccron.model.time import SECOND, Duration, Instant, format_duration

Level = Literal["ok", "warning", "problem"]
NAMED = 5  # ids that a finding names
LATE: Duration = 5 * SECOND
SLOW: Duration = 500  # a tenth of the usual lease
TOO_SLOW: Duration = 1600  # a third: renewals come too late
OFF: Duration = SECOND
TOO_FAR_OFF: Duration = 30 * SECOND  # --max-skew, unless it is given
MIB = 1 << 20
QUOTA = 2 << 30  # etcd's, unless it is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what, where, and what to do."""

    level: Level
    check: str
    where: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of etcd's cluster; `error` is why it gave no answer. `size` in bytes."""

    endpoint: str
    error: str | None = None
    version: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a store is, as its backend finds it.

    `damage` is what a check of its integrity says. `latency` (ms) is what one durable write takes
    (None: it cannot be written). `free` and `room` are the bytes left and in all on its disk (None:
    it has none here). `members`, `alarms`, `quota`, `compacts` and `plain` (what goes to other
    hosts is not encrypted) are etcd's.
    """

    place: str
    layout: int
    newest: int
    damage: tuple[str, ...] = ()
    latency: Duration | None = None
    free: int | None = None
    room: int | None = None
    members: tuple[Member, ...] = ()
    alarms: tuple[str, ...] = ()
    quota: int | None = None
    compacts: bool = True
    plain: bool = False


def judge_store(found: Condition) -> list[Finding]:
    """Judge integrity, layout, speed and room."""
    made = _Made(where=found.place)
    if found.damage:
        made.problem(
            "integrity",
            f"it is damaged: {found.damage[0]}",
            "stop the nodes, keep a copy of the file, and go back to a backup",
        )
    else:
        made.ok("integrity", "no damage found")
    if found.layout < found.newest:
        made.warning(
            "layout",
            f"layout {found.layout}, and this version knows {found.newest}",
            "the first node of this version to start brings it up to date",
        )
    else:
        made.ok("layout", f"layout {found.layout}")
    _judge_latency(made, found.latency)
    if found.free is not None and found.room is not None:
        made.findings += judge_room("disk", found.place, found.free, found.room)
    if found.members:
        _judge_members(made, found)
    return made.findings


def judge_room(check: str, where: str, free: int, room: int) -> list[Finding]:
    """Judge how much is left on a disk, in bytes."""
    made = _Made(where=where)
    told = f"{free // MIB} MiB of {room // MIB} MiB are free"
    if free < 100 * MIB:
        made.problem(check, told, "make room: a full disk stops every write")
    elif free < room // 20 and free < 1024 * MIB:
        made.warning(check, told, "make room, or keep less (--retention)")
    else:
        made.ok(check, told)
    return made.findings


def judge_nodes(
    nodes: Sequence[Node], term: Term | None, totals: Totals, tzdata: str
) -> list[Finding]:
    """Judge who is there, who leads, and whether they agree; `tzdata` is the reader's version."""
    made = _Made(where="nodes")
    live = [node for node in nodes if node.live]
    if not live:
        made.problem(
            "nodes", "no node runs", "start one: systemctl start synccron, or synccron run"
        )
        return made.findings
    made.ok("nodes", f"{len(live)} live")
    leader = next((node for node in live if term is not None and node.id == term.node), None)
    if term is None or leader is None:
        made.problem(
            "leader",
            "nobody leads, and nothing is dispatched",
            "look at the nodes' logs: a clock that is off, or all of them run with --no-lead",
        )
    else:
        made.ok("leader", f"{leader.id}, epoch {term.epoch}")
    if totals.queued and all(node.running >= node.concurrency for node in live if node.offers):
        made.warning(
            "places",
            f"every place is taken, and {totals.queued} jobs are queued",
            "add nodes, raise --concurrency, or look for jobs without a timeout",
        )
    _judge_versions(made, live, tzdata)
    _judge_clocks(made, live)
    return made.findings


@dataclass(slots=True)
class Rounds:
    """Judges schedules as they are read, a page at a time, and keeps little of each."""

    nodes: Sequence[Node]
    now: Instant
    seen: int = 0
    _kept: dict[str, list[str]] = field(default_factory=dict)
    _number: dict[str, int] = field(default_factory=dict)
    _oldest: Instant | None = None

    def look(self, schedules: Iterable[Schedule]) -> None:
        """Look at some more."""
        offers = frozenset(node.offer for node in self.nodes if node.live)
        working = any(node.live and node.offers for node in self.nodes)
        for each in schedules:
            self.seen += 1
            if isinstance(each.definition, Unreadable):
                self._note("damaged", each.id)
                continue
            undecided = each.undecided_at
            if undecided is not None and undecided < self.now - LATE:
                self._oldest = min(undecided, self._oldest or undecided)
                self._note("overdue", each.id)
            if stranded(each, self.now):
                self._note("cursor", each.id)
            needs = each.definition.needs
            offered = covered(offers, needs, each.definition.run)
            if working and not offered and not each.paused:
                strict = each.definition.strict_handlers
                self._note("handlers" if strict else "silent", f"{each.id} ({in_words(needs)})")

    def findings(self) -> list[Finding]:
        """Tell what was found."""
        made = _Made(where="schedules")
        made.ok("schedules", f"{self.seen} looked at")
        if self._oldest is not None:
            late = format_duration(self.now - self._oldest)
            made.problem(
                "overdue",
                f"the oldest undecided slot is {late} past: {self._ids('overdue')}",
                "look whether anybody leads; synccron show ID has the last error of its dispatch",
            )
        else:
            made.ok("overdue", "no slot waits for its decision")
        if "damaged" in self._number:
            made.problem(
                "damaged",
                f"what is stored of a schedule cannot be read: {self._ids('damaged')}",
                "synccron show ID says what is wrong; register it again, or unregister it",
            )
        if "cursor" in self._number:
            made.problem(
                "cursor",
                f"a wrong clock has left the next slot in the far future: {self._ids('cursor')}",
                f"synccron reset-cursor {self._kept['cursor'][0]}, once the clock is right",
            )
        if "handlers" in self._number:
            made.problem(
                "handlers",
                f"no live node offers what these need: {self._ids('handlers')}",
                "give a node the handler (and labels), or correct the schedule",
            )
        if "silent" in self._number:
            made.warning(
                "handlers",
                "no live node offers what these need, and they asked for silence"
                f" (strict_handlers: false): {self._ids('silent')}",
                "install the handler on a node, or remove the schedule",
            )
        return made.findings

    def _note(self, what: str, name: str) -> None:
        self._number[what] = self._number.get(what, 0) + 1
        kept = self._kept.setdefault(what, [])
        if len(kept) < NAMED:
            kept.append(name)

    def _ids(self, what: str) -> str:
        more = self._number[what] - len(self._kept[what])
        return ", ".join(self._kept[what]) + (f" and {more} more" if more else "")


def judge_containment(word: str, sentence: str) -> list[Finding]:
    """Judge what holds the processes of attempts together: control groups, or adoption."""
    made = _Made(where="nodes on this host")
    if word == "cgroup":
        made.ok("containment", sentence)
    else:
        made.warning(
            "containment",
            sentence,
            "run the node by its unit (Delegate=yes), on a kernel with cgroup.kill (5.14)",
        )
    return made.findings


def judge_letters(totals: Totals) -> list[Finding]:
    """Judge what was given up."""
    made = _Made(where="dead letters")
    if totals.dead_letters:
        made.warning(
            "dlq",
            f"{totals.dead_letters} dead letters: work was given up",
            "synccron dlq ls; then dlq retry, or dlq rm",
        )
    else:
        made.ok("dlq", "none")
    return made.findings


@dataclass(slots=True)
class _Made:
    where: str
    findings: list[Finding] = field(default_factory=list)

    def ok(self, check: str, message: str) -> None:
        self._add("ok", check, message, None)

    def warning(self, check: str, message: str, hint: str, where: str | None = None) -> None:
        self._add("warning", check, message, hint, where)

    def problem(self, check: str, message: str, hint: str, where: str | None = None) -> None:
        self._add("problem", check, message, hint, where)

    def _add(
        self, level: Level, check: str, message: str, hint: str | None, where: str | None = None
    ) -> None:
        place = self.where if where is None else where
        self.findings.append(
            Finding(level=level, check=check, where=place, message=message, hint=hint)
        )


def _judge_latency(made: _Made, latency: Duration | None) -> None:
    hint = "put it on a faster disk, or one that nobody else uses; a longer --lease bears more"
    if latency is None:
        hint = "see the other findings; of a file: run it as the nodes' user"
        made.warning("latency", "no write goes through from here", hint)
    elif latency >= TOO_SLOW:
        made.problem("latency", f"a durable write takes {format_duration(latency)}", hint)
    elif latency >= SLOW:
        made.warning("latency", f"a durable write takes {format_duration(latency)}", hint)
    else:
        made.ok("latency", f"a durable write takes {format_duration(latency)}")


def _judge_members(made: _Made, found: Condition) -> None:
    away = [member for member in found.members if member.error is not None]
    there = [member for member in found.members if member.error is None]
    for member in away:
        made.problem(
            "members",
            f"it does not answer: {member.error}",
            "bring it back: the cluster bears the loss of fewer than half",
            member.endpoint,
        )
    if len(found.members) == 1:
        made.warning(
            "members", "one member is known", "name all of them in the URL; three bear a loss"
        )
    elif not away:
        made.ok("members", f"{len(there)} answer")
    if len({member.version for member in there}) > 1:
        versions = ", ".join(sorted({member.version for member in there}))
        made.warning("members", f"versions differ: {versions}", "finish the upgrade of etcd")
    for alarm in found.alarms:
        made.problem(
            "alarms", alarm, "compact, defragment (etcdctl defrag), then etcdctl alarm disarm"
        )
    if not found.alarms:
        made.ok("alarms", "none")
    _judge_quota(made, there, found.quota)
    if found.plain:
        made.warning(
            "tls",
            "commands and their inputs go to other hosts unencrypted, and whoever is in between"
            " can change them",
            "give etcd certificates, and write etcds://",
        )
    if not found.compacts:
        made.warning(
            "compaction",
            "compact=never: synccron leaves it to etcd",
            "see that etcd runs with --auto-compaction-retention",
        )


def _judge_quota(made: _Made, members: Sequence[Member], quota: int | None) -> None:
    for member in members:
        most = quota or QUOTA
        told = f"{member.size // MIB} MiB of {most // MIB} MiB" + (
            "" if quota else " (the usual quota: it does not tell its own)"
        )
        if member.size > most * 9 // 10:
            made.problem(
                "quota", told, "raise --quota-backend-bytes, or defragment", member.endpoint
            )
        elif member.size > most * 3 // 4:
            made.warning("quota", told, "raise --quota-backend-bytes in time", member.endpoint)
        else:
            made.ok("quota", told)


def _judge_versions(made: _Made, live: Sequence[Node], tzdata: str) -> None:
    versions = sorted({node.version for node in live})
    if len(versions) > 1:
        made.warning("versions", f"nodes of {', '.join(versions)}", "finish the upgrade")
    zones = {node.tzdata for node in live}
    if zones - {tzdata} or len(zones) > 1:
        each = ", ".join(sorted({f"{node.id}: {node.tzdata}" for node in live})[:NAMED])
        made.problem(
            "tzdata",
            f"time zone data differs ({each}; here: {tzdata}): slots may differ by who leads",
            "pip install --upgrade tzdata, the same everywhere, and restart the nodes",
        )
    else:
        made.ok("tzdata", f"{tzdata} everywhere")


def _judge_clocks(made: _Made, live: Sequence[Node]) -> None:
    """Judge how far each is off the median; the reader's own clock is one of them."""
    known = [(node.id, node.skew) for node in live if node.skew is not None]
    middle = round(median([0, *(skew for _, skew in known)]))
    worst = 0
    for name, skew in [("this host", 0), *known]:
        off = skew - middle
        worst = max(worst, abs(off))
        side = "ahead of" if off > 0 else "behind"
        told = f"its clock is {format_duration(abs(off))} {side} the others"
        hint = "look at NTP there: timedatectl, chronyc tracking"
        if abs(off) > TOO_FAR_OFF:
            made.problem("clock", told, hint, name)
        elif abs(off) > OFF:
            made.warning("clock", told, hint, name)
    if worst <= OFF:
        made.ok("clock", f"within {format_duration(worst)} of each other")
