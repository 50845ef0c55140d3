"""A sweep: what one setting does to time and output, beside what was once claimed of it.

One factor at a time, or every combination; each setting is compared with the preset as it is, at
the same prompts and seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ourvidz.catalog.parameters import BY_NAME
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.history.claims import judge_claims
from ourvidz.perf.history.evidence import case_of, change_between, effect_of
from ourvidz.perf.history.schema import TradeoffRecipe
from ourvidz.perf.history.shelf import shipped
from ourvidz.perf.measures import TOTAL, columns_of, tolerance_of
from ourvidz.perf.plain import plain
from ourvidz.perf.protocol.judge import FOLLOWS_PROMPT, PROMPTS_JUDGED, quality_of
from ourvidz.perf.protocol.plan import Case
from ourvidz.perf.protocol.results import FinishedRun
from ourvidz.perf.quality import (
    BARS,
    OutputDifference,
    Speed,
    SpeedAndQuality,
    speed_and_quality,
)
from ourvidz.perf.quality.people import Share, share_of
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import median, relative_shift
from ourvidz.perf.verdicts import judge_runs

SIZE, PRESET, NEGATIVE = "size", "preset", "negative_prompt"
_OFF, _ON = "off", "on"
_MOST_CASES = 64

# What of a record each factor changes; of a preset anything.
_FIELDS: Mapping[str, frozenset[str]] = {
    SIZE: frozenset({"width", "height"}),
    PRESET: frozenset(
        {
            "preset",
            "num_inference_steps",
            "scheduler",
            "flow_shift",
            "guidance_scale",
            "width",
            "height",
            "num_frames",
        }
    ),
    "fidelity": frozenset({"fidelity", "offers_high"}),
    NEGATIVE: frozenset(),
}

# Of the outputs by themselves: from here on a setting is worse, whatever it saves.
_LEAST_SHARPNESS = 0.80  # of the preset's
_MOST_FLICKER = 1.50
_COUNTED = ("black_frames", "frozen_frames", "duplicate_frames")


class Advice(StrEnum):
    """What to do with a setting."""

    ADOPT = "adopt"
    TEST_FIRST = "test first"
    AVOID = "avoid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """What is varied, and its levels in the order in which they were given."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting beside the preset as it is."""

    case: str
    factor: str | None  # None: the preset as it is
    level: str | None
    n: int
    median_s: float | None
    step_s: float | None
    advice: Advice | None  # None: the preset as it is, or nothing ran
    reason: str
    speed: SpeedAndQuality | None
    step_change: float | None
    verdict: Mapping[str, Any] | None
    quality: Mapping[str, float]
    is_pareto: bool = False  # no other is both faster and nearer to the preset's output

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        speed = None if self.speed is None else self.speed.to_dict()
        return {**plain(self, without={"speed"}), "speed": speed}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one change of one factor did to the whole job's time."""

    factor: str
    before: str
    after: str
    case: str  # as a benchmark record names it
    change: float  # percent of the time before
    low: float | None
    high: float | None
    n: int  # of the smaller side


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """All settings of a sweep, and the claims about them."""

    job_type: str
    preset: str
    settings: tuple[Setting, ...]
    changes: tuple[Change, ...]
    claims: tuple[Mapping[str, Any], ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "job_type": self.job_type,
            "preset": self.preset,
            "settings": [setting.to_dict() for setting in self.settings],
            "changes": plain(self.changes),
            "claims": plain(self.claims),
        }


def factors_of(given: Iterable[str]) -> tuple[Factor, ...]:
    """Return factors out of texts such as ``scheduler=unipc,euler``.

    Raises:
        InvalidRequest: No levels, a factor twice, or no parameter of a job.
    """
    found: dict[str, Factor] = {}
    for text in given:
        name, _, levels_text = text.partition("=")
        levels = tuple(dict.fromkeys(each.strip() for each in levels_text.split(",") if each))
        if name not in {*BY_NAME, SIZE, PRESET} or name in {"seed", "width", "height"}:
            raise InvalidRequest(
                f"{name!r} can't be varied.",
                param="vary",
                hint="size, preset, or a parameter such as num_inference_steps or scheduler.",
            )
        if not levels or name in found:
            raise InvalidRequest(
                f"{text!r}: give each factor once, with its levels.",
                param="vary",
                hint="--vary scheduler=unipc,euler",
            )
        found[name] = Factor(name=name, levels=levels)
    if not found:
        raise InvalidRequest(
            "A sweep varies something.", param="vary", hint="--vary num_inference_steps=15,18,25"
        )
    return tuple(found.values())


