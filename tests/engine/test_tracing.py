"""Spans of a real node, as an exporter gets them; in a process of its own, as they are global."""

import json
import subprocess
import sys
from typing import Any

import pytest

NODE = r"""
import json, sys, threading
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from synccron import Client, Node, Schedule

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)

dispatched = threading.Event()
def hear(event):
    if event.event == "job_settled" and event.fields["job_id"].startswith("slots:"):
        dispatched.set()

path = sys.argv[1]
folder = path.rpartition("/")[0]
sys.path.insert(0, folder)
with open(folder + "/traced_handler.py", "w") as module:
    module.write("import os\ndef tell(ctx): return os.environ['TRACEPARENT']\n")
node = Node(path, id="n1", on_event=hear)
with Client(path, create=True) as client:
    node.start()
    client.register(Schedule(id="slots", cron="* * * * * *", run="echo $TRACEPARENT"))
    client.register(Schedule(id="bad", cron="@yearly", run="exit 7"))
    assert dispatched.wait(30)
    client.register(Schedule(id="python", cron="@yearly", handler="traced_handler:tell"))
    client.wait(client.trigger("bad", key="k").id, timeout=30)
    results = [client.wait(client.trigger("python").id, timeout=30) for _ in range(2)]
    done = [each for each in client.jobs(schedule="slots") if each.state == "completed"][-1]
    output = client.output(done.id)[0].decode().strip()
    node.stop(0)
spans = [
    {
        "name": each.name,
        "trace": f"{each.context.trace_id:032x}",
        "span": f"{each.context.span_id:016x}",
        "attributes": dict(each.attributes),
        "status": each.status.status_code.name,
        "took": each.end_time - each.start_time,
    }
    for each in kept.get_finished_spans()
]
told = {each.id: each.result for each in results}
print(json.dumps({"job": done.id, "output": output, "results": told, "spans": spans}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Any:
    path = tmp_path_factory.mktemp("traced") / "x.db"
    ended = subprocess.run(
        [sys.executable, "-c", NODE, str(path)], capture_output=True, check=True, timeout=60
    )
    return json.loads(ended.stdout.decode().splitlines()[-1])


def spans_of(told, job: str) -> dict[str, Any]:
    return {
        each["name"]: each for each in told["spans"] if each["attributes"]["synccron.job.id"] == job
    }


def test_a_dispatch_and_its_attempt_are_one_trace(told):
    found = spans_of(told, told["job"])
    assert set(found) == {"dispatch", "attempt"}
    assert found["dispatch"]["trace"] == found["attempt"]["trace"]
    assert found["attempt"]["attributes"]["synccron.schedule.id"] == "slots"
    assert found["attempt"]["attributes"]["synccron.outcome"] == "completed"
    assert found["attempt"]["attributes"]["synccron.node"] == "n1"
    assert found["attempt"]["took"] >= 0


def test_other_jobs_are_other_traces(told):
    slots = [each for each in told["spans"] if each["name"] == "dispatch"]
    assert len({each["trace"] for each in slots}) == len(slots)


def test_the_handler_gets_the_context_of_its_attempt(told):
    span = spans_of(told, told["job"])["attempt"]
    assert told["output"] == f"00-{span['trace']}-{span['span']}-01"


def test_each_run_of_a_python_handler_gets_its_own_though_its_process_stays(told):
    assert len(told["results"]) == 2
    for job, result in told["results"].items():
        span = spans_of(told, job)["attempt"]
        assert result == f"00-{span['trace']}-{span['span']}-01"


def test_an_attempt_that_failed_is_an_error(told):
    span = spans_of(told, "manual:bad:k")["attempt"]
    assert span["status"] == "ERROR"
    assert span["attributes"]["process.exit.code"] == 7


def test_a_node_without_it_loads_nothing_of_it():
    code = (
        "import sys, synccron.engine.node as n; n.Node('/x');"
        "sys.exit(any(m.startswith(('opentelemetry', 'prometheus')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
