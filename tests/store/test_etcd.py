"""The way to a cluster: addresses, credentials, certificates, members that do not answer."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Schedule
from synccron.clock import Bell, SystemClock
from synccron.errors import (
    InvalidInput,
    NoQuorum,
    NotFound,
    StoreAuth,
    StoreError,
    StoreForeign,
    StoreMissing,
    StoreNewer,
)
from synccron.model.change import register
from synccron.model.job import Admission, Job, Outcome
from synccron.model.lease import Node
from synccron.model.order import submitted
from synccron.model.plan import plan
from synccron.model.settle import settle
from synccron.model.time import SECOND
from synccron.store import logs_of, open_store
from synccron.store.base import FOLLOWED, Limits, Look, Store
from synccron.store.etcd.address import Login, address, login
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.draft import MOST_OPERATIONS, Draft
from synccron.store.etcd.layout import job_text, place_of
from synccron.store.etcd.store import EtcdStore
from tests.certificates import certificates
from tests.etcd import Members, needed
from tests.make import definition

pytestmark = pytest.mark.xdist_group("etcd")

CLOCK = SystemClock()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return f"etcd/{tmp_path.name}"


@pytest.fixture
def three() -> Iterator[Members]:
    needed()
    made = Members(3)
    try:
        made.start()
        yield made
    finally:
        made.close()


def opened(url: str, *, create: bool = True, timeout: int = 5000) -> EtcdStore:
    store = open_store(url, create=create, clock=CLOCK, timeout=timeout)
    assert isinstance(store, EtcdStore)
    return store


def submit(store: Store, key: str = "k") -> bool:
    receipt = store.enqueue(submitted("h", key, "null", CLOCK.now()), 0)
    assert receipt is not None
    return receipt.new


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("etcd://me:hunter2@host", "password"),
        ("etcd://me@host", "password"),
        ("etcd://", "no host"),
        ("etcd://a,,b", "no host"),
        ("etcd://host:no", "bad address"),
        ("etcd://host:99999", "bad address"),
        ("etcd://host/x#y", "fragment"),
        ("etcd://host/x?sync=full", "unknown key"),
        ("etcd://host?compact=often", "compact=often"),
        ("etcd://host?ca=/etc/hosts", "need TLS"),
        ("etcds://host?cert=/etc/hosts", "together"),
        ("etcds://host?ca=/none/such", "/none/such"),
    ],
)
def test_addresses_that_cannot_be_are_refused_and_show_no_secret(url: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        address(url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_an_address_names_members_prefix_and_files() -> None:
    read = address("etcds://a,[::1]:5,b:7/my/prefix/?ca=/etc/hosts&compact=never")
    assert read.endpoints == (("a", 2379), ("[::1]", 5), ("b", 7))
    assert (read.prefix, read.ca, read.compacts) == ("my/prefix", "/etc/hosts", False)
    assert address("etcd://host").prefix == "synccron"


def test_credentials_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert login({}) is None
    given = {"SYNCCRON_ETCD_USER": "me", "SYNCCRON_ETCD_PASSWORD_FILE": str(file)}
    found = login(given)
    assert found is not None
    assert found.password() == "s3cret"
    file.write_text("newer")
    assert found.password() == "newer"


def test_a_password_that_the_service_manager_hands_over_goes_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "etcd-password").write_text("handed\n")
    given = {
        "SYNCCRON_ETCD_USER": "me",
        "SYNCCRON_ETCD_PASSWORD_FILE": "/root/only",
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    found = login(given)
    assert found is not None
    assert found.password() == "handed"
    (tmp_path / "etcd-password").unlink()
    other = login(given)
    assert other is not None
    with pytest.raises(InvalidInput, match="/root/only"):
        other.password()
    assert "s3cret" not in repr(Login("me", "s3cret"))
    for wrong in (
        {"SYNCCRON_ETCD_PASSWORD": "x"},
        {"SYNCCRON_ETCD_USER": "me"},
        {**given, "SYNCCRON_ETCD_PASSWORD": "x"},
    ):
        with pytest.raises(InvalidInput):
            login(wrong)
    with pytest.raises(InvalidInput, match="/none/such"):
        Login("me", None, "/none/such").password()


def test_logs_of_a_cluster_lie_where_the_hosts_own_store_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert logs_of("etcd://host:1/a/b").name == "etcd-a%2Fb.logs"


def test_a_store_is_made_where_it_may_be_and_nowhere_else(etcd: Members, prefix: str) -> None:
    url = etcd.url(prefix)
    with pytest.raises(StoreMissing):
        opened(url, create=False)
    opened(url).close()
    opened(url, create=False).close()


def test_keys_of_another_program_or_version_are_left_alone(etcd: Members, prefix: str) -> None:
    etcd.ctl("put", f"{prefix}/thing", "theirs")
    with pytest.raises(StoreForeign):
        opened(etcd.url(prefix))
    assert etcd.ctl("get", "--prefix", f"{prefix}/").split() == [f"{prefix}/thing", "theirs"]
    etcd.ctl("put", f"{prefix}/two/meta", '{"schema":2,"later":true}')
    with pytest.raises(StoreNewer, match="layout 2"):
        opened(etcd.url(f"{prefix}/two"))


def test_neighbours_whose_prefix_begins_the_same_are_not_seen(etcd: Members, prefix: str) -> None:
    with opened(etcd.url(prefix)) as one, opened(etcd.url(f"{prefix}2")) as two:
        assert submit(one)
        assert submit(two)
        assert not submit(one)


def test_a_cluster_that_is_not_there_is_said_in_time() -> None:
    begun = CLOCK.monotonic()
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        opened("etcd://127.0.0.1:1", timeout=300)
    assert caught.value.code == "store_unreachable"
    assert CLOCK.monotonic() - begun < 30_000


def test_a_member_that_hangs_or_dies_is_left_in_mid_call(three: Members) -> None:
    with opened(three.url()) as store:
        bell = Bell(CLOCK)
        store.watch(bell.ring)
        assert submit(store, "before")
        for number, (how, back) in enumerate(
            [(signal.SIGSTOP, signal.SIGCONT), (signal.SIGKILL, None)]
        ):
            link = store.cluster.etcd._link
            assert link is not None
            member = three.members[link.at]
            member.signal(how)
            assert submit(store, f"now {number}"), "its own write was taken for another's"
            with store.cluster.view() as view:
                assert len(view.waits()) == 2 + number
            if back is not None:
                member.signal(back)


def test_a_call_whose_connection_another_call_has_just_left_takes_the_next(
    etcd: Members, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(etcd.url(prefix)) as store:
        client = store.cluster.etcd
        real, chosen = client._connected, [client._connected()]
        client.abandon()
        monkeypatch.setattr(client, "_connected", lambda: chosen.pop() if chosen else real())
        assert submit(store, "now")
        assert not chosen


def test_members_without_a_majority_have_no_quorum(three: Members) -> None:
    with opened(three.url(), timeout=1500) as store:
        for member in three.members[:2]:
            member.kill()
        with pytest.raises(NoQuorum) as caught:
            submit(store)
        assert caught.value.code == "no_quorum"


def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    needed()
    certificates(tmp_path)
    files = {name: str(tmp_path / name) for name in ("ca.pem", "server.pem", "server.key")}
    options = (
        *("--cert-file", files["server.pem"], "--key-file", files["server.key"]),
        *("--trusted-ca-file", files["ca.pem"], "--client-cert-auth"),
    )
    members = Members(1, options, checked=False)
    try:
        members.start()
        place = f"etcds://127.0.0.1:{members.members[0].port}/tls?ca={tmp_path}/ca.pem"
        whole = f"{place}&cert={tmp_path}/client.pem&key={tmp_path}/client.key"
        with opened(whole, timeout=30_000) as store:
            assert submit(store)
        with pytest.raises(StoreError, match="cannot be reached"):
            opened(place, timeout=1000)
        with pytest.raises(StoreError, match="cannot be reached"):
            opened(f"etcd://127.0.0.1:{members.members[0].port}/tls", timeout=1000)
    finally:
        members.close()


def test_a_password_that_changes_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed()
    members = Members(1)
    file = tmp_path / "password"
    file.write_text("first")
    try:
        members.start()
        members.ctl("user", "add", "root:first")
        members.ctl("user", "grant-role", "root", "root")
        members.ctl("auth", "enable")
        with pytest.raises(StoreAuth):
            opened(members.url())
        monkeypatch.setenv("SYNCCRON_ETCD_USER", "root")
        monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD_FILE", str(file))
        with opened(members.url()) as store:
            assert submit(store, "1")
            subprocess.run(
                [
                    "etcdctl",
                    "--endpoints",
                    members.endpoints,
                    "--user",
                    "root:first",
                    "user",
                    "passwd",
                    "root",
                    "--interactive=false",
                ],
                input="second\n",
                text=True,
                check=True,
                capture_output=True,
            )
            file.write_text("second")
            assert submit(store, "2")
            file.write_text("wrong")
            with pytest.raises(StoreAuth) as caught:
                opened(members.url())
            assert "wrong" not in str(caught.value)
    finally:
        members.close()


def test_more_writes_than_one_request_takes_are_several(etcd: Members, prefix: str) -> None:
    with opened(etcd.url(prefix)) as store:
        letters = [f"{n:03}" for n in range(2 * MOST_OPERATIONS + 1)]
        for each in letters[::2]:
            draft = store.cluster.draft()
            draft.put(store.cluster.layout.kept("dead", each), b"{}")
            store.cluster.commit(draft)
        assert store.discard(letters) == len(letters[::2])


@pytest.mark.parametrize(("drafts", "writes"), [(300, 4), (100, 41), (3, 125), (1, 200)])
def test_whatever_is_written_together_fits_what_etcd_takes(
    etcd: Members, prefix: str, drafts: int, writes: int
) -> None:
    with opened(etcd.url(prefix)) as store:
        layout = store.cluster.layout

        def make(number: int) -> Draft:
            draft = store.cluster.draft()
            for n in range(writes):
                key = layout.kept("dead", f"{number:03}-{n:03}")
                if n < writes // 2:
                    draft.absent(key)
                draft.put(key, b"{}")
            return draft

        makes = [lambda _, number=number: make(number) for number in range(drafts)]
        answers = store.cluster.commit_each(store.cluster.draft(), makes)
        assert all(each.written for each in answers)
        assert len(store.cluster.below(layout.kept("dead", ""))) == drafts * writes


def test_many_schedules_are_changed_in_pieces(etcd: Members, prefix: str) -> None:
    with Client(etcd.url(prefix), create=True) as client:
        names = [f"s{n:02}" for n in range(45)]
        assert client.register(*(Schedule(id=n, cron="@daily", run="true") for n in names)).created
        for name in names[:30]:
            for key in "abc":
                client.trigger(name, key=key)
        with pytest.raises(NotFound):
            client.pause(*names, "nobody")
        assert not client.get("s00").paused
        client.pause(*names)
        assert all(each.paused for each in client.list())
        client.unregister(*names)
        assert not list(client.list())
        jobs = client.jobs(limit=200)
        assert {(job.state, job.error) for job in jobs} == {("cancelled", "unregistered")}
        assert len(jobs) == 90


def test_many_schedules_with_much_written_ahead_are_changed_in_pieces_too(
    etcd: Members, prefix: str
) -> None:
    url, offered = etcd.url(prefix), frozenset({"run"})
    ids = [f"s{n}" for n in range(12)]
    with Client(url, create=True) as client, opened(url) as store:
        client.register(*(Schedule(id=each, cron="* * * * * *", run="true") for each in ids))
        record = Node(
            id="n1", session="s1", host="h", pid=1, version="1", started_at=0, tzdata="t",
            concurrency=1,
        )  # fmt: skip
        term = store.campaign(store.join(record, 60 * SECOND), 60 * SECOND)
        assert term is not None
        now = SystemClock().now()
        look = Look(now=now, until=now + 20 * SECOND, overdue=0, offered=offered)
        plans = [plan(each, now, term, offered, ahead=60 * SECOND) for each in store.due(look, 100)]
        assert all(store.dispatch(term, [each for each in plans if each is not None]))
        client.register(*(Schedule(id=each, cron="* * * * * *", run="false") for each in ids))
        assert client.status().scheduled > 12 * 50
        client.pause(*ids)
        assert client.status().scheduled == 0
        client.unregister(*ids)


def test_a_trigger_costs_the_same_however_long_the_queue_is(
    etcd: Members, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int] = []
    call = Etcd._call

    def counted(self: Etcd, *words: Any, **more: Any) -> Any:
        answer = call(self, *words, **more)
        answers.append(answer.ByteSize())
        return answer

    with Client(etcd.url(prefix), create=True) as client:
        client.register(Schedule(id="free", cron="0 0 1 1 *", run="true"))
        for number in range(50):
            client.trigger("free", key=str(number))
        monkeypatch.setattr(Etcd, "_call", counted)
        client.trigger("free", key="after-many")
        assert max(answers) < 5_000, "what waits was read"


def test_the_history_stays_within_its_bytes_and_the_newest_stay(etcd: Members, prefix: str) -> None:
    with opened(etcd.url(prefix)) as store:
        for n in range(60):
            submit(store, f"{n}")
            store.cancel(f"submit:h:{n}", CLOCK.now())
        record = Node(
            id="n1", session="s1", host="h", pid=1, version="1", started_at=0, tzdata="t",
            concurrency=1,
        )  # fmt: skip
        term = store.campaign(store.join(record, 60_000), 60_000)
        assert term is not None

        def left(limits: Limits) -> int:
            after = store.prune(term, limits, None)
            while after is not None:
                after = store.prune(term, limits, after)
            return len(store.read(Job).items)

        everything = Limits(horizon=0, keys=0, least=5)
        size = 60 * len(job_text(store.cluster.find(["submit:h:59"])["submit:h:59"]))
        assert left(replace(everything, bytes=100 << 20)) == 60
        assert 10 < left(replace(everything, bytes=size // 2)) < 40
        assert left(replace(everything, bytes=1)) == 5


def test_writes_that_are_sent_twice_are_known_as_ones_own(etcd: Members, prefix: str) -> None:
    with opened(etcd.url(prefix)) as store:
        calls: Any = store.cluster.etcd
        once = calls.txn

        def twice(*request: Any) -> Any:
            once(*request)
            return once(*request)

        calls.txn = twice
        now = CLOCK.now()
        record = Node(
            id="n1", session="s1", host="h", pid=1, version="1", started_at=0, tzdata="t",
            concurrency=1,
        )  # fmt: skip
        at = store.join(record, 60_000)
        store.report(at, record)
        assert store.campaign(at, 60_000) is not None
        change = register(None, definition(id="job"), now, "me", "t")
        assert change is not None
        assert store.apply([change])
        assert submit(store)
        (candidate,) = store.waiting(frozenset({"h"}), now + 1000, 10)
        (claim,) = store.claim(at, [Admission(candidate=candidate)], now)
        assert claim is not None
        assert store.remember(claim, "step", "1") == "1"
        asked = store.cancel(claim.job.id, now + 1)
        assert asked is not None
        assert asked.cancel_requested_at == now + 1
        ended = settle(claim, Outcome(ending="failed", error="boom"), now + 2, 0.5)
        (job,) = store.settle([ended], now + 2)
        assert job is not None
        assert job.state == "cancelled"
        store.tally({"trigger_submitted": 1})
        store.leave(at)
        assert not store.read(Node).items


def test_who_follows_a_job_is_forgotten_by_etcd_itself(etcd: Members, prefix: str) -> None:
    with opened(etcd.url(prefix)) as store:
        store.follow("job:1")
        (kv,) = store.cluster.etcd.range(store.cluster.layout.follow("job:1")).kvs
        left = etcd.ctl("lease", "timetolive", f"{kv.lease:x}")
    assert f"TTL({FOLLOWED // SECOND}s)" in left


@pytest.mark.parametrize(
    ("job_id", "place"),
    [
        ("job:20261124T070000Z", ("job", 1_795_503_600_000)),
        ("manual:20261124T070000Z", ("manual", 1_795_503_600_000)),
        ("manual:job:20261124T070000Z", None),
        ("submit:h:k", None),
        ("job:2026", None),
    ],
)
def test_a_slots_job_says_in_its_id_where_it_is(job_id: str, place: tuple[str, int] | None) -> None:
    assert place_of(job_id) == place
