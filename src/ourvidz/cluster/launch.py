"""Keeps Ray itself alive on a machine: the head with its controller, or a node.

A head that starts again knows nothing of its old nodes, and they do not notice: their Ray goes on
beside it, out of its reach (Ray 2.60, without fault tolerance of the head). So a node compares the
session that it is of with the one that the controller reports, and joins anew when they differ.
Its workers finish or give back what they run meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ourvidz.cluster.waiting import is_on, wait_gone
from ourvidz.cluster.wishes import Wishes
from ourvidz.core.errors import OurVidzError

_log = logging.getLogger(__name__)

_LOOK_S = 0.2
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 5.0
_STEADY_S = 60.0
_SESSION_S = 3.0  # between two looks at the reported session
_LATE_S = 120.0  # a node goes on without its head for so long, and its workers with it
_SESSION = re.compile(r"session_[0-9_-]+")
_NODE_ID = "--node_id="
_CURRENT = "ray_current_cluster"  # what the last head left; a new one would take it for alive


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A program to keep alive."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    is_stale: Callable[[int], bool] = lambda pid: False  # whether to start it anew, by its number
    follows: str | None = None  # the program without which it is of no use: killed when that ends
    before: Callable[[], None] = lambda: None
    leave: Callable[[int], None] = lambda pid: None  # what it does before it is ended for good


@dataclass(kw_only=True, slots=True)
class _Running:
    kept: Kept
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    next_start_s: float = 0.0
    backoff_s: float = 0.0


class Keeper:
    """Starts programs, and starts them again when they end. Run it on the main thread."""

    def __init__(
        self, programs: Sequence[Kept], *, stop_s: float, rng: random.Random | None = None
    ) -> None:
        """Prepare.

        Args:
            programs: started in this order, ended in the opposite one.
            stop_s: how long each gets after SIGTERM.
            rng: jitter of restarts.
        """
        self._running = [_Running(kept=kept) for kept in programs]
        self._stop_s = stop_s
        self._rng = rng or random.Random()

    def run(self, stopping: threading.Event) -> None:
        """Keep them until ``stopping``, then end them."""
        try:
            while not stopping.is_set():
                for running in self._running:
                    self._look_after(running)
                stopping.wait(_LOOK_S)
        finally:
            for running in reversed(self._running):
                if running.process is not None and running.process.poll() is None:
                    running.kept.leave(running.process.pid)
                self._end(running)

    def _look_after(self, running: _Running) -> None:
        now_s = time.monotonic()
        if running.process is None:
            if now_s >= running.next_start_s:
                self._start(running, now_s)
            return
        if running.process.poll() is None:
            if running.kept.is_stale(running.process.pid):
                _log.warning("%s is of a head that is gone; it starts anew", running.kept.name)
                self._end(running)
            return
        code = running.process.returncode
        self._end(running)
        for other in self._running:
            if other.kept.follows == running.kept.name and other.process is not None:
                other.process.kill()
        was_steady = now_s - running.started_s >= _STEADY_S
        running.backoff_s = (
            _FIRST_BACKOFF_S
            if was_steady or not running.backoff_s
            else min(_MAX_BACKOFF_S, 2 * running.backoff_s)
        )
        wait_s = running.backoff_s * self._rng.uniform(0.75, 1.25)
        running.next_start_s = now_s + wait_s
        _log.warning("%s ended (%d); again in %.1f s", running.kept.name, code, wait_s)

    def _start(self, running: _Running, now_s: float) -> None:
        kept = running.kept
        kept.before()
        running.process = subprocess.Popen(
            [sys.executable, "-m", "ourvidz.cluster.tied", str(os.getpid()), *kept.command],
            env={**os.environ, **kept.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        running.started_s = now_s
        _log.info("%s starts", kept.name)

    def _end(self, running: _Running) -> None:
        process, running.process = running.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._stop_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind
        process.wait()


def head_programs(
    *,
    host: str,
    port: int,
    folder: Path,
    controller: Sequence[str],
    environment: Mapping[str, str],
    num_gpus: int = 0,
    object_store_bytes: int | None = None,
) -> tuple[Kept, ...]:
    """Return the head and the controller beside it.

    Args:
        host: the address that nodes reach it at; 127.0.0.1 for this machine alone.
        port: of the head.
        folder: where Ray keeps its logs and sockets: a short path.
        controller: its command line.
        environment: see ``secure_environment``.
        num_gpus: of the head's own that may have groups; a head of its own has none.
        object_store_bytes: Ray's shared memory, of which a cluster of ours needs next to none.
    """
    extra = dict(environment)
    if host == "127.0.0.1":
        # Otherwise Ray takes the machine's outer address instead, and listens on every one.
        extra["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    head = Kept(
        name="ray head",
        command=(
            *_ray_start(folder, num_gpus, object_store_bytes),
            "--head",
            f"--node-ip-address={host}",
            f"--port={port}",
            "--include-dashboard=False",
            "--no-monitor",  # nothing here asks a cloud for machines
        ),
        environment=extra,
        before=lambda: (folder / _CURRENT).unlink(missing_ok=True),
    )
    # Without its head it would notice after a while, and it keeps nothing that could be lost.
    return head, Kept(name="controller", command=controller, environment=extra, follows=head.name)


def node_program(
    *,
    address: str,
    folder: Path,
    wishes: Wishes,
    environment: Mapping[str, str],
    num_gpus: int | None = None,
    labels: Mapping[str, str] | None = None,
    object_store_bytes: int | None = None,
    leave_s: float = 60.0,
) -> Kept:
    """Return a node that joins the head at ``address``, and joins anew when the head did.

    Before it is ended for good it is drained, for ``leave_s`` at most.
    """
    named = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
    return Kept(
        name="ray node",
        command=(
            *_ray_start(folder, num_gpus, object_store_bytes),
            f"--address={address}",
            *((f"--labels={named}",) if named else ()),
        ),
        environment={
            **environment,
            # Its workers need no head: better alone for a while than ended.
            "RAY_gcs_rpc_server_reconnect_timeout_s": str(int(_LATE_S)),
        },
        is_stale=StaleCheck(wishes),
        leave=lambda pid: drain_node(wishes, pid, timeout_s=leave_s),
    )


def drain_node(wishes: Wishes, pid: int, *, timeout_s: float) -> None:
    """Have the node under a process emptied; without a controller nobody would: then not."""
    node_id = node_under(pid)
    if node_id is None:
        return
    try:
        if wishes.seen().has_controller:
            wishes.change(lambda shape: shape.cordon(node_id))
            wait_gone(wishes, lambda group: is_on(group, node_id), timeout_s=timeout_s)
    except OurVidzError as error:
        _log.warning("this node ends with groups on it: %s", error.message)


def _ray_start(
    folder: Path, num_gpus: int | None, object_store_bytes: int | None
) -> tuple[str, ...]:
    words = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        "--disable-usage-stats",
    ]
    if num_gpus is not None:
        words.append(f"--num-gpus={num_gpus}")
    if object_store_bytes is not None:
        words.append(f"--object-store-memory={object_store_bytes}")
    # Any free ports: a head and a node of one machine would take the same ones from Ray's range.
    ports = ("--min-worker-port=0", "--max-worker-port=0")
    logs = "--include-log-monitor=False"  # it would read them to drivers, of which there are none
    return (*words, *ports, logs, "--num-cpus=0", f"--temp-dir={folder}")


class StaleCheck:
    """Whether a node is of another session than the head that there is now."""

    def __init__(self, wishes: Wishes, *, every_s: float = _SESSION_S) -> None:
        """Prepare; the database is asked every ``every_s``."""
        self._wishes = wishes
        self._every_s = every_s
        self._next_s = float("-inf")

    def __call__(self, pid: int) -> bool:
        """Look at the node that is a child of ``pid``. Not known is not stale."""
        if time.monotonic() < self._next_s:
            return False
        self._next_s = time.monotonic() + self._every_s
        own = session_under(pid)
        try:
            seen = self._wishes.seen()
        except OurVidzError:
            return False
        # While no controller leads, what it last reported may be a head that is gone.
        return own is not None and seen.has_controller and seen.session not in {None, own}


def session_under(pid: int) -> str | None:
    """Return the session of the Ray node among the children of a process."""
    return session_of(_node_words(pid))


def node_under(pid: int) -> str | None:
    """Return the id of the Ray node among the children of a process."""
    for word in _node_words(pid):
        if word.startswith(_NODE_ID):
            return word.removeprefix(_NODE_ID)
    return None


def _node_words(pid: int) -> Sequence[str]:
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.name() == "raylet":
                    return process.cmdline()
    return ()


def session_of(words: Sequence[str]) -> str | None:
    """Return the session that a node's command line names."""
    for word in words:
        found = _SESSION.search(word)
        if found:
            return found[0].rstrip("_-")
    return None
