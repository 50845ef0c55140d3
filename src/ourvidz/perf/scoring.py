"""Live jobs: was this one slow, are several of the last, and has the whole installation changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypeAlias

from ourvidz.perf.baselines import Baseline, baseline_of, baselines
from ourvidz.perf.decisions import Decision, Effect, Verb, standing_decisions
from ourvidz.perf.grouping import in_order
from ourvidz.perf.measures import (
    TOTAL,
    Column,
    columns_of,
    is_judged,
    measures_of,
    tolerance_of,
)
from ourvidz.perf.plain import plain
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import (
    Alarm,
    AlarmPolicy,
    Direction,
    Interval,
    Prediction,
    PredictionMethod,
    Score,
    installation_alarms,
    is_watched,
    median,
    prediction_interval,
    standing_alarm,
)
from ourvidz.perf.stats.prediction import SMALLEST_N

LEVEL = 0.99
WINDOW = 5  # jobs, of which three slow ones are a sign to look
# Three slow jobs are a sign to look now: what last ran so long before all else is none.
_WATCH_AGE = timedelta(days=30)
# What alarms are watched for: no more series than this leave the rule its power.
_LARGEST_FAMILY_RUNS = 100
_MOST_KEPT = 1024  # intervals
_Watched: TypeAlias = tuple[str, str]  # a group's id and a measure


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureScore:
    """One measure of one finished job."""

    measure: str
    value: float
    score: Score | None  # None: fewer than three runs before it
    interval: Interval | None  # where the next run should fall
    method: PredictionMethod | None
    n: int  # runs that the interval is made of


@dataclass(frozen=True, kw_only=True, slots=True)
class JobScore:
    """A finished job beside its baseline."""

    id: str
    at: datetime
    group: str  # the baseline
    score: Score | None  # of the whole job
    measures: tuple[MeasureScore, ...]
    is_watched: bool  # three of the last five jobs were slow: look

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """A group of which three of the last five jobs were slow."""

    group: str
    job_type: str
    slow: tuple[str, ...]  # ids
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RaisedAlarm:
    """A series of which it is known, over the whole installation, that it changed."""

    group: str
    job_type: str
    measure: str
    record: str  # the id of the run after which it was raised
    at: datetime
    alarm: Alarm
    text: str


def score_job(
    record: PerformanceRecord,
    records: Iterable[PerformanceRecord],
    *,
    decisions: Sequence[Decision] = (),
) -> JobScore:
    """Return where a finished job fell, against the 99 % prediction interval of its baseline.

    The interval is made of the runs up to the fifth before it: were it made of all, the first
    slow runs would widen it so far that those after them looked normal. Where fewer than five runs
    are left so, all runs before it count.

    Args:
        record: The job; one of ``records`` or not.
        records: Whatever was recorded; later runs are not looked at.
        decisions: All so far.
    """
    before = [each for each in records if _is_before(each, record)]
    baseline = baseline_of(record, [*before, record], decisions=decisions, measures=())
    counted = list(baseline.records) if baseline is not None else []
    earlier = [each for each in counted if each.id != record.id]
    scores = [_total_score(earlier, index) for index in range(len(earlier))][-(WINDOW - 1) :]
    measures = _scores(record, _reference(earlier, len(earlier)))
    own = next((each.score for each in measures if each.measure == TOTAL), None)
    if own is not None and any(each.id == record.id for each in counted):
        scores.append(own)
    known = [score for score in scores if score is not None]
    return JobScore(
        id=record.id,
        at=record.at,
        group=baseline.id if baseline is not None else "",
        score=own,
        measures=measures,
        is_watched=is_watched(known, of=WINDOW),
    )


def watches(
    records: Iterable[PerformanceRecord], *, decisions: Sequence[Decision] = ()
) -> tuple[Watch, ...]:
    """Return the groups of which three of the last five jobs were slow. One slow job never is.

    None whose last run is 30 days older than the installation's newest, and none of a change that
    somebody ignores or investigates.
    """
    known = baselines(records, decisions=decisions, measures=())
    return watches_of(known, decisions=decisions)


def watches_of(
    known: Iterable[Baseline], *, decisions: Sequence[Decision] = ()
) -> tuple[Watch, ...]:
    """Return the same as ``watches``, of baselines that were made already."""
    known = tuple(known)
    if not known:
        return ()
    oldest = max(each.last_at for each in known) - _WATCH_AGE
    decided = _decided(decisions)
    found: list[Watch] = []
    for baseline in known:
        if baseline.last_at < oldest:
            continue
        runs = baseline.records
        first = max(0, len(runs) - WINDOW)
        scored = {runs[i].id: _total_score(runs, i) for i in range(first, len(runs))}
        scores = [score for score in scored.values() if score is not None]
        if not is_watched(scores, of=WINDOW):
            continue
        slow = tuple(name for name, score in scored.items() if score is Score.SLOW)
        begin = next(i for i in range(first, len(runs)) if runs[i].id == slow[0])
        span = (runs[max(0, begin - WINDOW)].at, runs[-1].at)
        if _is_decided(decided, baseline, span, Direction.SLOWER):
            continue
        found.append(
            Watch(
                group=baseline.id,
                job_type=baseline.job_type,
                slow=slow,
                text=f"{len(slow)} of the last {len(scored)} jobs were slow",
            )
        )
    return tuple(found)


def alarms(
    records: Iterable[PerformanceRecord],
    *,
    decisions: Sequence[Decision] = (),
    measures: Collection[str] | None = None,
    num_runs: int = _LARGEST_FAMILY_RUNS,
) -> tuple[RaisedAlarm, ...]:
    """Return the alarms of a whole installation: at most 5 % of stable ones raise any.

    Every group and measure is a series; see ``stats.alarms``. A series begins with its baseline,
    so accepting a change ends its alarm. An alarm stands until newer runs show the earlier level
    again: the group's own or, where it runs no more, those of the groups that came after it in its
    history. Of a change that somebody ignores or investigates there is no alarm; a further change
    has one.

    Args:
        records: Any order.
        decisions: All so far.
        measures: Which are watched; None for all.
        num_runs: Runs of each series over which the error is spent; more where one has more.
    """
    known = baselines(records, decisions=decisions, measures=())
    return alarms_of(known, decisions=decisions, measures=measures, num_runs=num_runs)


def alarms_of(
    known: Iterable[Baseline],
    *,
    decisions: Sequence[Decision] = (),
    measures: Collection[str] | None = None,
    num_runs: int = _LARGEST_FAMILY_RUNS,
) -> tuple[RaisedAlarm, ...]:
    """Return the same as ``alarms``, of baselines that were made already."""
    known = tuple(known)
    series: dict[_Watched, tuple[Baseline, Column]] = {}
    for baseline in known:
        for name, column in columns_of(baseline.records).items():
            if is_judged(name) and (measures is None or name in measures):
                series[baseline.id, name] = (baseline, column)
    if not series:
        return ()
    longest = max(len(column.values) for _, column in series.values())
    policy = AlarmPolicy(num_series=len(series), num_runs=max(num_runs, longest))
    decided = _decided(decisions)

    def is_known(key: _Watched, alarm: Alarm) -> bool:
        baseline, column = series[key]
        runs = [baseline.records[place] for place in column.indices]
        span = (runs[max(0, alarm.since - alarm.rule.w)].at, runs[alarm.run].at)
        return _is_decided(decided, baseline, span, alarm.direction)

    found = installation_alarms(
        {key: column.values for key, (_, column) in series.items()},
        policy=policy,
        is_known=is_known,
    )

    def stands(key: _Watched) -> bool:
        baseline, column = series[key]
        later = _later(baseline, known, key[1])
        known_here = partial(is_known, key)
        return not later or bool(
            standing_alarm(column.values, policy, later=later, is_known=known_here)
        )

    return tuple(
        _raised(*series[key], key[1], alarm)
        for key, alarm in found.items()
        if stands(key) and _matters(alarm, key[1], series[key][1].values)
    )


def _later(baseline: Baseline, known: Iterable[Baseline], measure: str) -> tuple[float, ...]:
    """Return a measure's values of all that came in a group's history after its last run."""
    runs = [
        run
        for other in known
        if other.series == baseline.series and other.last_at > baseline.last_at
        for run in other.records
        if run.at > baseline.last_at
    ]
    column = columns_of(in_order(runs)).get(measure)
    return column.values if column is not None else ()


def _decided(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Return what people decided, as it stands now, by series."""
    found: dict[str, list[Decision]] = {}
    for decision in standing_decisions(decisions).values():
        found.setdefault(decision.finding.series, []).append(decision)
    return found


