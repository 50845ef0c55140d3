"""From what a surface was asked to stored jobs: resolve, policy, prediction, insert.

The one way in, for the API, the OpenAI routes, the bridge and the command line.
"""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.parameters import MAX_SEED
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE, resolve
from ourvidz.checkpoints.confirmations import offers_of
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.failpoints import reach
from ourvidz.core.ids import new_id, new_job_id
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import (
    DEFAULT_TENANT,
    PRIORITY_MAX,
    PRIORITY_MIN,
    PRIORITY_NORMAL,
    Callback,
    Dedup,
    Job,
    JobKind,
    Json,
    NewJob,
    Quotas,
    Source,
    Submission,
)
from ourvidz.jobs.rolling_out import place
from ourvidz.jobs.store import JobStore
from ourvidz.policy.policy import ContentPolicy, Stage, require_allowed

# What a workload that nobody expects anything of is charged with in fair shares.
_UNKNOWN_DURATION_S = 60.0
# Runs of a workload from which on their own 99th percentile sets the deadline alone.
_ENOUGH_RUNS = 20

MAX_JOBS_A_SUBMIT = 500
MAX_DELAY_S = 30 * 24 * 3600.0


class Expected(Protocol):
    """What a job should take, in seconds of its run."""

    @property
    def total_s(self) -> float:
        """The middle."""
        ...

    @property
    def high_s(self) -> float:
        """The upper end of the interval."""
        ...


def expect_nothing(request: GenerationRequest, source: Source) -> Expected | None:
    """Expect nothing of any job."""
    del request, source
    return None


