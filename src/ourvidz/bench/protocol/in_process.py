"""Protocol runs in this process: one engine for all, so that weights stay where they are."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ourvidz.bench.protocol.runner import RUN_KEY, Ran, free_bytes
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.resolve import resolve
from ourvidz.checkpoints.confirmations import offers_of
from ourvidz.checkpoints.manifest import read_manifest
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import Cancelled, OurVidzError
from ourvidz.core.job import JobResult, JobState
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import Source, StoredRecord
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.perf.environment import environment, usable_cores
from ourvidz.perf.nvml import find_gpu, num_others
from ourvidz.perf.protocol.plan import WARM_UP_STEPS, PlannedRun
from ourvidz.perf.protocol.preflight import Facts, GpuFacts
from ourvidz.perf.record import Origin
from ourvidz.policy.build import build_policy
from ourvidz.worker.assemble import assemble_worker, model_locator
from ourvidz.worker.inline import new_worker_id, run_claimed
from ourvidz.worker.publish import ORIGIN_KEY
from ourvidz.worker.writers import OutputNames

if TYPE_CHECKING:
    from ourvidz.worker.run import Worker

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "av", "PIL")
_LAST = 50  # records among which a job's own is, once it has ended


@dataclass(kw_only=True, slots=True)
class InProcess:
    """Runs each job as ``ourvidz generate`` does: through the store, with its record kept there.

    Texts are encoded in every job: a prompt that was met before would cost nothing, and no run
    would be like the first.
    """

    settings: Settings
    catalogue: Catalogue
    folder: Path  # where the files of jobs go
    _store: JobStore = field(init=False)
    _worker: Worker | None = None

    def __post_init__(self) -> None:
        self.settings = self.settings.model_copy(update={"embed_cache_bytes": 0})
        self._store = open_store(self.settings)
        self._store.migrate()

    @property
    def store(self) -> JobStore:
        """The job store."""
        return self._store

    def close(self) -> None:
        """Unload everything and close the store."""
        if self._worker is not None:
            self._worker.engine.close()
            self._worker = None
        self._store.close()

    def environment(self) -> Mapping[str, Any]:
        """Return this machine's facts."""
        return environment()

    def facts(self, job_types: Sequence[str]) -> Facts:
        """Return what pre-flight looks at, of this machine."""
        self._store.reap(max_crashes=self.settings.queue.max_crashes)
        counts = self._store.counts()
        missing, unhashed = self._look_at_models(job_types)
        absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        broken = [] if absent else [name for name in _PACKAGES if not _imports(name)]
        device = None if absent or broken else _device(self.settings.device)
        return Facts(
            in_process=True,
            num_workers=len(self._store.workers()),
            num_queued=counts.by_state.get(JobState.QUEUED.value, 0),
            num_running=counts.by_state.get(JobState.RUNNING.value, 0),
            paused=(),
            missing_models=tuple(missing),
            unhashed_models=tuple(unhashed),
            missing_packages=tuple(absent),
            broken_packages=tuple(broken),
            gpu=None if device is None else _gpu(device),
            uses_gpu=None if device is None else device != "cpu",
            load_a_core=os.getloadavg()[0] / usable_cores(),
            free_disk_bytes=free_bytes(self.folder),
        )

    def run(self, planned: PlannedRun, *, plan_id: str, cancel: CancelToken) -> Ran:
        """See ``Runner``."""
        values, request = self._resolved(planned)
        worker = self._assembled()
        worker.engine.forget_prompts()
        submitter = Submitter(
            store=self._store,
            catalogue=self.catalogue,
            settings=self.settings,
            policy=build_policy(self.settings.policy),
        )
        start_s = time.perf_counter()
        job = submitter.submit_and_claim(
            self._draft(planned, values, plan_id),
            request,
            worker_id=new_worker_id(),
            lease_s=self.settings.queue.lease_s,
        )
        result: JobResult | None = None
        error: OurVidzError | None = None
        try:
            result = _drain(
                run_claimed(
                    job,
                    worker=worker,
                    store=self._store,
                    policy=submitter.policy,
                    queue=self.settings.queue,
                    names=OutputNames(folder=self.folder, stem=job.id),
                    # Its own: the store ends one job by it, and says so of a finished one too.
                    cancel=CancelToken(parent=cancel),
                )
            )
        except Cancelled:
            raise
        except OurVidzError as met:
            error = met
        wall_s = time.perf_counter() - start_s
        stored = self._record_of(job.id, request.job_type)
        return Ran(
            job_id=job.id,
            at=time.time() if stored is None else stored.at,
            wall_s=wall_s,
            body={} if stored is None else stored.body,
            files=() if result is None else tuple(Path(asset.path) for asset in result.outputs),
            facts=() if result is None else tuple(asset.to_dict() for asset in result.outputs),
            notes=() if result is None else tuple(note.text for note in result.adjustments),
            error=None if error is None else error.message,
            expected=_expected(request),
        )

    def _assembled(self) -> Worker:
        if self._worker is None:
            self._worker = assemble_worker(
                settings=self.settings, catalogue=self.catalogue, clock=SystemClock()
            )
        return self._worker

    def _resolved(self, planned: PlannedRun) -> tuple[Mapping[str, Any], GenerationRequest]:
        """Return a run's parameters and complete request."""
        values = planned.case.values
        request = self._request(planned, values)
        if not planned.is_warm_up or request.sigmas:  # whose steps are fixed
            return values, request
        values = {**values, "num_inference_steps": min(WARM_UP_STEPS, request.num_inference_steps)}
        return values, self._request(planned, values)

    def _request(self, planned: PlannedRun, values: Mapping[str, Any]) -> GenerationRequest:
        return resolve(
            catalogue=self.catalogue,
            settings=self.settings,
            prompt=planned.prompt,
            seed=planned.seed,
            job_type=planned.case.job_type,
            preset=planned.case.preset,
            values=values,
            offers=offers_of(self.settings),
            unconfirmed=True,  # it finds out what a fidelity is worth
        )

    def _draft(self, planned: PlannedRun, values: Mapping[str, Any], plan_id: str) -> Draft:
        return Draft(
            prompt=planned.prompt,
            job_type=planned.case.job_type,
            preset=planned.case.preset,
            values=values,
            source=Source.CLI,
            metadata={
                ORIGIN_KEY: Origin.PROTOCOL.value,
                RUN_KEY: f"{plan_id}/{planned.key}",
            },
        )

    def _record_of(self, job_id: str, job_type: str) -> StoredRecord | None:
        found = self._store.perf_records(job_type=job_type, limit=_LAST, newest=True)
        return next((record for record in found if record.job_id == job_id), None)

    def _look_at_models(self, job_types: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the models that are not here, and those without a manifest."""
        locate = model_locator(self.settings)
        missing: list[str] = []
        unhashed: list[str] = []
        for model in self._models_of(job_types):
            try:
                folder = locate(model.id)
                if model.hub_repo is not None and read_manifest(folder) is None:
                    unhashed.append(model.id)
            except OurVidzError:
                missing.append(model.id)
        return missing, unhashed

    def _models_of(self, job_types: Sequence[str]) -> tuple[Model, ...]:
        found: dict[str, Model] = {}
        for name in job_types:
            job = self.catalogue.job_type(name)
            roles = [job.role]
            if job.is_enhanced and self.settings.enhancer_url is None:
                roles.append(Role.ENHANCER)
            for role in roles:
                model = self.catalogue.model_for(self.settings.profile, role)
                found[model.id] = model
        return tuple(found.values())


def _drain(events: Any) -> JobResult:
    with contextlib.closing(events):
        while True:
            try:
                next(events)
            except StopIteration as stop:
                return stop.value


def _expected(request: GenerationRequest) -> dict[str, Any]:
    return {
        "files": request.num_images,
        "width": request.width,
        "height": request.height,
        "num_frames": request.num_frames,
    }


def _device(setting: str) -> str:
    """Return the device that jobs will run on.

    Raises:
        ConfigInvalid: It is not on this machine.
    """
    from ourvidz.engine.device import select_device

    return str(select_device(setting))


def _gpu(device: str) -> GpuFacts | None:
    gpu = find_gpu(device)
    if gpu is None:
        return None
    reading, processes = gpu.read(), gpu.process_ids()
    return GpuFacts(
        name=gpu.limits()["gpu"],
        utilisation=reading.utilisation,
        num_others=None if processes is None else num_others(processes, {os.getpid()}),
        slowed_by=reading.slowed_by,
    )


def _imports(name: str) -> bool:
    """Whether a package imports, and does not only stand there."""
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - whatever it raises, a job would meet it too
        return False
    return True