def _is_decided(
    decided: Mapping[str, Sequence[Decision]],
    baseline: Baseline,
    span: tuple[datetime, datetime],
    direction: Direction,
) -> bool:
    """Whether somebody knows of a change within a span of time, or accepted what came after all."""
    opposite = Effect.IMPROVEMENT if direction is Direction.SLOWER else Effect.REGRESSION
    for decision in decided.get(baseline.series, ()):
        finding = decision.finding
        if decision.verb is Verb.ACCEPT:
            if finding.from_at > baseline.last_at:
                return True
        elif span[0] <= finding.from_at <= span[1] and finding.effect is not opposite:
            return True
    return False


def _raised(baseline: Baseline, column: Column, measure: str, alarm: Alarm) -> RaisedAlarm:
    run, since = (baseline.records[column.indices[place]] for place in (alarm.run, alarm.since))
    return RaisedAlarm(
        group=baseline.id,
        job_type=baseline.job_type,
        measure=measure,
        record=run.id,
        at=run.at,
        alarm=alarm,
        text=(
            f"{measure} is {alarm.direction.value}: {alarm.shift.estimate:+.1%} "
            f"since run {since.id} ({alarm.rule} runs)"
        ),
    )


def _matters(alarm: Alarm, measure: str, values: Sequence[float]) -> bool:
    """Whether the change is above the measure's floor: sizes only ever leave alarms out."""
    return abs(alarm.shift.estimate) * median(values) >= tolerance_of(measure).floor


