"""A node under a service manager: what it is told on a real socket, and when the feeding stops."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from synccron.cli.systemd import ServiceManager
from synccron.clock import SystemClock

ENOUGH = 30.0
ALWAYS = "@every 1h"


class Manager:
    """The socket that a service manager listens on."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def hear(self, timeout: float = ENOUGH) -> dict[str, str]:
        """The next message; raises TimeoutError when nothing comes."""
        self._socket.settimeout(timeout)
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, name: str, value: str = "") -> dict[str, str]:
        """Hear until a message has this in it."""
        while True:
            heard = self.hear()
            if value in heard.get(name, "\0"):
                return heard

    def all_within(self, seconds: float) -> list[dict[str, str]]:
        """What comes within a time."""
        clock, heard = SystemClock(), []
        until = clock.monotonic() + seconds * 1000
        while (left := until - clock.monotonic()) > 0:
            with suppress(TimeoutError):
                heard.append(self.hear(left / 1000))
        return heard

    def close(self) -> None:
        self._socket.close()


ON_A_PATH = pytest.mark.parametrize("manager", ["path"], indirect=True)


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    """A service manager that waits 1.5 s for a sign of life."""
    path = str(tmp_path / "notify")
    address = path if request.param == "path" else f"\0{path}"
    one = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", path if request.param == "path" else f"@{path}")
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    yield one
    one.close()


def test_a_node_tells_that_it_is_ready_how_it_is_and_that_it_stops(node, manager):
    one = node()
    ready = manager.until("READY", "1")
    assert ready["STATUS"]
    manager.until("STATUS", "leader, epoch 1, 0 running")
    manager.until("WATCHDOG", "1")
    manager.until("WATCHDOG", "1")
    one.tell(signal.SIGTERM)
    manager.until("STOPPING", "1")
    assert one.end()[0] == 0


@ON_A_PATH
def test_a_reload_is_told_from_its_beginning_to_its_end(node, manager, tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(f'schedules: {{a: {{cron: "{ALWAYS}", run: "true"}}}}')
    one = node("--apply", str(path))
    one.until("leader_acquired")
    before = SystemClock().monotonic()
    path.write_text(f'schedules: {{b: {{cron: "{ALWAYS}", run: "true"}}}}')
    manager.until("READY", "1")
    one.tell(signal.SIGHUP)
    reloading = manager.until("RELOADING", "1")
    # systemd takes one from before it asked for an earlier reload's
    assert int(reloading["MONOTONIC_USEC"]) >= before * 1000
    manager.until("READY", "1")
    one.until("schedule_registered")


@ON_A_PATH
def test_handlers_learn_nothing_of_the_socket(cli, node, manager):
    cli("register", "x", "--cron", ALWAYS, "--", "sh", "-c", "env | grep -cE 'NOTIFY|WATCH'")
    one = node("--pass-env", "NOTIFY*", "--pass-env", "WATCHDOG*")
    manager.until("READY", "1")
    one.until("leader_acquired")
    assert cli("trigger", "x", "--wait").out == "0\n"


NODE_THAT_CAN_HANG = """
import sys, threading
from pathlib import Path
import synccron.engine.node as engine
from synccron.__main__ import main

gate, turn = Path(sys.argv[1]), engine.Dispatcher.turn

def hang(self):
    while gate.exists():
        threading.Event().wait(0.01)
    return turn(self)

engine.Dispatcher.turn = hang
engine.STILL = 2500
sys.exit(main(["run"]))
"""


@ON_A_PATH
@pytest.mark.usefixtures("store")
def test_a_loop_that_hangs_stops_the_feeding_and_is_named(manager, tmp_path):
    gate = tmp_path / "gate"
    child = subprocess.Popen([sys.executable, "-c", NODE_THAT_CAN_HANG, str(gate)])
    try:
        manager.until("STATUS", "leader, epoch 1")
        manager.until("WATCHDOG", "1")
        gate.touch()
        manager.until("STATUS", "the loop dispatcher hangs")
        # for as long as the manager waits, and its status may well change
        assert not any("WATCHDOG" in heard for heard in manager.all_within(1.5))
        gate.unlink()
        manager.until("WATCHDOG", "1")
    finally:
        gate.unlink(missing_ok=True)
        child.terminate()
        child.wait(ENOUGH)


def test_a_watchdog_for_another_process_is_not_ours():
    given = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    assert ServiceManager(given).watchdog is None
    assert given == {}


def test_a_manager_that_has_gone_is_no_error(tmp_path):
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")
    ServiceManager({}).tell("READY=1")
