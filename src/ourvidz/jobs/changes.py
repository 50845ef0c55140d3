"""What changed lately in the whole store, for who watches all of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ourvidz.jobs.database import Transaction

_MARKS = ("changed_at", "event_seq", "priority", "position", "held", "is_favourite")


@dataclass(frozen=True, kw_only=True, slots=True)
class Touched:
    """A job that was touched; its mark is another one after every change."""

    job_id: str
    mark: Hashable


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """A job that was forgotten."""

    seq: int  # grows with every deletion
    job_id: str
    tenant: str
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What changed since some time, as of ``now``."""

    now: float
    touched: tuple[Touched, ...]
    deletions: tuple[Deletion, ...]
    before: int  # the number of the last deletion before all of these
    paused: tuple[str, ...]


def changes_since(tx: Transaction, *, since: float, after: int | None) -> Changes:
    """See ``JobStore.changes``."""
    now = tx.now  # before the rows: what comes later is found the next time
    touched = tx.rows("changed_jobs", since=since)
    before = after
    if before is None:
        before = (tx.row("last_deletion", before=since) or {"seq": 0})["seq"]
    deletions = tx.rows("deletions", after=before)
    return Changes(
        now=now,
        touched=tuple(
            Touched(job_id=row["id"], mark=tuple(row[name] for name in _MARKS)) for row in touched
        ),
        deletions=tuple(
            Deletion(seq=row["seq"], job_id=row["job_id"], tenant=row["tenant"], at=row["at"])
            for row in deletions
        ),
        before=before,
        paused=tuple(row["scope"] for row in tx.rows("paused_scopes")),
    )
