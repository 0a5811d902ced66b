"""The SQLite store as files: who may use them, what is refused, and what survives."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synccron.client import Client, Schedule
from synccron.clock import ManualClock, SystemClock
from synccron.errors import (
    InvalidInput,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreMissing,
    StoreNewer,
    StoreReadonly,
)
from synccron.model.lease import Node
from synccron.store import open_store
from synccron.store.sqlite.schema import VERSION

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
JOB = Schedule(id="job", cron="@daily", run="true")
LONG = "x" * 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "synccron.db"


def fill(path: Path) -> None:
    with Client(str(path), create=True) as client:
        client.register(JOB)


def opening(path: Path | str, *, create: bool = False) -> None:
    with Client(str(path), create=create) as client:
        list(client.list())


def test_files_are_for_their_owner_alone_whatever_the_umask(path: Path) -> None:
    previous = os.umask(0)
    try:
        fill(path)
        with open_store(str(path), clock=SystemClock()) as store:
            node = Node(
                id="n",
                session="s",
                host="h",
                pid=1,
                version="0",
                started_at=0,
                tzdata="",
                concurrency=1,
            )
            at = store.join(node, 5000)
            store.watch(lambda: None)
            modes = {
                each.name: each.stat().st_mode & 0o777
                for each in (path.parent, *path.parent.rglob("*"))
            }
            store.leave(at)
    finally:
        os.umask(previous)
    assert {name for name, mode in modes.items() if mode == 0o700} == {
        "state",
        "synccron.db.sessions",
    }
    assert set(modes.values()) == {0o600, 0o700}
    assert {"synccron.db", "synccron.db-wal", "synccron.db-shm", "synccron.db.lock"} <= set(modes)


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreError, match="others"):
        opening(tmp_path / "synccron.db", create=True)


def test_a_store_that_is_not_there_is_missing_and_is_not_made(path: Path) -> None:
    with pytest.raises(StoreMissing, match="there is no store at"):
        opening(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 4096])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "synccron.db"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises((StoreDamaged, StoreForeign)) as refused:
        opening(path, create=True)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == content


def test_a_database_that_was_cut_or_overwritten_is_refused(path: Path) -> None:
    fill(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:2000] + b"\xff" * 3000 + whole[5000:]):
        path.write_bytes(damaged)
        with pytest.raises((StoreDamaged, StoreForeign)):
            opening(path, create=True)
        assert path.read_bytes() == damaged


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(StoreForeign):
        opening(path, create=True)
    assert path.read_bytes() == before


def test_a_store_of_a_later_version_is_refused(path: Path) -> None:
    fill(path)
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version = {VERSION + 1}")
    later.close()
    with pytest.raises(StoreNewer):
        opening(path)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite://relative/x.db", InvalidInput),
        ("sqlite:///x.db?nonsense=1", InvalidInput),
        ("sqlite://user:secret@host/x.db", InvalidInput),
        ("mysql:///x", InvalidInput),
        ("", InvalidInput),
        ("etcd://127.0.0.1:2379/x", StoreError),
        ("/dev/null/x.db", StoreError),
        ("/dev", StoreError),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_in_one_line(
    url: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        opening(url)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_every_connection_commits_as_the_url_says(path: Path) -> None:
    fill(path)
    for url, level in ((f"sqlite://{path}", 2), (f"sqlite://{path}?sync=normal", 1)):
        with open_store(url, clock=SystemClock()) as store:
            store.tally({"tick_errors": 1})
            connection = store.writer._connected()  # type: ignore[attr-defined]
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], check=False
    )
    if done.returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_root
def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "1500k") as folder:
        path = folder / "synccron.db"
        with Client(str(path), create=True) as client:
            client.register(JOB)
            made: list[str | None] = []

            def fill_up() -> None:
                made.extend(client.trigger("job", key=str(n), input=LONG).key for n in range(5000))

            with pytest.raises(StoreFull) as full:
                fill_up()
            assert "repeat it with the same key" in (full.value.hint or "")
            stored = [job.key for job in client.jobs(limit=9999)]
            # The last job may be there, and its count not: that is what the hint is for.
            assert stored in (made[::-1], [str(len(made)), *made[::-1]])
        with Client(str(path)) as client:
            assert [job.key for job in client.jobs(limit=9999)] == stored


@needs_root
def test_a_store_on_a_read_only_disk_can_be_read_and_says_so_when_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "8m") as folder:
        path = folder / "synccron.db"
        fill(path)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with Client(str(path)) as client:
            assert [schedule.id for schedule in client.list()] == ["job"]
            with pytest.raises(StoreReadonly):
                client.trigger("job")


WRITER = """
import sys
from synccron import Client
with Client(sys.argv[1]) as client:
    for n in range(100000):
        print(client.trigger("job", key=str(n)).key, flush=True)
