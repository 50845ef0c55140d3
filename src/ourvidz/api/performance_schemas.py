"""What goes over the wire of the performance and benchmark routes, as types.

Answers have the form that ``ourvidz perf ... --json`` prints: both come from ``perf``.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue, model_validator

from ourvidz.api.schemas import Answer, ParameterValues, Strict
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE

Verb = Literal["accept", "investigate", "ignore"]

MAX_NOTE_CHARS = 4_000
_MAX_NAME_CHARS = 100


class Span(Answer):
    """A closed interval; null: open on that side."""

    low: float | None
    high: float | None
    level: float = Field(description="Confidence or coverage, 0 to 1.")


class Summary(Answer):
    """What a baseline says of one measure; null where too few runs are there for it."""

    n: int
    median: float
    mad: float = Field(description="Median absolute deviation, unscaled.")
    mean: float
    sd: float | None
    cv: float | None = Field(description="Standard deviation over mean.")
    minimum: float
    maximum: float
    interval: Span | None = Field(description="95 % bootstrap interval of the median; from n = 3.")
    p90: float | None = Field(description="From n = 10.")
    p95: float | None = Field(description="From n = 20.")
    p99: float | None = Field(description="From n = 100.")


class SuccessShare(Answer):
    """How many jobs succeeded."""

    successes: int
    n: int
    share: float
    interval: Span = Field(description="Wilson's.")


# Matrix


class MatrixRowAnswer(Answer):
    """One job type in one preset, setting, environment and state."""

    job_type: str
    preset: str
    group: str | None = Field(description="The baseline's id; null where nothing ran.")
    series: str | None
    status: Literal["pending", "in_progress", "established", "optimised"]
    state: str | None = Field(description="cold, warm or resident.")
    real_s: float | None = Field(description="Median of the runs that count.")
    expected_s: float | None
    expected_from: str | None
    variance: float | None = Field(description="Real over expected, minus 1.")
    quality: float | None = Field(description="Mean of the stars that people gave, 1 to 5.")
    n: int
    interval: Span | None
    cv: float | None
    success: SuccessShare | None
    trend: str = Field(description="slower, faster, stable, or unknown.")
    trend_shift: float | None = Field(description="Of the last change, as a share.")
    change: str | None = Field(description="Its id.")
    settings: dict[str, JsonValue]
    notes: list[str]


class MatrixAnswer(Answer):
    """Every job type beside what it takes, and how sure that is."""

    newest: int = Field(description="The newest record's number: unchanged, so is all this.")
    rows: list[MatrixRowAnswer]
    num_job_types: int
    num_established: int


# Baselines


class BaselineBrief(Answer):
    """A baseline without its figures."""

    id: str
    series: str
    job_type: str
    preset: str
    state: str
    compile_state: str
    is_history: bool = Field(description="Imported: no baseline of this installation.")
    status: Literal["pending", "in_progress", "established", "optimised"]
    n: int
    first_at: str
    last_at: str


class LeftOutRun(Answer):
    """A run that is shown and not counted."""

    id: str
    at: str
    reasons: list[str]


class FindingAnswer(Answer):
    """What was decided upon."""

    id: str
    series: str
    effect: Literal["regression", "improvement", "mixed", "none"]
    from_at: str
    from_record: str
    text: str


class DecisionAnswer(Answer):
    """An entry of the list, which is only ever appended to."""

    id: str
    at: str
    verb: Literal["accept", "investigate", "ignore", "undo"]
    author: str
    note: str
    finding: FindingAnswer
    undoes: str | None = Field(description="The decision that an undo took back.")


class DecisionListed(DecisionAnswer):
    """An entry with what became of it."""

    holds: bool


class BaselineAnswer(BaselineBrief):
    """A baseline in full."""

    workload: dict[str, JsonValue]
    environment: dict[str, JsonValue]
    measures: dict[str, Summary] = Field(description="total, step, peak_memory and each phase.")
    outliers: dict[str, list[str]] = Field(description="Flagged, and counted all the same.")
    left_out: list[LeftOutRun]
    success: SuccessShare | None
    newest: str
    begins_with: DecisionAnswer | None
    runs: list[str] = Field(description="Ids of the runs that count, oldest first.")


class BaselinePage(Answer):
    """Baselines, newest run first."""

    data: list[BaselineBrief]
    next_cursor: str | None


# Trends


class PointAnswer(Answer):
    """One run of a history."""

    id: str
    at: str
    values: dict[str, float | None] = Field(description="Seconds or bytes by measure.")
    left_out: list[str] = Field(description="Why it does not count; empty if it does.")


class ShiftAnswer(Answer):
    """How far the runs after lie from those before."""

    estimate: float
    interval: Span | None
    is_relative: bool
    num_before: int
    num_after: int


class MeasureChangeAnswer(Answer):
    """By how much one measure changed."""

    measure: str
    at_record: str
    p_value: float
    shift: ShiftAnswer


class ChangeAnswer(Answer):
    """A moment from which a history was another one."""

    id: str
    series: str
    at: str
    at_record: str
    effect: Literal["regression", "improvement", "mixed", "none"]
    measures: list[MeasureChangeAnswer]
    differences: list[dict[str, Any]] = Field(description="Of the environments of both sides.")
    cause: str
    marks: list[dict[str, Any]] = Field(description="Of the change log.")
    decision: DecisionAnswer | None = Field(description="What holds of it now.")
    text: str


class SeriesAnswer(Answer):
    """The history of one workload, state and machine."""

    id: str
    job_type: str
    preset: str
    workload: dict[str, JsonValue]
    state: str
    compile_state: str
    machine: dict[str, JsonValue]
    is_history: bool
    num_points: int
    points: list[PointAnswer] = Field(description="The last ones, oldest first.")
    changes: list[ChangeAnswer]
    candidates: list[dict[str, Any]] = Field(description="Too few runs for anybody to say so.")
    marks: list[dict[str, Any]]


class TrendPage(Answer):
    """Histories, newest run first."""

    data: list[SeriesAnswer]
    next_cursor: str | None
    newest: int


class AlarmAnswer(Answer):
    """A group of runs of which it is known, over the whole installation, that it changed."""

    group: str
    job_type: str
    measure: str
    record: str
    at: str
    alarm: dict[str, Any]
    text: str


class WatchAnswer(Answer):
    """A group of which three of the last five jobs were slow."""

    group: str
    job_type: str
    slow: list[str]
    text: str


class AlarmsAnswer(Answer):
    """What has to be looked at now."""

    newest: int
    alarms: list[AlarmAnswer]
    watched: list[WatchAnswer]


# One job


class MeasureScoreAnswer(Answer):
    """One measure of one job, against the runs before it."""

    measure: str
    value: float
    score: Literal["fast", "normal", "slow"] | None = Field(description="null: too few runs.")
    interval: Span | None = Field(description="Where 99 % of runs should fall.")
    method: str | None
    n: int


class ScoreAnswer(Answer):
    """A job beside its baseline."""

    id: str
    at: str
    group: str
    score: Literal["fast", "normal", "slow"] | None
    measures: list[MeasureScoreAnswer]
    is_watched: bool


class RecordAnswer(Answer):
    """A job's performance record. It holds no word of a prompt."""

    id: str
    at: str
    origin: str
    job_type: str
    workload: dict[str, JsonValue]
    environment: dict[str, JsonValue]
    state: str
    compile_state: str
    total_s: float | None
    phases_s: dict[str, float]
    step_times_s: list[float]
    is_success: bool
    failure: str | None
    memory: dict[str, int]
    device: dict[str, float]
    facts: dict[str, JsonValue]
    flags: list[str]
    source: str | None
    host: dict[str, float]
    settings: dict[str, JsonValue]
    network_calls: int | None
    image_s: float | None
    device_s: float | None
    shared_s: float
    batched_with: int


