"""What people see, to the letter: in a pipe, and on a terminal without colour."""
# ruff: noqa: E501 - a table's line is compared as a line

from dataclasses import replace
from datetime import timedelta

from synccron.cli import render, table
from synccron.cli.paper import Paper
from synccron.client import DeadLetter, Job, Miss, Node, Revision, Schedule, Status
from synccron.model.time import HOUR, MINUTE, parse_instant, to_datetime, to_instant
from synccron.store.listing import Listed

NOW = parse_instant("2026-11-23T22:00:00Z")
MOMENT = to_datetime(NOW)
PIPE = Paper(now=NOW)
SCREEN = Paper(now=NOW, width=100)

DONE = Job(
    id="backup:20261123T013000Z",
    schedule_id="backup",
    kind="slot",
    state="completed",
    slot=MOMENT - timedelta(hours=20, minutes=30),
    attempt=1,
    node="web-1",
    fence=9,
    run_at=MOMENT - timedelta(hours=20, minutes=30),
    created_at=MOMENT - timedelta(hours=20, minutes=30),
    started_at=MOMENT - timedelta(hours=20, minutes=30),
    finished_at=MOMENT - timedelta(hours=20),
    lateness=timedelta(milliseconds=4),
    duration=timedelta(minutes=30),
    exit_code=0,
)
LOST = replace(
    DONE,
    id="manual:billing:deploy-42",
    kind="manual",
    schedule_id="billing",
    state="failed",
    attempt=3,
    max_attempts=3,
    run_at=MOMENT - timedelta(minutes=5),
    finished_at=MOMENT - timedelta(minutes=4),
    duration=timedelta(milliseconds=250),
    exit_code=7,
    error="exit status 7",
)


def listed(**given):
    plain = {"tz": "UTC", "run": None, "handler": None, "misfire": "skip", "overlap": "allow"}
    state = {
        "labels": {},
        "strict_handlers": True,
        "paused": False,
        "failures": 0,
        "running": False,
    }
    needs = given.get("handler") or "run"
    return Listed(**{**plain, **state, "needs": needs, **given})


ROWS = [
    (
        listed(
            id="backup",
            cron="30 2 * * *",
            tz="Europe/Berlin",
            run=["/usr/local/bin/backup", "--all"],
            next_run_at=to_instant(MOMENT + timedelta(hours=3, minutes=30)),
            last_state="completed",
            last_finished_at=NOW - 20 * HOUR,
            past=("completed", "failed", "timed_out", "completed"),
        ),
        "ok",
    ),
    (
        listed(
            id="billing",
            cron="@every 90s",
            handler="billing",
            labels={"team": "money"},
            next_run_at=to_instant(MOMENT + timedelta(seconds=80)),
            last_state="failed",
            last_finished_at=NOW - 4 * MINUTE,
        ),
        "failing",
    ),
]


def text(lines):
    return "\n".join(lines)


def test_schedules_in_a_pipe():
    assert text(table.schedules(PIPE, ROWS, wide=False)) == (
        "ID       WHEN        TZ             NEXT                  LAST                            STATE\n"
        "backup   30 2 * * *  Europe/Berlin  2026-11-24T01:30:00Z  completed 2026-11-23T02:00:00Z  ok\n"
        "billing  @every 90s  UTC            2026-11-23T22:01:20Z  failed 2026-11-23T21:56:00Z     failing"
    )


def test_schedules_on_a_terminal():
    assert text(table.schedules(SCREEN._replace(width=99), ROWS, wide=False)) == (
        "ID       WHEN        TZ             NEXT   LAST               STATE\n"
        "backup   30 2 * * *  Europe/Berlin  in 4h  completed 20h ago  ok\n"
        "billing  @every 90s  UTC            in 1m  failed 4m ago      failing"
    )


