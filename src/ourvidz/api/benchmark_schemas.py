"""What goes over the wire of the benchmark routes, as types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ourvidz.api.schemas import Answer, Strict
from ourvidz.catalog.job_types import BASELINE

_Name = Annotated[str, Field(min_length=1, max_length=100)]


class BenchmarkRequest(Strict):
    """What is to be measured, by the protocol: fixed prompts, seeds and order."""

    suite: Literal["quick", "standard", "full"] = Field(
        default="standard",
        description="3 runs of each job type and no verdict, 7, or 10.",
    )
    job_types: list[_Name] = Field(
        default_factory=list, max_length=100, description="Left out: all."
    )
    preset: _Name = Field(default=BASELINE, description="A named variant of the job types.")
    seed: int = Field(default=7, ge=0, lt=2**31, description="Of the order, and of the jobs.")
    is_forced: bool = Field(
        default=False, description="Run although pre-flight refuses; the report says so."
    )


class BenchmarkStarted(Answer):
    """The last run that the service started."""

    is_running: bool
    run_id: str | None = Field(description="null until it has passed pre-flight.")
    started_at: str
    suite: str
    job_types: list[str]
    preset: str
    seed: int
    error: dict[str, Any] | None = Field(description="Why it ended early, where it did.")


class BenchmarkBrief(Answer):
    """A protocol run in one line."""

    id: str
    suite: str
    kind: str = Field(description="run, sweep or load.")
    created_at: str
    status: str = Field(description="running (or nobody knows), complete or interrupted.")
    num_planned: int
    num_done: int
    outcome: str | None = Field(description="null: no report yet.")
    job_types: list[str]
    is_active: bool = Field(description="The service started it, and it runs now.")


class BenchmarkPage(Answer):
    """Protocol runs, newest first."""

    data: list[BenchmarkBrief]
    next_cursor: str | None


class BenchmarkReport(Answer):
    """A protocol run's report; of one under way, what is there so far."""

    id: str
    suite: str
    kind: str
    created_at: str
    status: str
    num_planned: int
    num_done: int
    commit: str | None
    seed: int
    environment: dict[str, Any]
    plan: dict[str, Any]
    outcome: str = Field(description="regression, improvement, no_change, indicative or none.")
    preflight: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    hints: list[dict[str, Any]]
    next: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    details: dict[str, Any]
    schema_version: int = Field(alias="schema")


class BenchmarkEvent(Answer):
    """A run of the protocol that ended, or the end of all."""

    seq: int = Field(description="Send it as Last-Event-ID or as `after`.")
    kind: Literal["run", "end"]
    key: str | None = Field(default=None, description="Which planned run.")
    case: str | None = None
    job_type: str | None = None
    job_id: str | None = None
    is_warm_up: bool | None = None
    state: str | None = None
    wall_s: float | None = None
    error: str | None = None
    faults: list[str] = Field(default_factory=list, description="What the output checks found.")
    num_done: int
    num_planned: int
    status: str | None = Field(default=None, description="Of the end: complete or interrupted.")
    outcome: str | None = None


class BenchmarkEvents(Answer):
    """What there is behind `after`."""

    data: list[BenchmarkEvent]
    last_seq: int
    is_finished: bool
