"""One worker group: an actor that keeps one ``ourvidz worker`` alive on GPUs that Ray gave it.

The actor itself never touches a GPU or a job. It reads the settings of the node that it is on, so
no password travels through Ray.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

from ourvidz.catalog.config import Settings, load_settings
from ourvidz.cluster.orphans import GROUP_VARIABLE, end_orphans
from ourvidz.cluster.shape import Pool, pool_from
from ourvidz.cluster.wishes import Wishes, require_shared
from ourvidz.core.errors import OurVidzError
from ourvidz.worker.supervisor import Supervisor, WorkerSlot, worker_environment

_log = logging.getLogger(__name__)

_KILL_MARGIN_S = 10.0
_RETRY_S = 2.0  # between two tries to reach a database that is away


class WorkerGroup:
    """What runs inside the actor. Everything it does, it does on threads of its own.

    A restarted actor runs ``__init__`` again and nothing else, so that is what starts the worker.
    """

    def __init__(self, *, cluster: str, name: str, pool: Mapping[str, Any]) -> None:
        """Start; returns at once.

        Args:
            cluster: the cluster's name, whose row the node's own database must hold.
            name: the group's.
            pool: what it is of, as ``asdict``.
        """
        self._cluster = cluster
        self._name = name
        self._pool = pool_from(pool)
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._fault: Mapping[str, Any] | None = None
        self._starter = threading.Thread(target=self._start, name="start", daemon=True)
        self._starter.start()

    def status(self) -> dict[str, Any]:
        """Return how it is, within milliseconds."""
        with self._lock:
            supervisor = self._supervisor
        worker = supervisor.status()[0] if supervisor is not None else None
        # Without its worker it would only hold GPUs; another comes if the pool's target says so.
        is_sent_away = worker is not None and worker.is_drained
        return {
            "name": self._name,
            "host": socket.gethostname(),
            "actor_pid": os.getpid(),
            "gpus": list(visible_gpus()),
            "pid": None if worker is None else worker.pid,
            "starts": 0 if worker is None else worker.starts,
            "last_exit": None if worker is None else worker.last_exit,
            "is_draining": self._stopping.is_set() or is_sent_away,
            "is_drained": self._drained.is_set() or is_sent_away,
            "fault": self._fault,
        }

    def drain(self) -> None:
        """Have the worker claim no more and finish within ``queue.drain_s``. Returns at once."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._stop, name="drain", daemon=True).start()

    def _start(self) -> None:
        try:
            settings = self._settings()
            if settings is not None:
                self._start_worker(settings)
        except OurVidzError as error:
            self._fault = error.to_dict()
        except Exception as error:  # noqa: BLE001 - else nobody would see why there is no worker
            _log.exception("group %s did not start", self._name)
            self._fault = {
                "code": OurVidzError.code,
                "message": f"The group did not start: {type(error).__name__}.",
                "param": None,
                "hint": "The node's log has the rest.",
            }

    def _settings(self) -> Settings | None:
        """Return the node's settings once its database answers; None: it is to stop before."""
        while True:
            try:
                settings = load_settings()
                Wishes(require_shared(settings), name=self._cluster).shape()
            except OurVidzError as error:
                if not error.is_retryable:
                    raise
                self._fault = error.to_dict()
                if self._stopping.wait(_RETRY_S):
                    return None
            else:
                self._fault = None
                return settings

    def _start_worker(self, settings: Settings) -> None:
        end_orphans(
            visible_gpus(),
            patience_s=settings.queue.drain_s + _KILL_MARGIN_S,
            is_stopping=self._stopping.is_set,
        )
        supervisor = Supervisor(
            settings=settings,
            slots=(_slot(settings, self._name, self._pool),),
            arguments=_arguments(self._pool),
        )
        with self._lock:
            if self._stopping.is_set():
                return
            supervisor.start()
            self._supervisor = supervisor

    def _stop(self) -> None:
        self._starter.join()
        with self._lock:
            supervisor = self._supervisor
        if supervisor is not None:
            supervisor.stop()
        self._drained.set()


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that Ray gave this actor, as it named them."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _slot(settings: Settings, name: str, pool: Pool) -> WorkerSlot:
    environment = {
        **worker_environment(settings),
        GROUP_VARIABLE: name,
        "OURVIDZ_DEVICE": settings.device,
        "OURVIDZ_GROUP_SIZE": str(pool.num_gpus),
    }
    return WorkerSlot(name=name, device=settings.device, environment=environment)


def _arguments(pool: Pool) -> tuple[str, ...]:
    models = tuple(word for model in pool.models for word in ("--model", model))
    return (*models, "--test-engine") if pool.uses_test_engine else models
