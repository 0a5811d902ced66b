"""Output that is followed from another host than that of the job, on either store."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from synccron.cli.follow import follow
from synccron.client import Client, Schedule
from synccron.clock import Bell, SystemClock
from synccron.engine.node import Node
from synccron.errors import JobNotSettled
from synccron.model.chunk import Chunk
from tests.etcd import Members

pytestmark = pytest.mark.xdist_group("etcd")
BINARY = b"\xff\x00\x1b[2J\n"


@dataclass
class Elsewhere:
    """A node on another host: its logs are not where the command line looks for them."""

    url: str
    client: Client
    folder: Path
    got: list[Chunk] = field(default_factory=list)

    @property
    def written(self) -> bytes:
        return b"".join(each.data for each in self.got)

    def gated(self, name: str, after: str, **fields: object) -> Path:
        """Register a job that says `begun`, and goes on when this file is there."""
        gate = self.folder / f"{name}.gate"
        run = f"echo begun; until [ -e {gate} ]; do sleep 0.01; done; {after}"
        self.client.register(Schedule(id=name, cron="@yearly", run=run, **fields))  # type: ignore[arg-type]
        return gate

    def opening(self, gate: Path) -> Callable[[Chunk], None]:
        """Open the gate when what comes before it has been seen."""

        def take(chunk: Chunk) -> None:
            self.got.append(chunk)
            if b"begun" in self.written:
                gate.touch()

        return take


@pytest.fixture(params=["sqlite", "etcd"])
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Elsewhere]:
    url = str(tmp_path / "state" / "synccron.db")
    if request.param == "etcd":
        members: Members = request.getfixturevalue("etcd")
        url = members.url(f"test/{secrets.token_hex(8)}")
    monkeypatch.setenv("SYNCCRON_STORE", url)
    monkeypatch.setattr("synccron.engine.node.logs_of", lambda _: tmp_path / "there")
    monkeypatch.setattr("synccron.cli.follow.logs_of", lambda _: tmp_path / "here")
    node = Node(url, id="n1", drain=0)
    node.start()
    try:
        with Client(url) as client:
            yield Elsewhere(url, client, tmp_path)
    finally:
        node.stop()


def test_output_is_followed_while_the_job_runs_with_its_times(elsewhere: Elsewhere) -> None:
    gate = elsewhere.gated("x", "printf 'over\\377\\n'")
    job = elsewhere.client.trigger("x", key="1")
    began = SystemClock().now()
    settled = follow(
        elsewhere.client,
        elsewhere.url,
        job.id,
        elsewhere.opening(gate),
        clock=SystemClock(),
        timeout=60_000,
    )
    assert (settled.state, elsewhere.written) == ("completed", b"begun\nover\xff\n")
    (instant, _), *_ = elsewhere.got[0].moments()
    assert instant is not None
    assert began - 5000 <= instant <= SystemClock().now()


def test_attempts_are_followed_one_after_another(elsewhere: Elsewhere) -> None:
    gate = elsewhere.gated(
        "x", "echo $SYNCCRON_ATTEMPT; test $SYNCCRON_ATTEMPT = 2", retry={"max_attempts": 2}
    )
    job = elsewhere.client.trigger("x", key="1")
    take = elsewhere.opening(gate)
    settled = follow(
        elsewhere.client, elsewhere.url, job.id, take, clock=SystemClock(), timeout=60_000
    )
    assert (settled.state, settled.attempt) == ("completed", 2)
    first = b"".join(each.data for each in elsewhere.got if each.attempt == 1)
    assert first == b"begun\n1\n"
    assert elsewhere.written.endswith(b"2\n")


def test_following_for_too_long_leaves_the_job_alone(elsewhere: Elsewhere) -> None:
    gate = elsewhere.gated("x", "true")
    job = elsewhere.client.trigger("x", key="1")
    with pytest.raises(JobNotSettled):
        follow(
            elsewhere.client,
            elsewhere.url,
            job.id,
            lambda _: None,
            clock=SystemClock(),
            timeout=300,
        )
    gate.touch()
    assert elsewhere.client.wait(job.id, timeout=60).state == "completed"


def test_trigger_waits_for_a_job_elsewhere_and_shows_its_output(elsewhere: Elsewhere, call) -> None:
    elsewhere.client.register(
        Schedule(id="good", cron="@yearly", run="echo out; echo err >&2"),
        Schedule(id="bad", cron="@yearly", run="echo no; exit 7"),
    )
    good = call("trigger", "good", "--key", "1", "--wait")
    assert (good.status, good.out) == (0, "out\nerr\n")
    bad = call("trigger", "bad", "--key", "1", "--wait", "--json")
    assert (bad.status, bad.err) == (1, "no\n")
    assert json.loads(bad.out)["exit_code"] == 7
    late = elsewhere.gated("late", "true")
    assert call("trigger", "late", "--wait-timeout", "200ms").status == 1
    late.touch()


def test_binary_output_comes_as_it_is(elsewhere: Elsewhere) -> None:
    gate = elsewhere.gated("x", r"printf '\377\000\033[2J\n'")
    job = elsewhere.client.trigger("x", key="1")
    take = elsewhere.opening(gate)
    follow(elsewhere.client, elsewhere.url, job.id, take, clock=SystemClock(), timeout=60_000)
    assert elsewhere.written == b"begun\n" + BINARY


def test_logs_of_a_job_that_runs_elsewhere_say_how_to_follow_it(elsewhere: Elsewhere, call) -> None:
    gate = elsewhere.gated("x", "true")
    job = elsewhere.client.trigger("x", key="1")
    until = Bell(SystemClock())
    elsewhere.client._store.watch(until.ring)
    while elsewhere.client.job(job.id).state != "running":
        until.wait(until.rings, 50)
    shown = call("logs", "x")
    assert (shown.status, shown.out) == (0, "")
    assert f"'synccron logs -f {job.id}' asks node n1" in shown.err
    gate.touch()
