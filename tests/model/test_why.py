"""What is said of a slot follows from the records, and names who decided."""

from dataclasses import replace
from typing import Any

import pytest

from synccron.model.job import DeadLetter, Job, Miss, Reason
from synccron.model.lease import Node
from synccron.model.schedule import Schedule
from synccron.model.time import DAY, MINUTE, SECOND, Duration, Instant
from synccron.model.why import Now, Past, coming, passed
from tests.make import NOW, TERM, at, attempt, definition, job, schedule

SLOT = at("22:01:00")


def node(name: str = "n1", told: Duration = 0, **fields: Any) -> Node:
    values: dict[str, Any] = {
        "id": name,
        "session": name,
        "host": name,
        "pid": 1,
        "version": "1",
        "started_at": NOW,
        "tzdata": "2026f",
        "concurrency": 1,
        "offers": frozenset({"run"}),
        "last_seen_at": NOW + told,
    }
    return Node(**{**values, **fields})


def ahead(made: Schedule | None = None, now: Instant = NOW, **fields: Any) -> tuple[str, str]:
    values: dict[str, Any] = {
        "schedule": made or schedule(),
        "nodes": [node()],
        "term": TERM,
        "active": (),
    }
    answer = coming(Now(**{**values, **fields}), now)
    return answer.verdict, " ".join(answer.text)


def behind(now: Instant = NOW + 10 * MINUTE, **fields: Any) -> tuple[str, str]:
    made = fields.pop("schedule", schedule())
    values: dict[str, Any] = {
        "schedule": replace(made, cursor=replace(made.cursor, next=at("22:09:00"))),
        "slot": SLOT,
        "definition": made.definition,
        "job": None,
        "miss": None,
    }
    answer = passed(Past(**{**values, **fields}), now)
    return answer.verdict, " ".join(answer.text)


def ran(**fields: Any) -> Job:
    values: dict[str, Any] = {
        "state": "completed",
        "revision": 1,
        "attempts": (attempt(started=SLOT),),
        "lateness": 0,
        "finished_at": SLOT + 10,
        "by": "n1",
        "epoch": 7,
    }
    return job(schedule(), SLOT, **{**values, **fields})


def missed(reason: Reason, **fields: Any) -> Miss:
    values: dict[str, Any] = {
        "schedule_id": "job",
        "first": SLOT,
        "last": SLOT,
        "count": 1,
        "reason": reason,
        "recorded_at": SLOT + 5 * MINUTE,
        "by": "n2",
        "epoch": 8,
    }
    return Miss(**{**values, **fields})


def test_a_slot_will_run_where_a_node_leads_and_one_offers_it() -> None:
    verdict, text = ahead()
    assert verdict == "will_run"
    assert text == "It will run: leader n1 (epoch 7) dispatches it, and n1 offers what it needs."


def test_a_pause_names_who_paused_it_since_when_and_why() -> None:
    paused = replace(
        schedule(), paused=True, paused_by="me@here", paused_at=NOW, pause_reason="moving"
    )
    verdict, text = ahead(paused)
    assert verdict == "paused"
    assert "by me@here since 2026-11-23T22:00:00Z: moving" in text


def test_nobody_leads() -> None:
    assert ahead(term=None)[0] == "nobody_leads"
    verdict, text = ahead(schedule(misfire="catch_up_one"), term=None, nodes=[])
    assert (verdict, text) == (
        "nobody_leads",
        "No node runs: when one starts, the newest slot that is due then runs, however old.",
    )


def test_no_live_node_offers_it() -> None:
    verdict, text = ahead(schedule(handler="m:f"), nodes=[node(), node("n2", live=False)])
    assert verdict == "no_node"
    assert "No live node offers handler 'm:f': its dispatch will fail" in text
    loose = schedule(handler="m:f", strict_handlers=False)
    assert "will be a miss (no_handler)" in ahead(loose)[1]
    labelled = schedule(node_labels={"gpu": "a100"})
    assert "No live node offers shell commands 'run' with gpu=a100" in ahead(labelled)[1]


def test_a_dispatch_that_fails_tells_the_error_and_the_next_try() -> None:
    made = schedule()
    failing = replace(made.cursor, failures=2, retry_at=NOW + 4 * SECOND, last_error="no handler")
    verdict, text = ahead(replace(made, cursor=failing))
    assert verdict == "failing"
    assert "failed 2 times in a row; the next try is at 2026-11-23T22:00:04Z" in text
    assert "The last error: no handler." in text


def test_a_slot_that_the_leader_has_not_decided_is_late() -> None:
    assert ahead(now=SLOT + 4 * SECOND)[0] == "will_run"
    verdict, text = ahead(now=SLOT + 9 * SECOND)
    assert (verdict, "due since 9s" in text) == ("late", True)


def test_a_cursor_that_a_wrong_clock_left_in_the_future_points_to_the_way_back() -> None:
    made = schedule()
    verdict, text = ahead(replace(made, cursor=replace(made.cursor, next=NOW + DAY)))
    assert (verdict, "synccron reset-cursor job" in text) == ("stranded", True)


def test_a_job_that_may_be_in_the_way_is_named() -> None:
    running = replace(ran(), state="running")
    verdict, text = ahead(schedule(overlap="skip"), active=[running])
    assert (verdict, f"Job {running.id} is running" in text) == ("busy", True)
    assert ahead(active=[running])[0] == "will_run"


@pytest.mark.parametrize(
    ("overlap", "said"),
    [
        ("skip", "the slot is a miss (overlap)"),
        ("queue", "the slot waits for it, unless another one waits already"),
        ("replace", "it is cancelled, and the slot starts when its attempt has ended"),
    ],
)
def test_what_meets_a_job_under_way_depends_on_overlap(overlap: str, said: str) -> None:
    assert said in ahead(schedule(overlap=overlap), active=[ran(state="running")])[1]


