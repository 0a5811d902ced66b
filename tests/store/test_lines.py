"""Lines of keys read by their names alone, some at a time: none is cut, missed or told twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.store import open_store
from synccron.store.etcd import draft as drafts
from synccron.store.etcd import lines
from synccron.store.etcd.layout import end_of
from synccron.store.etcd.store import EtcdStore
from tests.etcd import Members

pytestmark = pytest.mark.xdist_group("etcd")

LENGTHS = {"a": 1, "b": 2, "c": 9, "d": 1, "e": 1, "e-1": 4, "f": 5, "~h": 3, "z": 1}


@pytest.fixture
def store(etcd: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EtcdStore]:
    monkeypatch.setattr(lines, "KEYS", 5)
    url = etcd.url(f"lines/{tmp_path.name}")
    with open_store(url, create=True, clock=SystemClock(), timeout=5000) as made:
        assert isinstance(made, EtcdStore)
        draft = made.cluster.draft()
        for line, count in LENGTHS.items():
            for n in range(count):
                draft.put(made.cluster.layout.kept("job", line, f"{n:013d}", f"{line}:{n}"), b"x")
        assert made.cluster.commit(draft).written
        yield made


def test_each_line_is_read_whole_where_as_much_is_read_at_once(store):
    found: dict[str, int] = {}
    begin, more = store.cluster.layout.kept("job", ""), True
    while more:
        some, more = lines.named(store.cluster, "job", begin)
        for line, keys in some:
            found[line] = found.get(line, 0) + len(keys)
            begin = keys[-1] + b"\0"
            assert len(keys) == min(LENGTHS[line], lines.KEYS) or line == "c"
    assert found == LENGTHS


@pytest.mark.parametrize("least", [0, 1, 2, 4])
def test_all_lines_that_are_longer_are_found_and_no_other(store, least):
    found: list[str] = []
    begin = store.cluster.layout.kept("job", "")
    while True:
        passed, line = lines.next_long(store.cluster, begin, least)
        if line is not None:
            found.append(line)
            passed = line
        if passed is None:
            break
        begin = lines.end_of_line(store.cluster, passed)
    longer = (line for line, count in LENGTHS.items() if count > least)
    assert found == sorted(longer, key=lambda line: f"{line}/")


def test_the_size_of_each_line_is_told_once(store):
    assert sorted(count for count, _ in lines.sizes(store.cluster)) == sorted(LENGTHS.values())


def test_many_ranges_are_read_at_once_each_whole_and_all_at_one_revision(store, monkeypatch):
    monkeypatch.setattr(drafts, "PAGE", 2)
    layout = store.cluster.layout
    starts = [layout.kept("job", line, "") for line in LENGTHS]
    wanted = [(start, end_of(start)) for start in starts]
    before = list(drafts.ranges_below(store.cluster.etcd, wanted))
    assert len({pair.key for pair in before}) == len(before) == sum(LENGTHS.values())
    draft = store.cluster.draft()
    draft.put(layout.kept("job", "a", "later", "a:later"), b"x")
    revision = store.cluster.commit(draft).revision
    assert list(drafts.ranges_below(store.cluster.etcd, wanted, revision - 1)) == before
    assert len(list(drafts.ranges_below(store.cluster.etcd, wanted))) == len(before) + 1
