"""One ``ourvidz.toml`` and ``OURVIDZ_*`` environment variables: what an operator decides.

Order: command line, then environment, then the file, then the defaults below. The file is
``./ourvidz.toml``, or the one that ``OURVIDZ_CONFIG`` names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ourvidz.catalog.catalogue import Catalogue, build_catalogue
from ourvidz.catalog.few_step import LoraFile, Sampling, few_step_family, sampling_of
from ourvidz.catalog.job_types import JOB_TYPES, JobType, Preset
from ourvidz.catalog.models import MODELS, Model, Role
from ourvidz.catalog.parameters import BY_NAME, suggest
from ourvidz.core.errors import ConfigInvalid, UnknownName
from ourvidz.core.request import Fidelity

DEFAULT_CONFIG_FILE = "ourvidz.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EnhancementConfig(_Section):
    """How prompts are enriched in the enhanced job types."""

    on_failure: Literal["fallback", "fail"] = Field(
        default="fallback",
        description="After a refused, empty, runaway or off-language answer: use the person's own "
        "prompt and say so on the job, or fail the job.",
    )


class ModelEntry(_Section):
    """A model of the operator's own: a variant of a shipped one, at a path or a hub repository."""

    base: str = Field(description="Catalogue id of the model that it is a variant of.")
    title: str = Field(default="", description="What people see.")
    hub_repo: str | None = Field(default=None, description="Where `models pull` finds it.")
    negative_prompt: str | None = Field(default=None, description="Its default negative prompt.")
    license: str | None = Field(default=None, description="Its licence.")
    few_step: str | None = Field(
        default=None, description="Known few-step weights whose settings it takes."
    )
    lora: Path | None = Field(
        default=None,
        description="LoRA (safetensors) that is fused into the base's denoiser, whose other files "
        "it uses; relative to its own folder among the models.",
    )
    strength: float | None = Field(default=None, description="Of the LoRA; 1 as trained.")
    num_inference_steps: int | None = Field(default=None, description="Denoise steps.")
    guidance_scale: float | None = Field(default=None, description="Guidance; 1 for none.")
    scheduler: str | None = Field(
        default=None, description="Solver; `lcm` adds fresh noise each step (Wan)."
    )
    flow_shift: float | None = Field(default=None, description="Flow shift (Wan).")
    sigmas: tuple[float, ...] | None = Field(
        default=None, description="Noise levels of the steps, from 1 down, without the last 0."
    )
    timestep_spacing: Literal["leading", "trailing", "linspace"] | None = Field(
        default=None, description="Grid of timesteps (SDXL)."
    )


class JobTypeEntry(_Section):
    """A job type of the operator's own: a shipped one with other values."""

    base: str = Field(description="Name of the job type that it starts from.")
    text: str = Field(default="", description="What people see.")
    num_inference_steps: int | None = Field(default=None, description="Denoise steps.")
    guidance_scale: float | None = Field(default=None, description="Guidance scale.")
    scheduler: str | None = Field(default=None, description="Solver.")
    flow_shift: float | None = Field(default=None, description="Flow shift (Wan).")
    num_images: int | None = Field(default=None, description="Batch (SDXL).")
    negative_prompt: str | None = Field(default=None, description="Its negative prompt.")


class PresetEntry(_Section):
    """A preset of the operator's own."""

    text: str = Field(default="", description="What people see.")
    overrides: dict[str, int | float | str] = Field(
        default_factory=dict, description="Parameters and their values."
    )
    width_share: float = Field(default=1.0, gt=0, le=2, description="Of the native width.")
    height_share: float = Field(default=1.0, gt=0, le=2, description="Of the native height.")
    frames_share: float = Field(default=1.0, gt=0, le=2, description="Of the native clip.")


