"""A history's roadmap and goals as optimisations, measured in its own and this machine's runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from ourvidz.perf.history.schema import Goal, History
from ourvidz.perf.optimisations import (
    Measure,
    Optimisation,
    due_of,
    parts_of,
    roadmap_optimisation,
)
from ourvidz.perf.record import PerformanceRecord


def roadmap_of(
    history: History,
    *,
    name: str,
    before: Iterable[PerformanceRecord],
    after: Iterable[PerformanceRecord],
    now: date,
) -> tuple[Optimisation, ...]:
    """Return the roadmap's items, by priority.

    Args:
        history: The file.
        name: Of the history.
        before: Its own records.
        after: This machine's.
        now: Today.
    """
    then, found = list(before), list(after)
    return tuple(
        roadmap_optimisation(
            id=f"{name}:{item.priority}",
            what=item.what,
            current=item.current,
            target=item.target,
            method=item.method,
            horizon=item.horizon,
            due=due_of(item.horizon or ""),
            source=name,
            measure=item.measure,
            before=then,
            after=found,
            now=now,
        )
        for item in sorted(history.roadmap, key=lambda item: item.priority)
    )


def goals_of(
    history: History,
    *,
    name: str,
    before: Iterable[PerformanceRecord],
    after: Iterable[PerformanceRecord],
    now: date,
) -> tuple[Optimisation, ...]:
    """Return the goals, one for each part of a line, in the file's order."""
    then, found = list(before), list(after)
    return tuple(
        roadmap_optimisation(
            id=f"{name}:{goal.by}:{index}",
            what=part,
            target=part,
            horizon=goal.by,
            due=due_of(goal.by),
            source=name,
            measure=measure,
            before=then,
            after=found,
            now=now,
        )
        for goal in history.goals
        for index, (part, measure) in enumerate(_parts(goal), start=1)
    )


def _parts(goal: Goal) -> Sequence[tuple[str, Measure | None]]:
    parts = parts_of(goal.what)
    measures = [*goal.measures, *([None] * len(parts))]
    return list(zip(parts, measures, strict=False))
