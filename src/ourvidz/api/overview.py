"""The service as a whole: its queue and its workers, as one of its clients may see them."""

from __future__ import annotations

from collections.abc import Iterable

from ourvidz.api.deps import AppDeps
from ourvidz.api.expectation import expect, wait_of
from ourvidz.api.schemas import QueueAnswer, Wait, WorkerList
from ourvidz.api.views import worker_answer
from ourvidz.core.phase import LoadState
from ourvidz.jobs.model import WorkerInfo


def queue_answer(deps: AppDeps, tenant: str | None) -> QueueAnswer:
    """Return how many jobs of a tenant (None: of all) stand where."""
    counts = deps.store.counts(tenant=tenant)
    workers = deps.store.workers()
    return QueueAnswer(
        by_state=dict(counts.by_state),
        queued_by_job_type=dict(counts.queued_by_job_type),
        oldest_queued_s=counts.oldest_queued_s,
        paused=list(counts.paused),
        num_workers=len(workers),
        empty_in=_empty_in(deps, num_workers=len(workers)),
    )


def _empty_in(deps: AppDeps, *, num_workers: int) -> Wait | None:
    """Return when the queue will be empty; the next job's interval stands for all."""
    load = deps.store.queue_load()
    if load.num_queued == 0 and load.running_s == 0.0:
        return Wait(seconds=0.0, low_s=0.0, high_s=0.0) if num_workers else None
    job = deps.store.first_open()
    if job is None:
        return None
    state = LoadState.RESIDENT.value
    found = expect(job.request, source=job.source, state=state, forecaster=deps.forecaster)
    return wait_of(load, found, num_workers=num_workers)


def worker_list(workers: Iterable[WorkerInfo], tenant: str | None) -> WorkerList:
    """Return workers as a tenant (None: an operator) may see them."""
    answers = [worker_answer(worker) for worker in workers]
    if tenant is not None:  # others' jobs are none of theirs
        answers = [answer.model_copy(update={"jobs": []}) for answer in answers]
    return WorkerList(data=answers)
