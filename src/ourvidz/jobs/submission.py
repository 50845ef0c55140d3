"""From what a surface was asked to stored jobs: resolve, policy, prediction, insert.

The one way in, for the API, the OpenAI routes, the bridge and the command line.
"""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from ourvidz.jobs.store import JobStore
from ourvidz.policy.policy import ContentPolicy, Stage, require_allowed

# What a workload that never ran is charged with in fair shares, until its first record.
_UNKNOWN_DURATION_S = 60.0

MAX_JOBS_A_SUBMIT = 500
MAX_DELAY_S = 30 * 24 * 3600.0


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

    def submit(
        self,
        drafts: Sequence[Draft],
        *,
        dedup: Dedup | None = None,
        quotas: Quotas | None = None,
    ) -> Submission:
        """Check every draft and store all of them or none.

        Raises:
            InvalidRequest, UnknownName: a value that is not legal.
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
        jobs = [
            self._new_job(
                draft, self.resolve(draft), batch_id=batch_id, body_hash=body_hash or None
            )
            for draft in drafts
        ]
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
        """Return the complete request of a draft, checked by catalogue and policy."""
        request = resolve(
            catalogue=self.catalogue,
            settings=self.settings,
            prompt=draft.prompt,
            seed=self.draw_seed(),
            job_type=draft.job_type,
            preset=draft.preset,
            values=draft.values,
            offers=offers_of(self.settings),
        )
        stage = Stage.BRIDGE if draft.source is Source.BRIDGE else Stage.GIVEN
        require_allowed(self.policy, request.prompt, stage=stage)
        return request

    def _new_job(
        self,
        draft: Draft,
        request: GenerationRequest,
        *,
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
        return NewJob(
            id=new_job_id(self.clock.now()),
            request=request,
            tenant=draft.tenant,
            key_id=draft.key_id,
            kind=draft.kind,
            source=draft.source,
            priority=draft.priority,
            delay_s=draft.delay_s,
            predicted_s=statistics.median(durations_s) if durations_s else _UNKNOWN_DURATION_S,
            deadline_s=max(queue.deadline_floor_s, queue.deadline_factor * p99_s(durations_s)),
            max_errors=queue.max_errors,
            body_hash=body_hash,
            batch_id=batch_id,
            metadata=draft.metadata,
            adjustments=draft.adjustments,
            callbacks=draft.callbacks,
            legacy=draft.legacy,
        )


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
