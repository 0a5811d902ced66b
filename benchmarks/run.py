"""Measure synccron against raw limits in the same run, and write docs/performance.md.

`make bench` runs it whole, `make bench BENCH=short` in some minutes. Each module gives a section
(`TITLE`, `section(amount)`); every figure stands beside what plain code on the same machine does at
that time: absolute numbers of a shared machine mean little, ratios hold.
"""

import argparse
import importlib
import os
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Amount

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SECTIONS = (
    "newcomer",
    "start",
    "rates",
    "handlers",
    "starts",
    "lateness",
    "failover",
    "growth",
    "cluster",
    "sharding",
)


def main() -> None:
    """Measure all, or the sections that are named, which take their place on the page."""
    # Users' Python keeps what it compiled; without, every start would compile it again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    wanted = parser.parse_args().sections or SECTIONS
    amount = Amount(short=os.environ.get("BENCH") == "short")
    measured: dict[str, str] = {}
    for name in wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        start = time.monotonic()
        measured[module.TITLE] = f"{module.section(amount).strip()}\n\n{written(amount)}\n"
        print(f"## {module.TITLE}\n\n{measured[module.TITLE]}", flush=True)
        print(f"({time.monotonic() - start:.0f} s)\n", flush=True)
    PAGE.write_text(page(measured))


def page(measured: dict[str, str]) -> str:
    """Put the page together: what was measured now, and what it has of the other sections."""
    before = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        before[title] = text.strip() + "\n"
    titles = [importlib.import_module(f"benchmarks.{name}").TITLE for name in SECTIONS]
    found = {title: measured.get(title, before.get(title)) for title in titles}
    parts = [f"## {title}\n\n{text}" for title, text in found.items() if text is not None]
    return "\n".join([HEAD, *parts, SLOW])


def written(amount: Amount) -> str:
    how = "a short run" if amount.short else "a whole run"
    return (
        f"*{how}, {datetime.now(UTC):%Y-%m-%d}; Python "
        f"{sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores that "
        f"had {os.getloadavg()[2]:.0f} others to serve*"
    )


HEAD = """# Performance

Written by `make bench`; `make bench SECTIONS=growth` measures one section anew.
The machine is shared: trust ratios more than numbers. Every write is durable (`synchronous=FULL`; etcd has its
data in memory, but for its own log). Each figure is the median of its rounds, with what
it is compared to measured in turn with it.
"""
SLOW = """## What was slow, and what was done

- `ls` took 17 times a bare Python. Half was importing typer and declaring options, a third making forty
  dataclasses and importing what decides and writes. A plain `ls` is read without typer, and has a query of its
  own: five times.
- A slot cost the leader on SQLite 190 µs. A third was reading the expression anew for each schedule (it was
  cached by the schedule's id, for `H`), a sixth checking text that is text, a quarter single statements. What is
  made of an expression is shared, the plans of a turn are some statements of many rows: 100 µs.
- Expanding a new expression took 0.5 ms in croniter. Its fields are expanded and kept one by one: schedules
  have few that differ.
- A schedule file was composed as a tree: gigabytes for a million schedules. It is read as a stream of events.
- Half of registering a long file was listing which days of 28 kinds of months match, for each expression anew: of
  many expressions few have other days than the next. Twice as fast: 0.2 ms a schedule.
- A command on etcd read the whole namespace for each page of 500 schedules, and `ls` asked twice a schedule.
- What one request to etcd may hold was counted anew for each draft: a turn of the leader took eight times as long
  as the writing. It is counted as drafts are added.
- A node on etcd loaded a hundred thousand schedules in 17 s, in answers of a thousand keys: etcd counts all keys
  that are left for each. Larger answers take 5 s; asking for the next while one is taken in, 3 s.
- With them it took 170 MB more than with none, all text. It keeps the facts that it needs of all, and few texts; and
  it reads a megabyte at a time, as what gRPC takes for an answer is not given back: 60 MB.
- The leader on etcd went through all schedules each second, to find pauses that had ended: 4% of a core. Retention
  read each revision and its schedule, and asked three times for each line of jobs: 40% of a core with a hundred
  thousand. It reads names of keys, thousands at a time, and looks at what has more than is kept: 0.6%.
- Retention on etcd asked for the waiting jobs of each schedule whose misses it looked at, and a change of twenty
  schedules for those of each: one request a schedule. A hundred and twenty are one request.
- A trigger on etcd read all that waited of its schedule, for an instant that it did not need: ten thousand in a row
  took the client 34 ms each. It reads the schedule.
- A lease of etcd was renewed over a stream of its own each time, for which gRPC starts two threads: half of what a
  node at rest did. It is a plain call.
- A hundred Python handlers of one instant ran in a hundred children, of which 32 were kept: the others were
  forked and imported anew each second, and the last first line came 280 ms late. As many children wait as were
  at work at once: 55 ms; of a thousand handlers a second half began 5 s late, and now 0.3 s.
- Settling what had ended took turns with beginning what was due, and the claims of one instant came in four
  pieces: the first are claimed at once, all others in one piece, and the ends are settled after that.
- A write to a job set all of its columns, so that SQLite renewed all of its indexes; a settlement made two
  records of which one was written. A job costs the node a quarter less.
- A node whose jobs are short read a long queue anew for every few of them, which costs by its length: with 50,000
  waiting, half of the time. What is read for the places that become free next is begun from memory, for 25 ms or a
  fifth of the time that reading takes: half as many jobs again each second.
- A dispatch on etcd was copied at each level of its message, and each record sorted by the names of its fields
  when it was written: it is filled where it lies, and its fields are kept in that order. An eighth of the time.
- A warm child listed threads, asked for sixty signal handlers and read its memory after each attempt: one read
  of `/proc/self/stat` tells it. An attempt costs the child a third less.
"""

if __name__ == "__main__":
    main()
