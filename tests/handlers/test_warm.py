"""Warm children: used again when an attempt left them as it found them, else replaced."""

import os
import signal
from pathlib import Path

import pytest

from synccron.handlers.pool import JOBS, MOST, REST, Pool
from synccron.handlers.ward import Ward

COUNTING = "import os\ncount = 0\ndef f(ctx):\n    global count\n    count += 1\n"


def handler(workshop, source: str) -> str:
    name = f"warm_{len(list(workshop.folder.glob('warm_*.py')))}"
    (workshop.folder / f"{name}.py").write_text(source)
    return f"{name}:f"


def results(workshop, name: str, times: int = 2, **fields) -> list[str]:
    ended = [workshop.start(handler=name, **fields).outcome() for _ in range(times)]
    assert {each.ending for each in ended} == {"completed"}, ended
    return [each.result or "" for each in ended]


def test_a_child_is_used_again_and_keeps_what_its_module_keeps(workshop):
    name = handler(workshop, COUNTING + "    return [os.getpid(), count]\n")
    first, second = results(workshop, name)
    assert first.replace(",1]", ",2]") == second


def test_a_child_imports_its_handler_under_one_environment(workshop):
    name = handler(workshop, "import os\nMINE = os.environ['MINE']\ndef f(ctx): return MINE\n")
    assert results(workshop, name, 1, env={"MINE": "a"}) == ['"a"']
    assert results(workshop, name, 1, env={"MINE": "b"}) == ['"b"']
    assert results(workshop, name, 1, env={"MINE": "a"}) == ['"a"']


def test_each_attempt_finds_its_surroundings_as_the_first_did(workshop):
    name = handler(
        workshop,
        "import os, sys\n"
        "def f(ctx):\n"
        "    mask = os.umask(0o777)\n"
        "    found = [os.getpid(), os.getcwd(), mask, 'LEFT' in os.environ, sys.path[0], input(),\n"
        "        open(os.environ['SYNCCRON_INPUT_FILE']).read()]\n"
        "    os.chdir('/')\n"
        "    os.environ['LEFT'] = '1'\n"
        "    sys.path.insert(0, '/left')\n"
        "    return found\n",
    )
    first, second = results(workshop, name)
    assert first == second


