"""What doctor makes of values: each trouble is named, with its place and what to do."""

from dataclasses import replace

import pytest

from synccron.model.doctor import (
    MIB,
    NAMED,
    Condition,
    Member,
    Rounds,
    judge_containment,
    judge_letters,
    judge_nodes,
    judge_room,
    judge_store,
)
from synccron.model.lease import Node, Term, Totals
from synccron.model.time import DAY, HOUR, MINUTE, SECOND
from tests.make import NOW, schedule

TERM = Term(node="n1", session="s1", epoch=7, ttl=5000, until=0)
SQLITE = Condition(
    place="/x.db", layout=3, newest=3, latency=4, free=50_000 * MIB, room=100_000 * MIB
)
MEMBERS = tuple(Member(endpoint=f"m{n}:2379", version="3.5.9", size=MIB) for n in range(3))
ETCD = Condition(place="etcd://m", layout=1, newest=1, latency=4, members=MEMBERS, quota=2048 * MIB)


def node(name: str = "n1", **fields) -> Node:
    given = {
        "session": name,
        "host": name,
        "pid": 1,
        "version": "1.0",
        "started_at": NOW,
        "tzdata": "2026f",
        "concurrency": 16,
        "offers": frozenset({"run"}),
        "skew": 0,
        **fields,
    }
    return Node(id=name, **given)


def worst(findings) -> set[tuple[str, str]]:
    assert all(one.hint for one in findings if one.level != "ok"), "each says what to do"
    return {(one.level, one.check) for one in findings if one.level != "ok"}


def test_a_sound_store_has_nothing_but_ok():
    assert worst(judge_store(SQLITE)) == set()
    assert worst(judge_store(ETCD)) == set()


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (replace(SQLITE, damage=("row 5 missing",)), ("problem", "integrity")),
        (replace(SQLITE, layout=2), ("warning", "layout")),
        (replace(SQLITE, latency=None), ("warning", "latency")),
        (replace(SQLITE, latency=600), ("warning", "latency")),
        (replace(SQLITE, latency=2000), ("problem", "latency")),
        (replace(SQLITE, free=50 * MIB), ("problem", "disk")),
        (replace(SQLITE, free=500 * MIB), ("warning", "disk")),
        (replace(ETCD, alarms=("NOSPACE at member 1",)), ("problem", "alarms")),
        (replace(ETCD, compacts=False), ("warning", "compaction")),
        (replace(ETCD, plain=True), ("warning", "tls")),
        (replace(ETCD, members=MEMBERS[:1]), ("warning", "members")),
        (
            replace(ETCD, members=(*MEMBERS[:2], replace(MEMBERS[2], error="refused"))),
            ("problem", "members"),
        ),
        (
            replace(ETCD, members=(*MEMBERS[:2], replace(MEMBERS[2], version="3.6"))),
            ("warning", "members"),
        ),
        (
            replace(ETCD, members=(*MEMBERS[:2], replace(MEMBERS[2], size=1990 * MIB))),
            ("problem", "quota"),
        ),
        (
            replace(ETCD, members=(*MEMBERS[:2], replace(MEMBERS[2], size=1600 * MIB))),
            ("warning", "quota"),
        ),
    ],
)
def test_each_trouble_of_a_store_is_named(condition, found):
    assert worst(judge_store(condition)) == {found}


def test_a_quota_that_etcd_does_not_tell_is_taken_to_be_the_usual_one():
    big = replace(MEMBERS[0], size=1990 * MIB)
    condition = replace(ETCD, quota=None, members=(big, *MEMBERS[1:]))
    assert worst(judge_store(condition)) == {("problem", "quota")}


def test_a_small_disk_with_much_room_is_well():
    assert worst(judge_room("disk", "/", 2000 * MIB, 100_000 * MIB)) == set()


def test_nodes_that_agree_are_well():
    assert worst(judge_nodes([node(), node("n2")], TERM, Totals(), "2026f")) == set()


