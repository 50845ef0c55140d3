"""What workers tell of running jobs, each guarded by the token; and the reaper."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.catalog.rollouts import note_of
from ourvidz.core.errors import Cancelled, Crashed
from ourvidz.core.job import JobState
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import settings_without_words, workload_facts
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.history import add_event, elapsed_s, end_attempt, tell
from ourvidz.jobs.model import Beat, BeatReply, EventKind, JobKind, Json, NewAsset, Source
from ourvidz.jobs.rows import from_json, to_json

_SHARED = ("environment", "request")  # of a performance record: long, and the same in many
_LOST = BeatReply(is_alive=False, cancel_requested=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a succeeded attempt leaves behind."""

    result: Json
    assets: Sequence[NewAsset]
    adjustments: Sequence[Json]
    record: Json | None
    device_s: float


def beat(
    tx: Transaction, worker_id: str, beats: Sequence[Beat], *, lease_s: float, with_progress: bool
) -> dict[str, BeatReply]:
    """See ``JobStore.beat``. Without progress nothing grows: a full store renews leases too."""
    replies: dict[str, BeatReply] = {}
    for item in sorted(beats, key=lambda item: item.job_id):
        progress = item.progress if with_progress else None
        replies[item.job_id] = _renew(tx, item, progress, tx.now + lease_s)
    tx.run("see_worker", id=worker_id, now=tx.now)
    return replies


def _renew(tx: Transaction, item: Beat, progress: Json | None, lease_until: float) -> BeatReply:
    whose: dict[str, Any] = {"id": item.job_id, "token": item.token, "lease_until": lease_until}
    if progress is None:
        row = tx.row("renew_lease", **whose)
    else:
        row = tx.row("renew_lease_with_progress", **whose, progress=to_json(progress), now=tx.now)
        if row is not None:
            add_event(tx, item.job_id, row["event_seq"], EventKind.PROGRESS, progress)
    if row is None:
        return _LOST
    return BeatReply(is_alive=True, cancel_requested=bool(row["cancel_requested"]))


def append_event(tx: Transaction, job_id: str, token: int, kind: EventKind, data: Json) -> bool:
    """See ``JobStore.add_event``."""
    row = tx.row("next_event_seq", id=job_id, token=token, now=tx.now)
    if row is not None:
        add_event(tx, job_id, row["event_seq"], kind, data)
    return row is not None


def set_enhancement(tx: Transaction, job_id: str, token: int, enhancement: Json) -> bool:
    """See ``JobStore.set_enhancement``."""
    told = to_json(enhancement)
    row = tx.row("set_enhancement", id=job_id, token=token, enhancement=told, now=tx.now)
    if row is not None:
        add_event(tx, job_id, row["event_seq"], EventKind.ENHANCED, enhancement)
    return row is not None


def finish(tx: Transaction, job_id: str, token: int, finished: Finished) -> bool:
    """See ``JobStore.finish``. Saying it again is answered as the first time was."""
    row = tx.row("lock_attempt", id=job_id, token=token)
    if row is None:
        return tx.row("is_published_attempt", id=job_id, token=token) is not None
    if row["cancel_requested"]:
        _cancel(tx, row, device_s=finished.device_s)
        return False
    _add_assets(tx, row, finished.assets)
    adjustments = [*from_json(row["adjustments"]), *finished.adjustments]
    done = tx.row(
        "succeed",
        id=job_id,
        token=token,
        now=tx.now,
        result=to_json(finished.result),
        adjustments=to_json(adjustments),
    )
    assert done is not None
    _keep_record(tx, row, finished.record)
    data = {"token": token, "assets": [asset.id for asset in finished.assets]}
    tell(tx, done, EventKind.SUCCEEDED, data)
    end_attempt(tx, done, outcome="succeeded", device_s=finished.device_s)
    return True


def _keep_record(tx: Transaction, row: Row, record: Json | None) -> None:
    if record is None:
        return
    shared = {name: record[name] for name in _SHARED if record.get(name)}
    tx.run(
        "add_perf_record",
        job_id=row["id"],
        job_type=row["job_type"],
        workload=row["workload"],
        now=tx.now,
        body=to_json({name: value for name, value in record.items() if name not in shared}),
        shared=_keep_shared(tx, shared) if shared else None,
    )


def _keep_shared(tx: Transaction, shared: Json) -> str:
    """Keep what many records say alike once, named by its content."""
    body = to_json(shared)
    digest = hashlib.sha256(body.encode()).hexdigest()[:32]
    tx.run("add_perf_shared", id=digest, body=body)
    return digest


def _add_assets(tx: Transaction, row: Row, assets: Sequence[NewAsset]) -> None:
    tx.run_many(
        "add_asset",
        [
            {
                "id": asset.id,
                "job_id": row["id"],
                "tenant": row["tenant"],
                "item": asset.index,
                "bucket": asset.bucket,
                "storage_key": asset.key,
                "thumbnail_key": asset.thumbnail_key,
                "media_type": asset.media_type,
                "num_bytes": asset.num_bytes,
                "facts": to_json(asset.facts),
                "now": tx.now,
            }
            for asset in assets
        ],
    )


