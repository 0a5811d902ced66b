"""Control groups: an attempt's is ended whole, and none is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synccron.handlers import cells, kernel
from synccron.handlers.containment import containment
from tests.handlers.conftest import Workshop


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The control group below which cells are made; mounted for the test where that can be."""
    mounted = None
    if cells._mount() is None and os.geteuid() == 0:
        mounted = tmp_path / "cgroup"
        mounted.mkdir()
        made = subprocess.run(["mount", "-t", "cgroup2", "none", str(mounted)], check=False)
        mounted = mounted if made.returncode == 0 else None
    try:
        _, base = cells._places()
        if base is None or containment().word != "cgroup":
            pytest.skip("there is no control group of version 2 that this process may divide")
        yield base
    finally:
        if mounted is not None:
            subprocess.run(["umount", str(mounted)], check=True)


@pytest.fixture
def walled(place: Path, tmp_path: Path, monkeypatch) -> Iterator[Workshop]:
    assert place.is_dir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = Workshop(tmp_path, cells=True)
    yield made
    made.handlers.close()


HIDES = {
    "a daemon": "setsid sleep 600 & echo $! > {pids}",
    "without an environment": "env -i setsid sh -c 'echo $$ > {pids}; exec sleep 600' &",
    "a fork of a fork": "(setsid sh -c 'setsid sh -c \"echo \\$\\$ > {pids}; sleep 600\" &' &)",
}


@pytest.mark.parametrize("way", HIDES)
def test_nothing_of_an_attempt_is_left_when_its_end_is_told(walled, alive, way):
    pids = walled.folder / "pids"
    beside = walled.start(run="sleep 600")
    ended = walled.end_of(f"{HIDES[way].format(pids=pids)}\nuntil [ -s {pids} ]; do :; done")
    assert ended.ending == "completed"
    assert not alive(int(pids.read_text()))
    beside.stop("cancelled")
    assert beside.outcome().ending == "cancelled"


def test_attempts_have_cells_again_when_somebody_cleared_the_empty_groups_away(walled, place):
    assert walled.end_of("true").ending == "completed"
    mine = walled.handlers._guard._mark
    (place / f"synccron-{mine}").rmdir()
    ended = walled.end_of("cat /proc/self/cgroup")
    assert ended.ending == "completed"
    assert f"synccron-{mine}/".encode() in ended.tail


def test_a_python_attempt_has_a_cell_as_well(walled, alive):
    source = (
        "import os, time\n"
        "def f(ctx):\n"
        "    reader, writer = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            os.write(writer, str(os.getpid()).encode())\n"
        "            time.sleep(600)\n"
        "        os._exit(0)\n"
        "    return int(os.read(reader, 100))\n"
    )
    (walled.folder / "forks.py").write_text(source)
    ended = walled.start(handler="forks:f").outcome()
    assert ended.ending == "completed", ended
    assert not alive(int(ended.result or 0))


def test_no_cell_is_left(walled, place):
    assert {walled.end_of("true").ending for _ in range(20)} == {"completed"}
    (own,) = [each for each in place.glob("synccron-*") if f".{os.getpid()}." in each.name]
    assert not list(own.glob("*/"))
    walled.handlers.close()
    assert not own.exists()


def test_the_cells_of_a_guardian_and_heir_that_were_killed_are_ended(walled, place, alive, until):
    pids = walled.folder / "pids"
    started = walled.start(
        run=f"env -i setsid sh -c 'echo $$ > {pids}; exec sleep 600' & sleep 600"
    )
    until(lambda: pids.exists() and pids.read_text() != "")
    heirs = [
        pid for pid in kernel.children() if b".heir" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    both = [*heirs, *(int(Path(f"/proc/{p}/task/{p}/children").read_text()) for p in heirs)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in both:
            os.kill(pid, number)
    assert started.outcome().ending == "lost"
    assert not alive(int(pids.read_text()))
    assert not [each for each in place.glob("synccron-*") if f".{os.getpid()}." in each.name]


def test_what_holds_is_told_in_a_word_and_a_sentence(place):
    before = set(place.glob("*"))
    assert containment().word == "cgroup"
    assert "control group of its own" in containment().sentence
    assert set(place.glob("*")) == before


def test_without_control_groups_adoption_holds(monkeypatch):
    monkeypatch.setattr(cells, "_mount", lambda: None)
    assert containment().word == "subreaper"
