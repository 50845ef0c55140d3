"""How long a running job still takes: from its own steps and from what jobs like it took."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ourvidz.core.phase import Phase
from ourvidz.perf.prediction import Prediction

# What follows each phase that reports progress, in the words of ``Prediction.phases_s``.
_AFTER: dict[Phase, tuple[str, ...]] = {
    Phase.ENHANCE_RUN: ("encode", "denoise", "decode", "save", "upload", "unattributed"),
    Phase.DENOISE: ("decode", "save", "upload", "unattributed"),
    Phase.DECODE: ("save", "upload", "unattributed"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Remaining:
    """Seconds to the end of a job, with the interval that holds 90 % where jobs like it ran."""

    seconds: float
    low_s: float | None = None
    high_s: float | None = None


def remaining(
    *,
    phase: Phase,
    unit_times_s: Sequence[float],
    num_units: int | None,
    expected: Prediction | None,
) -> Remaining | None:
    """Return what is left of a job, or None while nothing is known.

    The units of the running phase are taken at their median so far and, as one unit more, at what
    was expected of them; the phases to come at what is expected of them.

    Args:
        phase: the phase that the job is in.
        unit_times_s: seconds of each unit (step, frame group, token) done in it so far.
        num_units: units that the phase has in all.
        expected: of the whole job; None: the phases still to come count nothing, and the estimate
            is a lower bound without an interval.
    """
    if not unit_times_s or num_units is None:
        return None
    done, units_left = len(unit_times_s), max(0, num_units - len(unit_times_s))
    unit_s = statistics.median(unit_times_s)
    if expected is None:
        return Remaining(seconds=units_left * unit_s)
    name = phase.value
    expected_s = expected.phases_s.get(name)
    if expected_s is not None and num_units > 0:
        unit_s = (done * unit_s + expected_s / num_units) / (done + 1)
    left_s = units_left * unit_s
    # What the job itself has shown of its steps, the interval need not hold any more.
    spread_s = left_s * expected.sds.get(name, 0.0) / math.sqrt(1 + done)
    later = [each for each in _AFTER.get(phase, ()) if each in expected.phases_s]
    total_s = left_s + sum(expected.phases_s[each] for each in later)
    spreads_s = [spread_s, *(expected.phases_s[each] * expected.sds[each] for each in later)]
    if total_s <= 0.0:
        return Remaining(seconds=0.0, low_s=0.0, high_s=0.0)
    factor = math.exp(expected.width * math.hypot(*spreads_s) / total_s)
    return Remaining(seconds=total_s, low_s=total_s / factor, high_s=total_s * factor)
