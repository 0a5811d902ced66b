"""What `run --http` serves, to good clients and to bad ones."""

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from synccron.cli import http
from synccron.cli.http import Pages, Server, address_of
from synccron.clock import ManualClock
from synccron.engine.health import Health
from synccron.errors import InvalidInput
from tests.etcd import free_ports

WELL = Health(still=(), store=True, session=True, epoch=7, running=12, stopping=False)
AWAY = Health(still=(), store=False, session=False, epoch=None, running=3, stopping=False)
HANGING = Health(
    still=("dispatcher",), store=True, session=True, epoch=7, running=0, stopping=False
)
ENOUGH = 30


def test_health_is_said_in_words():
    assert str(WELL) == "leader, epoch 7, 12 running"
    assert str(AWAY) == (
        "standby, 3 running; the store does not answer; its registration does not stand"
    )
    assert str(HANGING) == "leader, epoch 7, 0 running; the loop dispatcher hangs"


class Site:
    def __init__(self) -> None:
        self.health = WELL
        self.clock = ManualClock()
        pages = Pages(lambda: self.health, lambda accept: (f"# {accept}\n".encode(), "text/x"))
        (port,) = free_ports(1)
        self.server = Server(("127.0.0.1", port), pages, self.clock)
        self.port = port
        self.server.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ENOUGH)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=ENOUGH)


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.server.stop()


def test_healthz_says_that_loops_turn_and_readyz_that_the_node_is_of_use(site):
    assert site.ask("/healthz") == (200, "ok\n")
    assert site.ask("/readyz") == (200, "ok\n")
    site.health = AWAY
    assert site.ask("/healthz") == (200, "ok\n")
    assert site.ask("/readyz") == (
        503,
        "the store does not answer\nits registration does not stand\n",
    )
    site.health = HANGING
    assert site.ask("/healthz") == (503, "the loop dispatcher hangs\n")
    assert site.ask("/readyz")[0] == 503


def test_paths_are_few_and_only_read(site):
    assert site.ask("/metrics", Accept="text/plain") == (200, "# text/plain\n")
    assert site.ask("/metrics?x=1")[0] == 200
    assert site.ask("/")[0] == 404
    assert site.ask("/healthz/../metrics")[0] == 404
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert site.ask("/metrics", method)[0] == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9180", 200),
        ("[::1]:9180", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        (socket.gethostname(), 200),
        ("rebound.example", 421),
        ("localhost.example", 421),
        ("", 421),
    ],
)
def test_who_asks_by_the_name_of_another_site_is_refused(site, host, status):
    assert site.ask("/metrics", Host=host)[0] == status


def test_others_may_ask_by_the_name_of_the_host_in_its_domain(site):
    name = f"{socket.gethostname().partition('.')[0]}.example.net:9180"
    assert site.ask("/healthz", Host=name)[0] == 421
    site.server.loopback = False
    assert site.ask("/healthz", Host=name)[0] == 200
    assert site.ask("/healthz", Host="rebound.example.net")[0] == 421


def test_slow_clients_hold_nothing_up(site):
    slow = [site.connect() for _ in range(http.MOST * 3)]
    for one in slow:
        one.sendall(b"GET /healthz HTTP/1.0\r\nX: ")
    assert site.ask("/healthz") == (200, "ok\n")
    site.clock.advance(http.DEADLINE + 1)
    for one in slow:
        assert one.recv(100) == b""  # closed: by newer ones, or as its time was over
        one.close()
    assert site.ask("/healthz") == (200, "ok\n")


def test_what_is_no_http_gets_an_answer_or_is_closed(site):
    for garbage in (b"\x16\x03\x01\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"x" * 70_000 + b"\r\n\r\n"):
        with site.connect() as one:
            one.sendall(garbage)
            one.shutdown(socket.SHUT_WR)
            assert b"200" not in one.recv(200)
    assert site.ask("/healthz") == (200, "ok\n")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9180", ("127.0.0.1", 9180)),
        ("9180", ("127.0.0.1", 9180)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:9180", ("::1", 9180)),
        ("node-1:9180", ("node-1", 9180)),
    ],
)
def test_an_address_without_a_host_is_loopback(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "x", "0", ":0", "70000", "host:", "host:http", "[::1:80"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidInput, match="--http"):
        address_of(text)


def test_a_port_in_use_is_an_error_at_the_start_and_nothing_begins(program, store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = program("run", "--http", str(port))
    assert answer.status == 2
    assert answer.err.startswith(f"error: --http: 127.0.0.1:{port} cannot be listened on")
    assert not store.exists()


@pytest.fixture
def get() -> Callable[[int, str], str]:
    def call(port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ENOUGH) as answer:
            return str(answer.read().decode())

    return call


def test_a_node_serves_what_it_measures_and_nothing_that_users_wrote(cli, node, get):
    (port,) = free_ports(1)
    cli("register", "canary-id", "--cron", "@every 1h", "--", "sh", "-c", "echo canary; exit 3")
    one = node("--http", str(port))
    one.until("leader_acquired")
    cli("trigger", "canary-id", "--key", "canary-key", "--wait")
    one.until("job_settled")
    text = get(port, "/metrics")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines["synccron_leader"] == "1.0"
    assert lines["synccron_epoch"] == "1.0"
    assert lines['synccron_job_duration_seconds_count{ending="failed"}'] == "1.0"
    assert float(lines['synccron_store_call_seconds_count{verb="claim"}']) >= 1
    assert "canary" not in text
    assert get(port, "/readyz") == "ok\n"


def test_nothing_listens_unless_it_is_asked_for(cli, node):
    one = node()
    one.until("leader_acquired")
    cli("status")
    sockets = {line.split()[9] for path in ("tcp", "tcp6") for line in listening(path)}
    own = {
        target
        for target in descriptors(one.process.pid)
        if target.startswith("socket:[") and target[8:-1] in sockets
    }
    assert own == set()


def listening(protocol: str) -> list[str]:
    table = Path("/proc/net", protocol).read_text(encoding="ascii").splitlines()
    return [line for line in table[1:] if line.split()[3] == "0A"]


def descriptors(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(each.readlink()))
    return found
