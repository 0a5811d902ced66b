"""What people are told of a schedule, and in which order."""

import json
from dataclasses import replace
from typing import Any

import pytest

from synccron.model.job import Claim, Ending, Miss, Notice, Outcome, Reason, Settlement
from synccron.model.notify import MOST_WAITING, TRIES, again_after, next_round, of_misses
from synccron.model.permit import Offer
from synccron.model.plan import Plan, plan
from synccron.model.schedule import Notify, Retry
from synccron.model.settle import settle
from synccron.model.time import HOUR, MINUTE, SECOND
from tests.make import NOW, OFFERED, TERM, candidate, claim, definition, due, job, schedule

PAGER = Notify(command=("page", "me"))
CHAT = Notify(on=("failure", "recovery"), webhook="https://chat.example/x")


def told(*notify: Notify, **fields: Any) -> Claim:
    """A claim on a job of a schedule that tells these."""
    made = schedule(notify=notify, **fields)
    return claim(made, job(made, revision=1))


def end(of: Claim, ending: Ending = "failed", **fields: Any) -> Settlement:
    return settle(of, Outcome(ending=ending, **fields), NOW, 0.5)


def body(notice: Notice) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(notice.body)
    return read


def test_a_failure_is_told_to_each_who_asks_for_failures_if_it_is_a_change() -> None:
    settled = end(told(PAGER, CHAT), exit_code=3, error="exit status 3")
    assert settled.failing is True
    assert [(each.on, each.to) for each in settled.changed] == [
        ("failure", PAGER),
        ("failure", CHAT),
    ]
    said = body(settled.changed[0])
    assert (said["event"], said["schedule_id"], said["state"]) == ("failure", "job", "failed")
    assert (said["exit_code"], said["error"], said["node"]) == (3, "exit status 3", "n1")
    assert said["text"] == "job failed: exit status 3"
    assert said["dead_letter"] is None


def test_that_it_was_given_up_is_told_in_any_case() -> None:
    settled = end(told(PAGER, CHAT), error="boom")
    (notice,) = settled.notices
    assert settled.dead is not None
    assert (notice.on, notice.to) == ("dead_letter", PAGER)
    assert body(notice)["dead_letter"] == settled.dead.id


def test_a_success_is_told_as_a_recovery_if_it_is_a_change() -> None:
    settled = end(told(CHAT), "completed")
    assert (settled.failing, settled.notices) == (False, ())
    assert [each.on for each in settled.changed] == ["recovery"]


@pytest.mark.parametrize("ending", ["cancelled", "given_back", "lost"])
def test_what_is_no_end_of_its_own_changes_nothing(ending: Ending) -> None:
    settled = end(told(PAGER), ending)
    assert (settled.failing, settled.changed, settled.notices) == (None, (), ())


def test_a_failure_that_is_tried_again_is_not_told_yet() -> None:
    settled = end(told(PAGER, retry=Retry(max_attempts=2)))
    assert (settled.job.state, settled.failing, settled.changed) == ("scheduled", None, ())


def test_nothing_is_noted_of_schedules_that_tell_nobody() -> None:
    settled = end(told())
    assert (settled.failing, settled.changed, settled.notices) == (None, (), ())


def test_a_long_error_is_told_by_its_end() -> None:
    (notice, *_) = end(told(PAGER), error="x" * 3000 + "boom").changed
    assert len(body(notice)["error"]) == 1000
    assert body(notice)["error"].endswith("boom")


def test_each_notice_has_an_id_that_is_the_same_however_often_it_is_decided() -> None:
    held = told(PAGER, CHAT)
    first, again = end(held), end(held)
    ids = [each.id for each in (*first.changed, *first.notices)]
    assert ids == [each.id for each in (*again.changed, *again.notices)]
    assert len(set(ids)) == len(ids)


def misses(*spans: tuple[Reason, int, int]) -> list[Miss]:
    return [
        Miss(
            schedule_id="job",
            first=NOW + first * MINUTE,
            last=NOW + last * MINUTE,
            count=last - first + 1,
            reason=reason,
            recorded_at=NOW,
        )
        for reason, first, last in spans
    ]


def test_misses_of_one_reason_are_one_notice_that_opens_with_the_first_slot() -> None:
    made = definition(notify=(PAGER,))
    passed = misses(("misfire", 3, 4), ("misfire", 0, 1), ("overlap", 6, 6))
    notices = of_misses(made, passed, NOW)
    assert [(each.on, each.opens) for each in notices] == [
        ("missed", NOW),
        ("missed", NOW + 6 * MINUTE),
    ]
    said = body(notices[0])
    assert (said["reason"], said["count"], said["last"]) == ("misfire", 4, "2026-11-23T22:04:00Z")