def test_a_terminal_with_room_shows_how_the_last_jobs_ended_the_newest_last():
    assert text(table.schedules(SCREEN, ROWS, wide=False)) == (
        "ID       WHEN        TZ             NEXT   LAST               PAST  STATE\n"
        "backup   30 2 * * *  Europe/Berlin  in 4h  completed 20h ago  .TF.  ok\n"
        "billing  @every 90s  UTC            in 1m  failed 4m ago      -     failing"
    )
    coloured = SCREEN._replace(coloured=True)
    assert "\x1b[32m.\x1b[0m\x1b[31mT\x1b[0m" in text(table.schedules(coloured, ROWS, wide=False))


def test_wide_schedules_say_when_in_words_and_what_runs():
    (_, backup, billing) = table.schedules(PIPE, ROWS, wide=True)
    assert backup.startswith("backup   at 02:30 every day  Europe/Berlin")
    assert backup.endswith("skip     allow    -           /usr/local/bin/backup --all")
    assert billing.endswith("skip     allow    team=money  handler billing")


def test_jobs_in_a_pipe():
    assert text(render.job_table(PIPE, [DONE, LOST])) == (
        "JOB                       STATE      AT                    TOOK   TRY  NODE   ERROR\n"
        "backup:20261123T013000Z   completed  2026-11-23T01:30:00Z  30m    1    web-1  -\n"
        "manual:billing:deploy-42  failed     2026-11-23T21:55:00Z  250ms  3/3  web-1  exit status 7"
    )


def test_jobs_on_a_terminal():
    assert text(render.job_table(SCREEN, [DONE, LOST])) == (
        "JOB                       STATE      AT       TOOK   TRY  NODE   ERROR\n"
        "backup:20261123T013000Z   completed  20h ago  30m    1    web-1  -\n"
        "manual:billing:deploy-42  failed     5m ago   250ms  3/3  web-1  exit status 7"
    )


def test_a_schedule_whole():
    schedule = Schedule(
        id="backup",
        cron="30 2 * * *",
        tz="Europe/Berlin",
        run=["/usr/local/bin/backup", "--all"],
        next_run_at=MOMENT + timedelta(hours=3, minutes=30),
        misfire="catch_up_one",
        timeout=timedelta(hours=2),
        overlap="skip",
        paused=True,
        pause_reason="moving\x1b house",
        history_from=MOMENT,
        consecutive_failures=2,
        last_error="nobody offers it",
    )
    assert text(render.schedule_whole(PIPE, schedule, "paused", [], [], [])) == (
        "backup  paused\n"
        "  when               30 2 * * *  (at 02:30 every day; Europe/Berlin)\n"
        "  runs               /usr/local/bin/backup --all\n"
        "  misfire            catch_up_one, grace 1m\n"
        "  overlap            skip\n"
        "  timeout            2h, then 10s to end\n"
        "  on lost            rerun\n"
        "  next               paused: moving\\x1b house\n"
        "  failed dispatches  2 in a row\n"
        "  last error         nobody offers it\n"
        "  history from       2026-11-23T22:00:00Z"
    )


def test_a_schedule_tells_who_passed_its_slots_over_and_who_changed_what():
    missed = Miss(
        first=MOMENT - timedelta(hours=2),
        last=MOMENT - timedelta(hours=1),
        count=2,
        reason="misfire",
        recorded_at=MOMENT,
        by="web-1",
        epoch=7,
    )
    by_hand = replace(missed, reason="paused", count=1, by="me@here", epoch=None)
    changes = [
        Revision(version=4, at=MOMENT, by="me@here", changed=()),
        Revision(version=3, at=MOMENT, by="me@here", changed=("cron", "timeout")),
        Revision(version=2, at=MOMENT, by="you@there"),
        Revision(version=1, at=MOMENT, by="you@there"),
    ]
    schedule = Schedule(
        id="x",
        cron="@daily",
        run="x",
        paused=True,
        paused_by="me@here",
        paused_at=MOMENT,
        pause_reason="moving",
    )
    told = text(render.schedule_whole(PIPE, schedule, "paused", [], [missed, by_hand], changes))
    assert "  next               paused by me@here since 2026-11-23T22:00:00Z: moving\n" in told
    assert told.partition("\nmisses\n")[2] == (
        "FIRST                 TO                    COUNT  REASON   DECIDED BY\n"
        "2026-11-23T20:00:00Z  2026-11-23T21:00:00Z  2      misfire  web-1, epoch 7\n"
        "2026-11-23T20:00:00Z  2026-11-23T21:00:00Z  1      paused   me@here\n"
        "\n"
        "revisions\n"
        "VERSION  AT                    BY         CHANGED\n"
        "4        2026-11-23T22:00:00Z  me@here    its cursor, reset\n"
        "3        2026-11-23T22:00:00Z  me@here    cron, timeout\n"
        "2        2026-11-23T22:00:00Z  you@there  -\n"
        "1        2026-11-23T22:00:00Z  you@there  registered"
    )


