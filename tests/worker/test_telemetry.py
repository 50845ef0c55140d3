"""Traces of jobs: the ledger's spans with their own times, told once a job has ended."""

import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ourvidz.catalog.config import Settings
from ourvidz.core.job import JobState
from ourvidz.worker import service
from ourvidz.worker.telemetry import JobTraces, open_traces
from tests.worker.test_service import Place

NANO = 1_000_000_000


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "data")
    yield made
    made.store.close()


@pytest.fixture
def exporter(monkeypatch):
    """What a worker's traces end in."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(service, "open_traces", lambda settings, worker_id: JobTraces(provider))
    return kept


def test_a_jobs_spans_have_their_own_times(place, exporter):
    begin_s = time.time()
    (job_id,) = place.submit("steps=2 items=1")
    with place.working():
        (job,) = place.done([job_id])
    end_s = time.time()
    assert job.state is JobState.SUCCEEDED
    spans = exporter.get_finished_spans()
    (root,) = [span for span in spans if span.parent is None]
    children = [span for span in spans if span.parent is not None]
    assert root.name == f"job {job.request.job_type}"
    assert root.status.status_code is StatusCode.OK
    assert root.attributes["ourvidz.job.id"] == job_id
    assert {span.parent.span_id for span in children} == {root.context.span_id}

    told = sorted((span["phase"], span["end_s"] - span["start_s"]) for span in job.result["spans"])
    found = sorted((span.name, (span.end_time - span.start_time) / NANO) for span in children)
    assert [name for name, _ in found] == [name for name, _ in told]
    # Nanoseconds of a float of today's Unix time resolve to a quarter of a microsecond.
    assert [length for _, length in found] == pytest.approx(
        [length for _, length in told], abs=5e-6
    )
    for span in children:
        assert begin_s * NANO <= span.start_time <= span.end_time <= end_s * NANO
        assert root.start_time <= span.start_time
        assert span.end_time <= root.end_time
    assert root.start_time == min(span.start_time for span in children)
    first = min(span["start_s"] for span in job.result["spans"])
    starts = sorted(span["start_s"] - first for span in job.result["spans"])
    assert sorted((span.start_time - root.start_time) / NANO for span in children) == pytest.approx(
        starts, abs=5e-6
    )
    words = [str(value) for span in spans for value in span.attributes.values()]
    assert not [word for word in words if "steps=2" in word or "/" in word]


def test_a_failed_job_is_told_with_its_cause(place, exporter):
    (job_id,) = place.submit("steps=2 refuse=1")
    with place.working():
        (job,) = place.done([job_id])
    assert job.state is JobState.FAILED
    (root,) = exporter.get_finished_spans()
    assert root.status.status_code is StatusCode.ERROR
    assert root.attributes["error.type"] == job.error["code"]
    assert root.end_time > root.start_time


def test_nothing_is_told_unless_asked_for():
    assert Settings().telemetry.otlp_endpoint is None
    assert open_traces(Settings(), worker_id="w1") is None


def test_a_collector_gets_them_over_http(place, monkeypatch):
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            bodies.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        settings = Settings(telemetry={"otlp_endpoint": endpoint})
        traces = open_traces(settings, worker_id="w1")
        monkeypatch.setattr(service, "open_traces", lambda settings, worker_id: traces)
        (job_id,) = place.submit("steps=2")
        with place.working():
            place.done([job_id])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    resources = [found for body in bodies for found in body.resource_spans]
    facts = {fact.key: fact.value.string_value for fact in resources[0].resource.attributes}
    assert (facts["service.name"], facts["service.instance.id"]) == ("ourvidz", "w1")
    spans = [span for found in resources for scope in found.scope_spans for span in scope.spans]
    today = datetime.now(UTC).timestamp()
    assert {"upload"} <= {span.name for span in spans}
    assert all(abs(span.start_time_unix_nano / NANO - today) < 600 for span in spans)
