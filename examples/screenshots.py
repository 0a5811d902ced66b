"""Take the screenshots of the docs: real commands on a real terminal, beside a running node.

`make screenshots` writes docs/shots/*.svg. It takes half a minute: a history has to come about.
"""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from pathlib import Path

from rich.console import Console
from rich.text import Text

from synccron.client import Client

SHOTS = Path(__file__).parents[1] / "docs" / "shots"
WIDTH, HEIGHT = 110, 34
JOBS = """
defaults: {tz: Europe/Berlin}
schedules:
  backup: {cron: "30 2 * * *", run: "true", misfire: catch_up_one, overlap: skip}
  billing: {cron: "0 6 1 * *", run: "true", retry: {max_attempts: 3}}
  cleanup: {cron: "15 * * * *", run: "true"}
  feed: {cron: "*/2 * * * * *", run: "exit $(($(date +%s) / 2 % 5 == 0))"}
  invoices: {cron: "0 6 1 * *", handler: "billing:invoices"}
  mirror: {cron: "*/3 * * * * *", run: "sleep 4", overlap: skip}
  report: {cron: "30 2 * * MON", run: "true"}
"""
RAN = 10  # jobs of `feed` that make a history
FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # it would be fetched from elsewhere
FRAME = "\x1b[H"  # where a live page begins anew


def main() -> None:
    """Let a history come about, and take all of them."""
    SHOTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "synccron.db")
        os.environ["SYNCCRON_STORE"] = store
        jobs = Path(folder) / "jobs.yaml"
        jobs.write_text(JOBS)
        run("register", "-f", str(jobs))
        node = subprocess.Popen(
            [sys.executable, "-m", "synccron", "run", "--id", "web-1", "--log", "json"],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_history(store)
            run("pause", "cleanup", "--reason", "the disk is being moved")
            shoot("ls")
            shoot("next", "--all", "-n", "8")
            shoot("why", "mirror", "--slot", missed_slot(store))
            shoot("status", "--watch")
            shoot("audit")
        finally:
            node.terminate()
            node.wait()


def run(*words: str) -> None:
    """Run a command that nobody sees."""
    subprocess.run([sys.executable, "-m", "synccron", *words], check=True, capture_output=True)


def wait_for_history(store: str) -> None:
    """Wait until enough jobs have ended."""
    moment = threading.Event()
    with Client(store) as client:
        while len(client.jobs(schedule="feed", states=["completed", "failed"])) < RAN:
            moment.wait(0.2)


def missed_slot(store: str) -> str:
    """Give a slot that met an earlier job."""
    with Client(store) as client:
        found = [each for each in client.misses("mirror") if each.reason == "overlap"]
    return f"{found[0].first:%Y-%m-%dT%H:%M:%SZ}"


def shoot(*words: str) -> None:
    """Take one screenshot; it is named by its command."""
    written = on_terminal(*words)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ synccron {' '.join(words)}", style="bold"))
    console.print(Text.from_ansi(written))
    image = FACE.sub("", console.export_svg(title="synccron", unique_id=words[0]))
    lines = (line.rstrip() for line in image.splitlines() if line.strip())
    (SHOTS / f"{words[0]}.svg").write_text("\n".join(lines) + "\n")
    print(SHOTS / f"{words[0]}.svg")


def on_terminal(*words: str) -> str:
    """Run a command on a terminal; of a live page that goes on, give what stood there last."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "synccron", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = ""
    while select.select([ours], [], [], 20)[0]:
        try:
            written += os.read(ours, 65536).decode(errors="replace")
        except OSError:  # the command has ended
            break
        if written.count(FRAME) > 2:  # noqa: PLR2004 - the page was drawn anew
            child.send_signal(signal.SIGINT)
    os.close(ours)
    child.wait()
    if FRAME not in written:
        return written.replace("\r", "")
    page = written.replace("\r", "").split(FRAME)[2]
    return "\n".join(line.rstrip() for line in page.split("\x1b[?")[0].splitlines()).rstrip()


if __name__ == "__main__":
    main()
