"""Real etcd members as processes on loopback, and what goes wrong with them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

import pytest

PATIENCE = 60.0


def needed() -> None:
    """Skip where etcd is not installed, unless the environment forbids it."""
    if shutil.which("etcd") is None:
        if os.environ.get("SYNCCRON_REQUIRE_ETCD"):
            pytest.fail("etcd is not installed: install etcd-server", pytrace=False)
        pytest.skip("etcd is not installed")


def free_ports(count: int) -> list[int]:
    """Find ports that are free now; all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Member:
    """One member: started, killed, stopped and woken."""

    def __init__(self, command: Sequence[str], client: int, log: Path) -> None:
        self.port = client
        self._command = list(command)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()


class Members:
    """A cluster of one or more members, with its data in memory where that is possible."""

    def __init__(
        self, count: int = 1, options: Sequence[str] = (), *, checked: bool = True
    ) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(
            tempfile.mkdtemp(prefix="synccron-etcd-", dir=memory if memory.is_dir() else None)
        )
        self._checked = checked
        ports = free_ports(2 * count)
        clients, peers = ports[:count], ports[count:]
        together = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(peers))
        scheme = "https" if "--cert-file" in options else "http"
        self.members = [
            Member(
                [
                    *("etcd", "--name", f"m{n}", "--data-dir", str(self.folder / f"m{n}")),
                    *("--listen-client-urls", f"{scheme}://127.0.0.1:{clients[n]}"),
                    *("--advertise-client-urls", f"{scheme}://127.0.0.1:{clients[n]}"),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peers[n]}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peers[n]}"),
                    *("--initial-cluster", together, "--initial-cluster-state", "new"),
                    *("--heartbeat-interval", "50", "--election-timeout", "500"),
                    *("--logger", "zap", "--log-level", "warn"),
                    *options,
                ],
                clients[n],
                self.folder / f"m{n}.log",
            )
            for n in range(count)
        ]

    def start(self) -> None:
        for member in self.members:
            member.start()
        if self._checked:
            self.wait()

    def wait(self) -> None:
        """Wait until every member that runs says that it is healthy."""
        for member in self.members:
            for _ in range(int(PATIENCE * 50)):
                if member.process is None or member.healthy():
                    break
                threading.Event().wait(0.02)
            else:
                pytest.fail(f"etcd did not start: {(self.folder / 'm0.log').read_text()[-2000:]}")

    @property
    def endpoints(self) -> str:
        return ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    def url(self, prefix: str = "synccron") -> str:
        return f"etcd://{self.endpoints}/{prefix}"

    def ctl(self, *words: str) -> str:
        return self._ctl(self.endpoints, *words)

    def _ctl(self, endpoints: str, *words: str) -> str:
        done = subprocess.run(
            ["etcdctl", "--endpoints", endpoints, *words],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout

    def ctl_any(self, *words: str) -> str:
        """Ask a member that runs."""
        port = next(member.port for member in self.members if member.process is not None)
        return self._ctl(f"127.0.0.1:{port}", *words)

    def revision(self) -> int:
        """Tell the newest revision."""
        told = self.ctl_any("get", "nothing", "-w", "fields")
        return int(told.split('"Revision" : ')[1].split()[0])

    def leader(self) -> Member:
        """Find the member that leads the cluster itself."""
        for line in self.ctl("endpoint", "status").splitlines():
            fields = [each.strip() for each in line.split(",")]
            if fields[4] == "true":
                port = int(fields[0].rpartition(":")[2])
                return next(each for each in self.members if each.port == port)
        raise AssertionError("no member leads")

    def close(self) -> None:
        for member in self.members:
            if member.process is not None:
                member.signal(signal.SIGCONT)
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
