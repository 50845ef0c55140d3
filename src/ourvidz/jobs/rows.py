"""Rows to values and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ourvidz.core.job import JobState
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.jobs.database import Row
from ourvidz.jobs.model import (
    ApiKey,
    Attempt,
    Callback,
    CameJob,
    Event,
    EventKind,
    Job,
    JobKind,
    Json,
    NewJob,
    OutboxItem,
    Quotas,
    Source,
    StoredAsset,
    StoredRecord,
    WaitingClass,
    WorkerCommand,
    WorkerInfo,
)


def to_json(value: Any) -> str:
    """Return JSON text that both stores take: ASCII, so no surrogate and no NUL remains."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=_plain)


def to_json_or_none(value: Any) -> str | None:
    """Return JSON text, or None for None."""
    return None if value is None else to_json(value)


def from_json(text: str | None) -> Any:
    """Return what ``to_json`` wrote; None for None."""
    return None if text is None else json.loads(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise TypeError(f"{type(value).__name__} is no JSON value")


def fold(text: str) -> str:
    """Return text as searches compare it: case folded, storable in both databases."""
    return text.casefold().replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def lane_of(kind: JobKind, request: GenerationRequest) -> str:
    """Return the lane that a job waits in: its kind and the model that it needs first."""
    model = request.model
    if kind is JobKind.ENHANCE and request.enhancement is not None:
        model = request.enhancement.model
    return f"{kind.value}:{model}"


def new_job_params(job: NewJob, *, now: float, position: float, held: bool) -> dict[str, Any]:
    """Return the columns of a job that enters the store."""
    request = job.request
    return {
        "id": job.id,
        "tenant": job.tenant,
        "key_id": job.key_id,
        "kind": job.kind.value,
        "source": job.source.value,
        "job_type": request.job_type,
        "media_type": request.media_type.value,
        "workload": request.workload,
        "batch_shape": request.batch_shape if job.kind is JobKind.GENERATE else None,
        "lane": lane_of(job.kind, request),
        "prompt_folded": fold(request.prompt),
        "request": to_json(request.to_dict()),
        "priority": job.priority,
        "position": position,
        "created_at": now,
        "run_at": now + max(job.delay_s, 0.0),
        "max_errors": job.max_errors,
        "held": int(held),
        "delayed": int(job.delay_s > 0),
        "predicted_s": job.predicted_s,
        "deadline_s": job.deadline_s,
        "adjustments": to_json(job.adjustments),
        "batch_id": job.batch_id,
        "metadata": to_json(job.metadata),
        "callbacks": to_json([_callback_to_dict(callback) for callback in job.callbacks]),
        "legacy": to_json_or_none(job.legacy),
    }


def _callback_to_dict(callback: Callback) -> dict[str, Any]:
    return {
        "kind": callback.kind,
        "url": callback.url,
        "events": list(callback.events),
        "facts": dict(callback.facts),
    }


def callbacks_of(row: Row) -> tuple[Callback, ...]:
    """Return whom to tell about a job."""
    return tuple(
        Callback(
            kind=item["kind"],
            url=item["url"],
            events=tuple(item["events"]),
            facts=item["facts"],
        )
        for item in from_json(row["callbacks"])
    )


def job_of(row: Row) -> Job:
    """Return a row of ``job``."""
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        key_id=row["key_id"],
        kind=JobKind(row["kind"]),
        source=Source(row["source"]),
        request=GenerationRequest.from_dict(from_json(row["request"])),
        state=JobState(row["state"]),
        priority=row["priority"],
        position=row["position"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        lease_until=row["lease_until"],
        worker_id=row["worker_id"],
        token=row["token"],
        errors=row["errors"],
        crashes=row["crashes"],
        max_errors=row["max_errors"],
        cancel_requested=bool(row["cancel_requested"]),
        is_held=bool(row["held"]),
        predicted_s=row["predicted_s"],
        deadline_s=row["deadline_s"],
        event_seq=row["event_seq"],
        progress=from_json(row["progress"]),
        enhancement=from_json(row["enhancement"]),
        adjustments=tuple(from_json(row["adjustments"])),
        result=from_json(row["result"]),
        error=from_json(row["error"]),
        batch_id=row["batch_id"],
        metadata=from_json(row["metadata"]),
        callbacks=callbacks_of(row),
        legacy=from_json(row["legacy"]),
        is_favourite=bool(row["is_favourite"]),
        changed_at=row["changed_at"],
    )


def event_of(row: Row) -> Event:
    """Return a row of ``job_event``."""
    return Event(
        job_id=row["job_id"],
        seq=row["seq"],
        at=row["at"],
        kind=EventKind(row["kind"]),
        data=from_json(row["data"]),
    )


def attempt_of(row: Row) -> Attempt:
    """Return a row of ``attempt``."""
    return Attempt(
        job_id=row["job_id"],
        token=row["token"],
        worker_id=row["worker_id"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outcome=row["outcome"],
        error=from_json(row["error"]),
    )


def record_of(row: Row) -> StoredRecord:
    """Return a row of ``perf_record`` with what it shares with others."""
    shared: Json = {} if row["shared"] is None else from_json(row["shared_body"])
    return StoredRecord(
        id=row["id"],
        job_id=row["job_id"],
        job_type=row["job_type"],
        workload=row["workload"],
        at=row["at"],
        body={**shared, **from_json(row["body"])},
    )


def asset_of(row: Row) -> StoredAsset:
    """Return a row of ``asset``."""
    return StoredAsset(
        id=row["id"],
        job_id=row["job_id"],
        tenant=row["tenant"],
        index=row["item"],
        bucket=row["bucket"],
        key=row["storage_key"],
        thumbnail_key=row["thumbnail_key"],
        media_type=row["media_type"],
        num_bytes=row["num_bytes"],
        facts=from_json(row["facts"]),
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
    )


def worker_of(row: Row) -> WorkerInfo:
    """Return a row of ``worker``."""
    return WorkerInfo(
        id=row["id"],
        host=row["host"],
        pid=row["pid"],
        device=row["device"],
        state=row["state"],
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        models=tuple(from_json(row["models"])),
        resident=from_json(row["resident"]),
        jobs=tuple(from_json(row["jobs"])),
        facts=from_json(row["facts"]),
    )


def worker_params(worker: WorkerInfo) -> dict[str, Any]:
    """Return the columns of a worker, but when it was seen."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "device": worker.device,
        "state": worker.state,
        "started_at": worker.started_at,
        "models": to_json(worker.models),
        "resident": to_json(worker.resident),
        "jobs": to_json(worker.jobs),
        "facts": to_json(worker.facts),
    }


def waiting_class_of(row: Row) -> WaitingClass:
    """Return a row of ``waiting_classes``."""
    return WaitingClass(
        kind=JobKind(row["kind"]),
        media_type=MediaType(row["media_type"]),
        num_jobs=row["num_jobs"],
        num_overdue=row["num_overdue"],
        predicted_s=row["predicted_s"],
    )


def came_job_of(row: Row) -> CameJob:
    """Return a row of ``newest_classes``."""
    return CameJob(
        kind=JobKind(row["kind"]),
        media_type=MediaType(row["media_type"]),
        created_at=row["created_at"],
        predicted_s=row["predicted_s"],
    )


def command_of(row: Row) -> WorkerCommand:
    """Return a row of ``worker_command``."""
    return WorkerCommand(
        id=row["id"], worker_id=row["worker_id"], verb=row["verb"], model=row["model"]
    )


def message_of(row: Row) -> OutboxItem:
    """Return a row of ``outbox``."""
    return OutboxItem(
        id=row["id"],
        job_id=row["job_id"],
        kind=row["kind"],
        url=row["url"],
        event=row["event"],
        payload=from_json(row["payload"]),
        created_at=row["created_at"],
        tries=row["tries"],
    )


def key_of(row: Row) -> ApiKey:
    """Return a row of ``api_key``."""
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=tuple(from_json(row["scopes"])),
        quotas=Quotas(**from_json(row["quotas"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


def key_params(key: ApiKey) -> dict[str, Any]:
    """Return the columns of a key, but its hash."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": to_json(key.scopes),
        "quotas": to_json(asdict(key.quotas)),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def texts(values: Sequence[Any]) -> list[str]:
    """Return enumeration members or texts as a list of texts."""
    return [str(value) for value in values]
