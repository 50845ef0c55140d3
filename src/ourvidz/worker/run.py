"""From a request to files on disk and an account of every second: one job, turns, or a batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import Clock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import Cancelled
from ourvidz.core.event import JobEvent
from ourvidz.core.job import JobResult, Measured, Timing
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.batch import BatchEnd, BatchMember, BatchReport
from ourvidz.engine.context import Patience
from ourvidz.engine.engine import Engine
from ourvidz.engine.result import EngineResult
from ourvidz.perf.fingerprint import Fingerprints
from ourvidz.perf.sampling import (
    Sampler,
    device_series,
    device_summary,
    flags_of,
    host_summary,
)
from ourvidz.worker.active import ActiveJob, Report
from ourvidz.worker.expectations import Expectations
from ourvidz.worker.finishing import Finishing
from ourvidz.worker.job_run import JobOrder, JobRun, begin_run
from ourvidz.worker.memory import Company
from ourvidz.worker.writers import OutputNames

# What goes on beside the next job's work on the device.
_AFTER_THE_DEVICE = frozenset({Phase.SAVE, Phase.THUMBNAIL, Phase.PROBE, Phase.UPLOAD})


@dataclass(kw_only=True, slots=True)
class Worker:
    """Runs jobs on one engine, whose models stay loaded between them."""

    engine: Engine
    clock: Clock
    environment: Mapping[str, Any]
    fingerprints: Fingerprints | None = None  # None: records hold no environment
    sampler: Sampler | None = None  # None: nobody looks at device and process
    expectations: Expectations = field(default_factory=Expectations)
    _company: Company = field(init=False)

    def __post_init__(self) -> None:
        self._company = Company(self.sampler)

    def run(
        self,
        request: GenerationRequest,
        *,
        job_id: str,
        names: OutputNames,
        cancel: CancelToken,
        started_s: float | None = None,
        enhancement: Enhancement | None = None,
        check_prompt: Callable[[str], None] | None = None,
    ) -> Generator[JobEvent, None, JobResult]:
        """Run ``request`` and return its result; raises what made it fail.

        When it raises, or is closed, no file of the job is left behind.

        Args:
            job_id: names the job in its sidecar.
            names: where the files go; the folder is created if need be.
            cancel: stops the job within one step, shard, token or latent frame.
            started_s: when the job began on the worker's clock, if before this call (a CLI's
                process start); what came before is the phase ``startup``.
            enhancement: made by an earlier attempt; the enhancer is then not asked again.
            check_prompt: called with the enhanced prompt before anything is generated from it;
                what it raises fails the job.

        Raises:
            OutputUnwritable, DiskFull: before any work where that can be known, else later.
            OurVidzError: whatever the engine raises.
        """
        order = JobOrder(
            request=request,
            job_id=job_id,
            cancel=cancel,
            names=names,
            enhancement=enhancement,
            check_prompt=check_prompt,
        )
        job = self._begin(order, started_s=started_s)
        finishing = yield from _drive(job, self._generate(job, None))
        return self.with_measures(finishing.wait())

    def fingerprint(self, request: GenerationRequest) -> Mapping[str, Any]:
        """Return what a record of the job says of the environment. Any thread."""
        return {} if self.fingerprints is None else self.fingerprints.of(request)

    def with_measures(self, result: JobResult) -> JobResult:
        """Return a finished job's result with what was measured beside its account. Any thread."""
        samples = () if self.sampler is None else self.sampler.between(*window_of(result.timing))
        zero_s = min((span.start_s for span in result.timing.spans), default=0.0)  # of its spans
        device = device_summary(samples)
        measured = Measured(
            environment=self.fingerprint(result.request),
            device=device,
            host=host_summary(samples),
            device_series=device_series(samples, zero_s=zero_s),
            flags=flags_of(device),
        )
        measured_result = replace(result, measured=measured)
        self.expectations.learn(measured_result, at=self.clock.now())
        return measured_result

    def start(self, order: JobOrder) -> ActiveJob:
        """Return the job ready to take turns; nothing has run yet, but its time counts from now."""
        job, patience = self._begin(order), Patience()
        return ActiveJob([job], _reports(job, self._generate(job, patience)), patience)

    def start_enhance(self, order: JobOrder) -> ActiveJob:
        """Likewise, of a job that only enhances its prompt: its result has no outputs."""
        job, patience = self._begin(order), Patience()
        events = self.engine.enhance_only(
            order.request, recorder=job.recorder, cancel=order.cancel, patience=patience
        )
        return ActiveJob([job], _reports(job, events, has_files=False), patience)

    def start_batch(self, orders: Sequence[JobOrder], *, max_items: int) -> ActiveJob:
        """Likewise, of jobs of one ``batch_shape`` that run as one batch.

        Each delivers its own files, result and ledger; one that is cancelled or fails drops out
        and the others go on.

        Args:
            max_items: images in one denoising; more jobs run in several.
        """
        assert all(o.request.enhancement is None or o.enhancement for o in orders), "enhanced"
        jobs, patience = [self._begin(order) for order in orders], Patience()
        return ActiveJob(jobs, self._batch_reports(jobs, max_items, patience), patience)

    def _begin(self, order: JobOrder, *, started_s: float | None = None) -> JobRun:
        return begin_run(
            order,
            clock=self.clock,
            environment=self.environment,
            company=self._company,
            expected=self.expectations.of(order.request, self.fingerprint),
            started_s=started_s,
        )

    def _generate(
        self, job: JobRun, patience: Patience | None
    ) -> Generator[JobEvent, None, EngineResult]:
        return self.engine.generate(
            job.request,
            recorder=job.recorder,
            cancel=job.order.cancel,
            enhancement=job.order.enhancement,
            patience=patience,
        )

    def _batch_reports(
        self, jobs: Sequence[JobRun], max_items: int, patience: Patience
    ) -> Generator[Report, None, None]:
        opened: list[JobRun] = []
        for job in jobs:
            error = _open(job)
            if error is None:
                opened.append(job)
            else:
                yield _failed(job, error)
        members = [_Member(job) for job in opened]
        if not members:
            return
        events = self.engine.generate_batch(
            [member.as_batch_member() for member in members],
            max_items=max_items,
            patience=patience,
        )
        try:
            yield from _member_reports(members, events)
        except Exception as error:  # noqa: BLE001 - a defect, not a job's own error: all that still run fail
            for member in members:
                if not member.has_ended:
                    yield member.fail(error)
        finally:
            events.close()


