"""What people do to jobs: cancel, retry, move, mark, pause, resume, delete."""

from __future__ import annotations

from collections.abc import Sequence

from ourvidz.core.errors import (
    Cancelled,
    IllegalState,
    InvalidRequest,
    NotFound,
    OurVidzError,
)
from ourvidz.core.job import JobState
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.history import POSITION_STEP_S, end_position, tell, wake_tenants
from ourvidz.jobs.model import PRIORITY_FRONT, PRIORITY_MAX, PRIORITY_MIN, EventKind, Job
from ourvidz.jobs.rows import job_of, to_json

_SPACE_S = 1.0


def visible(row: Row | None, what: str, name: str, tenant: str | None) -> Row:
    """Return a row that is there and the tenant's own.

    Raises:
        NotFound: for both, so that nobody learns of others' jobs.
    """
    if row is None or (tenant is not None and row["tenant"] != tenant):
        raise NotFound(f"There is no {what} {name!r}.", param=f"{what}_id")
    return row


def _locked(tx: Transaction, job_id: str, tenant: str | None) -> Row:
    return visible(tx.row("lock_job", id=job_id), "job", job_id, tenant)


def cancel(tx: Transaction, job_id: str, tenant: str | None) -> Job:
    """See ``JobStore.cancel``."""
    row = _locked(tx, job_id, tenant)
    if row["state"] == JobState.QUEUED:
        error = Cancelled().to_dict()
        done = tx.row("cancel_queued", id=job_id, now=tx.now, error=to_json(error))
        assert done is not None
        tell(tx, done, EventKind.CANCELLED, {"error": error})
        return job_of(done)
    if row["state"] == JobState.RUNNING and not row["cancel_requested"]:
        asked = tx.row("request_cancel", id=job_id, now=tx.now)
        assert asked is not None
        tell(tx, asked, EventKind.CANCEL_REQUESTED, {"token": row["token"]})
        return job_of(asked)
    return job_of(row)


def retry(tx: Transaction, job_id: str, tenant: str | None) -> Job:
    """See ``JobStore.retry``."""
    row = _locked(tx, job_id, tenant)
    if row["state"] not in (JobState.FAILED, JobState.CANCELLED):
        raise _illegal(row, "be retried", "Only failed and cancelled jobs can.")
    wake_tenants(tx, [row["tenant"]])
    queued = tx.row("retry_job", id=job_id, now=tx.now, position=end_position(tx, row["priority"]))
    assert queued is not None
    tell(tx, queued, EventKind.REQUEUED, {"why": "retry", "run_at": tx.now})
    return job_of(queued)


def delete(tx: Transaction, job_id: str, tenant: str | None) -> None:
    """See ``JobStore.delete_job``. Messages that nobody got yet stay until they are settled."""
    row = _locked(tx, job_id, tenant)
    if not job_of(row).is_terminal:
        raise _illegal(row, "be deleted", "Cancel it first.")
    tx.run("delete_settled_messages", id=job_id)
    tx.run("delete_job", id=job_id)
    tx.run("add_deletion", id=job_id, tenant=row["tenant"], now=tx.now)


def delete_many(
    tx: Transaction, job_ids: Sequence[str], tenant: str | None
) -> dict[str, OurVidzError]:
    """See ``JobStore.delete_jobs``."""
    kept: dict[str, OurVidzError] = {}
    for job_id in sorted(job_ids):  # all in one order, so that none waits for another for ever
        try:
            delete(tx, job_id, tenant)
        except (NotFound, IllegalState) as error:  # before anything was written
            kept[job_id] = error
    return kept


def _illegal(row: Row, verb: str, hint: str) -> IllegalState:
    return IllegalState(f"Job {row['id']!r} is {row['state']} and can't {verb}.", hint=hint)


def move(
    tx: Transaction,
    job_id: str,
    *,
    tenant: str | None,
    front: bool,
    after: str | None,
    before: str | None,
    priority: int | None,
) -> Job:
    """See ``JobStore.move``."""
    if sum((front, after is not None, before is not None, priority is not None)) != 1:
        raise InvalidRequest(
            "A move takes exactly one of front, after, before and priority.", param="move"
        )
    row = _locked(tx, job_id, tenant)
    if row["state"] != JobState.QUEUED:
        raise _illegal(row, "be moved", "Only queued jobs can.")
    if front:
        band, position = PRIORITY_FRONT, _front_position(tx)
    elif priority is not None:
        band, position = _checked_priority(priority), row["position"]
    else:
        other_id = after if after is not None else before
        assert other_id is not None
        band, position = _beside(tx, row, other_id, tenant, is_after=after is not None)
    moved = tx.row("move_job", id=job_id, priority=band, position=position, now=tx.now)
    assert moved is not None
    tell(tx, moved, EventKind.MOVED, {"priority": band, "position": position})
    return job_of(moved)


def _front_position(tx: Transaction) -> float:
    first = (tx.row("first_position", priority=PRIORITY_FRONT) or {})["position"]
    return tx.now if first is None else first - _SPACE_S


def _checked_priority(priority: int) -> int:
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise InvalidRequest(
            f"priority {priority!r} is out of range.",
            param="priority",
            hint=f"Choose {PRIORITY_MIN} to {PRIORITY_MAX}, or front.",
        )
    return priority


def _beside(
    tx: Transaction, row: Row, other_id: str, tenant: str | None, *, is_after: bool
) -> tuple[int, float]:
    if other_id == row["id"]:
        raise InvalidRequest("A job can't be moved beside itself.", param="job_id")
    other = _queued_other(tx, other_id, tenant)
    position = _between(tx, row, other, is_after=is_after)
    if position is None:  # no float between the two is left
        tx.run("renumber_band", priority=other["priority"], now=tx.now)
        other = _queued_other(tx, other_id, tenant)
        position = _between(tx, row, other, is_after=is_after)
        assert position is not None
    return other["priority"], position


def _queued_other(tx: Transaction, other_id: str, tenant: str | None) -> Row:
    other = _locked(tx, other_id, tenant)
    if other["state"] != JobState.QUEUED:
        raise _illegal(other, "be a neighbour", "Name a queued job.")
    return other


def _between(tx: Transaction, row: Row, other: Row, *, is_after: bool) -> float | None:
    neighbour = tx.row(
        "position_after" if is_after else "position_before",
        priority=other["priority"],
        position=other["position"],
        id=other["id"],
        moved=row["id"],
    )
    edge: float = other["position"]
    if neighbour is None:
        return edge + POSITION_STEP_S if is_after else edge - _SPACE_S
    middle = (edge + neighbour["position"]) / 2
    low, high = sorted((edge, neighbour["position"]))
    return middle if low < middle < high else None


def favourite(tx: Transaction, job_id: str, *, is_favourite: bool, tenant: str | None) -> Job:
    """See ``JobStore.favourite``."""
    row = _locked(tx, job_id, tenant)
    if bool(row["is_favourite"]) == is_favourite:
        return job_of(row)
    marked = tx.row("mark_job", id=job_id, is_favourite=int(is_favourite), now=tx.now)
    assert marked is not None
    return job_of(marked)


def pause(tx: Transaction, scope: str) -> None:
    """See ``JobStore.pause``."""
    tx.run("add_pause", scope=scope, now=tx.now)
    tx.run("hold_paused", now=tx.now)


def resume(tx: Transaction, scope: str) -> None:
    """See ``JobStore.resume``."""
    tx.run("drop_pause", scope=scope)
    tx.run("unhold", now=tx.now)
