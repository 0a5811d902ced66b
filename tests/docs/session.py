"""A bash whose commands are the docs', on a host that a folder plays.

Absolute paths of the pages lie below that folder, `sudo` is whoever runs the test, and synccron is
the one that is tested. What goes on until it is told to stop has a terminal of its own.
"""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

# In the source, with the environment that runs this test as it is.
MAKE_DEMO = f"make -C {ROOT} -o .venv/.installed BIN={Path(sys.executable).parent} demo"
COMMENT = re.compile(r"\s+# .*")
PATHS = re.compile(r"(?<![\w.])/(?:usr/local/bin|var/lib|var/backups|etc/(?:etcd|synccron))\b")


class Session:
    """One terminal of a user; `places` are what else of a page lies elsewhere in the test."""

    def __init__(self, folder: Path, places: dict[str, str]) -> None:
        self._root = folder / "root"
        self.home = folder / "home"
        self.home.mkdir()
        programs = self._root / "usr/local/bin"
        programs.mkdir(parents=True)
        self._places = places
        self._terminals = 0
        self._going_on: list[tuple[str, str, Path]] = []
        # -P: like the program that pip installs, it does not find modules in the current folder
        self._program(programs / "synccron", f'exec {sys.executable} -P -m synccron "$@"')
        self._program(programs / "python", f'exec {sys.executable} "$@"')
        self._program(programs / "sudo", 'exec "$@"')
        self._program(programs / "backup", 'echo "backed up $*"')
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.home,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT),
                "SYNCCRON_STORE": self.here("/var/lib/synccron/synccron.db"),
                "ETCDCTL_API": "3",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def here(self, text: str) -> str:
        """What the text of a page is on this host."""
        text = PATHS.sub(lambda path: f"{self._root}{path[0]}", text)
        text = text.replace(" install-service", f" install-service --root {self._root}")
        text = text.replace("make demo", MAKE_DEMO)
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def run(self, command: str) -> tuple[int, str]:
        """Run one command to its end: its exit status, and what it printed, as on the page."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        mark = f"-- {secrets.token_hex(8)} --"
        typed = f"{self.here(command)}\nsay=$?; echo '{mark}'$say; (exit $say)\n"
        self._bash.stdin.write(typed)
        self._bash.stdin.flush()
        printed = []
        for line in self._bash.stdout:
            before, found, status = line.partition(mark)
            printed.append(before)
            if found:
                return int(status), "".join(printed).replace(str(self._root), "")
        pytest.fail(f"the session ended in: {command}\n{''.join(printed)}")

    def go_on(self, command: str) -> Path:
        """Start what does not end by itself; the file that it prints into."""
        plain = COMMENT.sub("", command)
        self._terminals += 1
        printed = self.home.parent / f"terminal-{self._terminals}"
        printed.touch()
        # a job of its own, so that an interrupt reaches it as Ctrl-C would
        status, pid = self.run(f"set -m; {plain} > {printed} 2>&1 & set +m; echo $!")
        assert status == 0
        self._going_on.append((pid.strip(), plain, printed))
        return printed

    def goes_on(self) -> bool:
        """Whether what was started last has not ended."""
        return self.run(f"kill -0 {self._going_on[-1][0]} 2>&-")[0] == 0

    def interrupt(self) -> None:
        """Press Ctrl-C in the newest terminal."""
        pid, command, printed = self._going_on.pop()
        status, _ = self.run(f"kill -INT {pid}; wait {pid} 2>&-")
        assert status == 130, f"{command}: exit status {status}\n{printed.read_text()}"

    def stop(self, what: str = "") -> None:
        """Tell these to stop, as a service manager would, and wait until they have."""
        chosen = [each for each in reversed(self._going_on) if what in each[1]]
        for pid, _, _ in chosen:
            self.run(f"kill {pid}")
        for pid, command, printed in chosen:
            status, _ = self.run(f"wait {pid} 2>&-")
            # etcd ends by the signal that it was sent
            assert status in {0, 143}, f"{command}: exit status {status}\n{printed.read_text()}"
            self._going_on.remove((pid, command, printed))

    def close(self) -> None:
        self.run("kill $(jobs -p) 2>&-; wait 2>&-")
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.stdout.close()
        self._bash.wait()

    @staticmethod
    def _program(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
