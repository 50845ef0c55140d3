"""``ourvidz worker``: claims jobs from the store and runs them on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.core.clock import SystemClock

if TYPE_CHECKING:
    from ourvidz.worker.ports import Runner
    from ourvidz.worker.service import WorkerService

# After the drain limit: for the unit that runs to end. A longer one is cut off with the process.
_LAST_UNIT_S = 5.0
_AT_ONCE_S = 2.0

# Kept open for as long as signals may come.
_signal_pipes: list[tuple[socket.socket, socket.socket]] = []


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(name="worker")(worker)


def worker(
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Claim only jobs of this model; may be repeated."),
    ] = None,
    parent: Annotated[
        int | None, typer.Option("--parent", hidden=True, help="End when this process ends.")
    ] = None,
    test_engine: Annotated[
        bool, typer.Option("--test-engine", hidden=True, help="For fault tests: no models.")
    ] = False,
) -> None:
    """Claim jobs from the store and run them here until told to stop.

    SIGTERM or Ctrl-C: nothing more is claimed, and what runs may finish within `queue.drain_s`;
    after that, or at a second signal, it goes back to the queue.
    """
    from ourvidz.worker.exits import DRAINED_BY_COMMAND
    from ourvidz.worker.logs import log_to_stderr
    from ourvidz.worker.supervisor import end_with_parent

    settings = load_settings(**({"device": device} if device else {}))
    catalogue = catalogue_of(settings)
    for model_id in model or ():
        catalogue.model(model_id)
    service = _make_service(settings, catalogue, model or [], test_engine=test_engine)
    log_to_stderr(service.worker_id)
    _drain_on_signal(service, settings.queue.drain_s)
    if parent is not None and not end_with_parent(parent):
        return
    status = service.run()
    # Alone it has done as it was told; only a supervisor has to know why it ended.
    sys.exit(0 if status == DRAINED_BY_COMMAND and parent is None else status)


def _make_service(
    settings: Settings, catalogue: Catalogue, models: list[str], *, test_engine: bool
) -> WorkerService:
    from ourvidz.jobs.open import open_store
    from ourvidz.policy.build import build_policy
    from ourvidz.storage.open import open_storage
    from ourvidz.worker.service import WorkerService

    clock = SystemClock()
    store = open_store(settings)
    store.migrate()

    def make_runner() -> Runner[Any]:
        if test_engine:
            from ourvidz.worker.testing import TestRunner

            return TestRunner(clock=clock)
        from ourvidz.perf.records import StoreRecords
        from ourvidz.worker.assemble import assemble_runner

        return assemble_runner(
            settings=settings, catalogue=catalogue, clock=clock, records=StoreRecords(store)
        )

    return WorkerService(
        settings=settings,
        catalogue=catalogue,
        store=store,
        storage=open_storage(settings),
        policy=build_policy(settings.policy),
        make_runner=make_runner,
        models=models,
        clock=clock,
    )


def _drain_on_signal(service: WorkerService, drain_s: float) -> None:
    """Handle signals on a thread: the main one may sit in a unit of work for a minute.

    The interpreter writes the number of a signal to the pipe as it arrives, whatever the main
    thread does; Python's own handlers would wait until it is done.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)

    def serve() -> None:
        _wait_for_signal(ours, None)
        service.stop()
        if not _wait_for_end(service, ours, drain_s + _LAST_UNIT_S):
            service.give_back()
        if not service.wait_ended(_AT_ONCE_S):
            os._exit(1)

    _signal_pipes.append((ours, theirs))
    threading.Thread(target=serve, name="signals", daemon=True).start()


def _wait_for_signal(ours: socket.socket, timeout_s: float | None) -> bool:
    ours.settimeout(timeout_s)
    with contextlib.suppress(TimeoutError):
        return bool(ours.recv(1))
    return False


def _wait_for_end(service: WorkerService, ours: socket.socket, timeout_s: float) -> bool:
    """Wait until the service ended (True), a second signal came or the time is over (False)."""
    ended = threading.Event()

    def watch() -> None:
        if service.wait_ended(timeout_s):
            ended.set()
        # Wakes the wait below; a second signal does the same.
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RD)

    threading.Thread(target=watch, daemon=True).start()
    _wait_for_signal(ours, None)
    return ended.is_set()


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame
