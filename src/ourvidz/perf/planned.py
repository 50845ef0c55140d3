"""Goals of an installation and of a history, measured: one list for command line and service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from ourvidz.catalog.config import GoalEntry
from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.history.plans import goals_of, roadmap_of
from ourvidz.perf.history.records import performance_records
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.optimisations import Measure, Optimisation, first_runs, roadmap_optimisation
from ourvidz.perf.plain import plain
from ourvidz.perf.record import PerformanceRecord

POCKET = "pocket"  # the profile whose models are others than those that a history is about


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptGoal:
    """A goal with its id: of the settings (``settings:1``) or one that was kept by the service."""

    id: str
    source: str  # "settings" or "api"
    entry: GoalEntry


class GoalStore(Protocol):
    """What keeps goals as JSON values."""

    def goals(self) -> Sequence[Mapping[str, Any]]:
        """Return all, in the order in which they were added."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalsReport:
    """What was planned, and how far the records say it got."""

    history: str
    today: date
    jobs: int  # of this machine
    full_size_jobs: int  # with full-size models
    before_jobs: int  # of the history
    own_goals: tuple[Optimisation, ...]
    goals: tuple[Optimisation, ...]  # the history's
    roadmap: tuple[Optimisation, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self) | {"today": str(self.today)}


def goals_report(
    named: NamedHistory,
    *,
    own: Sequence[KeptGoal],
    records: Sequence[PerformanceRecord],
    profile: str,
    now: date,
) -> GoalsReport:
    """Return every goal and roadmap item with its progress.

    Args:
        named: Whose goals and roadmap are told beside one's own.
        own: This installation's.
        records: Of this machine's jobs, oldest first.
        profile: With which one's own goals are measured.
        now: Today.
    """
    before = performance_records(named.history, name=named.name)
    mine = [record for record in records if _profile(record) in (None, profile)]
    full = [record for record in records if _profile(record) != POCKET]
    return GoalsReport(
        history=named.name,
        today=now,
        jobs=len(records),
        full_size_jobs=len(full),
        before_jobs=len(before),
        own_goals=measure_goals(own, mine, now=now),
        goals=goals_of(named.history, name=named.name, before=before, after=full, now=now),
        roadmap=roadmap_of(named.history, name=named.name, before=before, after=full, now=now),
    )


def kept_goals(entries: Iterable[GoalEntry], store: GoalStore | None) -> tuple[KeptGoal, ...]:
    """Return the goals of the settings, then those of a store.

    Raises:
        InvalidRequest: The store holds something that is no goal.
    """
    of_settings = [
        KeptGoal(id=f"settings:{index}", source="settings", entry=entry)
        for index, entry in enumerate(entries, start=1)
    ]
    bodies = () if store is None else store.goals()
    return (*of_settings, *map(goal_from_json, bodies))


def goal_to_json(goal: KeptGoal) -> dict[str, Any]:
    """Return what a store keeps of a goal."""
    return {"id": goal.id, **goal.entry.model_dump(mode="json")}


def goal_from_json(body: Mapping[str, Any]) -> KeptGoal:
    """Return a goal out of what ``goal_to_json`` gave.

    Raises:
        InvalidRequest: It is none.
    """
    facts = dict(body)
    goal_id = facts.pop("id", None)
    try:
        entry = GoalEntry.model_validate(facts)
    except ValueError as error:
        raise InvalidRequest(f"Goal {goal_id!r} is none: {error}.", param="goals") from error
    return KeptGoal(id=str(goal_id), source="api", entry=entry)


def measure_goals(
    goals: Sequence[KeptGoal], records: Sequence[PerformanceRecord], *, now: date
) -> tuple[Optimisation, ...]:
    """Return one's own goals, measured in records (oldest first)."""
    return tuple(_measured(goal, records, now) for goal in goals)


def _measured(goal: KeptGoal, records: Sequence[PerformanceRecord], now: date) -> Optimisation:
    entry = goal.entry
    measure = Measure(
        kind="total_s" if entry.seconds is not None else "success_rate",
        job_types=(entry.job_type,),
        state=entry.state,
        target=entry.seconds if entry.seconds is not None else entry.success_percent,
    )
    before, after = first_runs(records, measure)
    return roadmap_optimisation(
        id=goal.id,
        what=entry.text or _text(entry),
        target=_text(entry),
        horizon=None if entry.by is None else str(entry.by),
        due=entry.by,
        source=goal.source,
        measure=measure,
        before=before,
        after=after,
        now=now,
    )


def _text(entry: GoalEntry) -> str:
    state = f" {entry.state}" if entry.state else ""
    if entry.seconds is not None:
        return f"{entry.job_type}{state} in {entry.seconds:g} s"
    return f"{entry.job_type}{state}: {entry.success_percent:g} % succeed"


def _profile(record: PerformanceRecord) -> object:
    return record.workload.get("profile")
