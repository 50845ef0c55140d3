"""Claims of a history's document: each recomputed from the records, and judged with its reason."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.perf.history.evidence import Effect, find_effect
from ourvidz.perf.history.judgement import (
    Figure,
    Judgement,
    Verdict,
    is_same,
    mean,
    mean_interval,
    subsets_behind,
    worst,
)
from ourvidz.perf.history.records import failure_of, phases_of
from ourvidz.perf.history.schema import (
    ChangeRecipe,
    Claim,
    CoverageRecipe,
    Entry,
    EstimateRecipe,
    History,
    MeanRecipe,
    OptionsRecipe,
    SharesRecipe,
    Sides,
    Stated,
    TargetRecipe,
    TargetStep,
    TradeoffRecipe,
    UnmeasurableRecipe,
)
from ourvidz.perf.optimisations import ESTABLISHED_RUNS, parts_of
from ourvidz.perf.stats import Interval, mann_whitney, relative_shift, smallest_p

__all__ = ["Figure", "Judgement", "Verdict", "judge_claims", "success_rate"]

SIGNIFICANCE = 0.01
# "120-150", "2-5 %"
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)")
_MEASURED = re.compile(r"(\d+(?:\.\d+)?) measured")
_FIRST_SECONDS = re.compile(r"(\d+(?:\.\d+)?) s\b")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_FRACTION = re.compile(r"(\d+)/(\d+)")
# Factors that no network pass depends on: the phase model expects no change.
_FREE_FACTORS = {
    "scheduler": "a solver makes no step dearer or cheaper",
    "flow_shift": "the shift only moves the noise levels",
    "negative_prompt": "with guidance on, the second pass runs with or without one",
}


def judge_claims(history: History, *, effects: Sequence[Effect] = ()) -> tuple[Judgement, ...]:
    """Return the history's claims, recomputed and judged, in their order.

    Args:
        history: With recipes; a claim without one can't be recomputed, and says so.
        effects: What sweeps measured of single settings, oldest first.
    """
    return tuple(_judge(claim, _Desk(history, tuple(effects))) for claim in history.claims)


def success_rate(history: History) -> tuple[int, int, int]:
    """Return the runs, how many of them the file counts as success, and how many were."""
    entries = history.records
    stated = sum(entry.ok for entry in entries)
    return len(entries), stated, sum(failure_of(entry) is None for entry in entries)


@dataclass(frozen=True, slots=True)
class _Desk:
    """The file, and what else is known."""

    history: History
    effects: tuple[Effect, ...]

    def entries(self, labels: Iterable[str]) -> list[Entry]:
        by_label = {entry.label: entry for entry in self.history.records}
        wanted = list(labels)
        missing = [label for label in wanted if label not in by_label]
        if missing:
            raise _CannotTell(f"The file holds no record {_listed(missing)}.")
        return [by_label[label] for label in wanted]

    def of_type(self, job_type: str) -> list[Entry]:
        return [entry for entry in self.history.records if entry.job_type == job_type]


class _CannotTell(Exception):
    """The records lack what a recipe needs; the text says what."""


def _judge(claim: Claim, desk: _Desk) -> Judgement:
    recipe = claim.recipe
    try:
        match recipe:
            case MeanRecipe():
                return _mean(claim, recipe, desk)
            case ChangeRecipe():
                return _change(claim, recipe, desk)
            case SharesRecipe():
                return _shares(claim, recipe, desk)
            case TargetRecipe():
                return _target(claim, recipe, desk)
            case EstimateRecipe():
                return _estimates(claim, desk)
            case CoverageRecipe():
                return _coverage(claim, desk)
            case TradeoffRecipe():
                return _tradeoff(claim, recipe, desk)
            case OptionsRecipe():
                return _options(claim, recipe, desk)
            case UnmeasurableRecipe():
                raise _CannotTell(recipe.reason)
            case None:
                raise _CannotTell("No recipe says which records it is about.")
    except _CannotTell as stop:
        figures = tuple(
            _figure(name, stated, None, claim.unit, [], verdict=Verdict.UNMEASURABLE)
            for name, stated in _stated_items(claim)
        )
        return _judgement(claim, figures, Verdict.UNMEASURABLE, str(stop))


def _judgement(claim: Claim, figures: Iterable[Figure], verdict: Verdict, reason: str) -> Judgement:
    return Judgement(
        id=claim.id,
        about=claim.about,
        unit=claim.unit,
        figures=tuple(figures),
        verdict=verdict,
        reason=reason,
    )


def _figure(
    name: str,
    stated: float | str | None,
    value: float | None,
    unit: str,
    entries: Sequence[Entry],
    *,
    verdict: Verdict | None = None,
    interval: Interval | None = None,
    note: str = "",
    n: int | None = None,
) -> Figure:
    return Figure(
        name=name,
        stated=stated,
        recomputed=value,
        unit=unit,
        n=len(entries) if n is None else n,
        interval=interval,
        labels=tuple(entry.label for entry in entries),
        states=tuple(sorted({entry.state for entry in entries})),
        verdict=verdict,
        note=note,
    )


# ------------------------------------------------------------------------------------------- means


def _mean(claim: Claim, recipe: MeanRecipe, desk: _Desk) -> Judgement:
    stated = _numbers(claim)
    pairs = itertools.zip_longest(stated, recipe.of, fillvalue=None)
    figures: list[Figure] = []
    for value, labels in pairs:
        if value is None or labels is None:
            raise _CannotTell("The recipe names another number of figures than are stated.")
        entries = desk.entries(labels)
        seconds = _totals(entries)
        found = mean(seconds)
        fits = is_same(value, found)
        figures.append(
            _figure(
                _runs(labels),
                value,
                found,
                "s",
                entries,
                interval=mean_interval(seconds),
                verdict=Verdict.CONFIRMED if fits else Verdict.WRONG,
                note="" if fits else _behind(value, desk.of_type(entries[0].job_type)),
            )
        )
    beside = _mean_by_state(desk, desk.entries(recipe.of[0])[0].job_type)
    verdict, reason = _mean_verdict(figures)
    return _judgement(claim, [*figures, *beside], verdict, reason)


def _mean_by_state(desk: _Desk, job_type: str) -> list[Figure]:
    """Return the means that can be compared: of clean runs, state by state."""
    clean = [entry for entry in desk.of_type(job_type) if _is_clean(entry)]
    figures: list[Figure] = []
    for state in ("cold", "warm", "resident"):
        entries = [entry for entry in clean if entry.state == state and entry.total_s is not None]
        if entries:
            seconds = _totals(entries)
            figures.append(
                _figure(
                    f"{state} only",
                    None,
                    mean(seconds),
                    "s",
                    entries,
                    interval=mean_interval(seconds),
                )
            )
    return figures


def _mean_verdict(figures: Sequence[Figure]) -> tuple[Verdict, str]:
    stated = [figure.stated for figure in figures]
    first = figures[0]
    assert first.recomputed is not None
    mixed = " and mixes cold and warm runs" if first.is_mixed else ""
    if len(set(stated)) > 1:
        return Verdict.WRONG, (
            f"{_count(len(stated))} values stand for one mean: that of the {first.n} runs is "
            f"{first.recomputed:.3f} s{mixed}, the others leave runs out."
        )
    if first.verdict is Verdict.WRONG:
        note = f"; {first.note}" if first.note else ""
        return Verdict.WRONG, f"The mean of the {first.n} runs is {first.recomputed:.2f} s{note}."
    if first.is_mixed:
        return Verdict.NOT_SUPPORTED, "The sum is right, but it mixes cold and warm runs."
    return Verdict.CONFIRMED, f"It is the mean of {first.n} runs in one state."


def _behind(stated: float, entries: Sequence[Entry]) -> str:
    """Return which runs a stated mean stands for, if not for those it should."""
    known = [(entry.label, entry.total_s) for entry in entries if entry.total_s is not None]
    choices = subsets_behind(stated, known)
    if not choices:
        return "no choice of its runs gives the stated one"
    refused = [e.label for e in entries if e.label in choices[0] and failure_of(e) is not None]
    text = f"the stated one {_choice_text(choices)}"
    if refused:
        text += ", a refusal" if len(choices[0]) == 1 else ", a refusal among them"
    return text


def _choice_text(choices: Sequence[tuple[str, ...]]) -> str:
    if len(choices) > 1:
        return f"is, for example, that of {_runs(choices[0])}"
    return f"is that of {_runs(choices[0])} alone"


# ----------------------------------------------------------------------------------------- changes


def _change(claim: Claim, recipe: ChangeRecipe, desk: _Desk) -> Judgement:
    stated = _numbers(claim)
    if len(stated) != len(recipe.of):
        raise _CannotTell("The recipe names another number of figures than are stated.")
    figures: list[Figure] = []
    problems: list[str] = []
    for value, sides in zip(stated, recipe.of, strict=True):
        after, before = desk.entries(sides.after), desk.entries(sides.before)
        found = _change_of(recipe, after, before)
        faults = _faults(recipe, after, before)
        fits = is_same(value, found.change)
        figures.append(
            _figure(
                f"{_runs(sides.after)} against {', '.join(sides.before)}",
                value,
                found.change,
                "%",
                [*after, *before],
                interval=found.interval,
                verdict=Verdict.WRONG if not fits else Verdict.REFUSED if faults else found.verdict,
                note="; ".join(faults),
            )
        )
        problems += [fault for fault in faults if fault not in problems]
    beside = _same_state_change(recipe, recipe.of[0], desk)
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    if len({figure.stated for figure in figures}) > 1:
        verdict = Verdict.WRONG
    reason = _change_reason(figures, beside, problems, verdict, is_saving=recipe.is_saving)
    return _judgement(claim, [*figures, *beside], verdict, reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    change: float  # percent, in the claim's sense
    interval: Interval | None
    verdict: Verdict


def _change_of(recipe: ChangeRecipe, after: Sequence[Entry], before: Sequence[Entry]) -> _Change:
    later, earlier = _seconds(after, recipe.phases), _seconds(before, recipe.phases)
    sign = -1.0 if recipe.is_saving else 1.0
    share = mean(later) / mean(earlier) - 1.0
    shift = relative_shift(earlier, later)
    interval = None
    if shift.interval is not None:
        ends = sorted((sign * 100 * shift.interval.low, sign * 100 * shift.interval.high))
        interval = Interval(low=ends[0], high=ends[1], level=shift.interval.level)
    stands = mann_whitney(earlier, later).p_value < SIGNIFICANCE
    return _Change(
        change=sign * 100.0 * share,
        interval=interval,
        verdict=Verdict.CONFIRMED if stands else Verdict.NOT_SUPPORTED,
    )


def _faults(recipe: ChangeRecipe, after: Sequence[Entry], before: Sequence[Entry]) -> list[str]:
    """Return why the two sides can't be compared, or their difference not be called one."""
    faults: list[str] = []
    states = [sorted({entry.state for entry in side}) for side in (after, before)]
    if states[0] != states[1] or len(states[0]) > 1:
        faults.append(f"{' and '.join(states[0])} is set against {' and '.join(states[1])}")
    refused = [e.label for e in [*after, *before] if failure_of(e) is not None]
    if refused:
        faults.append(f"{_runs(refused)} is a refusal, not a run")
    if recipe.phases:
        over = [e for e in [*after, *before] if _exceeds(e)]
        faults += [f"the phases of {_runs([e.label])} exceed its total" for e in over]
    for phase in recipe.misnamed_phases:
        holding = [(e.label, e.phases_s[phase]) for e in before if e.phases_s.get(phase)]
        faults += [f"{_runs([label])} holds {value:g} s of {phase}" for label, value in holding]
    least = smallest_p(len(before), len(after))
    if least >= SIGNIFICANCE:
        faults.append(
            f"{_count(len(after)).lower()} against {_count(len(before)).lower()} "
            f"allows no verdict (p is never below {least:.2g})"
        )
    return faults