@pytest.mark.parametrize(
    ("nodes", "term", "totals", "found"),
    [
        ([], None, Totals(), ("problem", "nodes")),
        ([node(live=False)], TERM, Totals(), ("problem", "nodes")),
        ([node()], None, Totals(), ("problem", "leader")),
        ([node("n2")], TERM, Totals(), ("problem", "leader")),
        ([node(), node("n2", version="2.0")], TERM, Totals(), ("warning", "versions")),
        ([node(), node("n2", tzdata="2020a")], TERM, Totals(), ("problem", "tzdata")),
        ([node(tzdata="2020a")], TERM, Totals(), ("problem", "tzdata")),
        ([node(running=16)], TERM, Totals(queued=3), ("warning", "places")),
        ([node(), node("n2", skew=3000)], TERM, Totals(), ("warning", "clock")),
        ([node(), node("n2", skew=-MINUTE)], TERM, Totals(), ("problem", "clock")),
    ],
)
def test_each_trouble_of_nodes_is_named(nodes, term, totals, found):
    assert worst(judge_nodes(nodes, term, totals, "2026f")) == {found}


def test_the_clock_that_is_off_is_told_from_those_that_see_it():
    off = [node(f"n{n}", skew=MINUTE) for n in range(3)]  # all but the reader agree
    (one,) = [each for each in judge_nodes(off, None, Totals(), "2026f") if each.check == "clock"]
    assert (one.level, one.where) == ("problem", "this host")


def looked(*schedules, nodes=(), now=NOW):
    rounds = Rounds(nodes, now)
    rounds.look(schedules)
    return rounds.findings()


def at(each, **cursor):
    return replace(each, cursor=replace(each.cursor, **cursor))


def test_schedules_on_time_are_well():
    assert worst(looked(schedule(), nodes=[node()])) == set()


def test_an_overdue_slot_is_told_with_its_age():
    late = at(schedule(), next=NOW - 3 * HOUR)
    findings = looked(late, schedule(id="other"), nodes=[node()])
    (one,) = [each for each in findings if each.level == "problem"]
    assert "3h past: job" in one.message
    assert worst(looked(at(schedule(), next=NOW - 4 * SECOND))) == set()


def test_a_cursor_that_a_wrong_clock_left_in_the_future_points_to_reset_cursor():
    stranded = at(schedule(), next=NOW + 400 * DAY)
    (one,) = [each for each in looked(stranded) if each.level == "problem"]
    assert one.hint == "synccron reset-cursor job, once the clock is right"


def test_a_handler_that_nobody_offers_is_a_problem_where_it_is_asked_for_and_else_a_warning():
    strict = schedule(handler="a:b")
    silent = schedule(handler="a:b", strict_handlers=False)
    assert worst(looked(strict, nodes=[node()])) == {("problem", "handlers")}
    assert worst(looked(silent, nodes=[node()])) == {("warning", "handlers")}
    assert worst(looked(replace(strict, paused=True), nodes=[node()])) == set()
    assert worst(looked(strict, nodes=[node(offers=frozenset())])) == set()  # nobody works
    assert worst(looked(strict, nodes=[node(offers=frozenset({"a:b"}))])) == set()


def test_many_of_a_kind_are_one_finding_that_names_a_few():
    many = [at(schedule(id=f"s{n}"), next=NOW - HOUR) for n in range(1000)]
    (one,) = [each for each in looked(*many) if each.level == "problem"]
    assert one.message.endswith(f"and {1000 - NAMED} more")


def test_attempts_that_only_adoption_holds_together_are_a_warning():
    assert worst(judge_containment("cgroup", "a group each")) == set()
    assert worst(judge_containment("subreaper", "adopted")) == {("warning", "containment")}


def test_dead_letters_are_a_warning():
    assert worst(judge_letters(Totals())) == set()
    assert worst(judge_letters(Totals(dead_letters=3))) == {("warning", "dlq")}
