"""History: when did a series change, by how much, and what else changed there.

A series is one workload in one state on one machine; versions, drivers and model files may change
within it, because they are what explains a change. Where the environments of both sides are alike,
the cause was not captured, and that is what is said.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.decisions import Decision, Effect, Finding, standing_decisions
from ourvidz.perf.grouping import (
    group_id,
    in_groups,
    in_order,
    in_series,
    machine_of,
    preset_of,
)
from ourvidz.perf.measures import (
    TOTAL,
    Column,
    columns_of,
    is_judged,
    measures_of,
    sorted_measures,
    tolerance_of,
)
from ourvidz.perf.plain import digest, flatten, plain
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats import ChangePoint, Shift, change_points, relative_shift
from ourvidz.perf.verdicts import Outcome, judge_runs

SIGNIFICANCE = 0.001
MIN_SIZE = 5  # runs on each side
MIN_SHIFT = 0.03
# Parts of an environment that come and go with single jobs: causes to name, but no news.
_NOT_MARKED = frozenset({"told", "version"})
# A candidate: fewer runs than a change point needs, yet both sides far apart.
_CANDIDATE_MIN_SIZE = 2
# Of longer series the newest are searched: what the search takes grows with the square of their
# number. The window moves in steps, so that a new run does not put all others to the test anew.
_SEARCHED = 400
_WINDOW_STEP = 100
_MOST_KEPT = 2048  # columns of which it is remembered where they changed
_CANDIDATE_MAX_SIZE = 5  # runs of the shorter side from which it could be a change point
# Names of the environment, or parts of them, that say what was running.
_MODEL_WORDS = frozenset({"model_files", "models", "model", "hashes", "sha256"})
_DRIVER_WORDS = frozenset({"driver", "driver_version"})
_VERSION_WORDS = frozenset(
    {"software", "packages", "ourvidz", "commit", "python", "os", "kernel", "torch", "cuda"}
)


class MarkKind(StrEnum):
    """What the change log tells of."""

    DRIVER = "driver"
    MODEL = "model"
    VERSION = "version"
    ENVIRONMENT = "environment"  # anything else that was recorded
    NOTE = "note"  # by a person


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A line of the change log that a person wrote."""

    at: datetime
    text: str
    author: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something that happened between two runs."""

    at: datetime  # of the first run after it; of a note, its own
    kind: MarkKind
    name: str  # of the environment, dotted; of a note, its author
    before: Any
    after: Any
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SideDifference:
    """One name of the environment on the two sides of a change."""

    kind: MarkKind
    name: str
    before: tuple[Any, ...]  # every value that the runs of this side had, by first use
    after: tuple[Any, ...]
    is_at_change: bool  # it changed between the last run before and the first after


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureChange:
    """By how much one measure changed."""

    measure: str
    at_record: str  # the first run of the new level
    p_value: float
    shift: Shift  # between the neighbouring levels, relative


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A moment from which a series was another one, in one measure or several."""

    id: str  # the same as long as its first run is
    series: str
    at: datetime
    at_record: str
    effect: Effect
    measures: tuple[MeasureChange, ...]
    differences: tuple[SideDifference, ...]
    cause: str  # in words; that it is unknown, where nothing recorded differs
    marks: tuple[Mark, ...]  # between the last run before and the first after, and near notes
    decision: Decision | None  # what holds of it now
    text: str

    @property
    def finding(self) -> Finding:
        """What a person decides upon."""
        return Finding(
            id=self.id,
            series=self.series,
            effect=self.effect,
            from_at=self.at,
            from_record=self.at_record,
            text=self.text,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What looks like a change, of too few runs for anybody to say so."""

    measure: str
    at_record: str
    at: datetime
    num_before: int
    num_after: int
    shift: float  # as a share
    cause: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One run of a series."""

    id: str
    at: datetime
    values: Mapping[str, float]
    left_out: tuple[str, ...]  # why it does not count; empty if it does


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """The history of one workload, state and machine."""

    id: str
    job_type: str
    preset: str
    workload: Mapping[str, Any]
    state: str
    compile_state: str
    machine: Mapping[str, Any]
    is_history: bool  # imported
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    candidates: tuple[Candidate, ...]
    marks: tuple[Mark, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def trends(
    records: Iterable[PerformanceRecord],
    *,
    decisions: Sequence[Decision] = (),
    notes: Sequence[Note] = (),
    measures: Collection[str] | None = None,
) -> tuple[Series, ...]:
    """Return every series with its change points and the change log, newest run first.

    A change point needs p <= 0.001 (E-divisive, a deterministic permutation test), 3 % or more, and
    five runs on each side. Runs that were contaminated or failed are shown and not counted.

    Args:
        records: Any order.
        decisions: All so far: each change tells what was decided about it.
        notes: What people wrote into the change log.
        measures: Of which changes and candidates are told; None for all. All are searched: change
            points of one series that lie within five runs of each other are one change, with one
            id whatever is asked for.
    """
    found = [
        _series(identity, runs, decisions, notes, measures)
        for identity, runs in in_series(records).items()
    ]
    return tuple(sorted(found, key=lambda each: (each.points[-1].at, each.id), reverse=True))


def notes_from_json(text: str) -> tuple[Note, ...]:
    """Return notes out of JSON: a list of objects with ``at`` (ISO 8601), ``text``, ``author``.

    A moment without a time zone is UTC.

    Raises:
        InvalidRequest: It is none; which entry is named.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"The notes are no JSON: {error}.", param="notes") from error
    if not isinstance(entries, list):
        raise InvalidRequest("The notes must be a list.", param="notes")
    found: list[Note] = []
    for number, entry in enumerate(cast("list[Any]", entries), start=1):
        try:
            at = datetime.fromisoformat(entry["at"])
            note = Note(
                at=at if at.tzinfo is not None else at.replace(tzinfo=UTC),
                text=str(entry["text"]),
                author=str(entry.get("author", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidRequest(
                f"Note {number} is none: {error!r}.",
                param="notes",
                hint='{"at": "2026-01-31T12:00:00Z", "text": "new fan", "author": "ada"}',
            ) from error
        found.append(note)
    return tuple(found)


def change_id(series: str, record_id: str) -> str:
    """Return the id of the change that begins with a run."""
    return f"c-{digest([series, record_id])}"


def finding_at(record_id: str, records: Iterable[PerformanceRecord]) -> Finding:
    """Return what a person decides upon who says that a new level begins with a run.

    Judged are the runs of its group before it against it and those after it.

    Raises:
        NotFound: No such run.
        InvalidRequest: It does not count, is imported, or either side has too few runs.
    """
    listed = in_order(records)
    first = next((each for each in listed if each.id == record_id), None)
    if first is None:
        raise NotFound(f"There is no record {record_id!r}.", hint="ourvidz perf trend lists them.")
    reasons = left_out_reasons(first)
    if reasons:
        raise InvalidRequest(
            f"{record_id} counts for no baseline: {', '.join(reasons)}.", param="target"
        )
    group = in_groups(listed)[group_id(first)]
    place = group.index(first)
    verdict = judge_runs(group[:place], group[place:])
    if verdict.outcome is Outcome.INDICATIVE:
        raise InvalidRequest(
            f"Too few runs to decide upon: {verdict.text}.",
            param="target",
            hint="Run the job type more often, for example by ourvidz bench run.",
        )
    return replace(verdict.finding, id=change_id(verdict.finding.series, record_id))


def change_of(series: Iterable[Series], wanted: str) -> Change:
    """Return the change of an id, or of the beginning of one.

    Raises:
        NotFound: There is none.
        InvalidRequest: The beginning fits several.
    """
    changes = [change for each in series for change in each.changes]
    exact = [change for change in changes if change.id == wanted]
    fitting = exact or [change for change in changes if change.id.startswith(wanted)]
    if not wanted or not fitting:
        raise NotFound(f"There is no change {wanted!r}.", hint="ourvidz perf trend lists them.")
    if len(fitting) > 1:
        raise InvalidRequest(
            f"{wanted!r} is the beginning of {len(fitting)} changes.",
            param="change",
            hint=", ".join(change.id for change in fitting[:5]),
        )
    return fitting[0]


def marks_of(records: Iterable[PerformanceRecord]) -> tuple[Mark, ...]:
    """Return what changed in the environment between neighbouring runs, in the order of time."""
    return tuple(
        mark
        for before, after in pairwise(in_order(records))
        for mark in _marks_between(before, after)
    )


# One series


def _series(
    identity: str,
    runs: Sequence[PerformanceRecord],
    decisions: Sequence[Decision],
    notes: Sequence[Note],
    wanted: Collection[str] | None,
) -> Series:
    newest = runs[-1]
    is_history = newest.origin is Origin.IMPORTED
    points = tuple(
        Point(
            id=run.id,
            at=run.at,
            values=measures_of(run),
            left_out=tuple(r for r in left_out_reasons(run) if r != "imported"),
        )
        for run in runs
    )
    out = {point.id for point in points if point.left_out}
    counted = [run for run in runs if run.id not in out]
    # Changes are found in all measures whatever is asked for, so that each has one id.
    judged = {name: column for name, column in columns_of(counted).items() if is_judged(name)}
    columns = {name: each for name, each in judged.items() if wanted is None or name in wanted}
    changes = _changes(identity, counted, judged, columns, decisions, notes)
    own_notes = tuple(_note_mark(note) for note in notes)
    marks = sorted((*marks_of(runs), *own_notes), key=lambda mark: mark.at)
    return Series(
        id=identity,
        job_type=newest.job_type,
        preset=preset_of(newest),
        workload=newest.workload,
        state=newest.state,
        compile_state=newest.compile_state,
        machine=machine_of(newest.environment),
        is_history=is_history,
        points=points,
        changes=changes,
        candidates=tuple(
            candidate
            for name, column in columns.items()
            if not any(m.measure == name for change in changes for m in change.measures)
            for candidate in _candidates(counted, name, column)
        ),
        marks=tuple(marks),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A change point of one measure: where it lies among all the counted runs."""

    index: int
    change: MeasureChange


def _changes(
    series: str,
    runs: Sequence[PerformanceRecord],
    columns: Mapping[str, Column],
    wanted: Collection[str],
    decisions: Sequence[Decision],
    notes: Sequence[Note],
) -> tuple[Change, ...]:
    found = sorted(
        (point for name in columns for point in _change_points(runs, name, columns[name])),
        key=lambda point: point.index,
    )
    clusters: list[list[_Found]] = []
    for point in found:
        mine = {each.change.measure for each in clusters[-1]} if clusters else set[str]()
        is_near = bool(clusters) and point.index - clusters[-1][0].index < MIN_SIZE
        if is_near and point.change.measure not in mine:
            clusters[-1].append(point)
        else:
            clusters.append([point])
    # Both sides of a change reach to the next one.
    indices = [_index(cluster) for cluster in clusters]
    edges = [0, *indices, len(runs)]
    return tuple(
        _change(series, runs, told, (left, index, right), decisions, notes)
        for cluster, left, index, right in zip(
            clusters, edges, edges[1:-1], edges[2:], strict=False
        )
        if (told := [point for point in cluster if point.change.measure in wanted])
    )


def _change_points(runs: Sequence[PerformanceRecord], name: str, column: Column) -> list[_Found]:
    values = column.values
    if len(values) < 2 * MIN_SIZE:
        return []
    found: list[_Found] = []
    start = _searched_from(len(values))
    for point in _splits(values[start:]):
        # Told as a share of the level before; a floor keeps out what only the clock can see.
        base = values[start + point.index - 1]
        moved = abs(point.shift.estimate)
        if moved < MIN_SHIFT or moved * base < tolerance_of(name).floor:
            continue
        index = column.indices[start + point.index]
        found.append(
            _Found(
                index=index,
                change=MeasureChange(
                    measure=name,
                    at_record=runs[index].id,
                    p_value=point.p_value,
                    shift=point.shift,
                ),
            )
        )
    return found


def _searched_from(num_runs: int) -> int:
    return max(0, (num_runs - _SEARCHED) // _WINDOW_STEP * _WINDOW_STEP)


@lru_cache(maxsize=_MOST_KEPT)
def _splits(values: tuple[float, ...]) -> tuple[ChangePoint, ...]:
    """Return where a column changed: a new run is one of its own series alone."""
    return change_points(values, significance=SIGNIFICANCE, min_size=MIN_SIZE)


def _index(cluster: Sequence[_Found]) -> int:
    """Return where most of the measures changed; of equals, the earliest."""
    places = [point.index for point in cluster]
    return max(sorted(set(places)), key=places.count)


def _change(
    series: str,
    runs: Sequence[PerformanceRecord],
    cluster: Sequence[_Found],
    edges: tuple[int, int, int],
    decisions: Sequence[Decision],
    notes: Sequence[Note],
) -> Change:
    left, index, right = edges
    first = runs[index]
    by_name = {point.change.measure: point.change for point in cluster}
    measures = tuple(by_name[name] for name in sorted_measures(by_name))
    differences = environment_differences(runs[left:index], runs[index:right])
    identity = change_id(series, first.id)
    sizes = ", ".join(f"{each.measure} {each.shift.estimate:+.1%}" for each in measures)
    cause = _cause(differences, runs[left:right])
    near = [
        _note_mark(note) for note in notes if runs[max(left, index - 1)].at < note.at <= first.at
    ]
    return Change(
        id=identity,
        series=series,
        at=first.at,
        at_record=first.id,
        effect=_effect(measures),
        measures=measures,
        differences=differences,
        cause=cause,
        marks=(*_marks_between(runs[index - 1], first), *near),
        decision=_decision_of(identity, series, runs, index, decisions),
        text=f"{sizes} from {first.id} on; {cause}",
    )


def _decision_of(
    identity: str,
    series: str,
    runs: Sequence[PerformanceRecord],
    index: int,
    decisions: Sequence[Decision],
) -> Decision | None:
    """Return what was decided: of this very change, or of one that later runs moved a little."""
    standing = standing_decisions(decisions)
    if identity in standing:
        return standing[identity]
    near = {run.id for run in runs[max(0, index - MIN_SIZE + 1) : index + MIN_SIZE]}
    moved = [
        each
        for each in standing.values()
        if each.finding.series == series and each.finding.from_record in near
    ]
    return max(moved, key=lambda each: each.at, default=None)


def _effect(measures: Sequence[MeasureChange]) -> Effect:
    """Return what to call it: the whole job's word counts where it changed."""
    whole = next((each for each in measures if each.measure == TOTAL), None)
    signs = {each.shift.estimate > 0 for each in ([whole] if whole is not None else measures)}
    if signs == {True}:
        return Effect.REGRESSION
    return Effect.IMPROVEMENT if signs == {False} else Effect.MIXED


def _candidates(runs: Sequence[PerformanceRecord], name: str, column: Column) -> list[Candidate]:
    """Return the split at which all runs of a side differ by more than they do among themselves."""
    having, values = [runs[index] for index in column.indices], column.values
    found: list[tuple[float, int]] = []
    for index in range(_CANDIDATE_MIN_SIZE, len(values) - _CANDIDATE_MIN_SIZE + 1):
        before, after = values[:index], values[index:]
        if min(len(before), len(after)) > _CANDIDATE_MAX_SIZE:
            continue
        gap = max(min(after) - max(before), min(before) - max(after))
        spread = max(max(side) - min(side) for side in (before, after))
        if gap > spread and gap >= tolerance_of(name).floor:
            found.append((gap - spread, index))
    if not found:
        return []
    _, index = max(found)
    before, after = values[:index], values[index:]
    moved = relative_shift(before, after).estimate
    if abs(moved) < MIN_SHIFT:
        return []
    first = having[index]
    cause = _cause(environment_differences(having[:index], having[index:]), having)
    return [
        Candidate(
            measure=name,
            at_record=first.id,
            at=first.at,
            num_before=len(before),
            num_after=len(after),
            shift=moved,
            cause=cause,
            text=(
                f"candidate: {name} {moved:+.1%} from {first.id} on; {len(before)} and "
                f"{len(after)} runs are too few for a verdict; {cause}"
            ),
        )
    ]


# What else changed


def environment_differences(
    before: Sequence[PerformanceRecord], after: Sequence[PerformanceRecord]
) -> tuple[SideDifference, ...]:
    """Return every name of the environment whose values differ between two stretches of runs.

    Those that changed just between the stretches come first.
    """
    if not before or not after:
        return ()
    sides = [[flatten(run.environment) for run in side] for side in (before, after)]
    names = dict.fromkeys(name for side in sides for values in side for name in values)
    found: list[SideDifference] = []
    for name in names:
        first, second = (
            tuple(dict.fromkeys(_hashable(values.get(name)) for values in side)) for side in sides
        )
        if set(first) == set(second):
            continue
        is_at_change = _hashable(sides[0][-1].get(name)) != _hashable(sides[1][0].get(name))
        found.append(
            SideDifference(
                kind=_kind(name),
                name=name,
                before=first,
                after=second,
                is_at_change=is_at_change,
            )
        )
    return tuple(sorted(found, key=lambda each: (not each.is_at_change, each.name)))


def _cause(differences: Sequence[SideDifference], runs: Sequence[PerformanceRecord]) -> str:
    named = [each for each in differences if each.is_at_change] or list(differences)
    if named:
        told = [f"{each.name} {_told(each.before)} -> {_told(each.after)}" for each in named[:3]]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return f"the environment changed: {', '.join(told)}{more}"
    if all(not any(_versions(run.environment)) for run in runs):
        return "cause unknown: the environment was not captured"
    return "cause unknown: nothing recorded differs"


def _versions(environment: Mapping[str, Any]) -> list[str]:
    flat = flatten(environment)
    return [
        name
        for name, value in flat.items()
        if _kind(name) is not MarkKind.ENVIRONMENT and value not in (None, "", "unrecorded")
    ]


def _told(values: Sequence[Any]) -> str:
    return " or ".join("none" if value is None else str(value) for value in values)


def _marks_between(before: PerformanceRecord, after: PerformanceRecord) -> list[Mark]:
    if before.environment == after.environment:
        return []
    first, second = flatten(before.environment), flatten(after.environment)
    names = dict.fromkeys([*first, *second])
    return [
        Mark(
            at=after.at,
            kind=_kind(name),
            name=name,
            before=first.get(name),
            after=second.get(name),
            text=f"{name} {_told([first.get(name)])} -> {_told([second.get(name)])}",
        )
        for name in names
        if first.get(name) != second.get(name) and name.partition(".")[0] not in _NOT_MARKED
    ]


def _note_mark(note: Note) -> Mark:
    return Mark(
        at=note.at, kind=MarkKind.NOTE, name=note.author, before=None, after=None, text=note.text
    )


def _kind(name: str) -> MarkKind:
    parts = set(name.split("."))
    if parts & _DRIVER_WORDS:
        return MarkKind.DRIVER
    if parts & _MODEL_WORDS:
        return MarkKind.MODEL
    return MarkKind.VERSION if parts & _VERSION_WORDS else MarkKind.ENVIRONMENT


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value
