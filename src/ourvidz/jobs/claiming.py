"""Who is next. The order is decided here, over a few looks at indexes; never one big sort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.history import add_event, send
from ourvidz.jobs.model import Demand, EventKind, Job
from ourvidz.jobs.rows import from_json, job_of

# On Postgres, what one look chose may be another claimer's by the next. Then look again.
_ROUNDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """Jobs of one kind and model that may be claimed: what its first ones are."""

    name: str
    priority: int  # its top band
    run_at: float  # since when its oldest could run

    @property
    def kind(self) -> str:
        """The jobs' kind."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The model that the jobs need first."""
        return self.name.partition(":")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overdue:
    """Take the oldest job of a lane that could run before a moment."""

    lane: str
    before: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Take the next job of a band of some lanes: least charged tenant, then position."""

    priority: int
    lanes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a worker can run and what it has loaded."""

    resident: Collection[str] = ()
    models: Collection[str] = ()  # empty: any
    kinds: Collection[str] = ()  # empty: any
    overdue_before: float | None = None  # jobs that could run before this go first

    def allows(self, lane: Lane) -> bool:
        """Whether the worker may take jobs of a lane."""
        return (not self.models or lane.model in self.models) and (
            not self.kinds or lane.kind in self.kinds
        )


def choices(lanes: Iterable[Lane], wishes: Wishes) -> Iterator[Overdue | Band]:
    """Yield where to look for the next job, best first.

    Overdue jobs, oldest first; then bands from the top, and within a band what is resident before
    what would have to be loaded.
    """
    allowed = [lane for lane in lanes if wishes.allows(lane)]
    before = wishes.overdue_before
    if before is not None:
        for lane in sorted(allowed, key=lambda lane: (lane.run_at, lane.name)):
            if lane.run_at < before:
                yield Overdue(lane=lane.name, before=before)
    for priority in sorted({lane.priority for lane in allowed}, reverse=True):
        band = [lane for lane in allowed if lane.priority == priority]
        for is_resident in (True, False):
            names = [lane.name for lane in band if (lane.model in wishes.resident) is is_resident]
            if names:
                yield Band(priority=priority, lanes=tuple(names))


def has_work(tx: Transaction) -> bool:
    """Whether something waits that could be claimed, or should be by now: one cheap look."""
    found = tx.row("has_work") or {}
    return found["ready_id"] is not None or is_due(tx, found)


def is_due(tx: Transaction, found: Row) -> bool:
    """Whether a delayed job's time has come."""
    return found["next_run_at"] is not None and found["next_run_at"] <= tx.now


def next_id(tx: Transaction, wishes: Wishes, rows: Sequence[Row] | None = None) -> str | None:
    """Return the job that is next, locked where the database locks rows.

    ``rows`` are the lanes that were seen just now, if they were.
    """
    for _ in range(_ROUNDS):
        lanes = [
            Lane(name=row["lane"], priority=row["priority"], run_at=row["run_at"])
            for row in (tx.rows("ready_lanes") if rows is None else rows)
            if row["priority"] is not None  # taken while we looked
        ]
        rows = None
        if not any(wishes.allows(lane) for lane in lanes):
            return None
        for choice in choices(lanes, wishes):
            job_id = _pick(tx, choice)
            if job_id is not None:
                return job_id
    return None


def _pick(tx: Transaction, choice: Overdue | Band) -> str | None:
    if isinstance(choice, Overdue):
        return _id_of(tx.row("pick_overdue", lane=choice.lane, before=choice.before))
    tenants = tx.rows("next_tenants", lanes=choice.lanes, priority=choice.priority)
    for tenant in tenants:
        for lane in _lanes_by_position(tx, choice, tenant["id"]):
            job_id = _id_of(
                tx.row("pick_band", lane=lane, priority=choice.priority, tenant=tenant["id"])
            )
            if job_id is not None:
                return job_id
    return None


def _lanes_by_position(tx: Transaction, band: Band, tenant: str) -> Sequence[str]:
    if len(band.lanes) == 1:
        return band.lanes
    heads = tx.rows("lane_heads", lanes=band.lanes, priority=band.priority, tenant=tenant)
    ordered = sorted(heads, key=lambda head: (head["position"], head["id"]))
    return [head["lane"] for head in ordered]


