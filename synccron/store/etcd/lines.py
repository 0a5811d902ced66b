"""The lines of a kind of key, told by the names of the keys alone: many at once, as most are short.

It reads; what is to be done with a line is `prune.py`'s.
"""

from collections.abc import Iterator
from itertools import groupby

from synccron.store.etcd.cluster import Cluster
from synccron.store.etcd.draft import ranges
from synccron.store.etcd.layout import end_of, last_part

KEYS = 5000  # names that are read at once


def named(cluster: Cluster, kind: str, begin: bytes) -> tuple[list[tuple[str, list[bytes]]], bool]:
    """Read the next keys of a kind, those of each line together; and whether there are more.

    All of a line come together, but where one has more than are read at once.
    """
    start = cluster.layout.kept(kind, "")
    answer = cluster.etcd.range(begin, end_of(start), limit=KEYS, keys_only=True)

    def line_in(key: bytes) -> str:
        return key[len(start) :].split(b"/", 1)[0].decode()

    found = [(line, list(keys)) for line, keys in groupby((kv.key for kv in answer.kvs), line_in)]
    if answer.more and len(found) > 1:
        found.pop()  # the rest of it comes with the next
    return found, answer.more


def next_long(cluster: Cluster, begin: bytes, least: int) -> tuple[str | None, str | None]:
    """Find the next line that has more than so many jobs, and the one that was passed before it.

    Without such a line among those looked at: where to go on from, or None at the end.
    """
    found, more = named(cluster, "job", begin)
    passed: str | None = None
    for line, keys in found:
        if len(keys) > least:
            return passed, line
        passed = line
    return (passed if more else None), None


def sizes(cluster: Cluster) -> Iterator[tuple[int, int]]:
    """Give of each line how many jobs it has, and how many bytes its newest one takes."""
    layout = cluster.layout
    begin = layout.kept("job", "")
    more = True
    while more:
        found, more = named(cluster, "job", begin)
        newest = [keys[0] for _, keys in found]
        jobs, _ = ranges(cluster.etcd, newest)
        outputs, _ = ranges(cluster.etcd, [layout.hung("out", last_part(key)) for key in newest])
        for (line, keys), job, output in zip(found, jobs, outputs, strict=True):
            count = len(keys)
            if more and len(found) == 1:
                below = layout.kept("job", line, "")
                count = cluster.etcd.range(below, end_of(below), count_only=True).count
            begin = end_of_line(cluster, line)
            if job is not None:
                kept = 0 if output is None else len(output.value)
                yield count, 2 * len(job.key) + len(job.value) + kept


def end_of_line(cluster: Cluster, line: str) -> bytes:
    """Name the end of a line: it comes after all of `line/`."""
    return cluster.layout.kept("job", line) + b"0"
