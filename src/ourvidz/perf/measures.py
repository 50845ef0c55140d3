"""What of a record is compared, and how much of a change matters in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ourvidz.core.phase import Phase
from ourvidz.perf.ledger import median_step_s
from ourvidz.perf.record import PerformanceRecord

TOTAL = "total"  # end to end, seconds; without waiting in the queue and for other jobs
STEP = "step"  # median step, seconds
PEAK_MEMORY = "peak_memory"  # bytes of the device
HOST_MEMORY = "host_memory"  # peak bytes of the process

# The first that a record holds: the allocator's own, or what an import was told.
_PEAKS = ("device_peak_allocated_bytes", "peak_bytes")
_HOST_PEAK = "host_peak_bytes"
# Below this a median says more about the clock than about the program.
_FLOOR_S = 0.005

# What depends on what else was asked for, or on what else the process holds since it started: two
# processes differ in resident bytes by more than any tolerance, and hardly at all within each.
_NOT_JUDGED = frozenset({Phase.QUEUE_WAIT.value, HOST_MEMORY})


class Unit(StrEnum):
    """What a measure is counted in."""

    SECONDS = "s"
    BYTES = "bytes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """Changes up to this are of no interest."""

    share: float  # of the earlier runs' median
    floor: float = 0.0  # in the measure's unit; the larger of the two counts

    def as_share(self, base: float) -> float:
        """Return the tolerance as a share of ``base``, which must be above 0."""
        return max(self.share, self.floor / base)


_OTHER = 0.50
_SHARES = {
    TOTAL: 0.10,
    STEP: 0.05,
    PEAK_MEMORY: 0.02,
    Phase.DENOISE.value: 0.05,
    Phase.DECODE.value: 0.15,
    # Work of the device whose length is given by prompt and settings, as decoding's is.
    Phase.ENCODE.value: 0.15,
    Phase.ENHANCE_RUN.value: 0.15,
    Phase.ENHANCE_LOAD.value: 0.30,
    Phase.LOAD_TEXT_ENCODER.value: 0.30,
    Phase.LOAD_TRANSFORMER.value: 0.30,
    Phase.LOAD_UNET.value: 0.30,
    Phase.LOAD_VAE.value: 0.30,
    Phase.COMPILE.value: 0.30,
    Phase.SAVE.value: 0.50,
    Phase.UPLOAD.value: 0.50,
}
# In the order of the ledger; what it does not know comes after, by name.
_ORDER = {name: index for index, name in enumerate([TOTAL, STEP, *Phase, PEAK_MEMORY, HOST_MEMORY])}


def measures_of(record: PerformanceRecord) -> Mapping[str, float]:
    """Return a record's measures by name, in the ledger's order; only values above 0.

    ``total`` in seconds, ``step`` the median step, each phase by its name, ``peak_memory`` of the
    device and ``host_memory`` of the process in bytes. A phase that took no time is absent: it
    can't be compared by ratio.
    """
    found: Mapping[str, float] | None = record.derived.get("measures")
    if found is None:
        found = record.derived["measures"] = _measures_of(record)
    return found


def _measures_of(record: PerformanceRecord) -> dict[str, float]:
    found: dict[str, float] = dict(record.phases_s)
    found[TOTAL] = record.run_s or 0.0
    found[STEP] = median_step_s(record.step_times_s) or 0.0
    found[PEAK_MEMORY] = next((record.memory[n] for n in _PEAKS if record.memory.get(n)), 0)
    found[HOST_MEMORY] = record.memory.get(_HOST_PEAK, 0)
    return {name: float(found[name]) for name in sorted_measures(found) if found[name] > 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One measure over several runs: those that have it."""

    indices: tuple[int, ...]  # places of these runs among all
    values: tuple[float, ...]


def columns_of(records: Iterable[PerformanceRecord]) -> dict[str, Column]:
    """Return every measure that any of the records has, in their usual order."""
    found: dict[str, list[tuple[int, float]]] = {}
    for index, record in enumerate(records):
        for name, value in measures_of(record).items():
            found.setdefault(name, []).append((index, value))
    return {
        name: Column(
            indices=tuple(index for index, _ in found[name]),
            values=tuple(value for _, value in found[name]),
        )
        for name in sorted_measures(found)
    }


def sorted_measures(names: Iterable[str]) -> list[str]:
    """Return names in the order in which people read them: total, step, phases, memory."""
    return sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))


def unit_of(measure: str) -> Unit:
    """Return what a measure is counted in."""
    return Unit.BYTES if measure in {PEAK_MEMORY, HOST_MEMORY} else Unit.SECONDS


def is_judged(measure: str) -> bool:
    """Whether a change of it says something about the program.

    Waiting in the queue does not, nor does the memory of the whole process.
    """
    return measure not in _NOT_JUDGED


def tolerance_of(measure: str) -> Tolerance:
    """Return how much of a change is of no interest.

    End to end 10 %, denoise and step 5 %, decode 15 %, loading 30 %, save and upload 50 %, peak
    memory 2 %; encode and enhance as decode, compile as loading, all else 50 %. Phases have a floor
    of 5 ms beside it.
    """
    is_timed_whole = measure not in {STEP, PEAK_MEMORY, HOST_MEMORY}
    return Tolerance(share=_SHARES.get(measure, _OTHER), floor=_FLOOR_S if is_timed_whole else 0.0)
