"""Records of the first released layout on etcd are read and written on by this version.

`released/etcd-1.txt` is what that version wrote itself, a key and its value a line; its node was
killed with a job running, and etcd has ended its leases. The file is never made anew.
"""

import base64
import json
import secrets
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.clock import SystemClock
from synccron.errors import StoreNewer
from synccron.model.copy import Base
from synccron.model.lease import Node
from synccron.model.time import MINUTE
from synccron.store import open_store
from synccron.store.etcd.address import address
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.draft import Draft, commit
from tests.etcd import Members

RELEASED = Path(__file__).parent / "released" / "etcd-1.txt"
IDS = {"backup", "every-second", "fails", "handled", "hangs", "retries", "sleeping"}


def fill(url: str, changed: dict[str, str]) -> None:
    """Write the released keys, all at one revision, as a job and its run once were."""
    where = address(url)
    calls = Etcd(where, None, 10_000)
    draft = Draft(calls.messages, b"")
    for line in RELEASED.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("\t")
        coded = value.removeprefix("base64:")
        text = changed.get(key, value).encode() if coded == value else base64.b64decode(coded)
        draft.put(f"{where.prefix}/{key}".encode(), text)
    assert commit(calls, draft).written
    calls.close()


@pytest.fixture
def released(etcd: Members) -> str:
    url = etcd.url(f"released/{secrets.token_hex(6)}")
    fill(url, {})
    return url


def test_records_of_the_first_version_are_read_whole(released: str) -> None:
    with Client(released) as client:
        schedules = {each.id: each for each in client.list()}
        assert set(schedules) == IDS
        assert schedules["handled"].input == {"currency": "EUR", "list": [1, 2.5, None, "ü"]}
        assert (schedules["fails"].paused, schedules["fails"].pause_reason) == (True, "holiday")
        assert [each.version for each in client.revisions("every-second")] == [2, 1]
        states = {each.id: each.state for each in client.jobs(limit=100)}
        assert states["manual:hangs:h1"] == "running"
        assert states["manual:retries:r1"] == "scheduled"
        assert states["submit:billing:invoice:s1"] == "queued"
        assert client.output("manual:backup:deploy-42") == (b"backed up\n", False)
        (letter,) = client.dead_letters()
        assert letter.job_id == "manual:fails:k1"
        assert client.trigger("backup", key="deploy-42", input={"a": 1}).deduplicated


def test_records_of_the_first_version_are_written_on(released: str) -> None:
    with Client(released) as client, open_store(released, clock=SystemClock()) as store:
        client.pause("backup")
        client.resume("backup")
        (lost,) = store.lost(10)
        assert lost.job.id == "manual:hangs:h1"
        node = Node(
            id="n2", session="s2", host="h", pid=1, version="1", started_at=0, tzdata="",
            concurrency=1,
        )  # fmt: skip
        assert store.campaign(store.join(node, MINUTE), MINUTE) is not None


def test_records_of_the_first_version_are_copied(released: str) -> None:
    with open_store(released, clock=SystemClock()) as store:
        records = list(store.dump())
    assert isinstance(records[0], Base)
    assert len(records) > 40


def test_a_namespace_that_only_a_later_version_can_use_is_refused(etcd: Members) -> None:
    url = etcd.url(f"released/{secrets.token_hex(6)}")
    later = {"schema": 2, "incarnation": "x", "fence_base": 0, "epoch_base": 0, "more": 1}
    fill(url, {"meta": json.dumps(later)})
    with pytest.raises(StoreNewer, match="layout 2") as caught:
        open_store(url, create=True, clock=SystemClock())
    assert caught.value.hint is not None


def test_a_schedule_that_only_a_later_version_can_read_is_refused_by_name(etcd: Members) -> None:
    url = etcd.url(f"released/{secrets.token_hex(6)}")
    lines = dict(line.split("\t", 1) for line in RELEASED.read_text(encoding="utf-8").splitlines())
    key = "watched/sched/backup"
    standing = json.loads(lines[key])
    standing["definition"]["of_a_later_version"] = 1
    fill(url, {key: json.dumps(standing)})
    with Client(url) as client, pytest.raises(StoreNewer, match="of_a_later_version"):
        client.get("backup")
