"""Verdicts: is one group of runs slower than another, in what, and could it have been seen.

A regression or an improvement needs both: significance, and a size that matters. Where there are
too few runs for either there is no verdict, and where nothing is found it says what would have
been. ``docs/guides/performance.md`` tells it in plain words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.baselines import LeftOut, left_out_reasons
from ourvidz.perf.comparison import (
    Difference,
    Incomparable,
    difference,
    environment_difference,
    require_comparable,
)
from ourvidz.perf.decisions import Effect, Finding
from ourvidz.perf.grouping import in_order, series_id
from ourvidz.perf.measures import (
    TOTAL,
    Tolerance,
    Unit,
    columns_of,
    is_judged,
    sorted_measures,
    tolerance_of,
    unit_of,
)
from ourvidz.perf.plain import digest, plain
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats import (
    MAD_TO_SIGMA,
    Shift,
    flag_outliers,
    holm,
    mann_whitney,
    median,
    minimum_detectable_effect,
    relative_shift,
    smallest_p,
)

# p must be below it: alone for the whole job, corrected over all others together.
ALPHA = 0.01
# Of the Hodges-Lehmann interval that must lie beyond the tolerance.
LEVEL = 0.95
SMALLEST_N_TOTAL = 5  # on each side
SMALLEST_N_PHASES = 7


class Outcome(StrEnum):
    """What is said of one measure, or of all together."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    NO_CHANGE = "no_change"  # none detected
    INDICATIVE = "indicative"  # too few runs: figures, no verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureVerdict:
    """One measure of two groups."""

    measure: str
    unit: Unit
    outcome: Outcome
    num_before: int
    num_after: int
    median_before: float | None  # None: no run has it
    median_after: float | None
    shift: Shift | None  # relative; None where a side has no value
    p_value: float | None  # None: not tested
    adjusted_p: float | None  # over the family, of phases; the same as ``p_value`` end to end
    tolerance: float  # as a share of the earlier median
    detectable: float | None  # the smallest shift that 80 % of such comparisons find; None: none
    outcome_without_outliers: Outcome | None  # only where it is another one
    text: str  # the verdict in one sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What two groups of runs say."""

    id: str  # the same for the same runs
    outcome: Outcome  # a regression of any measure is one of the whole
    measures: tuple[MeasureVerdict, ...]  # the whole job first
    varied: tuple[Difference, ...]  # in what the groups were allowed to differ, and do
    software: tuple[Difference, ...]  # versions that differ between them: what may explain a change
    before: tuple[str, ...]  # ids of the runs that counted
    after: tuple[str, ...]
    left_out: tuple[LeftOut, ...]  # of both groups
    finding: Finding  # what a person may decide upon
    text: str

    def of(self, measure: str) -> MeasureVerdict | None:
        """Return the verdict of one measure."""
        return next((each for each in self.measures if each.measure == measure), None)

    @property
    def regressions(self) -> tuple[str, ...]:
        """Measures that became worse."""
        return _with(self.measures, Outcome.REGRESSION)

    @property
    def improvements(self) -> tuple[str, ...]:
        """Measures that became better."""
        return _with(self.measures, Outcome.IMPROVEMENT)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self) | {
            "regressions": list(self.regressions),
            "improvements": list(self.improvements),
        }


