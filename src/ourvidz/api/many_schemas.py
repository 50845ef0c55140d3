"""What goes over the wire where many jobs are named at once, as types."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ourvidz.api.schemas import Answer, ErrorDetail, Strict

MAX_JOBS_AT_ONCE = 500

# Of the form that every id has: what can't be ours is refused before it is looked for.
JobIdText = Annotated[str, Field(pattern=r"^job_[0-9a-z]{1,60}$", description="A job's id.")]


class JobIds(Strict):
    """Several jobs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_ids": ["job_01k9w8n0c4kq4v7m2x5y6z7a8b"]}]}
    )

    job_ids: list[JobIdText] = Field(min_length=1, max_length=MAX_JOBS_AT_ONCE)


class CancelRequest(Strict):
    """Which jobs are to be cancelled: by id, or all of a batch."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_ids": ["job_01k9w8n0c4kq4v7m2x5y6z7a8b"]}]}
    )

    job_ids: list[JobIdText] | None = Field(default=None, min_length=1, max_length=MAX_JOBS_AT_ONCE)
    batch_id: str | None = Field(
        default=None,
        pattern=r"^batch_[0-9a-z]{1,60}$",
        description="All jobs of one submit that have not ended.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.job_ids is None) == (self.batch_id is None):
            raise ValueError("exactly one of job_ids and batch_id must be given")
        return self


class NotCancelled(Answer):
    """A job that could not be cancelled, and why."""

    id: str
    error: ErrorDetail


class CancelledJobs(Answer):
    """What became of the jobs that were to be cancelled."""

    cancelled: list[str] = Field(description="They will not run, or stop within a step.")
    ended: list[str] = Field(description="They had ended before, and stay as they are.")
    not_cancelled: list[NotCancelled]


class NotDeleted(Answer):
    """A job that is still there, and why."""

    id: str
    error: ErrorDetail


class DeletedJobs(Answer):
    """What became of the jobs that were to be deleted."""

    deleted: list[str]
    not_deleted: list[NotDeleted]


class ArchiveAnswer(Answer):
    """An address that reads the files of several jobs as one ZIP until it expires."""

    url: str = Field(description="Needs no key. For 500 jobs it is about 9,000 characters long.")
    expires_at: str
    num_files: int
    bytes: int = Field(description="Of the files; the archive is a little larger.")