def _same_state_change(recipe: ChangeRecipe, sides: Sides, desk: _Desk) -> list[Figure]:
    """Return the comparison that the claim could have made: clean runs of one state."""
    after, before = desk.entries(sides.after), desk.entries(sides.before)
    state, job_after, job_before = after[0].state, after[0].job_type, before[0].job_type
    if any(entry.state != state for entry in after) or recipe.misnamed_phases:
        return []
    later, earlier = _clean_in(desk, job_after, state), _clean_in(desk, job_before, state)
    if job_after == job_before:
        later = [entry for entry in later if entry.label in sides.after]
        earlier = [entry for entry in earlier if entry.label not in sides.after]
    if not later or not earlier:
        return []
    found = _change_of(recipe, later, earlier)
    name = f"{state} only: {_runs([e.label for e in later])}"
    return [
        _figure(
            f"{name} against {', '.join(e.label for e in earlier)}",
            None,
            found.change,
            "%",
            [*later, *earlier],
            interval=found.interval,
        )
    ]


def _clean_in(desk: _Desk, job_type: str, state: str) -> list[Entry]:
    return [
        entry
        for entry in desk.of_type(job_type)
        if entry.state == state and _is_clean(entry) and entry.total_s is not None
    ]


def _change_reason(
    figures: Sequence[Figure],
    beside: Sequence[Figure],
    problems: Sequence[str],
    verdict: Verdict,
    *,
    is_saving: bool,
) -> str:
    instead = ""
    if beside:
        first = beside[0]
        more = -(first.recomputed or 0.0) if is_saving else first.recomputed or 0.0
        instead = f" {first.states[0].capitalize()} against {first.states[0]} it takes "
        instead += f"{abs(more):.1f} % {'more' if more > 0 else 'less'} ({first.n} runs in all)."
    faults = "; ".join(problems)
    if len({figure.stated for figure in figures}) > 1:
        return f"{_count(len(figures))} values stand for one figure: {faults}.{instead}"
    wrong = [figure for figure in figures if figure.verdict is Verdict.WRONG]
    if wrong:
        return f"It is {wrong[0].recomputed:+.1f} %; and {faults}.{instead}"
    if verdict is Verdict.REFUSED:
        return f"The sum is right, but {faults}.{instead}"
    if verdict is Verdict.NOT_SUPPORTED:
        return f"The sum is right, but the difference is within the noise.{instead}"
    return f"Both sides are alike and the difference is beyond chance.{instead}"