def _id_of(row: Row | None) -> str | None:
    return None if row is None else row["id"]


def claim(tx: Transaction, worker_id: str, wishes: Wishes, *, lease_s: float) -> Job | None:
    """See ``JobStore.claim``."""
    rows: Sequence[Row] | None = tx.rows("ready_lanes")
    if (not rows or is_due(tx, rows[0])) and tx.run("release_delayed", now=tx.now):
        rows = None
    while (job_id := next_id(tx, wishes, rows)) is not None:
        row = _claimed(tx, job_id, worker_id, lease_s)
        if row is not None:
            _charge(tx, row)
            return job_of(row)
        if not tx.run("hold_if_paused", id=job_id, now=tx.now):
            return None  # taken meanwhile; the next poll finds another
        rows = None
    return None


def claim_same_shape(
    tx: Transaction, worker_id: str, job: Job, *, batch_shape: str, limit: int, lease_s: float
) -> tuple[Job, ...]:
    """See ``JobStore.claim_same_shape``. Only of the same band: nobody jumps the queue so."""
    found = tx.rows("pick_shape", batch_shape=batch_shape, priority=job.priority, limit=limit)
    taken = [_claimed(tx, row["id"], worker_id, lease_s) for row in found]
    rows = [row for row in taken if row is not None]
    for row in sorted(rows, key=lambda row: row["tenant"]):
        _charge(tx, row)
    return tuple(job_of(row) for row in rows)


def claim_own(tx: Transaction, job_id: str, worker_id: str, *, lease_s: float) -> Job:
    """Take a job that this transaction has stored: nobody else can have seen it."""
    row = _claimed(tx, job_id, worker_id, lease_s, statement="claim_own")
    assert row is not None, "it was stored just now"
    _charge(tx, row)
    return job_of(row)


def _claimed(
    tx: Transaction, job_id: str, worker_id: str, lease_s: float, *, statement: str = "claim_job"
) -> Row | None:
    row = tx.row(
        statement, id=job_id, worker_id=worker_id, now=tx.now, lease_until=tx.now + lease_s
    )
    if row is None:
        return None
    tx.run_last(
        "add_attempt",
        job_id=job_id,
        token=row["token"],
        worker_id=worker_id,
        now=tx.now,
        charged_s=row["predicted_s"],
    )
    data = {"worker_id": worker_id, "token": row["token"]}
    add_event(tx, job_id, row["event_seq"], EventKind.CLAIMED, data)
    if row["token"] == 1:  # whom a start interests hears of the first
        send(tx, row, EventKind.CLAIMED.value)
    return row


def _charge(tx: Transaction, row: Row) -> None:
    tx.run_last("charge_tenant", tenant=row["tenant"], device_s=row["predicted_s"])


def demands_of(rows: Sequence[Row]) -> tuple[Demand, ...]:
    """Return the lanes of ``upcoming`` as models: the top band first, then the oldest first job."""
    ordered = sorted(rows, key=lambda row: (-row["priority"], row["run_at"], row["lane"]))
    return tuple(_demand_of(row) for row in ordered)


def _demand_of(row: Row) -> Demand:
    model = _model_of(row["lane"])
    enhancer = None if row["enhancement"] is not None else _enhancer_of(row["request"])
    return Demand(
        model=model,
        num_jobs=row["num_jobs"],
        enhancer=None if enhancer == model else enhancer,
    )


def used_models(rows: Sequence[Row]) -> tuple[Demand, ...]:
    """Return the models of ``demand``'s jobs by how many need each, an enhancer's included."""
    counts: Counter[str] = Counter()
    for row in rows:
        enhancer = _enhancer_of(row["request"])
        counts.update({_model_of(row["lane"]), *([enhancer] if enhancer else ())})
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Demand(model=model, num_jobs=num_jobs) for model, num_jobs in ordered)


def _model_of(lane: str) -> str:
    return lane.partition(":")[2]


def _enhancer_of(request: str) -> str | None:
    plan = from_json(request).get("enhancement")
    return None if plan is None else plan["model"]
