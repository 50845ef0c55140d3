"""Jobs as OpenAI's objects. Fields that OpenAI lacks stand beside its own."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ourvidz.api.deps import AppDeps
from ourvidz.api.errors import public_job_error
from ourvidz.api.openai.drafts import OutputFormat, seconds_of
from ourvidz.api.views import eta
from ourvidz.core.job import JobState
from ourvidz.core.phase import Phase
from ourvidz.core.redact import without_paths
from ourvidz.jobs.model import Job, Json

_DAY_S = 24 * 3600.0

VideoStatus = Literal["queued", "in_progress", "completed", "failed"]

_STATUS: dict[JobState, VideoStatus] = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",  # OpenAI knows no such state; `state` tells it
}

# Where each phase that counts its units lies in the whole, in per cent: for workloads that never
# ran here, so that nothing is known of their time.
_SHARES: dict[str, tuple[float, float]] = {
    Phase.ENHANCE_RUN: (1, 5),
    Phase.ENCODE: (5, 6),
    Phase.DENOISE: (6, 86),
    Phase.DECODE: (86, 97),
    Phase.SAVE: (97, 98),
    Phase.THUMBNAIL: (98, 99),
    Phase.PROBE: (98, 99),
    Phase.UPLOAD: (98, 99),
}

# The official client reads the interval once and keeps it: a twentieth of what is left, so that
# waiting for the last poll costs little, within bounds that spare the server.
_POLL_SHARE = 0.05
_MIN_POLL_MS = 250
_MAX_POLL_MS = 2000
_UNKNOWN_POLL_MS = 1000  # the client's own default


class VideoError(BaseModel):
    """Why a video failed."""

    code: str = Field(description="Stable, for programs; `cancelled` for a cancelled job.")
    message: str = Field(description="For people.")
    param: str | None = None


class VideoObject(BaseModel):
    """A video job in OpenAI's shape."""

    model_config = ConfigDict(extra="forbid")

    id: str
    object: Literal["video"] = "video"
    model: str = Field(description="The catalogue model that makes it.")
    status: VideoStatus
    progress: int = Field(ge=0, le=100, description="Per cent, roughly.")
    created_at: int = Field(description="Unix seconds.")
    completed_at: int | None = Field(description="Unix seconds; null while it is not over.")
    expires_at: int | None = Field(description="When its files are deleted; null for never.")
    seconds: str = Field(description="Nominal length, from the first frame to the last.")
    size: str = Field(description="WIDTHxHEIGHT in pixels.")
    prompt: str
    remixed_from_video_id: str | None = None
    error: VideoError | None = None
    # Ours
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    job_type: str
    preset: str
    profile: str
    enhanced_prompt: str | None
    negative_prompt: str
    seed: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    flow_shift: float | None
    fidelity: str
    phase: str | None = Field(description="What the worker is doing now.")
    eta_s: float | None = Field(description="Seconds to the end, once known.")
    adjustments: list[dict[str, str]] = Field(description="What was changed, and why.")


