"""A protocol run from its plan to its report: warm-ups, runs, checks, verdicts; resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ourvidz.bench.protocol.outputs import check_outputs, difference_between, keep_files, remove_all
from ourvidz.bench.protocol.runner import Ran, Runner
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, InvalidRequest
from ourvidz.perf.plain import flatten, plain
from ourvidz.perf.protocol.hints import hints_of, next_tests
from ourvidz.perf.protocol.judge import (
    Reference,
    failures_of,
    groups_of,
    outcome_of,
    verdicts_of,
)
from ourvidz.perf.protocol.plan import Plan, PlannedRun, remaining
from ourvidz.perf.protocol.preflight import Check, judge_facts, require_passed
from ourvidz.perf.protocol.results import (
    COMPLETE,
    INTERRUPTED,
    OUTPUTS,
    FinishedRun,
    RunFolder,
    RunReport,
    counted,
    empty_report,
)
from ourvidz.perf.protocol.text import render_report

_JOBS = "jobs"  # within a run's folder: files of the job that runs


@dataclass(kw_only=True, slots=True)
class Session:
    """One process's part of a protocol run; the first or a resumed one."""

    plan: Plan
    folder: RunFolder
    runner: Runner
    tell: Callable[[str], None]
    cancel: CancelToken = field(default_factory=CancelToken)
    end_s: float | None = None  # of ``time.monotonic``: no run begins that would end later
    is_forced: bool = False  # run although pre-flight refuses
    kept_repeats: int = 1  # whose files are kept
    _dropped: dict[str, str] = field(default_factory=dict[str, str])  # cases that can't run

    def preflight(self) -> tuple[Check, ...]:
        """Look at everything before the first run.

        Raises:
            IllegalState: A check refuses.
        """
        names = list(dict.fromkeys(case.job_type for case in self.plan.cases))
        checks = judge_facts(self.runner.facts(names))
        for check in checks:
            self.tell(f"{check.level.value:<7} {check.name}: {check.text}")
        require_passed(checks, is_forced=self.is_forced)
        return checks

    def execute(self) -> str:
        """Run what is left; return whether all of it ran (``results.COMPLETE``).

        Raises:
            OurVidzError: Nothing can be run.
        """
        self.folder.mend()
        done = self.folder.runs()
        left = remaining(self.plan, [run.key for run in counted(done)])
        longest = _longest(done)
        try:
            self._warm_up({run.case.name for run in left})
            total = len(self.plan.runs())
            for run in left:
                if run.case.name in self._dropped:
                    continue
                if self._is_late(longest.get(run.case.name, 0.0)):
                    return INTERRUPTED
                finished = self._run(run)
                longest[run.case.name] = max(longest.get(run.case.name, 0.0), finished.wall_s)
                count = len(counted(self.folder.runs()))
                self.tell(f"{count}/{total} {run.key} {_told(finished)}")
        except Cancelled:
            return INTERRUPTED
        return INTERRUPTED if self._dropped else COMPLETE

    def _warm_up(self, cases: Iterable[str]) -> None:
        """Load and compile all that the runs need, in this process."""
        wanted = set(cases)
        for run in self.plan.warm_ups():
            if run.case.name not in wanted or self._is_late(0.0):
                continue
            finished = self._run(run)
            self.tell(f"warm-up {run.case.name} {_told(finished)}")
            if finished.error is not None:
                self._dropped[run.case.name] = finished.error

    def _is_late(self, needed_s: float) -> bool:
        return self.end_s is not None and time.monotonic() + needed_s > self.end_s

    def _run(self, run: PlannedRun) -> FinishedRun:
        self.cancel.raise_if_cancelled()
        ran = self.runner.run(run, plan_id=self.plan.id, cancel=self.cancel)
        finished = self._finished(run, ran)
        self.folder.add(finished)
        return finished

    def _finished(self, run: PlannedRun, ran: Ran) -> FinishedRun:
        quality, faults = check_outputs(ran) if ran.error is None else ((), ())
        kept: tuple[str, ...] = ()
        if not run.is_warm_up and run.repeat <= self.kept_repeats:
            kept = keep_files(
                ran.files,
                self.folder.path / OUTPUTS,
                name=run.key.replace("/", "-"),
                root=self.folder.path,
            )
        for folder in {path.parent for path in ran.files}:
            remove_all(folder, ran.job_id)
        return FinishedRun(
            key=run.key,
            case=run.case.name,
            job_type=run.case.job_type,
            repeat=run.repeat,
            is_warm_up=run.is_warm_up,
            seed=run.seed,
            job_id=ran.job_id,
            at=ran.at,
            wall_s=ran.wall_s,
            body=ran.body,
            outputs=kept,
            quality=quality,
            faults=faults,
            notes=ran.notes,
            error=ran.error,
        )