class SpanAnswer(Answer):
    """One stretch of one phase, in seconds since the job's first."""

    phase: str
    start_s: float
    end_s: float
    is_background: bool = Field(default=False, description="Beside what drives the job.")
    device_s: float | None = None
    facts: dict[str, JsonValue] = Field(default_factory=dict)


class DeviceSeries(Answer):
    """What the GPU did over a job: lists of one length, 120 values at most."""

    at_s: list[float] = Field(description="Seconds since the job's first, as of spans.")
    utilisation: list[float | None] = Field(description="0 to 1; empty where nobody could tell.")
    memory_used_bytes: list[int | None] = Field(description="By all processes; or empty.")
    power_w: list[float | None] = Field(description="Or empty.")


class JobPerformance(Answer):
    """One job's ledger and what is said of it."""

    record: RecordAnswer
    baseline: BaselineAnswer | None
    score: ScoreAnswer
    against: dict[str, Any] | None = Field(description="The verdict beside the job named.")
    spans: list[SpanAnswer] = Field(description="Empty where the job itself was deleted.")
    device_series: DeviceSeries | None = Field(
        description="What the GPU did meanwhile; null without one, and of older records."
    )


class RecordBrief(Answer):
    """A record as the stream and the list tell of it."""

    seq: int
    job_id: str
    at: str
    job_type: str
    state: str
    origin: str
    total_s: float | None
    run_s: float | None = Field(description="Without waiting in the queue and for other jobs.")
    queue_wait_s: float | None = Field(
        description="From the moment it might run to its claim; null where no total was measured."
    )
    is_success: bool
    failure: str | None
    flags: list[str]


class RecordPage(Answer):
    """Records, newest first."""

    data: list[RecordBrief]
    next_cursor: str | None


class PerformanceEvent(Answer):
    """Something new."""

    seq: int = Field(description="The record's; send it as Last-Event-ID or as `after`.")
    kind: Literal["record"]
    record: RecordBrief
    score: Literal["fast", "normal", "slow"] | None
    slow: list[str] = Field(description="Measures that were slow.")
    is_watched: bool
    alarms: list[AlarmAnswer] = Field(description="Raised with this record.")


