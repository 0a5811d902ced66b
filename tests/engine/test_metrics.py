"""What a node measures, and the alerts and dashboards that are made of it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from synccron.clock import ManualClock
from synccron.engine.figures import HELP, figures
from synccron.engine.glance import Glance
from synccron.engine.health import Health
from synccron.engine.metrics import Metrics
from synccron.engine.tally import Tally
from synccron.events import Events
from synccron.model.lease import Totals
from synccron.model.time import MINUTE, SECOND

DEPLOY = Path(__file__).parents[2] / "deploy"
NOW = 1_767_225_600_000


@pytest.fixture
def glance(store, clock):
    one = Glance(store, clock)
    one.turn()
    return one


@pytest.fixture
def metrics(glance):
    health = Health(still=(), store=True, session=True, epoch=7, running=3, stopping=False)

    def gather():
        return figures(
            health,
            Tally().counts(),
            {"heart": 1500},
            glance,
            skew=-250,
            concurrency=16,
            now=glance.read_at + 2 * MINUTE,
        )

    return Metrics(gather)


def samples(metrics) -> dict[str, float]:
    text = metrics.page("text/plain")[0].decode()
    found = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in found}


def test_every_figure_is_told_and_says_what_it_is(metrics):
    told = samples(metrics)
    for name in HELP:
        assert any(line.partition("{")[0] == name for line in told), name
    assert told['synccron_loop_still_seconds{loop="heart"}'] == 1.5
    assert told["synccron_clock_skew_seconds"] == -0.25
    assert told["synccron_epoch"] == 7


def test_the_oldest_undecided_slot_is_told_by_its_age(metrics, glance):
    assert samples(metrics)["synccron_oldest_undecided_slot_seconds"] == 0
    glance.totals = Totals(overdue=2, oldest_due_at=glance.read_at - MINUTE)
    told = samples(metrics)
    assert told["synccron_overdue_schedules"] == 2
    assert told["synccron_oldest_undecided_slot_seconds"] == 180


def test_the_store_is_looked_at_now_and_then_and_not_by_who_asks(store, clock):
    one = Glance(store, clock)
    one.turn()
    first = one.totals
    one.turn()
    assert one.totals is first
    clock.advance(5 * SECOND)
    one.turn()
    assert one.totals is not first


def test_events_become_counters_and_histograms(metrics):
    events = Events(ManualClock().now, metrics.hear)
    events.emit("job_started", job_id="x", lateness_ms=30)
    events.emit("job_started", job_id="x", lateness_ms=None)
    events.emit("job_settled", state="queued", outcome="failed", duration_ms=2000)
    events.emit("dispatch_skipped", reason="overlap", count=40)
    events.emit("job_lost", job_id="x")
    told = samples(metrics)
    assert told["synccron_dispatch_lateness_seconds_count"] == 1
    assert told['synccron_dispatch_lateness_seconds_bucket{le="0.025"}'] == 0
    assert told['synccron_dispatch_lateness_seconds_bucket{le="0.05"}'] == 1
    assert told['synccron_job_duration_seconds_sum{ending="failed"}'] == 2
    assert told['synccron_misses_total{reason="overlap"}'] == 40
    assert told["synccron_jobs_lost_total"] == 1


def test_calls_of_the_store_are_timed_and_answer_as_before(metrics, store):
    metrics.measure(store)
    assert store.lost(10) == []
    assert samples(metrics)['synccron_store_call_seconds_count{verb="lost"}'] == 1


def test_no_label_grows_with_what_users_name(metrics):
    events = Events(ManualClock().now, metrics.hear)
    before = len(samples(metrics))
    for n in range(1000):
        events.emit("job_started", job_id=f"{n}", schedule_id=f"{n}", lateness_ms=1)
        events.emit("job_settled", job_id=f"{n}", outcome="completed", duration_ms=1)
        events.emit("dispatch_skipped", schedule_id=f"{n}", reason="misfire", count=1)
    assert len(samples(metrics)) == before < 500


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:synccron|process)_[a-z0-9_]+", text))


def expressions() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "synccron.rules.yml").read_text())
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    board = json.loads((DEPLOY / "grafana" / "synccron.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


@pytest.mark.parametrize(("where", "expression"), expressions().items(), ids=str)
def test_alerts_and_dashboards_ask_for_what_there_is(metrics, where, expression):
    told = samples(metrics)
    real = {line.partition("{")[0] for line in told}
    assert names_in(expression), where
    assert names_in(expression) <= real
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, operator, wanted in re.findall(r'(\w+)(=~|=)"([^"]*)"', selector):
            if label == "job":
                continue
            values = {
                value
                for line in told
                if line.startswith(f"{name}{{")
                for value in re.findall(rf'{label}="([^"]*)"', line)
            }
            for one in wanted.split("|") if operator == "=~" else [wanted]:
                assert one in values, f"{where}: {name} has no {label}={one}"


def test_every_alert_says_what_to_do():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "synccron.rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
