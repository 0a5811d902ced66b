"""The turns of a node, taken by hand: what is due becomes jobs, which run, end and are settled."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from synccron.clock import ManualClock
from synccron.engine.dispatcher import QUIET_FROM, ROWS
from synccron.engine.share import SOON
from synccron.errors import StaleTerm, StoreError
from synccron.model.admit import ELSEWHERE
from synccron.model.change import pause, register
from synccron.model.job import DeadLetter, Miss
from synccron.model.lease import Term
from synccron.model.order import triggered
from synccron.model.plan import Due, Plan
from synccron.model.schedule import Limits, Retry
from synccron.model.time import MINUTE, SECOND
from synccron.store.base import Where
from tests.engine.conftest import AHEAD, Bench
from tests.make import definition

if TYPE_CHECKING:
    from synccron.store.base import Store
    from tests.engine.conftest import Bench as Node


def test_a_slot_becomes_a_job_that_runs_and_is_settled(node: "Node") -> None:
    node.register()
    assert node.run_due() == []
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    assert run.invocation.run == "true"
    (job,) = node.jobs()
    assert (job.state, job.lateness, run.invocation.fence) == ("running", 0, job.fence)
    run.end()
    node.worker.settle_ended()
    (job,) = node.jobs()
    assert (job.state, node.worker.idle) == ("completed", True)
    assert [event.event for event in node.told[-3:]] == [
        "dispatch_submitted",
        "job_started",
        "job_settled",
    ]


def many_due(store: "Store", clock: ManualClock, count: int) -> "Node":
    """Give a node with room for a hundred, for which so many jobs are due now."""
    node = Bench(store, clock, "n1", concurrency=100)
    node.elector.seek()
    made = [definition(id=f"job-{number}") for number in range(count)]
    changes = [register(None, each, clock.now(), "me@here", "2026f") for each in made]
    assert store.apply([each for each in changes if each is not None])
    node.advance_to(node.schedule("job-0").cursor.next)
    node.dispatcher.turn()
    return node


def test_what_is_due_at_one_instant_begins_before_what_has_ended_of_it_is_settled(
    store: "Store", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, settled = many_due(store, clock, 100), []
    start = node.handlers.start

    def start_and_end(*invocation: Any) -> Any:
        run = start(*invocation)
        run.end()
        node.worker.settle_ended()
        settled.append(sum(job.settled for job in node.jobs_of(clock.now())))
        return run

    monkeypatch.setattr(node.handlers, "start", start_and_end)
    node.worker.turn()
    assert settled[15:] == [settled[15]] * 85
    while node.worker.settle_ended() == 0:
        pass
    assert all(job.state == "completed" for job in node.jobs_of(clock.now()))


def test_a_claim_that_fails_in_the_midst_of_many_holds_up_no_settlement(
    store: "Store", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, calls = many_due(store, clock, 100), []
    claim = store.claim

    def fails_then(*asked: Any) -> Any:
        calls.append(asked)
        if len(calls) == 2:
            raise StoreError("away")
        return claim(*asked)

    monkeypatch.setattr(store, "claim", fails_then)
    with pytest.raises(StoreError):
        node.worker.turn()
    for run in node.handlers.runs:
        run.end()
    node.worker.settle_ended()
    assert sum(job.settled for job in node.jobs_of(clock.now())) == len(node.handlers.runs) > 0


@pytest.mark.parametrize("answered", [True, False])
def test_law_5_a_claim_is_one_attempt_also_where_what_is_read_is_older_than_the_claim(
    store: "Store", clock: ManualClock, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    node = many_due(store, clock, 3)
    (claim, waiting), read = (store.claim, store.waiting), []

    def reads_the_past(*asked: Any, **named: Any) -> Any:
        read.append(waiting(*asked, **named))
        return read[0]

    def loses_an_answer(*asked: Any) -> Any:
        claims = claim(*asked)
        if answered:
            return claims
        monkeypatch.setattr(store, "claim", claim)
        raise StoreError("away")

    monkeypatch.setattr(store, "waiting", reads_the_past)
    monkeypatch.setattr(store, "claim", loses_an_answer)
    if not answered:
        with pytest.raises(StoreError):
            node.worker.turn()
    node.worker.turn()
    node.worker.turn()
    began = [run.invocation.job_id for run in node.handlers.runs]
    assert sorted(began) == sorted(job.id for job in node.jobs_of(clock.now()))
    for run in node.handlers.runs:
        run.end()
    node.worker.turn()
    node.worker.settle_ended()
    node.worker.turn()
    assert len(node.handlers.runs) == 3 < len(read)
    assert all(job.state == "completed" for job in node.jobs_of(clock.now()))


def test_an_attempt_gets_what_its_schedule_says_of_how_it_runs(node: "Node") -> None:
    limits = Limits(memory=64 << 20, cpu=3)
    node.register(
        env={"A": "b"},
        cwd="/tmp",
        timeout=5000,
        kill_after=2000,
        limits=limits,
        on_disconnect="stop",
    )
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    got = run.invocation
    assert (got.env, got.cwd, got.timeout, got.kill_after) == ({"A": "b"}, "/tmp", 5000, 2000)
    assert got.limits == limits
    assert got.stops


def test_a_schedule_of_every_second_is_one_dispatch_in_half_of_what_is_written_ahead(
    node: "Node",
) -> None:
    node.register(cron="* * * * * *")
    start, marks = node.clock.now(), set()
    for _ in range(40):
        for run in node.run_due():
            run.end()
        node.worker.settle_ended()
        node.advance_to(node.clock.now() + QUIET_FROM)
        node.dispatcher.turn()
        marks.add(node.schedule().cursor.mod)
        assert node.schedule().cursor.next > node.clock.now() + AHEAD // 2
        node.advance_to(node.clock.now() + SECOND - QUIET_FROM)
    assert len(marks) <= 1 + 40 * SECOND // (AHEAD // 2)
    slots = {job.slot for job in node.jobs()}
    assert slots >= {start + n * SECOND for n in range(1, 40)}


def test_a_job_is_written_ahead_of_its_slot_and_starts_at_it(node: "Node") -> None:
    node.register()
    slot = node.schedule().cursor.next
    node.advance_to(slot - AHEAD // 2)
    assert node.run_due() == []
    node.advance_to(slot - AHEAD // 2 + QUIET_FROM)
    assert node.run_due() == []
    (job,) = node.jobs()
    assert (job.state, job.run_at, job.revision) == ("scheduled", slot, None)
    assert node.schedule().next_run_at == slot
    assert node.schedule().cursor.next == slot + MINUTE
    node.advance_to(slot - 300)
    assert node.worker.turn() == 300
    node.advance_to(slot)
    node.worker.turn()
    assert len(node.handlers.runs) == 1
    assert node.jobs()[0].lateness == 0


def test_what_can_wait_is_written_away_from_the_whole_seconds(node: "Node") -> None:
    node.register()
    slot = node.schedule().cursor.next
    node.advance_to(slot - AHEAD // 2 + 100)
    assert node.dispatcher.turn() == QUIET_FROM - 100
    assert node.jobs() == []
    node.advance_to(node.clock.now() + QUIET_FROM - 100)
    assert node.dispatcher.turn() == SECOND
    assert len(node.jobs()) == 1


def test_a_schedule_that_comes_shortly_before_its_slot_does_not_wait(node: "Node") -> None:
    node.advance_to(node.clock.now() + 980)
    node.register(cron="* * * * * *")
    node.dispatcher.turn()
    assert len(node.jobs()) == AHEAD // SECOND


def test_a_burst_is_written_in_pieces_with_rests_and_before_its_instant(
    node: "Node", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [definition(id=f"job-{number}") for number in range(1200)]
    changes = [register(None, each, clock.now(), "me@here", "2026f") for each in made]
    assert node.store.apply([each for each in changes if each is not None])
    slot = node.schedule("job-0").cursor.next
    written: list[int] = []
    dispatch = node.store.dispatch

    def slow(term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        written.append(len(plans))
        clock.advance(50)
        return dispatch(term, plans)

    monkeypatch.setattr(node.store, "dispatch", slow)
    node.advance_to(slot - AHEAD // 2 + QUIET_FROM)
    rests = []
    while len(node.jobs_of(slot)) < 1200:
        rests.append(node.dispatcher.turn())
        node.advance_to(clock.now() + rests[-1])
    assert max(written) <= ROWS
    assert sum(rests) >= 50 * (len(written) - 1)
    assert clock.now() < slot


def test_a_strict_slot_that_nobody_offers_fails_from_its_instant_on(node: "Node") -> None:
    node.register(handler="bill")
    slot = node.schedule().cursor.next
    node.advance_to(slot - AHEAD // 4 + QUIET_FROM)
    node.dispatcher.turn()
    node.advance_to(slot - 1)
    node.dispatcher.turn()
    (job,) = node.jobs()
    assert (job.intention, node.schedule().cursor.failures) == (True, 0)
    node.advance_to(slot)
    node.dispatcher.turn()
    assert (node.schedule().cursor.failures, node.schedule().next_run_at) == (1, slot)
    for wait in (1, 2, 4, 8):
        node.advance_to(node.clock.now() + wait * SECOND)
        node.dispatcher.turn()
    (dead,) = node.store.read(DeadLetter).items
    (miss,) = node.store.read(Miss, Where(schedule="job")).items
    assert (dead.slot, miss.first, miss.reason) == (slot, slot, "dispatch_failed")
    assert not [each for each in node.jobs() if each.slot == slot]


def test_a_node_that_offers_in_time_starts_what_was_written_before_it_came(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    node.register(handler="bill")
    slot = node.schedule().cursor.next
    node.advance_to(slot - AHEAD // 2 + QUIET_FROM)
    node.dispatcher.turn()
    other = make_node("n2")
    other.offers = frozenset({"bill"})
    other.store.report(other.session, other.record())
    node.advance_to(slot)
    other.store.renew(other.session)
    node.dispatcher.turn()
    assert node.schedule().cursor.failures == 0
    other.worker.turn()
    assert len(other.handlers.runs) == 1


def permitting(bench: "Node", *patterns: str) -> None:
    """Let a node run only commands that match."""
    bench.allow_run = patterns
    bench.store.report(bench.session, bench.record())


def test_a_strict_slot_whose_command_no_node_permits_fails_from_its_instant_on(
    node: "Node",
) -> None:
    permitting(node, "/bin/true")
    node.register(id="good", run="/bin/true")
    node.register(id="bad", run="reboot")
    node.register(id="silent", run="reboot", strict_handlers=False)
    slot = node.schedule("good").cursor.next
    node.advance_to(slot - AHEAD // 4 + QUIET_FROM)
    node.dispatcher.turn()
    node.advance_to(slot)
    node.dispatcher.turn()
    assert node.schedule("bad").cursor.last_error == "no live node offers 'run'"
    assert node.schedule("good").cursor.failures == 0
    node.worker.turn()
    assert [run.invocation.run for run in node.handlers.runs] == ["/bin/true"]
    for wait in (1, 2, 4, 8):
        node.advance_to(node.clock.now() + wait * SECOND)
        node.dispatcher.turn()
    reasons = {each.schedule_id: each.reason for each in node.store.read(Miss).items}
    assert reasons == {"bad": "dispatch_failed", "silent": "no_handler"}


def test_a_node_leaves_commands_that_it_does_not_permit_to_those_that_do(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    other = make_node("n2")
    permitting(node, "/bin/true")
    node.register(id="good", run="/bin/true")
    node.register(id="bad", run="reboot")
    slot = node.schedule("good").cursor.next
    node.advance_to(slot - AHEAD // 4 + QUIET_FROM)
    other.store.renew(other.session)
    node.dispatcher.turn()
    node.advance_to(slot)
    other.store.renew(other.session)
    node.dispatcher.turn()
    node.worker.turn()
    other.worker.turn()
    assert node.schedule("bad").cursor.failures == 0
    # Who runs everything comes first: nobody waits for one that may not want it.
    assert {run.invocation.schedule_id for run in other.handlers.runs} == {"good", "bad"}
    assert not node.handlers.runs


def test_what_waits_for_other_nodes_hides_nothing_that_a_node_permits(node: "Node") -> None:
    permitting(node, "/bin/true")
    for number in range(100):
        node.register(id=f"bad-{number:03}", run="reboot")
    node.register(id="good", run="/bin/true")
    slot = node.schedule("good").cursor.next
    node.advance_to(slot - AHEAD // 4 + QUIET_FROM)
    while any(node.schedule(name).cursor.next == slot for name in ("bad-099", "good")):
        node.dispatcher.turn()
        node.advance_to(node.clock.now() + SECOND // 2)
    node.advance_to(slot)
    turns = 0
    while node.worker.turn() == 0:
        turns += 1
    assert [run.invocation.schedule_id for run in node.handlers.runs] == ["good"]
    assert turns <= 6
    # A schedule that is given another command is looked at again within a second.
    for number in range(100):
        node.register(id=f"bad-{number:03}", run="/bin/true")
    node.clock.advance(SECOND)
    node.store.renew(node.session)
    node.worker.turn()
    assert len(node.handlers.runs) == 4  # as many as it has room for


def test_at_its_instant_a_job_is_claimed_before_anything_is_read(
    node: "Node", monkeypatch: pytest.MonkeyPatch
) -> None:
    node.register(cron="* * * * * *")
    slot = node.schedule().cursor.next
    node.dispatcher.turn()
    node.worker.turn()
    asked: list[str] = []
    for verb in ("read", "waiting", "claim"):
        told = getattr(node.store, verb)

        def asking(*words: object, verb: str = verb, told: Any = told, **more: object) -> object:
            asked.append(verb)
            return told(*words, **more)

        monkeypatch.setattr(node.store, verb, asking)
    node.advance_to(slot)
    node.worker.turn()
    assert len(node.handlers.runs) == 1
    assert asked[0] == "claim"


def test_what_is_held_and_has_changed_is_read_anew_at_its_instant(node: "Node") -> None:
    node.register(cron="* * * * * *", input="1")
    slot = node.schedule().cursor.next
    node.dispatcher.turn()
    node.worker.turn()
    node.register(cron="* * * * * *", input="2")
    node.advance_to(slot)
    node.worker.turn()
    (run,) = node.handlers.runs
    assert (run.invocation.input, node.jobs()[0].lateness) == ("2", 0)


def test_what_is_held_and_was_taken_back_does_not_start(node: "Node") -> None:
    node.register(cron="* * * * * *")
    slot = node.schedule().cursor.next
    node.dispatcher.turn()
    node.worker.turn()
    (read,) = node.store.read(Due, Where(ids=("job",))).items
    change = pause(read, node.clock.now(), None, None, "me")
    assert change is not None
    assert node.store.apply([change])
    node.advance_to(slot)
    node.worker.turn()
    assert node.handlers.runs == []


def test_a_node_that_begins_nothing_at_an_instant_is_not_waited_for(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    dead = make_node("n2")
    for number in range(4):
        node.register(id=f"job-{number}", cron="* * * * * *")
    slot = node.schedule("job-0").cursor.next
    node.dispatcher.turn()
    node.advance_to(slot - 100)
    node.worker.turn()
    lateness = []
    for second in range(3):
        for late in (0, SOON, SOON + 1):
            node.advance_to(slot + second * SECOND + late)
            dead.store.renew(dead.session)
            node.worker.turn()
            for run in node.handlers.runs:
                run.end()
            node.handlers.runs.clear()
            node.worker.settle_ended()
        began = [job.lateness for job in node.jobs_of(slot + second * SECOND)]
        lateness.append(sorted(each for each in began if each is not None))
    assert lateness == [[0, 0, SOON + 1, SOON + 1], [0] * 4, [0] * 4]


def test_a_node_that_leaves_its_jobs_loses_its_turn_within_a_fifth_of_a_second_and_then_at_once(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    stuck = make_node("n2")
    for number in range(4):
        node.register(id=f"job-{number}", cron="* * * * * *")
    slot = node.schedule("job-0").cursor.next
    node.dispatcher.turn()
    for _ in range(3):
        for late in (0, 100, 210, 260, 310, 360):
            node.advance_to(slot + late)
            stuck.store.renew(stuck.session)
            node.worker.turn()
            for run in node.handlers.runs:
                run.end()
            node.handlers.runs.clear()
            node.worker.settle_ended()
        slot += SECOND
    began: dict[int, list[int]] = {}
    for job in node.jobs():
        if job.lateness is not None and job.slot is not None:
            began.setdefault(job.slot, []).append(job.lateness)
    first, *others = (sorted(began[each]) for each in sorted(began))
    assert len(first) == 4
    assert first[0] == 0
    assert ELSEWHERE <= first[-1] <= ELSEWHERE + 100
    assert others == [[0] * 4] * 2


def test_a_retry_starts_on_another_node_at_its_instant_whoever_comes_first_otherwise(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    for number in range(4):  # some are this node's before any other's, and some the other's
        name = f"job-{number}"
        node.register(id=name, cron="0 0 1 1 *", retry=Retry(max_attempts=2, delay=SECOND))
        order = triggered(node.schedule(name), "k", None, node.clock.now())
        assert node.store.enqueue(order, 0) is not None
    node.worker.turn()
    for run in node.handlers.runs:
        run.end("failed")
    node.worker.settle_ended()
    other = make_node("n2")
    (at,) = {job.run_at for job in node.jobs()}
    node.advance_to(at)
    node.worker.turn()
    assert len(node.handlers.runs) == 4
    other.worker.turn()
    assert len(other.handlers.runs) == 4


def test_a_retry_that_no_other_node_takes_starts_where_it_failed(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    node.register(cron="0 0 1 1 *", retry=Retry(max_attempts=2, delay=SECOND))
    order = triggered(node.schedule(), "k", None, node.clock.now())
    assert node.store.enqueue(order, 0) is not None
    node.worker.turn()
    node.handlers.runs[0].end("failed")
    node.worker.settle_ended()
    stuck = make_node("n2")
    (job,) = node.jobs()
    for late in (0, ELSEWHERE - 1, ELSEWHERE, ELSEWHERE + 50):
        node.advance_to(job.run_at + late)
        stuck.store.renew(stuck.session)
        node.worker.turn()
        assert (len(node.handlers.runs) == 2) == (late >= ELSEWHERE)


def test_an_attempt_starts_after_what_it_was_seen_to_follow_has_ended(
    node: "Node", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.register(cron="0 0 1 1 *", overlap="queue")
    for key in ("a", "b"):
        order = triggered(node.schedule(), key, None, clock.now())
        assert node.store.enqueue(order, 0) is not None
        clock.advance(1)
    node.worker.turn()
    waiting = node.store.waiting

    def ends_meanwhile(*given: Any, **options: Any) -> Any:
        monkeypatch.undo()
        clock.advance(5)
        node.handlers.runs[0].end()
        node.worker.settle_ended()
        return waiting(*given, **options)

    monkeypatch.setattr(node.store, "waiting", ends_meanwhile)
    node.worker.turn()
    first, second = node.jobs()
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at


def test_a_pause_takes_back_what_was_written_ahead(node: "Node") -> None:
    node.register(cron="* * * * * *")
    start = node.clock.now()
    node.dispatcher.turn()
    (read,) = node.store.read(Due, Where(ids=("job",))).items
    change = pause(read, start, None, None)
    assert change is not None
    assert node.store.apply([change])
    assert node.jobs() == []
    assert node.schedule().cursor.next == start + SECOND
    assert node.schedule().cursor.decided_until == start


def test_a_node_that_does_not_lead_dispatches_nothing(
    node: "Node", make_node: "Callable[[str], Node]"
) -> None:
    follower = make_node("n2")
    follower.elector.seek()
    assert follower.elector.term() is None
    node.register(cron="* * * * * *")
    node.advance_to(node.schedule().cursor.next)
    follower.dispatcher.turn()
    assert node.jobs() == []


def test_a_deposed_leader_changes_nothing_and_says_so(
    node: "Node", make_node: "Callable[[str], Node]", clock: ManualClock
) -> None:
    node.register(cron="* * * * * *")
    term = node.elector.term()
    assert term is not None
    clock.advance(6 * SECOND)  # the leader was stopped: nobody renewed its lease
    assert node.elector.term() is None
    successor = make_node("n2")
    successor.elector.seek()
    new = successor.elector.term()
    assert new is not None
    assert new.epoch > term.epoch
    with pytest.raises(StaleTerm):
        node.store.dispatch(term, [])
    node.elector.keep()
    assert [event.fields["epoch"] for event in node.events("leader_lost")] == [term.epoch]
    node.dispatcher.turn()
    assert node.jobs() == []


def test_a_leader_whose_store_is_away_says_that_it_leads_no_more_when_its_lease_has_run_out(
    node: "Node", clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise StoreError("away")

    term = node.elector.term()
    assert term is not None
    with monkeypatch.context() as patched:
        patched.setattr(node.store, "campaign", away)
        with pytest.raises(StoreError):
            node.elector.keep()
        assert node.events("leader_lost") == []
        clock.advance(6 * SECOND)
        with pytest.raises(StoreError):
            node.elector.keep()
        node.elector.keep()
    (said,) = node.events("leader_lost")
    assert said.fields["epoch"] == term.epoch
    assert "lease ran out" in str(said.fields["reason"])
    node.elector.seek()
    assert node.elector.term() is not None


def test_resigning_hands_over_at_once(node: "Node", make_node: "Callable[[str], Node]") -> None:
    follower = make_node("n2")
    node.elector.resign()
    follower.elector.seek()
    assert follower.elector.term() is not None
    node.elector.seek()
    assert node.elector.term() is None


def test_a_failed_attempt_is_retried_after_its_delay_and_then_a_dead_letter(
    node: "Node",
) -> None:
    node.register(retry=Retry(max_attempts=2, delay=3 * SECOND))
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    run.end("failed", exit_code=1, error="exit status 1")
    node.worker.settle_ended()
    (job,) = node.jobs()
    assert (job.state, job.run_at) == ("scheduled", node.clock.now() + 3 * SECOND)
    assert node.run_due() == []
    node.advance_to(job.run_at)
    (again,) = node.run_due()
    assert again.invocation.attempt == 2
    assert again.invocation.fence > run.invocation.fence
    again.end("failed", exit_code=1, error="exit status 1")
    node.worker.settle_ended()
    (job,) = node.jobs()
    assert job.state == "failed"
    (dead,) = node.store.read(DeadLetter).items
    assert (dead.job_id, dead.attempts) == (job.id, 2)


def test_a_job_of_a_dead_node_is_taken_up_by_another(
    node: "Node", make_node: "Callable[[str], Node]", clock: ManualClock
) -> None:
    node.register()
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    other = make_node("n2")
    other.reaper.turn()
    assert node.jobs()[0].state == "running"
    clock.advance(16 * SECOND)
    other.store.renew(other.session)
    other.reaper.turn()
    assert (node.jobs()[0].state, node.jobs()[0].lost) == ("queued", 1)
    other.worker.turn()
    (again,) = other.handlers.runs
    run.end()  # the node that slept comes back with its result
    node.worker.settle_ended()
    assert node.jobs()[0].state == "running"
    assert len(node.events("job_lost")) == 1
    again.end()
    other.worker.settle_ended()
    assert node.jobs()[0].state == "completed"


def test_overlap_skip_makes_a_miss_while_the_job_before_runs(node: "Node") -> None:
    node.register(overlap="skip")
    first = node.schedule().cursor.next
    node.advance_to(first)
    (run,) = node.run_due()
    node.advance_to(first + MINUTE)
    assert node.run_due() == []
    (miss,) = node.store.read(Miss, Where(schedule="job")).items
    assert (miss.reason, miss.first) == ("overlap", first + MINUTE)
    run.end()
    node.worker.settle_ended()
    node.advance_to(first + 2 * MINUTE)
    assert len(node.run_due()) == 1


def test_a_full_node_queues_what_is_due_and_runs_it_when_there_is_room(node: "Node") -> None:
    for number in range(6):
        node.register(id=f"job-{number}")
    node.advance_to(node.schedule("job-0").cursor.next)
    runs = node.run_due()
    assert len(runs) == 4
    node.worker.turn()
    assert sorted(job.state for job in node.jobs()) == ["queued"] * 2 + ["running"] * 4
    runs[0].end()
    runs[1].end()
    node.worker.settle_ended()
    node.worker.turn()
    assert [job.state for job in node.jobs()].count("running") == 4


def test_a_cancel_reaches_the_node_that_runs_the_job(node: "Node") -> None:
    node.register()
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    node.store.cancel(node.jobs()[0].id, node.clock.now())
    node.worker.watch_cancels()
    node.worker.watch_cancels()
    assert run.stops == ["cancelled"]
    run.end("cancelled")
    node.worker.settle_ended()
    assert node.jobs()[0].state == "cancelled"
    assert node.store.read(DeadLetter).items == ()


def test_a_schedule_that_nobody_offers_delays_no_other(node: "Node") -> None:
    node.register(id="orphan", handler="bill")
    node.register(id="fine")
    node.advance_to(node.schedule("fine").cursor.next)
    (run,) = node.run_due()
    assert run.invocation.schedule_id == "fine"
    assert len(node.events("dispatch_failed")) == 1
    assert node.tally.counts()["dispatch_failed"] == 1


def test_a_schedule_is_given_up_after_five_failures_in_a_row(node: "Node") -> None:
    node.register(handler="bill")
    slot = node.schedule().cursor.next
    for wait in (0, 1, 2, 4, 8):
        node.advance_to(max(slot, node.clock.now() + wait * SECOND))
        node.dispatcher.turn()
    (dead,) = node.store.read(DeadLetter).items
    assert (dead.kind, dead.slot, dead.attempts) == ("dispatch", slot, 5)
    assert node.schedule().cursor.next == slot + MINUTE
    assert len(node.events("dispatch_advanced_after_failures")) == 1


def test_a_pause_ends_by_itself_when_it_was_given_an_end(node: "Node") -> None:
    node.register()
    (read,) = node.store.read(Due, Where(ids=("job",))).items
    change = pause(read, node.clock.now(), node.clock.now() + 90 * SECOND, "a move")
    assert change is not None
    assert node.store.apply([change])
    node.advance_to(node.clock.now() + 89 * SECOND)
    node.keeper.turn()
    assert node.schedule().paused
    node.advance_to(node.clock.now() + 2 * SECOND)
    node.keeper.turn()
    assert not node.schedule().paused


def test_many_that_wait_to_replace_each_other_do_not_stand_still(node: "Node") -> None:
    for number in range(10):
        node.register(
            id=f"job-{number}",
            overlap="replace",
            misfire="catch_up_all",
            max_catch_up_runs=20,
            misfire_grace=SECOND,
        )
    node.advance_to(node.clock.now() + 30 * MINUTE + 30 * SECOND)
    now = node.clock.now()
    for _ in range(60):
        for run in node.run_due():
            run.end()
        node.worker.settle_ended()
        node.advance_to(node.clock.now() + 100)
    due = [job for job in node.jobs() if job.run_at <= now]
    assert len(due) == 200
    assert [job.state for job in due].count("completed") == 10
    assert [job.state for job in due].count("cancelled") == 190


def test_a_job_that_comes_back_to_a_node_that_still_runs_it_is_two_attempts(
    node: "Node", make_node: "Callable[[str], Node]", clock: ManualClock
) -> None:
    node.register()
    node.advance_to(node.schedule().cursor.next)
    (old,) = node.run_due()
    other = make_node("n2")
    clock.advance(16 * SECOND)  # the claim was lost, and its node has not noticed
    other.store.renew(other.session)
    other.reaper.turn()
    node.session = node.join()
    node.worker.turn()
    new = node.handlers.runs[-1]
    assert new.invocation.fence > old.invocation.fence
    assert node.worker.running == 2
    old.end()
    assert node.worker.running == 1
    node.store.cancel(node.jobs()[0].id, clock.now())
    node.worker.watch_cancels()
    assert (old.stops, new.stops) == ([], ["cancelled"])
