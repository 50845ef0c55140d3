"""The rest of a job whose last frame has left the device: files, probe, account, sidecar.

It needs no device, so that it can run in a thread of its own while the next job generates.
"""

from __future__ import annotations

from dataclasses import replace

from ourvidz.core.asset import Asset
from ourvidz.core.job import JobResult, JobState, Timing
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.result import EngineResult
from ourvidz.media.sidecar import write_sidecar
from ourvidz.perf.ledger import account_of, median_step_s
from ourvidz.worker.job_run import JobRun
from ourvidz.worker.memory import host_peak_bytes
from ourvidz.worker.report import result_to_dict


class Finishing:
    """A job between its last frame and its result. For one thread at a time, any thread."""

    def __init__(self, job: JobRun, result: EngineResult) -> None:
        """Take over ``job``: its files are being finished, and this object may remove them."""
        self._job = job
        self._result = result
        self._assets: tuple[Asset, ...] | None = None
        if job.writer is not None:
            job.writer.end()

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._job.order.job_id

    @property
    def request(self) -> GenerationRequest:
        """What the job asked for."""
        return self._job.request

    @property
    def recorder(self) -> SpanRecorder:
        """The job's ledger, open until ``wait``: an upload adds its span here."""
        return self._job.recorder

    @property
    def device_s(self) -> float:
        """Seconds that the device worked for the job."""
        return self._job.device_s

    def files(self) -> tuple[Asset, ...]:
        """Wait until the files are written and probed; the same again on later calls.

        Raises:
            DiskFull, OutputUnwritable, OutputInvalid: and then every file is removed.
        """
        if self._assets is None:
            try:
                self._assets = self._job.writer.finish() if self._job.writer else ()
            except BaseException:
                self.abandon()
                raise
        return self._assets

    def wait(self) -> JobResult:
        """Wait for the files, write the sidecar and return the result.

        Call it last: what is recorded later is not in the account. Raises as ``files``.
        """
        assets = self.files()
        try:
            finished = self._account(assets)
            if self._job.writer is not None:
                with self.recorder.span(Phase.SAVE, facts={"what": "sidecar"}):
                    self._job.undo.callback(self._job.names.sidecar.unlink, missing_ok=True)
                    write_sidecar(self._job.names.sidecar, result_to_dict(finished))
        except BaseException:
            self.abandon()
            raise
        finished = replace(finished, timing=self._timing())
        self._job.company.leave(self._job)
        return finished

    def abandon(self) -> None:
        """Remove every file of the job, also after ``wait``. Idempotent."""
        self._job.undo.close()

    def _account(self, assets: tuple[Asset, ...]) -> JobResult:
        job = self._job
        return JobResult(
            job_id=self.job_id,
            request=job.request,
            state=JobState.SUCCEEDED,
            outputs=assets,
            enhancement=self._result.enhancement,
            timing=self._timing(),
            adjustments=tuple(job.notes),
            environment=job.environment,
            memory={
                "host_peak_bytes": host_peak_bytes(),
                "jobs_in_process": job.company.most_at_once(job),
                **self._result.memory,
            },
        )

    def _timing(self) -> Timing:
        result, start_s = self._result, self._job.start_s
        end_s = self._job.clock.monotonic()
        spans, lost_turns = self.recorder.spans(), self.recorder.lost_turns()
        account = account_of(spans, start_s=start_s, end_s=end_s, lost_turns=lost_turns)
        return Timing(
            total_s=end_s - start_s,
            phases_s=account.phases_s,
            unattributed_s=account.unattributed_s,
            shared_s=account.shared_s,
            device_s=self.device_s,
            batched_with=result.batched_with,
            step_s=median_step_s(result.step_times_s),
            step_times_s=result.step_times_s,
            state=result.state,
            compile_state=result.compile_state,
            spans=spans,
        )
