"""What a worker expects of its jobs, and learns from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ourvidz.core.job import JobResult
from ourvidz.core.phase import LoadState
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import StoredRecord
from ourvidz.perf.prediction import Forecaster, Prediction, environment_key
from ourvidz.perf.records import record_from
from ourvidz.worker.report import record_body


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectations:
    """Expected phases of the jobs of one worker. Callable from any thread."""

    forecaster: Forecaster = field(default_factory=Forecaster)

    def of(
        self,
        request: GenerationRequest,
        fingerprint: Callable[[GenerationRequest], Mapping[str, Any]],
    ) -> Prediction | None:
        """Return what a job is expected to take once its models are there.

        None before the first record: a running job's own steps say more than any prior.
        """
        if self.forecaster.is_blank:
            return None
        found = self.forecaster.expect(
            workload_facts(request),
            environment_key=environment_key(fingerprint(request)),
            state=LoadState.RESIDENT.value,
        )
        return None if found is None or found.basis == "prior" else found

    def learn(self, result: JobResult, *, at: datetime) -> None:
        """Keep what a finished job took."""
        self.forecaster.add(
            record_from(
                StoredRecord(
                    id=0,
                    job_id=result.job_id,
                    job_type=result.request.job_type,
                    workload=result.request.workload,
                    at=at.timestamp(),
                    body=record_body(result),
                )
            )
        )