@pytest.mark.parametrize("reason", ["paused", "changed", "unregistered"])
def test_slots_that_were_passed_over_on_purpose_are_not_told(reason: Reason) -> None:
    assert of_misses(definition(notify=(PAGER,)), misses((reason, 0, 5)), NOW) == ()


def decided(*, ago: int, offered: frozenset[str] = OFFERED, **fields: Any) -> Plan:
    read = due(schedule(notify=(PAGER, CHAT), **fields), cursor=NOW - ago)
    made = plan(read, NOW, TERM, offered)
    assert made is not None
    return made


def test_a_dispatch_tells_of_the_misses_that_it_records() -> None:
    made = decided(ago=HOUR)
    assert made.misses
    assert [(each.on, each.opens) for each in made.notices] == [("missed", NOW - HOUR)]


def test_a_dispatch_that_gives_up_tells_of_it_once_for_all_its_slots() -> None:
    made = decided(ago=HOUR, offered=frozenset(), misfire="catch_up_all", max_dispatch_failures=1)
    assert len(made.dead) > 1
    assert [each.on for each in made.notices] == ["missed", "dead_letter"]
    assert body(made.notices[1])["count"] == len(made.dead)


def test_a_dispatch_of_a_schedule_that_tells_nobody_has_no_notices() -> None:
    made = plan(due(cursor=NOW - HOUR), NOW, TERM, OFFERED)
    assert made is not None
    assert (bool(made.misses), made.notices) == (True, ())


def test_a_slot_that_meets_another_job_is_told_by_who_judges_it() -> None:
    from synccron.model.admit import Place, admit

    of = schedule(overlap="skip", notify=(PAGER,))
    busy = replace(job(of), id="job:before", state="running", revision=1)
    read = candidate(of, job(of), active=(busy,))
    place = Place(node="n1", full=False, others=False, lease=5 * SECOND)
    admission = admit(read, NOW, place)
    assert admission is not None
    assert admission.miss is not None
    assert [(each.on, each.opens) for each in admission.notices] == [("missed", NOW)]


def notice(name: str, *, to: Notify = PAGER, at: int = 0, session: str | None = None) -> Notice:
    return Notice(
        id=name,
        schedule_id="job",
        on="failure",
        at=NOW + at,
        body="{}",
        to=to,
        session=session,
    )


def chosen(*notices: Notice, **fields: Any) -> dict[str, list[str]]:
    defaults: dict[str, Any] = {
        "session": "me",
        "live": frozenset({"me", "other"}),
        "offer": Offer(frozenset({"run"})),
        "room": 10,
    }
    found = next_round(notices, **{**defaults, **fields})
    return {
        name: [each.id for each in getattr(found, name)]
        for name in ("take", "mine", "lost", "dropped")
        if getattr(found, name)
    }


def test_notices_for_one_are_told_in_their_order_one_at_a_time() -> None:
    first, second, other = notice("b"), notice("a", at=1), notice("c", to=CHAT, at=2)
    assert chosen(second, other, first) == {"take": ["b", "c"]}
    taken = replace(first, session="other")
    assert chosen(second, other, taken) == {"take": ["c"]}


def test_a_notice_that_was_taken_is_told_by_nobody_else() -> None:
    assert chosen(notice("a", session="other")) == {}
    assert chosen(notice("a", session="me")) == {"mine": ["a"]}


def test_a_notice_whose_node_died_is_lost_and_never_told_by_another() -> None:
    assert chosen(notice("a", session="dead"), notice("b", at=1)) == {"lost": ["a"]}


def test_commands_are_told_where_commands_run_and_webhooks_anywhere() -> None:
    waiting = (notice("a"), notice("b", to=CHAT))
    assert chosen(*waiting, offer=Offer(frozenset())) == {"take": ["b"]}


def test_a_command_is_told_by_a_node_that_permits_it() -> None:
    mail = notice("a", to=Notify(command=("/usr/bin/mail", "root")))
    shell = frozenset({"run"})
    assert chosen(mail, offer=Offer(shell, ("/usr/bin/mail *",))) == {"take": ["a"]}
    assert chosen(mail, offer=Offer(shell, ("/usr/bin/backup *",))) == {}


def test_no_more_are_taken_than_there_is_room_for() -> None:
    waiting = [notice(name, to=Notify(command=name)) for name in "abc"]
    assert chosen(*waiting, room=2) == {"take": ["a", "b"]}
    assert chosen(*waiting, room=0) == {}


def test_of_too_many_that_wait_the_oldest_are_dropped() -> None:
    waiting = [notice(f"{n:03}", at=n) for n in range(MOST_WAITING + 2)]
    assert chosen(*waiting) == {"dropped": ["000", "001"], "take": ["002"]}


def test_a_try_that_failed_is_followed_by_others_further_and_further_apart() -> None:
    waits = [again_after(tries) for tries in range(1, TRIES + 1)]
    assert waits == [1000, 2000, 4000, 8000, 16000, None]
