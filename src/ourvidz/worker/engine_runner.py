"""The real engine behind the worker service's ``Runner``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.models import Role
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

    def __init__(
        self,
        *,
        worker: Worker,
        catalogue: Catalogue,
        negative_prompts: Mapping[str, str] | None = None,
        has_own_enhancer: bool = True,
    ) -> None:
        """Take over ``worker``.

        Args:
            worker: whose jobs are driven.
            catalogue: which models there are.
            negative_prompts: the operator's, by job type.
            has_own_enhancer: False where an endpoint enhances, which takes no memory here.
        """
        self._worker = worker
        self._engine = worker.engine
        self._catalogue = catalogue
        self._turns = Turns(worker.clock)
        self._has_own_enhancer = has_own_enhancer
        self._texts = [  # that jobs take when told nothing: their embeddings are worth keeping
            (model, text)
            for model in catalogue.models.values()
            if model.role is not Role.ENHANCER
            for text in catalogue.negative_prompts(model, negative_prompts or {})
            if text
        ]

    @property
    def device(self) -> str:
        """The device as torch names it."""
        return str(self._engine.device)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Versions, hardware, and the group that shares videos."""
        group = self._engine.group_facts()
        found = dict(self._worker.environment)
        return {**found, "group_size": group["size"]} if group else found

    def fingerprint(self, request: GenerationRequest) -> Mapping[str, Any]:
        """Return the environment of a job's record."""
        return self._worker.fingerprint(request)

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
            finishing=(
                None if report.finishing is None else _Finishing(report.finishing, self._worker)
            ),
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
        role = self._catalogue.models[model_id].role
        if role is Role.ENHANCER and not self._has_own_enhancer:
            return True
        need_bytes = self._catalogue.models[model_id].size_gib * 2**30
        return self._engine.pressure().free_bytes >= need_bytes

    def encode_ahead(self, request: GenerationRequest, enhancement: Enhancement | None) -> bool:
        """Encode between two units, charged to no job."""
        with self._turns.aside():
            return self._engine.encode_ahead(request, enhancement=enhancement)

    def expect(self, models: Sequence[str], *, is_idle: bool) -> None:
        """Have the models of coming jobs brought where that is possible."""
        known = [model_id for model_id in models if model_id in self._catalogue.models]
        families = {model_id: self._catalogue.models[model_id].family for model_id in known}
        self._engine.hint(known, families=families, is_idle=is_idle)

    def use_idle_time(self) -> bool:
        """Embed one default negative prompt whose text encoder happens to be resident.

        Once they are on disk, a job whose own prompt is known too needs no text encoder.
        """
        resident = self._engine.resident()
        for index, (model, text) in enumerate(self._texts):
            if model.id not in resident:
                continue
            is_over = True  # what fails is not tried again: a job that needs it tells its owner
            try:
                is_over = self._engine.keep_text(model.id, family=model.family, text=text)
            finally:
                if is_over:
                    del self._texts[index]
            if is_over:
                return True
        return False

    def memory(self) -> Mapping[str, Any]:
        """Return the pressure and where every component is."""
        pressure = self._engine.pressure()
        return {
            "level": pressure.level,
            **pressure.facts(),
            "components": [
                {
                    "model": placed.key[0],
                    "name": placed.key[1],
                    "place": placed.place.value,
                    "bytes": placed.num_bytes,
                }
                for placed in self._engine.components()
            ],
        }

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
        if self._worker.sampler is not None:
            self._worker.sampler.close()

    def _add(self, job: ActiveJob) -> ActiveJob:
        for other in self._turns.jobs:
            if other.is_done:  # closed by the service, not ended in a turn
                self._turns.remove(other)
        self._turns.add(job)
        return job


class _Finishing:
    def __init__(self, inner: finishing.Finishing, worker: Worker) -> None:
        self._inner = inner
        self._worker = worker

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
        return self._worker.with_measures(self._inner.wait())

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
