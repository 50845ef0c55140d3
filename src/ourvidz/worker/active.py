"""Jobs that take turns on the one thread that drives the device.

Whoever owns the thread chooses whose turn it is; a turn is one unit of work: a step, a token, a
frame group, one look at loading weights. Turns that others had are not in a job's phases.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ourvidz.core.clock import Clock
from ourvidz.core.event import JobEvent, Waiting
from ourvidz.engine.context import Patience
from ourvidz.worker.finishing import Finishing
from ourvidz.worker.job_run import JobRun


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one turn brought for one job: exactly one of event, finishing and error."""

    job_id: str
    event: JobEvent | None = None
    finishing: Finishing | None = None  # the last frame has left the device
    error: Exception | None = None  # the job has ended and its files are removed
    device_s: float = 0.0  # with an end: seconds that the device worked for the job


class ActiveJob:
    """One job, or a batch of jobs, between claim and last frame. For the driving thread only."""

    def __init__(
        self,
        jobs: Sequence[JobRun],
        reports: Generator[Report, None, None],
        patience: Patience,
    ) -> None:
        self._running = {job.order.job_id: job for job in jobs}
        self._reports = reports
        self._patience = patience
        self._is_blocked = False
        self.job_ids = tuple(self._running)

    @property
    def running_ids(self) -> tuple[str, ...]:
        """The jobs that have not ended."""
        return tuple(self._running)

    @property
    def is_done(self) -> bool:
        """Whether every job has ended."""
        return not self._running

    @property
    def is_blocked(self) -> bool:
        """Whether it can only wait for weights to load: the turn is better given to another."""
        return self._is_blocked

    def advance(self, *, block_s: float = 0.05) -> Report | None:
        """Do one unit of work; None once every job has ended. Raises nothing that a job met.

        Args:
            block_s: how long it may wait for loading weights; give 0 while another job can work.
        """
        if self.is_done:
            return None
        self._patience.block_s = block_s
        report = next(self._reports)
        self._is_blocked = isinstance(report.event, Waiting)
        if report.event is None:
            del self._running[report.job_id]
            if self.is_done:
                self._reports.close()
        return report

    def lose_turn(self, start_s: float, end_s: float) -> None:
        """Note that another job had the thread between two moments."""
        for job in self._running.values():
            job.recorder.lose_turn(start_s, end_s)

    def close(self) -> None:
        """Drop the jobs that still run: no result, no files. Idempotent."""
        self._reports.close()
        for job in self._running.values():
            job.undo.close()
        self._running.clear()


class Turns:
    """The active jobs of one thread, and who had it when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: list[ActiveJob] = []

    @property
    def jobs(self) -> tuple[ActiveJob, ...]:
        """The jobs that have not ended, in the order in which they were added."""
        return tuple(self._jobs)

    def add(self, job: ActiveJob) -> None:
        """Let ``job`` take part."""
        self._jobs.append(job)

    def advance(self, job: ActiveJob, *, block_s: float = 0.05) -> Report | None:
        """Give ``job`` one turn, charge the others with it, and forget a job that has ended."""
        with self._charging_all_but(job):
            report = job.advance(block_s=block_s)
        if job.is_done:
            self.remove(job)
        return report

    def remove(self, job: ActiveJob) -> None:
        """Forget a job, closed or done. Idempotent."""
        if job in self._jobs:
            self._jobs.remove(job)

    @contextmanager
    def aside(self) -> Generator[None]:
        """Do other work on the driving thread, which is in no active job's phases."""
        with self._charging_all_but(None):
            yield

    @contextmanager
    def _charging_all_but(self, job: ActiveJob | None) -> Generator[None]:
        start_s = self._clock.monotonic()
        try:
            yield
        finally:
            end_s = self._clock.monotonic()
            for other in self._jobs:
                if other is not job:
                    other.lose_turn(start_s, end_s)
