"""Everything that is known of an installation's speed, and what is said of it.

The command line and the service ask here, so that both say the same of the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.perf.baselines import Baseline, baseline_of, baselines
from ourvidz.perf.comparison import require_comparable
from ourvidz.perf.decisions import Decision, Finding, standing_decisions, to_json
from ourvidz.perf.history import shelf
from ourvidz.perf.history.candidates import Candidate, day_changes
from ourvidz.perf.history.schema import NamedHistory
from ourvidz.perf.matrix import Expect, Matrix, Quality, matrix
from ourvidz.perf.measures import measures_of
from ourvidz.perf.plain import plain
from ourvidz.perf.protocol.results import list_runs, read_run
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.records import RecordReader
from ourvidz.perf.scoring import JobScore, RaisedAlarm, Watch, alarms, score_job, watches
from ourvidz.perf.trend import Note, Series, change_of, finding_at, trends
from ourvidz.perf.verdicts import Verdict, judge_runs

BENCHMARKS_FOLDER = "benchmarks"  # of protocol runs and kept sweeps, within the data directory
HISTORY_FOLDER = "history"  # of imported histories, within the data directory


class JobRating(Protocol):
    """What a person said of a job's output."""

    @property
    def job_id(self) -> str:
        """Of which job."""
        ...

    @property
    def stars(self) -> int | None:
        """1 to 5."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """Every history with its changes, and what has to be looked at now."""

    series: tuple[Series, ...]
    alarms: tuple[RaisedAlarm, ...]
    watched: tuple[Watch, ...]
    history_candidates: tuple[Candidate, ...]  # changes between days of imported histories

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """One job beside its baseline, and beside another job where one was named."""

    record: PerformanceRecord
    baseline: Baseline | None
    score: JobScore
    against: Verdict | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "record": plain(self.record),
            "baseline": None if self.baseline is None else self.baseline.to_json(),
            "score": self.score.to_json(),
            "against": None if self.against is None else self.against.to_json(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What is known: this installation's records, imported ones, decisions."""

    own: Sequence[PerformanceRecord]
    imported: Sequence[PerformanceRecord] = ()
    decisions: Sequence[Decision] = ()
    stars: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])  # by job

    @property
    def records(self) -> Sequence[PerformanceRecord]:
        """All of them."""
        return [*self.imported, *self.own]

    def matrix(
        self,
        job_types: Sequence[str],
        *,
        expect: Expect | None = None,
        quality: Quality | None = None,
    ) -> Matrix:
        """Return a row for each job type, preset, setting, environment and state.

        Without ``expect``, what a group should take is predicted from the newest runs of others
        (``report.expected.telling``);
        without ``quality`` it is the mean of the stars that people gave its runs.
        """
        # The report is made of surveys, so that this module can't import its parts before.
        from ourvidz.perf.report.expected import expectations, telling

        return matrix(
            self.records,
            job_types=job_types,
            decisions=self.decisions,
            expect=expect or expectations(telling(self.own)),
            quality=quality or self._mean_stars,
        )

    def _mean_stars(self, baseline: Baseline) -> float | None:
        """Return the mean stars, 1 to 5, of the runs that count; None where nobody gave any."""
        found = [stars for run in baseline.runs for stars in self.stars.get(run, ())]
        return sum(found) / len(found) if found else None

    def trend(
        self,
        *,
        preset: str | None = None,
        state: str | None = None,
        measures: Sequence[str] | None = None,
        notes: Sequence[Note] = (),
    ) -> Trend:
        """Return the histories that fit, with their change points.

        Raises:
            InvalidRequest: No record has such a measure.
        """
        self._check_measures(measures)
        found = trends(self.records, decisions=self.decisions, notes=notes, measures=measures)
        return Trend(
            series=tuple(
                each
                for each in found
                if preset in (None, each.preset) and state in (None, each.state)
            ),
            alarms=alarms(self.own, decisions=self.decisions),
            watched=watches(self.own, decisions=self.decisions),
            history_candidates=day_changes(self.imported),
        )

    def baselines(self) -> tuple[Baseline, ...]:
        """Return all baselines without their figures, newest run first."""
        return baselines(self.records, decisions=self.decisions, measures=())

    def baseline(self, group: str) -> Baseline:
        """Return a baseline in full, by its id or the beginning of one.

        Raises:
            NotFound: There is none.
            InvalidRequest: The beginning fits several.
        """
        fitting = [each for each in self.baselines() if each.id.startswith(group)]
        if not group or not fitting:
            raise NotFound(f"There is no baseline {group!r}.", hint="ourvidz perf matrix --json")
        if len(fitting) > 1:
            raise InvalidRequest(
                f"{group!r} is the beginning of {len(fitting)} baselines.", param="group"
            )
        newest = next(each for each in self.records if each.id == fitting[0].newest)
        found = baseline_of(newest, self.records, decisions=self.decisions)
        assert found is not None
        return found

    def record(self, job_id: str) -> PerformanceRecord:
        """Return a job's record.

        Raises:
            NotFound: It left none.
        """
        found = next((each for each in self.records if each.id == job_id), None)
        if found is None:
            raise NotFound(
                f"There is no record {job_id!r}.",
                param="job_id",
                hint="ourvidz jobs list names jobs; one that has not ended has no record.",
            )
        return found

    def job(self, job_id: str, *, against: str | None = None) -> JobView:
        """Return a job beside its baseline: fast, normal or slow, phase by phase.

        Raises:
            NotFound: No such record.
            InvalidRequest: The two can't be compared.
        """
        found = self.record(job_id)
        verdict = None
        if against is not None:
            other = self.record(against)
            require_comparable(other, found)
            verdict = judge_runs([other], [found])
        return JobView(
            record=found,
            baseline=baseline_of(found, self.records, decisions=self.decisions),
            score=score_job(found, self.own, decisions=self.decisions),
            against=verdict,
        )

    def finding(self, target: str) -> Finding:
        """Return what is decided upon: a change by (the beginning of) its id, or from a run on.

        Raises:
            NotFound: Neither is there.
            InvalidRequest: Several fit, or there are too few runs.
        """
        if any(each.id == target for each in self.own):
            return finding_at(target, self.own)
        return change_of(trends(self.own, decisions=self.decisions), target).finding

    def _check_measures(self, wanted: Sequence[str] | None) -> None:
        if not wanted or not self.records:
            return
        known = {name for each in self.records for name in measures_of(each)}
        for name in wanted:
            if name not in known:
                raise InvalidRequest(
                    f"No record has the measure {name!r}.",
                    param="measure",
                    hint=f"Known: {', '.join(sorted(known))}.",
                )


