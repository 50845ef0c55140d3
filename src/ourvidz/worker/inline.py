"""One job in this process, for a person who waits for it: claimed, run and finished in the store.

The lease is kept by a thread. A worker service keeps its leases with a process, since code that
holds the interpreter's lock, or a device that hangs, would cost everybody's jobs. Here it is one
job, and a person watches it: a second process would only make each command slower to start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ourvidz.catalog.config import QueueConfig
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import (
    Cancelled,
    LeaseLost,
    NotFound,
    OurVidzError,
    StoreFull,
    StoreUnavailable,
)
from ourvidz.core.event import JobEvent, Note, PhaseStarted, Progress, PromptEnhanced
from ourvidz.core.job import JobResult, JobState
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import Beat, EventKind, Job, Json
from ourvidz.jobs.store import JobStore
from ourvidz.policy.policy import ContentPolicy, Stage, require_allowed
from ourvidz.worker.heartbeat import Attempt, Stop
from ourvidz.worker.history import History
from ourvidz.worker.publish import public_error, record_of, record_of_failure
from ourvidz.worker.report import result_to_dict

if TYPE_CHECKING:
    from ourvidz.worker.run import Worker
    from ourvidz.worker.writers import OutputNames

_log = logging.getLogger(__name__)

T = TypeVar("T")

# How often progress is told and a cancel is heard of; the lease alone would ask for less.
_BEAT_S = 1.0
_STORE_PAUSE_S = 0.25
# A person waits for the error meanwhile; a job whose end was not told is taken back anyway.
_TELL_S = 5.0


def new_worker_id() -> str:
    """Return the name under which this process holds its job: unique among workers."""
    return f"cli-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def run_claimed(
    job: Job,
    *,
    worker: Worker,
    store: JobStore,
    policy: ContentPolicy,
    queue: QueueConfig,
    names: OutputNames,
    cancel: CancelToken,
    started_s: float | None = None,
) -> Generator[JobEvent, None, JobResult]:
    """Run ``job``, which this process has claimed, and return its result once the store has it.

    Its files stay where ``names`` says: the store gets their absolute paths and no asset. No
    deadline ends it, since a person watches. A job that the store does not take as succeeded
    leaves no file; only where the store can't be asked any more, finished files stay.

    Args:
        job: running, its lease just begun.
        queue: ``lease_s`` and ``beat_s``.
        cancel: set by whoever waits for the job, or here when the store asks for it.
        started_s: see ``Worker.run``.

    Raises:
        Cancelled: here or through the store.
        LeaseLost: the job was taken back, because this process stood still for too long.
        StoreUnavailable, StoreFull: the files are finished, and the store did not take that.
        OurVidzError: whatever the worker raises; the job has failed in the store.
    """
    events = worker.run(
        job.request,
        job_id=job.id,
        names=names,
        cancel=cancel,
        started_s=started_s,
        check_prompt=lambda prompt: require_allowed(policy, prompt, stage=Stage.ENHANCED),
    )
    made = _Holder(
        job=job, store=store, queue=queue, cancel=cancel, environment_of=worker.fingerprint
    )
    with contextlib.closing(made) as holder:
        try:
            result = yield from holder.told(events)
        except GeneratorExit:  # nobody waits for it any more
            holder.end(Cancelled())
            raise
        except Exception as error:
            told = holder.end(error)
            if told is error:
                raise
            raise told from error
        try:
            holder.finish(result)
        except (Cancelled, LeaseLost):
            _remove_files(result, names)
            raise
        return result


@dataclass(kw_only=True, slots=True)
class _Holder:
    """Holds one job's lease and tells the store what becomes of it."""

    job: Job
    store: JobStore
    queue: QueueConfig
    cancel: CancelToken
    environment_of: Callable[[GenerationRequest], Json]
    _attempt: Attempt = field(init=False)
    _history: History = field(init=False)
    _thread: threading.Thread = field(init=False)
    _closing: threading.Event = field(default_factory=threading.Event)
    _progress: Json | None = None
    _since_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._attempt = Attempt(
            job=self.job,
            started_s=self._since_s,
            renewed_s=self._since_s,
            lease_s=self.queue.lease_s,
            beat_s=self.queue.beat_s,
            cancel=self.cancel,
        )
        self._history = History(self.store)
        self._thread = threading.Thread(target=self._beat_forever, name="beat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the lease."""
        self._closing.set()
        self._history.close()
        self._thread.join(timeout=5.0)

    def told(
        self, events: Generator[JobEvent, None, JobResult]
    ) -> Generator[JobEvent, None, JobResult]:
        """Pass ``events`` on, and have the store hear of those that it keeps."""
        with contextlib.closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as stop:
                    return stop.value
                self._tell(event)
                yield event

    def finish(self, result: JobResult) -> None:
        """Store the job as succeeded.

        Raises:
            Cancelled, LeaseLost: what it is in the store instead.
            StoreUnavailable, StoreFull: the store does not say.
        """
        self._history.flush()
        try:
            is_taken = self._insist(
                lambda: self.store.finish(
                    self.job.id,
                    self.job.token,
                    result=_stored_result(result),
                    assets=(),
                    adjustments=[
                        {"code": note.code, "text": note.text} for note in result.adjustments
                    ],
                    record=record_of(self._attempt, result),
                    device_s=result.timing.device_s,
                ),
                for_s=self.queue.lease_s,
            )
        except (StoreUnavailable, StoreFull) as error:
            kept = ", ".join(asset.path for asset in result.outputs)
            raise type(error)(
                "The job is done, and the job store did not take its end.",
                hint=f"Its files are finished: {kept}",
            ) from error
        if not is_taken:
            raise self._why_not_taken()

    def end(self, error: Exception) -> Exception:
        """Store that the job failed or was cancelled; return what to raise."""
        self._history.flush()
        if self._attempt.stop is Stop.LOST:
            return _lost()
        device_s = time.monotonic() - self._since_s  # at most: nobody knows it better
        try:
            if isinstance(error, Cancelled):
                is_told = self._insist(lambda: self._confirm_cancel(device_s), for_s=_TELL_S)
            else:
                body = public_error(error)
                record = record_of_failure(
                    self._attempt,
                    error,
                    environment=self.environment_of(self.job.request),
                    device_s=device_s,
                )
                is_told = self._insist(
                    lambda: self.store.fail(
                        self.job.id,
                        self.job.token,
                        error=body,
                        retry_in_s=None,
                        device_s=device_s,
                        record=record,
                    ),
                    for_s=_TELL_S,
                )
        except OurVidzError as untold:  # the person hears of the first error; the lease will end
            _log.warning("the job store did not take this job's end: %s", untold.code)
            return error
        if not is_told:
            _log.warning("the job was taken back before its end")
        return error

    def _confirm_cancel(self, device_s: float) -> bool:
        self.store.cancel(self.job.id)  # as anybody asks; then the worker's own word
        return self.store.confirm_cancel(self.job.id, self.job.token, device_s=device_s)

    def _why_not_taken(self) -> OurVidzError:
        try:
            is_cancelled = self.store.get(self.job.id).state is JobState.CANCELLED
        except NotFound:  # failed, and forgotten since
            is_cancelled = False
        return Cancelled() if is_cancelled else _lost()

    def _tell(self, event: JobEvent) -> None:
        match event:
            case PhaseStarted():
                data = {"phase": event.phase.value, "num_units": event.num_units}
                self._history.tell(self._attempt, EventKind.PHASE, data)
            case Note():
                data = {"code": event.code, "text": event.text}
                self._history.tell(self._attempt, EventKind.NOTE, data)
            case Progress():
                self._progress = {
                    "phase": event.phase.value,
                    "done": event.done,
                    "num_units": event.num_units,
                    "eta_s": event.eta_s,
                    "eta_low_s": event.eta_low_s,
                    "eta_high_s": event.eta_high_s,
                    "preview": None,
                }
            case PromptEnhanced():
                self._keep_enhancement(event.enhancement.to_dict())
            case _:
                pass

    def _keep_enhancement(self, enhancement: Json) -> None:
        try:
            is_kept = self.store.set_enhancement(self.job.id, self.job.token, enhancement)
        except (StoreUnavailable, StoreFull) as error:  # the result holds it too
            _log.warning("the enhanced prompt was not kept: %s", error.code)
        else:
            if not is_kept:
                self._attempt.lose()

    def _beat_forever(self) -> None:
        told: Json | None = None
        every_s = min(_BEAT_S, self.queue.beat_s)
        while not self._closing.wait(every_s):
            progress = self._progress
            try:
                self._beat(None if progress is told else progress)
            except OurVidzError as error:  # the next beat asks again
                _log.warning("no beat: the job store says %s", error.code)
            else:
                told = progress

    def _beat(self, progress: Json | None) -> None:
        beat = Beat(job_id=self.job.id, token=self.job.token, progress=progress)
        worker_id = self.job.worker_id or ""
        replies = self.store.beat(worker_id, [beat], lease_s=self.queue.lease_s)
        reply = replies[self.job.id]
        if not reply.is_alive:
            self._attempt.lose()
        elif reply.cancel_requested:
            self._attempt.end(Stop.CANCELLED)

    def _insist(self, call: Callable[[], T], *, for_s: float) -> T:
        """Call the store until it answers, for so many seconds at most."""
        give_up_s = time.monotonic() + for_s
        while True:
            try:
                return call()
            except (StoreUnavailable, StoreFull):
                if time.monotonic() > give_up_s:
                    raise
            threading.Event().wait(min(_STORE_PAUSE_S, self.queue.beat_s))


def _lost() -> LeaseLost:
    return LeaseLost(
        "The job was taken back while this process stood still; its files are removed.",
        hint="Run it again, or raise queue.lease_s if this machine sleeps or stops processes.",
    )


def _stored_result(result: JobResult) -> dict[str, Any]:
    """Return what the job's row keeps: all that is known, with paths that hold from any folder."""
    whole = result_to_dict(result)
    return {**whole, "outputs": [_with_absolute_paths(output) for output in whole["outputs"]]}


def _with_absolute_paths(output: Mapping[str, Any]) -> dict[str, Any]:
    paths = {
        name: str(Path(output[name]).absolute())
        for name in ("path", "thumbnail_path")
        if output.get(name)
    }
    return {**output, **paths}


def _remove_files(result: JobResult, names: OutputNames) -> None:
    paths = [names.sidecar]
    for asset in result.outputs:
        paths.append(Path(asset.path))
        if asset.thumbnail_path:
            paths.append(Path(asset.thumbnail_path))
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