class VideoList(BaseModel):
    """One page of videos."""

    object: Literal["list"] = "list"
    data: list[VideoObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """What deleting answers."""

    id: str
    deleted: Literal[True] = True
    object: Literal["video.deleted"] = "video.deleted"


class ImageItem(BaseModel):
    """One image: its bytes, or where to read them."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = Field(default=None, description="The enhanced prompt, if any.")
    seed: int = Field(description="Makes this very image again.")


class ImagesObject(BaseModel):
    """What an image request answers."""

    created: int = Field(description="Unix seconds.")
    data: list[ImageItem]
    output_format: OutputFormat
    size: str = Field(description="WIDTHxHEIGHT in pixels.")
    background: Literal["opaque"] = "opaque"
    # Ours
    id: str = Field(description="The job.")
    model: str
    job_type: str
    adjustments: list[dict[str, str]]


class ModelObject(BaseModel):
    """A name that ``model`` may say."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    # Ours
    kind: Literal["job_type", "model"]
    text: str
    media_types: list[str]


class ModelList(BaseModel):
    """Every such name."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@dataclass(kw_only=True, slots=True)
class Presenter:
    """Turns jobs into OpenAI's objects; asks the store once a workload for past run times."""

    deps: AppDeps
    _durations_s: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

    def video(self, job: Job) -> VideoObject:
        """Return a video job as OpenAI's clients read it."""
        request = job.request
        eta_s = self.eta_s(job)
        return VideoObject(
            id=job.id,
            model=request.model,
            status=_STATUS[job.state],
            progress=self._percent(job, eta_s),
            created_at=int(job.created_at),
            completed_at=int(job.finished_at) if job.is_terminal and job.finished_at else None,
            expires_at=self._expires_at(job),
            seconds=seconds_of(request.num_frames, request.fps),
            size=f"{request.width}x{request.height}",
            prompt=request.prompt,
            error=_error_of(job),
            state=job.state.value,
            job_type=request.job_type,
            preset=request.preset,
            profile=request.profile,
            enhanced_prompt=enhanced_prompt_of(job),
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            num_frames=request.num_frames,
            fps=request.fps,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            scheduler=request.scheduler,
            flow_shift=request.flow_shift,
            fidelity=request.fidelity.value,
            phase=_told(job).get("phase"),
            eta_s=eta_s,
            adjustments=adjustments_of(job),
        )

    def eta_s(self, job: Job) -> float | None:
        """Return seconds to the end of a running job, once something is known of it."""
        if job.state is not JobState.RUNNING:
            return None
        told_s = _told(job).get("eta_s")
        durations_s = () if told_s is not None else self._past_s(job.request.workload)
        return eta(elapsed_s=self._elapsed_s(job), told_s=told_s, durations_s=durations_s)[0]

    def poll_after_ms(self, job: Job) -> int:
        """Return how long a client should wait before it looks again."""
        left_s = self.eta_s(job)
        if left_s is None and (past_s := self._past_s(job.request.workload)):
            left_s = statistics.median(past_s)
        if left_s is None:
            return _UNKNOWN_POLL_MS
        return int(min(_MAX_POLL_MS, max(_MIN_POLL_MS, left_s * _POLL_SHARE * 1000)))

    def _percent(self, job: Job, eta_s: float | None) -> int:
        """Return per cent of the time; 100 only once it has succeeded."""
        if job.state is JobState.SUCCEEDED:
            return 100
        if job.state is not JobState.RUNNING:
            return 0
        if eta_s is None:
            return _percent_by_phase(_told(job))
        elapsed_s = self._elapsed_s(job)
        return min(99, int(100 * elapsed_s / max(elapsed_s + eta_s, 1e-9)))

    def _elapsed_s(self, job: Job) -> float:
        return max(0.0, self.deps.store.now() - (job.started_at or job.created_at))

    def _past_s(self, workload: str) -> tuple[float, ...]:
        if workload not in self._durations_s:
            self._durations_s[workload] = self.deps.store.durations_s(workload)
        return self._durations_s[workload]

    def _expires_at(self, job: Job) -> int | None:
        keep_days = self.deps.settings.storage.keep_days
        if keep_days is None or job.state is not JobState.SUCCEEDED or job.finished_at is None:
            return None
        return int(job.finished_at + keep_days * _DAY_S)


def enhanced_prompt_of(job: Job) -> str | None:
    """Return what the enhancer made of the prompt, if anything."""
    return (job.enhancement or {}).get("enhanced_prompt")


def adjustments_of(job: Job) -> list[dict[str, str]]:
    """Return what was changed on the way in or while it ran."""
    return [
        {"code": str(note.get("code", "")), "text": without_paths(str(note.get("text", "")))}
        for note in job.adjustments
    ]


def _told(job: Job) -> Json:
    """Return what the worker told last; nothing of a job that is not running."""
    return (job.progress or {}) if job.state is JobState.RUNNING else {}


def _percent_by_phase(told: Json) -> int:
    begin, end = _SHARES.get(str(told.get("phase")), (0.0, 0.0))
    done, num_units = told.get("done") or 0, told.get("num_units")
    share = min(1.0, done / num_units) if num_units else 0.0
    return min(99, int(begin + (end - begin) * share))


def _error_of(job: Job) -> VideoError | None:
    if job.state is JobState.CANCELLED:
        return VideoError(code="cancelled", message="The job was cancelled.")
    error = public_job_error(job.error) if job.state is JobState.FAILED else None
    if error is None:
        return None
    return VideoError(code=error["code"], message=error["message"], param=error["param"])
