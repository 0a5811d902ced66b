"""That each slot has exactly one record is proved from revisions, whatever has happened."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.change import Change, pause, register, reset, resume
from synccron.model.job import Job, Miss
from synccron.model.ledger import Ledger, Violation
from synccron.model.plan import Due, Plan, plan
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import DAY, SECOND, Duration, Instant
from tests.make import NOW, OFFERED, TERM, definition, job, schedule

RHYTHMS = ("* * * * *", "*/3 * * * *", "*/20 * * * * *")


class Life:
    """A schedule and its records, as a store would have them."""

    def __init__(self) -> None:
        self.now = NOW
        self.jobs: dict[Instant, Job] = {}
        self.misses: list[Miss] = []
        self.revisions: list[Revision] = []
        self.rhythm = 0
        self.schedule: Schedule = schedule()
        made = register(None, definition(cron=RHYTHMS[0]), NOW, "me@here", "2026f")
        assert made is not None
        self.apply(made)

    @property
    def due(self) -> Due:
        intended = sorted(
            (each for each in self.jobs.values() if each.intention), key=lambda each: each.run_at
        )
        start = self.schedule.cursor.next
        taken = frozenset(slot for slot in self.jobs if slot >= start)
        return Due(schedule=self.schedule, intentions=tuple(intended), taken=taken)

    def apply(self, change: Change | Plan | None) -> None:
        if change is None:
            return
        if isinstance(change, Plan):
            self.schedule = replace(self.schedule, cursor=change.cursor)
            for each in (*change.jobs, *change.queued):
                self.jobs[each.run_at] = each
        else:
            assert change.schedule is not None
            self.schedule = change.schedule
            self.revisions += [] if change.revision is None else [change.revision]
            for each in change.withdrawn:
                del self.jobs[each.run_at]
            for each in change.queued:
                self.jobs[each.run_at] = each
            for miss in change.erased:
                self.misses.remove(miss)
        for each in change.dropped:
            del self.jobs[each.run_at]
        for miss in change.misses:
            self.record(miss)

    def record(self, miss: Miss) -> None:
        last = self.misses[-1] if self.misses else None
        if last is not None and (last.last, last.reason) == (miss.follows, miss.reason):
            self.misses[-1] = replace(last, last=miss.last, count=last.count + miss.count)
        else:
            self.misses.append(replace(miss, follows=None))

    def step(self, what: str, passed: Duration) -> None:
        self.now += passed
        match what:
            case "pause":
                self.apply(pause(self.due, self.now, None, None))
            case "resume":
                self.apply(resume(self.due, self.now))
            case "dispatch" if not self.schedule.paused:
                self.apply(plan(self.due, self.now, TERM, OFFERED, ahead=20 * SECOND))
            case "claim":
                for each in self.due.intentions:
                    if each.run_at <= self.now:
                        self.jobs[each.run_at] = replace(
                            each, state="completed", revision=self.schedule.version
                        )
            case "cron":
                self.rhythm = (self.rhythm + 1) % len(RHYTHMS)
                made = definition(cron=RHYTHMS[self.rhythm])
                self.apply(register(self.due, made, self.now, "me@here", "2026f"))
            case "wrong clock" | "work by a wrong clock":
                self.now += DAY
                self.step("dispatch", 0)
                if what != "wrong clock":
                    self.step("claim", 0)
                self.now -= DAY
                newest = sorted(self.misses, key=lambda each: -each.last)
                kept = self.revisions[::-1]
                self.apply(reset(self.due, kept, newest, self.now, "me@here", "2026f"))
            case _:
                pass

    def audit(self, jobs: Sequence[Job] | None = None) -> list[Violation]:
        ledger = Ledger(self.schedule, self.revisions)
        ledger.add_jobs(list(self.jobs.values()) if jobs is None else jobs)
        ledger.add_misses(self.misses)
        return list(ledger.violations())


STEPS = (
    *("pause", "resume", "dispatch", "dispatch", "claim", "cron", "wrong clock"),
    "work by a wrong clock",
)
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 400).map(lambda n: n * SECOND)), max_size=14
)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(steps=steps)
def test_no_life_of_a_schedule_leaves_a_slot_without_its_one_record(
    steps: list[tuple[str, Duration]],
) -> None:
    life = Life()
    for what, passed in steps:
        life.step(what, passed)
        assert life.audit() == [], what


def test_what_ran_by_a_clock_ahead_of_its_time_fits_the_rhythm_that_it_ran_by() -> None:
    life = Life()
    life.step("work by a wrong clock", 60 * SECOND)  # a minute of tomorrow has run
    life.step("cron", 60 * SECOND)  # from now on it is every third
    ahead = {slot for slot in life.jobs if slot > life.now + 60 * SECOND}
    life.step("dispatch", 2 * DAY)
    assert ahead
    assert life.audit() == []
    made_since = [
        replace(each, revision=life.schedule.version) if each.run_at in ahead else each
        for each in life.jobs.values()
    ]
    assert "its cron 0" in str(life.audit(made_since)[0])


@settings(deadline=None, derandomize=True, max_examples=50)
@given(steps=steps, which=st.integers(0, 1000))
def test_a_job_that_is_taken_away_is_always_missed(
    steps: list[tuple[str, Duration]], which: int
) -> None:
    life = Life()
    for what, passed in (("dispatch", 60 * SECOND), ("claim", 0), *steps):
        life.step(what, passed)
    judged = sorted(
        slot for slot in life.jobs if slot <= min(life.now, life.due.schedule.cursor.next - 1)
    )
    gone = judged[which % len(judged)]
    assert life.audit([each for slot, each in life.jobs.items() if slot != gone]) != []


def ledger(until: Instant, cron: str = "* * * * * *") -> Ledger:
    made: Schedule = schedule(cron=cron)
    made = replace(made, cursor=replace(made.cursor, next=until))
    first = Revision(
        schedule_id="job",
        version=1,
        definition=made.definition,
        at=NOW,
        by="me@here",
        cursor=NOW + SECOND,
        tzdata="2026f",
    )
    return Ledger(made, [first])


def slots(first: Instant, count: int) -> list[Job]:
    made = schedule(cron="* * * * * *")
    return [job(made, first + n * SECOND) for n in range(count)]


def test_what_is_kept_of_many_records_grows_with_their_gaps_and_not_with_them() -> None:
    many, page = 20_000, 500
    kept = ledger(NOW + (many + 1) * SECOND)
    for start in range(many, 0, -page):  # the newest first, as a store gives them
        kept.add_jobs(slots(NOW + (start - page + 1) * SECOND, page))
    assert (kept.jobs, len(kept._spans) < 1000) == (many, True)
    assert list(kept.violations()) == []


def test_a_miss_of_a_week_of_seconds_is_proved_by_arithmetic() -> None:
    kept = ledger(NOW + 7 * DAY)
    last = NOW + 7 * DAY - SECOND
    kept.add_misses(
        [
            Miss(
                schedule_id="job",
                first=NOW + SECOND,
                last=last,
                count=7 * DAY // SECOND - 1,
                reason="paused",
                recorded_at=last,
            )
        ]
    )
    assert list(kept.violations()) == []
    assert kept.missed == 7 * DAY // SECOND - 1


def test_gaps_and_doubles_do_not_make_up_for_each_other() -> None:
    kept = ledger(NOW + 1201 * SECOND)
    whole = slots(NOW + SECOND, 1200)
    kept.add_jobs([*whole[:500], *whole[501:], whole[7]])
    assert [str(each) for each in kept.violations()] == [
        "one job per slot: job: two records for 2026-11-23T22:00:08Z",
        "no slot vanishes: job: 1 slots from 2026-11-23T22:08:21Z on have no record",
    ]


def test_what_is_before_the_history_or_after_what_stands_still_is_not_asked_for() -> None:
    kept = ledger(NOW + 100 * SECOND)
    kept.add_jobs(slots(NOW + 11 * SECOND, 50))
    assert list(kept.violations(NOW + 11 * SECOND, NOW + 61 * SECOND)) == []
    assert len(list(kept.violations())) == 2