def judge_runs(
    before: Iterable[PerformanceRecord],
    after: Iterable[PerformanceRecord],
    *,
    varied: AbstractSet[str] = frozenset(),
    tolerances: Callable[[str], Tolerance] = tolerance_of,
) -> Verdict:
    """Return what two groups of runs say about every measure.

    - End to end: Mann-Whitney p below 0.01, from 5 runs on each side.
    - Each phase, the step time and the peak memory: the same p corrected by Holm over all of
      them, from 7 on each side.
    - And the 95 % interval of the Hodges-Lehmann shift lies wholly beyond the measure's tolerance.

    Runs that were contaminated, failed or weren't measured are left out and listed.

    Args:
        before: The runs compared with; all comparable with one another.
        after: The runs in question; all comparable with one another.
        varied: Fields in which the groups may differ, because they are what is compared, as in
            ``comparison.difference``: ``scheduler``. All else that differs refuses the comparison.
        tolerances: What of a change is of no interest, by measure.

    Raises:
        Incomparable: Runs that can't be compared; every difference is named.
        InvalidRequest: A group has no run that counts, or the groups share runs.
    """
    groups = [in_order(before), in_order(after)]
    is_history = _check_origins(groups)
    (first, left_before), (second, left_after) = (
        _counted(group, name=name, is_history=is_history)
        for group, name in zip(groups, ("before", "after"), strict=True)
    )
    shared = {record.id for record in first} & {record.id for record in second}
    if shared:
        raise InvalidRequest(f"Run {min(shared)} is in both groups.", param="after")
    found = _check_comparable(first, second, varied)
    measures = _judge_measures(first, second, tolerances)
    outcome = _overall(measures)
    identity = f"v-{digest([[r.id for r in first], [r.id for r in second]])}"
    text = _summary(outcome, measures)
    return Verdict(
        id=identity,
        outcome=outcome,
        measures=measures,
        varied=found,
        software=tuple(
            each
            for each in environment_difference(first[-1], second[-1])
            if each.part == "software"
        ),
        before=tuple(record.id for record in first),
        after=tuple(record.id for record in second),
        left_out=(*left_before, *left_after),
        finding=Finding(
            id=identity,
            series=series_id(second[0]),
            effect=_effect(measures),
            from_at=second[0].at,
            from_record=second[0].id,
            text=text,
        ),
        text=text,
    )


def judge_values(
    measure: str,
    before: Sequence[float],
    after: Sequence[float],
    *,
    tolerance: Tolerance | None = None,
) -> MeasureVerdict:
    """Return the verdict of one measure alone, as of the whole job: from 5 values on each side.

    Raises:
        InvalidRequest: A side is empty, or a value is not finite or not above 0.
    """
    return _judge_alone(measure, before, after, tolerance or tolerance_of(measure))


# The parts


def _check_origins(groups: Sequence[Sequence[PerformanceRecord]]) -> bool:
    origins = {record.origin is Origin.IMPORTED for group in groups for record in group}
    if len(origins) == 2:
        raise InvalidRequest(
            "Imported history is never compared with this installation's own runs.",
            param="origin",
            hint="Imported runs were timed elsewhere; compare them among themselves.",
        )
    return origins == {True}


def _check_comparable(
    before: Sequence[PerformanceRecord],
    after: Sequence[PerformanceRecord],
    varied: AbstractSet[str],
) -> tuple[Difference, ...]:
    """Return in what the groups differ as they may.

    Raises:
        Incomparable: They differ in more, or differ within.
    """
    for group in (before, after):
        for record in group[1:]:
            require_comparable(group[0], record)
    found = difference(before[0], after[0])
    refused = [each for each in found if each.field.partition(".")[0] not in varied]
    if refused:
        raise Incomparable(refused)
    return found


def _counted(
    records: Sequence[PerformanceRecord], *, name: str, is_history: bool
) -> tuple[list[PerformanceRecord], list[LeftOut]]:
    counted: list[PerformanceRecord] = []
    left_out: list[LeftOut] = []
    for record in records:
        reasons = [
            reason
            for reason in left_out_reasons(record)
            if not (is_history and reason == "imported")
        ]
        if reasons:
            left_out.append(LeftOut(id=record.id, at=record.at, reasons=tuple(reasons)))
        else:
            counted.append(record)
    if not counted:
        why = "; ".join(sorted({reason for each in left_out for reason in each.reasons}))
        raise InvalidRequest(
            f"No run counts on the side {name!r}: {why or 'it is empty'}.",
            param=name,
            hint=f"A verdict needs {SMALLEST_N_TOTAL} runs on each side, one of phases "
            f"{SMALLEST_N_PHASES}.",
        )
    return counted, left_out


def _judge_measures(
    before: Sequence[PerformanceRecord],
    after: Sequence[PerformanceRecord],
    tolerances: Callable[[str], Tolerance],
) -> tuple[MeasureVerdict, ...]:
    columns = columns_of(before), columns_of(after)
    sides = {
        name: tuple(found[name].values if name in found else () for found in columns)
        for name in sorted_measures({*columns[0], *columns[1]})
        if is_judged(name)
    }
    found: list[MeasureVerdict] = []
    if TOTAL in sides:
        first, second = sides.pop(TOTAL)
        found.append(_judge_alone(TOTAL, first, second, tolerances(TOTAL)))
    return (*found, *_judge_family(sides, tolerances))


