"""Limits: kept by rlimits everywhere, and refused where they cannot be kept."""

import os
import sys

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run as others")
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="processes of root are not counted")

from synccron.model.schedule import Limits  # noqa: E402

GREEDY = "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))"


def test_a_command_that_allocates_without_end_fails_by_itself(workshop):
    ended = workshop.end_of((sys.executable, "-c", GREEDY), limits=Limits(memory=200 << 20))
    assert (ended.ending, ended.exit_code) == ("failed", 1)
    assert b"MemoryError" in ended.tail


def test_a_handler_that_allocates_without_end_fails_by_itself(workshop):
    source = "def f(ctx):\n    hoard = []\n    while True: hoard.append(bytearray(1 << 20))\n"
    ended = workshop.end_of_handler(source, limits=Limits(memory=400 << 20))
    assert ended.ending == "failed"
    assert "MemoryError" in (ended.error or "")


@pytest.mark.parametrize("python", [False, True])
def test_what_uses_more_cpu_than_it_may_is_ended_and_told_why(workshop, python):
    if python:
        ended = workshop.end_of_handler("def f(ctx):\n    while True: pass\n", limits=Limits(cpu=1))
    else:
        ended = workshop.end_of("while :; do :; done", limits=Limits(cpu=1))
    assert (ended.ending, ended.exit_code) == ("failed", 152)
    assert ended.error == "killed by SIGXCPU: it used more than 1 s of CPU"


def test_no_more_files_are_open_than_may_be(workshop):
    source = (
        "import os\nfds = []\ntry:\n    while True: fds.append(os.dup(0))\n"
        "except OSError as error: print(len(fds), error.errno)"
    )
    ended = workshop.end_of((sys.executable, "-c", source), limits=Limits(files=20))
    assert ended.tail == b"17 24\n"


@needs_root
def test_a_user_has_no_more_processes_than_may_be(workshop):
    workshop.folder.chmod(0o755)
    source = (
        "import os, signal\ncount = 0\ntry:\n"
        "    while True:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "        count += 1\n"
        "except BlockingIOError: print(count)"
    )
    ended = workshop.end_of(
        ("/usr/bin/env", "python3", "-c", source), user="nobody", limits=Limits(processes=12)
    )
    assert (ended.ending, ended.tail) == ("completed", b"11\n"), ended


@needs_root
@pytest.mark.parametrize("fields", [{"run": "true"}, {"handler": "json:dumps"}])
def test_a_number_of_processes_that_cannot_be_kept_for_root_is_refused_for_good(workshop, fields):
    ended = workshop.start(**fields, limits=Limits(processes=10)).outcome()
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert "processes cannot be kept for root here: name another user" in (ended.error or "")


def test_limits_above_the_nodes_own_leave_the_stricter_one(workshop):
    ended = workshop.end_of("ulimit -H -n", limits=Limits(files=1 << 29))
    assert ended.ending == "completed"
    assert int(ended.tail) <= 1 << 29


def test_a_child_with_limits_runs_one_attempt_and_one_without_has_none(workshop):
    source = (
        "import os, resource\n"
        "def f(ctx): return [os.getpid(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]\n"
    )
    (workshop.folder / "limited.py").write_text(source)
    results = [
        workshop.start(handler="limited:f", limits=limits).outcome().result
        for limits in (Limits(files=50), Limits(files=50), Limits())
    ]
    assert len(set(results)) == 3
    assert [(result or "").endswith(",50]") for result in results] == [True, True, False]
