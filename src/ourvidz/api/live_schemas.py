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


class LiveEvent(Answer):
    """One server-sent event: its name, and what its data holds as JSON."""

    event: Literal["hello", "jobs", "queue", "workers"]
    data: LiveHello | LiveJobs | QueueAnswer | WorkerList
