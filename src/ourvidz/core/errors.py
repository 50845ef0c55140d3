"""The one error hierarchy.

A class per cause; its docstring's first line is the default message. Every error carries a stable
``code`` for machines, the ``param`` it is about (if any) and a ``hint`` that says what to do. The
CLI turns ``exit_code`` into its own; the API turns ``code`` into an HTTP status.
"""

from __future__ import annotations

from typing import ClassVar


class OurVidzError(Exception):
    """Something went wrong. Raise a subclass, never this class."""

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    is_retryable: ClassVar[bool] = False  # whether the same job may succeed when run again

    def __init__(
        self, message: str | None = None, *, param: str | None = None, hint: str | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.param = param
        self.hint = hint
        super().__init__(self.message)

    def to_dict(self) -> dict[str, str | None]:
        """Return the error body shared by every surface: code, message, param and hint."""
        return {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "hint": self.hint,
        }


class InvalidRequest(OurVidzError):
    """The request is not valid.

    For what a person can mend by changing the request. Siblings: ``UnknownName`` when a name is
    looked up, ``CheckpointInvalid`` when files on disk are at fault.
    """

    code = "invalid_request"
    exit_code = 2


class UnknownName(InvalidRequest):
    """No entry of that name exists."""

    code = "unknown_name"


class ConfigInvalid(OurVidzError):
    """The configuration file or an environment variable is not valid."""

    code = "config_invalid"
    exit_code = 2


class ModelMissing(OurVidzError):
    """The model's files are not on this machine."""

    code = "model_missing"
    exit_code = 2


class CheckpointInvalid(OurVidzError):
    """The checkpoint can't be used: a pickle, truncated, or of another architecture."""

    code = "checkpoint_invalid"
    exit_code = 2


class OutputUnwritable(OurVidzError):
    """The output folder can't be written."""

    code = "output_unwritable"
    exit_code = 2


class DiskFull(OurVidzError):
    """The disk is full; nothing was left behind under a final name."""

    code = "disk_full"
    exit_code = 2


class OutOfMemory(OurVidzError):
    """The device ran out of memory."""

    code = "out_of_memory"
    is_retryable = True


class RankLost(OurVidzError):
    """A process of this worker's group ended; the group starts again."""

    code = "rank_lost"
    is_retryable = True


class EnhancementFailed(OurVidzError):
    """The enhancer gave no usable prompt: empty, runaway or in another language."""

    code = "enhancement_failed"


class EnhancementRefused(EnhancementFailed):
    """The enhancer refused the prompt."""

    code = "enhancement_refused"


class OutputInvalid(OurVidzError):
    """The written file failed its probe: undecodable, of a wrong size, black or constant."""

    code = "output_invalid"


class DownloadFailed(OurVidzError):
    """A download failed or its content does not match the recorded hash."""

    code = "download_failed"


class Cancelled(OurVidzError):
    """The job was cancelled."""

    code = "cancelled"


class MissingDependency(OurVidzError):
    """A Python package that this command needs is not installed."""

    code = "missing_dependency"
    exit_code = 2


class NotFound(OurVidzError):
    """No such thing, or not yours."""

    code = "not_found"


class IllegalState(OurVidzError):
    """The job's state does not allow this."""

    code = "illegal_state"


class IdempotencyConflict(OurVidzError):
    """The Idempotency-Key was used with another body."""

    code = "idempotency_conflict"


class LeaseLost(OurVidzError):
    """The job belongs to another attempt by now; nothing of this one was kept."""

    code = "lease_lost"


class Crashed(OurVidzError):
    """The worker died with this job as often as is allowed."""

    code = "crashed"


class DeadlineExceeded(OurVidzError):
    """The job ran longer than its deadline."""

    code = "deadline_exceeded"
    is_retryable = True


class StoreUnavailable(OurVidzError):
    """The job store can't be reached; try again."""

    code = "store_unavailable"
    is_retryable = True


class StoreFull(OurVidzError):
    """The job store is full; running jobs can still finish."""

    code = "store_full"


class StorageFailed(OurVidzError):
    """The asset storage refused or can't be reached."""

    code = "storage_failed"
    is_retryable = True


class PolicyRefused(InvalidRequest):
    """The content policy refuses this prompt."""

    code = "policy_refused"


class Unauthorized(OurVidzError):
    """No valid API key was given."""

    code = "unauthorized"


class Forbidden(OurVidzError):
    """The API key does not allow this."""

    code = "forbidden"


class QuotaExceeded(OurVidzError):
    """A quota of the API key is used up."""

    code = "quota_exceeded"

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, hint=hint)
        self.retry_after_s = retry_after_s


class TooLarge(InvalidRequest):
    """What was sent is larger than allowed."""

    code = "too_large"


class UrlRefused(InvalidRequest):
    """The address may not be fetched or posted to."""

    code = "url_refused"


class FetchFailed(OurVidzError):
    """The other side did not answer as it should."""

    code = "fetch_failed"
    is_retryable = True


class ClusterUnavailable(OurVidzError):
    """The Ray cluster can't be reached."""

    code = "cluster_unavailable"
    is_retryable = True


class CapacityMissing(OurVidzError):
    """The cluster has no room for what is wanted."""

    code = "capacity_missing"
