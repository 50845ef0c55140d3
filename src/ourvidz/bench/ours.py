"""Our side of a comparison: jobs on one resident worker, and ``ourvidz generate`` as a process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import OurVidzError
from ourvidz.core.event import JobEvent, PhaseStarted
from ourvidz.core.job import JobResult
from ourvidz.core.phase import LoadState, Phase, Span
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import Source
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.perf.ledger import exclusive_phases_s
from ourvidz.policy.build import build_policy
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.inline import new_worker_id, run_claimed
from ourvidz.worker.writers import OutputNames

if TYPE_CHECKING:
    from ourvidz.engine.result import EngineResult
    from ourvidz.worker.run import Worker

ResultT = TypeVar("ResultT")

# Phases in which weights come from files.
LOADS = frozenset(
    {
        Phase.ENHANCE_LOAD,
        Phase.LOAD_TEXT_ENCODER,
        Phase.LOAD_TRANSFORMER,
        Phase.LOAD_UNET,
        Phase.LOAD_VAE,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Driven(Generic[ResultT]):
    """One job driven to its end."""

    result: ResultT
    wall_s: float
    to_first_step_s: float | None  # until denoising begins; None where it never did


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRun:
    """What the engine did for one request, without files."""

    result: EngineResult
    spans: tuple[Span, ...]

    def device_s(self, phase: Phase) -> float:
        """Return a phase's seconds: the device's own where they were measured."""
        return sum(
            span.duration_s if span.device_s is None else span.device_s
            for span in self.spans
            if span.phase is phase
        )


@dataclass(kw_only=True, slots=True)
class Ours:
    """A worker whose models stay loaded until ``close``."""

    settings: Settings
    catalogue: Catalogue
    folder: Path  # where files of jobs go
    _worker: Worker | None = None
    _count: int = field(default=0)

    @property
    def worker(self) -> Worker:
        """The worker; assembled when first asked for."""
        if self._worker is None:
            self._worker = assemble_worker(
                settings=self.settings, catalogue=self.catalogue, clock=SystemClock()
            )
        return self._worker

    def close(self) -> None:
        """Unload everything. Idempotent; the next job loads again."""
        if self._worker is not None:
            self._worker.engine.close()
            self._worker = None

    def run(self, request: GenerationRequest) -> Driven[JobResult]:
        """Run one job to its files on disk."""
        names = self._names()
        return drive(self.worker.run(request, job_id=names.stem, names=names, cancel=CancelToken()))

    def run_stored(self, request: GenerationRequest) -> Driven[JobResult]:
        """Likewise, from a draft through the job store: submitted, claimed, run and finished.

        The time counts from before the draft is looked at.
        """
        values = {
            name: getattr(request, name)
            for name in ("width", "height", "num_inference_steps", "guidance_scale", "seed")
        }
        if request.num_frames > 1:
            values["num_frames"] = request.num_frames
        draft = Draft(
            prompt=request.prompt, job_type=request.job_type, values=values, source=Source.CLI
        )
        with contextlib.closing(open_store(self.settings)) as store:
            store.migrate()
            submitter = Submitter(
                store=store,
                catalogue=self.catalogue,
                settings=self.settings,
                policy=build_policy(self.settings.policy),
            )
            start_s = time.perf_counter()
            job = submitter.submit_and_claim(
                draft,
                submitter.resolve(draft),
                worker_id=new_worker_id(),
                lease_s=self.settings.queue.lease_s,
            )
            events = run_claimed(
                job,
                worker=self.worker,
                store=store,
                policy=submitter.policy,
                queue=self.settings.queue,
                names=self._names(),
                cancel=CancelToken(),
            )
            return drive(events, start_s=start_s)

    def run_engine(self, request: GenerationRequest) -> EngineRun:
        """Run one job's engine part; its frames are dropped."""
        recorder = SpanRecorder(SystemClock())
        engine = self.worker.engine
        events = engine.generate(request, recorder=recorder, cancel=CancelToken())
        return EngineRun(result=drive(events).result, spans=recorder.spans())

    def run_enhancer(self, request: GenerationRequest) -> EngineRun:
        """Enhance the request's prompt alone."""
        recorder = SpanRecorder(SystemClock())
        engine = self.worker.engine
        events = engine.enhance_only(request, recorder=recorder, cancel=CancelToken())
        return EngineRun(result=drive(events).result, spans=recorder.spans())

    def _names(self) -> OutputNames:
        self._count += 1
        return OutputNames(folder=self.folder, stem=f"ours-{self._count}")


