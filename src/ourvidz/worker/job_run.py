"""What one job keeps while it runs: its files, notes, ledger and progress.

One and the same for a job alone, in turns with others, and in a batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import Clock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.event import FramesReady, JobEvent, Note, PhaseStarted, Progress, PromptEnhanced
from ourvidz.core.files import check_writable, sweep_partials
from ourvidz.core.phase import Phase, Span
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.perf.eta import remaining
from ourvidz.perf.ledger import device_seconds
from ourvidz.perf.prediction import Prediction
from ourvidz.worker.memory import Company
from ourvidz.worker.preview import preview_of
from ourvidz.worker.report import settings_of
from ourvidz.worker.writers import OutputNames, Writer, make_writer

# Raw RGB is more than any file made of it: a safe bound for the check before the work.
_BYTES_A_PIXEL = 3

# A hidden partial file this old belongs to a process that was killed.
_STALE_PARTIAL_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """One job as whoever runs it wants it run."""

    request: GenerationRequest
    job_id: str  # names the job in its sidecar
    cancel: CancelToken  # stops it within one step, shard, token or latent frame
    names: OutputNames | None = None  # where the files go; needed unless it only enhances
    queued_s: float = 0.0  # seconds before now that it waited: its phase ``queue_wait``
    enhancement: Enhancement | None = None  # of an earlier attempt: the enhancer is not asked
    check_prompt: Callable[[str], None] | None = None  # raises to refuse the enhanced prompt
    wants_preview: bool = False  # ``PreviewReady`` as soon as there is a frame


@dataclass(kw_only=True, slots=True, eq=False)
class JobRun:
    """One job's state between its first event and its result."""

    order: JobOrder
    clock: Clock
    environment: Mapping[str, Any]
    company: Company
    start_s: float  # of the job, on ``clock``
    recorder: SpanRecorder
    expected: Prediction | None = None  # what jobs like it took; None: nobody knows
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # removes its files
    writer: Writer | None = None
    notes: list[Note] = field(default_factory=list[Note])
    enhancement: Enhancement | None = None
    progress: _ProgressClock = field(init=False)

    def __post_init__(self) -> None:
        self.progress = _ProgressClock(self.clock, self.expected)
        self.enhancement = self.order.enhancement

    @property
    def request(self) -> GenerationRequest:
        """What the job asks for."""
        return self.order.request

    @property
    def names(self) -> OutputNames:
        """Where its files go."""
        assert self.order.names is not None, "a job with files has names for them"
        return self.order.names

    @property
    def device_s(self) -> float:
        """Seconds that the device has worked for the job so far."""
        return device_seconds(self.recorder.spans(), self.recorder.lost_turns())

    def open(self, *, has_files: bool = True) -> None:
        """Begin: the folder can be written, and a stored enhancement is still allowed.

        Raises:
            OutputUnwritable, DiskFull: the folder.
            OurVidzError: what ``check_prompt`` raises.
        """
        self.undo.callback(self.company.leave, self)
        self.company.enter(self)
        if has_files:
            with self.recorder.span(Phase.PREPARE):
                _prepare_folder(self.names.folder, self.request, self.undo)
                sweep_partials(
                    self.names.folder, older_than_s=_STALE_PARTIAL_S, now=self.clock.now()
                )
        if self.enhancement is not None:
            self._check(self.enhancement)

    def take(self, event: JobEvent) -> Generator[JobEvent, None, None]:
        """Keep what an event brings, and pass it on for whoever watches.

        Raises:
            OutputUnwritable, DiskFull, OutputInvalid: what a writing thread met.
            OurVidzError: what ``check_prompt`` raises of an enhanced prompt.
        """
        if isinstance(event, PromptEnhanced):
            self._check(event.enhancement)
            self.enhancement = event.enhancement
        elif isinstance(event, Note):
            self.notes.append(event)
        elif isinstance(event, FramesReady):
            is_first = self.writer is None
            self._write(event)
            if is_first and self.order.wants_preview:
                with self.recorder.span(Phase.THUMBNAIL, facts={"what": "preview"}):
                    preview = preview_of(event)
                yield preview
        yield self.progress.with_eta(event)

    def _check(self, enhancement: Enhancement) -> None:
        prompt = enhancement.enhanced_prompt
        if self.order.check_prompt is not None and prompt is not None:
            self.order.check_prompt(prompt)

    def _write(self, event: FramesReady) -> None:
        if self.writer is None:
            settings = settings_of(self.request, self.enhancement, self.environment)
            self.writer = make_writer(
                self.request, names=self.names, recorder=self.recorder, settings=settings
            )
            self.undo.callback(self.writer.abandon)
        self.writer.add(event)


def begin_run(
    order: JobOrder,
    *,
    clock: Clock,
    environment: Mapping[str, Any],
    company: Company,
    expected: Prediction | None = None,
    started_s: float | None = None,
) -> JobRun:
    """Return the state of a job that begins now, or began earlier.

    Args:
        expected: what jobs like it took, for its ETA.
        started_s: when it began on ``clock``, if a process start belongs to it: the phase
            ``startup``.
    """
    recorder = SpanRecorder(clock)
    now_s = clock.monotonic()
    start_s = now_s - order.queued_s if started_s is None else started_s
    if started_s is not None:
        recorder.add(
            Span(phase=Phase.STARTUP, start_s=started_s, end_s=now_s, facts={"what": "process"})
        )
    elif order.queued_s > 0:
        recorder.add(Span(phase=Phase.QUEUE_WAIT, start_s=start_s, end_s=now_s))
    return JobRun(
        order=order,
        clock=clock,
        environment=environment,
        company=company,
        start_s=start_s,
        recorder=recorder,
        expected=expected,
    )


class _ProgressClock:
    """Times the units of the running phase and adds an ETA to each progress event."""

    def __init__(self, clock: Clock, expected: Prediction | None) -> None:
        self._clock = clock
        self._expected = expected
        self._last_s = clock.monotonic()
        self._last_done = 0
        self._unit_times_s: list[float] = []

    def with_eta(self, event: JobEvent) -> JobEvent:
        now_s = self._clock.monotonic()
        if isinstance(event, PhaseStarted):
            self._last_s, self._last_done, self._unit_times_s = now_s, 0, []
        if not isinstance(event, Progress):
            return event
        new_units = max(1, event.done - self._last_done)
        self._unit_times_s += [(now_s - self._last_s) / new_units] * new_units
        self._last_s, self._last_done = now_s, event.done
        left = remaining(
            phase=event.phase,
            unit_times_s=self._unit_times_s,
            num_units=event.num_units,
            expected=self._expected,
        )
        if left is None:
            return event
        return replace(event, eta_s=left.seconds, eta_low_s=left.low_s, eta_high_s=left.high_s)


def _prepare_folder(folder: Path, request: GenerationRequest, undo: contextlib.ExitStack) -> None:
    """Make sure that the folder can be written; ``undo`` removes what had to be created."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in missing[::-1]:  # the last callback runs first: the deepest folder goes first
        undo.callback(_remove_if_empty, path)
    items = request.num_frames * request.num_images
    check_writable(folder, bytes_needed=items * request.width * request.height * _BYTES_A_PIXEL)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
