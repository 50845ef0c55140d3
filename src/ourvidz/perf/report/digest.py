"""A week's or a month's digest: what ran, where times went, what each optimisation did, goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.decisions import Decision, Verb, standing_decisions
from ourvidz.perf.grouping import in_groups, in_series, preset_of
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.measures import TOTAL
from ourvidz.perf.plain import plain
from ourvidz.perf.planned import GoalsReport, KeptGoal, goals_report
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.report.collect import Metrics, metrics_of
from ourvidz.perf.report.labels import labelled, labels_of
from ourvidz.perf.report.period import Period
from ourvidz.perf.rollouts import RolloutResult, compare_rollouts
from ourvidz.perf.stats import Shift, median, relative_shift
from ourvidz.perf.trend import Change, trends
from ourvidz.perf.verdicts import Verdict, judge_runs

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """How many jobs ended on a day."""

    day: date
    jobs: int
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One job type in the period and in the one before."""

    job_type: str
    jobs: int
    failed: int
    run_s: float  # of all jobs together
    jobs_before: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One group of comparable runs in the period, and in the one before."""

    group: str
    job_type: str
    preset: str
    state: str
    label: str  # in what it differs from its namesakes
    n: int
    median_s: float | None
    n_before: int
    median_before_s: float | None
    verdict: Verdict | None  # None where one of the two has no clean run

    @property
    def text(self) -> str:
        """The verdict of the whole job in words."""
        if self.verdict is None:
            return "new in this period" if self.n else "not run in this period"
        own = self.verdict.of(TOTAL)
        return self.verdict.text if own is None else own.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What an accepted change did, measured in all runs before it and since."""

    decision: str
    at: datetime  # of the change
    job_type: str
    preset: str
    state: str
    author: str
    note: str
    n_before: int
    median_before_s: float | None
    n_after: int
    median_after_s: float | None
    shift: Shift | None  # relative; None where a side has no clean run
    n_now: int  # in the period
    median_now_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A change that began in the period."""

    job_type: str
    preset: str
    state: str
    change: Change


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """All of it. ``to_dict`` gives it as JSON values."""

    at: datetime
    period: Period
    is_over: bool
    metrics: Metrics
    metrics_before: Metrics
    days: tuple[Day, ...]
    ran: tuple[Ran, ...]
    compared: tuple[Compared, ...]
    changes: tuple[Found, ...]
    accepted: tuple[Accepted, ...]
    rollouts: tuple[RolloutResult, ...]  # with runs in the period
    goals: GoalsReport | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: ``schema`` counts its versions."""
        found: dict[str, Any] = {"schema": SCHEMA, **plain(self)}
        found["name"] = self.period.name
        found["goals"] = None if self.goals is None else self.goals.to_json()
        for each, made in zip(self.compared, found["compared"], strict=True):
            made["text"] = each.text
        return found


def digest_of(
    records: Sequence[PerformanceRecord],
    *,
    period: Period,
    now: datetime,
    profile: str,
    goals: Sequence[KeptGoal] = (),
    decisions: Sequence[Decision] = (),
    histories: Sequence[NamedHistory] = (),
) -> Digest:
    """Return the digest of a period, as it stood when the period ended.

    Args:
        records: This installation's, oldest first.
        period: The week or month.
        now: When it is made; what ended later than that or than the period is not looked at.
        profile: Which models jobs use; goals are measured with these.
        goals: Of this installation.
        decisions: All so far.
        histories: The first one's roadmap is told.
    """
    until = min(period.end, now)
    known = [each for each in records if each.at < until]
    own = [each for each in known if period.holds(each.at)]
    before = [each for each in known if period.before.holds(each.at)]
    taken = [each for each in decisions if each.at < until]
    last_day = (until - timedelta(seconds=1)).date()
    return Digest(
        at=now,
        period=period,
        is_over=now >= period.end,
        metrics=metrics_of(own),
        metrics_before=metrics_of(before),
        days=_days(own, period),
        ran=_ran(own, before),
        compared=_compared(own, before),
        changes=tuple(
            Found(job_type=each.job_type, preset=each.preset, state=each.state, change=change)
            for each in trends(known, decisions=taken, measures={TOTAL})
            for change in each.changes
            if period.holds(change.at)
        ),
        accepted=_accepted(known, taken, period),
        rollouts=compare_rollouts(own),
        goals=goals_report(histories[0], own=goals, records=known, profile=profile, now=last_day)
        if histories
        else None,
    )


