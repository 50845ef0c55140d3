"""What runs one job of a plan, whichever way."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ourvidz.core.cancel import CancelToken
from ourvidz.perf.protocol.plan import PlannedRun
from ourvidz.perf.protocol.preflight import Facts

# In a job's metadata: which run of which plan it is.
RUN_KEY = "ourvidz_protocol_run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One job that ended."""

    job_id: str
    at: float  # Unix seconds
    wall_s: float
    body: Mapping[str, Any]  # of its performance record; empty where it left none
    files: tuple[Path, ...] = ()
    facts: tuple[Mapping[str, Any], ...] = ()  # of each file: width, height, num_frames
    notes: tuple[str, ...] = ()
    error: str | None = None
    expected: Mapping[str, Any] = field(default_factory=dict[str, Any])  # what outputs must be


class Runner(Protocol):
    """Runs jobs one after another."""

    def facts(self, job_types: Sequence[str]) -> Facts:
        """Return what pre-flight looks at."""
        ...

    def environment(self) -> Mapping[str, Any]:
        """Return facts of where jobs run, as benchmark records have them."""
        ...

    def run(self, planned: PlannedRun, *, plan_id: str, cancel: CancelToken) -> Ran:
        """Run one job to its files. A job that fails is told, not raised.

        Args:
            planned: which; a warm-up takes fewer steps.
            plan_id: goes into its metadata.
            cancel: ends it.

        Raises:
            Cancelled: it was ended so.
            OurVidzError: nothing can be run at all.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def free_bytes(folder: Path) -> int:
    """Return what is free where a folder is, or will be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
