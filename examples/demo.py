"""What `make demo` shows: a node on a SQLite store of its own, real jobs, and how they end.

Everything is done with the commands that you would type. Ends by itself after some seconds, and
leaves nothing behind.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SYNCCRON = Path(sys.executable).with_name("synccron")
PATIENCE = 60.0  # seconds that any one thing may take on a busy machine


class Demo:
    """One store in a folder of its own, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "SYNCCRON_STORE": str(folder / "demo.db"),
            "DEMO_FOLDER": str(folder),
            "PYTHONPATH": str(HERE),
        }

    def show(self, *words: str) -> None:
        """Run a command as a person would, and show both."""
        print(f"\n$ synccron {shlex.join(words)}", flush=True)
        self._run(*words, capture=False)

    def ask(self, *words: str) -> list[dict[str, object]]:
        """Run a command as a script would."""
        answer: list[dict[str, object]] = json.loads(self._run(*words, "--json", capture=True))
        return answer

    def until(self, seen: Callable[[], bool], what: str) -> None:
        """Wait for something to happen."""
        for _ in range(int(PATIENCE * 10)):
            if seen():
                return
            threading.Event().wait(0.1)
        sys.exit(f"the demo waited {PATIENCE:.0f} s in vain for {what}")

    def settled(self, schedule: str, state: str, attempts: int = 1) -> Callable[[], bool]:
        """Whether a job of the schedule has ended so, after at least so many attempts."""
        return lambda: any(
            isinstance(job["attempt"], int) and job["attempt"] >= attempts
            for job in self.ask("jobs", "--schedule", schedule, "--state", state)
        )

    def _run(self, *words: str, capture: bool) -> str:
        done = subprocess.run(
            [SYNCCRON, *words],
            env=self.environment,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        return done.stdout or ""


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory(prefix="synccron-demo-") as folder:
        demo = Demo(Path(folder))
        demo.show("register", "-f", str(HERE / "jobs.yaml"))
        print("\n$ synccron run --pass-env DEMO_FOLDER &   (its log goes to a file)", flush=True)
        with Path(folder, "node.log").open("w") as log:
            node = subprocess.Popen(
                [SYNCCRON, "run", "--pass-env", "DEMO_FOLDER"], env=demo.environment, stderr=log
            )
            try:
                story(demo)
            finally:
                node.send_signal(signal.SIGTERM)
                node.wait(PATIENCE)
        print("\nThe node has drained and stopped. Nothing is left of the demo.")


def story(demo: Demo) -> None:
    """Tell it in the order in which a newcomer would ask."""
    demo.until(lambda: bool(demo.ask("nodes")), "the node")
    say("A job that a key names runs once, however often it is asked for.")
    demo.show("trigger", "backup", "--key", "deploy-42", "--wait")
    demo.show("trigger", "backup", "--key", "deploy-42")
    say("One that fails for good is a dead letter. Mend the cause, then retry it.")
    demo.show("trigger", "sync-mail", "--key", "monday")
    demo.until(lambda: bool(demo.ask("dlq", "ls")), "the dead letter")
    demo.show("dlq", "ls")
    (demo.folder / "mounted").touch()
    demo.show("dlq", "retry", "--all")
    demo.until(demo.settled("sync-mail", "completed"), "the retried dead letter")
    say("Meanwhile the schedules ran: on time, in Python, and at a second attempt.")
    demo.until(demo.settled("heartbeat", "completed"), "a job on time")
    demo.until(demo.settled("report", "completed"), "a Python job")
    demo.until(demo.settled("flaky", "completed", attempts=2), "a retry")
    demo.show("ls")
    demo.show("jobs", "--limit", "15")
    demo.show("logs", "report")
    demo.show("status")


def say(text: str) -> None:
    """Write a line between the commands."""
    print(f"\n# {text}", flush=True)


if __name__ == "__main__":
    main()
