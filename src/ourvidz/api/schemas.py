"""What goes over the wire of the native API, as types. OpenAPI and its clients derive from them.

Requests are strict: no conversions, no unknown fields. Bounds come from the catalogue's parameters.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.parameters import MAX_PROMPT_CHARS, PARAMETERS, Parameter
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE
from ourvidz.core.opinion import Defect
from ourvidz.jobs.model import PRIORITY_MAX, PRIORITY_MIN, EventKind
from ourvidz.jobs.submission import MAX_DELAY_S, MAX_JOBS_A_SUBMIT

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
WebhookEvent = Literal["claimed", "succeeded", "failed", "cancelled"]

MAX_METADATA_BYTES = 16 * 1024
MAX_URL_CHARS = 2048
MAX_WAIT_S = 60.0


class Strict(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


# Requests


def _field_of(parameter: Parameter) -> tuple[Any, Any]:
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float}
    kind: Any = kinds.get(parameter.kind) or Literal[parameter.choices]
    bounds: dict[str, Any] = {"ge": parameter.minimum, "le": parameter.maximum}
    if parameter.kind in {"int", "float"}:
        as_kind = int if parameter.kind == "int" else float
        bounds = {name: as_kind(bound) for name, bound in bounds.items() if bound is not None}
        if parameter.multiple_of:
            bounds["multiple_of"] = parameter.multiple_of
        kind = Annotated[kind, Field(**bounds)]
    elif parameter.kind == "str":
        kind = Annotated[kind, Field(max_length=MAX_PROMPT_CHARS)]
    text = parameter.text if not parameter.unit else f"{parameter.text} Unit: {parameter.unit}."
    return (kind | None, Field(default=None, description=text))


_PARAMETER_FIELDS: dict[str, Any] = {p.name: _field_of(p) for p in PARAMETERS}

ParameterValues: Any = create_model("ParameterValues", __base__=Strict, **_PARAMETER_FIELDS)
PARAMETER_NAMES = tuple(parameter.name for parameter in PARAMETERS)

_EXAMPLE = {
    "prompt": "a red circle moving left on a black background",
    "job_type": "video_fast",
    "seed": 7,
}


class JobRequest(ParameterValues):
    """One job. Parameters that are left out take the job type's or the preset's value."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT_CHARS, description="What to make, in plain words."
    )
    job_type: str = Field(
        default=DEFAULT_JOB_TYPE, max_length=100, description="What kind of job; see the catalogue."
    )
    preset: str = Field(
        default=BASELINE, max_length=100, description="A named variant of the job type."
    )
    priority: int = Field(
        default=0,
        ge=PRIORITY_MIN,
        le=PRIORITY_MAX,
        description="Higher goes first. Above 0 needs the scope queue:write.",
    )
    delay_s: float = Field(
        default=0.0, ge=0, le=MAX_DELAY_S, description="Not before so many seconds from now."
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict,
        description=f"Your own values, given back with the job; {MAX_METADATA_BYTES} bytes.",
    )
    webhook_url: str | None = Field(
        default=None,
        max_length=MAX_URL_CHARS,
        description="Where to post a signed message (Standard Webhooks) about the job.",
    )
    webhook_events: list[WebhookEvent] = Field(
        default=["succeeded", "failed", "cancelled"],
        max_length=4,
        description="What to be told of; claimed is the start of an attempt.",
    )


class BatchRequest(Strict):
    """Several jobs, stored all together or not at all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_EXAMPLE]}]})

    jobs: list[JobRequest] = Field(min_length=1, max_length=MAX_JOBS_A_SUBMIT)


class GridRequest(Strict):
    """One job varied along axes: every combination of their values becomes a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base": _EXAMPLE,
                    "axes": {"guidance_scale": [3.0, 5.0], "num_inference_steps": [10, 20]},
                }
            ]
        }
    )

    base: JobRequest
    axes: dict[str, list[str | int | float]] = Field(
        min_length=1,
        max_length=8,
        description="Values by name: a parameter, or prompt, job_type, preset. "
        f"The combinations may number {MAX_JOBS_A_SUBMIT}. Without a seed in the base or the axes, "
        "one is drawn for all of them, so that only the axes differ.",
    )


class MoveRequest(Strict):
    """Where to move a queued job: exactly one of the four."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"front": True}]})

    front: Literal[True] | None = Field(default=None, description="Before every other job.")
    after: str | None = Field(default=None, max_length=64, description="Behind this job.")
    before: str | None = Field(default=None, max_length=64, description="Before this job.")
    priority: int | None = Field(
        default=None, ge=PRIORITY_MIN, le=PRIORITY_MAX, description="Into this band."
    )


class ScopeRequest(Strict):
    """What to pause or resume."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scope": "video_fast"}]})

    scope: str = Field(default="all", max_length=100, description="all, or a job type.")