# ---------------------------------------------------------------------------------- shares, targets


def _shares(claim: Claim, recipe: SharesRecipe, desk: _Desk) -> Judgement:
    (entry,) = desk.entries([recipe.label])
    stated = _numbers(claim)
    if not entry.total_s:
        raise _CannotTell(f"Record {entry.label} has no total.")
    if len(stated) != len(recipe.parts):
        raise _CannotTell("The recipe names another number of shares than are stated.")
    figures: list[Figure] = []
    for value, part in zip(stated, recipe.parts, strict=True):
        seconds = phases_of(entry.phases_s, part.phases)
        if seconds is None:
            raise _CannotTell(f"Record {entry.label} has no phase {_listed(part.phases)}.")
        share = 100.0 * seconds / entry.total_s
        fits = is_same(value, share)
        verdict = Verdict.CONFIRMED if fits else Verdict.WRONG
        figures.append(_figure(part.name, value, share, "%", [entry], verdict=verdict))
    named = sum(figure.recomputed or 0.0 for figure in figures)
    figures.append(_figure("without a name", None, 100.0 - named, "%", [entry]))
    found = "/".join(f"{figure.recomputed:.0f}" for figure in figures[:-1])
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    if verdict is Verdict.CONFIRMED:
        return _judgement(claim, figures, verdict, "The record's phases give these shares.")
    reason = f"The record's phases give {found} % of {entry.total_s:g} s, and {100 - named:.1f} % "
    return _judgement(claim, figures, verdict, reason + "has no name.")