def _judge_alone(
    measure: str, before: Sequence[float], after: Sequence[float], tolerance: Tolerance
) -> MeasureVerdict:
    draft = _Draft.of(measure, before, after, tolerance)
    too_few = draft.too_few(SMALLEST_N_TOTAL)
    if too_few:
        return draft.indicative(too_few)
    p_value = mann_whitney(before, after).p_value
    return draft.verdict(p_value=p_value, adjusted_p=p_value, alpha=ALPHA)


def _judge_family(
    sides: Mapping[str, tuple[Sequence[float], ...]],
    tolerances: Callable[[str], Tolerance],
) -> list[MeasureVerdict]:
    drafts = [
        _Draft.of(name, before, after, tolerances(name)) for name, (before, after) in sides.items()
    ]
    tested = [draft for draft in drafts if not draft.too_few(SMALLEST_N_PHASES)]
    # What both groups together spend in a phase does not depend on which of them is slower, so the
    # choice of whom to test leaves each test's error as it is.
    tested.sort(key=lambda draft: -median([*draft.before, *draft.after]))
    while tested and max(draft.smallest_p for draft in tested) * len(tested) >= ALPHA:
        timed = [draft for draft in tested if draft.unit is Unit.SECONDS]
        tested.remove(timed[-1] if timed else tested[-1])
    p_values = {d.measure: mann_whitney(d.before, d.after).p_value for d in tested}
    adjusted = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
    found: list[MeasureVerdict] = []
    for draft in drafts:
        if draft.measure in adjusted:
            found.append(
                draft.verdict(
                    p_value=p_values[draft.measure],
                    adjusted_p=adjusted[draft.measure],
                    alpha=ALPHA / len(tested),
                )
            )
        else:
            reason = draft.too_few(SMALLEST_N_PHASES) or (
                f"{len(drafts)} phases are more than {draft.num_before} + {draft.num_after} runs "
                "can judge, and the shortest are left out"
            )
            found.append(draft.indicative(reason))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """One measure of two groups before anything was tested."""

    measure: str
    before: Sequence[float]
    after: Sequence[float]
    tolerance: float
    shift: Shift | None

    @classmethod
    def of(
        cls, measure: str, before: Sequence[float], after: Sequence[float], tolerance: Tolerance
    ) -> _Draft:
        return cls(
            measure=measure,
            before=before,
            after=after,
            tolerance=tolerance.as_share(median(before)) if before else tolerance.share,
            shift=relative_shift(before, after, level=LEVEL) if before and after else None,
        )

    @property
    def unit(self) -> Unit:
        return unit_of(self.measure)

    @property
    def num_before(self) -> int:
        return len(self.before)

    @property
    def num_after(self) -> int:
        return len(self.after)

    @property
    def smallest_p(self) -> float:
        return smallest_p(self.num_before, self.num_after)

    def too_few(self, needed: int) -> str:
        """Return why there is no verdict, or nothing."""
        if min(self.num_before, self.num_after) >= needed:
            return ""
        return f"{self.num_before} + {self.num_after} runs, a verdict needs {needed} + {needed}"

    def indicative(self, why: str) -> MeasureVerdict:
        moved = "" if self.shift is None else f"{self.shift.estimate:+.1%}, "
        return self._made(Outcome.INDICATIVE, text=f"indicative: {moved}no verdict ({why})")

    def verdict(self, *, p_value: float, adjusted_p: float, alpha: float) -> MeasureVerdict:
        assert self.shift is not None
        outcome = _outcome(self.shift, adjusted_p, self.tolerance)
        detectable = minimum_detectable_effect(
            noise=_noise(self.before, self.after),
            num_before=self.num_before,
            num_after=self.num_after,
            alpha=alpha,
            tolerance=self.tolerance,
            level=LEVEL,
        )
        without = self._without_outliers(adjusted_p / p_value)
        return self._made(
            outcome,
            text=self._text(outcome, adjusted_p, detectable),
            p_value=p_value,
            adjusted_p=adjusted_p,
            detectable=detectable,
            without=without if without is not outcome else None,
        )

    def _text(self, outcome: Outcome, adjusted_p: float, detectable: float | None) -> str:
        assert self.shift is not None
        interval = self.shift.interval
        size = f"{self.shift.estimate:+.1%}"
        if interval is not None:
            size += f" ({interval.low:+.1%} to {interval.high:+.1%})"
        beyond = f"tolerance {self.tolerance:.1%}, p = {adjusted_p:.2g}"
        if outcome is Outcome.NO_CHANGE:
            seen = (
                "no change of any size would have been seen"
                if detectable is None
                else f"would have seen {detectable:.1%}"
            )
            return f"no change detected ({seen}): {size}, {beyond}"
        return f"{outcome.value}: {size}, {beyond}"

    def _without_outliers(self, factor: float) -> Outcome | None:
        """Return what would be said without the flagged runs: they are shown, never deleted.

        None where nothing is flagged, or too little is left to say anything.
        """
        before, after = (_unflagged(side) for side in (self.before, self.after))
        is_same = len(before) == self.num_before and len(after) == self.num_after
        if is_same or smallest_p(len(before), len(after)) * factor >= ALPHA:
            return None
        shift = relative_shift(before, after, level=LEVEL)
        p_value = min(1.0, mann_whitney(before, after).p_value * factor)
        return _outcome(shift, p_value, self.tolerance)

    def _made(
        self,
        outcome: Outcome,
        *,
        text: str,
        p_value: float | None = None,
        adjusted_p: float | None = None,
        detectable: float | None = None,
        without: Outcome | None = None,
    ) -> MeasureVerdict:
        return MeasureVerdict(
            measure=self.measure,
            unit=self.unit,
            outcome=outcome,
            num_before=self.num_before,
            num_after=self.num_after,
            median_before=median(self.before) if self.before else None,
            median_after=median(self.after) if self.after else None,
            shift=self.shift,
            p_value=p_value,
            adjusted_p=adjusted_p,
            tolerance=self.tolerance,
            detectable=detectable,
            outcome_without_outliers=without,
            text=text,
        )