def fail(
    tx: Transaction,
    job_id: str,
    token: int,
    *,
    error: Json,
    retry_in_s: float | None,
    device_s: float,
    record: Json | None = None,
) -> bool:
    """See ``JobStore.fail``. A job that was to be cancelled is cancelled."""
    row = tx.row("lock_attempt", id=job_id, token=token)
    if row is None:
        return False
    if row["cancel_requested"]:
        _cancel(tx, row, device_s=device_s)
        return True
    errors = row["errors"] + 1
    if retry_in_s is None or errors >= row["max_errors"]:
        _fail(tx, row, outcome="failed", error=error, device_s=device_s, errors=errors)
        _keep_record(tx, row, record)
    else:
        _requeue(
            tx,
            row,
            outcome="failed",
            why="error",
            device_s=device_s,
            error=error,
            retry_in_s=max(retry_in_s, 0.0),
            errors=errors,
        )
    return True


def confirm_cancel(tx: Transaction, job_id: str, token: int, *, device_s: float) -> bool:
    """See ``JobStore.confirm_cancel``."""
    row = tx.row("lock_attempt", id=job_id, token=token)
    if row is None or not row["cancel_requested"]:
        return False
    _cancel(tx, row, device_s=device_s)
    return True


def release(tx: Transaction, job_id: str, token: int, *, reason: str) -> bool:
    """See ``JobStore.release``. A job that was to be cancelled is cancelled."""
    row = tx.row("lock_attempt", id=job_id, token=token)
    if row is None:
        return False
    if row["cancel_requested"]:
        _cancel(tx, row, device_s=elapsed_s(tx, row))
    else:
        _requeue(tx, row, outcome="released", why=reason, device_s=elapsed_s(tx, row))
    return True


def reap_one(tx: Transaction, job_id: str, token: int, *, max_crashes: int) -> bool:
    """Take a job back whose lease has ended; False if somebody else did or the lease lives."""
    row = tx.row("lock_expired", id=job_id, token=token, now=tx.now)
    if row is None:
        return False
    device_s = elapsed_s(tx, row)
    crashes = row["crashes"] + 1
    if row["cancel_requested"]:
        _cancel(tx, row, device_s=device_s, outcome="crashed", crashes=crashes)
    elif row["source"] == Source.CLI:  # nobody else knows where its files were to go
        error = Crashed(
            "The process that ran this job was killed or stopped.",
            hint="Run it again; the job may need more memory than there is.",
        ).to_dict()
        _fail(tx, row, outcome="crashed", error=error, device_s=device_s, crashes=crashes)
        _keep_record(tx, row, _record_of_crash(row))
    elif crashes >= max_crashes:
        error = Crashed(
            f"The worker died or lost touch {crashes} times with this job.",
            hint="Look at the worker's log; the job may need more memory than there is.",
        ).to_dict()
        _fail(tx, row, outcome="crashed", error=error, device_s=device_s, crashes=crashes)
        _keep_record(tx, row, _record_of_crash(row))
    else:
        _requeue(tx, row, outcome="crashed", why="crash", device_s=device_s, crashes=crashes)
    return True


def _record_of_crash(row: Row) -> Json | None:
    """Return the record of a job whose worker can't write one any more."""
    if row["kind"] != JobKind.GENERATE:
        return None
    request = GenerationRequest.from_dict(from_json(row["request"]))
    return {
        "job_type": request.job_type,
        "workload": request.workload,
        "request": workload_facts(request),
        "settings": settings_without_words(request) | note_of(from_json(row["metadata"]) or {}),
        "source": row["source"],
        "is_success": False,
        "failure": Crashed.code,
    }


def _cancel(
    tx: Transaction,
    row: Row,
    *,
    device_s: float,
    outcome: str = "cancelled",
    crashes: int | None = None,
) -> None:
    error = Cancelled().to_dict()
    _end(tx, row, JobState.CANCELLED, error=error, crashes=crashes)
    end_attempt(tx, row, outcome=outcome, device_s=device_s)


def _fail(
    tx: Transaction,
    row: Row,
    *,
    outcome: str,
    error: Json,
    device_s: float,
    errors: int | None = None,
    crashes: int | None = None,
) -> None:
    _end(tx, row, JobState.FAILED, error=error, errors=errors, crashes=crashes)
    end_attempt(tx, row, outcome=outcome, device_s=device_s, error=error)


def _end(
    tx: Transaction,
    row: Row,
    state: JobState,
    *,
    error: Json,
    errors: int | None = None,
    crashes: int | None = None,
) -> None:
    done = tx.row(
        "end_job",
        id=row["id"],
        token=row["token"],
        now=tx.now,
        state=state.value,
        error=to_json(error),
        errors=row["errors"] if errors is None else errors,
        crashes=row["crashes"] if crashes is None else crashes,
    )
    assert done is not None
    data: Mapping[str, Any] = {"token": row["token"], "error": error}
    tell(tx, done, EventKind(state.value), data)


def _requeue(
    tx: Transaction,
    row: Row,
    *,
    outcome: str,
    why: str,
    device_s: float,
    error: Json | None = None,
    retry_in_s: float = 0.0,
    errors: int | None = None,
    crashes: int | None = None,
) -> None:
    run_at = tx.now + retry_in_s if retry_in_s > 0 else row["run_at"]
    done = tx.row(
        "requeue",
        id=row["id"],
        token=row["token"],
        now=tx.now,
        run_at=run_at,
        delayed=int(retry_in_s > 0),
        error=row["error"] if error is None else to_json(error),
        errors=row["errors"] if errors is None else errors,
        crashes=row["crashes"] if crashes is None else crashes,
    )
    assert done is not None
    data: dict[str, Any] = {"token": row["token"], "why": why, "run_at": run_at}
    if error is not None:
        data["error"] = error
    tell(tx, done, EventKind.REQUEUED, data)
    end_attempt(tx, row, outcome=outcome, device_s=device_s, error=error)