def _target(claim: Claim, recipe: TargetRecipe, desk: _Desk) -> Judgement:
    stated = _numbers(claim)
    if len(stated) != len(recipe.of):
        raise _CannotTell("The recipe names another number of figures than are stated.")
    figures: list[Figure] = []
    for value, step in zip(stated, recipe.of, strict=True):
        entries = desk.entries(step.labels)
        seconds = mean(_seconds(entries, step.phases))
        goal = _goal_s(step, desk)
        saving = 100.0 * (1.0 - goal / seconds)
        fits = is_same(value, saving)
        figures.append(
            _figure(
                f"{seconds:.4g} s to {goal:g} s",
                value,
                saving,
                "%",
                entries,
                verdict=Verdict.NOT_SUPPORTED if fits else Verdict.WRONG,
            )
        )
    found = " and ".join(f"{figure.recomputed:.1f} %" for figure in figures)
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    begin = "It is" if verdict is Verdict.WRONG else "The sum is right:"
    mixed = ", starting from a mean of cold and warm" if figures[0].is_mixed else ""
    reason = f"{begin} {found}{mixed}, and a target is nothing that was measured."
    return _judgement(claim, figures, verdict, reason)


def _goal_s(step: TargetStep, desk: _Desk) -> float:
    texts = [item.target for item in desk.history.roadmap if item.priority == step.priority]
    texts += [part for g in desk.history.goals if g.by == step.goal for part in parts_of(g.what)]
    for text in texts:
        found = _FIRST_SECONDS.search(text)
        if found:
            return float(found.group(1))
    raise _CannotTell("The roadmap or goal that it rests on states no seconds.")


