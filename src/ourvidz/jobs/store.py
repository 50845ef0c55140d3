"""What a job store can do: the protocol that SQLite and Postgres both keep.

Every method is one short transaction and may be called from any thread. Methods that a worker
calls with a token change nothing and say so (``False``, or a dead ``BeatReply``) once the token is
not the job's newest, or the job is not running: that is the fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ourvidz.core.errors import OurVidzError
from ourvidz.core.opinion import Choice, Defect
from ourvidz.jobs.changes import Changes
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
from ourvidz.jobs.ratings import BlindTest, Rating, Vote


class JobStore(Protocol):
    """The one source of truth.

    Raises, from every method:
        StoreUnavailable: the database can't be reached, or stayed locked.
        StoreFull: no room for what would be written.
    """

    def close(self) -> None:
        """Close every connection. Idempotent."""
        ...

    def migrate(self) -> None:
        """Create the schema or bring it up to date. Idempotent; safe from several processes."""
        ...

    def version(self) -> int | None:
        """Return a number that is another one once anybody has written to the store.

        It costs microseconds and never waits; None where the store has no such number.
        """
        ...

    def now(self) -> float:
        """Return the store's clock, in Unix seconds."""
        ...

    # Submitting and reading

    def submit(
        self,
        jobs: Sequence[NewJob],
        *,
        dedup: Dedup | None = None,
        quotas: Quotas | None = None,
    ) -> Submission:
        """Store all of ``jobs`` or none; they are durable when this returns.

        Raises:
            IdempotencyConflict: the key was used with another body.
            QuotaExceeded: the key's queued jobs, or its device seconds of the last 24 hours
                together with what these and its queued jobs are predicted to take, would exceed
                ``quotas``.
        """
        ...

    def submit_and_claim(self, job: NewJob, *, worker_id: str, lease_s: float) -> Job:
        """Store ``job`` as running on ``worker_id`` from the start: no other can take it.

        For who runs the job itself. It never waits in the queue, so neither a pause nor a delay
        holds it.
        """
        ...

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Return a job. Raises NotFound: no such job, or another tenant's."""
        ...

    def list_jobs(
        self,
        where: JobFilter,
        *,
        limit: int = 50,
        after: str | None = None,
        newest_first: bool = True,
    ) -> tuple[Job, ...]:
        """Return jobs by creation (ids sort so), those beyond the id ``after``."""
        ...

    def jobs_of(self, job_ids: Sequence[str], *, tenant: str | None = None) -> Mapping[str, Job]:
        """Return those of the jobs that are there and the tenant's own, by id."""
        ...

    def changes(self, *, since: float, after: int | None) -> Changes:
        """Return what changed lately, cheaply however many jobs there are.

        Transactions end in another order than they began: ask for some seconds that were read
        before, and leave out what is known.

        Args:
            since: jobs touched then (the store's clock) or later.
            after: deletions beyond this number; None: those since ``since``.
        """
        ...

    def queue_position(self, job_id: str) -> int | None:
        """Return how many queued jobs come before it by band and position; None if not queued."""
        ...

    def first_open(self) -> Job | None:
        """Return a running job, or else the queue's first; None where neither is."""
        ...

    def queue_load(self, job_id: str | None = None) -> QueueLoad:
        """Return the work before a queued job; None: all that there is."""
        ...

    def queued_work(self) -> tuple[QueuedWork, ...]:
        """Return what could be claimed now, by lane: paused and delayed jobs left out."""
        ...

    def counts(self, *, tenant: str | None = None) -> QueueCounts:
        """Return how many jobs stand where."""
        ...

    def durations_s(self, workload: str, *, limit: int = 100) -> tuple[float, ...]:
        """Return run times of the last succeeded jobs of a workload, newest first."""
        ...

    def phases_s(self, workload: str, *, limit: int = 20) -> tuple[Mapping[str, float], ...]:
        """Return exclusive phases of the last succeeded jobs of a workload, newest first."""
        ...

    # What people do to jobs

    def cancel(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Cancel at once if queued; ask a running job's worker; leave a terminal one as it is."""
        ...

    def retry(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Queue a failed or cancelled job again, counts at zero; IllegalState otherwise."""
        ...

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
        ...

    def favourite(self, job_id: str, *, is_favourite: bool, tenant: str | None = None) -> Job:
        """Mark a job, or take the mark back. Idempotent; no event of the job's tells it."""
        ...

    def pause(self, scope: str) -> None:
        """Hold queued jobs of a job type, or of ``all``; running ones go on. Idempotent."""
        ...

    def resume(self, scope: str) -> None:
        """Undo ``pause`` of that scope. Idempotent."""
        ...

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
        """Take the job that is next for this worker, with a new token, or None.

        Order: jobs queued longer than ``overdue_s`` (oldest first), then by band; within a band
        those whose model is ``resident``, then the tenant with the smallest charge, then position.

        Args:
            models: only jobs of these models; empty means any.
            kinds: only jobs of these kinds; empty means any.
        """
        ...

    def claim_same_shape(
        self, worker_id: str, job: Job, *, limit: int, lease_s: float
    ) -> tuple[Job, ...]:
        """Take up to ``limit`` more jobs that can run in one batch with ``job``."""
        ...

    def peek(self, *, resident: Sequence[str] = (), models: Sequence[str] = ()) -> Job | None:
        """Return the job that would be claimed next, claiming nothing: to encode ahead."""
        ...

    def upcoming(self) -> tuple[Demand, ...]:
        """Return what may be claimed by kind and model, what is likely next first.

        Of each no more than 8 jobs are counted, and its first one tells of the enhancer. One
        statement, which locks nothing.
        """
        ...

    def demand(self, *, within_s: float) -> tuple[Demand, ...]:
        """Return which models the newest 200 jobs of the last ``within_s`` used, most used first.

        Whatever became of them. One statement, which locks nothing.
        """
        ...

    def waiting_classes(self, *, overdue_s: float) -> tuple[WaitingClass, ...]:
        """Return what may run now by kind and medium; who waits longer is overdue.

        Paused and delayed jobs are left out. It reads what is queued and nothing else.
        """
        ...

    def came(self, *, within_s: float, limit: int) -> tuple[CameJob, ...]:
        """Return the jobs of the last ``within_s``, newest first, no more than ``limit``."""
        ...

    def beat(
        self, worker_id: str, beats: Sequence[Beat], *, lease_s: float
    ) -> Mapping[str, BeatReply]:
        """Renew leases and write progress; the reply says who lost his and whom to cancel."""
        ...

    def add_event(self, job_id: str, token: int, kind: EventKind, data: Json) -> bool:
        """Append to the history of a running job."""
        ...

    def set_enhancement(self, job_id: str, token: int, enhancement: Json) -> bool:
        """Keep the enhanced prompt, so that a retry neither asks again nor changes it."""
        ...

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

        A job whose cancel was requested in the meantime is cancelled instead, and False comes
        back: nothing of it is published. Repeated by the attempt that has published (its answer
        was lost), it changes nothing and says True.
        """
        ...

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
        ...

    def confirm_cancel(self, job_id: str, token: int, *, device_s: float = 0.0) -> bool:
        """The worker has stopped a job whose cancel was requested."""
        ...

    def release(self, job_id: str, token: int, *, reason: str) -> bool:
        """Give a job back unfinished (drain), counting neither error nor crash."""
        ...

    def reap(self, *, max_crashes: int) -> tuple[str, ...]:
        """Take back jobs whose lease has ended; ids of those taken. Idempotent, from anyone.

        One that was to be cancelled is cancelled; one that crashed ``max_crashes`` times fails as
        ``crashed``, and so does a command line's at the first crash: the files were to go where
        that command said. Any other is queued again at once. One that fails leaves a performance
        record without times: nobody knows them.
        """
        ...

    # Workers

    def put_worker(self, worker: WorkerInfo) -> None:
        """Insert or update a worker; ``seen_at`` becomes now."""
        ...

    def remove_worker(self, worker_id: str) -> None:
        """Forget a worker that ended. Idempotent."""
        ...

    def workers(self, *, seen_within_s: float = 60.0) -> tuple[WorkerInfo, ...]:
        """Return the workers that gave a sign of life lately."""
        ...

    def command_worker(self, worker_id: str, verb: str, model: str | None = None) -> None:
        """Leave a command for a worker.

        Raises:
            NotFound: no such worker, or it went while it was asked.
        """
        ...

    def take_commands(self, worker_id: str) -> tuple[WorkerCommand, ...]:
        """Return and remove a worker's commands."""
        ...

    # History, assets, attempts

    def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """Return events with ``seq`` above ``after``, in order."""
        ...

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """Return a job's attempts, oldest first."""
        ...

    def assets(self, job_id: str) -> tuple[StoredAsset, ...]:
        """Return a job's published files that were not deleted, by index."""
        ...

    def assets_of(self, job_ids: Sequence[str]) -> Mapping[str, tuple[StoredAsset, ...]]:
        """Return the files of several jobs as ``assets`` does, by job; none where it has none."""
        ...

    def asset(self, asset_id: str, *, tenant: str | None = None) -> StoredAsset:
        """Return one file. Raises NotFound."""
        ...

    def list_assets(
        self, *, tenant: str | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[StoredAsset, ...]:
        """Return files, newest first, those before the id ``after``."""
        ...

    def assets_to_expire(
        self, *, older_than_s: float | None, total_bytes: int | None, limit: int = 100
    ) -> tuple[StoredAsset, ...]:
        """Return the oldest files beyond an age or beyond a total size."""
        ...

    def mark_assets_deleted(self, asset_ids: Sequence[str]) -> None:
        """Say that files are gone from storage."""
        ...

    def note_published(self, asset_id: str, *, key: str, thumbnail_key: str | None) -> None:
        """Remember under which other names a file was published, to delete them with it.

        They stand in its facts as ``published_key`` and ``published_thumbnail_key``.
        """
        ...

    def is_published(self, bucket: str, key: str) -> bool:
        """Whether a key (of a file or a thumbnail) belongs to a published asset."""
        ...

    def delete_job(self, job_id: str, *, tenant: str | None = None) -> None:
        """Forget a terminal job and its history; IllegalState if it is not terminal."""
        ...

    def delete_jobs(
        self, job_ids: Sequence[str], *, tenant: str | None = None
    ) -> Mapping[str, OurVidzError]:
        """Forget those of the jobs that are terminal; say of the others why they stay.

        Returns:
            ``NotFound`` or ``IllegalState`` by job.
        """
        ...

    # Outbox

    def claim_outbox(self, *, limit: int, lease_s: float) -> tuple[OutboxItem, ...]:
        """Take due messages; unless settled they become due again after the lease."""
        ...

    def settle_outbox(
        self, item_id: int, *, retry_in_s: float | None, error: str | None = None
    ) -> None:
        """Delivered (no error), to be tried again, or given up (error and no retry)."""
        ...

    def outbox(self, job_id: str) -> tuple[Json, ...]:
        """Return a job's messages with their fate, for people."""
        ...

    # Keys, usage

    def add_key(self, key: ApiKey, *, sha256: str) -> None:
        """Keep a key by the hash of its secret."""
        ...

    def find_key(self, sha256: str) -> ApiKey | None:
        """Return the key of that hash, expired and revoked ones too; notes the use."""
        ...

    def keys(self, *, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Return all keys, newest first."""
        ...

    def revoke_key(self, key_id: str, *, tenant: str | None = None) -> ApiKey:
        """Revoke. Raises NotFound."""
        ...

    def device_seconds(self, key_id: str, *, within_s: float) -> float:
        """Return device seconds that a key's jobs took lately."""
        ...

    def set_tenant_weight(self, tenant: str, weight: float) -> None:
        """Set a tenant's fair share, relative to 1."""
        ...

    # Records

    def records(self, *, job_type: str | None = None, limit: int = 100) -> tuple[Json, ...]:
        """Return performance records, newest first."""
        ...

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
        ...

    def perf_head(self) -> tuple[int, int]:
        """Return the id of the newest performance record (0: none) and how many there are."""
        ...

    # Decisions about changes of speed, kept for ever

    def add_decision(self, decision: Json) -> None:
        """Append a decision, which has an ``id``. Nothing changes or removes it.

        Raises:
            IllegalState: one of that id is there.
        """
        ...

    def decisions(self) -> tuple[Json, ...]:
        """Return all decisions, in the order in which they were added."""
        ...

    # Goals

    def add_goal(self, goal: Json) -> None:
        """Keep a goal, which has an ``id``.

        Raises:
            IllegalState: one of that id is there.
        """
        ...

    def goals(self) -> tuple[Json, ...]:
        """Return all goals, in the order in which they were added."""
        ...

    def remove_goal(self, goal_id: str) -> None:
        """Forget a goal. Raises NotFound."""
        ...

    # What people say of outputs; kept when the jobs are deleted

    def put_rating(
        self,
        job_id: str,
        *,
        rater: str,
        stars: int | None = None,
        tags: Sequence[Defect] = (),
        tenant: str | None = None,
    ) -> Rating:
        """Keep what a person says of a job's output, in place of what he said before.

        Args:
            job_id: a job that succeeded.
            rater: who says it, without his name.
            stars: 1 to 5.
            tags: what is wrong with it.
            tenant: whose job it has to be.

        Raises:
            NotFound: no such job, or another tenant's.
            IllegalState: it made no output.
            InvalidRequest: neither stars nor tags, or stars out of range.
        """
        ...

    def remove_rating(self, job_id: str, *, rater: str, tenant: str | None = None) -> None:
        """Forget what a person said of a job. Raises NotFound: no job, or he said nothing."""
        ...

    def ratings(
        self,
        *,
        tenant: str | None = None,
        job_id: str | None = None,
        job_type: str | None = None,
        limit: int = 1000,
    ) -> tuple[Rating, ...]:
        """Return the newest ratings, oldest of them first."""
        ...

    def ratings_of(self, job_ids: Sequence[str], *, rater: str) -> Mapping[str, Rating]:
        """Return what one person said of several jobs, by job; none where he said nothing."""
        ...

    def add_blind_test(
        self,
        test_id: str,
        first_job: str,
        second_job: str,
        *,
        is_swapped: bool,
        tenant: str | None = None,
    ) -> BlindTest:
        """Keep a new pair of jobs to be compared without their names.

        Args:
            test_id: a new id.
            first_job: a job that succeeded.
            second_job: another of the same tenant, prompt and media type.
            is_swapped: show the second as A; draw it by chance.
            tenant: whose jobs they have to be.

        Raises:
            NotFound: no such job, or another tenant's.
            IllegalState: one made no output.
            InvalidRequest: jobs that can't be compared.
        """
        ...

    def blind_test(self, test_id: str, *, tenant: str | None = None) -> BlindTest:
        """Return a blind test. Raises NotFound: no such test, or another tenant's."""
        ...

    def blind_tests(
        self, *, tenant: str | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[BlindTest, ...]:
        """Return blind tests, newest first, those beyond the id ``after``."""
        ...

    def vote(
        self, test_id: str, *, rater: str, choice: Choice, tenant: str | None = None
    ) -> BlindTest:
        """Keep a person's choice.

        Raises:
            NotFound: no such test, or another tenant's.
            IllegalState: this person voted in it already.
        """
        ...

    def vote_of(self, test_id: str, *, rater: str) -> Choice | None:
        """Return what a person chose in a test; None if he has not voted."""
        ...

    def votes(
        self, *, tenant: str | None = None, test_id: str | None = None, limit: int = 1000
    ) -> tuple[Vote, ...]:
        """Return the newest votes with their tests, oldest of them first."""
        ...