def drive(
    events: Generator[JobEvent, None, ResultT], *, start_s: float | None = None
) -> Driven[ResultT]:
    """Drive a job's events to their end, timed from ``start_s`` of ``time.perf_counter``."""
    start_s = time.perf_counter() if start_s is None else start_s
    to_first_step_s: float | None = None
    with contextlib.closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return Driven(
                    result=stop.value,
                    wall_s=time.perf_counter() - start_s,
                    to_first_step_s=to_first_step_s,
                )
            if isinstance(event, PhaseStarted) and event.phase is Phase.DENOISE:
                to_first_step_s = to_first_step_s or time.perf_counter() - start_s


def loaded_from(spans: tuple[Span, ...]) -> list[LoadState]:
    """Return where each component that a job loaded came from; empty: all was resident."""
    return [
        LoadState(str(span.facts["state"]))
        for span in spans
        if span.phase in LOADS and "state" in span.facts
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One ``ourvidz generate`` in a process of its own."""

    wall_s: float  # from start to exit
    to_first_step_s: float  # from process start until denoising begins
    first_step_s: float  # that step itself
    phases_s: Mapping[str, float]  # exclusive, until denoising begins; they add up to that
    state: LoadState


def run_process(
    request: GenerationRequest, *, folder: Path, stem: str, settings: Settings
) -> Process:
    """Run ``request`` by the command line in a fresh process.

    Raises:
        OurVidzError: the process failed; the message ends with what it said.
    """
    out = folder / f"{stem}.mp4"
    environment = {
        **os.environ,
        "OURVIDZ_MODELS_DIR": str(settings.resolved_models_dir.absolute()),
        "OURVIDZ_DATA_DIR": str(settings.data_dir.absolute()),
    }
    # An installed package has its bytecode; where this is set, a checkout or an installation that
    # left it out would be compiled at every start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    options: Mapping[str, object] = {
        "--job-type": request.job_type,
        "--profile": request.profile,
        "--device": settings.device,
        "--seed": request.seed,
        "--width": request.width,
        "--height": request.height,
        "--num-frames": request.num_frames,
        "--num-inference-steps": request.num_inference_steps,
        "--out": out,
    }
    words = [str(word) for option in options.items() for word in option]
    start_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ourvidz.cli", "generate", request.prompt, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    wall_s = time.perf_counter() - start_s
    if done.returncode != 0:
        said = done.stderr.strip()[-500:]
        raise OurVidzError(f"`ourvidz generate` ended with {done.returncode}: {said}")
    sidecar = json.loads(OutputNames(folder=folder, stem=stem).sidecar.read_text(encoding="utf-8"))
    return _process_of(sidecar, wall_s)


def _process_of(sidecar: Mapping[str, Any], wall_s: float) -> Process:
    """Read the account: its spans count from the process's start."""
    spans = [
        Span(
            phase=Phase(span["phase"]),
            start_s=span["start_s"],
            end_s=span["end_s"],
            is_background=span.get("is_background", False),
            facts=span.get("facts", {}),
        )
        for span in sidecar["spans"]
    ]
    begin_s = next(span.start_s for span in spans if span.phase is Phase.DENOISE)
    return Process(
        wall_s=wall_s,
        to_first_step_s=begin_s,
        first_step_s=sidecar["step_times_s"][0],
        phases_s=_phases_until(begin_s, spans),
        state=LoadState(sidecar["timing"]["state"]),
    )


def _phases_until(end_s: float, spans: Sequence[Span]) -> dict[str, float]:
    """Return exclusive seconds a phase; what starts up (``what``) has an entry each."""
    phases_s = exclusive_phases_s(spans, start_s=0.0, end_s=end_s)
    phases_s.pop(Phase.STARTUP.value, None)
    startup = [span for span in spans if span.phase is Phase.STARTUP and span.start_s < end_s]
    named = {f"{Phase.STARTUP.value}.{span.facts.get('what', 'other')}": 0.0 for span in startup}
    for span in startup:
        named[f"{Phase.STARTUP.value}.{span.facts.get('what', 'other')}"] += span.duration_s
    return named | phases_s
