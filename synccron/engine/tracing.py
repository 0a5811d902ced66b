"""Traces of dispatches and attempts: the only file that knows OpenTelemetry.

All spans of a job are one trace, whoever makes them: its id is a digest of the job's. So a dispatch
and the attempts of it are found together, though nothing of that is stored. Only the API is used;
who runs a node configures where spans go (`opentelemetry-instrument synccron run`).
"""

import hashlib

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from synccron import __version__
from synccron.events import Event
from synccron.model.job import Job, Outcome
from synccron.model.time import Instant

_WELL = ("completed", "given_back", "cancelled")


class Attempted:
    """The span of an attempt under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def variables(self) -> dict[str, str]:
        """Give what the handler's environment gets, so that its own spans lie below this one."""
        of = self._span.get_span_context()
        flags = int(of.trace_flags)
        return {"TRACEPARENT": f"00-{of.trace_id:032x}-{of.span_id:016x}-{flags:02x}"}

    def end(self, outcome: Outcome, now: Instant) -> None:
        """End it, with how the attempt ended."""
        self._span.set_attribute("synccron.outcome", outcome.ending)
        if outcome.exit_code is not None:
            self._span.set_attribute("process.exit.code", outcome.exit_code)
        if outcome.ending not in _WELL:
            self._span.set_status(StatusCode.ERROR, outcome.error or outcome.ending)
        self._span.end(_ns(now))


class Traces:
    """Makes the spans of one node."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._tracer = trace.get_tracer("synccron", __version__)

    def hear(self, event: Event) -> None:
        """Make the span of a dispatch."""
        if event.event != "dispatch_submitted":
            return
        job_id = event.fields["job_id"]
        attributes = {
            "synccron.job.id": job_id,
            "synccron.schedule.id": event.fields["schedule_id"],
            "synccron.slot": event.fields["slot"],
            "synccron.node": self._node,
        }
        span = self._tracer.start_span(
            "dispatch", _of(job_id), SpanKind.PRODUCER, attributes, start_time=_ns(event.ts)
        )
        span.end(_ns(event.ts))

    def begin(self, job: Job) -> Attempted:
        """Begin the span of a job's newest attempt."""
        newest = job.attempts[-1]
        attributes: dict[str, str | int] = {
            "synccron.job.id": job.id,
            "synccron.schedule.id": job.schedule_id or "",
            "synccron.attempt": newest.attempt,
            "synccron.fence": newest.fence,
            "synccron.node": self._node,
        }
        span = self._tracer.start_span(
            "attempt",
            _of(job.id),
            SpanKind.CONSUMER,
            attributes,
            start_time=_ns(newest.started_at),
        )
        return Attempted(span)


def _of(job_id: str) -> Context:
    """Give the context of a job: a parent that nobody records, with ids made of the job's."""
    digest = hashlib.sha256(job_id.encode()).digest()
    parent = SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:24]),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _ns(instant: Instant) -> int:
    return instant * 1_000_000