def cases_of_sweep(
    factors: Sequence[Factor],
    *,
    job_type: str,
    preset: str,
    values: Mapping[str, Any],
    own: Mapping[str, str],
    is_grid: bool,
) -> tuple[Case, ...]:
    """Return the preset as it is, and a case for each setting that differs from it.

    Args:
        factors: What is varied.
        job_type: Of which job type.
        preset: Around which preset.
        values: Parameters that every case shares.
        own: The level that the preset itself has, by factor.
        is_grid: Every combination; else one factor at a time.

    Raises:
        InvalidRequest: A level that is none, no case beside the preset, or too many.
    """
    if is_grid:
        products = itertools.product(*([(f.name, level) for level in f.levels] for f in factors))
        points = [dict(product) for product in products]
    else:
        points = [{factor.name: level} for factor in factors for level in factor.levels]
    cases = {job_type: Case(name=job_type, job_type=job_type, preset=preset, values=dict(values))}
    for point in points:
        changed = {
            name: level for name, level in point.items() if not is_level(level, own.get(name))
        }
        if changed:
            case = _case(job_type, preset, values, changed)
            cases.setdefault(case.name, case)
    if not 2 <= len(cases) <= _MOST_CASES:
        raise InvalidRequest(
            f"{len(cases) - 1} settings differ from the preset; 1 to {_MOST_CASES - 1} can be run.",
            param="vary",
        )
    return tuple(cases.values())


def _case(
    job_type: str, preset: str, values: Mapping[str, Any], changed: Mapping[str, str]
) -> Case:
    own = dict(values)
    for name, level in changed.items():
        if name == PRESET:
            preset = level
        else:
            own |= values_of(name, level)
    return Case(
        name=",".join(f"{name}={level}" for name, level in changed.items()),
        job_type=job_type,
        preset=preset,
        values=own,
        factor="+".join(changed),
        level=",".join(changed.values()),
    )


def values_of(factor: str, level: str) -> dict[str, Any]:
    """Return the parameters that a level stands for.

    Raises:
        InvalidRequest: It is none of the factor's.
    """
    if factor == SIZE:
        width, _, height = level.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise InvalidRequest(f"size {level!r} is none.", param="vary", hint="size=384x640")
        return {"width": int(width), "height": int(height)}
    if factor == NEGATIVE:
        if level not in {_OFF, _ON}:
            raise InvalidRequest(
                f"negative_prompt {level!r}: off and on can be varied.", param="vary"
            )
        return {NEGATIVE: ""} if level == _OFF else {}
    kind = BY_NAME[factor].kind
    try:
        return {factor: int(level) if kind == "int" else float(level) if kind == "float" else level}
    except ValueError:
        raise InvalidRequest(f"{factor}={level!r} is no number.", param="vary") from None


def levels_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Return each factor's level in a request: its fields by name."""
    levels = {name: str(value) for name, value in request.items() if name in BY_NAME}
    return levels | {
        SIZE: f"{request['width']}x{request['height']}",
        PRESET: str(request["preset"]),
        NEGATIVE: _ON if request["negative_prompt"] else _OFF,
        "fidelity": Fidelity(request["fidelity"]).value,
    }


def is_level(one: str, other: str | None) -> bool:
    """Whether two texts are one level: 5 and 5.0 are."""
    if other is None:
        return False
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def judge_sweep(
    cases: Sequence[Case],
    runs: Iterable[FinishedRun],
    *,
    own: Mapping[str, str],
    factors: Sequence[Factor],
    differences: Mapping[str, OutputDifference],
    machine: str,
    source: str,
) -> Sweep:
    """Return what each setting does to time and output, with advice.

    Args:
        cases: The preset first.
        runs: Those that count.
        own: The preset's own levels, by factor.
        factors: What was varied.
        differences: Of each case's outputs from the preset's, by case.
        machine: What people call it.
        source: Names the sweep beside the claims.
    """
    by_case: dict[str, list[FinishedRun]] = {case.name: [] for case in cases}
    for run in runs:
        by_case[run.case].append(run)
    base = by_case[cases[0].name]
    settings = _with_pareto(
        [_setting(case, by_case[case.name], base, differences.get(case.name)) for case in cases]
    )
    changes = _changes(cases, by_case, own, factors)
    return Sweep(
        job_type=cases[0].job_type,
        preset=cases[0].preset,
        settings=tuple(settings),
        changes=tuple(changes),
        claims=tuple(_claims(cases[0].job_type, factors, changes, machine, source)),
    )