def test_a_terminal_shows_the_newest_misses_and_how_many_are_before_them():
    missed = Miss(first=MOMENT, last=MOMENT, count=1, reason="misfire", recorded_at=MOMENT)
    schedule = Schedule(id="x", cron="@daily", run="x")
    told = text(render.schedule_whole(SCREEN, schedule, "ok", [], [missed] * 40, []))
    assert (told.count("misfire "), told.splitlines()[-1]) == (16, "and 25 before them")


def test_a_job_whole():
    assert text(render.job_whole(PIPE, DONE, truncated=True, has_output=True)) == (
        "backup:20261123T013000Z  completed\n"
        "  kind               slot\n"
        "  schedule           backup\n"
        "  slot               2026-11-23T01:30:00Z\n"
        "  created            2026-11-23T01:30:00Z\n"
        "  to run             2026-11-23T01:30:00Z\n"
        "  started            2026-11-23T01:30:00Z, 4ms late\n"
        "  finished           2026-11-23T02:00:00Z, took 30m\n"
        "  node               web-1, fence 9\n"
        "  exit code          0\n"
        "\n"
        "output, its end"
    )


def test_dead_letters():
    dead = DeadLetter(
        id="a1b2c3d4e5f6",
        kind="dispatch",
        schedule_id="billing",
        slot=MOMENT,
        key=None,
        job_id=None,
        message="no live node offers 'billing'\nfake",
        attempts=5,
        ts=MOMENT,
        node="web-1",
        epoch=3,
    )
    assert text(render.dead_table(PIPE, [dead])) == (
        "ID            KIND      SCHEDULE  SLOT OR KEY           WHEN                  TRIES  MESSAGE\n"
        "a1b2c3d4e5f6  dispatch  billing   2026-11-23T22:00:00Z  2026-11-23T22:00:00Z  5      "
        "no live node offers 'billing'\\nfake"
    )
    assert "its dispatch failed" in text(render.dead_whole(PIPE, dead))


def test_nodes_and_status():
    node = Node(
        id="web-1",
        session="s",
        host="web",
        pid=42,
        version="0.1.0",
        leader=True,
        epoch=3,
        handlers=("billing", "run"),
        allow_run=None,
        labels={},
        concurrency=16,
        running=2,
        started_at=MOMENT - timedelta(days=3),
        last_seen_at=MOMENT,
    )
    (_, line) = render.node_table(SCREEN, [node])
    assert line == "web-1  leader, epoch 3  web   42   2/16     3d ago   now   0.1.0    billing run"
    status = Status(
        leader=None,
        epoch=None,
        nodes=0,
        schedules=2,
        paused=1,
        scheduled=0,
        queued=4,
        running=0,
        dead_letters=3,
        dead_letters_trimmed=7,
        overdue=1,
        oldest_due_at=MOMENT - timedelta(minutes=9),
        counters={"leader_changes": 1},
        last_tick_at=None,
    )
    assert text(render.status_lines(SCREEN, status)) == (
        "leader       nobody leads: nothing is dispatched\n"
        "nodes        0\n"
        "schedules    2, 1 paused\n"
        "jobs         0 running, 4 queued, 0 waiting\n"
        "overdue      1, the longest since 9m ago\n"
        "dead letters 3, see 'synccron dlq ls' (7 had to make room)\n"
        "\n"
        "leader_changes        1\n"
        "last_tick_at          -"
    )