def _outcome(shift: Shift, p_value: float, tolerance: float) -> Outcome:
    interval = shift.interval
    if interval is None or p_value >= ALPHA:
        return Outcome.NO_CHANGE
    if interval.low > tolerance:
        return Outcome.REGRESSION
    # Twice as fast undoes twice as slow: the same tolerance, seen from the other side.
    if interval.high < 1.0 / (1.0 + tolerance) - 1.0:
        return Outcome.IMPROVEMENT
    return Outcome.NO_CHANGE


def _noise(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the spread of one run as a share, of both groups together about their own middles."""
    residuals = np.concatenate(
        [np.log(side) - np.median(np.log(side)) for side in (np.array(before), np.array(after))]
    )
    robust = MAD_TO_SIGMA * float(np.median(np.abs(residuals)))
    return robust if robust > 0.0 else float(residuals.std(ddof=1))


def _unflagged(values: Sequence[float]) -> list[float]:
    flags = flag_outliers(values)
    return [value for value, flag in zip(values, flags, strict=True) if not flag]


def _overall(measures: Sequence[MeasureVerdict]) -> Outcome:
    outcomes = {each.outcome for each in measures}
    for outcome in (Outcome.REGRESSION, Outcome.IMPROVEMENT, Outcome.NO_CHANGE):
        if outcome in outcomes:
            return outcome
    return Outcome.INDICATIVE


def _effect(measures: Sequence[MeasureVerdict]) -> Effect:
    """Return what to call it: the whole job's word counts, else that of all phases together."""
    whole = next((each.outcome for each in measures if each.measure == TOTAL), None)
    if whole is Outcome.REGRESSION:
        return Effect.REGRESSION
    if whole is Outcome.IMPROVEMENT:
        return Effect.IMPROVEMENT
    worse = bool(_with(measures, Outcome.REGRESSION))
    better = bool(_with(measures, Outcome.IMPROVEMENT))
    if worse and better:
        return Effect.MIXED
    return Effect.REGRESSION if worse else Effect.IMPROVEMENT if better else Effect.NONE


def _with(measures: Iterable[MeasureVerdict], outcome: Outcome) -> tuple[str, ...]:
    return tuple(each.measure for each in measures if each.outcome is outcome)


def _summary(outcome: Outcome, measures: Sequence[MeasureVerdict]) -> str:
    if outcome is Outcome.INDICATIVE:
        return measures[0].text if measures else "indicative: nothing was measured"
    named = [
        f"{each.measure} {each.shift.estimate:+.1%}"
        for each in measures
        if each.outcome in {Outcome.REGRESSION, Outcome.IMPROVEMENT} and each.shift is not None
    ]
    if named:
        return f"{outcome.value} in {', '.join(named)}"
    return measures[0].text
