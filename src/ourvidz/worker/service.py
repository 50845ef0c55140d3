"""The worker service: claims jobs, drives them on one device, and hands them on to be published.

One thread drives the device. Everything that waits for a disk, the storage or the store's answer
about a finished job happens on other threads, so that the next job denoises meanwhile. While a
video runs, an image or an enhancement may take turns with it between units, each getting as much
time as the other.
"""

from __future__ import annotations

import logging
import os
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Role
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import Cancelled, OurVidzError
from ourvidz.core.event import Note, PhaseStarted, PreviewReady, Progress, PromptEnhanced
from ourvidz.core.failpoints import reach
from ourvidz.core.phase import Phase
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.jobs.model import EventKind, Job, JobKind, Json
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.watching import GLANCE_S, ChangeWatch
from ourvidz.policy.policy import ContentPolicy, Stage, require_allowed
from ourvidz.storage.store import AssetStorage
from ourvidz.worker.exits import DRAINED_BY_COMMAND
from ourvidz.worker.foresight import Foresight
from ourvidz.worker.heartbeat import Attempt, Heartbeat, Stop
from ourvidz.worker.history import History
from ourvidz.worker.logs import JobLogHandler, about_job
from ourvidz.worker.ports import Order, Run, Runner, Turn
from ourvidz.worker.publish import Publisher, remove_folder
from ourvidz.worker.telemetry import open_traces

_log = logging.getLogger(__name__)

# Jobs whose files are being written and uploaded while others run. More would only pile up files.
_MAX_FINISHING = 2
# A wait for loading weights inside one turn; nothing else could run meanwhile.
_BLOCK_S = 0.05
# A dead worker's folder is removed once nothing in it has changed for so long.
_STALE_WORK_S = 3600.0
# So many polls a job is left to an idle worker that has its model: by then that one has looked.
_PATIENCE_POLLS = 0.7
# What a CUDA context says once it is lost for good: only a new process helps.
_BROKEN_DEVICE = ("CUDA error", "cuBLAS", "CUDNN_STATUS", "device-side assert", "NCCL error")


@dataclass(kw_only=True, slots=True, eq=False)
class _Driven:
    """What is on the device: one job, or a batch of them."""

    run: Run
    attempts: dict[str, Attempt]  # by job id; those that have not left the device
    is_video: bool
    used_s: float  # time that it had the device, from where the others stood when it joined