def any_length(request: GenerationRequest, kind: JobKind) -> None:
    """Take prompts of any length: whoever runs the job refuses what is too long."""
    del request, kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One job as a surface was asked for it, nothing checked yet."""

    prompt: str
    job_type: str = DEFAULT_JOB_TYPE
    preset: str = BASELINE
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])  # parameters by name
    kind: JobKind = JobKind.GENERATE
    source: Source = Source.API
    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    priority: int = PRIORITY_NORMAL
    delay_s: float = 0.0
    metadata: Json = field(default_factory=dict[str, Any])
    adjustments: tuple[Json, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    legacy: Json | None = None


@dataclass(kw_only=True, slots=True)
class Submitter:
    """Turns drafts into stored jobs."""

    store: JobStore
    catalogue: Catalogue
    settings: Settings
    policy: ContentPolicy
    clock: Clock = field(default_factory=SystemClock)
    draw_seed: Callable[[], int] = field(default=lambda: secrets.randbelow(MAX_SEED + 1))
    expect: Callable[[GenerationRequest, Source], Expected | None] = expect_nothing
    check_length: Callable[[GenerationRequest, JobKind], None] = any_length

    def submit(
        self,
        drafts: Sequence[Draft],
        *,
        dedup: Dedup | None = None,
        quotas: Quotas | None = None,
    ) -> Submission:
        """Check every draft and store all of them or none.

        Raises:
            InvalidRequest, UnknownName: a value that is not legal, or a prompt that is too long.
            PolicyRefused: a prompt that the content policy refuses.
            IdempotencyConflict, QuotaExceeded, StoreUnavailable, StoreFull: see ``JobStore``.
        """
        if not 1 <= len(drafts) <= MAX_JOBS_A_SUBMIT:
            raise InvalidRequest(
                f"{len(drafts)} jobs at once; 1 to {MAX_JOBS_A_SUBMIT} are allowed.",
                param="jobs",
                hint="Split them over several requests.",
            )
        batch_id = new_id("batch", self.clock.now()) if len(drafts) > 1 else None
        body_hash = dedup.body_hash if dedup else None
        jobs = [self._placed(draft, batch_id, body_hash or None) for draft in drafts]
        reach("before_commit")
        made = self.store.submit(jobs, dedup=dedup, quotas=quotas)
        reach("after_commit")
        return made

    def submit_and_claim(
        self, draft: Draft, request: GenerationRequest, *, worker_id: str, lease_s: float
    ) -> Job:
        """Store one job for ``worker_id``, which runs it itself, at once.

        Args:
            request: what ``resolve`` made of ``draft``.
            worker_id: whose the job is from the start.
            lease_s: how long it stays so without a beat.

        Raises:
            InvalidRequest: a value of ``draft`` that is not legal.
            StoreUnavailable, StoreFull: see ``JobStore``.
        """
        job = self._new_job(draft, request)
        return self.store.submit_and_claim(job, worker_id=worker_id, lease_s=lease_s)

    def resolve(self, draft: Draft) -> GenerationRequest:
        """Return the complete request of a draft, checked by catalogue, policy and tokenizers."""
        request = self._resolved(draft, draft.preset, draft.values)
        stage = Stage.BRIDGE if draft.source is Source.BRIDGE else Stage.GIVEN
        require_allowed(self.policy, request.prompt, stage=stage)
        self.check_length(request, draft.kind)
        return request

    def _resolved(self, draft: Draft, preset: str, values: Mapping[str, Any]) -> GenerationRequest:
        return resolve(
            catalogue=self.catalogue,
            settings=self.settings,
            prompt=draft.prompt,
            seed=self.draw_seed(),
            job_type=draft.job_type,
            preset=preset,
            values=values,
            offers=offers_of(self.settings),
        )

    def _placed(self, draft: Draft, batch_id: str | None, body_hash: str | None) -> NewJob:
        """Return a draft's job, on its side of a rollout where one goes on."""
        now = self.clock.now()
        job_id = new_job_id(now)
        placed = place(
            draft,
            self.resolve(draft),
            job_id=job_id,
            rollouts=self.settings.rollouts,
            today=now.date(),
            resolve=lambda preset, values: self._resolved(draft, preset, values),
        )
        told = () if placed.adjustment is None else (placed.adjustment,)
        noted = replace(draft, metadata=placed.metadata, adjustments=(*draft.adjustments, *told))
        return self._new_job(
            noted, placed.request, job_id=job_id, batch_id=batch_id, body_hash=body_hash
        )

    def _new_job(
        self,
        draft: Draft,
        request: GenerationRequest,
        *,
        job_id: str | None = None,
        batch_id: str | None = None,
        body_hash: str | None = None,
    ) -> NewJob:
        if draft.kind is JobKind.ENHANCE and request.enhancement is None:
            raise InvalidRequest(
                f"Job type {request.job_type!r} has no enhancer.",
                param="job_type",
                hint="Take one of the enhanced job types, video7b_fast_enhanced for one.",
            )
        _check_range("priority", draft.priority, PRIORITY_MIN, PRIORITY_MAX)
        _check_range("delay_s", draft.delay_s, 0, MAX_DELAY_S)
        queue = self.settings.queue
        durations_s = self.store.durations_s(request.workload)
        expected = None
        if len(durations_s) < _ENOUGH_RUNS and draft.kind is JobKind.GENERATE:
            expected = self.expect(request, draft.source)
        return NewJob(
            id=job_id or new_job_id(self.clock.now()),
            request=request,
            tenant=draft.tenant,
            key_id=draft.key_id,
            kind=draft.kind,
            source=draft.source,
            priority=draft.priority,
            delay_s=draft.delay_s,
            predicted_s=_predicted_s(durations_s, expected),
            deadline_s=max(
                queue.deadline_floor_s, queue.deadline_factor * _longest_s(durations_s, expected)
            ),
            max_errors=queue.max_errors,
            body_hash=body_hash,
            batch_id=batch_id,
            metadata=draft.metadata,
            adjustments=draft.adjustments,
            callbacks=draft.callbacks,
            legacy=draft.legacy,
        )


def _predicted_s(durations_s: Sequence[float], expected: Expected | None) -> float:
    """Return what runs of the workload took, else what is expected of it."""
    if durations_s:
        return statistics.median(durations_s)
    return _UNKNOWN_DURATION_S if expected is None else expected.total_s


def _longest_s(durations_s: Sequence[float], expected: Expected | None) -> float:
    """Return what a run may take that is no sign of trouble.

    Of few runs the longest says little: what is expected serves where it is longer.
    """
    return max(p99_s(durations_s), 0.0 if expected is None else expected.high_s)


def p99_s(durations_s: Sequence[float]) -> float:
    """Return the 99th percentile by nearest rank; 0 where nothing is known.

    Of 100 runs that is the second longest: one that hung must not double the next one's deadline.
    """
    if not durations_s:
        return 0.0
    return sorted(durations_s)[math.ceil(0.99 * len(durations_s)) - 1]


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidRequest(
            f"{name} {value!r} is out of range.",
            param=name,
            hint=f"Choose {low:g} to {high:g}.",
        )
