"""One key, and many who call with it at once: one job, and all are told which."""

import secrets
import threading
from pathlib import Path

import pytest

from synccron.client import Client, Schedule
from synccron.engine.node import Node
from synccron.errors import KeyConflict
from tests.etcd import Members
from tests.faults.field import limit, trying, until
from tests.faults.game import times

pytestmark = [pytest.mark.faults, limit(300)]

CALLERS = 100
CLIENTS = 10  # that these callers share: connections to a store of their own


@pytest.mark.parametrize("backend", ["sqlite", "etcd"])
def test_callers_with_one_key_get_one_job_at_once_and_ever_after(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "synccron.db")
    if backend == "etcd":
        members: Members = request.getfixturevalue("etcd")
        url = members.url(f"keys/{secrets.token_hex(4)}")
    with (
        trying(f"{CALLERS} callers with one key at once, {backend}", "F30") as tried,
        Client(url, create=True) as client,
    ):
        client.register(Schedule(id="job", cron="0 0 1 1 *", run=f"echo ran >> {tmp_path}/ran"))
        clients = [Client(url) for _ in range(CLIENTS)]
        node = Node(url, lease=2, drain=0)
        node.start()
        try:
            for number in range(times(1, 10)):
                answers = at_once(clients, f"key-{number}")
                ids = {each for each, _ in answers}
                assert ids == {f"manual:job:key-{number}"}
                assert [first for _, first in answers].count(True) == 1
                until(lambda ids=ids: client.job(*ids).settled, "it to run")  # type: ignore[misc]
                again = client.trigger("job", key=f"key-{number}")
                assert (again.id, again.deduplicated) == (*ids, True)
                with pytest.raises(KeyConflict, match=f"key-{number}"):
                    client.trigger("job", key=f"key-{number}", input={"another": 1})
                tried.times += CALLERS
                tried.slots += 1
            assert (tmp_path / "ran").read_text().splitlines() == ["ran"] * times(1, 10)
        finally:
            node.stop()
            for each in clients:
                each.close()


def at_once(clients: list[Client], key: str) -> list[tuple[str, bool]]:
    """Call from all at one moment; of each the job, and whether it was the one that made it."""
    answers: list[tuple[str, bool]] = []
    gate = threading.Barrier(CALLERS)

    def call(client: Client) -> None:
        gate.wait()
        made = client.trigger("job", key=key)
        answers.append((made.id, not made.deduplicated))

    threads = [
        threading.Thread(target=call, args=(clients[n % len(clients)],)) for n in range(CALLERS)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(answers) == CALLERS
    return answers