# ------------------------------------------------------------------------------ estimates, coverage


def _estimates(claim: Claim, desk: _Desk) -> Judgement:
    if not isinstance(claim.stated, dict):
        raise _CannotTell("What was stated has no job types.")
    figures = [_estimate(name, stated, desk) for name, stated in claim.stated.items()]
    shown = [
        each for figure in figures for each in (figure, *_estimate_by_state(figure.name, desk))
    ]
    counts: list[str] = []
    for verdict in Verdict:
        names = [figure.name for figure in figures if figure.verdict is verdict]
        if names:
            counts.append(f"{len(names)} {verdict.value}")
    mixed = sum(figure.is_mixed for figure in figures)
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    reason = f"Of {len(figures)} figures: {', '.join(counts)}"
    reason += f"; {mixed} mix cold and warm runs." if mixed else "."
    return _judgement(claim, shown, verdict, reason)


def _estimate_by_state(name: str, desk: _Desk) -> list[Figure]:
    """Return the same state by state, where there is more than one."""
    estimate = desk.history.estimates_s.get(name)
    found = _mean_by_state(desk, name)
    if not estimate or len(found) < 2:
        return []
    return [
        replace(
            figure,
            name=f"{name}, {figure.name}",
            unit="%",
            recomputed=100.0 * ((figure.recomputed or 0.0) / estimate - 1.0),
            interval=figure.interval
            and Interval(
                low=100.0 * (figure.interval.low / estimate - 1.0),
                high=100.0 * (figure.interval.high / estimate - 1.0),
                level=figure.interval.level,
            ),
        )
        for figure in found
    ]