class ResidencyRequest(Strict):
    """On which worker to load or unload a model."""

    worker_id: str | None = Field(
        default=None, max_length=200, description="Left out: every worker that runs the model."
    )


class QuotaValues(BaseModel):
    """Limits of a key; null is the server's default."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    requests_per_minute: int | None = Field(default=None, ge=1, le=10**9)
    queued_jobs: int | None = Field(default=None, ge=1, le=10**9)
    device_seconds_per_day: float | None = Field(default=None, gt=0, le=1e12)


class KeyRequest(Strict):
    """A new key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "web site", "scopes": ["jobs:read"]}]}
    )

    name: str = Field(min_length=1, max_length=200, description="What it is for.")
    scopes: list[str] = Field(
        default=["jobs:read", "jobs:write"], min_length=1, max_length=20, description="What it may."
    )
    tenant: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Whose it is; another than one's own needs the scope admin.",
    )
    expires_in_days: float | None = Field(default=None, gt=0, le=36500)
    quotas: QuotaValues = Field(default_factory=QuotaValues)


class EnhanceRequest(Strict):
    """A prompt to enrich, without generating anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "a red circle"}]})

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT_CHARS)
    job_type: str | None = Field(
        default=None,
        max_length=100,
        description="For which job type; it must be an enhanced one. Left out: the first of them.",
    )
    wait_s: float = Field(
        default=0.0, ge=0, le=MAX_WAIT_S, description="Wait so long for the job's end."
    )


# Responses


class ErrorDetail(Answer):
    """What went wrong and what to do."""

    code: str = Field(description="For programs; listed in the error reference.")
    message: str = Field(description="For people; names the value.")
    param: str | None = Field(description="Which value it is about.")
    hint: str | None = Field(description="What to do.")


class ErrorResponse(Answer):
    """The one error body."""

    error: ErrorDetail


class Adjustment(Answer):
    """Something that was not done as asked, or that a person should know."""

    code: str
    text: str


class Interval(Answer):
    """A range in seconds."""

    low_s: float
    high_s: float


class ExpectedTime(Answer):
    """What a job is expected to take from its start to its end, waiting left out."""

    total_s: float
    low_s: float = Field(description="The interval holds 90 % of jobs.")
    high_s: float
    phases_s: dict[str, float] = Field(description="Adds up to total_s.")
    state: str = Field(description="cold or resident: whether its models are taken for loaded.")
    num_records: int = Field(description="Past jobs of this model that it rests on.")
    basis: Literal["history", "prior"] = Field(
        description="prior: nothing of this model ran here; right within a factor of three."
    )


class Wait(Answer):
    """How long until it is a job's turn, or until the queue is empty."""

    seconds: float
    low_s: float
    high_s: float


class Progress(Answer):
    """Where a running job is."""

    phase: str | None = Field(description="In the ledger's words.")
    step: int | None = Field(description="Units of the phase that are done.")
    num_steps: int | None = Field(description="Units of the phase in all.")
    percent: float | None = Field(description="Of the expected run time, 0 to 99.")
    eta_s: float | None = Field(description="Seconds to the end of the job.")
    eta_interval: Interval | None = Field(
        description="Holds 90 % of jobs: from past jobs and this one's own steps; else 10 to 90 % "
        "of past jobs of this workload; null until enough have run."
    )


class Ledger(Answer):
    """Where the job's time went. phases_s, unattributed_s and shared_s add up to total_s."""

    total_s: float | None
    phases_s: dict[str, float]
    unattributed_s: float | None
    shared_s: float | None = Field(description="Other jobs had the device.")
    device_s: float | None = Field(description="The device worked for this job.")
    batched_with: int | None = Field(description="Other jobs in its batch.")
    step_s: float | None
    state: str | None = Field(description="cold, warm or resident: the coldest component.")
    compile_state: str | None


class AssetAnswer(Answer):
    """One delivered file. Facts were read from the file itself."""

    id: str
    job_id: str
    index: int
    media_type: str
    bytes: int
    width: int | None
    height: int | None
    num_frames: int | None
    fps: float | None
    duration_s: float | None
    seed: int | None
    url: str = Field(description="Reads the file until it expires.")
    thumbnail_url: str | None
    url_expires_at: str
    created_at: str


class AttemptAnswer(Answer):
    """One run of the job by one worker."""

    number: int
    worker_id: str
    started_at: str
    ended_at: str | None
    outcome: str | None = Field(description="null while it runs.")
    error: ErrorDetail | None


class EnhancementAnswer(Answer):
    """What the enhancer made of the prompt."""

    enhanced_prompt: str | None
    verdict: str | None = Field(
        description="usable, refused, empty, runaway, off_language or unavailable."
    )
    model: str | None
    num_tokens_in: int | None
    num_tokens_out: int | None
    num_tokens_truncated: int | None


