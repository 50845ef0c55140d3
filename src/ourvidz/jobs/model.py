"""What the store keeps, as values. Times are seconds of the store's clock (Unix epoch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ourvidz.core.job import JobState
from ourvidz.core.request import GenerationRequest, MediaType

Json = Mapping[str, Any]

DEFAULT_TENANT = "default"

# Bands, highest first. What a person moved to the front is a band of its own.
PRIORITY_FRONT = 1000
PRIORITY_MAX = 100
PRIORITY_NORMAL = 0
PRIORITY_MIN = -100


class JobKind(StrEnum):
    """What a job delivers: files, or only the enhanced prompt."""

    GENERATE = "generate"
    ENHANCE = "enhance"


class Source(StrEnum):
    """Through which door a job came."""

    API = "api"
    OPENAI = "openai"
    BRIDGE = "bridge"
    CLI = "cli"


class EventKind(StrEnum):
    """What a job's event stream tells. ``seq`` counts 1, 2, 3... without gaps within a job."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"  # a worker began an attempt: worker_id, token
    PHASE = "phase"  # the job entered a phase
    PROGRESS = "progress"  # at most one a second
    NOTE = "note"  # an adjustment or fallback a person should know of
    ENHANCED = "enhanced"
    LOG = "log"
    REQUEUED = "requeued"  # after an error, a crash, a drain or a retry: why, run_at
    MOVED = "moved"
    CANCEL_REQUESTED = "cancel_requested"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
TERMINAL_EVENTS = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """Whom to tell about a job. ``kind`` names the renderer: ``webhook`` or ``legacy``."""

    kind: str
    url: str
    events: tuple[str, ...] = ("succeeded", "failed", "cancelled")  # "claimed" tells the start
    facts: Json = field(default_factory=dict[str, Any])  # what the renderer needs


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A checked job on its way into the store."""

    id: str
    request: GenerationRequest
    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    kind: JobKind = JobKind.GENERATE
    source: Source = Source.API
    priority: int = PRIORITY_NORMAL
    delay_s: float = 0.0  # not before this long from now
    predicted_s: float = 1.0  # device seconds: what fair shares are charged with
    deadline_s: float = 3600.0  # longest run of one attempt
    max_errors: int = 3  # errors until the job fails; each is retried with backoff
    body_hash: str | None = None  # of what the client sent
    batch_id: str | None = None  # of a batch or a grid
    metadata: Json = field(default_factory=dict[str, Any])  # the client's own
    adjustments: tuple[Json, ...] = ()  # {"code", "text"}
    callbacks: tuple[Callback, ...] = ()
    legacy: Json | None = None  # the payload as it came over the bridge


@dataclass(frozen=True, kw_only=True, slots=True)
class Dedup:
    """How a submit is recognised as one that was made before."""

    key: str | None = None  # the Idempotency-Key, unique within (tenant, key_id)
    body_hash: str = ""
    retried_within_s: float | None = None  # a client's retry: the same body this recently


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job as the store holds it."""

    id: str
    tenant: str
    key_id: str | None
    kind: JobKind
    source: Source
    request: GenerationRequest
    state: JobState
    priority: int
    position: float  # within its band; smaller comes first
    created_at: float
    run_at: float
    started_at: float | None  # of the last attempt
    finished_at: float | None
    lease_until: float | None
    worker_id: str | None
    token: int  # grows with every claim
    errors: int
    crashes: int
    max_errors: int
    cancel_requested: bool
    is_held: bool  # its job type, or everything, is paused
    predicted_s: float
    deadline_s: float
    event_seq: int  # of its last event
    progress: Json | None
    enhancement: Json | None
    adjustments: tuple[Json, ...]
    result: Json | None
    error: Json | None  # {"code", "message", "param", "hint"}
    batch_id: str | None
    metadata: Json
    callbacks: tuple[Callback, ...]
    legacy: Json | None
    is_favourite: bool = False  # somebody marked it
    changed_at: float = 0.0  # of anything about it; what is no event leaves event_seq

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will happen to it any more (but a retry by a person)."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a submit made, or what an earlier one of the same key had made."""

    jobs: tuple[Job, ...]
    is_replay: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """A sign of life for one running job."""

    job_id: str
    token: int
    progress: Json | None = None  # written, and told as an event, where given