def _setting(
    case: Case,
    runs: Sequence[FinishedRun],
    base: Sequence[FinishedRun],
    difference: OutputDifference | None,
) -> Setting:
    columns = columns_of(_counting(runs))
    totals = columns[TOTAL].values if TOTAL in columns else ()
    quality = quality_of(runs)
    speed, verdict, step_change = None, None, None
    advice, reason = None, "the preset as it is" if case.factor is None else "nothing ran"
    if case.factor is not None and totals:
        before = columns_of(_counting(base))
        if TOTAL in before:
            shift = relative_shift(before[TOTAL].values, totals)
            speed = speed_and_quality(
                shift,
                difference,
                BARS[Fidelity(str(case.values.get("fidelity", Fidelity.EXACT.value)))],
                smallest_change=tolerance_of(TOTAL).share,
            )
            if "step" in before and "step" in columns:
                step_change = relative_shift(before["step"].values, columns["step"].values).estimate
            verdict = _verdict(case.factor, base, runs)
            advice, reason = advise(speed, quality_of(base), quality)
    return Setting(
        case=case.name,
        factor=case.factor,
        level=case.level,
        n=len(totals),
        median_s=median(totals) if totals else None,
        step_s=median(columns["step"].values) if "step" in columns else None,
        advice=advice,
        reason=reason,
        speed=speed,
        step_change=step_change,
        verdict=verdict,
        quality=quality,
    )


def _verdict(
    factor: str, before: Sequence[FinishedRun], after: Sequence[FinishedRun]
) -> dict[str, Any]:
    try:
        return judge_runs(_counting(before), _counting(after), varied=fields_of(factor)).to_json()
    except InvalidRequest as error:  # runs of several states, for one
        return {"outcome": "incomparable", "text": error.message}