class OwnRating(Answer):
    """What the asker said last of a job's output, without a rater's name."""

    stars: int | None
    tags: list[Literal[tuple(tag.value for tag in Defect)]]  # type: ignore[valid-type]


class JobAnswer(Answer):
    """A job, with everything that its request was resolved to."""

    id: str
    kind: Literal["generate", "enhance"]
    source: str
    state: State
    job_type: str
    preset: str
    profile: str
    model: str
    media_type: str
    prompt: str
    enhanced_prompt: str | None
    negative_prompt: str
    seed: int
    width: int
    height: int
    num_frames: int
    fps: int
    num_images: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    flow_shift: float | None
    fidelity: str
    priority: int
    position: float = Field(
        description="Within its priority; smaller goes first. Sort a queue by priority downwards, "
        "then position, then id."
    )
    created_at: str
    created_unix_s: float
    run_at: str = Field(description="Not before this.")
    started_at: str | None
    started_unix_s: float | None
    finished_at: str | None
    finished_unix_s: float | None
    changed_at: str = Field(description="When anything about it last became another.")
    changed_unix_s: float
    event_seq: int = Field(
        description="Of its last event; never falls. Of two answers the one with the greater "
        "event_seq, then the later changed_unix_s, is the newer."
    )
    queue_position: int | None = Field(
        description="Jobs before it; only when one job is read, null unless it is queued."
    )
    is_held: bool = Field(description="Its job type, or everything, is paused.")
    is_cancel_requested: bool
    predicted_s: float = Field(description="Device seconds that jobs like it took.")
    expected: ExpectedTime | None = Field(
        description="What it is expected to take; only when one job is read that has not ended."
    )
    starts_in: Wait | None = Field(
        description="Expected wait for its turn; only when one queued job is read, null while it "
        "is paused or no worker is there."
    )
    progress: Progress | None
    phases_s: dict[str, float]
    ledger: Ledger | None
    adjustments: list[Adjustment]
    enhancement: EnhancementAnswer | None
    assets: list[AssetAnswer]
    preview_url: str | None
    is_favourite: bool = Field(description="Somebody marked it.")
    rating: OwnRating | None = Field(description="Yours; null where you said nothing.")
    error: ErrorDetail | None
    num_attempts: int
    num_errors: int
    num_crashes: int
    attempts: list[AttemptAnswer] | None = Field(description="Only when one job is read.")
    batch_id: str | None
    metadata: dict[str, Any]
    links: dict[str, str]


class ExpectedAnswer(Answer):
    """What a job would take, and how long it would wait, if it were submitted now."""

    expected: ExpectedTime | None
    starts_in: Wait | None = Field(description="null while no worker is there.")
    queue_position: int = Field(description="Queued jobs that may run before it.")


class JobPage(Answer):
    """Jobs, and the cursor of those behind them."""

    data: list[JobAnswer]
    next_cursor: str | None = Field(description="Pass it as cursor; null at the end.")


class BatchAnswer(Answer):
    """What a batch or a grid made."""

    batch_id: str | None
    is_replay: bool = Field(description="The same request had been made before.")
    data: list[JobAnswer]


class EventAnswer(Answer):
    """One entry of a job's history. seq counts 1, 2, 3... without gaps."""

    job_id: str
    seq: int
    at: str
    kind: Literal[tuple(kind.value for kind in EventKind)]  # type: ignore[valid-type]
    data: dict[str, Any]


class EventPage(Answer):
    """Events behind a seq."""

    data: list[EventAnswer]
    last_seq: int = Field(description="Pass it as after.")
    is_finished: bool = Field(description="The job has ended and nothing comes behind these.")


class AssetPage(Answer):
    """Files, newest first."""

    data: list[AssetAnswer]
    next_cursor: str | None


class SignedUrl(Answer):
    """An address that reads one file until it expires."""

    url: str
    thumbnail_url: str | None
    expires_at: str


class Deleted(Answer):
    """What was deleted."""

    id: str
    is_deleted: Literal[True] = True


class QueueAnswer(Answer):
    """How many jobs stand where."""

    by_state: dict[str, int]
    queued_by_job_type: dict[str, int]
    oldest_queued_s: float | None
    paused: list[str]
    num_workers: int
    empty_in: Wait | None = Field(
        description="Until all that is queued and not paused has run; null while no worker is "
        "there."
    )


class ParameterAnswer(Answer):
    """One value that a request may set."""

    name: str
    text: str
    unit: str | None
    families: list[str] = Field(description="Which model families read it; empty: all.")
    json_schema: dict[str, Any]


class PresetAnswer(Answer):
    """A named variant of a job type, with the values that it resolves to."""

    name: str
    text: str
    values: dict[str, Any]