class PerformanceEvents(Answer):
    """What there is behind `after`."""

    data: list[PerformanceEvent]
    last_seq: int


# Decisions


class DecisionRequest(Strict):
    """What somebody decides about a change."""

    verb: Verb = Field(
        description="accept: the new level is the baseline from there on; investigate: somebody "
        "looks for the cause; ignore: known, of no interest."
    )
    target: str = Field(
        min_length=1,
        max_length=_MAX_NAME_CHARS,
        description="A change's id or its beginning, or the job with which the new level begins.",
    )
    note: str = Field(min_length=1, max_length=MAX_NOTE_CHARS, description="Why. Kept for ever.")


class UndoRequest(Strict):
    """Why a decision no longer holds."""

    note: str = Field(min_length=1, max_length=MAX_NOTE_CHARS, description="Kept for ever.")


class DecisionPage(Answer):
    """Decisions, newest first."""

    data: list[DecisionListed]
    next_cursor: str | None


# History, claims, goals


class HistoryAnswer(Answer):
    """A history of other machines."""

    name: str
    about: str
    num_records: int
    num_claims: int


class HistoryList(Answer):
    """The shipped history and the imported ones."""

    data: list[HistoryAnswer]


class ClaimsAnswer(Answer):
    """What a history's document stated, recomputed and judged."""

    name: str
    about: str
    environment: dict[str, JsonValue]
    num_records: int
    verdicts: dict[str, int] = Field(description="Claims by verdict.")
    claims: list[dict[str, Any]]
    records: list[dict[str, Any]] = Field(description="Each with what it contradicts.")
    success: dict[str, Any]
    candidates: list[dict[str, Any]] = Field(description="Changes between days.")


class Measured(Answer):
    """A measure's value in a group of records."""

    value: float
    unit: str
    n: int
    interval: Span | None
    first: str
    last: str
    states: list[str]
    origins: list[str]
    num_left_out: int


class GoalAnswer(Answer):
    """A goal or a planned optimisation, and how far the records say it got."""

    id: str
    what: str
    current: str | None
    target: str
    target_value: float | None
    unit: str | None
    method: str | None
    horizon: str | None
    due: str | None
    source: str = Field(description="settings, api, or the history's name.")
    before: Measured | None
    after: Measured | None
    is_same_machine: bool | None
    progress: float | None = Field(description="0 to 1, computed.")
    status: str
    reason: str


class GoalsAnswer(Answer):
    """Goals of this installation, and those of a history."""

    history: str
    today: str
    jobs: int
    full_size_jobs: int
    before_jobs: int
    own_goals: list[GoalAnswer]
    goals: list[GoalAnswer]
    roadmap: list[GoalAnswer]


class GoalRequest(Strict):
    """A goal: seconds or success_percent, one of them."""

    job_type: str = Field(min_length=1, max_length=_MAX_NAME_CHARS)
    seconds: float | None = Field(
        default=None, gt=0, le=1e9, description="Median seconds of a job, end to end, at most."
    )
    success_percent: float | None = Field(
        default=None, gt=0, le=100, description="Jobs that succeed, in percent, at least."
    )
    state: Literal["cold", "warm", "resident"] | None = Field(
        default=None, description="Only of jobs in this state."
    )
    by: date | None = Field(
        default=None, strict=False, description="When.", examples=["2027-03-31"]
    )
    text: str = Field(default="", max_length=MAX_NOTE_CHARS, description="What people see.")

    @model_validator(mode="after")
    def _has_one_target(self) -> GoalRequest:
        if (self.seconds is None) == (self.success_percent is None):
            raise ValueError("a goal states seconds or success_percent, one of them")
        return self


class RemovedGoal(BaseModel):
    """What is gone."""

    id: str
    is_removed: Literal[True] = True


class RolloutList(Answer):
    """What a share of jobs was given, beside the others: as `ourvidz perf rollouts --json`."""

    settings: list[dict[str, Any]] = Field(description="Of the settings, and whether each goes on.")
    data: list[dict[str, Any]] = Field(description="What records say, newest first.")


# Predictions


class PredictionRequest(ParameterValues):
    """A job that might be submitted. What is left out takes the job type's or preset's value."""

    job_type: str = Field(default=DEFAULT_JOB_TYPE, min_length=1, max_length=_MAX_NAME_CHARS)
    preset: str = Field(default=BASELINE, min_length=1, max_length=_MAX_NAME_CHARS)
    state: Literal["cold", "warm", "resident"] = Field(
        default="resident", description="Where its weights will come from."
    )


class PredictionAnswer(Answer):
    """What a job is expected to take, its wait in the queue left out."""

    total_s: float
    low_s: float = Field(description="Of the 90 % interval.")
    high_s: float
    phases_s: dict[str, float] = Field(description="They add up to total_s.")
    n: int = Field(description="Runs of this model on this machine.")
    basis: Literal["history", "prior"] = Field(
        description="prior: no such run yet; told by what the machine can do at most."
    )
