"""Named places where a fault test ends or holds a process, to prove that nothing is lost there.

Nothing happens unless the environment asks for it:

``OURVIDZ_FAIL_AT=name[:n][:kill|hang|wait]``
    The ``n``-th time (from 1; default 1) that this process reaches ``name``, it is killed with
    SIGKILL (default), or the thread that reached it never goes on, or only once the file below is
    removed.
``OURVIDZ_FAIL_ONCE=FILE``
    Only the first process of all that gets there fails: the file is created then, and who finds
    it there goes on. Without it every process fails.
"""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_S = 0.02
_counts: dict[str, int] = {}
_lock = threading.Lock()


def reach(name: str) -> None:
    """Fail here if the environment says so; else return at once."""
    wanted = os.environ.get("OURVIDZ_FAIL_AT")
    if wanted and _is_due(name, *_parse(wanted)[:2]) and _is_first():
        _fail(_parse(wanted)[2])


def _parse(wanted: str) -> tuple[str, int, str]:
    name, *rest = wanted.split(":")
    count, how = 1, "kill"
    for part in rest:
        if part.isdigit():
            count = int(part)
        else:
            how = part
    return name, count, how


def _is_due(name: str, wanted: str, count: int) -> bool:
    if name != wanted:
        return False
    with _lock:
        _counts[name] = _counts.get(name, 0) + 1
        return _counts[name] == count


def _is_first() -> bool:
    marker = os.environ.get("OURVIDZ_FAIL_ONCE")
    if not marker:
        return True
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def _fail(how: str) -> None:
    if how == "hang":
        threading.Event().wait()
    elif how == "wait":
        marker = os.environ.get("OURVIDZ_FAIL_ONCE")
        while marker and os.path.exists(marker):
            time.sleep(_LOOK_S)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
