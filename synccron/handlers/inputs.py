"""Whether inputs have the shape that their handlers declare, asked before they are registered.

What a handler's module does when it is imported is its own: it happens in a process apart, a fork
for each handler, and one that crashes, hangs, or cannot be imported here gives no verdict. The
attempt decides then.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from synccron.handlers.environment import plain_environment
from synccron.handlers.resolve import findable, target
from synccron.handlers.shape import BadInput, Problem, read, shape_of
from synccron.model.schedule import JsonText

PATIENCE = 10  # seconds for all imports together
_CHUNK = 1 << 16


def ill_shaped(
    asked: Sequence[tuple[str, JsonText]], shapeless: set[str] | None = None
) -> list[list[Problem]]:
    """Give for each handler and input what is wrong with the input; nothing where nobody knows.

    To `shapeless` are added the handlers that take any input, or gave no verdict.
    """
    found: list[list[Problem]] = [[] for _ in asked]
    wanted: dict[str, list[int]] = {}
    for number, (handler, _) in enumerate(asked):
        place = target(handler)
        if place is not None and findable(place):
            wanted.setdefault(place, []).append(number)
    declared: set[str] = set()
    question = [[place, [(n, asked[n][1]) for n in numbers]] for place, numbers in wanted.items()]
    for line in _ask(json.dumps(question).encode()).splitlines() if question else ():
        number, wrong = json.loads(line)
        declared.add(asked[number][0])
        found[number] = [(tuple(place), message) for place, message in wrong]
    if shapeless is not None:
        shapeless |= {handler for handler, _ in asked} - declared
    return found


def _ask(question: bytes) -> bytes:
    """Run this file as a process, for as long as is bearable; what it answered."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as answers:
        asked = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs)],
            pass_fds=(theirs,),
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=plain_environment(),
        )
        os.close(theirs)
        try:
            with suppress(BrokenPipeError), asked.stdin or answers as stdin:
                stdin.write(question)
            return _hear(answers.fileno())
        finally:
            with suppress(ProcessLookupError):
                os.killpg(asked.pid, signal.SIGKILL)
            asked.wait()


def _hear(fd: int) -> bytes:
    heard = b""
    while select.select([fd], (), (), PATIENCE)[0]:
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            break
        heard += chunk
    return heard[: heard.rfind(b"\n") + 1]  # whole lines: it may have been interrupted


def _answer(place: str, inputs: list[tuple[int, JsonText]], answers: int) -> None:
    module, _, names = place.partition(":")
    found: Any = import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    shape = shape_of(found)
    if shape is None:
        return
    for number, text in inputs:
        wrong: list[Problem] = []
        try:
            read(json.loads(text), shape)
        except BadInput as error:
            wrong = error.problems
        os.write(answers, json.dumps([number, wrong]).encode() + b"\n")


def main() -> None:
    """Answer the question on standard input into the descriptor that the first argument names."""
    answers = int(sys.argv[1])
    for place, inputs in json.load(sys.stdin):
        pid = os.fork()  # safe: this process has one thread, and has imported nothing of anybody's
        if pid == 0:
            try:
                _answer(place, inputs, answers)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
