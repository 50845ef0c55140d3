"""Workers whose actor is gone still hold its GPUs: the next group waits for them, then ends them.

A group's worker gets SIGTERM from the kernel when its actor dies, and may then finish its job.
Until it has, a new worker on the same GPUs would find their memory taken, and fail jobs for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

import psutil

GROUP_VARIABLE = "OURVIDZ_CLUSTER_GROUP"
_GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
_LOOK_S = 0.2
_AT_ONCE_S = 5.0  # for giving a job back at a second signal


def orphans(gpus: Iterable[str]) -> list[psutil.Process]:
    """Return group workers on any of these GPUs whose actor is gone."""
    wanted = set(gpus)
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if "--parent" not in process.cmdline() or GROUP_VARIABLE not in process.environ():
                continue
            is_ours = not wanted.isdisjoint(process.environ().get(_GPUS_VARIABLE, "").split(","))
            if is_ours and process.ppid() != _parent_of(process):
                found.append(process)
    return found


def _parent_of(process: psutil.Process) -> int:
    words = process.cmdline()
    return int(words[words.index("--parent") + 1])


def end_orphans(
    gpus: Iterable[str], *, patience_s: float, is_stopping: Callable[[], bool] = lambda: False
) -> int:
    """Wait for orphans on these GPUs; end those that are still there after ``patience_s``.

    Returns:
        How many there were.
    """
    left = orphans(gpus)
    count = len(left)
    deadline_s = time.monotonic() + patience_s
    while left and time.monotonic() < deadline_s and not is_stopping():
        _, left = psutil.wait_procs(left, timeout=_LOOK_S)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()  # its second: it gives its job back
    _, left = psutil.wait_procs(left, timeout=_AT_ONCE_S)
    for process in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # each leads a group of its own
    return count
