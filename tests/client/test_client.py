"""The Python API, on a real store."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from synccron.client import Client, Job, Retry, Schedule
from synccron.clock import ManualClock
from synccron.errors import (
    InvalidInput,
    JobNotSettled,
    KeyConflict,
    NotFound,
    Refused,
    StoreDamaged,
)
from synccron.events import Event
from synccron.model.change import Change, register
from synccron.model.deed import Deed
from synccron.model.job import Admission, Claim, Outcome
from synccron.model.lease import Node, Session
from synccron.model.plan import Due, plan
from synccron.model.settle import settle
from synccron.model.time import DAY, MINUTE, SECOND, to_instant
from synccron.store.base import Look, Store, Where

BACKUP = Schedule(id="backup", cron="30 2 * * *", run=["backup"], input={"scope": "all"})


@pytest.fixture
def session(store: Store, clock: ManualClock) -> Session:
    node = Node(
        id="n1",
        session="s1",
        host="here",
        pid=1,
        version="0",
        started_at=clock.now(),
        tzdata="2026f",
        concurrency=4,
        offers=frozenset({"run"}),
    )
    return store.join(node, 10 * DAY)


@pytest.fixture
def start(store: Store, session: Session, clock: ManualClock) -> Callable[[], Claim]:
    """Claim the next job that waits."""

    def claim() -> Claim:
        offers = frozenset({"run", "m:f"})
        (candidate, *_) = store.waiting(offers, clock.now(), 5)
        (made,) = store.claim(session, [Admission(candidate=candidate)], clock.now())
        assert made is not None
        return made

    return claim


@pytest.fixture
def finish(store: Store, start: Callable[[], Claim], clock: ManualClock) -> Callable[..., None]:
    """Run the next job that waits to an end."""

    def end(**outcome: object) -> None:
        ended = Outcome(**{"ending": "completed", **outcome})  # type: ignore[arg-type]
        store.settle([settle(start(), ended, clock.now(), 0.5)], clock.now())

    return end


def test_registering_is_idempotent_and_says_what_it_did(client: Client) -> None:
    assert client.register(BACKUP).created == ["backup"]
    assert client.register(BACKUP).unchanged == ["backup"]
    changed = Schedule(id="backup", cron="30 3 * * *", run=["backup"])
    assert client.register(changed).updated == ["backup"]
    assert [(one.version, one.changed) for one in client.revisions("backup")] == [
        (2, ("cron", "input")),
        (1, None),
    ]


def test_one_bad_schedule_changes_nothing(client: Client) -> None:
    with pytest.raises(InvalidInput, match="never fires"):
        client.register(BACKUP, Schedule(id="bad", cron="0 0 30 2 *", run="x"))
    assert list(client.list()) == []


def test_what_was_registered_comes_back_as_it_was_given(client: Client) -> None:
    given = Schedule(
        id="full",
        cron="*/5 * * * *",
        tz="Europe/Berlin",
        handler="m:f",
        input=[1, None, "x"],
        misfire="catch_up_all",
        timeout="1h30m",
        kill_after=timedelta(seconds=3),
        retry={"max_attempts": 3, "backoff": "exponential", "delay": 2},
        overlap="skip",
        labels={"team": "web"},
        enabled=False,
    )
    client.register(given)
    read = client.get("full")
    assert (read.timeout, read.kill_after) == (timedelta(minutes=90), timedelta(seconds=3))
    assert read.retry == Retry(
        max_attempts=3,
        backoff="exponential",
        delay=timedelta(seconds=2),
        max_delay=timedelta(minutes=10),
    )
    assert (read.input, read.labels, read.paused) == ([1, None, "x"], {"team": "web"}, True)
    assert read.next_run_at is None
    assert client.register(read).unchanged == ["full"]


def test_more_than_one_piece_is_registered_with_its_progress(client: Client) -> None:
    told: list[tuple[int, int]] = []
    many = [Schedule(id=f"job-{n:04}", cron="@daily", run="x") for n in range(1100)]
    client.register(*many, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (1100, 1100)
    assert all(0 < after - before <= 500 for (before, _), (after, _) in pairwise([(0, 0), *told]))
    assert [schedule.id for schedule in client.list()] == [each.id for each in many]
    assert len(list(client.list("job-00*"))) == 100


def test_a_store_that_is_slow_gets_smaller_pieces(path: str) -> None:
    clock, told = ManualClock(), []
    with Client(path, create=True, clock=clock) as client:
        store, apply = client._store, client._store.apply

        def slow(changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
            clock.advance(2 * len(changes))  # ms
            return apply(changes, deeds)

        store.apply = slow  # type: ignore[method-assign]
        client.register(
            *(Schedule(id=f"job-{n:04}", cron="@daily", run="x") for n in range(400)),
            progress=lambda done, _: told.append(done),
        )
    pieces = [after - before for before, after in pairwise(told)]
    assert max(pieces[2:]) * 2 <= 100, pieces


def test_of_several_ids_one_unknown_changes_nothing(client: Client) -> None:
    client.register(BACKUP)
    for call in (client.unregister, client.pause, client.resume):
        with pytest.raises(NotFound, match="'nope'"):
            call("backup", "nope")
    assert not client.get("backup").paused
    with pytest.raises(NotFound, match="'a', 'b'"):
        client.cancel("a", "b")


def test_a_trigger_runs_the_stored_input_at_once(
    client: Client, start: Callable[[], Claim], told: list[Event]
) -> None:
    client.register(BACKUP)
    client.pause("backup")
    job = client.trigger("backup", key="deploy-42")
    assert (job.id, job.kind, job.state, job.key) == (
        "manual:backup:deploy-42",
        "manual",
        "queued",
        "deploy-42",
    )
    assert start().definition.input == '{"scope":"all"}'
    assert [event.event for event in told][-1] == "trigger_submitted"
    assert client.status().counters["trigger_submitted"] == 1


def test_the_same_key_gives_the_first_job_for_ninety_days(
    client: Client, clock: ManualClock, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    first = client.trigger("backup", key="k")
    assert not first.deduplicated
    finish()
    again = client.trigger("backup", key="k")
    assert (again.deduplicated, again.id, again.state) == (True, first.id, "completed")
    clock.advance(89 * DAY)
    assert client.trigger("backup", key="k").deduplicated
    clock.advance(2 * DAY)
    assert not client.trigger("backup", key="k").deduplicated


def test_the_same_key_with_another_input_is_refused(client: Client) -> None:
    client.register(BACKUP)
    client.trigger("backup", key="k", input={"scope": "db"})
    with pytest.raises(KeyConflict):
        client.trigger("backup", key="k", input={"scope": "all"})
    with pytest.raises(KeyConflict):
        client.trigger("backup", key="k")


def test_a_hundred_callers_with_one_key_get_one_job(client: Client, path: str) -> None:
    client.register(BACKUP)
    got: list[Job] = []

    def call() -> None:
        with Client(path) as mine:
            got.extend(mine.trigger("backup", key="same") for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in got}) == 1
    assert sum(not job.deduplicated for job in got) == 1
    assert len(client.jobs()) == 1


def test_a_busy_schedule_refuses_a_trigger_unless_it_is_forced(
    client: Client, start: Callable[[], Claim]
) -> None:
    client.register(Schedule(id="alone", cron="@daily", run="x", overlap="skip"))
    client.trigger("alone", key="1")
    start()
    with pytest.raises(Refused, match="manual:alone:1 is running"):
        client.trigger("alone", key="2")
    assert client.status().counters["trigger_rejected"] == 1
    assert client.trigger("alone", key="2", force=True).state == "queued"
    start()
    assert client.status().running == 2


@pytest.mark.usefixtures("session")
def test_a_strict_schedule_that_no_live_node_offers_is_refused(path: str, client: Client) -> None:
    client.register(Schedule(id="py", cron="@daily", handler="m:f"))
    with Client(path) as mine, pytest.raises(Refused, match="no live node offers 'm:f'"):
        mine.trigger("py")
    loose = Schedule(id="py", cron="@daily", handler="m:f", strict_handlers=False)
    client.register(loose)
    assert client.trigger("py").state == "queued"


def test_without_any_node_a_trigger_is_queued(client: Client) -> None:
    client.register(Schedule(id="py", cron="@daily", handler="m:f"))
    assert client.trigger("py").state == "queued"


def test_a_handler_is_submitted_without_a_schedule(
    client: Client, clock: ManualClock, start: Callable[[], Claim]
) -> None:
    job = client.submit("m:f", input={"a": 1}, key="k", delay=5)
    assert (job.id, job.kind, job.state) == ("submit:m:f:k", "submit", "scheduled")
    assert client.submit("m:f", input={"a": 1}, key="k").deduplicated
    clock.advance(5 * SECOND)
    claim = start()
    assert (claim.definition.handler, claim.job.input) == ("m:f", '{"a":1}')
    with pytest.raises(InvalidInput):
        client.submit("m:f", at="2027-01-01T00:00:00Z", delay=1)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    assert client.submit("m:f", at=at).run_at == at


def test_cancelling_what_has_not_started_ends_it_and_what_ended_stays(
    client: Client, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    job = client.trigger("backup", key="1")
    assert [each.state for each in client.cancel(job.id)] == ["cancelled"]
    assert [each.state for each in client.cancel(job.id)] == ["cancelled"]
    done = client.trigger("backup", key="2")
    finish()
    assert [each.state for each in client.cancel(done.id)] == ["completed"]


def test_a_dead_letter_is_retried_with_the_old_input_and_is_gone(
    client: Client, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    client.trigger("backup", key="1", input={"scope": "db"})
    finish(ending="failed", exit_code=1, error="exit status 1")
    (letter,) = client.dead_letters()
    assert (letter.kind, letter.job_id, letter.message) == (
        "job",
        "manual:backup:1",
        "exit status 1",
    )
    (again,) = client.retry_dead(letter.id)
    assert (again.kind, again.retry_of, again.state) == ("retry", "manual:backup:1", "queued")
    assert again.id.startswith("retry:backup:")
    assert client.dead_letters() == []
    with pytest.raises(NotFound):
        client.retry_dead(letter.id)


def test_a_retry_uses_the_current_definition_with_the_input_of_the_revision_that_ran(
    client: Client, finish: Callable[..., None], start: Callable[[], Claim]
) -> None:
    client.register(BACKUP)
    job = client.trigger("backup", key="1")
    with pytest.raises(Refused, match="still queued"):
        client.retry(job.id)
    finish(ending="failed")
    client.register(Schedule(id="backup", cron="30 2 * * *", run=["new"], input={"scope": "new"}))
    (again,) = client.retry(job.id)
    claim = start()
    assert claim.job.id == again.id
    assert (claim.definition.run, claim.job.input) == (("new",), '{"scope":"all"}')


def test_retrying_what_has_no_schedule_any_more_is_refused(
    client: Client, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    client.trigger("backup", key="1")
    finish(ending="failed")
    (letter,) = client.dead_letters()
    client.unregister("backup")
    with pytest.raises(Refused, match="not registered any more"):
        client.retry_dead(letter.id)
    assert client.dead_letters() == [letter]
    assert client.purge_dead() == 1


def test_waiting_gives_the_job_when_it_has_settled(
    path: str, client: Client, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    job = client.trigger("backup", key="1")
    waited: list[Job] = []

    def wait() -> None:
        with Client(path) as mine:
            waited.append(mine.wait(job.id))

    waiting = threading.Thread(target=wait)
    waiting.start()
    finish(result='{"rows":3}')
    waiting.join(50)
    assert [(each.state, each.result) for each in waited] == [("completed", {"rows": 3})]


def test_waiting_ends_with_its_timeout_and_the_job_goes_on(path: str, client: Client) -> None:
    client.register(BACKUP)
    job = client.trigger("backup", key="1")
    with Client(path) as mine, pytest.raises(JobNotSettled, match="still queued") as caught:
        mine.wait(job.id, timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(NotFound):
        client.wait("nope")


def test_jobs_are_listed_newest_first_and_chosen(
    client: Client, clock: ManualClock, finish: Callable[..., None]
) -> None:
    client.register(BACKUP)
    for key in ("1", "2", "3"):
        clock.advance(SECOND)
        client.trigger("backup", key=key)
    finish()
    assert [job.key for job in client.jobs()] == ["3", "2", "1"]
    assert [job.key for job in client.jobs(limit=1)] == ["3"]
    assert [job.key for job in client.jobs(states=["completed"])] == ["1"]
    since = datetime.fromtimestamp(clock.now() / 1000, UTC)
    assert [job.key for job in client.jobs(since=since)] == ["3"]
    with pytest.raises(InvalidInput, match="is no state"):
        client.jobs(states=["done"])


def test_what_a_damaged_schedule_lacks_is_named_where_it_is_resumed(
    client: Client, path: str, clock: ManualClock
) -> None:
    client.register(BACKUP)
    client.pause("backup")
    clock.advance(2 * DAY)  # slots were passed over: which ones, its cron tells
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE revisions SET definition = '{'")
    for call in (client.get, client.resume):
        with pytest.raises(StoreDamaged, match="a stored Definition cannot be read"):
            call("backup")


def test_many_schedules_change_though_one_of_them_always_has_just_moved(
    client: Client, store: Store, clock: ManualClock
) -> None:
    names = [f"s{number}" for number in range(8)]
    client.register(*(Schedule(id=name, cron="@daily", run="true") for name in names))
    apply = client._store.apply

    def moved(changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
        if len(changes) > 1:  # somebody changes one of many just before they are written
            (read,) = store.read(Due, Where(ids=(changes[0].id,))).items
            version = read.schedule.version
            other = replace(read.schedule.definition, labels={"version": str(version)})
            made = register(read, other, clock.now(), "me", "t")
            assert made is not None
            assert store.apply([made])
        return apply(changes, deeds)

    client._store.apply = moved  # type: ignore[method-assign]
    client.pause(*names)
    assert all(each.paused for each in client.list())
    hourly = [Schedule(id=name, cron="@hourly", run="true") for name in names]
    assert client.register(*hourly).updated == names


def test_pause_and_resume_keep_what_they_promise(client: Client, clock: ManualClock) -> None:
    client.register(Schedule(id="s", cron="* * * * *", run="x"))
    client.pause("s", until="2026-01-01T01:00:00Z", reason="moving")
    paused = client.get("s")
    assert (paused.paused, paused.next_run_at, paused.pause_reason) == (True, None, "moving")
    assert paused.paused_until == datetime(2026, 1, 1, 1, tzinfo=UTC)
    clock.advance(600 * SECOND)
    client.resume("s")
    resumed = client.get("s")
    assert resumed.next_run_at is not None
    assert to_instant(resumed.next_run_at) > clock.now()
    assert [(miss.reason, miss.count) for miss in client.misses("s")] == [("paused", 10)]


def test_an_id_that_comes_back_keeps_its_past(client: Client) -> None:
    client.register(BACKUP)
    client.unregister("backup")
    with pytest.raises(NotFound):
        client.get("backup")
    assert client.register(BACKUP).created == ["backup"]
    assert client.get("backup").version == 2


def test_a_cursor_that_a_wrong_clock_left_in_the_future_is_brought_back(
    client: Client, clock: ManualClock
) -> None:
    clock.jump(DAY)
    client.register(BACKUP, Schedule(id="often", cron="* * * * *", run="x"))
    clock.jump(-DAY)
    assert client.reset_cursor("backup", "often") == ["backup", "often"]
    cursor = client.get("often").cursor_at
    assert cursor is not None
    assert to_instant(cursor) <= clock.now() + 60 * SECOND
    assert [(one.version, one.changed) for one in client.revisions("often")] == [(2, ()), (1, None)]
    assert client.reset_cursor("often") == []
    with pytest.raises(NotFound):
        client.reset_cursor("nowhere", "often")


def test_jobs_come_in_the_order_of_their_slots_though_they_were_written_ahead(
    client: Client, store: Store, session: Session, clock: ManualClock
) -> None:
    client.register(*(Schedule(id=name, cron="* * * * * *", run="true") for name in ("a", "b")))
    term = store.campaign(session, 5 * SECOND)
    assert term is not None
    now = clock.now()
    offered = frozenset({"run"})
    look = Look(now=now, until=now + MINUTE, overdue=0, offered=offered)
    for each in store.due(look, 10):
        written = plan(each, now, term, offered, ahead=4 * SECOND)
        assert written is not None
        assert store.dispatch(term, [written]) == [True]
    assert client.jobs() == []
    slots = [job.slot for job in client.jobs(states=["scheduled"], limit=5) if job.slot]
    assert slots == sorted(slots, reverse=True)
    assert [slots.count(each) for each in slots] == [2, 2, 2, 2, 1]