def window_of(timing: Timing) -> tuple[float, float]:
    """Return from when until when a job had the device, on the jobs' clock."""
    spans = [span for span in timing.spans if span.phase is not Phase.QUEUE_WAIT]
    start_s = min((span.start_s for span in spans), default=0.0)
    on_device = [span.end_s for span in spans if span.phase not in _AFTER_THE_DEVICE]
    return start_s, max(on_device, default=start_s)


def _drive(
    job: JobRun, events: Generator[JobEvent, None, EngineResult], *, has_files: bool = True
) -> Generator[JobEvent, None, Finishing]:
    """Drive one job to its last frame; without files if it raises or is closed."""
    with job.undo as undo:
        job.open(has_files=has_files)
        undo.callback(events.close)
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                result = stop.value
                break
            yield from job.take(event)
        assert job.writer is not None or not has_files, "an engine ends with at least one frame"
        job.undo = undo.pop_all()
    return Finishing(job, result)


def _reports(
    job: JobRun, events: Generator[JobEvent, None, EngineResult], *, has_files: bool = True
) -> Generator[Report, None, None]:
    driven = _drive(job, events, has_files=has_files)
    job_id = job.order.job_id
    try:
        while True:
            try:
                event = next(driven)
            except StopIteration as stop:
                yield Report(job_id=job_id, finishing=stop.value, device_s=job.device_s)
                return
            yield Report(job_id=job_id, event=event)
    except Exception as error:  # noqa: BLE001 - whatever a job met is its own end, not the driving thread's
        yield _failed(job, error)
    finally:
        driven.close()


def _open(job: JobRun) -> Exception | None:
    try:
        job.open()
    except Exception as error:  # noqa: BLE001 - the job's own end, not its batch's
        return error
    return None


def _failed(job: JobRun, error: Exception) -> Report:
    job.undo.close()
    return Report(job_id=job.order.job_id, error=error, device_s=job.device_s)


class _Member:
    """A job of a batch: what it met itself ends it alone."""

    def __init__(self, job: JobRun) -> None:
        self._job = job
        self._cancel = CancelToken(parent=job.order.cancel)  # its own failure ends it too
        self.has_ended = False

    def as_batch_member(self) -> BatchMember:
        """Return what the engine needs of it."""
        return BatchMember(
            request=self._job.request,
            recorder=self._job.recorder,
            cancel=self._cancel,
            enhancement=self._job.order.enhancement,
        )

    def take(self, report: BatchReport) -> Generator[Report, None, None]:
        """Turn the engine's report into the job's own; nothing after its end."""
        if self.has_ended:
            return
        if isinstance(report, BatchEnd):
            yield self._end(report)
            return
        try:
            for event in self._job.take(report.event):
                yield Report(job_id=self._job.order.job_id, event=event)
        except Exception as error:  # noqa: BLE001 - this job's disk, not the batch's
            yield self.fail(error)

    def fail(self, error: Exception) -> Report:
        """End with an error; the engine drops the job at its next look."""
        self.has_ended = True
        self._cancel.cancel()
        return _failed(self._job, error)

    def _end(self, end: BatchEnd) -> Report:
        if end.result is None:
            return self.fail(end.error or Cancelled())
        self.has_ended = True
        return Report(
            job_id=self._job.order.job_id,
            finishing=Finishing(self._job, end.result),
            device_s=self._job.device_s,
        )


def _member_reports(
    members: Sequence[_Member], events: Generator[BatchReport, None, None]
) -> Generator[Report, None, None]:
    for report in events:
        yield from members[report.index].take(report)
