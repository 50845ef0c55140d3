"""Jobs on their way in: deduplication, quotas, insertion. One transaction."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ourvidz.core.errors import IdempotencyConflict, QuotaExceeded
from ourvidz.core.failpoints import reach
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.history import POSITION_STEP_S, end_position, wake_tenants
from ourvidz.jobs.model import Dedup, EventKind, Job, NewJob, Quotas, Submission
from ourvidz.jobs.rows import from_json, job_of, new_job_params, to_json

DEDUP_S = 24 * 3600.0
# A job of the old queues may lie in a list for as long as the bridge is down.
LEGACY_PREFIX = "legacy:"
LEGACY_DEDUP_S = 30 * 24 * 3600.0
_DAY_S = 24 * 3600.0
_QUEUE_RETRY_S = 30.0


def submit(
    tx: Transaction, jobs: Sequence[NewJob], dedup: Dedup | None, quotas: Quotas | None
) -> Submission:
    """See ``JobStore.submit``."""
    wake_tenants(tx, [job.tenant for job in jobs])
    if dedup is not None:
        earlier = _earlier(tx, jobs[0], dedup)
        if earlier:
            return Submission(jobs=earlier, is_replay=True)
        _remember(tx, jobs, dedup)
    if quotas is not None:
        _check_quotas(tx, jobs, quotas)
    _insert(tx, jobs)
    reach("mid_commit")  # all is written, nothing is committed
    return Submission(jobs=_read(tx, [job.id for job in jobs]), is_replay=False)


def _earlier(tx: Transaction, job: NewJob, dedup: Dedup) -> tuple[Job, ...]:
    found: Row | None = None
    whose = {"tenant": job.tenant, "key_id": job.key_id or ""}
    if dedup.key is not None:
        found = tx.row("submission_by_key", **whose, dedup_key=dedup.key)
        if found is not None and found["created_at"] < tx.now - _kept_s(dedup.key):
            tx.run("drop_submission", id=found["id"])
            return ()
        if found is not None and found["body_hash"] != dedup.body_hash:
            raise IdempotencyConflict(
                param="Idempotency-Key", hint="Take a new key for every new request."
            )
    elif dedup.retried_within_s is not None and dedup.body_hash:
        since = tx.now - dedup.retried_within_s
        found = tx.row("submission_by_body", **whose, body_hash=dedup.body_hash, since=since)
    if found is None:
        return ()
    jobs = _read(tx, from_json(found["job_ids"]))
    if not jobs:  # all of them were deleted since
        tx.run("drop_submission", id=found["id"])
    return jobs


def _kept_s(key: str) -> float:
    return LEGACY_DEDUP_S if key.startswith(LEGACY_PREFIX) else DEDUP_S


def _remember(tx: Transaction, jobs: Sequence[NewJob], dedup: Dedup) -> None:
    if dedup.key is None and not dedup.body_hash:
        return
    tx.run(
        "add_submission",
        tenant=jobs[0].tenant,
        key_id=jobs[0].key_id or "",
        dedup_key=dedup.key,
        body_hash=dedup.body_hash,
        job_ids=to_json([job.id for job in jobs]),
        now=tx.now,
    )


def _check_quotas(tx: Transaction, jobs: Sequence[NewJob], quotas: Quotas) -> None:
    key_id = jobs[0].key_id
    if key_id is None:
        return
    if quotas.queued_jobs is not None:
        queued = (tx.row("queued_of_key", key_id=key_id) or {})["n"]
        if queued + len(jobs) > quotas.queued_jobs:
            raise QuotaExceeded(
                f"{queued} jobs of this key wait, {len(jobs)} more would exceed its "
                f"{quotas.queued_jobs}.",
                hint="Wait until some of them have started.",
                retry_after_s=_QUEUE_RETRY_S,
            )
    if quotas.device_seconds_per_day is not None:
        _check_device_seconds(tx, key_id, jobs, quotas.device_seconds_per_day)


def _check_device_seconds(
    tx: Transaction, key_id: str, jobs: Sequence[NewJob], limit_s: float
) -> None:
    used = tx.row("device_seconds", key_id=key_id, since=tx.now - _DAY_S) or {}
    queued = tx.row("queued_seconds_of_key", key_id=key_id) or {}
    wanted_s = math.fsum((queued["predicted_s"], *(job.predicted_s for job in jobs)))
    if used["device_s"] + wanted_s <= limit_s:
        return
    first_at = used["first_at"]
    raise QuotaExceeded(
        f"This key used {used['device_s']:.0f} of its {limit_s:.0f} device seconds within 24 "
        f"hours; this and what waits would take about {wanted_s:.0f} more.",
        hint="Ask for less, or wait until the oldest jobs are a day old.",
        retry_after_s=None if first_at is None else max(first_at + _DAY_S - tx.now, 1.0),
    )


def _insert(tx: Transaction, jobs: Sequence[NewJob]) -> None:
    paused = {row["scope"] for row in tx.rows("paused_scopes")}
    starts = {band: end_position(tx, band) for band in {job.priority for job in jobs}}
    rows = [
        new_job_params(
            job,
            now=tx.now,
            position=starts[job.priority] + index * POSITION_STEP_S,
            held="all" in paused or job.request.job_type in paused,
        )
        for index, job in enumerate(jobs)
    ]
    tx.run_many("add_job", rows)
    events = [
        {
            "job_id": job.id,
            "seq": 1,
            "now": tx.now,
            "kind": EventKind.SUBMITTED.value,
            "data": to_json({"source": job.source.value, "priority": job.priority}),
        }
        for job in jobs
    ]
    tx.run_many("add_event", events)


def _read(tx: Transaction, ids: Sequence[str]) -> tuple[Job, ...]:
    rows = {row["id"]: row for row in tx.rows("get_jobs", ids=list(ids))}
    return tuple(job_of(rows[job_id]) for job_id in ids if job_id in rows)
