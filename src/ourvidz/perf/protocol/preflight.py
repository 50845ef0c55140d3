"""Checks before the first run: each with its reason, and whether it warns or refuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ourvidz.core.errors import IllegalState

GIB = 2**30
# Of a run's outputs and records together, generously.
LEAST_DISK_BYTES = GIB
_BUSY_UTILISATION = 0.10  # of a GPU that nobody uses
_BUSY_LOAD = 0.5  # runnable processes a core


class Level(StrEnum):
    """What a check says."""

    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    text: str  # what was found
    reason: str  # why it matters
    hint: str = ""  # what mends it


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuFacts:
    """What the driver tells of the GPU that jobs will run on."""

    name: str | None
    utilisation: float | None
    num_others: int | None  # processes that are not ours; None: the driver does not tell
    slowed_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What was found before the first run. None: it can't be seen from here."""

    in_process: bool
    num_workers: int | None
    num_queued: int | None
    num_running: int | None
    paused: tuple[str, ...]  # job types that a service holds
    missing_models: tuple[str, ...] | None
    unhashed_models: tuple[str, ...] | None
    missing_packages: tuple[str, ...] | None
    broken_packages: tuple[str, ...] | None  # there, and not importable
    gpu: GpuFacts | None  # None: no GPU, or not to be seen
    uses_gpu: bool | None
    load_a_core: float | None  # of this machine's processors, the last minute
    free_disk_bytes: int | None


def judge_facts(facts: Facts) -> tuple[Check, ...]:
    """Return every check, in the order in which people look."""
    return tuple(
        check
        for check in (
            _packages(facts),
            _models_there(facts),
            _models_hashed(facts),
            _workers(facts),
            _queue(facts),
            _gpu_quiet(facts),
            _clocks(facts),
            _processors(facts),
            _disk(facts),
        )
        if check is not None
    )


def require_passed(checks: Iterable[Check], *, is_forced: bool) -> None:
    """Refuse to go on where a check refuses.

    Raises:
        IllegalState: Names every one that does, with its reason.
    """
    refused = [check for check in checks if check.level is Level.REFUSE]
    if not refused or is_forced:
        return
    told = " ".join(f"{check.text} ({check.reason})." for check in refused)
    hints = "; ".join(check.hint for check in refused if check.hint)
    raise IllegalState(f"Pre-flight refuses: {told}", param="preflight", hint=hints or None)


def _packages(facts: Facts) -> Check | None:
    if facts.missing_packages is None:
        return None
    lacking = [*facts.missing_packages, *(facts.broken_packages or ())]
    return _check(
        "dependencies",
        Level.REFUSE if lacking else Level.OK,
        f"not importable: {', '.join(lacking)}" if lacking else "all packages import",
        reason="a job would fail at its first step",
        hint="pip install 'ourvidz[engine]'",
    )


def _models_there(facts: Facts) -> Check | None:
    if facts.missing_models is None:
        return None
    missing = facts.missing_models
    return _check(
        "models present",
        Level.REFUSE if missing else Level.OK,
        f"missing: {', '.join(missing)}" if missing else "all models are here",
        reason="its job types can't run",
        hint="; ".join(f"ourvidz models pull {model}" for model in missing),
    )


def _models_hashed(facts: Facts) -> Check | None:
    if facts.unhashed_models is None:
        return None
    bare = facts.unhashed_models
    return _check(
        "models hashed",
        Level.WARN if bare else Level.OK,
        f"without recorded hashes: {', '.join(bare)}" if bare else "every model has its hashes",
        reason="records then tell weights apart by samples of the files",
        hint="; ".join(f"ourvidz models verify {model}" for model in bare),
    )


