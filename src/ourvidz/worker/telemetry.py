"""Traces of finished jobs for OpenTelemetry: the ledger's spans, with their own times.

Off unless ``telemetry.otlp_endpoint`` is set; needs the extra ``otel``. Nothing is measured for it:
spans are made of what the ledger knows once a job has ended, and a thread of the SDK sends them, so
that a collector that is away costs a job nothing. No word of a prompt and no path is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ourvidz
from ourvidz.catalog.config import Settings
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import MissingDependency
from ourvidz.core.job import JobResult
from ourvidz.core.phase import Span
from ourvidz.jobs.model import Job

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NANO = 1e9
_SCOPE = "ourvidz.worker"
_CLOSE_MS = 5000  # a collector that is away must not hold a worker that ends


class JobTraces:
    """Gives each ended job to a tracer provider. Any thread may call it."""

    def __init__(self, provider: TracerProvider, *, clock: Clock | None = None) -> None:
        """Take a provider, which ``close`` shuts down, and the clock that spans are timed by."""
        self._provider = provider
        self._clock = clock or SystemClock()
        self._tracer = provider.get_tracer(_SCOPE, ourvidz.__version__)

    def succeeded(self, job: Job, result: JobResult) -> None:
        """Tell of a job that ended well: the whole, and below it each span of the ledger."""
        from opentelemetry import trace

        spans = result.timing.spans
        if not spans:
            return
        zero_s = self._clock.now().timestamp() - self._clock.monotonic()

        def unix_ns(moment_s: float) -> int:
            return round((zero_s + moment_s) * _NANO)

        root = self._tracer.start_span(
            f"job {job.request.job_type}",
            start_time=unix_ns(min(span.start_s for span in spans)),
            attributes={
                **_about(job),
                "ourvidz.state": result.timing.state.value,
                "ourvidz.total_s": result.timing.total_s,
                "ourvidz.device_s": result.timing.device_s,
            },
        )
        below = trace.set_span_in_context(root)
        for span in spans:
            child = self._tracer.start_span(
                span.phase.value,
                context=below,
                start_time=unix_ns(span.start_s),
                attributes=_facts(span),
            )
            child.end(end_time=unix_ns(span.end_s))
        root.set_status(trace.StatusCode.OK)
        root.end(end_time=unix_ns(max(span.end_s for span in spans)))

    def failed(self, job: Job, *, code: str, took_s: float) -> None:
        """Tell of a job whose attempt failed just now; its spans went with it."""
        from opentelemetry import trace

        end_s = self._clock.now().timestamp()
        root = self._tracer.start_span(
            f"job {job.request.job_type}",
            start_time=round((end_s - took_s) * _NANO),
            attributes={**_about(job), "error.type": code},
        )
        root.set_status(trace.StatusCode.ERROR, code)
        root.end(end_time=round(end_s * _NANO))

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(_CLOSE_MS)
        self._provider.shutdown()


def open_traces(settings: Settings, *, worker_id: str) -> JobTraces | None:
    """Return where traces go; None where none are wanted.

    Raises:
        MissingDependency: they are, and the extra ``otel`` is not installed.
    """
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingDependency(
            "telemetry.otlp_endpoint needs OpenTelemetry, which is not installed.",
            hint='Install it: pip install "ourvidz[otel]".',
        ) from error
    resource = Resource.create(
        {
            "service.name": "ourvidz",
            "service.version": ourvidz.__version__,
            "service.instance.id": worker_id,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return JobTraces(provider)


def _about(job: Job) -> Mapping[str, str | int]:
    request = job.request
    return {
        "ourvidz.job.id": job.id,
        "ourvidz.job.attempt": job.token,
        "ourvidz.job.type": request.job_type,
        "ourvidz.preset": request.preset,
        "ourvidz.model": request.model,
        "ourvidz.fidelity": request.fidelity.value,
        "ourvidz.source": job.source.value,
    }


def _facts(span: Span) -> dict[str, Any]:
    facts: dict[str, Any] = {f"ourvidz.{name}": value for name, value in span.facts.items()}
    facts["ourvidz.is_background"] = span.is_background
    if span.device_s is not None:
        facts["ourvidz.device_s"] = span.device_s
    return facts
