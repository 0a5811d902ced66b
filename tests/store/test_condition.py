"""How a store is, as its backend finds it, on real files and a real etcd."""

from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from synccron.clock import SystemClock
from synccron.model.doctor import judge_store
from synccron.store import examine, open_store
from synccron.store.etcd.address import address, plain
from tests.etcd import Members

CLOCK = SystemClock()


def test_a_file_tells_its_layout_its_speed_and_its_room(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_store(str(path), create=True, clock=CLOCK).close()
    found = examine(f"sqlite://{path}", clock=CLOCK)
    assert (found.place, found.damage) == (str(path), ())
    assert found.layout == found.newest > 0
    assert found.latency is not None
    assert found.free is not None
    assert found.room is not None
    assert 0 < found.free <= found.room
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".doctor")]


def test_a_member_tells_its_version_and_its_size(etcd: Members) -> None:
    found = examine(etcd.url("condition"), clock=CLOCK)
    (one,) = found.members
    assert one.error is None
    assert one.version.startswith("3.")
    assert one.size > 0
    assert found.quota is not None
    assert found.alarms == ()
    assert found.latency is not None


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("10.0.0.1", False), ("m1", False)],
)
def test_what_goes_to_this_host_itself_needs_no_encryption(host: str, own: bool) -> None:
    assert plain(address(f"etcd://{host}:2379/x")) is not own
    assert not plain(address(f"etcds://{host}:2379/x?ca={__file__}"))
    assert plain(address(f"etcd://127.0.0.1:2379,{host}:2379/x")) is not own


def test_a_member_that_is_down_and_an_alarm_are_told() -> None:
    members = Members(3, ["--quota-backend-bytes", str(1 << 20)])
    try:
        members.start()
        with suppress(CalledProcessError):  # the one that is too much raises the alarm
            while True:
                members.ctl("put", "fill", "x" * 100_000)
        members.members[2].kill()
        found = examine(members.url(), clock=CLOCK)
        away = [one for one in found.members if one.error is not None]
        assert [one.endpoint for one in away] == [f"127.0.0.1:{members.members[2].port}"]
        assert found.quota == 1 << 20
        assert [one.split()[0] for one in found.alarms][:1] == ["NOSPACE"]
        told = {(one.level, one.check) for one in judge_store(found)}
        assert {("problem", "members"), ("problem", "alarms")} <= told
    finally:
        members.close()