def _workers(facts: Facts) -> Check:
    if facts.in_process:
        others = facts.num_workers or 0
        return _check(
            "workers",
            Level.WARN if others else Level.OK,
            f"{others} workers of a service share this data directory"
            if others
            else "jobs run in this process",
            reason="a worker that takes a job meanwhile takes the device too",
            hint="stop the service, or measure through it: --url",
        )
    there = facts.num_workers or 0
    return _check(
        "workers",
        Level.OK if there else Level.REFUSE,
        f"{there} workers are up",
        reason="nobody would run a job",
        hint="ourvidz worker",
    )


def _queue(facts: Facts) -> Check | None:
    if facts.num_queued is None or facts.num_running is None:
        return None
    if facts.paused:
        return _check(
            "queue empty",
            Level.REFUSE,
            f"paused: {', '.join(facts.paused)}",
            reason="its jobs would wait for ever",
            hint="ourvidz jobs resume",
        )
    is_empty = not facts.num_queued and not facts.num_running
    # A service's own jobs would stand in the way of each of ours.
    blocks = not is_empty and (not facts.in_process or facts.num_running > 0)
    return _check(
        "queue empty",
        Level.OK if is_empty else Level.REFUSE if blocks else Level.WARN,
        "no job waits or runs"
        if is_empty
        else f"{facts.num_queued} jobs wait, {facts.num_running} run",
        reason="runs beside other jobs measure both",
        hint="wait until they have ended, or cancel them",
    )


def _gpu_quiet(facts: Facts) -> Check | None:
    if facts.uses_gpu is False:
        return None
    gpu = facts.gpu
    if gpu is None:
        return _check(
            "GPU quiet",
            Level.WARN,
            "nobody can tell from here",
            reason="another process on the GPU slows every run",
            hint="pip install 'ourvidz[gpu]'" if facts.in_process else "",
        )
    if gpu.num_others:
        return _check(
            "GPU quiet",
            Level.REFUSE,
            f"{gpu.num_others} other processes on {gpu.name}",
            reason="another process on the GPU slows every run, and each would be left out",
            hint="end them, or choose another GPU: --device cuda:1",
        )
    busy = gpu.utilisation is not None and gpu.utilisation > _BUSY_UTILISATION
    used = "" if gpu.utilisation is None else f", {gpu.utilisation:.0%} used"
    return _check(
        "GPU quiet",
        Level.WARN if busy else Level.OK,
        f"{gpu.name}{used}",
        reason="somebody else's kernels would be measured too",
    )


def _clocks(facts: Facts) -> Check | None:
    gpu = facts.gpu
    if gpu is None:
        return None
    return _check(
        "clocks not throttled",
        Level.REFUSE if gpu.slowed_by else Level.OK,
        f"held back by {', '.join(gpu.slowed_by)}" if gpu.slowed_by else "nothing holds them back",
        reason="a throttled GPU is another, slower GPU",
        hint="let it cool down, and look at its power supply",
    )


def _processors(facts: Facts) -> Check | None:
    load = facts.load_a_core
    if load is None:
        return None
    is_busy = load > _BUSY_LOAD
    decides = facts.uses_gpu is False
    return _check(
        "processors quiet",
        Level.WARN if is_busy else Level.OK,
        f"load {load:.2f} a core",
        reason="jobs run on them, and would share them"
        if decides
        else "text, files and the driver's calls run on them",
        hint="end what else runs" if is_busy else "",
    )


def _disk(facts: Facts) -> Check | None:
    free = facts.free_disk_bytes
    if free is None:
        return None
    has_room = free >= LEAST_DISK_BYTES
    return _check(
        "disk room",
        Level.OK if has_room else Level.REFUSE,
        f"{free / GIB:.1f} GiB free",
        reason=f"outputs and records need {LEAST_DISK_BYTES / GIB:.0f} GiB",
        hint="free some, or choose another folder: --out",
    )


def _check(name: str, level: Level, text: str, *, reason: str, hint: str = "") -> Check:
    return Check(
        name=name, level=level, text=text, reason=reason, hint="" if level is Level.OK else hint
    )
