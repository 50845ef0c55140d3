"""When which model is used, and how long: by hour of the week, older weeks counting less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ourvidz.core.phase import Phase
from ourvidz.perf.record import PerformanceRecord

_HOUR_S = 3600.0
_WEEK_HOURS = 168
_DAY_HOURS = 24
# A use of this long ago counts half: some weeks make a pattern, and last year's is forgotten.
HALF_LIFE_S = 14 * 24 * _HOUR_S
_MEAN_OF = 50  # jobs, about: another GPU or release shows within some dozens

# What a run takes only until a worker is warm.
_ONCE = (
    Phase.STARTUP,
    Phase.ENHANCE_LOAD,
    Phase.LOAD_TEXT_ENCODER,
    Phase.LOAD_TRANSFORMER,
    Phase.LOAD_UNET,
    Phase.LOAD_VAE,
    Phase.COMPILE,
)


@dataclass(kw_only=True, slots=True)
class Usage:
    """Uses of models by hour of the week (UTC). Add in any order; ask at any time."""

    half_life_s: float = HALF_LIFE_S
    # Model -> hour of the week -> uses, all as if of ``_since_s``: so nothing is ever rescaled.
    _uses: dict[str, dict[int, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    _weeks: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    _seen: set[int] = field(default_factory=set[int])  # hours since the epoch that count as a week
    _since_s: float | None = None
    _work: dict[str, tuple[int, float]] = field(  # jobs that told it, up to so many; their mean
        default_factory=dict[str, tuple[int, float]]
    )

    def add(
        self, model: str, at_s: float, uses: float = 1.0, *, work_s: float | None = None
    ) -> None:
        """Count uses of a model.

        Args:
            model: its id.
            at_s: when, in Unix seconds.
            uses: how many.
            work_s: seconds of a worker that each took; None: nobody knows.
        """
        if self._since_s is None:
            self._since_s = at_s
        weight = 2 ** ((at_s - self._since_s) / self.half_life_s)
        hour = int(at_s // _HOUR_S)
        self._uses[model][hour % _WEEK_HOURS] += uses * weight
        if hour not in self._seen:
            self._seen.add(hour)
            self._weeks[hour % _WEEK_HOURS] += weight
        if work_s is not None:
            count, mean_s = self._work.get(model, (0, 0.0))
            count = min(count + 1, _MEAN_OF)
            self._work[model] = count, mean_s + (work_s - mean_s) / count

    def work_s(self, model: str) -> float:
        """Return the mean seconds of a worker that a use took lately; 0 where nobody told it."""
        return self._work.get(model, (0, 0.0))[1]

    def knows(self, model: str) -> bool:
        """Whether a model was ever used."""
        return model in self._uses

    def expected(self, at_s: float, *, within_s: float) -> Mapping[str, float]:
        """Return the uses that each model may expect from a time on (Unix seconds).

        Of the same hours of this weekday, and where those hours were never seen, of the same hours
        of other days; of a model that was never used there is nothing.
        """
        found: dict[str, float] = {}
        for model, uses in self._uses.items():
            total, start_s = 0.0, at_s
            while start_s < at_s + within_s:
                hour = int(start_s // _HOUR_S)
                end_s = min(at_s + within_s, (hour + 1) * _HOUR_S)
                total += (end_s - start_s) / _HOUR_S * self._rate(uses, hour % _WEEK_HOURS)
                start_s = end_s
            if total > 0:
                found[model] = total
        return found

    def _rate(self, uses: Mapping[int, float], hour: int) -> float:
        """Return uses in an hour of the week, as a mean over the weeks in which it was seen."""
        if hour in self._weeks:
            return uses.get(hour, 0.0) / self._weeks[hour]
        alike = [each for each in self._weeks if each % _DAY_HOURS == hour % _DAY_HOURS]
        if not alike:
            return 0.0
        return sum(uses.get(each, 0.0) for each in alike) / sum(self._weeks[each] for each in alike)


def work_by_model(record: PerformanceRecord) -> dict[str, float | None]:
    """Return the models that a job used, with the seconds of a warm worker that each took.

    Without loading and compiling; of a batch, the job's share. None: nobody measured it.
    """
    enhance_s = record.phases_s.get(Phase.ENHANCE_RUN.value, 0.0)
    run_s = record.run_s
    if run_s is not None:
        run_s -= enhance_s + sum(record.phases_s.get(phase.value, 0.0) for phase in _ONCE)
        run_s = max(0.0, run_s) / (1 + record.batched_with)
    took: dict[object, float | None] = {
        record.workload.get("enhancer"): enhance_s or None,
        record.workload.get("model"): run_s,
    }
    return {model: seconds for model, seconds in took.items() if isinstance(model, str)}