def _estimate(name: str, stated: Stated | tuple[Stated, ...], desk: _Desk) -> Figure:
    value = stated if isinstance(stated, (int, float)) else None
    shown = value if value is not None else str(stated)
    entries = [entry for entry in desk.of_type(name) if entry.total_s is not None]
    clean = [entry for entry in entries if _is_clean(entry)]
    estimate = desk.history.estimates_s.get(name)
    if value is None or not estimate or not clean:
        note = "no run was recorded" if estimate else "no estimate was recorded"
        return _figure(name, shown, None, "%", [], verdict=Verdict.UNMEASURABLE, note=note)
    shares = [100.0 * (seconds / estimate - 1.0) for seconds in _totals(clean)]
    found = mean(shares)
    if not is_same(value, found):
        pairs = [
            (entry.label, 100.0 * (seconds / estimate - 1.0))
            for entry, seconds in zip(entries, _totals(entries), strict=True)
        ]
        choices = subsets_behind(value, pairs)
        note = f"stated {_choice_text(choices)}" if choices else "no choice of runs gives it"
        verdict = Verdict.WRONG
    elif len(clean) == 1:
        note, verdict = "one run", Verdict.NOT_SUPPORTED
    else:
        note, verdict = "", Verdict.CONFIRMED
    return _figure(
        name, value, found, "%", clean, interval=mean_interval(shares), verdict=verdict, note=note
    )


def _coverage(claim: Claim, desk: _Desk) -> Judgement:
    known = [job.name for job in JOB_TYPES]
    with_record = {entry.job_type for entry in desk.history.records} & set(known)
    share = 100.0 * len(with_record) / len(known)
    figures: list[Figure] = []
    for name, stated in _stated_items(claim):
        value = _percent_of(stated)
        is_right = value is not None and is_same(value, share)
        verdict = Verdict.CONFIRMED if is_right else Verdict.WRONG
        figures.append(_figure(name, stated, share, "%", [], n=len(known), verdict=verdict))
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    clean = Counter((e.job_type, e.state) for e in desk.history.records if _is_clean(e))
    established = {name for (name, _), runs in clean.items() if runs >= ESTABLISHED_RUNS}
    reason = (
        f"{len(with_record)} of {len(known)} job types have a record, and "
        f"{len(established) or 'none'} the five clean runs in one state that make a baseline."
    )
    return _judgement(claim, figures, verdict, reason)


def _percent_of(stated: Stated) -> float | None:
    if isinstance(stated, (int, float)):
        return float(stated)
    fraction, percent = _FRACTION.search(stated), _PERCENT.search(stated)
    if fraction and int(fraction.group(2)):
        return 100.0 * int(fraction.group(1)) / int(fraction.group(2))
    return float(percent.group(1)) if percent else None


# --------------------------------------------------------------------------------------- trade-offs


def _tradeoff(claim: Claim, recipe: TradeoffRecipe, desk: _Desk) -> Judgement:
    ((_, stated),) = _stated_items(claim)[:1]
    low, _ = _bounds(stated)
    effect = _effect(recipe, desk)
    name = f"{recipe.factor} {recipe.before} to {recipe.after}"
    beside = _step_bound(recipe, desk)
    if effect is not None:
        return _measured_tradeoff(claim, recipe, effect, name=name, beside=beside)
    most = beside[0].recomputed if beside else None
    if most is not None and low > most and not recipe.is_cost:
        figure = _figure(name, stated, None, "%", [], verdict=Verdict.WRONG)
        shares = [figure.recomputed for figure in beside[1:] if figure.recomputed is not None]
        reason = f"Only denoising scales with steps: at most {most:.0f} % could be saved"
        if shares:
            reason += f", and in the recorded runs {min(shares):.1f} to {max(shares):.1f} %"
        return _judgement(claim, [figure, *beside], Verdict.WRONG, f"{reason}.")
    figure = _figure(name, stated, None, "%", [], verdict=Verdict.NOT_MEASURED)
    reason = f"No run with the other setting was recorded. {_how(recipe)}"
    return _judgement(claim, [figure, *beside], Verdict.NOT_MEASURED, reason)


def _effect(recipe: TradeoffRecipe, desk: _Desk) -> Effect | None:
    """Return what a sweep measured of it; of frames also at the counts that were really made."""
    pairs = [(recipe.before, recipe.after), _legal(recipe)]
    found = (
        find_effect(
            desk.effects,
            job_type=recipe.job_type,
            factor=recipe.factor,
            before=before,
            after=after,
        )
        for before, after in pairs
    )
    return next((effect for effect in found if effect is not None), None)


