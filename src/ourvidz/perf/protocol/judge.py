"""What the runs say: groups of comparable ones, and verdicts against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.baselines import ESTABLISHED_N, Baseline, baselines
from ourvidz.perf.comparison import Incomparable
from ourvidz.perf.decisions import Decision
from ourvidz.perf.grouping import group_id, in_groups
from ourvidz.perf.plain import plain
from ourvidz.perf.protocol.plan import Plan
from ourvidz.perf.protocol.results import FinishedRun
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats import median
from ourvidz.perf.verdicts import Outcome, judge_runs

NO_VERDICT = "none"
INCOMPARABLE = "incomparable"

# Worst first: what stands first of them in any verdict is the whole run's.
_WORST = (
    Outcome.REGRESSION.value,
    INCOMPARABLE,
    Outcome.IMPROVEMENT.value,
    Outcome.NO_CHANGE.value,
    Outcome.INDICATIVE.value,
)
_MOST_BASELINE_RUNS = 50
_WEIGHTS, _PEAKS = "weights_bytes", "device_peak_"
_SAME_WEIGHTS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Runs to compare with, and what they are called."""

    kind: str  # "protocol" (a run), "record" (a file) or "store"
    name: str
    records: Sequence[PerformanceRecord]
    runs: Sequence[FinishedRun] = ()  # of a protocol run
    root: Path | None = None  # where their outputs are kept


def groups_of(plan: Plan, runs: Iterable[FinishedRun]) -> list[dict[str, Any]]:
    """Return each case's groups of comparable runs as JSON values, in the plan's order."""
    by_case: dict[str, list[FinishedRun]] = {case.name: [] for case in plan.cases}
    for run in runs:
        by_case.setdefault(run.case, []).append(run)
    found: list[dict[str, Any]] = []
    for name, mine in by_case.items():
        ended = {run.job_id: run for run in mine}
        for baseline in baselines([run.record for run in mine]):
            members = [ended[each] for each in baseline.runs]
            found.append(_group(name, baseline, members))
    return found


def _group(case: str, baseline: Baseline, runs: Sequence[FinishedRun]) -> dict[str, Any]:
    body = baseline.to_json()
    measures = body["measures"]
    spent = {name: each["mean"] * each["n"] for name, each in measures.items()}
    shares = {
        name: seconds / spent["total"]  # of all runs together, so that they add up
        for name, seconds in spent.items()
        if "total" in spent and name not in {"total", "step"} and not name.endswith("memory")
    }
    return {
        "case": case,
        "job_type": baseline.job_type,
        "preset": baseline.preset,
        "group": baseline.id,
        "series": baseline.series,
        "state": baseline.state,
        "compile_state": baseline.compile_state,
        "n": baseline.n,
        "runs": list(baseline.runs),
        "left_out": body["left_out"],
        "outliers": body["outliers"],
        "success": body["success"],
        "workload": body["workload"],
        "environment": body["environment"],
        "measures": measures,
        "shares": shares,
        "quality": quality_of(runs),
        "device": _device_of(baseline.records),
    }


# Of outputs whose prompts can be judged: whether they show all of it, and how many there are.
FOLLOWS_PROMPT, PROMPTS_JUDGED = "follows_prompt", "prompts_judged"


def quality_of(runs: Iterable[FinishedRun]) -> dict[str, float]:
    """Return the median of each measure of the outputs, and how many outputs there are.

    Of ``FOLLOWS_PROMPT`` it is the share, with ``PROMPTS_JUDGED`` beside it.
    """
    values: dict[str, list[float]] = {}
    count = 0
    for run in runs:
        count += len(run.quality)
        for each in run.quality:
            for name, value in each.items():
                if isinstance(value, int | float):
                    values.setdefault(name, []).append(float(value))
    shown = values.pop(FOLLOWS_PROMPT, [])
    medians = {"outputs": float(count)} | {name: median(found) for name, found in values.items()}
    if shown:
        medians |= {FOLLOWS_PROMPT: sum(shown) / len(shown), PROMPTS_JUDGED: float(len(shown))}
    return medians