class JobTypeAnswer(Answer):
    """A job type under the active profile."""

    name: str
    text: str
    media_type: str
    model: str
    family: str
    is_enhanced: bool
    presets: list[PresetAnswer]
    json_schema: dict[str, Any] = Field(description="Of the values that it takes.")


class CatalogueAnswer(Answer):
    """Everything that can be asked for."""

    profile: str
    default_job_type: str
    job_types: list[JobTypeAnswer]
    parameters: list[ParameterAnswer]


class Residency(Answer):
    """A model on a worker's device."""

    worker_id: str
    device: str
    bytes: int


class FidelityFigure(Answer):
    """One number of a verdict."""

    metric: str
    value: float
    limit: float | None = Field(description="What it has to keep to; none where it is told only.")
    is_least: bool = Field(description="The limit is the least; else the most.")
    unit: str
    is_held: bool


class FidelityVerdict(Answer):
    """What `ourvidz bench confirm` found last."""

    is_held: bool = Field(description="Every bound was kept to.")
    is_random: bool = Field(description="On weights of random values, which prove nothing.")
    created_at: str
    device: str
    version: str = Field(description="Of OurVidz.")
    plan: str = Field(description="What was run.")
    figures: list[FidelityFigure]


class FidelityAnswer(Answer):
    """A fidelity of a model, here and now."""

    fidelity: str
    is_offered: bool
    reason: str | None = Field(description="Why it is not offered.")
    command: str | None = Field(description="What may make it offered, on the worker's machine.")
    verdict: FidelityVerdict | None


class ModelAnswer(Answer):
    """A model of the catalogue, and where it is loaded."""

    id: str
    title: str
    role: str
    family: str
    profile: str
    license: str
    is_active: bool = Field(description="Jobs of the active profile use it.")
    width: int
    height: int
    num_frames: int
    fps: int
    fidelities: list[str] = Field(description="That jobs may ask for.")
    default_fidelity: str = Field(description="Of jobs that ask for none.")
    fidelity_verdicts: list[FidelityAnswer] = Field(description="All of them, offered or not.")
    resident_on: list[Residency]


class ModelList(Answer):
    """The models."""

    data: list[ModelAnswer]


class Commanded(Answer):
    """Which workers were told; they act between two steps."""

    worker_ids: list[str]


class PlacedComponent(Answer):
    """A part of a model and where its weights are."""

    model: str
    name: str = Field(description="text_encoder, transformer, unet, vae...")
    place: Literal["device", "host", "page_cache", "disk"]
    bytes: int = Field(description="There; on the device with graphs and 8-bit copies.")


class WorkerMemory(Answer):
    """How full a worker's device is, in bytes, as its plan counts them."""

    level: Literal["ok", "tight", "full"] = Field(
        description="tight: less than a tenth of the budget is free; full: nothing is."
    )
    budget_bytes: int = Field(description="What the worker may use; 0 where no limit is known.")
    weights_bytes: int
    derived_bytes: int = Field(description="Made of weights: 8-bit copies, graphs, caches.")
    arriving_bytes: int = Field(description="Being loaded.")
    activations_bytes: int = Field(description="Kept free for the work itself.")
    free_bytes: int = Field(description="Negative: less is free than the work wants.")
    host_bytes: int = Field(description="Copies of weights in host memory.")
    host_budget_bytes: int
    components: list[PlacedComponent]


class WorkerGpu(Answer):
    """What a worker's GPU did at its last beat; null where the driver does not tell."""

    utilisation: float | None = Field(description="Share of the last second or so, 0 to 1.")
    memory_used_bytes: int | None = Field(description="By all processes.")
    power_w: float | None
    temperature_c: float | None


class WorkerAnswer(Answer):
    """A worker process."""

    id: str
    host: str
    device: str
    state: str
    started_at: str
    seen_at: str
    models: list[str]
    resident: dict[str, int]
    jobs: list[str]
    memory: WorkerMemory | None = Field(description="null until the worker has told it.")
    gpu: WorkerGpu | None = Field(description="As of `seen_at`; null on a CPU.")
    facts: dict[str, Any]


class WorkerList(Answer):
    """The workers that gave a sign of life lately."""

    data: list[WorkerAnswer]


class KeyAnswer(Answer):
    """A key without its secret."""

    id: str
    name: str
    tenant: str
    prefix: str
    scopes: list[str]
    quotas: QuotaValues
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class KeyCreated(KeyAnswer):
    """A new key. Its secret is shown this once."""

    secret: str


class KeyList(Answer):
    """The keys, newest first."""

    data: list[KeyAnswer]


class Health(Answer):
    """A sign of life."""

    status: Literal["ok"] = "ok"


class StatusAnswer(Answer):
    """What runs here."""

    version: str
    python: str
    profile: str
    started_at: str
    uptime_s: float
    store: str
    storage: str
    num_workers: int
    supervisor: dict[str, Any] | None = Field(description="Workers that this server started.")