def own_records(reader: RecordReader, *, job_type: str | None = None) -> list[PerformanceRecord]:
    """Return what this installation measured itself, oldest first."""
    return [
        each for each in reader.records(job_type=job_type) if each.origin is not Origin.IMPORTED
    ]


def imported_records(
    histories: Sequence[NamedHistory], *, job_type: str | None = None
) -> list[PerformanceRecord]:
    """Return the records of imported histories, oldest first."""
    return list(shelf.HistoryReader(histories).records(job_type=job_type))


def histories_in(data_dir: Path) -> tuple[NamedHistory, ...]:
    """Return the shipped history and those that were imported into an installation."""
    return shelf.load_histories(data_dir / HISTORY_FOLDER)


def stars_of(ratings: Iterable[JobRating]) -> dict[str, tuple[int, ...]]:
    """Return the stars that people gave, by job."""
    found: dict[str, tuple[int, ...]] = {}
    for rating in ratings:
        if rating.stars is not None:
            found[rating.job_id] = (*found.get(rating.job_id, ()), rating.stars)
    return found


def protocol_reports(folder: Path, *, most: int = 12) -> list[dict[str, Any]]:
    """Return the reports of the newest protocol runs that have one, newest first."""
    found: list[dict[str, Any]] = []
    for summary in list_runs(folder):
        if len(found) == most:
            break
        if summary.outcome is not None:
            found.append(read_run(folder, summary.id).to_dict())
    return found


def decisions_json(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """Return all decisions as JSON values, each with whether it ``holds``."""
    listed = list(decisions)
    holding = {each.id for each in standing_decisions(listed).values()}
    return [to_json(each) | {"holds": each.id in holding} for each in listed]
