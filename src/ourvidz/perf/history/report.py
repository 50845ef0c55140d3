"""Everything that is found in a history, as one object, as JSON values and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.perf.history.candidates import Candidate, day_changes
from ourvidz.perf.history.claims import judge_claims, success_rate
from ourvidz.perf.history.evidence import Effect
from ourvidz.perf.history.judgement import Figure, Judgement, Verdict, places
from ourvidz.perf.history.records import RecordCheck, check_records, performance_records
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.plain import plain
from ourvidz.perf.stats import Interval, wilson_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessCount:
    """How many jobs succeeded, as the file says and as they did."""

    n: int
    stated: int
    recomputed: int
    interval: Interval  # Wilson, of the recomputed share
    refusals: tuple[str, ...]  # runs that were counted as success


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryReport:
    """What was found."""

    name: str
    about: str
    environment: dict[str, Any]
    num_records: int
    claims: tuple[Judgement, ...]
    records: tuple[RecordCheck, ...]
    success: SuccessCount
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; ``mixes_states`` beside every figure and claim."""
        found: dict[str, Any] = plain(self)
        for claim, made in zip(self.claims, found["claims"], strict=True):
            made["mixes_states"] = claim.is_mixed
            for figure, values in zip(claim.figures, made["figures"], strict=True):
                values["mixes_states"] = figure.is_mixed
        counts = {verdict.value: 0 for verdict in Verdict}
        for claim in self.claims:
            counts[claim.verdict.value] += 1
        return {**found, "verdicts": counts}


def report_of(named: NamedHistory, *, effects: Sequence[Effect] = ()) -> HistoryReport:
    """Return what is found in a history."""
    history = named.history
    checks = check_records(history)
    n, stated, recomputed = success_rate(history)
    return HistoryReport(
        name=named.name,
        about=history.about,
        environment=dict(history.environment),
        num_records=n,
        claims=judge_claims(history, effects=effects),
        records=checks,
        success=SuccessCount(
            n=n,
            stated=stated,
            recomputed=recomputed,
            interval=wilson_interval(recomputed, n),
            refusals=tuple(check.label for check in checks if check.is_refusal_as_success),
        ),
        candidates=day_changes(performance_records(history, name=named.name)),
    )


# ------------------------------------------------------------------------------------------- words


def stated_text(figure: Figure) -> str:
    """Return a figure as it was stated, its unit included."""
    if figure.stated is None:
        return "—"
    if isinstance(figure.stated, str):
        return figure.stated
    unit = figure.unit.partition(" ")[0]
    return f"{figure.stated:.{places(figure.stated)}f} {unit}".strip()


def value_text(figure: Figure) -> str:
    """Return a recomputed figure: one digit more than was stated, at most three."""
    if figure.recomputed is None:
        return "—"
    unit = figure.unit.partition(" ")[0]
    decimals = 1
    if isinstance(figure.stated, float) and unit == "s":
        decimals = min(3, places(figure.stated) + 2)
    return f"{figure.recomputed:.{decimals}f} {unit}".strip()


def interval_text(interval: Interval | None) -> str:
    """Return an interval in a few characters."""
    return "—" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}"


def states_text(figure: Figure, *, sep: str = " + ") -> str:
    """Return in which states the runs were."""
    return sep.join(figure.states) or "—"


def check_notes(check: RecordCheck) -> list[str]:
    """Return what a record's seconds contradict, a sentence each; empty where nothing."""
    notes: list[str] = []
    if check.excess_s and check.share is not None and check.total_s is not None:
        notes.append(
            f"its phases sum to {check.phases_sum_s:g} s, {100 * check.share:.1f} % of the "
            f"{check.total_s:g} s in all: {check.excess_s:g} s too many"
        )
    elif check.missing_s and check.missing_s >= 1.0:
        notes.append(f"{check.missing_s:g} s of {check.total_s:g} s have no name")
    if check.is_refusal_as_success:
        notes.append("the enhancer's refusal was counted as success")
    if check.doubt_stated is not None and check.doubt_recomputed is not None:
        unit = check.doubt_unit or ""
        if abs(check.doubt_stated - check.doubt_recomputed) > 10.0 ** -places(check.doubt_stated):
            notes.append(
                f"its note says {check.doubt_stated:g} {unit}, "
                f"the seconds {check.doubt_recomputed:.1f} {unit}"
            )
    return notes


def beyond_steps(checks: Sequence[RecordCheck]) -> tuple[list[RecordCheck], float, float] | None:
    """Return the runs without an enhancer whose generation outlasts its steps, and by how much."""
    found = [c for c in checks if c.beyond_steps_s is not None and "7b" not in c.job_type]
    seconds = [check.beyond_steps_s or 0.0 for check in found]
    return (found, min(seconds), max(seconds)) if found else None


def candidate_text(candidate: Candidate) -> str:
    """Return a change between two days in a sentence."""
    kind = "change" if candidate.is_verdict else "candidate"
    return (
        f"{kind}: a step of the {candidate.group} took {candidate.median_before:.3g} s on "
        f"{candidate.day_before} and {candidate.median_after:.3g} s on {candidate.day_after} "
        f"({100 * candidate.change:+.1f} %). {candidate.reason}"
    )


# ---------------------------------------------------------------------------------------- Markdown


def markdown(report: HistoryReport) -> str:
    """Return the report as Markdown, without a heading of its own."""
    rows = ["| claim | stated | recomputed | n | 95 % interval | runs | verdict |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for claim in report.claims:
        for index, figure in enumerate(claim.figures):
            cells = [
                f"`{claim.id}`" if index == 0 else "",
                stated_text(figure),
                value_text(figure),
                str(figure.n or "—"),
                interval_text(figure.interval),
                f"{figure.name} ({states_text(figure)})" if figure.states else figure.name,
                f"**{claim.verdict.value}**" if index == 0 else "",
            ]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    reasons = [f"- `{claim.id}`: {claim.reason}" for claim in report.claims]
    success = report.success
    lines = [
        *rows,
        "",
        "Why:",
        "",
        *reasons,
        "",
        "Of single records:",
        "",
        *(
            f"- {check.job_type}, run {check.label}: {note}"
            for check in report.records
            for note in check_notes(check)
        ),
        f"- {success.stated} of {success.n} jobs were counted as success; {success.recomputed} "
        f"were ({100 * success.interval.low:.0f} to {100 * success.interval.high:.0f} %).",
    ]
    beyond = beyond_steps(report.records)
    if beyond is not None:
        checks, low, high = beyond
        labels = ", ".join(check.label for check in checks)
        lines.append(
            f"- {low:g} to {high:g} s of generation in runs {labels} are no steps: text encoding, "
            "decoding and writing were never timed."
        )
    if report.candidates:
        lines += ["", "Between days:", ""]
        lines += [f"- {candidate_text(candidate)}" for candidate in report.candidates]
    return "\n".join(lines)
