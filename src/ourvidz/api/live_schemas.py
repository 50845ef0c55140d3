"""What the stream of the whole service's changes says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ourvidz.api.schemas import Answer, JobAnswer, QueueAnswer, WorkerList


class LiveHello(Answer):
    """What comes next is all that changes: read what you show anew, now."""

    server_started_at: str = Field(description="Another one than before: the server was restarted.")
    version: str = Field(description="Of the service.")


class LiveJobs(Answer):
    """Jobs that changed, as lists show them, and ids of those that were deleted."""

    data: list[JobAnswer]
    deleted: list[str]


class LiveFigures(Answer):
    """Performance figures are other ones than before: read those that you show."""

    job_types: list[str] = Field(description="Of these alone there are new records.")
    are_all: bool = Field(description="Figures of every job type: a decision was made, say.")


class LiveBenchmark(Answer):
    """How the last run of the protocol that the service started goes on."""

    is_running: bool
    run_id: str | None = Field(description="null until it has passed pre-flight.")
    started_at: str
    num_ended: int = Field(description="Jobs of the run that ended. Its events tell of each.")


class LiveEvent(Answer):
    """One server-sent event: its name, and what its data holds as JSON."""

    event: Literal["hello", "jobs", "queue", "workers", "figures", "benchmark"]
    data: LiveHello | LiveJobs | QueueAnswer | WorkerList | LiveFigures | LiveBenchmark
