"""What protocol runs left on disk: finished runs line by line, reports, and reading both.

A run's folder holds ``plan.json``, ``runs.jsonl``, ``report.json``, ``report.md`` and ``outputs``.
A line is written once its run has ended, so a killed run loses at most the job that was running.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.core.files import atomic_path, disk_errors_as_ours
from ourvidz.perf.plain import plain
from ourvidz.perf.protocol.plan import SCHEMA, Plan, plan_from
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import record_from

PLAN, RUNS, REPORT, TEXT, OUTPUTS = "plan.json", "runs.jsonl", "report.json", "report.md", "outputs"
RUNNING = "running"  # or nobody knows: no report yet
COMPLETE = "complete"
INTERRUPTED = "interrupted"
_ID = re.compile(r"bench_[0-9a-z]{26}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """One run that ended, well or not."""

    key: str  # of the planned run
    case: str
    job_type: str
    repeat: int
    is_warm_up: bool
    seed: int
    job_id: str
    at: float  # when the job ended, Unix seconds
    wall_s: float  # as whoever started it saw it
    body: Mapping[str, Any]  # of its performance record
    outputs: tuple[str, ...] = ()  # files that were kept, relative to the run's folder
    quality: tuple[Mapping[str, Any], ...] = ()  # of each output
    faults: tuple[str, ...] = ()  # what the output checks found
    notes: tuple[str, ...] = ()  # adjustments that the job told
    error: str | None = None

    @property
    def id(self) -> int:
        """Nothing: records of files have no number."""
        return 0

    @property
    def workload(self) -> str:
        """The request's workload as one text."""
        return str(self.body.get("workload", ""))

    @property
    def record(self) -> PerformanceRecord:
        """The record that its body stands for; output faults flag it."""
        found = record_from(self)
        return replace(found, flags=(*found.flags, *self.faults)) if self.faults else found


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """A protocol run as it is told: ``report.json``."""

    id: str
    suite: str
    kind: str
    created_at: str
    status: str  # running, complete or interrupted
    num_planned: int
    num_done: int
    commit: str | None
    seed: int
    environment: Mapping[str, Any]
    plan: Mapping[str, Any]
    outcome: str  # regression, improvement, no_change, indicative, or none without any verdict
    preflight: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    verdicts: tuple[Mapping[str, Any], ...] = ()
    hints: tuple[Mapping[str, Any], ...] = ()
    next: tuple[Mapping[str, Any], ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of its kind

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"schema": SCHEMA, **plain(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A protocol run in one line."""

    id: str
    suite: str
    kind: str
    created_at: str
    status: str
    num_planned: int
    num_done: int
    outcome: str | None  # None: no report yet
    job_types: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolder:
    """Where one protocol run is kept."""

    path: Path

    def begin(self, plan: Plan) -> None:
        """Make the folder and write the plan.

        Raises:
            OutputUnwritable, DiskFull: It can't be written.
        """
        with disk_errors_as_ours(self.path):
            (self.path / OUTPUTS).mkdir(parents=True, exist_ok=True)
        self._write(PLAN, _json(plan.to_dict()))

    def plan(self) -> Plan:
        """Return the plan.

        Raises:
            NotFound: There is none.
            InvalidRequest: It is broken.
        """
        return plan_from(_read_json(self.path / PLAN))

    def runs(self) -> tuple[FinishedRun, ...]:
        """Return the runs that ended, in order. A torn last line counts as none.

        Raises:
            InvalidRequest: A broken line, with its number.
        """
        path = self.path / RUNS
        if not path.exists():
            return ()
        return runs_from(path.read_text(encoding="utf-8", errors="replace"), name=path.name)

    def add(self, run: FinishedRun) -> None:
        """Append a run that ended.

        Raises:
            OutputUnwritable, DiskFull: It can't be written.
        """
        line = json.dumps({"schema": SCHEMA, **plain(run)}, ensure_ascii=False) + "\n"
        path = self.path / RUNS
        with disk_errors_as_ours(path), path.open("a", encoding="utf-8") as file:
            file.write(line)

    def mend(self) -> None:
        """Drop a torn last line, so that what comes next begins a line of its own."""
        path = self.path / RUNS
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            if text and not text.endswith("\n"):
                self._write(RUNS, text[: text.rfind("\n") + 1])

    def write_report(self, report: RunReport, *, text: str) -> None:
        """Write ``report.json`` and ``report.md``.

        Raises:
            OutputUnwritable, DiskFull: They can't be written.
        """
        self._write(REPORT, _json(report.to_dict()))
        self._write(TEXT, text)

    def report(self) -> RunReport | None:
        """Return the report; None before there is one.

        Raises:
            InvalidRequest: It is broken.
        """
        path = self.path / REPORT
        return report_from(_read_json(path)) if path.exists() else None

    def _write(self, name: str, text: str) -> None:
        with atomic_path(self.path / name) as partial:
            partial.write_text(text, encoding="utf-8")


def run_folder(directory: Path, run_id: str) -> RunFolder:
    """Return where a run is kept.

    Raises:
        NotFound: There is no such run.
    """
    folder = directory / run_id
    if not _ID.fullmatch(run_id) or not (folder / PLAN).is_file():
        raise NotFound(
            f"There is no protocol run {run_id!r}.",
            param="run_id",
            hint="Its folder is named after it, in `benchmarks` of the data directory.",
        )
    return RunFolder(path=folder)


def list_runs(directory: Path) -> list[RunSummary]:
    """Return the runs that are kept there, newest first; broken ones are left out."""
    if not directory.is_dir():
        return []
    found: list[RunSummary] = []
    for path in sorted(directory.iterdir(), reverse=True):
        if _ID.fullmatch(path.name) and (path / PLAN).is_file():
            try:
                found.append(_summary(RunFolder(path=path)))
            except InvalidRequest:
                continue
    return found


def read_run(directory: Path, run_id: str) -> RunReport:
    """Return a run's report; of one that is still under way, what is there so far.

    Raises:
        NotFound: There is no such run.
        InvalidRequest: Its files are broken.
    """
    folder = run_folder(directory, run_id)
    plan, report = folder.plan(), folder.report()
    runs = [] if plan.kind == "load" else [run for run in folder.runs() if not run.is_warm_up]
    if report is not None and (not runs or len(runs) <= report.num_done):
        return report
    # Before its first report, or resumed after one.
    from ourvidz.perf.protocol.judge import groups_of

    base = report or empty_report(plan)
    return replace(
        base, status=RUNNING, num_done=len(runs), groups=tuple(groups_of(plan, runs)), verdicts=()
    )


def empty_report(plan: Plan) -> RunReport:
    """Return a report of a plan of which nothing ran."""
    return RunReport(
        id=plan.id,
        suite=plan.suite,
        kind=plan.kind.value,
        created_at=plan.created_at,
        status=RUNNING,
        num_planned=len(plan.cases) * plan.repeats,
        num_done=0,
        commit=cast("str | None", plan.environment.get("commit")),
        seed=plan.seed,
        environment=plan.environment,
        plan=plan.to_dict(),
        outcome="none",
    )


def runs_from(text: str, *, name: str) -> tuple[FinishedRun, ...]:
    """Read lines of ``runs.jsonl``; a last one without its end counts as none.

    Raises:
        InvalidRequest: A broken line, with its number.
    """
    lines = text.split("\n")[:-1]  # what stands behind the last end of a line is torn, or nothing
    found: list[FinishedRun] = []
    for number, line in enumerate(lines, start=1):
        try:
            fields = dict(cast("Mapping[str, Any]", json.loads(line)))
            if fields.pop("schema") != SCHEMA:
                raise InvalidRequest("of another schema")
            for field_name in ("outputs", "quality", "faults", "notes"):
                fields[field_name] = tuple(fields.get(field_name, ()))
            run = FinishedRun(**fields)
            datetime.fromtimestamp(run.at, UTC)
            found.append(run)
        except (ValueError, TypeError, KeyError, OverflowError, InvalidRequest) as error:
            raise InvalidRequest(
                f"Line {number} of {name} is no finished run: {error}.",
                param="runs",
                hint="Remove the line, or the run's folder.",
            ) from error
    return tuple(found)


def report_from(found: object) -> RunReport:
    """Read what ``RunReport.to_dict`` made.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        fields = dict(cast("Mapping[str, Any]", found))
        schema = fields.pop("schema")
        if schema != SCHEMA:
            raise InvalidRequest(
                f"A report of schema {schema!r} can't be read; this version knows {SCHEMA}.",
                param="schema",
            )
        for name in ("preflight", "groups", "verdicts", "hints", "next", "failures"):
            fields[name] = tuple(cast("Sequence[Any]", fields[name]))
        return RunReport(**fields)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"This is no report: {error}.", param="report") from error


def counted(runs: Iterable[FinishedRun]) -> tuple[FinishedRun, ...]:
    """Return the last run of each key that is no warm-up."""
    found = {run.key: run for run in runs if not run.is_warm_up}
    return tuple(found.values())


def _summary(folder: RunFolder) -> RunSummary:
    plan, report = folder.plan(), folder.report()
    return RunSummary(
        id=plan.id,
        suite=plan.suite,
        kind=plan.kind.value,
        created_at=plan.created_at,
        status=RUNNING if report is None else report.status,
        num_planned=len(plan.cases) * plan.repeats if report is None else report.num_planned,
        num_done=_num_lines(folder.path / RUNS) if report is None else report.num_done,
        outcome=None if report is None else report.outcome,
        job_types=tuple(sorted({case.job_type for case in plan.cases})),
    )


def _num_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.endswith(b"\n") and b'"is_warm_up": false' in line)


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no {path.name}.", param="run_id") from None
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"{path.name} can't be read: {error}.", param="run_id", hint="Remove the run's folder."
        ) from error


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
