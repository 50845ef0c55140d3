"""The clock of an embedded store: steps of the wall clock don't reach it.

Wall time is taken once a boot; from then on the monotonic clock counts. So a time server that
steps the wall clock neither ends all leases nor starts delayed jobs early. A changed boot id says
that no worker of before can still be alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Without a running or delayed job nothing hangs on the old anchor: beyond this, take a new one.
MAX_IDLE_DRIFT_S = 1.0


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # not Linux: the minute of the boot, as well as it is known
        return f"boot-{round(psutil.boot_time() / 60)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class BootClock:
    """What the machine says of the time. Tests inject their own."""

    wall_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic  # shared by all processes of a boot
    boot_id: str = field(default_factory=_boot_id)