def _days(records: Iterable[PerformanceRecord], period: Period) -> tuple[Day, ...]:
    ended: dict[date, list[PerformanceRecord]] = {}
    for record in records:
        ended.setdefault(record.at.date(), []).append(record)
    num_days = (period.end - period.begin).days
    days = [period.begin.date() + timedelta(days=index) for index in range(num_days)]
    return tuple(
        Day(
            day=day,
            jobs=len(ended.get(day, ())),
            failed=sum(not each.is_success for each in ended.get(day, ())),
        )
        for day in days
    )


def _ran(
    records: Sequence[PerformanceRecord], before: Sequence[PerformanceRecord]
) -> tuple[Ran, ...]:
    names = dict.fromkeys(each.job_type for each in [*records, *before])
    found: list[Ran] = []
    for name in names:
        own = [each for each in records if each.job_type == name]
        found.append(
            Ran(
                job_type=name,
                jobs=len(own),
                failed=sum(not each.is_success for each in own),
                run_s=sum(each.run_s or 0.0 for each in own),
                jobs_before=sum(each.job_type == name for each in before),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.jobs, each.job_type)))


def _compared(
    records: Sequence[PerformanceRecord], before: Sequence[PerformanceRecord]
) -> tuple[Compared, ...]:
    now, then = (
        {name: _clean(group) for name, group in in_groups(side).items()}
        for side in (records, before)
    )
    found: list[Compared] = []
    newest = {name: runs[-1] for name, runs in [*then.items(), *now.items()] if runs}
    labels = labels_of(
        labelled(name, preset=preset_of(one), record=one) for name, one in newest.items()
    )
    for name, one in newest.items():
        own, earlier = now.get(name, []), then.get(name, [])
        found.append(
            Compared(
                group=name,
                job_type=one.job_type,
                preset=preset_of(one),
                state=one.state,
                label=labels[name],
                n=len(own),
                median_s=_median(own),
                n_before=len(earlier),
                median_before_s=_median(earlier),
                verdict=judge_runs(earlier, own) if own and earlier else None,
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.n, -each.n_before, each.job_type)))


def _accepted(
    records: Sequence[PerformanceRecord], decisions: Sequence[Decision], period: Period
) -> tuple[Accepted, ...]:
    series = in_series(records)
    found: list[Accepted] = []
    for decision in standing_decisions(decisions).values():
        runs = _clean(series.get(decision.finding.series, ()))
        if decision.verb is not Verb.ACCEPT or not runs:
            continue
        begin = decision.finding.from_at
        before = [each for each in runs if each.at < begin]
        after = [each for each in runs if each.at >= begin]
        own = [each for each in after if period.holds(each.at)]
        shift = None
        if before and after:
            shift = relative_shift(_seconds(before), _seconds(after))
        found.append(
            Accepted(
                decision=decision.id,
                at=begin,
                job_type=runs[-1].job_type,
                preset=preset_of(runs[-1]),
                state=runs[-1].state,
                author=decision.author,
                note=decision.note,
                n_before=len(before),
                median_before_s=_median(before),
                n_after=len(after),
                median_after_s=_median(after),
                shift=shift,
                n_now=len(own),
                median_now_s=_median(own),
            )
        )
    return tuple(sorted(found, key=lambda each: each.at))


def _clean(records: Iterable[PerformanceRecord]) -> list[PerformanceRecord]:
    return [each for each in records if not left_out_reasons(each) and each.run_s]


def _seconds(records: Iterable[PerformanceRecord]) -> list[float]:
    return [each.run_s for each in records if each.run_s]


def _median(records: Sequence[PerformanceRecord]) -> float | None:
    values = _seconds(records)
    return median(values) if values else None