@lru_cache(maxsize=_MOST_KEPT)
def _interval(values: tuple[float, ...]) -> Prediction | None:
    return prediction_interval(values, level=LEVEL)


def _is_before(one: PerformanceRecord, other: PerformanceRecord) -> bool:
    return (one.at, one.id) < (other.at, other.id)


def _reference(runs: Sequence[PerformanceRecord], index: int) -> Sequence[PerformanceRecord]:
    """Return the runs that run ``index`` is scored against."""
    settled = runs[: max(0, index - (WINDOW - 1))]
    return settled if len(settled) >= WINDOW else runs[:index]


def _total_score(runs: Sequence[PerformanceRecord], index: int) -> Score | None:
    value = runs[index].run_s
    if not value:
        return None
    reference = tuple(each.run_s for each in _reference(runs, index) if each.run_s)
    return _score(TOTAL, value, reference).score


def _scores(
    record: PerformanceRecord, reference: Sequence[PerformanceRecord]
) -> tuple[MeasureScore, ...]:
    columns = columns_of(reference)
    return tuple(
        _score(name, value, columns[name].values if name in columns else ())
        for name, value in measures_of(record).items()
        if is_judged(name)
    )


def _score(measure: str, value: float, values: Sequence[float]) -> MeasureScore:
    prediction = _interval(tuple(values)) if len(values) >= SMALLEST_N else None
    return MeasureScore(
        measure=measure,
        value=value,
        score=None if prediction is None else prediction.score(value),
        interval=None if prediction is None else prediction.interval,
        method=None if prediction is None else prediction.method,
        n=len(values),
    )
