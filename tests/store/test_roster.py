"""What a node on etcd keeps of all schedules: facts of each, and a bounded part of their texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synccron.clock import SystemClock
from synccron.model.change import pause, register
from synccron.model.job import Admission
from synccron.model.lease import Node
from synccron.model.plan import Due, plan
from synccron.model.schedule import Cursor, Schedule
from synccron.model.time import DAY, MINUTE, SECOND, Instant
from synccron.store import open_store
from synccron.store.base import Look, Where
from synccron.store.etcd import mirror
from synccron.store.etcd.layout import Pair, cursor_text, standing_text
from synccron.store.etcd.roster import Roster, Texts
from synccron.store.etcd.store import EtcdStore
from tests.etcd import Members
from tests.make import NOW, definition, schedule

CLOCK = SystemClock()
OFFERED = frozenset({"run"})
MANY = 150


def standing(mod: int, **fields: Any) -> Pair:
    return Pair(b"sched", standing_text(schedule(**fields)), mod, mod)


def cursor(mod: int, at: Instant, retry_at: Instant | None = None) -> Pair:
    text = cursor_text(Cursor(next=at, decided_until=at - 1, history_from=0, retry_at=retry_at))
    return Pair(b"cursor", text, mod, mod)


def test_a_schedule_is_there_when_both_of_its_keys_are():
    roster = Roster(None)
    roster.move("a", cursor(1, NOW))
    assert "a" not in roster
    assert len(roster) == 0
    roster.stand("a", standing(1))
    assert "a" in roster
    assert list(roster.due()) == [(NOW, "a")]
    roster.move("a", None)
    assert "a" not in roster
    assert list(roster.due()) == []
    roster.stand("a", None)
    assert roster.needs() == frozenset()


def test_who_is_paused_is_not_due_and_who_is_tried_later_is_due_then():
    roster = Roster(None)
    for name, at in (("a", NOW), ("b", NOW + 1), ("c", NOW + 2)):
        roster.stand(name, standing(1))
        roster.move(name, cursor(1, at))
    paused = Pair(b"sched", standing_text(paused_schedule()), 2, 2)
    roster.stand("b", paused)
    roster.move("a", cursor(2, NOW, retry_at=NOW + MINUTE))
    assert list(roster.due()) == [(NOW + 2, "c"), (NOW + MINUTE, "a")]
    assert roster.next("a") == NOW
    assert roster.paused == {"b": None}
    roster.stand("b", standing(3))
    assert [name for _, name in roster.due()] == ["b", "c", "a"]


def paused_schedule() -> Schedule:
    change = pause(Due(schedule=schedule(), intentions=()), NOW, None, None)
    assert change is not None
    assert change.schedule is not None
    return change.schedule


def test_what_needs_a_handler_is_known_as_long_as_anybody_does():
    roster = Roster(0)
    roster.stand("a", standing(1, handler="report"))
    roster.stand("b", standing(1, handler="report"))
    roster.stand("a", standing(2))
    assert roster.needs() == {"run", "report"}
    roster.stand("b", None)
    assert roster.needs() == {"run"}


def test_a_text_of_another_revision_than_the_facts_is_not_taken_for_the_schedule():
    roster = Roster(0)
    roster.stand("a", standing(7))
    assert roster.lacks("sched", "a")
    for mod in (6, 8):
        roster.learn("sched", "a", standing(mod))
        assert roster.lacks("sched", "a")
        assert roster.standing("a") is None
    roster.learn("sched", "a", standing(7))
    found = roster.standing("a")
    assert found is not None
    assert found[1] == 7


def test_of_a_schedule_that_is_not_there_no_text_is_lacking():
    assert not Roster(0).lacks("sched", "a")


def test_texts_that_were_asked_for_last_stay_when_there_is_no_room_for_all():
    texts = Texts(3000)
    for n in range(8):
        texts.put("sched", str(n), Pair(b"", b"x" * 500, n + 1, n + 1))
    assert texts.get("sched", "0", 1) is not None
    texts.trim()
    here = {n for n in range(8) if texts.get("sched", str(n), n + 1) is not None}
    assert here == {0, 6, 7}


@pytest.fixture
def forgetful(
    etcd: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[EtcdStore, EtcdStore]]:
    """A node's handle that has room for the texts of a few schedules, and a command's."""
    monkeypatch.setattr(mirror, "TEXTS", 4000)
    url = etcd.url(f"roster/{tmp_path.name}")
    with (
        open_store(url, create=True, clock=CLOCK, timeout=5000) as command,
        open_store(url, create=True, clock=CLOCK, timeout=5000) as node,
    ):
        assert isinstance(command, EtcdStore)
        assert isinstance(node, EtcdStore)
        yield command, node


def registered(store: EtcdStore, count: int) -> None:
    for n in range(0, count, store.changes_at_once):
        changes = [
            register(None, definition(id=f"s{each:03}"), CLOCK.now() - DAY, "t", "t")
            for each in range(n, min(n + store.changes_at_once, count))
        ]
        assert store.apply([each for each in changes if each is not None])


def record() -> Node:
    return Node(
        id="n1",
        session="n1-1",
        host="h",
        pid=1,
        version="1",
        started_at=0,
        tzdata="t",
        concurrency=MANY,
        offers=OFFERED,
    )


def look() -> Look:
    now = CLOCK.now()
    return Look(now=now, until=now, overdue=0, offered=OFFERED)


@pytest.mark.xdist_group("etcd")
def test_a_node_dispatches_and_claims_many_more_schedules_than_it_keeps_texts_of(forgetful):
    command, node = forgetful
    registered(command, MANY)
    node.watch(lambda: None)
    at = node.join(record(), 60_000)
    term = node.campaign(at, 60_000)
    assert term is not None
    due = node.due(look(), 500)
    assert len(due) == MANY
    plans = [made for each in due if (made := plan(each, CLOCK.now(), term, OFFERED))]
    assert node.dispatch(term, plans) == [True] * MANY
    found = node.waiting(OFFERED, CLOCK.now() + MINUTE, 1000)
    assert {each.job.schedule_id for each in found} == {f"s{n:03}" for n in range(MANY)}
    claims = node.claim(at, [Admission(candidate=each) for each in found], CLOCK.now())
    assert all(claims)
    assert node.cluster.mirror is not None
    with node.cluster.mirror.view() as view:
        names = [f"s{n:03}" for n in range(MANY)]
        view.trim()
        assert len(view.lacking(names, "sched", "cursor")) > MANY


@pytest.mark.xdist_group("etcd")
def test_what_changed_while_its_text_was_not_kept_is_decided_as_it_is_now(forgetful):
    command, node = forgetful
    registered(command, MANY)
    node.watch(lambda: None)
    at = node.join(record(), 60_000)
    term = node.campaign(at, 60_000)
    assert term is not None
    (before,) = command.read(Schedule, Where(ids=["s000"])).items
    old = next(each for each in node.due(look(), 500) if each.schedule.id == "s000")
    change = register(
        old, definition(id="s000", cron="* * * * *", timeout=9 * SECOND), CLOCK.now(), "t", "t"
    )
    assert change is not None
    assert command.apply([change])
    decided = plan(old, CLOCK.now(), term, OFFERED)
    assert decided is not None
    assert node.dispatch(term, [decided]) == [False]
    new = next(each for each in node.due(look(), 500) if each.schedule.id == "s000")
    assert new.schedule.definition.timeout == 9 * SECOND
    assert new.schedule.cursor.next == before.cursor.next
    decided = plan(new, CLOCK.now(), term, OFFERED)
    assert decided is not None
    assert node.dispatch(term, [decided]) == [True]