def _device_of(records: Iterable[PerformanceRecord]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.device.items():
            values.setdefault(name, []).append(value)
    return {name: median(found) for name, found in values.items()}


def verdicts_of(
    plan: Plan, runs: Iterable[FinishedRun], reference: Reference | None
) -> list[dict[str, Any]]:
    """Return a verdict a group of the run's records, as JSON values.

    A group is compared with the reference's runs of the same job type: the comparable ones, or
    none, and then it says in what they differ.
    """
    by_case: dict[str, list[PerformanceRecord]] = {}
    for run in runs:
        by_case.setdefault(run.case, []).append(run.record)
    found: list[dict[str, Any]] = []
    for case in plan.cases:
        records = by_case.get(case.name, [])
        for group in in_groups(record for record in records if record.is_success).values():
            found.append({"case": case.name, **_against(group, reference)})
    return found


def _against(group: Sequence[PerformanceRecord], reference: Reference | None) -> dict[str, Any]:
    job_type, identity = group[0].job_type, group_id(group[0])
    known: dict[str, Any] = {
        "job_type": job_type,
        "group": identity,
        "baseline": None,
        "verdict": None,
        "output": None,  # how far outputs are from the reference's, where both were kept
    }
    alike = [] if reference is None else [r for r in reference.records if r.job_type == job_type]
    if reference is None or not alike:
        name = "" if reference is None else f" in {reference.name}"
        return known | {"outcome": NO_VERDICT, "text": f"no baseline{name}"}
    before = [record for record in alike if group_id(record) == identity]
    known["baseline"] = {"kind": reference.kind, "name": reference.name, "n": len(before)}
    earlier, later, note = with_fair_memory(before or _newest_group(alike), group)
    try:
        verdict = judge_runs(earlier, later)
    except Incomparable as error:
        return known | {"outcome": INCOMPARABLE, "text": error.message}
    except InvalidRequest as error:
        return known | {"outcome": NO_VERDICT, "text": error.message}
    return known | {
        "outcome": verdict.outcome.value,
        "text": f"{verdict.text}; {note}" if note else verdict.text,
        "regressions": list(verdict.regressions),
        "improvements": list(verdict.improvements),
        "verdict": verdict.to_json(),
    }


def with_fair_memory(
    before: Sequence[PerformanceRecord], after: Sequence[PerformanceRecord]
) -> tuple[list[PerformanceRecord], list[PerformanceRecord], str]:
    """Return both sides without peak memory where it can't be compared, and why.

    A job's peak holds the weights of whatever ran before it in the process. With other job types
    beside it, it is another figure, and says nothing about the job.
    """
    held = [
        [float(r.memory[_WEIGHTS]) for r in side if r.memory.get(_WEIGHTS)]
        for side in (before, after)
    ]
    if not all(held):
        return [*before], [*after], ""
    first, second = (median(values) for values in held)
    if abs(second - first) <= _SAME_WEIGHTS * first:
        return [*before], [*after], ""
    sides = [
        [
            replace(
                record,
                memory={n: v for n, v in record.memory.items() if not n.startswith(_PEAKS)},
            )
            for record in side
        ]
        for side in (before, after)
    ]
    why = f"{first / 2**30:.2f} and {second / 2**30:.2f} GiB of weights"
    return sides[0], sides[1], f"peak memory is not compared, since the processes held {why}"


def _newest_group(records: Sequence[PerformanceRecord]) -> Sequence[PerformanceRecord]:
    groups = in_groups(record for record in records if record.is_success)
    found = sorted(groups.values(), key=lambda group: group[-1].at)
    return found[-1] if found else records


def store_reference(
    records: Iterable[PerformanceRecord],
    *,
    source: str,
    without: AbstractSet[str],
    decisions: Sequence[Decision] = (),
) -> Reference | None:
    """Return the established baselines of earlier protocol runs; None where there is none.

    Only runs of the protocol through the same door: other jobs find texts encoded before and
    have other prompts, and the doors differ in phases.

    Args:
        records: All of the store.
        source: The door: ``cli`` in process, else ``api``.
        without: Ids of this run's own jobs.
        decisions: What people accepted: a baseline begins anew with it.
    """
    earlier = [
        record
        for record in records
        if record.origin is Origin.PROTOCOL and record.source == source and record.id not in without
    ]
    found = baselines(earlier, decisions=decisions, measures=())
    kept = [
        record
        for baseline in found
        if baseline.n >= ESTABLISHED_N
        for record in baseline.records[-_MOST_BASELINE_RUNS:]
    ]
    if not kept:
        return None
    return Reference(kind="store", name="the established baselines", records=kept)


def outcome_of(verdicts: Iterable[Mapping[str, Any]]) -> str:
    """Return the worst outcome of all: a regression of any measure is one of the whole."""
    found = {str(verdict["outcome"]) for verdict in verdicts}
    return next((outcome for outcome in _WORST if outcome in found), NO_VERDICT)


def failures_of(runs: Iterable[FinishedRun]) -> list[dict[str, Any]]:
    """Return runs that failed, or whose outputs did not pass, as JSON values."""
    return [
        plain({"key": run.key, "job_id": run.job_id, "error": run.error, "faults": run.faults})
        for run in runs
        if run.error or run.faults
    ]