def test_a_clock_that_is_off_the_others_is_told() -> None:
    nodes = [node(), node("n2"), node("n3", -MINUTE)]
    assert "The clock of node n3 is 1m behind the others'" in ahead(nodes=nodes)[1]
    same_host = [replace(each, host="here") for each in nodes]
    assert "clock" not in ahead(nodes=same_host)[1]


def test_a_cron_that_cannot_be_read_is_said_so() -> None:
    made = schedule()
    bad = replace(made, definition=definition(tz="Nowhere/Gone"))
    assert ahead(bad)[0] == "unreadable"


def test_a_job_on_time_names_its_leader_and_its_node() -> None:
    verdict, text = behind(job=ran())
    assert verdict == "completed"
    assert "Leader n1 dispatched it in epoch 7, in time. It started at its instant, on n1." in text


def test_a_job_that_was_written_late_tells_that_the_lead_passed() -> None:
    late = ran(
        created_at=SLOT + MINUTE,
        lateness=MINUTE,
        attempts=(attempt(started=SLOT + MINUTE),),
        by="n2",
        epoch=8,
    )
    before = job(schedule(), NOW, by="n1", epoch=7)
    text = behind(job=late, beside=[before])[1]
    assert "1m late: the lead passed from n1 (epoch 7) to n2 before it" in text
    assert "none led, or it was stopped, or its clock jumped" in behind(job=late)[1]


def test_a_job_that_waited_for_an_earlier_one_names_it() -> None:
    waited = ran(alone=True, lateness=MINUTE, attempts=(attempt(started=SLOT + MINUTE),))
    earlier = job(schedule(), NOW, finished_at=SLOT + MINUTE - 5)
    assert f"It waited for job {earlier.id}" in behind(job=waited, beside=[earlier])[1]
    assert "were full, stopped or away." in behind(job=waited)[1]
    bounded = replace(waited, alone=False, max_running=2)
    assert "or 2 jobs of the schedule ran already (max_running)" in behind(job=bounded)[1]


def test_attempts_that_were_lost_or_failed_are_told_one_by_one() -> None:
    tried = ran(
        state="failed",
        attempts=(
            replace(attempt(1), outcome="lost", node="n2"),
            replace(attempt(2), outcome="given_back"),
            replace(attempt(3), outcome="failed", error="exit status 7"),
        ),
        error="exit status 7",
    )
    letter = DeadLetter(
        id="abc",
        kind="job",
        schedule_id="job",
        slot=SLOT,
        key=None,
        job_id=tried.id,
        message="x",
        attempts=3,
        ts=NOW,
        node="n1",
        epoch=None,
        needs="run",
    )
    text = behind(job=tried, letters=[letter])[1]
    assert "Attempt 1 was lost: n2 died, or lost its claim." in text
    assert "Attempt 2 was given back, as n1 was stopped." in text
    assert "Attempt 3 on n1 failed: exit status 7." in text
    assert "synccron dlq retry abc" in text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("queued", "no node that offers 'run' has had room for it yet"),
        ("cancelled", "It was cancelled before it started"),
    ],
)
def test_a_job_that_has_not_started_says_what_it_waits_for(state: str, said: str) -> None:
    assert said in behind(job=ran(state=state, attempts=()))[1]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("misfire", "Its misfire policy (skip) passed it over: it was decided up to 5m late"),
        ("overlap", "An earlier job of the schedule was still queued, running or waiting"),
        ("paused", "The schedule was paused then."),
        ("changed", "Its cron or time zone was changed"),
        ("unregistered", "The schedule was removed"),
        ("no_handler", "No live node offered shell commands 'run', and strict_handlers is false"),
        ("dispatch_failed", "A strict schedule does when no live node offers shell commands"),
        ("expired", "(start_within): nodes were full, or what it waited for ran on"),
    ],
)
def test_each_reason_of_a_miss_has_its_words_and_its_decider(reason: Reason, said: str) -> None:
    verdict, text = behind(miss=missed(reason))
    assert (verdict, said in text) == ("missed", True)
    assert text.startswith("It did not run.")
    assert "Leader n2 decided so in epoch 8, at 2026-11-23T22:06:00Z." in text


def test_a_miss_of_many_says_so_and_who_gave_the_command() -> None:
    many = missed("paused", last=SLOT + 2 * MINUTE, count=3, by="me@here", epoch=None)
    text = behind(miss=many)[1]
    assert "one of 3 slots from 2026-11-23T22:01:00Z to 2026-11-23T22:03:00Z" in text
    assert "me@here decided so" in text


def test_the_job_that_was_in_the_way_is_named() -> None:
    earlier = replace(ran(finished_at=SLOT + 30 * SECOND), id="earlier", run_at=NOW, slot=NOW)
    ahead_of_it = job(schedule(), SLOT + 2 * MINUTE, created_at=NOW)
    beside = [ahead_of_it, earlier]
    text = behind(miss=missed("overlap", epoch=None), beside=beside)[1]
    assert f"{earlier.id}, which ended at 2026-11-23T22:01:30Z" in text


def test_what_has_no_record_is_told_apart() -> None:
    assert behind(slot=SLOT + 1)[0] == "no_slot"
    assert behind(slot=at("22:09:00"))[0] == "undecided"
    assert behind(slot=at("22:11:00"))[1] == "It has not come yet."
    assert behind(slot=NOW - MINUTE)[0] == "forgotten"
    assert behind()[0] == "unknown"
