"""From stored values to what clients see."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from ourvidz.api.auth import principal_from
from ourvidz.api.deps import AppDeps, absolute_url
from ourvidz.api.errors import public_job_error
from ourvidz.api.expectation import expect, expected_state, expected_time, wait_of
from ourvidz.api.raters import rater_of
from ourvidz.api.schemas import (
    Adjustment,
    AssetAnswer,
    AttemptAnswer,
    EnhancementAnswer,
    ErrorDetail,
    EventAnswer,
    Interval,
    JobAnswer,
    KeyAnswer,
    Ledger,
    OwnRating,
    PlacedComponent,
    Progress,
    QuotaValues,
    Wait,
    WorkerAnswer,
    WorkerGpu,
    WorkerMemory,
)
from ourvidz.core.job import JobState
from ourvidz.core.redact import without_paths
from ourvidz.jobs.model import (
    ApiKey,
    Attempt,
    Event,
    EventKind,
    Job,
    JobKind,
    StoredAsset,
    WorkerInfo,
)
from ourvidz.jobs.ratings import Rating
from ourvidz.perf.prediction import Prediction

_MIN_RUNS = 5  # fewer say nothing of a spread
_INTERVAL = (0.1, 0.9)
_SCRUBBED_KINDS = frozenset({EventKind.LOG, EventKind.NOTE, EventKind.REQUEUED, EventKind.FAILED})


def iso(unix_s: float) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def iso_or_none(unix_s: float | None) -> str | None:
    """Return a time as ISO 8601, or None."""
    return None if unix_s is None else iso(unix_s)


def scrubbed(value: Any) -> Any:
    """Return a JSON value with this machine's paths left out of every text."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, Mapping):
        return {str(name): scrubbed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def error_detail(error: Mapping[str, Any] | None) -> ErrorDetail | None:
    """Return a stored error as a client may read it."""
    public = public_job_error(error)
    return ErrorDetail(**public) if public else None


def event_answer(event: Event) -> EventAnswer:
    """Return one event."""
    data = dict(event.data)
    if event.kind in _SCRUBBED_KINDS:
        if isinstance(data.get("error"), Mapping):
            data["error"] = public_job_error(data["error"])
        data = scrubbed(data)
    if event.kind is EventKind.PROGRESS:  # where it lies is the server's own; the job has its URL
        data["has_preview"] = bool(data.pop("preview", None))
    return EventAnswer(
        job_id=event.job_id, seq=event.seq, at=iso(event.at), kind=event.kind.value, data=data
    )


def worker_answer(worker: WorkerInfo) -> WorkerAnswer:
    """Return one worker."""
    facts = dict(worker.facts)
    memory, gpu = facts.pop("memory", None), facts.pop("gpu", None)
    return WorkerAnswer(
        id=worker.id,
        host=worker.host,
        device=worker.device,
        state=worker.state,
        started_at=iso(worker.started_at),
        seen_at=iso(worker.seen_at),
        models=list(worker.models),
        resident={model: int(num_bytes) for model, num_bytes in worker.resident.items()},
        jobs=list(worker.jobs),
        memory=_memory(memory) if memory else None,
        gpu=gpu_answer(gpu) if gpu else None,
        facts=scrubbed(facts),
    )


def gpu_answer(told: Mapping[str, Any]) -> WorkerGpu:
    """Return what a worker told of its GPU; a worker of another release may tell less."""
    return WorkerGpu(**{name: told.get(name) for name in WorkerGpu.model_fields})


def _memory(told: Mapping[str, Any]) -> WorkerMemory:
    """Return what a worker told of its memory; a worker of another release may tell less."""
    numbers = {
        name: int(told.get(name, 0)) for name in WorkerMemory.model_fields if name.endswith("bytes")
    }
    components = [PlacedComponent(**placed) for placed in told.get("components", ())]
    return WorkerMemory(level=told.get("level", "ok"), components=components, **numbers)


def key_values(key: ApiKey) -> dict[str, Any]:
    """Return a key's public values."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "quotas": QuotaValues(
            requests_per_minute=key.quotas.requests_per_minute,
            queued_jobs=key.quotas.queued_jobs,
            device_seconds_per_day=key.quotas.device_seconds_per_day,
        ),
        "created_at": iso(key.created_at),
        "expires_at": iso_or_none(key.expires_at),
        "revoked_at": iso_or_none(key.revoked_at),
        "last_used_at": iso_or_none(key.last_used_at),
    }


def key_answer(key: ApiKey) -> KeyAnswer:
    """Return one key."""
    return KeyAnswer(**key_values(key))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Beside:
    """What is stored beside some jobs, by job."""

    assets: Mapping[str, Sequence[StoredAsset]]
    ratings: Mapping[str, Rating]


@dataclass(kw_only=True, slots=True)
class Viewer:
    """Turns jobs and files into answers to one request."""

    deps: AppDeps
    request: Request
    _durations_s: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

    def job(self, job: Job, *, is_detailed: bool = True) -> JobAnswer:
        """Return one job; ``is_detailed`` adds its attempts and its place in the queue."""
        return self._job(job, self._beside([job]), is_detailed=is_detailed)

    def jobs(self, jobs: Sequence[Job]) -> list[JobAnswer]:
        """Return the rows of a list: what is stored beside them is read for all at once."""
        beside = self._beside(jobs)
        return [self._job(job, beside, is_detailed=False) for job in jobs]

    def _beside(self, jobs: Sequence[Job]) -> _Beside:
        ended = [job.id for job in jobs if job.state is JobState.SUCCEEDED]
        if not ended:  # others have neither
            return _Beside(assets={}, ratings={})
        rater = rater_of(principal_from(self.request))
        return _Beside(
            assets=self.deps.store.assets_of(ended),
            ratings=self.deps.store.ratings_of(ended, rater=rater),
        )

    def _job(self, job: Job, beside: _Beside, *, is_detailed: bool) -> JobAnswer:
        request = job.request
        assets = [self.asset(asset) for asset in beside.assets.get(job.id, ())]
        ledger = _ledger(job)
        enhancement = _enhancement(job)
        position, expected, state, wait = None, None, "", None
        is_open = is_detailed and not job.is_terminal  # looks at queue and workers: not every row
        workers = self.deps.store.workers() if is_open else ()
        if is_open:
            state = expected_state(request, workers)
            if job.kind is JobKind.GENERATE:
                expected = expect(
                    request, source=job.source, state=state, forecaster=self.deps.forecaster
                )
        if is_detailed and job.state is JobState.QUEUED:
            position = self.deps.store.queue_position(job.id)
            wait = self._wait(job, expected, num_workers=len(workers))
        return JobAnswer(
            id=job.id,
            kind=job.kind.value,
            source=job.source.value,
            state=job.state.value,
            job_type=request.job_type,
            preset=request.preset,
            profile=request.profile,
            model=request.model,
            media_type=request.media_type.value,
            prompt=request.prompt,
            enhanced_prompt=enhancement.enhanced_prompt if enhancement else None,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            width=request.width,
            height=request.height,
            num_frames=request.num_frames,
            fps=request.fps,
            num_images=request.num_images,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            scheduler=request.scheduler,
            flow_shift=request.flow_shift,
            fidelity=request.fidelity.value,
            priority=job.priority,
            position=job.position,
            created_at=iso(job.created_at),
            created_unix_s=job.created_at,
            run_at=iso(job.run_at),
            started_at=iso_or_none(job.started_at),
            started_unix_s=job.started_at,
            finished_at=iso_or_none(job.finished_at),
            finished_unix_s=job.finished_at,
            changed_at=iso(job.changed_at),
            changed_unix_s=job.changed_at,
            event_seq=job.event_seq,
            queue_position=position,
            is_held=job.is_held,
            is_cancel_requested=job.cancel_requested,
            predicted_s=job.predicted_s,
            expected=None if expected is None else expected_time(expected, state=state),
            starts_in=wait,
            progress=self._progress(job, expected),
            phases_s=ledger.phases_s if ledger else {},
            ledger=ledger,
            adjustments=_adjustments(job),
            enhancement=enhancement,
            assets=assets,
            preview_url=self._preview(job) or (assets[0].thumbnail_url if assets else None),
            is_favourite=job.is_favourite,
            rating=_own_rating(beside.ratings.get(job.id)),
            error=error_detail(job.error),
            num_attempts=job.token,
            num_errors=job.errors,
            num_crashes=job.crashes,
            attempts=self._attempts(job.id) if is_detailed else None,
            batch_id=job.batch_id,
            metadata=dict(job.metadata),
            links=self._links(job),
        )

    def asset(self, asset: StoredAsset, *, expires_s: int | None = None) -> AssetAnswer:
        """Return one file with addresses that work for ``expires_s`` seconds."""
        expires_s = expires_s or self.deps.settings.storage.signed_url_s
        facts = asset.facts
        return AssetAnswer(
            id=asset.id,
            job_id=asset.job_id,
            index=asset.index,
            media_type=asset.media_type,
            bytes=asset.num_bytes,
            width=facts.get("width"),
            height=facts.get("height"),
            num_frames=facts.get("num_frames"),
            fps=facts.get("fps"),
            duration_s=facts.get("duration_s"),
            seed=facts.get("seed"),
            url=self.url(asset.bucket, asset.key, expires_s=expires_s),
            thumbnail_url=self.url(asset.bucket, asset.thumbnail_key, expires_s=expires_s)
            if asset.thumbnail_key
            else None,
            url_expires_at=iso(self.deps.clock.now().timestamp() + expires_s),
            created_at=iso(asset.created_at),
        )

    def url(self, bucket: str, key: str, *, expires_s: int, name: str | None = None) -> str:
        """Return an absolute signed address of one object."""
        signed = self.deps.storage.signed_url(bucket, key, expires_s=expires_s, name=name)
        return absolute_url(self.request, self.deps.settings, signed)

    def durations_s(self, workload: str) -> tuple[float, ...]:
        """Return run times of past jobs of a workload, asked for once a request."""
        if workload not in self._durations_s:
            self._durations_s[workload] = self.deps.store.durations_s(workload)
        return self._durations_s[workload]

    def _attempts(self, job_id: str) -> list[AttemptAnswer]:
        return [_attempt(attempt) for attempt in self.deps.store.attempts(job_id)]

    def _wait(self, job: Job, expected: Prediction | None, *, num_workers: int) -> Wait | None:
        if job.is_held:
            return None
        load = self.deps.store.queue_load(job.id)
        found = wait_of(load, expected, num_workers=num_workers)
        delay_s = job.run_at - self.deps.store.now()
        if found is None or delay_s <= found.seconds:
            return found
        return Wait(seconds=delay_s, low_s=delay_s, high_s=max(delay_s, found.high_s))

    def _progress(self, job: Job, expected: Prediction | None) -> Progress | None:
        if job.state is not JobState.RUNNING:
            return None
        told = job.progress or {}
        elapsed_s = max(0.0, self.deps.store.now() - (job.started_at or job.created_at))
        eta_s, interval = eta(
            elapsed_s=elapsed_s,
            told_s=_number(told.get("eta_s")),
            durations_s=self.durations_s(job.request.workload),
            told_interval=_told_interval(told),
            expected=expected,
        )
        percent = None
        if eta_s is not None:
            percent = min(99.0, round(100 * elapsed_s / max(elapsed_s + eta_s, 1e-9), 1))
        return Progress(
            phase=told.get("phase"),
            step=told.get("done"),
            num_steps=told.get("num_units"),
            percent=percent,
            eta_s=eta_s,
            eta_interval=interval,
        )

    def _preview(self, job: Job) -> str | None:
        preview = (job.progress or {}).get("preview")
        if job.state is not JobState.RUNNING or not isinstance(preview, Mapping):
            return None
        expires_s = self.deps.settings.storage.signed_url_s
        return self.url(str(preview["bucket"]), str(preview["key"]), expires_s=expires_s)

    def _links(self, job: Job) -> dict[str, str]:
        own = absolute_url(self.request, self.deps.settings, f"/api/v1/jobs/{job.id}")
        links = {"self": own, "events": f"{own}/events", "logs": f"{own}/logs"}
        if not job.is_terminal:
            links["cancel"] = f"{own}/cancel"
        elif job.state is not JobState.SUCCEEDED:
            links["retry"] = f"{own}/retry"
        return links


def eta(
    *,
    elapsed_s: float,
    told_s: float | None,
    durations_s: Sequence[float],
    told_interval: Interval | None = None,
    expected: Prediction | None = None,
) -> tuple[float | None, Interval | None]:
    """Return seconds to the end of a running job, and the range that holds most of them.

    Args:
        elapsed_s: how long it has been running.
        told_s: what the worker reckons from the job's own steps; it knows best.
        durations_s: run times of past jobs of the same workload.
        told_interval: of ``told_s``, as the worker reckons it.
        expected: of the whole job; serves while the worker has told nothing.
    """
    if told_s is not None and told_interval is not None:
        return round(told_s, 3), told_interval
    if told_s is None and expected is not None and expected.basis == "history":
        left_s, low_s, high_s = (
            round(max(0.0, seconds - elapsed_s), 3)
            for seconds in (expected.total_s, expected.low_s, expected.high_s)
        )
        return left_s, Interval(low_s=low_s, high_s=high_s)
    interval = None
    if len(durations_s) >= _MIN_RUNS:
        low_s, high_s = (quantile(durations_s, share) - elapsed_s for share in _INTERVAL)
        interval = Interval(low_s=round(max(0.0, low_s), 3), high_s=round(max(0.0, high_s), 3))
    if told_s is None:
        if not durations_s:
            return None, None
        told_s = max(0.0, statistics.median(durations_s) - elapsed_s)
    told_s = round(told_s, 3)
    if interval is not None:
        interval = Interval(low_s=min(interval.low_s, told_s), high_s=max(interval.high_s, told_s))
    return told_s, interval


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie, interpolated; needs one value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def file_name(asset: StoredAsset) -> str:
    """Return what a browser saves a file as."""
    suffix = asset.key.rpartition(".")[2]
    return f"{asset.job_id}-{asset.index}.{suffix}"


def keys_of(asset: StoredAsset) -> tuple[str, ...]:
    """Return every key that holds a file, its thumbnail or a copy under an old site's name."""
    names = ("published_key", "published_thumbnail_key")
    keys = (asset.key, asset.thumbnail_key, *(asset.facts.get(name) for name in names))
    return tuple(key for key in keys if isinstance(key, str))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _told_interval(told: Mapping[str, Any]) -> Interval | None:
    low_s, high_s = _number(told.get("eta_low_s")), _number(told.get("eta_high_s"))
    if low_s is None or high_s is None:
        return None
    return Interval(low_s=round(low_s, 3), high_s=round(high_s, 3))


def _ledger(job: Job) -> Ledger | None:
    timing = (job.result or {}).get("timing")
    if not isinstance(timing, Mapping):
        return None
    return Ledger(
        total_s=timing.get("total_s"),
        phases_s=dict(timing.get("phases_s") or {}),
        unattributed_s=timing.get("unattributed_s"),
        shared_s=timing.get("shared_s"),
        device_s=timing.get("device_s"),
        batched_with=timing.get("batched_with"),
        step_s=timing.get("step_s"),
        state=timing.get("state"),
        compile_state=timing.get("compile_state"),
    )


def _enhancement(job: Job) -> EnhancementAnswer | None:
    if not job.enhancement:
        return None
    names = EnhancementAnswer.model_fields
    return EnhancementAnswer(**{name: job.enhancement.get(name) for name in names})


def _own_rating(rating: Rating | None) -> OwnRating | None:
    if rating is None:
        return None
    return OwnRating(stars=rating.stars, tags=[tag.value for tag in rating.tags])


def _adjustments(job: Job) -> list[Adjustment]:
    return [
        Adjustment(code=str(note.get("code", "")), text=without_paths(str(note.get("text", ""))))
        for note in job.adjustments
    ]


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        number=attempt.token,
        worker_id=attempt.worker_id,
        started_at=iso(attempt.started_at),
        ended_at=iso_or_none(attempt.ended_at),
        outcome=attempt.outcome,
        error=error_detail(attempt.error),
    )