@dataclass(frozen=True, kw_only=True, slots=True)
class BeatReply:
    """``is_alive`` False: the lease is lost, stop and publish nothing."""

    is_alive: bool
    cancel_requested: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NewAsset:
    """One delivered file, in storage already under a key of this attempt alone."""

    id: str
    index: int
    bucket: str
    key: str
    thumbnail_key: str | None
    media_type: str
    num_bytes: int
    facts: Json  # core.Asset.to_dict() without paths


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAsset:
    """A published file."""

    id: str
    job_id: str
    tenant: str
    index: int
    bucket: str
    key: str
    thumbnail_key: str | None
    media_type: str
    num_bytes: int
    facts: Json
    created_at: float
    deleted_at: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One entry of a job's gapless history."""

    job_id: str
    seq: int
    at: float
    kind: EventKind
    data: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecord:
    """The performance record that a job left; it outlives the job."""

    id: int  # grows with every record
    job_id: str
    job_type: str
    workload: str
    at: float  # the job's end
    body: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One run of a job by one worker."""

    job_id: str
    token: int
    worker_id: str
    started_at: float
    ended_at: float | None
    outcome: str | None  # succeeded, failed, cancelled, crashed, released; None while it runs
    error: Json | None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """A worker process as the store knows it."""

    id: str
    host: str
    pid: int
    device: str
    state: str  # starting, idle, busy, draining
    started_at: float
    seen_at: float
    models: tuple[str, ...]  # catalogue ids that it can run; empty: any
    resident: Json  # model id -> bytes on the device
    jobs: tuple[str, ...]
    facts: Json  # versions; as ``memory`` what is where on the device and how full it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Jobs of one model: what a worker may bring before they are claimed."""

    model: str
    num_jobs: int
    enhancer: str | None = None  # that their prompts are to be enhanced with first


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingClass:
    """Jobs of a kind and medium that may run now."""

    kind: JobKind
    media_type: MediaType
    num_jobs: int
    num_overdue: int  # of those
    predicted_s: float  # all of theirs


@dataclass(frozen=True, kw_only=True, slots=True)
class CameJob:
    """A job of the last while, whatever became of it."""

    kind: JobKind
    media_type: MediaType
    created_at: float
    predicted_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerCommand:
    """What an operator asks of a worker: ``load`` or ``unload`` a model, or ``drain``."""

    id: int
    worker_id: str
    verb: str
    model: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxItem:
    """One message that must reach somebody at least once."""

    id: int
    job_id: str
    kind: str
    url: str
    event: str
    payload: Json
    created_at: float
    tries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """Limits of a key; ``None`` is no limit."""

    requests_per_minute: int | None = None
    queued_jobs: int | None = None
    device_seconds_per_day: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    tenant: str
    name: str
    prefix: str  # the first characters, to recognise it by
    scopes: tuple[str, ...]
    quotas: Quotas
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Which jobs to list. Empty tuples mean any."""

    tenant: str | None = None  # None: every tenant (operators)
    states: tuple[JobState, ...] = ()
    job_types: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    kinds: tuple[JobKind, ...] = ()
    batch_id: str | None = None
    media_type: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    text: str | None = None  # found in the prompt
    is_favourite: bool = False  # only those that somebody marked


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueLoad:
    """What workers have to do before a place in the queue, in expected seconds of one worker."""

    num_queued: int  # paused ones left out
    queued_s: float
    running_s: float  # what running jobs still need


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedWork:
    """Jobs of one lane that could be claimed now."""

    lane: str  # kind:model
    num_jobs: int
    predicted_s: float  # of one worker, all of them together

    @property
    def model(self) -> str:
        """The model that the jobs need first."""
        return self.lane.partition(":")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCounts:
    """How many jobs stand where."""

    by_state: Mapping[str, int]
    queued_by_job_type: Mapping[str, int]
    oldest_queued_s: float | None
    paused: tuple[str, ...]  # "all" or job types
