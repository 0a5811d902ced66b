"""Whole nodes on a real store, with real handlers and the machine's clock."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Notify, Schedule
from synccron.clock import ManualClock
from synccron.engine.node import Node
from synccron.errors import IdTaken, InvalidInput, StoreNewer
from synccron.events import Event
from synccron.model.time import SECOND
from synccron.store import open_store
from tests.engine.conftest import ScriptedHandlers
from tests.hooks import Hook

ENOUGH = 50.0
EVERY_SECOND = "* * * * * *"


class Watched:
    """A node, and the events that it told."""

    def __init__(self, store: str, **options: Any) -> None:
        self.told: list[Event] = []
        self._news = threading.Condition()
        self.node = Node(store, on_event=self._hear, **options)

    def _hear(self, event: Event) -> None:
        with self._news:
            self.told.append(event)
            self._news.notify_all()

    def until(self, name: str, **fields: object) -> Event:
        def found() -> Event | None:
            return next(
                (e for e in self.told if e.event == name and fields.items() <= e.fields.items()),
                None,
            )

        with self._news:
            assert self._news.wait_for(lambda: found() is not None, ENOUGH), self.told
            event = found()
        assert event is not None
        return event


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "synccron.db")


@pytest.fixture
def client(path: str) -> Iterator[Client]:
    with Client(path, create=True) as opened:
        yield opened


@pytest.fixture
def start(path: str, client: Client) -> Iterator[Callable[..., Watched]]:  # noqa: ARG001 - it makes the store
    started: list[Watched] = []

    def begin(**options: Any) -> Watched:
        watched = Watched(path, **{"lease": "500ms", "node_lease": "2s", "drain": 0, **options})
        watched.node.start()
        started.append(watched)
        return watched

    yield begin
    for each in started:
        each.node.stop()


class Relying(ScriptedHandlers):
    """Handlers that note until when claims stand."""

    def __init__(self) -> None:
        super().__init__()
        self.relied: list[tuple[int, int]] = []

    def rely(self, term_at: int, kill_at: int) -> None:
        self.relied.append((term_at, kill_at))


def test_handlers_know_until_when_claims_stand_before_any_is_made(path: str) -> None:
    clock, handlers = ManualClock(), Relying()
    node, store = Node(path, clock=clock), open_store(path, create=True, clock=clock)
    loops = {each.name: each for each in node.enter(store, handlers)}
    (first,) = handlers.relied
    assert clock.monotonic() < first[0] < first[1]
    clock.advance(SECOND)
    at = node._session
    assert at is not None
    store.leave(at)
    loops["heart"].take()
    assert handlers.relied[1] == (0, 0)
    assert handlers.relied[2] > first
    node.stop()


def test_a_node_dispatches_runs_and_settles(client: Client, start: Callable[..., Watched]) -> None:
    client.register(Schedule(id="tick", cron=EVERY_SECOND, run="echo $SYNCCRON_SLOT"))
    watched = start()
    settled = watched.until("job_settled", state="completed")
    job = client.job(str(settled.fields["job_id"]))
    output, _ = client.output(job.id)
    assert job.slot is not None
    assert output.decode().strip() == job.slot.strftime("%Y-%m-%dT%H:%M:%SZ")
    metrics = watched.node.metrics()
    assert metrics["leader"] is True
    assert metrics["leader_changes"] == 1


def test_a_listener_that_raises_disturbs_nobody(path: str, client: Client) -> None:
    client.register(Schedule(id="once", cron="@yearly", run="true"))

    def raising(_event: Event) -> None:
        raise RuntimeError("listener")

    node = Node(path, on_event=raising)
    node.start()
    try:
        assert client.wait(client.trigger("once").id, timeout=ENOUGH).state == "completed"
    finally:
        node.stop()


def test_a_leader_that_resigns_is_succeeded_and_its_jobs_go_on(
    client: Client, start: Callable[..., Watched]
) -> None:
    client.register(Schedule(id="tick", cron=EVERY_SECOND, run="true"))
    first = start(id="n1")
    first.until("leader_acquired")
    second = start(id="n2")
    first.node.stop()
    taken = second.until("leader_acquired")
    epoch = first.until("leader_acquired").fields["epoch"]
    assert taken.fields["epoch"] > epoch
    second.until("job_settled", state="completed")
    assert [node.id for node in client.nodes()] == ["n2"]


def test_a_drain_lets_running_jobs_end(client: Client, start: Callable[..., Watched]) -> None:
    client.register(Schedule(id="slow", cron="@yearly", run="read line < fifo; echo done"))
    watched = start(drain=ENOUGH)
    job = client.trigger("slow", key="1")
    watched.until("job_started", job_id=job.id)
    watched.node.stop()
    assert client.job(job.id).settled


def test_what_outlives_the_drain_is_given_back_and_counts_for_nothing(
    client: Client, start: Callable[..., Watched]
) -> None:
    client.register(Schedule(id="long", cron="@yearly", run="sleep 600"))
    watched = start(drain=0)
    job = client.trigger("long", key="1")
    watched.until("job_started", job_id=job.id)
    watched.node.stop()
    given_back = client.job(job.id)
    assert (given_back.state, given_back.attempts[-1].outcome) == ("queued", "given_back")
    assert client.dead_letters() == []
    again = start()
    again.until("job_started", job_id=job.id)


def test_a_stop_can_be_hurried(client: Client, start: Callable[..., Watched]) -> None:
    client.register(
        Schedule(id="deaf", cron="@yearly", run="trap '' TERM; sleep 600", kill_after="1h")
    )
    watched = start(drain="1h")
    job = client.trigger("deaf", key="1")
    watched.until("job_started", job_id=job.id)
    stopping = threading.Thread(target=watched.node.stop)
    stopping.start()
    watched.until("leader_lost", reason="resigned")
    watched.node.hurry()
    stopping.join(ENOUGH)
    assert not stopping.is_alive()
    assert client.job(job.id).state == "queued"


def test_a_running_job_is_cancelled(client: Client, start: Callable[..., Watched]) -> None:
    client.register(Schedule(id="long", cron="@yearly", run="sleep 600"))
    watched = start()
    job = client.trigger("long", key="1")
    watched.until("job_started", job_id=job.id)
    client.cancel(job.id)
    ended = client.wait(job.id, timeout=ENOUGH)
    assert (ended.state, ended.attempts[-1].outcome) == ("cancelled", "cancelled")
    assert client.dead_letters() == []


def test_an_id_that_is_taken_is_waited_for_and_then_refused(
    path: str, start: Callable[..., Watched]
) -> None:
    start(id="n1")
    second = Watched(path, id="n1", lease="500ms", node_lease="500ms")
    with pytest.raises(IdTaken, match="n1"):
        second.node.start()


def test_a_module_that_a_schedule_names_is_offered_when_it_appears(
    client: Client, start: Callable[..., Watched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_module.py").write_text("def f(ctx): return ctx.step('a', lambda: 7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    watched = start()
    watched.until("leader_acquired")
    client.register(Schedule(id="late", cron="@yearly", handler="late_module:f"))
    job = client.trigger("late", key="1")
    assert client.wait(job.id, timeout=ENOUGH).result == 7


def test_a_node_that_does_not_work_leads_and_one_that_does_not_lead_works(
    client: Client, start: Callable[..., Watched]
) -> None:
    leader = start(id="leader", work=False)
    worker = start(id="worker", lead=False)
    leader.until("leader_acquired")
    client.register(Schedule(id="tick", cron=EVERY_SECOND, run="true"))
    worker.until("job_settled", state="completed")
    assert not [event for event in worker.told if event.event == "leader_acquired"]
    assert not [event for event in leader.told if event.event == "job_started"]


def test_a_node_leaves_no_thread_behind(client: Client, start: Callable[..., Watched]) -> None:
    client.register(Schedule(id="once", cron="@yearly", run="true"))
    watched = start()
    client.wait(client.trigger("once").id, timeout=ENOUGH)
    watched.node.stop()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("synccron")]
    assert left in ([], ["synccron-watch"]), left  # the client's own watch, for its wait


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"lease": "100ms"},
        {"lease": "5s", "node_lease": "1s"},
        {"ahead": "14s"},
        {"ahead": "61s"},
    ],
)
def test_options_that_make_no_sense_are_refused(path: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Node(path, **options)


def test_a_node_tells_a_webhook_and_a_command_of_failures_and_recoveries(
    start: Callable[..., Watched], client: Client, tmp_path: Path
) -> None:
    sign, out = tmp_path / "well", tmp_path / "told"
    with Hook(500, 200) as hook:
        client.register(
            Schedule(
                id="job",
                cron=EVERY_SECOND,
                run=f"test -e {sign}",
                notify=[
                    Notify(on=["failure", "recovery"], webhook=hook.url),
                    Notify(on="failure", command=f"cat >> {out}; echo >> {out}"),
                ],
            )
        )
        node = start()
        node.until("notice_told", on="failure")
        sign.touch()
        node.until("notice_told", on="recovery")
        events = [each["body"]["event"] for each in hook.requests]
    node.until("notice_told", on="failure", tries=1)  # the command's
    assert events == ["failure", "failure", "recovery"]  # the first was answered with 500
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["schedule_id"] == "job"


def test_a_leader_ends_and_names_what_only_a_node_of_another_version_can_read(
    path: str, client: Client, start: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = start()
    watched.until("leader_acquired")
    with monkeypatch.context() as patch:
        patch.setattr("synccron.engine.node.__version__", "99.0.0")
        start(lead=False)
    client.register(Schedule(id="job", cron=EVERY_SECOND, run="true"))
    with closing(sqlite3.connect(path)) as later, later:
        later.execute(
            "UPDATE revisions SET definition = json_set(definition, '$.of_a_later_version', 1)"
        )
    with pytest.raises(StoreNewer, match="of_a_later_version"):
        watched.node.wait()