def jobs_folder(folder: Path) -> Path:
    """Return where the files of the job that runs go."""
    return folder / _JOBS


def report_of(
    plan: Plan,
    runs: Sequence[FinishedRun],
    *,
    checks: Sequence[Check],
    reference: Reference | None,
    status: str,
    environment: Mapping[str, Any],
    all_job_types: Sequence[str],
    root: Path | None = None,
) -> RunReport:
    """Return the report of a protocol run: groups, verdicts, hints and what to test next.

    Args:
        plan: What was to run.
        runs: What ran.
        checks: Of pre-flight.
        reference: What it is compared with; None: nothing.
        status: Whether all of it ran.
        environment: Of where jobs ran.
        all_job_types: That there are.
        root: Where outputs are kept; None: they are not compared with the reference's.
    """
    ended = counted(runs)
    groups = groups_of(plan, ended)
    verdicts = verdicts_of(plan, ended, reference)
    if reference is not None and root is not None:
        _compare_outputs(verdicts, ended, root, reference)
    hints = hints_of(groups, [run for run in runs if run.is_warm_up])
    return replace(
        empty_report(plan),
        status=status,
        num_done=len(ended),
        environment=environment,
        commit=cast("str | None", environment.get("commit")),
        outcome=outcome_of(verdicts),
        preflight=tuple(plain(check) for check in checks),
        groups=tuple(groups),
        verdicts=tuple(verdicts),
        hints=tuple(plain(hint) for hint in hints),
        next=tuple(
            plain(each)
            for each in next_tests(
                plan, groups, verdicts, all_job_types=all_job_types, status=status
            )
        ),
        failures=tuple(failures_of(runs)),
    )


def _compare_outputs(
    verdicts: Iterable[dict[str, Any]],
    runs: Sequence[FinishedRun],
    root: Path,
    reference: Reference,
) -> None:
    """Say beside each verdict how far outputs are from the reference's at the same seeds."""
    for verdict in verdicts:
        if reference.root is None or verdict["verdict"] is None:
            continue
        found = difference_between(
            [run for run in runs if run.case == verdict["case"]],
            root,
            [run for run in reference.runs if run.job_type == verdict["job_type"]],
            reference.root,
        )
        verdict["output"] = None if found is None else found.to_dict()


def write(folder: RunFolder, report: RunReport) -> str:
    """Write a run's report in both forms; return the text."""
    text = render_report(report)
    folder.write_report(report, text=text)
    return text


def require_same_machine(plan: Plan, environment: Mapping[str, Any]) -> None:
    """Refuse to resume elsewhere: half of the runs would be of another machine or program.

    Raises:
        InvalidRequest: Names what differs.
    """
    before, now = flatten(plan.environment), flatten(environment)
    differing = [
        f"{name} ({before.get(name)}, {now.get(name)})"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise InvalidRequest(
            f"Run {plan.id} can't be resumed here: {'; '.join(differing)}.",
            param="resume",
            hint="Begin a new run, and compare both: ourvidz bench compare.",
        )


def _longest(runs: Iterable[FinishedRun]) -> dict[str, float]:
    found: dict[str, float] = {}
    for run in runs:
        if not run.is_warm_up:
            found[run.case] = max(found.get(run.case, 0.0), run.wall_s)
    return found


def _told(run: FinishedRun) -> str:
    if run.error is not None:
        return f"failed: {run.error}"
    state = run.body.get("state", "unknown")
    faults = f", {'; '.join(run.faults)}" if run.faults else ""
    return f"{run.wall_s:.2f} s ({state}){faults}"
