"""The unit under a real systemd: the test's own, in a mount namespace that says it is booted.

It is systemd's user manager, so what narrows the service is left out; that is judged elsewhere.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from synccron.cli.unit import Service
from synccron.client import Client, Schedule

pytestmark = pytest.mark.faults

INIT = Path("/lib/systemd/systemd")
ENOUGH = 60


def obstacle() -> str | None:
    """Why it cannot be tried here, if so."""
    if not INIT.exists() or shutil.which("nsenter") is None:
        return "systemd is not installed here"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"],
        capture_output=True,
        check=False,
    )
    return "no mount namespace can be made here (root?)" if tried.returncode else None


class Systemd:
    """A manager of its own, and one unit."""

    def __init__(self, folder: Path, unit: str) -> None:
        (folder / "units").mkdir()
        (folder / "run").mkdir(mode=0o700)
        (folder / "units" / "synccron.service").write_text(unit)
        self._env = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "SYSTEMD_UNIT_PATH": f"{folder / 'units'}:",
        }
        with (folder / "log").open("wb") as log:
            booted = "mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system"
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", f"{booted} && exec {INIT} --user"],
                env=self._env,
                stdout=log,
                stderr=log,
            )

    def ctl(self, *words: str, check: bool = True) -> str:
        inside = ["nsenter", "--mount", "--target", str(self.process.pid)]
        ended = subprocess.run(
            [*inside, "systemctl", "--user", "--no-pager", *words],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=ENOUGH,
        )
        assert ended.returncode == 0 or not check, ended.stderr
        return ended.stdout.strip()

    def show(self, name: str) -> str:
        return self.ctl("show", "--value", "--property", name, "synccron")

    def until(self, name: str, pattern: str) -> str:
        """Ask until a property is so."""
        value = ""
        for _ in range(ENOUGH * 20):
            value = self.ctl("show", "--value", "--property", name, "synccron", check=False)
            if re.search(pattern, value):
                return value
            threading.Event().wait(0.05)
        raise AssertionError(f"{name} is {value!r}, never {pattern}")

    def close(self) -> None:
        self.ctl("kill", "--signal=KILL", "synccron", check=False)
        self.ctl("stop", "synccron", check=False)
        self.process.terminate()
        self.process.wait(ENOUGH)


def wait_for(path: Path) -> None:
    for _ in range(ENOUGH * 100):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} never came")


# Mounts, which not every container permits, and an own user, which a user manager has not.
ELSEWHERE = (
    r"^(User|Group|State\w+|ProtectSystem|ProtectHome|PrivateTmp|PrivateDevices"
    r"|ProtectKernel\w+|ProtectHostname)=.*\n"
)


@pytest.fixture
def systemd(tmp_path: Path, user: str) -> Iterator[Systemd]:
    reason = obstacle()
    if reason is not None:
        pytest.skip(reason)
    (tmp_path / "synccron.env").write_text(f"SYNCCRON_STORE={tmp_path / 'x.db'}\n")
    program = str(Path(sys.executable).with_name("synccron"))
    unit = Service(program=program, user=user).unit()
    unit = re.sub(ELSEWHERE, "", unit, flags=re.MULTILINE)
    unit = unit.replace("/etc/synccron/synccron.env", str(tmp_path / "synccron.env"))
    unit = unit.replace("WatchdogSec=60", "WatchdogSec=3")
    one = Systemd(tmp_path, unit.replace("RestartSec=5", "RestartSec=0"))
    try:
        one.until("LoadState", "loaded")
        yield one
    finally:
        one.close()


@pytest.mark.parametrize("user", ["root"])
def test_a_start_returns_when_the_node_is_ready_and_its_status_tells_who_leads(systemd):
    systemd.ctl("start", "synccron")
    assert systemd.show("ActiveState") == "active"
    systemd.until("StatusText", "leader, epoch 1, 0 running")
    before = systemd.show("MainPID")
    systemd.ctl("reload", "synccron")
    assert systemd.show("MainPID") == before


@pytest.mark.parametrize("user", ["root"])
def test_a_stop_reaches_the_node_alone_and_jobs_end_in_the_drain(systemd, tmp_path):
    systemd.ctl("start", "synccron")
    gate = tmp_path / "gate"
    with Client(str(tmp_path / "x.db")) as client:
        run = f"until [ -e {gate} ]; do sleep 0.01; done; echo over"
        client.register(Schedule(id="slow", cron="@yearly", run=run))
        job = client.trigger("slow", key="k")
        systemd.until("StatusText", "1 running")
        systemd.ctl("stop", "--no-block", "synccron")
        systemd.until("StatusText", "1 running; it is stopping")
        gate.touch()
        systemd.until("ActiveState", "inactive")
        assert systemd.show("Result") == "success"
        done = client.job(job.id)
        assert (done.state, done.attempt) == ("completed", 1)


@pytest.mark.parametrize("user", ["root"])
def test_a_node_that_stands_still_is_killed_with_all_it_runs_and_started_anew(systemd, tmp_path):
    systemd.ctl("start", "synccron")
    with Client(str(tmp_path / "x.db")) as client:
        pid_file = tmp_path / "pid"
        run = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 1000"
        client.register(Schedule(id="long", cron="@yearly", run=run, on_lost="fail"))
        job = client.trigger("long", key="k")
        systemd.until("StatusText", "1 running")
        wait_for(pid_file)
        before = systemd.show("MainPID")
        os.kill(int(before), signal.SIGSTOP)
        systemd.until("NRestarts", "^1$")
        systemd.until("StatusText", "leader, epoch [2-9]")
        assert systemd.show("MainPID") != before
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)
        assert client.wait(job.id, timeout=ENOUGH).state == "failed"


@pytest.mark.parametrize("user", ["synccron"])
def test_jobs_work_within_what_narrows_the_unit_and_gain_nothing(systemd, tmp_path):
    systemd.ctl("start", "synccron")
    systemd.until("StatusText", "leader, epoch 1")
    probe = (
        "grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status;"
        f"touch {tmp_path}/x && chown $(id -u) {tmp_path}/x && echo own;"
        "nice -n 5 echo nice; unshare --user true || echo no namespaces"
    )
    with Client(str(tmp_path / "x.db")) as client:
        client.register(Schedule(id="shell", cron="@yearly", run=probe))
        job = client.wait(client.trigger("shell", key="k").id, timeout=ENOUGH)
        output = client.output(job.id)[0].decode().split("\n")
    assert output[0] == "CapEff:\t0000000000000000"
    assert output[1:3] == ["NoNewPrivs:\t1", "Seccomp:\t2"]
    assert output[3:5] == ["own", "nice"]
    assert "no namespaces" in output
