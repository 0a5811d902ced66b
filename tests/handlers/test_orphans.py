"""What outlived its node and all that guarded it is ended when a node of its store starts again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synccron.handlers import kernel
from synccron.handlers.local import LocalHandlers
from synccron.handlers.orphans import MARK, is_forsaken, mark

NODE = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from tests.handlers.conftest import Workshop
from pathlib import Path
made = Workshop(Path(sys.argv[2]))
made.start(
    run="echo $SYNCCRON_INPUT_FILE > given; echo $$ > pids; exec sleep 600", cwd=sys.argv[2]
)
threading.Event().wait()
"""


def tree(pid: int) -> list[int]:
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in below for each in tree(int(child)))]


def orphan(folder: Path, until) -> int:
    """Leave a process whose node, guardian and heir were killed at one instant."""
    node = subprocess.Popen([sys.executable, "-c", NODE, str(Path.cwd()), str(folder)])
    pids = folder / "pids"
    until(lambda: pids.exists() and pids.read_text().strip() != "")
    left = int(pids.read_text())
    guards = [pid for pid in tree(node.pid) if pid != left]
    kernel_kills = (signal.SIGSTOP, signal.SIGKILL)
    for number in kernel_kills:
        for pid in guards:
            os.kill(pid, number)
    node.wait()
    return left


@pytest.fixture
def left(tmp_path, until, alive):
    pid = orphan(tmp_path, until)
    yield pid
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def test_the_next_node_of_the_store_ends_it_and_removes_what_it_was_given(
    tmp_path, left, alive, until
):
    given = Path((tmp_path / "given").read_text().strip())
    assert given.exists()
    handlers = LocalHandlers(store=str(tmp_path))
    try:
        until(lambda: not alive(left) and not given.parent.exists())
    finally:
        handlers.close()


def test_a_mark_says_whose_a_process_is():
    mine = mark("/a/store", 0)
    home, node, start, _ = mine.rsplit(".", 3)
    assert not is_forsaken(mine, mine)
    assert not is_forsaken(mark("/a/store", 1), mine), "another guardian of a node that lives"
    assert is_forsaken(f"{home}.{node}.{int(start) + 1}.0", mine), "its id is another's by now"
    assert is_forsaken(f"{home}.4194303.{start}.0", mine), "its node is no more"
    gone = f"{mark('/other', 0).rsplit('.', 3)[0]}.4194303.{start}.0"
    assert not is_forsaken(gone, mine), "another store's"
    place, _namespace = home.split(".")
    assert not is_forsaken(f"{place}.1.4194303.{start}.0", mine), "another namespace's"
    for nonsense in ("", "1", "a.b.c.d.e", mine[:-2], f"{mine}.1"):
        assert not is_forsaken(nonsense, mine)


def test_attempts_of_a_node_that_lives_are_left_alone(workshop, alive, until):
    pids = workshop.folder / "pids"
    running = workshop.start(run=f"echo $$ > {pids}; exec sleep 600")
    until(lambda: pids.exists() and pids.read_text() != "")
    pid = int(pids.read_text())
    assert kernel.variable(pid, MARK) is not None
    second = LocalHandlers(store=str(workshop.folder))
    second.close()
    assert alive(pid)
    running.stop("cancelled")
    assert running.outcome().ending == "cancelled"
