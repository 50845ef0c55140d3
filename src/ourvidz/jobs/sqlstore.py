"""The job store over any ``Database``: one semantics for SQLite and Postgres."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.core.errors import InvalidRequest, NotFound, OurVidzError, StoreFull
from ourvidz.core.opinion import Choice, Defect
from ourvidz.jobs import claiming, people, ratings, running, submitting
from ourvidz.jobs.changes import Changes, changes_since
from ourvidz.jobs.claiming import Wishes
from ourvidz.jobs.database import Database, Row, Transaction
from ourvidz.jobs.model import (
    ApiKey,
    Attempt,
    Beat,
    BeatReply,
    CameJob,
    Dedup,
    Demand,
    Event,
    EventKind,
    Job,
    JobFilter,
    Json,
    NewAsset,
    NewJob,
    OutboxItem,
    QueueCounts,
    QueuedWork,
    QueueLoad,
    Quotas,
    StoredAsset,
    StoredRecord,
    Submission,
    WaitingClass,
    WorkerCommand,
    WorkerInfo,
)
from ourvidz.jobs.people import visible
from ourvidz.jobs.ratings import BlindTest, Rating, Vote
from ourvidz.jobs.rows import (
    asset_of,
    attempt_of,
    came_job_of,
    command_of,
    event_of,
    fold,
    from_json,
    job_of,
    key_of,
    key_params,
    message_of,
    record_of,
    texts,
    to_json,
    waiting_class_of,
    worker_of,
    worker_params,
)

_PURGE_EVERY_S = 60.0
_USE_KEPT_S = 32 * 24 * 3600.0
_SETTLED_KEPT_S = 7 * 24 * 3600.0
_DELETION_KEPT_S = 3600.0  # longer than anyone needs who looks every second
_WORKER_KEPT_S = 24 * 3600.0  # since its last sign of life
_NOTE_USE_EVERY_S = 60.0
_MOST_COUNTED = 8  # jobs of one lane, of what comes
_NEWEST_JOBS = 200  # that tell which models are used
_DELETED_AT_ONCE = 50  # jobs, so that others come to write in between


class SqlStore:
    """See ``JobStore``, whose methods these are."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._purged_at: float | None = None
        self._is_busy = False  # the last claim found a job

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self._db.close()

    def migrate(self) -> None:
        """Create the schema or bring it up to date. Idempotent; safe from several processes."""
        self._db.migrate()

    def version(self) -> int | None:
        """Return a number that is another one once anybody has written to the store."""
        return self._db.version()

    def now(self) -> float:
        """Return the store's clock, in Unix seconds."""
        return self._db.read(lambda tx: tx.now)

    # Submitting and reading

    def submit(
        self,
        jobs: Sequence[NewJob],
        *,
        dedup: Dedup | None = None,
        quotas: Quotas | None = None,
    ) -> Submission:
        """Store all of ``jobs`` or none; they are durable when this returns."""
        if not jobs:
            raise InvalidRequest("No jobs were given.", param="jobs")
        return self._db.write(lambda tx: submitting.submit(tx, jobs, dedup, quotas), admits=True)

    def submit_and_claim(self, job: NewJob, *, worker_id: str, lease_s: float) -> Job:
        """Store ``job`` as running on ``worker_id`` from the start: no other can take it."""

        def body(tx: Transaction) -> Job:
            submitting.submit(tx, [job], None, None)
            return claiming.claim_own(tx, job.id, worker_id, lease_s=lease_s)

        return self._db.write(body, admits=True)

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Return a job. Raises NotFound: no such job, or another tenant's."""
        row = self._db.read(lambda tx: tx.row("get_job", id=job_id))
        return job_of(visible(row, "job", job_id, tenant))

    def list_jobs(
        self,
        where: JobFilter,
        *,
        limit: int = 50,
        after: str | None = None,
        newest_first: bool = True,
    ) -> tuple[Job, ...]:
        """Return jobs by creation (ids sort so), those beyond the id ``after``."""
        clauses, params = _conditions(where)
        if after is not None:
            clauses.append("id < :after" if newest_first else "id > :after")
            params["after"] = after
        order = "ORDER BY id DESC" if newest_first else "ORDER BY id"
        text = f"{_where(clauses)} {order}"
        name = "list_favourites" if where.is_favourite else "list_jobs"
        rows = self._db.read(lambda tx: tx.rows(name, where=text, limit=limit, **params))
        return tuple(job_of(row) for row in rows)

    def jobs_of(self, job_ids: Sequence[str], *, tenant: str | None = None) -> Mapping[str, Job]:
        """Return those of the jobs that are there and the tenant's own, by id."""
        if not job_ids:
            return {}
        rows = self._db.read(lambda tx: tx.rows("get_jobs", ids=list(job_ids)))
        return {row["id"]: job_of(row) for row in rows if tenant in (None, row["tenant"])}

    def changes(self, *, since: float, after: int | None) -> Changes:
        """Return what changed lately, cheaply however many jobs there are."""
        return self._db.read(lambda tx: changes_since(tx, since=since, after=after))

    def queue_position(self, job_id: str) -> int | None:
        """Return how many queued jobs come before it by band and position; None if not queued."""

        def body(tx: Transaction) -> int | None:
            row = visible(tx.row("get_job", id=job_id), "job", job_id, None)
            if row["state"] != "queued":
                return None
            place = {name: row[name] for name in ("priority", "position", "id")}
            return (tx.row("count_before", **place) or {})["n"]

        return self._db.read(body)

    def first_open(self) -> Job | None:
        """Return a running job, or else the queue's first; None where neither is."""
        row = self._db.read(lambda tx: tx.row("first_running") or tx.row("first_queued"))
        return None if row is None else job_of(row)

    def queue_load(self, job_id: str | None = None) -> QueueLoad:
        """Return the work before a queued job; None: all that there is."""

        def body(tx: Transaction) -> QueueLoad:
            if job_id is None:
                found = tx.row("seconds_queued") or {}
            else:
                row = visible(tx.row("get_job", id=job_id), "job", job_id, None)
                place = {name: row[name] for name in ("priority", "position", "id")}
                found = tx.row("seconds_before", **place) or {}
            left_s = (
                row["predicted_s"] - (tx.now - row["started_at"])
                for row in tx.rows("running_seconds")
            )
            return QueueLoad(
                num_queued=found["n"],
                queued_s=found["seconds"] or 0.0,
                running_s=sum(max(0.0, seconds) for seconds in left_s),
            )

        return self._db.read(body)

    def queued_work(self) -> tuple[QueuedWork, ...]:
        """Return what could be claimed now, by lane: paused and delayed jobs left out."""
        rows = self._db.read(lambda tx: tx.rows("queued_work", now=tx.now))
        return tuple(
            QueuedWork(lane=row["lane"], num_jobs=row["n"], predicted_s=row["seconds"])
            for row in sorted(rows, key=lambda row: row["lane"])
        )

    def counts(self, *, tenant: str | None = None) -> QueueCounts:
        """Return how many jobs stand where."""

        def body(tx: Transaction) -> QueueCounts:
            whose: dict[str, Any] = {} if tenant is None else {"tenant": tenant}
            alone = "WHERE tenant = :tenant" if whose else ""
            added = "AND tenant = :tenant" if whose else ""
            by_state = tx.rows("count_by_state", where=alone, **whose)
            queued = tx.rows("count_queued_by_job_type", where=added, **whose)
            oldest_at = min((row["oldest_at"] for row in queued), default=None)
            return QueueCounts(
                by_state={row["state"]: row["n"] for row in by_state},
                queued_by_job_type={row["job_type"]: row["n"] for row in queued},
                oldest_queued_s=None if oldest_at is None else max(tx.now - oldest_at, 0.0),
                paused=tuple(row["scope"] for row in tx.rows("paused_scopes")),
            )

        return self._db.read(body)

    def durations_s(self, workload: str, *, limit: int = 100) -> tuple[float, ...]:
        """Return run times of the last succeeded jobs of a workload, newest first."""
        rows = self._db.read(lambda tx: tx.rows("durations", workload=workload, limit=limit))
        return tuple(max(row["finished_at"] - row["started_at"], 0.0) for row in rows)

    def phases_s(self, workload: str, *, limit: int = 20) -> tuple[Mapping[str, float], ...]:
        """Return exclusive phases of the last succeeded jobs of a workload, newest first.

        Read from their records: ``phases_s``, or ``timing.phases_s``.
        """
        rows = self._db.read(
            lambda tx: tx.rows("records_of_workload", workload=workload, limit=limit)
        )
        found = [_phases_of(from_json(row["body"])) for row in rows]
        return tuple(phases for phases in found if phases)

    # What people do to jobs

    def cancel(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Cancel at once if queued; ask a running job's worker; leave a terminal one as it is."""
        return self._db.write(lambda tx: people.cancel(tx, job_id, tenant))

    def retry(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Queue a failed or cancelled job again, counts at zero; IllegalState otherwise."""
        return self._db.write(lambda tx: people.retry(tx, job_id, tenant), admits=True)

    def move(
        self,
        job_id: str,
        *,
        tenant: str | None = None,
        front: bool = False,
        after: str | None = None,
        before: str | None = None,
        priority: int | None = None,
    ) -> Job:
        """Move a queued job: exactly one of the four; IllegalState if it is not queued."""
        return self._db.write(
            lambda tx: people.move(
                tx,
                job_id,
                tenant=tenant,
                front=front,
                after=after,
                before=before,
                priority=priority,
            )
        )

    def favourite(self, job_id: str, *, is_favourite: bool, tenant: str | None = None) -> Job:
        """Mark a job, or take the mark back. Idempotent."""
        return self._db.write(
            lambda tx: people.favourite(tx, job_id, is_favourite=is_favourite, tenant=tenant),
            admits=True,
        )

    def pause(self, scope: str) -> None:
        """Hold queued jobs of a job type, or of ``all``; running ones go on. Idempotent."""
        self._db.write(lambda tx: people.pause(tx, scope))

    def resume(self, scope: str) -> None:
        """Undo ``pause`` of that scope. Idempotent."""
        self._db.write(lambda tx: people.resume(tx, scope))

    # What workers do

    def claim(
        self,
        worker_id: str,
        *,
        resident: Sequence[str] = (),
        models: Sequence[str] = (),
        lease_s: float,
        overdue_s: float,
        kinds: Sequence[str] = (),
    ) -> Job | None:
        """Take the job that is next for this worker, with a new token, or None."""
        # An idle poll is one look that writes nothing; after a claim there is likely more.
        if not self._is_busy and not self._db.read(claiming.has_work):
            return None

        def body(tx: Transaction) -> Job | None:
            wishes = Wishes(
                resident=frozenset(resident),
                models=frozenset(models),
                kinds=frozenset(texts(kinds)),
                overdue_before=tx.now - overdue_s,
            )
            return claiming.claim(tx, worker_id, wishes, lease_s=lease_s)

        job = self._db.write(body, starts=True)
        self._is_busy = job is not None
        return job

    def claim_same_shape(
        self, worker_id: str, job: Job, *, limit: int, lease_s: float
    ) -> tuple[Job, ...]:
        """Take up to ``limit`` more jobs that can run in one batch with ``job``.

        They are of its band, and to generate as it is.
        """
        batch_shape = job.request.batch_shape
        if batch_shape is None or job.kind != "generate" or limit < 1:
            return ()
        return self._db.write(
            lambda tx: claiming.claim_same_shape(
                tx, worker_id, job, batch_shape=batch_shape, limit=limit, lease_s=lease_s
            )
        )

    def peek(self, *, resident: Sequence[str] = (), models: Sequence[str] = ()) -> Job | None:
        """Return the job that would be claimed next, claiming nothing: to encode ahead."""
        wishes = Wishes(resident=frozenset(resident), models=frozenset(models))

        def is_due(tx: Transaction) -> bool:
            return claiming.is_due(tx, tx.row("has_work") or {"next_run_at": None})

        def body(tx: Transaction) -> Row | None:
            job_id = claiming.next_id(tx, wishes)
            return None if job_id is None else tx.row("get_job", id=job_id)

        if self._db.read(is_due):
            self._db.write(lambda tx: tx.run("release_delayed", now=tx.now))
        row = self._db.read(body)
        return None if row is None else job_of(row)

    def upcoming(self) -> tuple[Demand, ...]:
        """Return what may be claimed by kind and model, what is likely next first."""
        rows = self._db.read(lambda tx: tx.rows("upcoming", most=_MOST_COUNTED))
        return claiming.demands_of(rows)

    def demand(self, *, within_s: float) -> tuple[Demand, ...]:
        """Return which models the newest jobs used, most used first."""
        rows = self._db.read(
            lambda tx: tx.rows("demand", since=tx.now - within_s, limit=_NEWEST_JOBS)
        )
        return claiming.used_models(rows)

    def waiting_classes(self, *, overdue_s: float) -> tuple[WaitingClass, ...]:
        """Return what may run now by kind and medium; who waits longer is overdue."""
        rows = self._db.read(
            lambda tx: tx.rows("waiting_classes", now=tx.now, overdue_before=tx.now - overdue_s)
        )
        return tuple(waiting_class_of(row) for row in rows)

    def came(self, *, within_s: float, limit: int) -> tuple[CameJob, ...]:
        """Return the jobs of the last ``within_s``, newest first, no more than ``limit``."""
        rows = self._db.read(
            lambda tx: tx.rows("newest_classes", since=tx.now - within_s, limit=limit)
        )
        return tuple(came_job_of(row) for row in rows)

    def beat(
        self, worker_id: str, beats: Sequence[Beat], *, lease_s: float
    ) -> Mapping[str, BeatReply]:
        """Renew leases and write progress; the reply says who lost his and whom to cancel."""

        def body(tx: Transaction, *, with_progress: bool) -> dict[str, BeatReply]:
            return running.beat(tx, worker_id, beats, lease_s=lease_s, with_progress=with_progress)

        try:
            return self._db.write(lambda tx: body(tx, with_progress=True))
        except StoreFull:  # a lease matters more than a progress bar
            return self._db.write(lambda tx: body(tx, with_progress=False))

    def add_event(self, job_id: str, token: int, kind: EventKind, data: Json) -> bool:
        """Append to the history of a running job."""
        return self._db.write(lambda tx: running.append_event(tx, job_id, token, kind, data))

    def set_enhancement(self, job_id: str, token: int, enhancement: Json) -> bool:
        """Keep the enhanced prompt, so that a retry neither asks again nor changes it."""
        return self._db.write(lambda tx: running.set_enhancement(tx, job_id, token, enhancement))

    def finish(
        self,
        job_id: str,
        token: int,
        *,
        result: Json,
        assets: Sequence[NewAsset],
        adjustments: Sequence[Json] = (),
        record: Json | None = None,
        device_s: float = 0.0,
    ) -> bool:
        """Publish: state, assets, performance record, outbox and charge in one transaction.

        True again where this very attempt has published already: whose connection broke before
        the answer came must not take his files back.
        """
        finished = running.Finished(
            result=result,
            assets=assets,
            adjustments=adjustments,
            record=record,
            device_s=device_s,
        )
        return self._db.write(lambda tx: running.finish(tx, job_id, token, finished))

    def fail(
        self,
        job_id: str,
        token: int,
        *,
        error: Json,
        retry_in_s: float | None,
        device_s: float = 0.0,
        record: Json | None = None,
    ) -> bool:
        """Count an error: queued again after ``retry_in_s``, or failed if None or none is left.

        The performance record is kept if the job has failed with that.
        """
        return self._db.write(
            lambda tx: running.fail(
                tx,
                job_id,
                token,
                error=error,
                retry_in_s=retry_in_s,
                device_s=device_s,
                record=record,
            )
        )

    def confirm_cancel(self, job_id: str, token: int, *, device_s: float = 0.0) -> bool:
        """The worker has stopped a job whose cancel was requested."""
        return self._db.write(
            lambda tx: running.confirm_cancel(tx, job_id, token, device_s=device_s)
        )

    def release(self, job_id: str, token: int, *, reason: str) -> bool:
        """Give a job back unfinished (drain), counting neither error nor crash."""
        return self._db.write(lambda tx: running.release(tx, job_id, token, reason=reason))

    def reap(self, *, max_crashes: int) -> tuple[str, ...]:
        """Take back jobs whose lease has ended; ids of those taken. Idempotent, from anyone."""
        now, expired, is_wrong = self._db.read(_upkeep_needed)
        reaped = [row["id"] for row in expired if self._reap_one(row, max_crashes)]
        if is_wrong:
            self._db.write(lambda tx: tx.run("unhold", now=tx.now))
        if self._purged_at is None or now - self._purged_at >= _PURGE_EVERY_S:
            self._db.write(_purge)
            self._purged_at = now
        return tuple(reaped)

    def _reap_one(self, row: Row, max_crashes: int) -> bool:
        # One transaction each: none waits for another's tenant while it holds a job.
        job_id, token = row["id"], row["token"]
        return self._db.write(
            lambda tx: running.reap_one(tx, job_id, token, max_crashes=max_crashes)
        )

    # Workers

    def put_worker(self, worker: WorkerInfo) -> None:
        """Insert or update a worker; ``seen_at`` becomes now."""
        self._db.write(lambda tx: tx.run("put_worker", now=tx.now, **worker_params(worker)))

    def remove_worker(self, worker_id: str) -> None:
        """Forget a worker that ended. Idempotent."""
        self._db.write(lambda tx: tx.run("remove_worker", id=worker_id))

    def workers(self, *, seen_within_s: float = 60.0) -> tuple[WorkerInfo, ...]:
        """Return the workers that gave a sign of life lately."""
        rows = self._db.read(lambda tx: tx.rows("workers", since=tx.now - seen_within_s))
        return tuple(worker_of(row) for row in rows)

    def command_worker(self, worker_id: str, verb: str, model: str | None = None) -> None:
        """Leave a command for a worker. Raises NotFound: no such worker."""

        def body(tx: Transaction) -> None:
            if tx.row("get_worker", id=worker_id) is None:
                raise NotFound(f"There is no worker {worker_id!r}.", param="worker_id")
            tx.run("add_command", worker_id=worker_id, verb=verb, model=model)

        self._db.write(body)

    def take_commands(self, worker_id: str) -> tuple[WorkerCommand, ...]:
        """Return and remove a worker's commands."""
        if self._db.read(lambda tx: tx.row("has_commands", worker_id=worker_id)) is None:
            return ()
        rows = self._db.write(lambda tx: tx.rows("take_commands", worker_id=worker_id))
        return tuple(command_of(row) for row in sorted(rows, key=lambda row: row["id"]))

    # History, assets, attempts

    def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """Return events with ``seq`` above ``after``, in order."""
        rows = self._db.read(lambda tx: tx.rows("events", job_id=job_id, after=after, limit=limit))
        return tuple(event_of(row) for row in rows)

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """Return a job's attempts, oldest first."""
        rows = self._db.read(lambda tx: tx.rows("attempts", job_id=job_id))
        return tuple(attempt_of(row) for row in rows)

    def assets(self, job_id: str) -> tuple[StoredAsset, ...]:
        """Return a job's published files that were not deleted, by index."""
        rows = self._db.read(lambda tx: tx.rows("assets_of_job", job_id=job_id))
        return tuple(asset_of(row) for row in rows)

    def assets_of(self, job_ids: Sequence[str]) -> Mapping[str, tuple[StoredAsset, ...]]:
        """Return the files of several jobs as ``assets`` does, by job; none where it has none."""
        if not job_ids:
            return {}
        rows = self._db.read(lambda tx: tx.rows("assets_of_jobs", job_ids=list(job_ids)))
        found: dict[str, list[StoredAsset]] = {}
        for row in rows:
            found.setdefault(row["job_id"], []).append(asset_of(row))
        return {job_id: tuple(assets) for job_id, assets in found.items()}

    def asset(self, asset_id: str, *, tenant: str | None = None) -> StoredAsset:
        """Return one file. Raises NotFound."""
        row = self._db.read(lambda tx: tx.row("get_asset", id=asset_id))
        return asset_of(visible(row, "asset", asset_id, tenant))

    def list_assets(
        self, *, tenant: str | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[StoredAsset, ...]:
        """Return files, newest first, those before the id ``after``."""
        clauses: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        if tenant is not None:
            clauses.append("AND tenant = :tenant")
            params["tenant"] = tenant
        if after is not None:
            clauses.append(
                "AND (created_at, id) < (SELECT created_at, id FROM asset WHERE id = :after)"
            )
            params["after"] = after
        where = " ".join(clauses)
        rows = self._db.read(lambda tx: tx.rows("list_assets", where=where, **params))
        return tuple(asset_of(row) for row in rows)

    def assets_to_expire(
        self, *, older_than_s: float | None, total_bytes: int | None, limit: int = 100
    ) -> tuple[StoredAsset, ...]:
        """Return the oldest files beyond an age or beyond a total size."""

        def body(tx: Transaction) -> list[Row]:
            found: dict[str, Row] = {}
            if older_than_s is not None:
                before = tx.now - older_than_s
                found.update(_by_id(tx.rows("assets_older", before=before, limit=limit)))
            if total_bytes is not None:
                rows = tx.rows("assets_beyond", total_bytes=total_bytes, limit=limit)
                found.update(_by_id(rows))
            return sorted(found.values(), key=lambda row: (row["created_at"], row["id"]))

        return tuple(asset_of(row) for row in self._db.read(body)[:limit])

    def mark_assets_deleted(self, asset_ids: Sequence[str]) -> None:
        """Say that files are gone from storage."""
        ids = sorted(asset_ids)

        def body(tx: Transaction) -> None:
            params = [{"id": item, "now": tx.now} for item in ids]
            tx.run_many("mark_asset_deleted", params)
            tx.run_many("touch_job_of_asset", params)

        if ids:
            self._db.write(body)

    def note_published(self, asset_id: str, *, key: str, thumbnail_key: str | None) -> None:
        """Remember under which other names a file was published."""

        def body(tx: Transaction) -> None:
            row = tx.row("asset_facts", id=asset_id)
            if row is None:
                raise NotFound(f"No asset {asset_id!r}.", param="asset_id")
            names = {"published_key": key, "published_thumbnail_key": thumbnail_key}
            facts = {**from_json(row["facts"]), **names}
            tx.run("set_asset_facts", id=asset_id, facts=to_json(facts))

        self._db.write(body)

    def is_published(self, bucket: str, key: str) -> bool:
        """Whether a key (of a file or a thumbnail) belongs to a published asset."""

        def body(tx: Transaction) -> bool:
            return any(
                tx.row(name, bucket=bucket, key=key) is not None
                for name in ("published_key", "published_thumbnail")
            )

        return self._db.read(body)

    def delete_job(self, job_id: str, *, tenant: str | None = None) -> None:
        """Forget a terminal job and its history; IllegalState if it is not terminal."""
        self._db.write(lambda tx: people.delete(tx, job_id, tenant))

    def delete_jobs(
        self, job_ids: Sequence[str], *, tenant: str | None = None
    ) -> Mapping[str, OurVidzError]:
        """Forget those of the jobs that are terminal; say of the others why they stay."""
        kept: dict[str, OurVidzError] = {}
        for start in range(0, len(job_ids), _DELETED_AT_ONCE):
            some = job_ids[start : start + _DELETED_AT_ONCE]
            kept |= self._db.write(lambda tx, some=some: people.delete_many(tx, some, tenant))
        return kept

    # Outbox

    def claim_outbox(self, *, limit: int, lease_s: float) -> tuple[OutboxItem, ...]:
        """Take due messages; unless settled they become due again after the lease."""

        def body(tx: Transaction) -> list[Row]:
            due = tx.rows("due_messages", now=tx.now, limit=limit)
            leased = [tx.row("lease_message", id=row["id"], due_at=tx.now + lease_s) for row in due]
            return [row for row in leased if row is not None]

        if self._db.read(lambda tx: tx.row("has_due_messages", now=tx.now)) is None:
            return ()
        return tuple(message_of(row) for row in self._db.write(body))

    def settle_outbox(
        self, item_id: int, *, retry_in_s: float | None, error: str | None = None
    ) -> None:
        """Delivered (no error), to be tried again, or given up (error and no retry)."""

        def body(tx: Transaction) -> None:
            is_pending = retry_in_s is not None
            state = "pending" if is_pending else "delivered" if error is None else "failed"
            tx.run(
                "settle_message",
                id=item_id,
                state=state,
                due_at=tx.now + (retry_in_s or 0.0),
                settled_at=None if is_pending else tx.now,
                error=None if error is None else error.replace("\0", ""),
            )

        self._db.write(body)

    def outbox(self, job_id: str) -> tuple[Json, ...]:
        """Return a job's messages with their fate, for people.

        Each: ``id, kind, url, event, state`` (pending, delivered, failed), ``created_at, due_at``
        (None once settled), ``tries, settled_at, error``.
        """
        rows = self._db.read(lambda tx: tx.rows("messages_of_job", job_id=job_id))
        names = (
            "id",
            "kind",
            "url",
            "event",
            "state",
            "created_at",
            "tries",
            "settled_at",
            "error",
        )
        return tuple(
            {
                **{name: row[name] for name in names},
                "due_at": row["due_at"] if row["state"] == "pending" else None,
            }
            for row in rows
        )

    # Keys, usage

    def add_key(self, key: ApiKey, *, sha256: str) -> None:
        """Keep a key by the hash of its secret."""
        self._db.write(lambda tx: tx.run("add_key", sha256=sha256, **key_params(key)))

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key of that hash, expired and revoked ones too; notes the use.

        The note is at most a minute behind, so that reading does not mean writing.
        """

        def look(tx: Transaction) -> tuple[Row | None, float]:
            row = tx.row("find_key", sha256=sha256)
            return row, 0.0 if row is None else tx.now

        row, now = self._db.read(look)
        if row is None:
            return None
        used_at = row["last_used_at"]
        if used_at is None or now - used_at >= _NOTE_USE_EVERY_S:
            with contextlib.suppress(StoreFull):
                self._db.write(lambda tx: tx.run("note_use", id=row["id"], now=now))
        return key_of(row)

    def keys(self, *, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Return all keys, newest first."""
        where = "" if tenant is None else "WHERE tenant = :tenant"
        params: dict[str, Any] = {} if tenant is None else {"tenant": tenant}
        rows = self._db.read(lambda tx: tx.rows("keys", where=where, **params))
        return tuple(key_of(row) for row in rows)

    def revoke_key(self, key_id: str, *, tenant: str | None = None) -> ApiKey:
        """Revoke. Raises NotFound."""

        def body(tx: Transaction) -> Row | None:
            visible(tx.row("get_key", id=key_id), "key", key_id, tenant)
            tx.run("revoke_key", id=key_id, now=tx.now)
            return tx.row("get_key", id=key_id)

        row = self._db.write(body)
        assert row is not None
        return key_of(row)

    def device_seconds(self, key_id: str, *, within_s: float) -> float:
        """Return device seconds that a key's jobs took lately (of at most 32 days)."""
        row = self._db.read(
            lambda tx: tx.row("device_seconds", key_id=key_id, since=tx.now - within_s)
        )
        return (row or {})["device_s"]

    def set_tenant_weight(self, tenant: str, weight: float) -> None:
        """Set a tenant's fair share, relative to 1."""
        if not weight > 0:
            raise InvalidRequest(
                f"weight {weight!r} is not above 0.", param="weight", hint="1 is the usual share."
            )
        self._db.write(lambda tx: tx.run("set_weight", id=tenant, weight=weight))

    # Records

    def records(self, *, job_type: str | None = None, limit: int = 100) -> tuple[Json, ...]:
        """Return performance records, newest first."""

        def body(tx: Transaction) -> list[Row]:
            if job_type is None:
                return tx.rows("records", limit=limit)
            return tx.rows("records_of_job_type", job_type=job_type, limit=limit)

        return tuple(record_of(row).body for row in self._db.read(body))

    def perf_records(
        self,
        *,
        job_type: str | None = None,
        since: float | None = None,
        after: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> tuple[StoredRecord, ...]:
        """Return performance records with whose and when they are, oldest first.

        Args:
            job_type: of this one alone.
            since: of jobs that ended then (Unix seconds) or later.
            after: only records beyond this id.
            limit: no more than so many.
            newest: the last of them, where there are more than ``limit``; else the first.
        """
        clauses: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        for clause, name, value in (
            ("job_type = :job_type", "job_type", job_type),
            ("at >= :since", "since", since),
            ("perf_record.id > :after", "after", after),
        ):
            if value is not None:
                clauses.append(clause)
                params[name] = value
        text = f"{_where(clauses)} ORDER BY perf_record.id {'DESC' if newest else 'ASC'}"
        rows = self._db.read(lambda tx: tx.rows("perf_records", where=text, **params))
        found = [record_of(row) for row in rows]
        return tuple(reversed(found)) if newest else tuple(found)

    def perf_head(self) -> tuple[int, int]:
        """Return the id of the newest performance record (0: none) and how many there are."""
        row = self._db.read(lambda tx: tx.row("perf_head"))
        assert row is not None
        return row["newest"], row["number"]

    # Decisions about changes of speed, kept for ever

    def add_decision(self, decision: Json) -> None:
        """Append a decision, which has an ``id``. Nothing changes or removes it.

        Raises:
            IllegalState: one of that id is there.
        """
        self._db.write(
            lambda tx: tx.run("add_decision", id=decision["id"], now=tx.now, body=to_json(decision))
        )

    def decisions(self) -> tuple[Json, ...]:
        """Return all decisions, in the order in which they were added."""
        return tuple(
            from_json(row["body"]) for row in self._db.read(lambda tx: tx.rows("decisions"))
        )

    # Goals

    def add_goal(self, goal: Json) -> None:
        """Keep a goal, which has an ``id``.

        Raises:
            IllegalState: one of that id is there.
        """
        self._db.write(lambda tx: tx.run("add_goal", id=goal["id"], now=tx.now, body=to_json(goal)))

    def goals(self) -> tuple[Json, ...]:
        """Return all goals, in the order in which they were added."""
        return tuple(from_json(row["body"]) for row in self._db.read(lambda tx: tx.rows("goals")))

    def remove_goal(self, goal_id: str) -> None:
        """Forget a goal. Raises NotFound."""
        if self._db.write(lambda tx: tx.row("remove_goal", id=goal_id)) is None:
            raise NotFound(f"There is no goal {goal_id!r}.", param="goal_id")

    # What people say of outputs

    def put_rating(
        self,
        job_id: str,
        *,
        rater: str,
        stars: int | None = None,
        tags: Sequence[Defect] = (),
        tenant: str | None = None,
    ) -> Rating:
        """Keep what a person says of a job's output, in place of what he said before."""
        return self._db.write(
            lambda tx: ratings.put_rating(
                tx, job_id, rater=rater, stars=stars, tags=tags, tenant=tenant
            ),
            admits=True,
        )

    def remove_rating(self, job_id: str, *, rater: str, tenant: str | None = None) -> None:
        """Forget what a person said of a job."""
        self._db.write(lambda tx: ratings.remove_rating(tx, job_id, rater=rater, tenant=tenant))

    def ratings(
        self,
        *,
        tenant: str | None = None,
        job_id: str | None = None,
        job_type: str | None = None,
        limit: int = 1000,
    ) -> tuple[Rating, ...]:
        """Return the newest ratings, oldest of them first."""
        where, params = _equal(tenant=tenant, job_id=job_id, job_type=job_type)
        text = f"{where} ORDER BY seq DESC"
        rows = self._db.read(lambda tx: tx.rows("ratings", where=text, limit=limit, **params))
        return tuple(ratings.rating_of(row) for row in reversed(rows))

    def ratings_of(self, job_ids: Sequence[str], *, rater: str) -> Mapping[str, Rating]:
        """Return what one person said of several jobs, by job; none where he said nothing."""
        if not job_ids:
            return {}
        rows = self._db.read(
            lambda tx: tx.rows("ratings_of_jobs", job_ids=list(job_ids), rater=rater)
        )
        return {row["job_id"]: ratings.rating_of(row) for row in rows}

    def add_blind_test(
        self,
        test_id: str,
        first_job: str,
        second_job: str,
        *,
        is_swapped: bool,
        tenant: str | None = None,
    ) -> BlindTest:
        """Keep a new pair of jobs to be compared without their names."""
        return self._db.write(
            lambda tx: ratings.add_blind_test(
                tx, test_id, first_job, second_job, is_swapped=is_swapped, tenant=tenant
            ),
            admits=True,
        )

    def blind_test(self, test_id: str, *, tenant: str | None = None) -> BlindTest:
        """Return a blind test. Raises NotFound: no such test, or another tenant's."""
        return self._db.read(lambda tx: ratings.blind_test(tx, test_id, tenant=tenant))

    def blind_tests(
        self, *, tenant: str | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[BlindTest, ...]:
        """Return blind tests, newest first, those beyond the id ``after``."""
        where, params = _equal(tenant=tenant)
        if after is not None:
            where = f"{where} AND id < :after" if where else "WHERE id < :after"
            params["after"] = after
        text = f"{where} ORDER BY id DESC"
        rows = self._db.read(lambda tx: tx.rows("blind_tests", where=text, limit=limit, **params))
        return tuple(ratings.blind_test_of(row) for row in rows)

    def vote(
        self, test_id: str, *, rater: str, choice: Choice, tenant: str | None = None
    ) -> BlindTest:
        """Keep a person's choice."""
        return self._db.write(
            lambda tx: ratings.vote(tx, test_id, rater=rater, choice=choice, tenant=tenant),
            admits=True,
        )

    def vote_of(self, test_id: str, *, rater: str) -> Choice | None:
        """Return what a person chose in a test; None if he has not voted."""
        row = self._db.read(lambda tx: tx.row("vote", test_id=test_id, rater=rater))
        return None if row is None else Choice(row["choice"])

    def votes(
        self, *, tenant: str | None = None, test_id: str | None = None, limit: int = 1000
    ) -> tuple[Vote, ...]:
        """Return the newest votes with their tests, oldest of them first."""
        where, params = _equal(tenant=tenant, test_id=test_id)
        text = f"{where} ORDER BY blind_vote.seq DESC"
        rows = self._db.read(lambda tx: tx.rows("votes", where=text, limit=limit, **params))
        return tuple(ratings.vote_of(row) for row in reversed(rows))


def _equal(**values: Any) -> tuple[str, dict[str, Any]]:
    """Return the condition that columns have these values, where one is given."""
    params = {name: value for name, value in values.items() if value is not None}
    return _where([f"{name} = :{name}" for name in params]), params


def _conditions(where: JobFilter) -> tuple[list[str], dict[str, Any]]:
    sets = {
        "state": where.states,
        "job_type": where.job_types,
        "source": where.sources,
        "kind": where.kinds,
    }
    params: dict[str, Any] = {name: texts(values) for name, values in sets.items() if values}
    clauses = [f"{name} IN (:*{name})" for name in params]
    equal = {
        "tenant": where.tenant,
        "batch_id": where.batch_id,
        "media_type": where.media_type,
    }
    for name, value in equal.items():
        if value is not None:
            clauses.append(f"{name} = :{name}")
            params[name] = value
    if where.created_after is not None:
        clauses.append("created_at > :created_after")
        params["created_after"] = where.created_after
    if where.created_before is not None:
        clauses.append("created_at < :created_before")
        params["created_before"] = where.created_before
    if where.is_favourite:
        clauses.append("is_favourite = 1")
    if where.text:
        clauses.append("prompt_folded LIKE :pattern ESCAPE '!'")
        params["pattern"] = f"%{_escape_like(fold(where.text))}%"
    return clauses, params


def _escape_like(text: str) -> str:
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return text


def _where(clauses: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(clauses)}" if clauses else ""


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}


def _phases_of(record: Mapping[str, Any]) -> Mapping[str, float]:
    timing: Mapping[str, Any] = record.get("timing") or {}
    return record.get("phases_s") or timing.get("phases_s") or {}


def _upkeep_needed(tx: Transaction) -> tuple[float, list[Row], bool]:
    return (
        tx.now,
        tx.rows("expired_leases", now=tx.now),
        tx.row("wrongly_held") is not None,
    )


def _purge(tx: Transaction) -> None:
    tx.run(
        "purge_submissions",
        before=tx.now - submitting.DEDUP_S,
        legacy_before=tx.now - submitting.LEGACY_DEDUP_S,
    )
    tx.run("purge_use", before=tx.now - _USE_KEPT_S)
    tx.run("purge_deletions", before=tx.now - _DELETION_KEPT_S)
    tx.run("purge_outbox", before=tx.now - _SETTLED_KEPT_S)
    tx.run("purge_workers", before=tx.now - _WORKER_KEPT_S)
