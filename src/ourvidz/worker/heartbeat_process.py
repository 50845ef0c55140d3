"""The process that keeps a worker's leases: ``python -m ourvidz.worker.heartbeat_process``.

It is a process of its own because a thread of the worker could be starved for longer than a lease
by code that holds the interpreter lock. It has its own database connection and imports no torch.

It reads lines of JSON from stdin (what the worker holds, how far each job is, when it last moved)
and writes lines to stdout (leases renewed, leases lost, jobs to cancel, commands). A job that has
not moved for ``hang_s`` is not renewed, so its lease ends; a worker that is still in the same
unit of work after that is killed, because nothing else stops a hung kernel. When stdin closes,
the worker is gone, and so is this process. It also takes back what other workers left behind.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from ourvidz.catalog.config import Settings, load_settings
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import Beat, BeatReply, Json, WorkerInfo
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.perf.nvml import Gpu, GpuReading, find_gpu
from ourvidz.worker.logs import log_to_stderr

_log = logging.getLogger(__name__)

# Cancelling takes effect within a second, and its flag comes back with a beat.
_TICK_S = 1.0
_WATCH_S = 0.25


@dataclass(kw_only=True, slots=True)
class _Held:
    """One attempt that the worker holds. Times are CLOCK_MONOTONIC, the same in all processes."""

    job_id: str
    token: int
    renewed_s: float
    moved_s: float
    progress: Json | None = None  # not yet written
    is_over: bool = False  # the worker was told to cancel it, or that its lease is lost


@dataclass(kw_only=True, slots=True)
class HeartbeatState:
    """What the worker told; shared by the threads of this process."""

    lease_s: float
    beat_s: float
    hang_s: float
    held: dict[str, _Held] = field(default_factory=dict[str, _Held])
    worker: dict[str, Any] | None = None
    worker_changed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, message: Json) -> None:
        """Take one line from the worker."""
        with self.lock:
            for entry in message.get("hold", ()):
                self.held[entry["key"]] = _Held(
                    job_id=entry["job_id"],
                    token=entry["token"],
                    renewed_s=entry["renewed_s"],
                    moved_s=entry["moved_s"],
                )
            for key in message.get("drop", ()):
                self.held.pop(key, None)
            for key, moved_s in message.get("moved", {}).items():
                if key in self.held:
                    self.held[key].moved_s = moved_s
            for key, progress in message.get("progress", {}).items():
                if key in self.held:
                    self.held[key].progress = progress
            if "worker" in message:
                self.worker, self.worker_changed = message["worker"], True

    def due(self, now_s: float) -> dict[str, Beat]:
        """Return a beat for every attempt that has moved lately enough to be believed alive."""
        with self.lock:
            beats = {
                key: Beat(job_id=held.job_id, token=held.token, progress=held.progress)
                for key, held in self.held.items()
                if not held.is_over and now_s - held.moved_s < self.hang_s
            }
            for key in beats:
                self.held[key].progress = None
        return beats

    def settle(self, beats: dict[str, Beat], alive: dict[str, BeatReply], asked_s: float) -> Json:
        """Take the store's replies to ``beats``; return what the worker must know."""
        renewed: list[str] = []
        lost: list[str] = []
        cancel: list[str] = []
        with self.lock:
            for key, beat in beats.items():
                held, reply = self.held.get(key), alive.get(beat.job_id)
                if held is None:
                    continue
                if reply is None or not reply.is_alive:
                    held.is_over = True
                    lost.append(key)
                    continue
                held.renewed_s = asked_s
                renewed.append(key)
                if reply.cancel_requested:
                    cancel.append(key)
        return {"renewed": renewed, "at_s": asked_s, "lost": lost, "cancel": cancel}

    def is_hung(self, now_s: float) -> bool:
        """Whether the worker still sits in a unit of work whose lease ended, and a beat more."""
        with self.lock:
            return any(
                now_s - held.moved_s >= self.hang_s
                and now_s - held.renewed_s >= self.lease_s + self.beat_s
                for held in self.held.values()
            )


def beat_once(store: JobStore, worker_id: str, state: HeartbeatState) -> Json:
    """Renew every attempt that moves, write its progress, and return what the worker must know."""
    asked_s = time.monotonic()  # before the call: the lease began no earlier than this
    beats = state.due(asked_s)
    if not beats:
        return {}
    replies = store.beat(worker_id, tuple(beats.values()), lease_s=state.lease_s)
    return state.settle(beats, dict(replies), asked_s)