@dataclass(kw_only=True, slots=True)
class _Drain:
    """How far the service is on its way to the end."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    is_asked: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)  # jobs were given back
    timer: threading.Timer | None = None


class WorkerService:
    """One worker process's life, from registering to the last job."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalogue: Catalogue,
        store: JobStore,
        storage: AssetStorage,
        policy: ContentPolicy,
        make_runner: Callable[[], Runner[Any]],
        models: Sequence[str] = (),
        worker_id: str | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; ``run`` does the work.

        Args:
            settings: the queue's times, and where the work folder is.
            catalogue: which models there are.
            store: where jobs are claimed; stays open.
            storage: where files go.
            policy: looks at enhanced prompts.
            make_runner: makes the engine, on the thread that ``run`` is called on.
            models: catalogue ids to claim jobs of; empty means any.
            worker_id: unique among workers; by default host, process and a random part.
            clock: wall time of new ids.
            rng: jitter of waits and backoff.
        """
        self._host = socket.gethostname()
        self.worker_id = worker_id or f"{self._host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._settings = settings
        self._queue = settings.queue
        self._catalogue = catalogue
        self._store = store
        self._policy = policy
        self._make_runner = make_runner
        self._models = tuple(models)
        self._rng = rng or random.Random()
        self._folder = settings.data_dir / "work" / self.worker_id
        self._started_at = (clock or SystemClock()).now().timestamp()
        self._heartbeat = Heartbeat(
            settings=settings, worker_id=self.worker_id, on_command=self._on_command
        )
        self._history = History(store)
        self._traces = open_traces(settings, worker_id=self.worker_id)
        self._publisher = Publisher(
            store=store,
            storage=storage,
            heartbeat=self._heartbeat,
            history=self._history,
            queue=settings.queue,
            clock=clock or SystemClock(),
            rng=self._rng,
            environment_of=self._environment_of,
            traces=self._traces,
        )
        self._pool = ThreadPoolExecutor(_MAX_FINISHING + 1, thread_name_prefix="finish")
        self._operator_pool = ThreadPoolExecutor(1, thread_name_prefix="operator")
        self._log_handler = JobLogHandler(self._on_log)
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._has_started = threading.Event()  # there is a runner, or there will be none
        self._drain = _Drain()
        self._runner: Runner[Any] | None = None
        self._foresight: Foresight | None = None
        self._driven: list[_Driven] = []
        self._held: dict[str, Attempt] = {}  # by key, until settled; several threads
        self._finishing: set[str] = set()  # keys; added here, taken away by the pool's threads
        self._watch = ChangeWatch(store)
        self._next_claim_s = float("-inf")  # while the device is free
        self._next_guest_s = float("-inf")  # while a video has it
        self._next_look_s = float("-inf")
        self._left_since_s: float | None = None  # a job waits that was left to another worker
        self._encoded_key: str | None = None
        self._is_broken = False
        self._is_sent_away = False  # by a command: it is not to be started again
        self._is_store_down = False

    # What others call, from any thread

    def run(self) -> int:
        """Work until ``stop``.

        Returns:
            The exit status: 0, 1 if the device was lost, ``DRAINED_BY_COMMAND`` if a person had
            this worker drained.
        """
        logging.getLogger("ourvidz").addHandler(self._log_handler)
        self._sweep_work()
        try:
            self._heartbeat.start()
            self._describe("starting")
            self._runner = self._make_runner()
            self._has_started.set()
            self._foresight = Foresight(
                store=self._store,
                runner=self._runner,
                models=self._models,
                poll_s=self._queue.poll_s,
                worker_id=self.worker_id,
                sizes={it.id: int(it.size_gib * 2**30) for it in self._catalogue.models.values()},
            )
            self._drive()
            if self._is_sent_away:
                return DRAINED_BY_COMMAND
            return 1 if self._is_broken else 0
        finally:
            self._close()

    def stop(self) -> None:
        """Claim nothing more; what runs may go on for ``queue.drain_s``, then it is given back."""
        with self._drain.lock:
            if self._drain.is_asked.is_set():
                return
            self._drain.is_asked.set()
            self._drain.timer = threading.Timer(self._queue.drain_s, self.give_back)
            self._drain.timer.daemon = True
            self._drain.timer.start()
        self._describe(self._state())  # the loop may sit in a long unit
        self._wake.set()

    def give_back(self) -> None:
        """Give unfinished jobs back to the queue now and stop working on them."""
        self._drain.is_asked.set()
        for attempt in self._all_held():
            attempt.end(Stop.DRAINED)
            self._publisher.end(attempt, RuntimeError("the worker stops"), device_s=0.0)
        self._drain.is_over.set()
        self._wake.set()

    def wait_ended(self, timeout_s: float) -> bool:
        """Wait until ``run`` has returned."""
        return self._ended.wait(timeout_s)

    # The loop

    def _drive(self) -> None:
        while not self._heartbeat.wait_ready(self._queue.poll_s):
            if self._drain.is_asked.is_set():
                return
        while not self._is_finished():
            self._describe(self._state())
            if not self._drain.is_asked.is_set():
                self._claim_more()
            self._look_forward()
            if self._driven:
                self._take_turns()
            elif not self._use_idle_time():
                self._rest()

    def _look_forward(self) -> None:
        if self._foresight is not None and not self._drain.is_asked.is_set():
            self._foresight.look(is_idle=not self._driven)

    def _use_idle_time(self) -> bool:
        """Do one short piece of work ahead; False where there is none."""
        if self._drain.is_asked.is_set():
            return False
        try:
            return self._require_runner().use_idle_time()
        except Exception:  # noqa: BLE001 - nobody waits for it
            _log.exception("idle time was not used")
            return False

    def _is_finished(self) -> bool:
        if not self._drain.is_asked.is_set():
            return False
        return not self._driven and not self._finishing

    def _rest(self) -> None:
        if self._drain.is_asked.is_set() or len(self._finishing) >= _MAX_FINISHING:
            timeout_s = self._queue.poll_s  # woken when one of them is done
        else:
            timeout_s = max(0.0, self._next_claim_s - time.monotonic())
        self._wait(timeout_s)
        self._wake.clear()

    def _wait(self, timeout_s: float) -> None:
        """Wait to be woken; for a submit too, where the store shows that something was written."""
        end_s = time.monotonic() + timeout_s
        while not self._wake.wait(min(timeout_s, GLANCE_S) if self._watch.can_tell else timeout_s):
            if self._watch.has_changed():
                self._next_claim_s = float("-inf")
                return
            timeout_s = end_s - time.monotonic()
            if timeout_s <= 0:
                return

    def _take_turns(self) -> None:
        """Do one unit of who had the device least, and look whether others may go on."""
        able = [driven for driven in self._driven if not driven.run.is_blocked]
        for driven in tuple(self._driven):
            if driven.run.is_blocked:
                self._advance(driven, block_s=0.0 if able else _BLOCK_S)
        if able:
            # The latest of equals: a job that has just joined begins at once.
            self._advance(min(reversed(able), key=lambda driven: driven.used_s), block_s=0.0)
        held = [attempt for driven in self._driven for attempt in driven.attempts.values()]
        self._heartbeat.moved(held)
        now_s = time.monotonic()
        for attempt in held:
            attempt.is_held()
            if now_s - attempt.started_s > attempt.job.deadline_s:
                attempt.end(Stop.DEADLINE)

    def _advance(self, driven: _Driven, *, block_s: float) -> None:
        start_s = time.monotonic()
        try:
            with about_job(next(iter(driven.attempts.values())).key):
                turn = self._require_runner().advance(driven.run, block_s=block_s)
        except Exception as error:  # noqa: BLE001 - an engine's defect must not end the fleet
            self._drop(driven, error)
            return
        if not driven.run.is_blocked:
            driven.used_s += time.monotonic() - start_s
        if turn is not None:
            self._take(driven, turn)
        if driven.run.is_done:
            self._forget(driven)

    def _forget(self, driven: _Driven) -> None:
        self._driven.remove(driven)
        self._next_claim_s = float("-inf")  # the device is free: look at once

    def _drop(self, driven: _Driven, error: Exception) -> None:
        """End all jobs of a run whose engine broke its word."""
        driven.run.close()
        if _is_device_broken(error):
            self._lose_device()
        for attempt in driven.attempts.values():
            self._hand_over(attempt, self._settle_error, attempt, error, 0.0)
        self._forget(driven)

    def _take(self, driven: _Driven, turn: Turn) -> None:
        attempt = driven.attempts.get(turn.job_id)
        if attempt is None:
            return
        with about_job(attempt.key):
            if turn.event is not None:
                self._on_event(attempt, turn.event)
        if turn.finishing is not None:
            del driven.attempts[turn.job_id]
            self._hand_over(attempt, self._publisher.publish, attempt, turn.finishing)
        elif turn.error is not None:
            del driven.attempts[turn.job_id]
            if _is_device_broken(turn.error):
                self._lose_device()
            self._hand_over(attempt, self._settle_error, attempt, turn.error, turn.device_s)

    def _settle_error(self, attempt: Attempt, error: Exception, device_s: float) -> None:
        self._publisher.end(attempt, error, device_s=device_s)

    def _hand_over(self, attempt: Attempt, work: Callable[..., None], *arguments: Any) -> None:
        def finish() -> None:
            try:
                work(*arguments)
            finally:
                self._let_go(attempt)

        self._finishing.add(attempt.key)
        self._pool.submit(finish)

    def _let_go(self, attempt: Attempt) -> None:
        self._heartbeat.drop(attempt)
        self._history.forget(attempt)
        self._held.pop(attempt.key, None)
        remove_folder(self._attempt_folder(attempt))
        self._finishing.discard(attempt.key)
        self._wake.set()

    # Claiming

    def _claim_more(self) -> None:
        if len(self._finishing) >= _MAX_FINISHING:
            return
        now_s = time.monotonic()
        later_s = now_s + self._queue.poll_s * self._rng.uniform(0.75, 1.25)
        if not self._driven:
            if now_s >= self._next_claim_s and not self._try_claim(self._claim_any):
                self._next_claim_s = later_s
        elif len(self._driven) == 1 and self._driven[0].is_video and self._may_have_guest(now_s):
            self._try_claim(self._claim_guest)
            self._next_guest_s = later_s

    def _may_have_guest(self, now_s: float) -> bool:
        return self._watch.has_changed() or now_s >= self._next_guest_s

    def _try_claim(self, claim: Callable[[], Job | None]) -> bool:
        try:
            has_claimed = claim() is not None
        except OurVidzError as error:
            if not self._is_store_down:
                _log.warning("nothing can be claimed: the job store says %s", error.code)
            self._is_store_down = True
            return False
        self._is_store_down = False
        return has_claimed

    def _claim_any(self) -> Job | None:
        """Claim what is next; what an idle worker has loaded and this one has not is left to it.

        Not for long: that worker may have gone, or have claimed something else.
        """
        now_s = time.monotonic()
        resident = tuple(self._require_runner().resident())
        foresight = self._foresight
        left = foresight.idle_elsewhere.difference(resident) if foresight is not None else None
        is_patient = (
            self._left_since_s is None
            or now_s - self._left_since_s < _PATIENCE_POLLS * self._queue.poll_s
        )
        if not left or not is_patient:
            self._left_since_s = None
            return self._claim(models=self._models)
        mine = [it for it in self._catalogue.models if self._may_run(it) and it not in left]
        job = self._claim(models=mine) if mine else None
        if job is not None or self._store.peek(resident=resident, models=self._models) is None:
            self._left_since_s = None
        elif self._left_since_s is None:
            self._left_since_s = now_s
        return job

    def _claim(self, *, models: Sequence[str] = (), kinds: Sequence[str] = ()) -> Job | None:
        asked_s = time.monotonic()
        job = self._store.claim(
            self.worker_id,
            resident=tuple(self._require_runner().resident()),
            models=models,
            lease_s=self._queue.lease_s,
            overdue_s=self._queue.overdue_s,
            kinds=kinds,
        )
        if job is not None:
            reach("after_claim")
            self._begin(job, asked_s)
        return job

    def _claim_guest(self) -> Job | None:
        """Claim what may take turns with the running video: an image or an enhancement."""
        runner = self._require_runner()
        ids = [model.id for model in self._catalogue.models.values() if self._may_run(model.id)]
        roles = {model_id: self._catalogue.models[model_id].role for model_id in ids}
        images = [i for i in ids if roles[i] is Role.IMAGE and runner.can_join(i)]
        job = self._claim(models=images) if images else None
        if job is None and any(roles[i] is Role.ENHANCER and runner.can_join(i) for i in ids):
            job = self._claim(models=self._models, kinds=(JobKind.ENHANCE,))
        if job is None:
            job = self._claim_single_frame([i for i in ids if roles[i] is Role.VIDEO])
        return job

    def _claim_single_frame(self, video_models: Sequence[str]) -> Job | None:
        """Claim an image made by a video model that is resident, if such a job is next."""
        resident = tuple(self._require_runner().resident())
        models = tuple(model_id for model_id in video_models if model_id in resident)
        if not models:
            return None
        ahead = self._store.peek(resident=resident, models=models)
        if ahead is None or ahead.request.media_type is not MediaType.IMAGE:
            return None
        return self._claim(models=models)

    def _may_run(self, model_id: str) -> bool:
        return not self._models or model_id in self._models

    def _begin(self, job: Job, asked_s: float) -> None:
        runner = self._require_runner()
        attempts = [self._hold(job, asked_s)]
        for other in self._claim_batch(job):
            attempt = self._hold(other, asked_s)
            if _waits_for_enhancer(other):  # a batch begins together
                attempt.end(Stop.DRAINED)
                self._hand_over(attempt, self._settle_error, attempt, Cancelled(), 0.0)
            else:
                attempts.append(attempt)
        attempts = [attempt for attempt in attempts if self._is_still_allowed(attempt)]
        orders = [self._order(attempt) for attempt in attempts]
        if not orders:
            return
        try:
            is_enhance = job.kind is JobKind.ENHANCE
            run = runner.start_enhance(orders[0]) if is_enhance else runner.start(orders)
        except Exception as error:  # noqa: BLE001 - the jobs are claimed and must end
            for attempt in attempts:
                self._hand_over(attempt, self._settle_error, attempt, error, 0.0)
            return
        self._driven.append(
            _Driven(
                run=run,
                attempts={attempt.job.id: attempt for attempt in attempts},
                is_video=job.kind is JobKind.GENERATE and job.request.media_type is MediaType.VIDEO,
                used_s=min((driven.used_s for driven in self._driven), default=0.0),
            )
        )

    def _claim_batch(self, job: Job) -> tuple[Job, ...]:
        request = job.request
        is_alone = job.kind is not JobKind.GENERATE or _waits_for_enhancer(job)
        if is_alone or request.batch_shape is None:
            return ()
        room = self._require_runner().batch_room(request) // max(1, request.num_images)
        if room <= 1:
            return ()
        try:
            return self._store.claim_same_shape(
                self.worker_id, job, limit=room - 1, lease_s=self._queue.lease_s
            )
        except OurVidzError:  # no batch then: this job runs alone
            return ()

    def _hold(self, job: Job, asked_s: float) -> Attempt:
        attempt = Attempt(
            job=job,
            started_s=asked_s,
            renewed_s=asked_s,
            lease_s=self._queue.lease_s,
            beat_s=self._queue.beat_s,
        )
        self._held[attempt.key] = attempt
        self._heartbeat.hold(attempt)
        if job.cancel_requested:
            attempt.end(Stop.CANCELLED)
        return attempt

    def _order(self, attempt: Attempt) -> Order:
        job = attempt.job
        started_at = job.started_at if job.started_at is not None else job.run_at
        return Order(
            request=job.request,
            job_id=job.id,
            cancel=attempt.cancel,
            folder=self._attempt_folder(attempt),
            queued_s=max(0.0, started_at - job.run_at),
            enhancement=Enhancement.from_dict(job.enhancement) if job.enhancement else None,
            check_prompt=self._check_prompt,
        )

    def _is_still_allowed(self, attempt: Attempt) -> bool:
        """Look at what an earlier attempt enhanced: a refused job may be retried by a person."""
        kept = attempt.job.enhancement
        if kept is None or not kept.get("enhanced_prompt"):
            return True
        try:
            self._check_prompt(kept["enhanced_prompt"])
        except OurVidzError as error:
            self._hand_over(attempt, self._settle_error, attempt, error, 0.0)
            return False
        return True

    def _check_prompt(self, prompt: str) -> None:
        require_allowed(self._policy, prompt, stage=Stage.ENHANCED)

    def _attempt_folder(self, attempt: Attempt) -> Path:
        return self._folder / f"{attempt.job.id}-{attempt.job.token}"

    # What a running job tells

    def _on_event(self, attempt: Attempt, event: object) -> None:
        match event:
            case PhaseStarted():
                data = {"phase": event.phase.value, "num_units": event.num_units}
                self._history.tell(attempt, EventKind.PHASE, data)
            case Progress():
                self._on_progress(attempt, event)
            case Note():
                data = {"code": event.code, "text": event.text}
                self._history.tell(attempt, EventKind.NOTE, data)
            case PromptEnhanced():
                self._publisher.keep_enhancement(attempt, event.enhancement.to_dict())
            case PreviewReady():
                path = self._attempt_folder(attempt) / "preview.webp"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(event.webp)
                self._pool.submit(self._publisher.put_preview, attempt, path)
            case _:
                pass

    def _on_progress(self, attempt: Attempt, event: Progress) -> None:
        self._heartbeat.progress(
            attempt,
            {
                "phase": event.phase.value,
                "done": event.done,
                "num_units": event.num_units,
                "eta_s": event.eta_s,
                "eta_low_s": event.eta_low_s,
                "eta_high_s": event.eta_high_s,
                "preview": attempt.preview,
            },
        )
        if event.phase is Phase.DENOISE:
            reach("mid_step")
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Encode the prompts of the job that is next while this one denoises."""
        now_s = time.monotonic()
        if now_s < self._next_look_s or self._drain.is_asked.is_set():
            return
        self._next_look_s = now_s + self._queue.poll_s
        runner = self._require_runner()
        try:
            job = self._store.peek(resident=tuple(runner.resident()), models=self._models)
        except OurVidzError:
            return
        if job is None or job.kind is not JobKind.GENERATE or self._encoded_key == job.id:
            return
        enhancement = Enhancement.from_dict(job.enhancement) if job.enhancement else None
        try:
            if runner.encode_ahead(job.request, enhancement):
                self._encoded_key = job.id
        except OurVidzError as error:  # that job meets it again, and tells its owner
            _log.info("nothing encoded ahead: %s", error.code)
            self._encoded_key = job.id

    def _on_log(self, key: str, data: dict[str, Any]) -> None:
        attempt = self._held.get(key)
        if attempt is not None and not attempt.is_settled:
            self._history.tell(attempt, EventKind.LOG, data)

    # Commands, state, end

    def _on_command(self, verb: str, model: str | None) -> None:
        if verb == "drain":
            self._is_sent_away = True
            self.stop()
        elif verb in {"load", "unload"} and model is not None:
            self._operator_pool.submit(self._change_residency, verb, model)
        else:
            _log.warning("unknown command %r", verb)

    def _sweep_work(self) -> None:
        """Remove what killed workers of this host left; a folder lately used may be another's.

        Another container may share host name and disk, and its processes can't be seen from here.
        """
        remove_folder(self._folder)
        if not self._folder.parent.is_dir():
            return
        name = re.compile(rf"{re.escape(self._host)}-(\d+)-[0-9a-f]+")
        for folder in self._folder.parent.iterdir():
            match = name.fullmatch(folder.name)
            is_old = time.time() - folder.stat().st_mtime > _STALE_WORK_S
            if match and is_old and not psutil.pid_exists(int(match.group(1))):
                remove_folder(folder)

    def _change_residency(self, verb: str, model: str) -> None:
        self._has_started.wait()  # a command is told once: one that came too early is kept
        runner = self._runner
        if runner is None or (verb == "load" and self._drain.is_asked.is_set()):
            _log.warning("could not %s %s: the worker stops", verb, model)
            return
        try:
            (runner.load if verb == "load" else runner.unload)(model)
            _log.info("%sed %s", verb, model)
        except OurVidzError as error:
            _log.warning("could not %s %s: %s", verb, model, error.message)
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("could not %s %s", verb, model)
        self._wake.set()

    def _lose_device(self) -> None:
        _log.error("the device is lost to this process; it ends, and another may start")
        self._is_broken = True
        self.stop()
        threading.Thread(target=self.give_back, daemon=True).start()

    def _state(self) -> str:
        if self._drain.is_asked.is_set():
            return "draining"
        return "busy" if self._driven else "idle"

    def _describe(self, state: str) -> None:
        runner, foresight = self._runner, self._foresight
        facts: dict[str, Any] = dict(runner.facts) if runner else {}
        if foresight is not None:
            facts["memory"] = dict(foresight.memory)
        self._heartbeat.describe(
            {
                "id": self.worker_id,
                "host": self._host,
                "pid": os.getpid(),
                "device": runner.device if runner else self._settings.device,
                "state": state,
                "started_at": self._started_at,
                "models": list(self._models),
                "resident": dict(runner.resident()) if runner else {},
                "jobs": sorted(attempt.job.id for attempt in self._all_held()),
                "facts": facts,
            }
        )

    def _environment_of(self, request: GenerationRequest) -> Json:
        return {} if self._runner is None else self._runner.fingerprint(request)

    def _all_held(self) -> list[Attempt]:
        return list(self._held.copy().values())

    def _require_runner(self) -> Runner[Any]:
        assert self._runner is not None, "run() makes it before anything is claimed"
        return self._runner

    def _close(self) -> None:
        logging.getLogger("ourvidz").removeHandler(self._log_handler)
        self._drain.is_asked.set()
        self._has_started.set()
        if self._drain.timer is not None:
            self._drain.timer.cancel()
        if any(not attempt.is_settled for attempt in self._all_held()):
            self.give_back()  # the loop broke: others may go on with its jobs at once
        for driven in self._driven:
            driven.run.close()
        self._pool.shutdown(wait=True)
        self._operator_pool.shutdown(wait=True, cancel_futures=True)
        if self._foresight is not None:
            self._foresight.close()
        self._history.close()
        if self._traces is not None:
            self._traces.close()
        self._heartbeat.close()
        try:
            self._store.remove_worker(self.worker_id)
        except OurVidzError as error:
            _log.warning("this worker's row stays: %s", error.code)
        if self._runner is not None:
            self._runner.close()
        remove_folder(self._folder)
        self._ended.set()


def _waits_for_enhancer(job: Job) -> bool:
    return job.request.enhancement is not None and job.enhancement is None


def _is_device_broken(error: Exception) -> bool:
    return not isinstance(error, OurVidzError) and any(
        text in str(error) for text in _BROKEN_DEVICE
    )
