"""What every transition leaves beside the job row: event, messages, charges, ended attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.model import EventKind
from ourvidz.jobs.rows import callbacks_of, from_json, to_json, to_json_or_none

# Between jobs of one submit: more than a float of today's Unix time resolves (0.24 us).
POSITION_STEP_S = 1e-6


def tell(tx: Transaction, row: Row, kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write the event whose number the transition has just given to ``row``, and its messages."""
    add_event(tx, row["id"], row["event_seq"], kind, data)
    send(tx, row, kind.value)


def add_event(
    tx: Transaction, job_id: str, seq: int, kind: EventKind, data: Mapping[str, Any]
) -> None:
    """Write one event. ``seq`` comes from the job's counter, raised in this transaction."""
    tx.run_last(
        "add_event", job_id=job_id, seq=seq, now=tx.now, kind=kind.value, data=to_json(data)
    )


def send(tx: Transaction, row: Row, event: str) -> None:
    """Leave a message for everybody who asked to be told of ``event``."""
    callbacks = [callback for callback in callbacks_of(row) if event in callback.events]
    if not callbacks:
        return
    assets = [
        {
            "id": asset["id"],
            "bucket": asset["bucket"],
            "key": asset["storage_key"],
            "thumbnail_key": asset["thumbnail_key"],
            "media_type": asset["media_type"],
        }
        for asset in tx.rows("assets_of_job", job_id=row["id"])
    ]
    facts = {
        "job_id": row["id"],
        "event": event,
        "at": tx.now,
        "state": row["state"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "result": from_json(row["result"]),
        "assets": assets,
        "error": from_json(row["error"]),
    }
    for callback in callbacks:
        payload = {**facts, "facts": dict(callback.facts)}
        tx.run_last(
            "add_message",
            job_id=row["id"],
            kind=callback.kind,
            url=callback.url,
            event=event,
            payload=to_json(payload),
            now=tx.now,
        )


def end_attempt(
    tx: Transaction,
    row: Row,
    *,
    outcome: str,
    device_s: float,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Close the attempt of a running job, and charge what it took in place of the prediction.

    The tenant's row comes last in every transaction that also holds a job's, so that no two wait
    for each other.
    """
    attempt = tx.row(
        "end_attempt",
        job_id=row["id"],
        token=row["token"],
        now=tx.now,
        outcome=outcome,
        error=to_json_or_none(error),
    )
    charged_s = attempt["charged_s"] if attempt else 0.0
    if row["key_id"] is not None and device_s > 0:
        tx.run_last("add_use", key_id=row["key_id"], now=tx.now, device_s=device_s)
    if device_s != charged_s:
        tx.run_last("charge_tenant", tenant=row["tenant"], device_s=device_s - charged_s)


def elapsed_s(tx: Transaction, row: Row) -> float:
    """Return how long a running job has run: what it took of a device, where nobody says."""
    return min(max(tx.now - row["started_at"], 0.0), row["deadline_s"])


def wake_tenants(tx: Transaction, tenants: Sequence[str]) -> None:
    """Lock tenants that are about to get jobs; who had none starts level with the least charged.

    Without that, a tenant that rested for a week would own the devices for a week.
    """
    for tenant in sorted(set(tenants)):
        tx.run("ensure_tenant", id=tenant)
        tx.row("lock_tenant", id=tenant)
        if tx.row("has_open_jobs", tenant=tenant) is None:
            least = tx.row("least_active_vtime")
            if least is not None:
                tx.run("raise_vtime", id=tenant, vtime=least["vtime"])


def end_position(tx: Transaction, priority: int) -> float:
    """Return the position behind every queued job of a band: the time, unless some lie ahead."""
    last = (tx.row("last_position", priority=priority) or {})["position"]
    return tx.now if last is None else max(tx.now, last + POSITION_STEP_S)
