"""The files of a SQLite store at the edges: odd umasks, other owners, disks full or read-only."""

import os
import stat
import subprocess
from contextlib import suppress

import pytest

from synccron.clock import SystemClock
from synccron.errors import (
    InvalidInput,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreReadonly,
)
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.store import default_store_url, open_store
from synccron.store.beings import Being, _start, boot_id, kill, open_being
from synccron.store.sqlite.files import file_system


def node(name="n1"):
    return Node(
        id=name, session=name, host="h", pid=1, version="1", started_at=0, tzdata="", concurrency=1
    )


@pytest.fixture(params=[0o022, 0o777])
def _umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def fill(file):
    while True:
        file.write(bytes(4096))


@pytest.fixture
def mounted(tmp_path):
    """A small file system of its own; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", folder],
        check=False,
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.usefixtures("_umask")
def test_no_umask_takes_rights_from_the_owner_or_gives_them_to_others(place):
    store = place.open()
    store.join(node(), 15_000)
    store.watch(lambda: None)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in place.folder.rglob("*")}
    names = {path.name.removeprefix("synccron.db") for path in found}
    assert {"", "-wal", "-shm", ".lock", ".signal", ".sessions", "n1"} == names
    for path, mode in found.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_was_there_keeps_its_mode(place):
    place.folder.mkdir(mode=0o750)
    place.folder.chmod(0o750)
    place.open()
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_what_belongs_to_another_user_is_refused(place):
    place.open().close()
    os.chown(place.path, 12345, -1)
    with pytest.raises(StoreError, match="another user"):
        place.open()
    os.chown(place.path, 0, -1)
    os.chown(place.folder, 12345, -1)
    with pytest.raises(StoreError, match="another user"):
        place.open()


def test_a_store_that_everybody_may_write_is_refused(place):
    place.open().close()
    place.path.chmod(0o666)
    with pytest.raises(StoreError, match="writable by everybody"):
        place.open()


def test_a_folder_is_no_store(place):
    place.path.mkdir(parents=True)
    with pytest.raises(StoreError, match="not a file"):
        place.open()


@pytest.mark.parametrize("length", [250, 300])
@pytest.mark.parametrize("create", [True, False])
def test_a_name_that_is_too_long_is_refused(tmp_path, length, create):
    with pytest.raises(StoreError, match=r"is no store|too long"):
        open_store(str(tmp_path / ("x" * length)), create=create, clock=SystemClock())


def test_bytes_that_flipped_are_found_when_a_node_starts(place):
    store = place.open()
    for n in range(200):
        store.enqueue(place.order(str(n)), 0)
    store.close()
    whole = bytearray(place.path.read_bytes())
    for page in range(2, len(whole) // 4096):
        whole[page * 4096] ^= 0xFF
    place.path.write_bytes(whole)
    with pytest.raises(StoreDamaged):
        place.open(create=True)
    assert place.path.read_bytes() == bytes(whole)


def test_on_a_read_only_disk_one_reads_and_does_not_write(place, mounted):
    place.folder = mounted / "store"
    place.path = place.folder / "synccron.db"
    store = place.open()
    store.enqueue(place.order("a"), 0)
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    try:
        reader = place.open(create=False)
        assert [job.key for job in reader.read(Job).items] == ["a"]
        with pytest.raises(StoreReadonly):
            reader.enqueue(place.order("b"), 0)
        with pytest.raises(StoreReadonly):
            reader.join(node(), 15_000)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", mounted], check=True)
        place.close()


def test_on_a_full_disk_nothing_is_half_written_and_it_goes_on_when_there_is_room(place, mounted):
    place.folder = mounted / "store"
    place.path = place.folder / "synccron.db"
    store = place.open()
    ballast = mounted / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        fill(file)
    acknowledged = []

    def write_on():
        for n in range(2000):
            store.enqueue(place.order(str(n)), 0)
            acknowledged.append(str(n))

    with pytest.raises(StoreFull) as caught:
        write_on()
    assert caught.value.code == "store_full"
    read = [job.key for job in reversed(store.read(Job, limit=2000).items)]
    assert read == acknowledged
    ballast.unlink()
    assert store.enqueue(place.order("after"), 0) is not None
    assert store.read(Job, limit=1).items[0].key == "after"
    place.close()


def test_network_file_systems_are_known_by_their_mount(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/root rw\n"
        "2 1 0:9 / /srv/with\\040space rw shared:1 - nfs4 host:/x rw\n"
        "3 1 0:9 / /srv/with\\040space/local rw - xfs /dev/b rw\n"
    )
    folder = tmp_path.__class__("/srv/with space/deep")
    assert file_system(folder, str(table)) == "nfs4"
    assert file_system(folder.parent / "local" / "x", str(table)) == "xfs"
    assert file_system(folder.parent.parent / "within", str(table)) == "ext4"


def test_a_store_on_a_network_file_system_is_refused(place, monkeypatch):
    monkeypatch.setattr("synccron.store.sqlite.files.file_system", lambda _: "nfs4")
    with pytest.raises(StoreError, match="network file system"):
        place.open()


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("sqlite://relative.db", InvalidInput, "three slashes"),
        ("sqlite:///", InvalidInput, "three slashes"),
        ("sqlite:///x.db?sync=maybe", InvalidInput, "sync=maybe"),
        ("sqlite:///x.db?mode=ro", InvalidInput, "unknown key"),
        ("sqlite://me:hunter2@/x.db", InvalidInput, "password"),
        ("etcd://me:hunter2@host/x", InvalidInput, "password"),
        ("redis://host", InvalidInput, "redis://"),
        ("", InvalidInput, "empty"),
    ],
)
def test_urls_that_name_no_store_are_refused_and_no_secret_is_shown(url, error, words, place):
    with pytest.raises(error, match=words) as caught:
        open_store(url, clock=place.clock)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_plain_path_and_a_url_name_the_same_store(place):
    place.folder = place.folder.parent / "with space"
    place.path = place.folder / "a%b.db"
    with open_store(str(place.path), create=True, clock=place.clock) as store:
        store.enqueue(place.order("a"), 0)
    url = f"sqlite://{place.folder}/a%25b.db".replace(" ", "%20")
    with open_store(url, clock=place.clock) as store:
        assert [job.key for job in store.read(Job).items] == ["a"]


def test_the_default_store_is_the_users_own_where_there_is_no_systems(monkeypatch, tmp_path):
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("synccron.store._SYSTEM", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", "/state dir")
    assert default_store_url() == "sqlite:///state%20dir/synccron/synccron.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_store_url() == "sqlite:///home/me/.local/state/synccron/synccron.db"


def test_a_system_store_in_a_folder_that_is_private_to_others_is_not_ones_own(
    tmp_path, monkeypatch
):
    private = tmp_path / "private"
    private.mkdir(mode=0)
    monkeypatch.setattr("synccron.store._SYSTEM", str(private / "synccron.db"))
    monkeypatch.setenv("XDG_STATE_HOME", "/own")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        assert default_store_url() == "sqlite:///own/synccron/synccron.db"
    finally:
        if user == 0:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["lock", "signal"])
def test_a_link_that_somebody_planted_beside_a_store_is_not_followed(place, tmp_path, name):
    place.open().close()
    canary = tmp_path / "canary"
    canary.write_text("sings")
    beside = place.path.with_name(f"{place.path.name}.{name}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(canary)
    with suppress(StoreError), place.open() as store:
        store.watch(lambda: None)
        store.tally({"trigger_failed": 1})
    assert canary.read_text() == "sings"


def test_a_pid_that_was_given_to_another_is_never_signalled():
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            alive = Being(other.pid, _start(other.pid) or 0, boot_id())
            for stale in (
                alive._replace(start=alive.start - 1),
                alive._replace(boot="another"),
                alive._replace(pid=2**22 + 1),
            ):
                assert not kill(stale)
                assert open_being(stale) is None
            assert other.poll() is None
            assert kill(alive)  # the very one is
            assert other.wait() == -9
        finally:
            other.kill()


@pytest.mark.parametrize(
    "signed", ["null", "[]", "{", "9" * 300, '["x","y","z",[]]', "[1,2,3,4,5]"]
)
def test_a_lock_that_somebody_signed_wrongly_names_nobody(place, signed):
    with place.open() as store:
        lock = place.path.with_name(f"{place.path.name}.lock")
        lock.write_text(signed)
        store.tally({"trigger_failed": 1})
        assert store.read(Job).items == ()
