"""Every console block of the docs is run, page by page, and prints what the page says.

`$ ` begins a command, `> ` goes on with it, all else is its output, where `…` stands for any text
and, on a line of its own, for any lines. A page is one session of bash in a folder of its own. A
block that is marked `etcd` has a member of the test in the place of 10.0.0.1.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.etcd import Members

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("docs/*.md"), ROOT / "README.md"))
BLOCK = re.compile(r"^```console( etcd)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_BLOCKS = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]
ENOUGH = 120  # seconds, for a page on a busy machine


@dataclass
class Step:
    """A command, and what the page says that it prints."""

    line: int
    command: list[str]
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> Iterator[Step]:
    for block in BLOCK.finditer(text):
        line = text[: block.start(2)].count("\n") + 1
        step: Step | None = None
        for number, each in enumerate(block[2].splitlines(), start=line):
            if each.startswith("$ "):
                if step is not None:
                    yield step
                step = Step(number, [each[2:]])
            elif step is not None and each.startswith("> ") and not step.expected:
                step.command.append(each[2:])
            else:
                assert step is not None, f"line {number} is before any command"
                step.expected.append(each)
        if step is not None:
            yield step


def pattern(expected: list[str]) -> re.Pattern[str]:
    lines = [
        r"(?:.*\n)*" if each == "…" else re.escape(each).replace("…", ".*") + r"\n"
        for each in expected
    ]
    return re.compile("".join(lines))


@pytest.fixture
def session(tmp_path: Path) -> Iterator["Session"]:
    made = Session(tmp_path)
    yield made
    made.close()


class Session:
    """A bash whose commands are the docs', with this synccron on its path."""

    def __init__(self, folder: Path) -> None:
        programs = folder / "bin"
        programs.mkdir()
        (programs / "synccron").write_text(f'#!/bin/sh\nexec {sys.executable} -m synccron "$@"\n')
        (programs / "synccron").chmod(0o755)
        home = folder / "home"
        home.mkdir()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=home,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            encoding="utf-8",
        )

    def run(self, command: str) -> str:
        """Run one command to its end; what it printed, to stdout and stderr."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        mark = f"-- {secrets.token_hex(8)} --"
        self._bash.stdin.write(f"{command}\nsay=$?; echo '{mark}'; (exit $say)\n")
        self._bash.stdin.flush()
        printed = []
        for line in self._bash.stdout:
            if line.rstrip("\n").endswith(mark):
                printed.append(line.replace(mark, "").rstrip("\n"))
                break
            printed.append(line)
        else:
            pytest.fail(f"the session ended in: {command}\n{''.join(printed)}")
        return "".join(printed)

    def close(self) -> None:
        for stream in (self._bash.stdin, self._bash.stdout):
            assert stream is not None
            stream.close()
        os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.wait()


@pytest.mark.timeout(ENOUGH)
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_the_commands_of_a_page_print_what_it_says(page, session, request):
    text = page.read_text(encoding="utf-8")
    url = ""
    if "```console etcd" in text:
        members: Members = request.getfixturevalue("etcd")
        url = members.url(f"docs/{secrets.token_hex(4)}")
    for step in steps(text):
        command = "\n".join(step.command).replace("etcd://10.0.0.1:2379", url)
        printed = session.run(command)
        assert pattern(step.expected).fullmatch(printed), (
            f"{page.name}:{step.line}: $ {step.command[0]}\n"
            f"--- the page\n{chr(10).join(step.expected)}\n--- the program\n{printed}"
        )
