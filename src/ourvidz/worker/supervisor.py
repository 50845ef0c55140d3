"""Keeps worker processes alive: one a group of GPUs, or one on the CPU. Imports no torch.

Each worker is the leader of a process group of its own, so that its helpers end with it, and gets
SIGTERM from the kernel (Linux) when the supervisor's thread dies, however it dies. Groups can be
re-formed while others work: who leaves is drained, and whoever needs its GPUs waits until then.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ourvidz.catalog.config import Settings
from ourvidz.fleet.policy import PolicyKind, fixed_shape
from ourvidz.fleet.shape import Shape
from ourvidz.worker.exits import DRAINED_BY_COMMAND

_log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "ourvidz.cli", "worker")
_LOOK_S = 0.1
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 60.0
_STEADY_S = 60.0  # who ran this long starts with the first backoff again
_KILL_MARGIN_S = 10.0  # beyond the drain limit
_PR_SET_PDEATHSIG = 1
_GPU_QUERY_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSlot:
    """One worker to keep alive: its device, and what its environment adds."""

    name: str
    device: str
    environment: Mapping[str, str]
    gpus: tuple[str, ...] = ()  # as CUDA_VISIBLE_DEVICES names them; no other slot may have them


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStatus:
    """How one worker process is."""

    name: str
    device: str
    pid: int | None
    is_running: bool
    starts: int
    last_exit: int | None  # negative: the signal that ended it
    next_start_in_s: float | None
    gpus: tuple[str, ...] = ()
    is_leaving: bool = False  # it is drained, because its GPUs are grouped anew
    is_drained: bool = False  # a person had it drained: it does not start again


@dataclass(kw_only=True, slots=True, eq=False)
class _Kept:
    slot: WorkerSlot
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_s: float = 0.0
    backoff_s: float = 0.0
    next_start_s: float = 0.0
    last_exit: int | None = None
    is_leaving: bool = False
    is_drained: bool = False
    kill_at_s: float | None = None  # it was told to drain, and has until then


class Supervisor:
    """Starts, restarts and stops worker processes. Its thread must outlive them.

    A worker that a person had drained stays ended until this process starts anew, or its GPUs are
    grouped anew.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        slots: Sequence[WorkerSlot] | None = None,
        arguments: Sequence[str] = (),
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            settings: what the workers run with.
            slots: the workers; by default as ``plan_slots`` counts devices.
            arguments: added to each worker's command line.
            rng: jitter of restarts.
        """
        self._settings = settings
        self._kept = [_Kept(slot=slot) for slot in slots or plan_slots(settings)]
        self._arguments = tuple(arguments)
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the workers and the thread that watches them."""
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self, *, drain_s: float | None = None) -> None:
        """Drain every worker, wait, kill what is left. Blocks; idempotent.

        Args:
            drain_s: how long workers get; by default ``queue.drain_s`` and a margin.
        """
        self._stopping.set()
        if self._thread is None:
            return
        limit_s = self._settings.queue.drain_s + _KILL_MARGIN_S if drain_s is None else drain_s
        with self._lock:
            everyone = tuple(self._kept)
            for kept in everyone:
                if kept.kill_at_s is None:  # a second signal would end its job
                    _signal(kept.process, signal.SIGTERM)
        deadline_s = time.monotonic() + limit_s
        for kept in everyone:
            if kept.process is not None:
                while not _has_ended(kept.process) and time.monotonic() < deadline_s:
                    time.sleep(_LOOK_S / 2)
                _end_group(kept.process)
                kept.last_exit = kept.process.wait()
        self._thread.join()

    def reform(self, slots: Sequence[WorkerSlot]) -> None:
        """Have these workers instead of the present ones, and return at once.

        Who is among both works on. The others claim nothing more, finish what runs within
        ``queue.drain_s`` (or give it back), and end; a new worker starts once nobody who leaves
        has a GPU of its. No job is lost.
        """
        wanted = list(slots)
        with self._lock:
            for kept in self._kept:
                if kept.is_leaving:
                    continue
                if kept.slot in wanted:
                    wanted.remove(kept.slot)
                else:
                    kept.is_leaving = True
            self._kept += [_Kept(slot=slot) for slot in wanted]

    def status(self) -> tuple[WorkerStatus, ...]:
        """Return how each worker is."""
        now_s = time.monotonic()
        with self._lock:
            return tuple(_status(kept, now_s) for kept in self._kept)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                for kept in tuple(self._kept):
                    if self._stopping.is_set():
                        break
                    if kept.is_leaving:
                        self._see_off(kept)
                    else:
                        self._look_after(kept)
            self._stopping.wait(_LOOK_S)
        # The kernel signals workers when the thread that started them ends: outlive them.
        for kept in self._kept:
            while kept.process is not None and not _has_ended(kept.process):
                time.sleep(_LOOK_S)

    def _look_after(self, kept: _Kept) -> None:
        now_s = time.monotonic()
        if kept.process is None:
            if not kept.is_drained and now_s >= kept.next_start_s and self._is_free(kept.slot):
                self._start(kept, now_s)
            return
        if not _has_ended(kept.process):
            return
        _end_group(kept.process)  # a killed worker may leave helpers
        status = kept.process.wait()
        kept.process, kept.last_exit = None, status
        if status == DRAINED_BY_COMMAND:
            kept.is_drained = True
            _log.info("worker %s was drained by command; it stays ended", kept.slot.name)
            return
        was_steady = now_s - kept.started_s >= _STEADY_S
        kept.backoff_s = (
            _FIRST_BACKOFF_S
            if was_steady or not kept.backoff_s
            else min(_MAX_BACKOFF_S, kept.backoff_s * 2)
        )
        kept.next_start_s = now_s + kept.backoff_s * self._rng.uniform(0.75, 1.25)
        _log.warning(
            "worker %s ended (%d); it starts again in %.1f s",
            kept.slot.name,
            status,
            kept.next_start_s - now_s,
        )

    def _is_free(self, slot: WorkerSlot) -> bool:
        gpus = frozenset(slot.gpus)
        leaving = [kept for kept in self._kept if kept.is_leaving]
        return all(gpus.isdisjoint(kept.slot.gpus) for kept in leaving)

    def _see_off(self, kept: _Kept) -> None:
        """Drain a worker that leaves; forget it once it has ended."""
        now_s = time.monotonic()
        if kept.process is not None and not _has_ended(kept.process):
            if kept.kill_at_s is None:
                _log.info("worker %s is drained: its GPUs are grouped anew", kept.slot.name)
                kept.kill_at_s = now_s + self._settings.queue.drain_s + _KILL_MARGIN_S
                _signal(kept.process, signal.SIGTERM)
            elif now_s >= kept.kill_at_s:
                _end_group(kept.process)  # its jobs come back when their leases end
            return
        if kept.process is not None:
            _end_group(kept.process)
            kept.process.wait()
        self._kept.remove(kept)

    def _start(self, kept: _Kept, now_s: float) -> None:
        try:
            kept.process = subprocess.Popen(
                [*_COMMAND, "--parent", str(os.getpid()), *self._arguments],
                env={**os.environ, **kept.slot.environment},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            _log.warning("worker %s did not start: %s", kept.slot.name, error.strerror)
            kept.next_start_s = now_s + _MAX_BACKOFF_S
            return
        kept.starts += 1
        kept.started_s = now_s


def plan_slots(settings: Settings, *, gpus: Sequence[str] | None = None) -> tuple[WorkerSlot, ...]:
    """Return one worker a group of GPUs, or one on the device that is configured.

    Args:
        settings: ``fleet.policy`` says how GPUs are grouped; where ``device`` names one, it is one
            worker on that.
        gpus: the GPUs to use, as CUDA_VISIBLE_DEVICES names them; left out, those that may be used.
    """
    if gpus is None:
        gpus = visible_gpus() if settings.device == "auto" else ()
    if gpus:
        shape = fixed_shape(PolicyKind(settings.fleet.policy), gpus)
        return slots_of(settings, shape, gpus=gpus)
    device = settings.device
    environment = {**worker_environment(settings), "OURVIDZ_DEVICE": device}
    return (WorkerSlot(name=device, device=device, environment=environment),)


def slots_of(settings: Settings, shape: Shape, *, gpus: Sequence[str]) -> tuple[WorkerSlot, ...]:
    """Return a worker for each group of a shape.

    A worker sees its group's GPUs alone and learns from ``OURVIDZ_GROUP_SIZE`` how many they are;
    the first is its own device.

    Args:
        settings: what the workers run with.
        shape: the groups.
        gpus: the machine's, in its order, by which workers are named.
    """
    common = worker_environment(settings)
    places = {gpu: index for index, gpu in enumerate(gpus)}
    return tuple(
        WorkerSlot(
            name=_group_name([places[gpu] for gpu in group]),
            device="cuda:0",
            environment={
                **common,
                "CUDA_VISIBLE_DEVICES": ",".join(group),
                "OURVIDZ_DEVICE": "cuda:0",
                "OURVIDZ_GROUP_SIZE": str(len(group)),
            },
            gpus=group,
        )
        for group in shape.groups
    )


def _group_name(places: Sequence[int]) -> str:
    return f"gpu{places[0]}" if len(places) == 1 else f"gpu{places[0]}-{places[-1]}"


def worker_environment(settings: Settings) -> dict[str, str]:
    """Return what a command line may have set, as the environment that workers read."""
    environment = {
        "OURVIDZ_DATA_DIR": str(settings.data_dir.resolve()),
        "OURVIDZ_PROFILE": settings.profile,
        "OURVIDZ_DTYPE": settings.dtype,
        "OURVIDZ_QUEUE": settings.queue.model_dump_json(),
    }
    if settings.models_dir is not None:
        environment["OURVIDZ_MODELS_DIR"] = str(settings.models_dir.resolve())
    if settings.database_url is not None:
        environment["OURVIDZ_DATABASE_URL"] = settings.database_url
    return environment


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _present_gpus()
    if visible is None:
        return present
    named = [name.strip() for name in visible.split(",") if name.strip()]
    return tuple(named) if present and "-1" not in named else ()


def _present_gpus() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_GPU_QUERY_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip().isdigit())


def end_with_parent(parent: int) -> bool:
    """Have the kernel send SIGTERM to this process when its parent ends (Linux).

    Returns:
        Whether the parent still lives; where it does not, nobody will signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def _status(kept: _Kept, now_s: float) -> WorkerStatus:
    is_running = kept.process is not None and not _has_ended(kept.process)
    return WorkerStatus(
        name=kept.slot.name,
        device=kept.slot.device,
        pid=kept.process.pid if kept.process is not None and is_running else None,
        is_running=is_running,
        starts=kept.starts,
        last_exit=kept.last_exit,
        next_start_in_s=None
        if is_running or kept.is_drained
        else max(0.0, kept.next_start_s - now_s),
        gpus=kept.slot.gpus,
        is_leaving=kept.is_leaving,
        is_drained=kept.is_drained,
    )


def _signal(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is not None and not _has_ended(process):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended; where the system can, without freeing its number for others."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    with contextlib.suppress(ChildProcessError):
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the worker's group. Called before ``wait`` frees the number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