def main() -> None:
    """Serve one worker until its end of the pipe closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the worker drains, and needs its leases meanwhile
    parent = os.getppid()
    start: dict[str, Any] = json.loads(sys.stdin.readline())
    worker_id: str = start["worker_id"]
    log_to_stderr(worker_id)
    settings = load_settings(**start["settings"])
    queue = settings.queue
    state = HeartbeatState(lease_s=queue.lease_s, beat_s=queue.beat_s, hang_s=queue.hang_s)
    threading.Thread(target=_listen, args=(sys.stdin, state), daemon=True).start()
    threading.Thread(target=_watch, args=(state, parent), daemon=True).start()
    _beat_forever(settings, worker_id, state)


def _listen(stream: TextIO, state: HeartbeatState) -> None:
    for line in stream:
        state.hear(json.loads(line))
    os._exit(0)


def _watch(state: HeartbeatState, parent: int) -> None:
    """Kill a worker that hangs. Twice seen: a worker that was frozen with us may be waking up."""
    suspicions = 0
    last_s = time.monotonic()
    while True:
        time.sleep(_WATCH_S)
        now_s = time.monotonic()
        was_frozen = now_s - last_s > 4 * _WATCH_S
        last_s = now_s
        suspicions = suspicions + 1 if not was_frozen and state.is_hung(now_s) else 0
        if suspicions >= 2 and os.getppid() == parent:
            _log.error("the worker hangs in one unit of work; it is killed")
            os.kill(parent, signal.SIGKILL)
            os._exit(1)


def _beat_forever(settings: Settings, worker_id: str, state: HeartbeatState) -> None:
    tick_s = min(_TICK_S, state.beat_s, settings.queue.reap_s)
    watch = GpuWatch()
    store: JobStore | None = None
    next_s = time.monotonic()
    put_s = reaped_s = float("-inf")
    while True:
        time.sleep(max(0.0, next_s - time.monotonic()))
        next_s = time.monotonic() + tick_s
        try:
            if store is None:
                store = open_store(settings)
                _say({"ready": True})
            _say(beat_once(store, worker_id, state))
            put_s = _put_worker(store, state, put_s, watch)
            _say(_commands(store, worker_id))
            reaped_s = _reap(store, settings, reaped_s)
        except OurVidzError as error:
            _log.warning("no beat: the job store says %s", error.code)
        except Exception:  # noqa: BLE001 - whatever it is, the next beat may succeed
            _log.exception("no beat")


class GpuWatch:
    """The worker's GPU, found once its row names the device. None: there is none to ask."""

    def __init__(self) -> None:
        self._device: str | None = None
        self._gpu: Gpu | None = None

    def facts(self, device: str) -> Json:
        """Return what the GPU does now, under ``gpu``; nothing without one."""
        if device != self._device:
            self._device, self._gpu = device, find_gpu(device)
        return {} if self._gpu is None else {"gpu": gpu_facts(self._gpu.read())}


def gpu_facts(reading: GpuReading) -> Json:
    """Return what a worker's row tells of its GPU."""
    return {
        "utilisation": reading.utilisation,
        "memory_used_bytes": reading.memory_used_bytes,
        "power_w": reading.power_w,
        "temperature_c": reading.temperature_c,
    }


def _put_worker(store: JobStore, state: HeartbeatState, put_s: float, watch: GpuWatch) -> float:
    now_s = time.monotonic()
    with state.lock:
        worker, has_changed = state.worker, state.worker_changed
        state.worker_changed = False
    if worker is None or not (has_changed or now_s - put_s >= state.beat_s):
        return put_s
    fields: dict[str, Any] = {
        **worker,
        "facts": {**worker["facts"], **watch.facts(worker["device"])},
        "models": tuple(worker["models"]),
        "jobs": tuple(worker["jobs"]),
        "seen_at": 0.0,  # the store's own clock fills it in
    }
    store.put_worker(WorkerInfo(**fields))
    return now_s


def _reap(store: JobStore, settings: Settings, reaped_s: float) -> float:
    """Take back what dead workers held: whoever lives does it, API or no API."""
    now_s = time.monotonic()
    if now_s - reaped_s < settings.queue.reap_s:
        return reaped_s
    for job_id in store.reap(max_crashes=settings.queue.max_crashes):
        _log.warning("the lease of %s has ended; it is taken back", job_id)
    return now_s


def _commands(store: JobStore, worker_id: str) -> Json:
    commands = store.take_commands(worker_id)
    if not commands:
        return {}
    return {"commands": [{"verb": command.verb, "model": command.model} for command in commands]}


def _say(message: Json) -> None:
    if any(message.get(name) for name in ("ready", "renewed", "lost", "cancel", "commands")):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
