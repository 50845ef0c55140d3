"""Two groups of finished runs side by side: a verdict, and how far their outputs are apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.comparison import Incomparable
from ourvidz.perf.grouping import group_id
from ourvidz.perf.measures import TOTAL
from ourvidz.perf.protocol.judge import INCOMPARABLE, with_fair_memory
from ourvidz.perf.protocol.results import FinishedRun
from ourvidz.perf.protocol.sweep import fields_of
from ourvidz.perf.quality import BARS, OutputDifference, SpeedAndQuality, speed_and_quality
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.verdicts import Verdict, judge_runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """Runs of one job type on one side."""

    name: str
    runs: Sequence[FinishedRun]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One job type of two sides."""

    job_type: str
    before: str
    after: str
    outcome: str
    text: str
    verdict: Verdict | None  # None: refused
    speed: SpeedAndQuality | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "job_type": self.job_type,
            "before": self.before,
            "after": self.after,
            "outcome": self.outcome,
            "text": self.text,
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "speed": None if self.speed is None else self.speed.to_dict(),
        }


def sides_of(runs: Iterable[FinishedRun], *, name: str, case: str | None) -> dict[str, Side]:
    """Return runs by job type: of one case, or of the first case of each job type.

    Raises:
        InvalidRequest: No run of that case.
    """
    chosen: dict[str, str] = {}
    found: dict[str, list[FinishedRun]] = {}
    known: dict[str, None] = {}
    for run in runs:
        known[run.case] = None
        if case is not None and run.case != case:
            continue
        # A sweep has several cases of one job type; that of its name is the preset as it is.
        if case is None and run.case != run.job_type:
            continue
        chosen[run.job_type] = run.case
        found.setdefault(run.job_type, []).append(run)
    if not found:
        raise InvalidRequest(
            f"{name} has no runs of {case or 'a whole job type'}.",
            param="case",
            hint=f"Its cases: {', '.join(known)}. Name one as RUN:CASE.",
        )
    return {
        job_type: Side(name=f"{name}:{chosen[job_type]}", runs=mine)
        for job_type, mine in found.items()
    }


def compare_sides(
    before: Side,
    after: Side,
    *,
    factors: Collection[str],
    difference: OutputDifference | None,
) -> Comparison:
    """Return the verdict of two sides of one job type.

    Args:
        before: Compared with.
        after: In question.
        factors: In what they may differ, because it is what is compared: ``fidelity``.
        difference: Of the later side's outputs from the earlier's at the same seeds.
    """
    job_type = after.runs[0].job_type
    try:
        earlier, later, note = with_fair_memory(_largest(before), _largest(after))
        verdict = judge_runs(earlier, later, varied=_varied(factors))
    except InvalidRequest as error:
        outcome = INCOMPARABLE if isinstance(error, Incomparable) else "none"
        return Comparison(
            job_type=job_type,
            before=before.name,
            after=after.name,
            outcome=outcome,
            text=error.message,
            verdict=None,
            speed=None,
        )
    total = verdict.of(TOTAL)
    speed = None
    if total is not None and total.shift is not None:
        speed = speed_and_quality(
            total.shift, difference, BARS[_fidelity(after)], smallest_change=total.tolerance
        )
    return Comparison(
        job_type=job_type,
        before=before.name,
        after=after.name,
        outcome=verdict.outcome.value,
        text=f"{verdict.text}; {note}" if note else verdict.text,
        verdict=verdict,
        speed=speed,
    )


def _largest(side: Side) -> list[PerformanceRecord]:
    """Return the records of the largest comparable group: a side may have runs of two states."""
    records = [run.record for run in side.runs]
    counts: dict[str, int] = {}
    for record in records:
        if not left_out_reasons(record):
            identity = group_id(record)
            counts[identity] = counts.get(identity, 0) + 1
    if not counts:
        return records
    chosen = max(counts, key=lambda identity: counts[identity])
    return [record for record in records if group_id(record) == chosen]


def _fidelity(side: Side) -> Fidelity:
    asked: Mapping[str, Any] = side.runs[-1].body.get("request", {})
    return Fidelity(str(asked.get("fidelity", Fidelity.EXACT.value)))


def _varied(factors: Collection[str]) -> AbstractSet[str]:
    found: set[str] = set()
    for factor in factors:
        found |= fields_of(factor)
    return found
