"""What jobs are expected to take: before they start, in the queue, and while they run."""

from __future__ import annotations

from collections.abc import Sequence

from ourvidz.api.schemas import ExpectedTime, Wait
from ourvidz.core.phase import LoadState
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import QueueLoad, Source, WorkerInfo
from ourvidz.perf.prediction import Forecaster, Prediction

_DIGITS = 3


def expected_state(request: GenerationRequest, workers: Sequence[WorkerInfo]) -> str:
    """Return where the weights of a job will come from: what a worker holds it need not load."""
    models = {request.model}
    if request.enhancement is not None:
        models.add(request.enhancement.model)
    is_resident = any(models <= set(worker.resident) for worker in workers)
    return (LoadState.RESIDENT if is_resident else LoadState.COLD).value


def expect(
    request: GenerationRequest, *, source: Source, state: str, forecaster: Forecaster
) -> Prediction | None:
    """Return what a job is expected to take, from the records so far; never waits."""
    return forecaster.expect(workload_facts(request), state=state, source=source.value)


def expected_time(found: Prediction, *, state: str) -> ExpectedTime:
    """Return it as a client reads it."""
    return ExpectedTime(
        total_s=round(found.total_s, _DIGITS),
        low_s=round(found.low_s, _DIGITS),
        high_s=round(found.high_s, _DIGITS),
        phases_s={name: round(seconds, _DIGITS) for name, seconds in found.phases_s.items()},
        state=state,
        num_records=found.n,
        basis=found.basis,
    )


def wait_of(load: QueueLoad, found: Prediction | None, *, num_workers: int) -> Wait | None:
    """Return when a worker will be free of what stands before; None where nobody works.

    Jobs of one machine are slow together: the ends of the interval are those of single jobs, added
    up, and so rather too wide than too narrow.
    """
    if num_workers == 0 or found is None:
        return None
    seconds = (load.queued_s + load.running_s) / num_workers
    return Wait(
        seconds=round(seconds, _DIGITS),
        low_s=round(seconds * found.low_s / found.total_s, _DIGITS),
        high_s=round(seconds * found.high_s / found.total_s, _DIGITS),
    )
