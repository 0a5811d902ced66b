"""What a client asks for happens on whichever node: two whole nodes, and a client on neither."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Job, Retry, Schedule
from synccron.engine.node import Node
from synccron.errors import JobNotSettled, Refused
from synccron.handlers import resolve
from tests.etcd import Members

pytestmark = pytest.mark.xdist_group("etcd")

ENOUGH = 60.0
NEVER = "0 0 1 1 *"
HANDLERS = """
def add(ctx):
    return {"sum": sum(ctx.input), "job": ctx.job_id}

def fail_once(ctx):
    if ctx.attempt == 1:
        raise RuntimeError("not yet")
"""


@pytest.fixture(params=["sqlite", "etcd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "synccron.db")
    return str(request.getfixturevalue("etcd").url(f"across/{secrets.token_hex(6)}"))


@pytest.fixture
def start(store: str) -> Iterator[Callable[..., Node]]:
    started: list[Node] = []

    def begin(name: str, **options: Any) -> Node:
        node = Node(store, **{"id": name, "lease": "2s", "drain": 0, **options})
        node.start()
        started.append(node)
        return node

    yield begin
    for each in started:
        each.stop()


@pytest.fixture
def client(store: str) -> Iterator[Client]:
    with Client(store, create=True) as opened:
        yield opened


def runs(client: Client, *jobs: Job) -> None:
    """Wait until all of these run."""
    for job in jobs:
        while client.job(job.id).state != "running":
            with pytest.raises(JobNotSettled):
                client.wait(job.id, timeout=0.05)


def test_cancel_ends_a_running_attempt_within_a_second_on_whichever_node(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(
        Schedule(id="obeys", cron=NEVER, run=["sleep", "600"]),
        Schedule(id="ignores", cron=NEVER, run="trap '' TERM; sleep 600", kill_after="200ms"),
    )
    start("n1")
    start("n2")
    jobs = [client.trigger(name, key=str(n)) for n in range(6) for name in ("obeys", "ignores")]
    runs(client, *jobs)
    assert {client.job(job.id).node for job in jobs} == {"n1", "n2"}
    client.cancel(*(job.id for job in jobs))
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert {job.state for job in ended} == {"cancelled"}
    assert {job.attempts[-1].outcome for job in ended} == {"cancelled"}
    for name in ("n1", "n2"):
        took = [_took(job) for job in ended if job.node == name]
        # A machine that is busy is late for some of them; one that looks each second, for all.
        assert min(took) < timedelta(seconds=1)


def _took(job: Job) -> timedelta:
    assert job.finished_at is not None
    assert job.cancel_requested_at is not None
    return job.finished_at - job.cancel_requested_at


def test_submit_and_wait_work_from_where_no_node_is(
    client: Client, start: Callable[..., Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "across_handlers.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    start("n1")
    start("n2")
    jobs = [client.submit("across_handlers:add", input=[n, 1], key=str(n)) for n in range(12)]
    again = client.submit("across_handlers:add", input=[3, 1], key="3")
    assert (again.id, again.deduplicated) == (jobs[3].id, True)
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert [job.result for job in ended] == [
        {"sum": n + 1, "job": job.id} for n, job in enumerate(jobs)
    ]
    later = client.submit("across_handlers:add", input=[], delay="300ms")
    done = client.wait(later.id, timeout=ENOUGH)
    assert done.lateness is not None
    assert done.lateness >= timedelta(0)


def test_a_job_that_was_cancelled_is_not_taken_up_when_its_node_goes(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(Schedule(id="stubborn", cron=NEVER, run="trap '' TERM; sleep 600"))
    first = start("n1")
    job = client.trigger("stubborn")
    runs(client, job)
    start("n2")
    client.cancel(job.id)
    first.stop(0)
    ended = client.wait(job.id, timeout=ENOUGH)
    assert (ended.state, ended.attempt) == ("cancelled", 1)


def test_replace_ends_the_old_run_on_another_node_and_starts_after_it(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(Schedule(id="one", cron=NEVER, run="sleep 600", overlap="replace"))
    start("n1")
    start("n2")
    jobs = [client.trigger("one", key="0")]
    for n in range(1, 5):
        runs(client, jobs[-1])
        jobs.append(client.trigger("one", key=str(n)))
    runs(client, jobs[-1])
    ended = [client.job(job.id) for job in jobs]
    assert [job.state for job in ended] == ["cancelled"] * 4 + ["running"]
    for before, after in pairwise(ended):
        assert before.finished_at is not None
        assert after.started_at is not None
        assert before.finished_at <= after.started_at


def test_a_schedule_runs_where_all_its_labels_are(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(
        Schedule(id="gpu", cron=NEVER, run="true", node_labels={"gpu": "a100", "zone": "eu"}),
    )
    start("plain", labels={"zone": "eu"})
    with pytest.raises(Refused, match="no live node offers 'run' with gpu=a100 zone=eu"):
        client.trigger("gpu")
    start("strong", labels={"zone": "eu", "gpu": "a100", "disk": "fast"})
    jobs = [client.trigger("gpu", key=str(n)) for n in range(5)]
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert [(job.state, job.node) for job in ended] == [("completed", "strong")] * 5
    assert {node.id: dict(node.labels) for node in client.nodes()}["plain"] == {"zone": "eu"}
    assert "?" not in "".join(name for node in client.nodes() for name in node.handlers)


def test_a_node_of_installed_handlers_alone_is_not_given_a_command(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(Schedule(id="shell", cron=NEVER, run="true"))
    client.register(Schedule(id="module", cron=NEVER, handler="json:dumps"))
    start("guarded", only_handlers=True)
    for name in ("shell", "module"):
        with pytest.raises(Refused, match="no live node offers"):
            client.trigger(name)
    start("open")
    jobs = [client.trigger("shell", key=str(n)) for n in range(5)]
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert [(job.state, job.node) for job in ended] == [("completed", "open")] * 5


def test_a_node_runs_of_commands_only_what_it_permits(
    client: Client, start: Callable[..., Node]
) -> None:
    client.register(
        Schedule(id="good", cron=NEVER, run=["/bin/echo", "a; b"]),
        Schedule(id="bad", cron=NEVER, run="/bin/echo a; id"),
    )
    start("guarded", allow_run=["/bin/echo *"])
    done = client.wait(client.trigger("good").id, timeout=ENOUGH)
    assert (done.state, done.node) == ("completed", "guarded")
    with pytest.raises(Refused, match="no live node offers 'run', which bad needs"):
        client.trigger("bad")
    (node,) = client.nodes()
    assert node.allow_run == ("/bin/echo *",)
    start("open")
    jobs = [client.trigger("bad", key=str(n)) for n in range(5)]
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert [(job.state, job.node) for job in ended] == [("completed", "open")] * 5


@pytest.mark.parametrize("allow_run", [(), ("/bin/true",)], ids=["only-handlers", "allow-run"])
def test_a_record_that_somebody_forged_fails_for_good_and_starts_nothing(
    store: str,
    client: Client,
    start: Callable[..., Node],
    allow_run: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    canary = tmp_path / "canary"
    monkeypatch.setattr(resolve, "entry_points", lambda: {"bill": "json:dumps"})
    client.register(Schedule(id="forged", cron=NEVER, handler="bill", retry=Retry(max_attempts=3)))
    job = client.trigger("forged")
    members = request.getfixturevalue("etcd") if store.startswith("etcd") else None
    forge(store, members, '"run":null', f'"run":"touch {canary}"')
    start("guarded", only_handlers=not allow_run, allow_run=allow_run)
    ended = client.wait(job.id, timeout=ENOUGH)
    assert (ended.state, len(ended.attempts)) == ("failed", 1)
    assert "this node" in (ended.error or "")
    assert not canary.exists()


def forge(store: str, members: Members | None, old: str, new: str) -> None:
    """Change a text in all definitions, past synccron."""
    if members is None:
        with closing(sqlite3.connect(store)) as db:
            db.execute("UPDATE revisions SET definition = replace(definition, ?, ?)", (old, new))
            db.commit()
        return
    prefix = store.rpartition("across/")[2]
    lines = members.ctl("get", "--prefix", f"across/{prefix}").splitlines()
    for key, value in zip(lines[::2], lines[1::2], strict=True):
        if old in value:
            members.ctl("put", key, value.replace(old, new))


def test_no_more_run_at_once_over_both_nodes_than_a_schedule_may_have(
    client: Client, start: Callable[..., Node], tmp_path: Path
) -> None:
    # What the handlers write down themselves: each begins after its claim, and ends before it is
    # settled.
    deeds = tmp_path / "deeds"
    work = f"echo + >> {deeds}; sleep 0.2; echo - >> {deeds}"
    client.register(Schedule(id="three", cron=NEVER, run=work, max_running=3))
    jobs = [client.trigger("three", key=str(n)) for n in range(12)]
    start("n1")
    start("n2")
    ended = [client.wait(job.id, timeout=ENOUGH) for job in jobs]
    assert {job.state for job in ended} == {"completed"}
    steps = [1 if line == "+" else -1 for line in deeds.read_text().split()]
    assert len(steps) == 24
    assert 1 < max(accumulate(steps)) <= 3