"""


def test_law_7_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    fill(path)
    for number in (1, 40, 90):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(number)]
        writer.kill()
        acknowledged += writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        with Client(str(path)) as client:
            keys = {job.key for job in client.jobs(limit=100_000)}
        assert set(acknowledged) <= keys


HOLDER = """
import sys, threading
from synccron.clock import SystemClock
from synccron.model.lease import Node
from synccron.store import open_store
store = open_store(sys.argv[1], clock=SystemClock())
if sys.argv[2] == "node":
    store.join(Node(id="held", session="held", host="h", pid=1, version="0", started_at=0,
                    tzdata="", concurrency=1), 300)
def piece(transaction):
    print("held", flush=True)
    threading.Event().wait()
store.writer.write(piece)
"""


@contextmanager
def stopped_holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        yield holder
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_command_that_waits_for_a_stopped_writer_ends_in_time_and_names_it(path: Path) -> None:
    fill(path)
    with (
        stopped_holder(path, "command") as holder,
        Client(str(path), timeout=0.3) as client,
        pytest.raises(StoreError, match=f"process {holder.pid}"),
    ):
        client.trigger("job")


def test_a_node_that_was_stopped_in_a_write_is_ended_by_another_after_its_lease(
    path: Path,
) -> None:
    fill(path)
    with (
        stopped_holder(path, "node") as holder,
        open_store(str(path), clock=SystemClock(), timeout=30_000) as store,
    ):
        node = Node(
            id="other",
            session="other",
            host="h",
            pid=1,
            version="0",
            started_at=0,
            tzdata="",
            concurrency=1,
        )
        at = store.join(node, 30_000)
        assert holder.wait(30) == -signal.SIGKILL
        store.leave(at)


def test_another_process_is_told_of_a_write(path: Path) -> None:
    fill(path)
    told = threading.Event()
    with open_store(str(path), clock=SystemClock()) as store:
        store.watch(told.set)
        told.clear()
        code = f"from synccron import Client; Client({str(path)!r}).trigger('job')"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert told.wait(30)


def test_writes_that_come_together_are_one_commit(path: Path) -> None:
    fill(path)
    commits: list[str] = []
    with open_store(str(path), clock=ManualClock()) as store:
        store.tally({"tick_errors": 1})
        store.writer.trace(  # type: ignore[attr-defined]
            lambda statement: commits.append(statement) if statement == "COMMIT" else None
        )
        inside, go_on = threading.Event(), threading.Event()

        def slow(_transaction: object) -> None:
            inside.set()
            go_on.wait(30)

        threads = [threading.Thread(target=store.writer.write, args=(slow,))]  # type: ignore[attr-defined]
        threads[0].start()
        assert inside.wait(30)
        add: Callable[[], None] = lambda: store.tally({"tick_errors": 1})  # noqa: E731
        threads += [threading.Thread(target=add) for _ in range(20)]
        for thread in threads[1:]:
            thread.start()
        while len(store.writer._queue) < 20:  # type: ignore[attr-defined]
            threading.Event().wait(0.005)
        go_on.set()
        for thread in threads:
            thread.join()
    assert len(commits) <= 2


def test_many_processes_write_at_once_and_nobody_is_told_to_wait(path: Path) -> None:
    fill(path)
    code = (
        "import sys\nfrom synccron import Client\n"
        "with Client(sys.argv[1]) as client:\n"
        "    for n in range(30): client.trigger('job', key=f'{sys.argv[2]}-{n}')\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], stderr=subprocess.PIPE)
        for n in range(6)
    ]
    errors = [writer.communicate()[1] for writer in writers]
    assert errors == [b""] * 6
    with Client(str(path)) as client:
        assert len(client.jobs(limit=1000)) == 180
