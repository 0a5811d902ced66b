"""A password is in no place where others look: a canary is looked for everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-5e1f0c"
HANDLER = """
import os
def leak(ctx):
    password = os.environ.get("SYNCCRON_ETCD_PASSWORD")
    raise RuntimeError(f"no password here: {password} {dict(os.environ)}")
"""


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a file with the canary, which the environment has too, as for a store on etcd."""
    file = tmp_path / "password"
    file.write_text(CANARY)
    monkeypatch.setenv("SYNCCRON_ETCD_USER", "root")
    monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD", CANARY)
    return file


@pytest.mark.usefixtures("password")
def test_no_handler_and_nothing_that_is_kept_or_shown_has_the_password(
    cli, node, store, tmp_path, monkeypatch
):
    (tmp_path / "leaks.py").write_text(HANDLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    look = "env; cat /proc/$PPID/environ /proc/self/environ; ulimit -c; exit 1"
    cli("register", "shell", "--cron", "@yearly", "--env", "A=1", "--", "sh", "-c", look)
    cli("register", "python", "--cron", "@yearly", "--handler", "leaks:leak")
    one = node("--id", "n1", "--pass-env", "SYNCCRON_*", "--pass-env", "*")
    one.until("node_joined")
    shown = [
        cli(*words).out
        for name in ("shell", "python")
        for words in (
            ("trigger", name, "--key", "k", "--wait"),
            ("show", name, "--json"),
            ("job", f"manual:{name}:k", "--json"),
            ("logs", name, "--raw"),
        )
    ]
    shown += [cli(*words).out for words in (("export",), ("backup", "-"), ("dlq", "ls", "--json"))]
    shown += [cli(*words).err for words in (("doctor",), ("status", "--debug"))]
    assert any("no password here: None" in text for text in shown)
    for pid in descendants(one.process.pid):
        for name in ("environ", "cmdline"):
            shown.append(Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
    one.process.terminate()
    shown += [*map(str, one.end())]
    shown += [str(event) for event in one.seen]
    shown += [
        file.read_bytes().decode(errors="replace")
        for file in store.parent.rglob("*")
        if file.is_file()
    ]
    assert len(shown) > 20
    assert not [text for text in shown if CANARY in text]


def descendants(pid: int) -> list[int]:
    """Give the processes below one."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    threads = Path(f"/proc/{pid}/task").iterdir()
    found = [each for thread in threads for each in (thread / "children").read_text().split()]
    below = [int(each) for each in found]
    return [*below, *(each for one in below for each in descendants(one))]


def test_a_password_in_a_url_is_refused_and_shown_nowhere(cli):
    for words in (("ls",), ("run",), ("doctor",), ("backup", "x"), ("status", "--json")):
        told = cli(*words, "--store", f"etcd://root:{CANARY}@127.0.0.1:1/x")
        assert told.status == 2
        assert CANARY not in told.out + told.err


def test_a_half_of_a_login_is_refused_by_name_and_not_shown(cli, password, monkeypatch):
    monkeypatch.delenv("SYNCCRON_ETCD_USER")
    told = cli("ls", "--store", "etcd://127.0.0.1:1/x", "--store-timeout", "100ms")
    assert told.status == 2
    assert CANARY not in told.err
    monkeypatch.setenv("SYNCCRON_ETCD_USER", "root")
    monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD_FILE", str(password))
    assert cli("ls", "--store", "etcd://127.0.0.1:1/x").status == 2


def test_a_process_that_keeps_its_memory_private_can_be_read_by_no_other_of_its_user():
    code = (
        "import ctypes; from synccron.handlers import keep_memory_private as keep;"
        " asked = lambda: print(ctypes.CDLL(None).prctl(3));"  # PR_GET_DUMPABLE
        " asked(); keep(); asked()"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout.split() == [b"1", b"0"]


def test_a_node_warns_once_where_commands_leave_the_host_unencrypted(cli):
    away = ("run", "--store", "etcd://192.0.2.1:2379/x", "--store-timeout", "50ms")
    told = cli(*away, "--apply", "nowhere.yaml")
    assert told.status == 2
    assert told.err.count("unencrypted") == 1
    here = cli("run", "--store", "etcd://127.0.0.1:1/x", "--apply", "nowhere.yaml")
    assert "unencrypted" not in here.err
    assert os.environ.get("SYNCCRON_ETCD_USER") is None