class ServerConfig(_Section):
    """The HTTP service."""

    host: str = Field(
        default="127.0.0.1", description="Where to listen; beyond loopback needs a key."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    public_url: str | None = Field(
        default=None, description="How clients reach the service, for absolute links."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names that requests may carry, besides loopback's own."
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Web origins that may call from a browser."
    )
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Largest request body.")
    max_image_px: int = Field(
        default=4096 * 4096, gt=0, description="Most pixels of an uploaded or fetched image."
    )
    blocking_wait_s: float = Field(
        default=600.0, gt=0, description="How long a blocking image request waits for its job."
    )


class QueueConfig(_Section):
    """The queue's promise in numbers."""

    lease_s: float = Field(
        default=20.0, gt=0, description="A claim ends without a beat for so long."
    )
    beat_s: float = Field(default=5.0, gt=0, description="Between two beats of a worker.")
    reap_s: float = Field(default=2.0, gt=0, description="Between two looks for ended leases.")
    poll_s: float = Field(default=0.5, gt=0, description="Between two looks for work.")
    overdue_s: float = Field(
        default=900.0, gt=0, description="A job queued longer than this goes before all others."
    )
    max_errors: int = Field(default=3, ge=1, description="Errors until a job fails.")
    max_crashes: int = Field(default=3, ge=1, description="Dead workers until a job fails.")
    retry_s: float = Field(
        default=2.0, ge=0, description="Wait before the first retry; it doubles."
    )
    hang_s: float = Field(
        default=300.0, gt=0, description="A job without any progress for so long has hung."
    )
    deadline_factor: float = Field(
        default=4.0,
        gt=1,
        description="Deadline of a job, as a multiple of the 99th percentile of known runs.",
    )
    deadline_floor_s: float = Field(default=900.0, gt=0, description="Shortest deadline.")
    drain_s: float = Field(
        default=30.0, ge=0, description="How long a stopping worker may go on with its job."
    )


class FleetConfig(_Section):
    """How a machine's GPUs work together."""

    policy: Literal["throughput", "latency", "mixed"] = Field(
        default="throughput",
        description="Every GPU alone, groups as large as possible, or whichever lets jobs end "
        "soonest at the present load.",
    )
    min_stay_s: float = Field(
        default=300.0, gt=0, description="`mixed`: between two changes of the groups."
    )
    look_s: float = Field(
        default=10.0, gt=0, description="`mixed`: between two looks at the queue."
    )
    speedups: dict[Literal["video", "image"], dict[int, float]] = Field(
        default_factory=dict[Literal["video", "image"], dict[int, float]],
        description="`mixed`: measured speed of a group over one GPU, by its size; left out, 1.6 "
        "a doubling.",
    )


class StorageConfig(_Section):
    """Where finished files go."""

    kind: Literal["local", "s3", "supabase"] = Field(
        default="local", description="A folder in the data directory, S3, or Supabase's S3."
    )
    endpoint: str | None = Field(default=None, description="S3 endpoint, if not Amazon's.")
    region: str = Field(default="us-east-1", description="S3 region.")
    access_key_id: str | None = Field(default=None, description="S3 access key.")
    secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    bucket_prefix: str = Field(default="", description="Put before each bucket's name.")
    signed_url_s: int = Field(default=3600, gt=0, description="How long a signed URL works.")
    keep_days: float | None = Field(default=None, gt=0, description="Delete files older than this.")
    keep_bytes: int | None = Field(
        default=None, gt=0, description="Delete the oldest files beyond this total."
    )


class WebhookConfig(_Section):
    """Messages to other servers."""

    secrets: tuple[SecretStr, ...] = Field(
        default=(), description="Signing secrets (`whsec_...`); the first signs first."
    )
    allow_private: bool = Field(
        default=False,
        description="Also post to and fetch from private addresses: only inside one's own network.",
    )
    timeout_s: float = Field(default=20.0, gt=0, description="Of one delivery.")


class QuotaConfig(_Section):
    """Limits of keys that were created without their own."""

    requests_per_minute: int | None = Field(default=None, gt=0, description="Requests.")
    queued_jobs: int | None = Field(default=None, gt=0, description="Jobs waiting at once.")
    device_seconds_per_day: float | None = Field(default=None, gt=0, description="Device time.")


class PolicyConfig(_Section):
    """The operator's content policy; the shipped rule about minors always holds."""

    mode: Literal["off", "rules", "model"] = Field(
        default="off", description="Nothing more, rules below, or an OpenAI-compatible model too."
    )
    deny: dict[str, str] = Field(
        default_factory=dict, description="Regular expressions by rule name, any case."
    )
    model_url: str | None = Field(
        default=None, description="Chat completions endpoint that answers allow or deny."
    )
    model_name: str = Field(default="", description="Its model.")
    model_key: SecretStr | None = Field(default=None, description="Its key.")


class BridgeConfig(_Section):
    """The legacy bridge."""

    redis_url: str | None = Field(default=None, description="redis:// URL of the old queues.")
    upstash_url: str | None = Field(default=None, description="Or Upstash's REST URL...")
    upstash_token: SecretStr | None = Field(default=None, description="...and its token.")
    queues: tuple[str, ...] = Field(
        default=("sdxl_queue", "wan_queue"), description="Lists to take jobs from."
    )
    site_url: str | None = Field(
        default=None, description="Callbacks go to {site}/functions/v1/job-callback."
    )
    callback_key: SecretStr | None = Field(default=None, description="Bearer key of callbacks.")
    callback_style: Literal["july", "august"] | None = Field(
        default=None, description="Shape of callbacks; left out, the payload's own generation."
    )
    poll_s: float = Field(default=1.0, gt=0, description="Between two looks at empty lists.")


class GoalEntry(_Section):
    """What a job type is to reach, and by when; progress is computed from records."""

    job_type: str = Field(description="Which job type.")
    seconds: float | None = Field(
        default=None, gt=0, description="Median seconds of a job, end to end, at most."
    )
    success_percent: float | None = Field(
        default=None, gt=0, le=100, description="Jobs that succeed, in percent, at least."
    )
    state: Literal["cold", "warm", "resident"] | None = Field(
        default=None, description="Only of jobs in this state."
    )
    by: date | None = Field(default=None, description="When, such as 2027-03-31.")
    text: str = Field(default="", description="What people see.")

    @model_validator(mode="after")
    def _has_one_target(self) -> GoalEntry:
        if (self.seconds is None) == (self.success_percent is None):
            raise ValueError("a goal states seconds or success_percent, one of them")
        return self


class PerformanceConfig(_Section):
    """What performance is measured against."""

    goals: tuple[GoalEntry, ...] = Field(
        default=(), description="Goals, each a `[[performance.goals]]` table as below."
    )
    digests: tuple[Literal["weekly", "monthly"], ...] = Field(
        default=("weekly", "monthly"),
        description="Digests that the service writes to `reports` in the data directory, once a "
        "week or month is over.",
    )


class RolloutEntry(_Section):
    """A preset or values that a share of a job type's jobs get, compared on live traffic."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$",
        description="Under which its jobs are found. Another name divides jobs anew.",
    )
    job_type: str = Field(description="Whose jobs: those that ask for no preset.")
    share: float = Field(ge=0, le=1, description="Of these jobs, from 0 to 1.")
    preset: str | None = Field(default=None, description="What they get: a preset...")
    overrides: dict[str, int | float | str] = Field(
        default_factory=dict, description="...or parameters and their values, `fidelity` too."
    )
    until: date | None = Field(
        default=None, description="Last day (UTC) on which jobs take part, such as 2027-03-31."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> RolloutEntry:
        if self.preset is None and not self.overrides:
            raise ValueError("a rollout states a preset, overrides or both")
        return self


class TelemetryConfig(_Section):
    """What is told to others about finished jobs."""

    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Where workers send traces of jobs (OTLP over HTTP), such as "
        "http://127.0.0.1:4318/v1/traces; left out: nowhere. Needs the extra `otel`.",
    )


class Settings(BaseSettings):
    """Everything that an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="OURVIDZ_",
        env_nested_delimiter="__",
        env_ignore_empty=True,  # compose files pass what is not set as empty
        extra="forbid",
        frozen=True,
    )

    profile: Literal["pocket", "full"] = Field(
        default="pocket",
        description="Which models jobs use: the small ones in the package, or the full-size ones.",
    )
    data_dir: Path = Field(
        default=Path("ourvidz-data"), description="Where models and everything kept are stored."
    )
    models_dir: Path | None = Field(
        default=None, description="Where models are stored, if not in the data directory."
    )
    out_dir: Path = Field(
        default=Path("ourvidz-out"), description="Where `generate` writes when told nothing else."
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda or cuda:N. auto takes CUDA where it works."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Precision of the networks: bfloat16 on CUDA, float32 on CPU."
    )
    group_size: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Processes that share one video or batch of images, one a GPU from `device` on "
        "(on a CPU: one beside another). The supervisor sets it for the groups that it forms.",
    )
    vram_gib: float | None = Field(
        default=None,
        gt=0,
        description="Pretend that the device has so much memory, in GiB; torch is held to it too.",
    )
    host_cache_gib: float | None = Field(
        default=None,
        ge=0,
        description="Host memory for copies of weights that left the device, in GiB; left out, a "
        "quarter of what is free at start, and none on a CPU.",
    )
    techniques_off: tuple[str, ...] = Field(
        default=(), description="Techniques that no job may use, by name."
    )
    default_fidelity: dict[str, Fidelity] = Field(
        default_factory=dict,
        description="What jobs of a model promise when they are asked for nothing, by catalogue "
        "id: `high` or `draft`, once `ourvidz bench confirm` has held its bounds; `exact` else.",
    )
    embed_cache_bytes: int = Field(
        default=256 * 2**20,
        ge=0,
        description="Disk for what text encoders made of prompts (`cache/embeds` in the data "
        "directory; no texts, readable by their owner only), so that known prompts need no text "
        "encoder; 0 keeps nothing.",
    )
    enhancement: EnhancementConfig = Field(
        default_factory=EnhancementConfig, description="How prompts are enriched."
    )
    enhancer_url: str | None = Field(
        default=None,
        description="An OpenAI-compatible server that enriches prompts in place of a model on the "
        "device: its base (`http://127.0.0.1:8001/v1`) or its whole chat completions address.",
    )
    enhancer_model: str = Field(default="default", description="Its model.")
    enhancer_api_key: SecretStr | None = Field(default=None, description="Its key.")
    enhancer_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Longest wait for its answer; then as `enhancement.on_failure` says.",
    )
    database_url: str | None = Field(
        default=None,
        description="postgresql://... for several machines; else SQLite in the data directory.",
    )
    server: ServerConfig = Field(default_factory=ServerConfig, description="The HTTP service.")
    queue: QueueConfig = Field(default_factory=QueueConfig, description="The queue's promise.")
    fleet: FleetConfig = Field(default_factory=FleetConfig, description="Many GPUs.")
    storage: StorageConfig = Field(default_factory=StorageConfig, description="Finished files.")
    webhooks: WebhookConfig = Field(default_factory=WebhookConfig, description="Messages out.")
    quotas: QuotaConfig = Field(default_factory=QuotaConfig, description="Limits of keys.")
    policy: PolicyConfig = Field(default_factory=PolicyConfig, description="Content policy.")
    bridge: BridgeConfig = Field(default_factory=BridgeConfig, description="The legacy bridge.")
    performance: PerformanceConfig = Field(
        default_factory=PerformanceConfig, description="What performance is measured against."
    )
    rollouts: tuple[RolloutEntry, ...] = Field(
        default=(), description="Rollouts, each a `[[rollouts]]` table as below."
    )
    telemetry: TelemetryConfig = Field(
        default_factory=TelemetryConfig, description="Traces of finished jobs."
    )
    use_models: dict[Role, str] = Field(
        default_factory=dict,
        description="Models of the full profile by role (video, image, enhancer).",
    )
    negative_prompts: dict[str, str] = Field(
        default_factory=dict, description="Negative prompts by job type, in place of the models'."
    )
    model_paths: dict[str, Path] = Field(
        default_factory=dict, description="Folders or single files of models, by catalogue id."
    )
    models: dict[str, ModelEntry] = Field(
        default_factory=dict, description="Models of one's own, by id."
    )
    job_types: dict[str, JobTypeEntry] = Field(
        default_factory=dict, description="Job types of one's own, by name."
    )
    presets: dict[str, dict[str, PresetEntry]] = Field(
        default_factory=dict, description="Presets of one's own, by job type and name."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: arguments, environment, file."""
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, toml_file=_config_file())
        return init_settings, env_settings, toml

    @property
    def resolved_models_dir(self) -> Path:
        """The folder with one folder a model."""
        return self.models_dir or self.data_dir / "models"


def _config_file() -> Path:
    named = os.environ.get("OURVIDZ_CONFIG")
    path = Path(named or DEFAULT_CONFIG_FILE)
    if named and not path.is_file():
        raise ConfigInvalid(
            f"OURVIDZ_CONFIG names {named!r}, which is not a file.",
            hint="Create it, or unset the variable.",
        )
    return path


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` (from the command line) win.

    Raises:
        ConfigInvalid: an unknown key or an illegal value, named with its place.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        known = tuple(Settings.model_fields)
        hint = suggest(str(first["loc"][0]), known) if first["type"] == "extra_forbidden" else None
        raise ConfigInvalid(f"Setting {place!r}: {first['msg']}.", param=place, hint=hint) from None
    except ValueError as error:  # a TOML file that does not parse
        raise ConfigInvalid(f"{DEFAULT_CONFIG_FILE}: {error}") from error


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the shipped catalogue with the operator's entries.

    Raises:
        ConfigInvalid: an entry that refers to an unknown name or holds an illegal value.
    """
    shipped_models = {model.id: model for model in MODELS}
    shipped_jobs = {job.name: job for job in JOB_TYPES}
    catalogue = build_catalogue(
        extra_models=[
            _model(model_id, entry, shipped_models) for model_id, entry in settings.models.items()
        ],
        extra_job_types=[
            _job_type(name, entry, shipped_jobs) for name, entry in settings.job_types.items()
        ],
        extra_presets=[
            _preset(job_type, name, entry)
            for job_type, entries in settings.presets.items()
            for name, entry in entries.items()
        ],
        roles=settings.use_models,
    )
    for name in settings.negative_prompts:
        if name not in catalogue.job_types:
            raise ConfigInvalid(
                f"negative_prompts names the unknown job type {name!r}.",
                hint=suggest(name, tuple(catalogue.job_types)),
            )
    for goal in settings.performance.goals:
        if goal.job_type not in catalogue.job_types:
            raise ConfigInvalid(
                f"performance.goals names the unknown job type {goal.job_type!r}.",
                hint=suggest(goal.job_type, tuple(catalogue.job_types)),
            )
    _check_rollouts(settings.rollouts, catalogue)
    for model_id in settings.default_fidelity:
        if model_id not in catalogue.models:
            raise ConfigInvalid(
                f"default_fidelity names the unknown model {model_id!r}.",
                hint=suggest(model_id, tuple(catalogue.models)),
            )
    return catalogue


def _model(model_id: str, entry: ModelEntry, shipped: dict[str, Model]) -> Model:
    if entry.base not in shipped:
        raise ConfigInvalid(
            f"models.{model_id}: base {entry.base!r} is unknown.",
            hint=suggest(entry.base, tuple(shipped)),
        )
    base = shipped[entry.base]
    place = f"models.{model_id}"
    known = few_step_family(entry.few_step, place=place) if entry.few_step else None
    if known is not None and known.family != base.family:
        raise ConfigInvalid(f"{place}: {known.id!r} is for {known.family}, not {base.family}.")
    lora = known.lora if known is not None else None
    if entry.lora is not None:
        lora = LoraFile(file=str(entry.lora))
    if lora is not None and entry.strength is not None:
        lora = replace(lora, strength=entry.strength)
    names = [each.name for each in fields(Sampling)]
    if base.family == "sdxl" and entry.scheduler == "lcm":
        raise ConfigInvalid(f"{place}: scheduler 'lcm' is for Wan's weights only.")
    return replace(
        base,
        id=model_id,
        title=entry.title or (known.title if known is not None else model_id),
        hub_repo=entry.hub_repo or (known.hub_repo if known is not None and not lora else None),
        license=entry.license or (known.license if known is not None else base.license),
        base=base.id if lora is not None else None,
        loras=() if lora is None else (lora,),
        sampling=sampling_of(known, entry.model_dump(include=set(names)), place=place),
        default_negative_prompt=base.default_negative_prompt
        if entry.negative_prompt is None
        else entry.negative_prompt,
    )


def _job_type(name: str, entry: JobTypeEntry, shipped: dict[str, JobType]) -> JobType:
    if entry.base not in shipped:
        raise ConfigInvalid(
            f"job_types.{name}: base {entry.base!r} is unknown.",
            hint=suggest(entry.base, tuple(shipped)),
        )
    values = entry.model_dump(exclude={"base", "text"}, exclude_none=True)
    _check_values(f"job_types.{name}", values)
    base = shipped[entry.base]
    return replace(base, name=name, text=entry.text or base.text, **values)


def _preset(job_type: str, name: str, entry: PresetEntry) -> Preset:
    _check_values(f"presets.{job_type}.{name}", entry.overrides)
    return Preset(
        name=name,
        job_type=job_type,
        text=entry.text or name,
        overrides=dict(entry.overrides),
        width_share=entry.width_share,
        height_share=entry.height_share,
        frames_share=entry.frames_share,
    )


def _check_rollouts(rollouts: Sequence[RolloutEntry], catalogue: Catalogue) -> None:
    names = [rollout.name for rollout in rollouts]
    for rollout in rollouts:
        place = f"rollouts.{rollout.name}"
        if names.count(rollout.name) > 1:
            raise ConfigInvalid(f"{place} stands there twice.", hint="Give each its own name.")
        if rollout.job_type not in catalogue.job_types:
            raise ConfigInvalid(
                f"{place} names the unknown job type {rollout.job_type!r}.",
                hint=suggest(rollout.job_type, tuple(catalogue.job_types)),
            )
        if rollout.preset is not None:
            try:
                catalogue.preset(rollout.job_type, rollout.preset)
            except UnknownName as error:
                raise ConfigInvalid(f"{place}: {error.message}", hint=error.hint) from error
        if "seed" in rollout.overrides:
            raise ConfigInvalid(f"{place}: a seed is each job's own.", hint="Leave it out.")
        _check_values(place, rollout.overrides)


def _check_values(place: str, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if key not in BY_NAME:
            raise ConfigInvalid(
                f"{place}: {key!r} is not a parameter.", hint=suggest(key, tuple(BY_NAME))
            )
        BY_NAME[key].check(value)