def _measured_tradeoff(
    claim: Claim, recipe: TradeoffRecipe, effect: Effect, *, name: str, beside: list[Figure]
) -> Judgement:
    ((_, stated),) = _stated_items(claim)[:1]
    low, high = _bounds(stated)
    sign = 1.0 if recipe.is_cost else -1.0
    value = sign * effect.change + 0.0
    interval = None
    if effect.interval is not None:
        ends = sorted((sign * effect.interval.low, sign * effect.interval.high))
        interval = Interval(low=ends[0] + 0.0, high=ends[1] + 0.0, level=effect.interval.level)
    what = "costs" if recipe.is_cost else "saves"
    spread = "" if interval is None else f" ({interval.low:.1f} to {interval.high:.1f})"
    reason = f"On {effect.machine} it {what} {value:.1f} %{spread}, {effect.n} runs a side"
    if interval is None:
        verdict = Verdict.NOT_SUPPORTED
        reason += ": too few for an interval"
    elif interval.high < low or interval.low > high:
        verdict = Verdict.WRONG
        why = _FREE_FACTORS.get(recipe.factor)
        reason += f": {why}" if why else ""
    elif interval.low <= 0.0 <= interval.high:
        verdict = Verdict.NOT_SUPPORTED
        reason += ": no change at all fits as well, more runs would tell"
    else:
        verdict = Verdict.CONFIRMED
    figure = _figure(
        name, stated, value, "%", [], n=effect.n, interval=interval, verdict=verdict,
        note=f"measured: {effect.source}",
    )  # fmt: skip
    return _judgement(claim, [figure, *beside], verdict, f"{reason}.")


def _step_bound(recipe: TradeoffRecipe, desk: _Desk) -> list[Figure]:
    """Return what fewer steps can save: of denoising alone, then of each recorded run."""
    if recipe.factor != "num_inference_steps":
        return []
    before, after = _number(recipe.before), _number(recipe.after)
    figures = [
        _figure("if all was denoising", None, 100.0 * (before - after) / before, "%", [], n=0)
    ]
    for entry in desk.of_type(recipe.job_type):
        if entry.step_s and entry.total_s and entry.num_inference_steps == before:
            share = 100.0 * (before - after) * entry.step_s / entry.total_s
            figures.append(_figure(f"of {_runs([entry.label])}", None, share, "%", [entry]))
    return figures


def _how(recipe: TradeoffRecipe) -> str:
    expected = _FREE_FACTORS.get(recipe.factor)
    text = f"Expected is 0 %: {expected}. " if expected else ""
    before, after = _legal(recipe)
    if (before, after) != (recipe.before, recipe.after):
        text += f"Neither count is 4n+1: {recipe.before} made {before}, {recipe.after} {after}. "
    return (
        f"{text}Measure it: ourvidz bench sweep --job-type {recipe.job_type} "
        f"--vary {recipe.factor}={before},{after}."
    )


def _legal(recipe: TradeoffRecipe) -> tuple[str, str]:
    """Return the two settings, frames as the service of 2025 made them."""
    if recipe.factor != "num_frames":
        return recipe.before, recipe.after
    return str(_floored(recipe.before)), str(_floored(recipe.after))


def _floored(num_frames: str) -> int:
    """Return what the service of 2025 made of a count: the highest 4n+1 not above it."""
    return (int(_number(num_frames)) - 1) // 4 * 4 + 1