LEAVINGS = {
    "a thread": "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
    "a process": "import subprocess; subprocess.Popen(['sleep', '600'])",
    "a process of its own": (
        "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    ),
    "a descriptor": "os.open('/', os.O_RDONLY)",
    "a signal handler": "import signal; signal.signal(signal.SIGUSR2, signal.SIG_IGN)",
    "a timer": "import signal; signal.alarm(3000)",
    "a limit": "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "a handler of logs": "import logging; logging.getLogger().addHandler(logging.NullHandler())",
    "a level of logs": "import logging; logging.getLogger('x').setLevel(1)",
    "another stdout": "import io, sys; sys.stdout = io.StringIO()",
    "much memory": "global hoard; hoard = bytearray(os.urandom(1)) * (100 << 20)",
}


@pytest.mark.parametrize("left", LEAVINGS)
def test_a_child_in_which_something_was_left_is_replaced(workshop, left):
    name = handler(
        workshop, f"import os\ndef f(ctx):\n    {LEAVINGS[left]}\n    return os.getpid()\n"
    )
    first, second = results(workshop, name)
    assert first != second


def test_no_process_of_a_python_attempt_outlives_it(workshop, alive, until):
    name = handler(
        workshop,
        "import os, subprocess, time\n"
        "def f(ctx):\n"
        "    pids = [subprocess.Popen(['sleep', '600'], start_new_session=True, env={}).pid]\n"
        "    reader, writer = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if (pid := os.fork()):\n"
        "            os.write(writer, str(pid).encode())\n"
        "            os._exit(0)\n"
        "        time.sleep(600)\n"
        "    return [*pids, int(os.read(reader, 100))]\n",
    )
    (found,) = results(workshop, name, 1)
    for pid in map(int, found.strip("[]").split(",")):
        until(lambda pid=pid: not alive(pid))


def test_a_handler_that_changed_is_imported_anew(workshop):
    name = handler(workshop, "def f(ctx): return 'old'\n")
    assert results(workshop, name, 1) == ['"old"']
    path = workshop.folder / f"{name.partition(':')[0]}.py"
    path.write_text("def f(ctx): return 'newer'\n")
    assert results(workshop, name, 1) == ['"newer"']


def test_a_child_that_died_while_it_waited_is_replaced(workshop, alive, until):
    name = handler(workshop, "import os\ndef f(ctx): return os.getpid()\n")
    (pid,) = map(int, results(workshop, name, 1))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    assert results(workshop, name, 1) != [str(pid)]


def test_a_child_that_was_asked_to_end_is_not_used_again(workshop, until):
    name = handler(
        workshop,
        "import os, time\n"
        "def f(ctx):\n"
        "    print(os.getpid(), flush=True)\n"
        "    while ctx.input == 'wait' and not ctx.cancelled: time.sleep(0.01)\n"
        "    return os.getpid()\n",
    )
    (first,) = results(workshop, name, 1)
    waiting = workshop.start(handler=name, input='"wait"', kill_after=60_000)
    until(lambda: any(each.read_text() for each in workshop.folder.glob("*.log")))
    waiting.stop("cancelled")
    ended = waiting.outcome()
    assert ended.ending == "cancelled"
    assert ended.tail.decode().strip() in ("", first)
    assert results(workshop, name, 1) != [first]


def test_a_stop_at_any_instant_ends_its_attempt_and_no_other(workshop):
    name = handler(workshop, "import time\ndef f(ctx):\n    time.sleep(ctx.input)\n")
    for _ in range(20):
        stopped = workshop.start(handler=name, input="600", kill_after=3_600_000)
        stopped.stop("cancelled")
        assert stopped.outcome().ending == "cancelled"
        assert results(workshop, name, 2, input="0") == ["null", "null"]


def test_output_of_one_attempt_is_never_anothers(workshop):
    name = handler(
        workshop,
        "import ctypes, os, sys\n"
        "def f(ctx):\n"
        "    print(f'python {ctx.fence}')\n"
        "    ctypes.CDLL(None).printf(b'%s', f'c {ctx.fence}\\n'.encode())\n"
        "    os.write(2, b'x' * 300_000)\n",
    )
    for _ in range(5):
        invocation = workshop.invocation(handler=name)
        started = workshop.start(handler=name, log=invocation.log)
        assert started.outcome().ending == "completed"
        written = Path(invocation.log).read_bytes()
        assert (written.count(b"python "), written.count(b"c "), written.count(b"x")) == (1, 1, 3e5)


def ward() -> Ward:
    made = Ward(1, {})
    made.handler = "f"
    return made


def test_a_child_goes_after_a_number_of_attempts_and_when_it_has_rested():
    pool, child = Pool(), ward()
    for _ in range(JOBS - 1):
        assert pool.put(child, 0) == []
        assert pool.take("f") is child
    assert pool.put(child, 0) == [child]
    resting = ward()
    pool.put(resting, 0)
    assert (list(pool.rested(REST - 1)), list(pool.rested(REST))) == ([], [resting])


def test_not_more_than_so_many_children_wait():
    pool = Pool()
    children = [ward() for _ in range(MOST + 1)]
    assert [pool.put(each, 0) for each in children] == [[]] * MOST + [[children[0]]]


def test_as_many_children_wait_as_were_at_work_at_once():
    pool = Pool()
    pool.at_work(MOST + 8)
    pool.at_work(1)
    children = [ward() for _ in range(MOST + 9)]
    assert [pool.put(each, 0) for each in children] == [[]] * (MOST + 8) + [[children[0]]]
