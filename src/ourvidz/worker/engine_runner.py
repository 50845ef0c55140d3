"""The real engine behind the worker service's ``Runner``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.core.asset import Asset
from ourvidz.core.cancel import CancelToken
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.job import JobResult
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.worker import finishing
from ourvidz.worker.active import ActiveJob, Turns
from ourvidz.worker.job_run import JobOrder
from ourvidz.worker.ports import Order, Turn
from ourvidz.worker.run import Worker
from ourvidz.worker.writers import OutputNames


class EngineRunner:
    """Drives a ``Worker``'s jobs in turns."""

    def __init__(self, *, worker: Worker, catalogue: Catalogue) -> None:
        self._worker = worker
        self._engine = worker.engine
        self._catalogue = catalogue
        self._turns = Turns(worker.clock)

    @property
    def device(self) -> str:
        """The device as torch names it."""
        return str(self._engine.device)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Versions and hardware."""
        return self._worker.environment

    def start(self, orders: Sequence[Order]) -> ActiveJob:
        """Begin one job or a batch."""
        jobs = [_job_order(order) for order in orders]
        if len(jobs) == 1:
            return self._add(self._worker.start(jobs[0]))
        room = self._engine.batch_room(jobs[0].request)
        return self._add(self._worker.start_batch(jobs, max_items=room))

    def start_enhance(self, order: Order) -> ActiveJob:
        """Begin a job that only enhances."""
        return self._add(self._worker.start_enhance(_job_order(order, has_files=False)))

    def advance(self, run: ActiveJob, *, block_s: float) -> Turn | None:
        """Do one unit."""
        report = self._turns.advance(run, block_s=block_s)
        if report is None:
            return None
        return Turn(
            job_id=report.job_id,
            event=report.event,
            finishing=_Finishing(report.finishing) if report.finishing is not None else None,
            error=report.error,
            device_s=report.device_s,
        )

    def batch_room(self, request: GenerationRequest) -> int:
        """Return the items that fit one batch."""
        return self._engine.batch_room(request)

    def can_join(self, model_id: str) -> bool:
        """Whether the model is resident, or its weights and their work fit the free memory."""
        device = self._engine.device
        if device.type != "cuda" or model_id in self._engine.resident():
            return True
        need_bytes = self._catalogue.models[model_id].size_gib * 2**30
        return self._engine.pressure().free_bytes >= need_bytes

    def encode_ahead(self, request: GenerationRequest, enhancement: Enhancement | None) -> bool:
        """Encode between two units, charged to no job."""
        with self._turns.aside():
            return self._engine.encode_ahead(request, enhancement=enhancement)

    def resident(self) -> Mapping[str, int]:
        """Return bytes by model."""
        return self._engine.resident()

    def load(self, model_id: str) -> None:
        """Load a model.

        Raises:
            UnknownName: the catalogue has no such model.
            ModelMissing: its files are not here.
        """
        family = self._catalogue.model(model_id).family
        self._engine.load(model_id, family=family, cancel=CancelToken())

    def unload(self, model_id: str) -> None:
        """Unload a model. Raises IllegalState while a job uses it."""
        self._engine.unload(model_id)

    def close(self) -> None:
        """Unload everything."""
        self._engine.close()

    def _add(self, job: ActiveJob) -> ActiveJob:
        for other in self._turns.jobs:
            if other.is_done:  # closed by the service, not ended in a turn
                self._turns.remove(other)
        self._turns.add(job)
        return job


class _Finishing:
    def __init__(self, inner: finishing.Finishing) -> None:
        self._inner = inner

    @property
    def job_id(self) -> str:
        return self._inner.job_id

    @property
    def device_s(self) -> float:
        return self._inner.device_s

    def files(self) -> tuple[Asset, ...]:
        return self._inner.files()

    def span(self, phase: Phase) -> AbstractContextManager[object]:
        return self._inner.recorder.span(phase)

    def wait(self) -> JobResult:
        return self._inner.wait()

    def abandon(self) -> None:
        self._inner.abandon()


def _job_order(order: Order, *, has_files: bool = True) -> JobOrder:
    return JobOrder(
        request=order.request,
        job_id=order.job_id,
        cancel=order.cancel,
        names=OutputNames(folder=order.folder, stem=order.job_id) if has_files else None,
        queued_s=order.queued_s,
        enhancement=order.enhancement,
        check_prompt=order.check_prompt,
        # An image is finished as soon as its preview would be.
        wants_preview=has_files and order.request.media_type is MediaType.VIDEO,
    )
