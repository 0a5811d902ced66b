"""What a node measures, in Prometheus' form: the only file that knows prometheus-client.

Counters and histograms follow the node's events; all else is read when somebody asks, from what the
node knows. Labels are few and fixed: nothing that a user names is one.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from synccron.engine.figures import HELP, Figures
from synccron.events import Event
from synccron.model.job import Ending, Reason
from synccron.model.time import SECOND
from synccron.store.base import Store

_CALLS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)
_DURATIONS = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
_TIMED = ("due", "dispatch", "waiting", "claim", "settle", "renew", "campaign", "lost", "report")


class Metrics(Collector):
    """The registry of one node. `figures` gives its numbers when somebody asks."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._registry = prometheus.CollectorRegistry()
        own = self._registry
        self._lateness = prometheus.Histogram(
            "synccron_dispatch_lateness_seconds",
            "How long after its instant a slot's first attempt started.",
            buckets=_LATENESS,
            registry=own,
        )
        self._duration = prometheus.Histogram(
            "synccron_job_duration_seconds",
            "How long an attempt took, by how it ended.",
            ["ending"],
            buckets=_DURATIONS,
            registry=own,
        )
        self._calls = prometheus.Histogram(
            "synccron_store_call_seconds",
            "How long a call of the store took.",
            ["verb"],
            buckets=_CALLS,
            registry=own,
        )
        self._misses = prometheus.Counter(
            "synccron_misses", "Slots that this node passed over.", ["reason"], registry=own
        )
        self._lost = prometheus.Counter(
            "synccron_jobs_lost",
            "Attempts of dead nodes that were taken up, and results that came too late.",
            registry=own,
        )
        # All series are there from the beginning: what begins at 1 has no rate.
        for verb in _TIMED:
            self._calls.labels(verb)
        for ending in get_args(Ending):
            self._duration.labels(ending)
        for reason in get_args(Reason):
            self._misses.labels(reason)
        prometheus.ProcessCollector(registry=own)
        own.register(self)

    def hear(self, event: Event) -> None:
        """Count what has happened."""
        fields = event.fields
        if event.event == "job_started" and fields["lateness_ms"] is not None:
            self._lateness.observe(max(0, fields["lateness_ms"]) / SECOND)
        elif event.event == "job_settled" and fields["outcome"] is not None:
            self._duration.labels(fields["outcome"]).observe(fields["duration_ms"] / SECOND)
        elif event.event == "job_lost":
            self._lost.inc()
        elif event.event == "dispatch_skipped":
            self._misses.labels(fields["reason"]).inc(fields["count"])

    def measure(self, store: Store) -> None:
        """Have the time of each call of this store told here."""
        for verb in _TIMED:
            setattr(store, verb, self._timed(verb, getattr(store, verb)))

    def page(self, accept: str) -> tuple[bytes, str]:
        """Write all, in the form that the header asks for; and its type."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """Give what is read when somebody asks."""
        for name, value in self._figures().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            told, label = HELP[name]
            if isinstance(value, Mapping):
                each = family(name, told, labels=[label])
                for key, one in value.items():
                    each.add_metric([key], one)
                yield each
            else:
                yield family(name, told, value=value)

    def describe(self) -> Iterator[Metric]:
        """Give nothing: the names below are known to be free."""
        yield from ()

    def _timed(self, verb: str, call: Callable[..., object]) -> Callable[..., object]:
        told = self._calls.labels(verb)

        @functools.wraps(call)
        def timed(*given: object, **named: object) -> object:
            with told.time():
                return call(*given, **named)

        return timed
