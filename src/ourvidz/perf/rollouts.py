"""Rollouts on live traffic: the jobs of both sides, compared as any two groups of runs are.

``catalog.rollouts`` says who is on which side; here is what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from ourvidz.catalog.rollouts import SETTING, Arm
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.comparison import Incomparable, difference, key_of
from ourvidz.perf.plain import plain
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.success import SuccessRate, success_rate
from ourvidz.perf.verdicts import Verdict, judge_runs

# What fidelity decides of the environment's part that decides: draft tells whether 8 bits are on.
_FOLLOWS = {"fidelity": ("offers_high",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmResult:
    """One side."""

    arm: Arm
    jobs: int
    success: SuccessRate | None
    clean: int  # runs that count for the comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Comparable runs of both sides: alike in all but what the rollout changes."""

    state: str
    workload: Mapping[str, Any]  # of the treatment
    n_control: int
    n_treatment: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutResult:
    """What live traffic says of a rollout."""

    name: str
    job_type: str
    changes: tuple[str, ...]  # fields that it sets otherwise
    first_at: datetime
    last_at: datetime
    control: ArmResult
    treatment: ArmResult
    pairs: tuple[Pair, ...]  # most runs first
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def compare_rollouts(records: Iterable[PerformanceRecord]) -> tuple[RolloutResult, ...]:
    """Return what the records say of each rollout that any of them took part in, newest first."""
    found: dict[tuple[str, str], list[tuple[Arm, Sequence[str], PerformanceRecord]]] = {}
    for record in records:
        note = _note_of(record)
        if note is not None:
            name, arm, changes = note
            found.setdefault((name, record.job_type), []).append((arm, changes, record))
    results = [_result(name, job_type, runs) for (name, job_type), runs in found.items()]
    return tuple(sorted(results, key=lambda each: each.last_at, reverse=True))


def _note_of(record: PerformanceRecord) -> tuple[str, Arm, Sequence[str]] | None:
    note = record.settings.get(SETTING)
    if not isinstance(note, Mapping):
        return None
    facts = cast("Mapping[str, Any]", note)
    try:
        return str(facts["name"]), Arm(facts["arm"]), tuple(map(str, facts.get("changes", ())))
    except (KeyError, ValueError):
        return None


def _result(
    name: str, job_type: str, runs: Sequence[tuple[Arm, Sequence[str], PerformanceRecord]]
) -> RolloutResult:
    changes = sorted({each for _, names, _ in runs for each in names})
    sides = {arm: [record for side, _, record in runs if side is arm] for arm in Arm}
    pairs = _pairs(sides[Arm.CONTROL], sides[Arm.TREATMENT], changes)
    return RolloutResult(
        name=name,
        job_type=job_type,
        changes=tuple(changes),
        first_at=min(record.at for _, _, record in runs),
        last_at=max(record.at for _, _, record in runs),
        control=_arm(Arm.CONTROL, sides[Arm.CONTROL]),
        treatment=_arm(Arm.TREATMENT, sides[Arm.TREATMENT]),
        pairs=pairs,
        text=_text(pairs),
    )


def _arm(arm: Arm, records: Sequence[PerformanceRecord]) -> ArmResult:
    return ArmResult(
        arm=arm, jobs=len(records), success=success_rate(records), clean=len(_clean(records))
    )


def _pairs(
    control: Sequence[PerformanceRecord],
    treatment: Sequence[PerformanceRecord],
    changes: Sequence[str],
) -> tuple[Pair, ...]:
    """Return a verdict for each two groups that differ in nothing but what is tried."""
    varied = {*changes, *(name for each in changes for name in _FOLLOWS.get(each, ()))}
    found: list[Pair] = []
    for own in _grouped(_clean(treatment)):
        for other in _grouped(_clean(control)):
            if difference(other[-1], own[-1], varied=varied):
                continue
            try:
                verdict = judge_runs(other, own, varied=frozenset(varied))
            except Incomparable:
                continue  # within a side something else differs
            found.append(
                Pair(
                    state=own[-1].state,
                    workload=own[-1].workload,
                    n_control=len(other),
                    n_treatment=len(own),
                    verdict=verdict,
                )
            )
    return tuple(sorted(found, key=lambda each: -min(each.n_control, each.n_treatment)))


def _clean(records: Iterable[PerformanceRecord]) -> list[PerformanceRecord]:
    return [each for each in records if not left_out_reasons(each)]


def _grouped(records: Iterable[PerformanceRecord]) -> list[list[PerformanceRecord]]:
    found: dict[str, list[PerformanceRecord]] = {}
    for record in records:
        found.setdefault(key_of(record).digest, []).append(record)
    return list(found.values())


def _text(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return "No comparable runs on both sides yet."
    first = pairs[0]
    text = first.verdict.text
    if len(pairs) > 1:
        text += f" (of {len(pairs)} comparable pairs, the one with most runs)"
    return text