def advise(
    speed: SpeedAndQuality, before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[Advice, str]:
    """Return what to do with a setting and why: never faster without what it costs.

    Args:
        speed: The change of the time beside the difference of the output.
        before: Measures of the preset's outputs (``judge.quality_of``).
        after: Those of the setting's.
    """
    output = "the output stays the same" if speed.is_same_output else "the output is another"
    match speed.speed:
        case Speed.INDICATIVE:
            return Advice.TEST_FIRST, "too few runs to say anything: more repeats"
        case Speed.SLOWER:
            return Advice.AVOID, f"it takes {speed.change:.0%} longer"
        case Speed.UNCHANGED:
            assert speed.low is not None  # else it would be too few runs
            if speed.low < -tolerance_of(TOTAL).share:
                return (
                    Advice.TEST_FIRST,
                    f"undecided: up to {-speed.low:.0%} could be saved, more runs would tell",
                )
            return Advice.AVOID, f"it saves no time that matters, and {output}"
        case Speed.FASTER:
            saved = f"it takes {-speed.change:.0%} less time"
            worse = worse_outputs(before, after)
            if speed.is_same_output:
                return Advice.ADOPT, f"{saved}, and {output}"
            if worse:
                return Advice.AVOID, f"{saved}, and {', '.join(worse)}"
            return Advice.TEST_FIRST, f"{saved}, and {output}: look at it"


def worse_outputs(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Return in words in what outputs are worse by themselves, the reference apart."""
    found: list[str] = []
    sharp = after.get("sharpness"), before.get("sharpness")
    if sharp[0] is not None and sharp[1] and sharp[0] < _LEAST_SHARPNESS * sharp[1]:
        found.append(f"sharpness falls by {1 - sharp[0] / sharp[1]:.0%}")
    flicker = after.get("flicker"), before.get("flicker")
    if flicker[0] is not None and flicker[1] and flicker[0] > _MOST_FLICKER * flicker[1]:
        found.append(f"flicker grows by {flicker[0] / flicker[1] - 1:.0%}")
    for name in _COUNTED:
        if after.get(name, 0.0) > before.get(name, 0.0):
            found.append(f"{name.replace('_', ' ')} appear")
    followed, was = _followed(after), _followed(before)
    if followed is not None and was is not None and followed.high < was.low:
        found.append(f"prompts are followed by {followed.share:.0%} in place of {was.share:.0%}")
    return found


def _followed(quality: Mapping[str, float]) -> Share | None:
    n = round(quality.get(PROMPTS_JUDGED, 0.0))
    return share_of(round(quality.get(FOLLOWS_PROMPT, 0.0) * n), n)


def _with_pareto(settings: Sequence[Setting]) -> list[Setting]:
    """Mark the settings that no other beats in time and in nearness to the preset's output."""

    def is_beaten(one: Setting) -> bool:
        return any(
            _time(other) <= _time(one)
            and _nearness(other) >= _nearness(one)
            and (_time(other), _nearness(other)) != (_time(one), _nearness(one))
            for other in settings
        )

    return [
        replace(one, is_pareto=one.median_s is not None and not is_beaten(one)) for one in settings
    ]


def _time(setting: Setting) -> float:
    return float("inf") if setting.median_s is None else setting.median_s


def _nearness(setting: Setting) -> float:
    if setting.factor is None:
        return float("inf")
    difference = None if setting.speed is None else setting.speed.difference
    return float("-inf") if difference is None else difference.psnr_db


def _changes(
    cases: Sequence[Case],
    by_case: Mapping[str, Sequence[FinishedRun]],
    own: Mapping[str, str],
    factors: Sequence[Factor],
) -> list[Change]:
    """Return what each change of one factor did: from the preset, and from the first level."""
    job_type = cases[0].job_type
    found: list[Change] = []
    for factor in factors:
        by_level = {own[factor.name]: cases[0].name}
        by_level |= {
            case.level: case.name
            for case in cases
            if case.factor == factor.name and case.level is not None
        }
        first = next(
            (level for level in by_level if is_level(level, factor.levels[0])), own[factor.name]
        )
        for before in dict.fromkeys((own[factor.name], first)):
            for after in by_level:
                if after != before:
                    change = _change(
                        factor.name,
                        (before, by_case[by_level[before]]),
                        (after, by_case[by_level[after]]),
                        job_type=job_type,
                    )
                    found += [] if change is None else [change]
    return found


def _change(
    factor: str,
    before: tuple[str, Sequence[FinishedRun]],
    after: tuple[str, Sequence[FinishedRun]],
    *,
    job_type: str,
) -> Change | None:
    sides = [columns_of(_counting(runs)) for _, runs in (before, after)]
    if any(TOTAL not in side for side in sides):
        return None
    values = [side[TOTAL].values for side in sides]
    change, interval = change_between(*values)
    return Change(
        factor=factor,
        before=before[0],
        after=after[0],
        case=case_of(job_type=job_type, factor=factor, before=before[0], after=after[0]),
        change=change,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        n=min(len(side) for side in values),
    )


def _claims(
    job_type: str,
    factors: Sequence[Factor],
    changes: Sequence[Change],
    machine: str,
    source: str,
) -> list[Mapping[str, Any]]:
    """Return what was claimed of these factors in 2025, held against what was measured here."""
    names = {factor.name for factor in factors}
    history = shipped().history
    wanted = {
        claim.id
        for claim in history.claims
        if isinstance(claim.recipe, TradeoffRecipe)
        and claim.recipe.job_type == job_type
        and claim.recipe.factor in names
    }
    if not wanted:
        return []
    effects = [
        effect_of(
            change.case,
            change=change.change,
            low=change.low,
            high=change.high,
            n=change.n,
            machine=machine,
            source=source,
        )
        for change in changes
    ]
    judged = judge_claims(history, effects=[effect for effect in effects if effect is not None])
    return [plain(judgement) for judgement in judged if judgement.id in wanted]


def _counting(runs: Iterable[FinishedRun]) -> list[PerformanceRecord]:
    records = [run.record for run in runs]
    return [record for record in records if not left_out_reasons(record)]


def fields_of(factor: str) -> frozenset[str]:
    """Return the fields of a record that a factor changes, several joined by ``+``."""
    found: set[str] = set()
    return frozenset(
        found.union(*(_FIELDS.get(name, frozenset({name})) for name in factor.split("+")))
    )