def _number(value: str) -> float:
    """Return a setting's number above 0."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise _CannotTell(f"{value!r} is no number above 0.")
    return number


def _options(claim: Claim, recipe: OptionsRecipe, desk: _Desk) -> Judgement:
    if not isinstance(claim.stated, dict):
        raise _CannotTell("What was stated has no presets.")
    known = [entry for entry in desk.of_type(recipe.job_type) if entry.total_s is not None]
    fastest = min(known, key=lambda entry: entry.total_s or 0.0) if known else None
    figures: list[Figure] = []
    against: list[str] = []
    for name, value in claim.stated.items():
        pair = value if isinstance(value, tuple) else (value,)
        expected = next((float(v) for v in pair if isinstance(v, (int, float))), None)
        promised = next((v for v in pair if isinstance(v, str)), "")
        shown = " / ".join(f"{v:g}" if isinstance(v, (int, float)) else v for v in pair)
        span, measured = _RANGE.search(promised), _MEASURED.search(promised)
        note, verdict, found, runs = "", Verdict.NOT_MEASURED, None, list[Entry]()
        if expected is not None and span:
            low, high = float(span.group(1)), float(span.group(2))
            if not low <= expected <= high:
                note = f"{expected:g} s lies outside the promise of {low:g} to {high:g} s"
                verdict = Verdict.WRONG
                against.append(name)
        if expected is not None and measured and fastest is not None and fastest.total_s:
            runs, found = [fastest], fastest.total_s
            verdict = Verdict.WRONG if expected < found else Verdict.CONFIRMED
            note = f"the fastest of {len(known)} recorded runs"
        figures.append(_figure(name, shown, found, "s", runs, verdict=verdict, note=note))
    verdict = worst([figure.verdict for figure in figures if figure.verdict])
    parts: list[str] = []
    if against:
        parts.append(f"{_count(len(against))} presets expect what lies outside their own promise")
    if fastest is not None:
        parts.append(f"no recorded run was faster than {fastest.total_s:g} s")
    tail = f". Measure the presets: ourvidz bench sweep --job-type {recipe.job_type} --vary preset"
    names = [name for name in claim.stated if name != "baseline"]
    return _judgement(
        claim, figures, verdict, f"{', and '.join(parts)}{tail}={','.join(['baseline', *names])}."
    )


# ------------------------------------------------------------------------------------------ helpers


def _stated_items(claim: Claim) -> list[tuple[str, Stated]]:
    if isinstance(claim.stated, dict):
        return [
            (name, " / ".join(map(str, value)) if isinstance(value, tuple) else value)
            for name, value in claim.stated.items()
        ]
    return [("as stated", value) for value in claim.stated]


def _numbers(claim: Claim) -> list[float]:
    values = [value for _, value in _stated_items(claim)]
    if not all(isinstance(value, (int, float)) for value in values):
        raise _CannotTell("What was stated is no number.")
    return [float(value) for value in values]


def _bounds(stated: Stated) -> tuple[float, float]:
    if isinstance(stated, str):
        span, percent = _RANGE.search(stated), _PERCENT.search(stated)
        if span:
            return float(span.group(1)), float(span.group(2))
        if percent:
            return float(percent.group(1)), float(percent.group(1))
        raise _CannotTell("What was stated is no number.")
    return float(stated), float(stated)


def _totals(entries: Sequence[Entry]) -> list[float]:
    return _seconds(entries, ())


def _seconds(entries: Sequence[Entry], phases: Sequence[str]) -> list[float]:
    values: list[float] = []
    for entry in entries:
        value = phases_of(entry.phases_s, phases) if phases else entry.total_s
        if not value:
            what = _listed(phases) if phases else "total"
            raise _CannotTell(f"Record {entry.label} has no {what}.")
        values.append(value)
    return values


def _is_clean(entry: Entry) -> bool:
    return failure_of(entry) is None


def _exceeds(entry: Entry) -> bool:
    return entry.total_s is not None and sum(entry.phases_s.values()) > entry.total_s + 0.05


def _runs(labels: Iterable[str]) -> str:
    names = list(labels)
    return f"run{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values)


_WORDS = {1: "One", 2: "Two", 3: "Three", 4: "Four", 5: "Five"}


def _count(number: int) -> str:
    return _WORDS.get(number, str(number))
