"""Does the protocol find a slowdown, and name its phase? ``python -m benchmarks.slowdowns --help``.

Real runs of the protocol are replayed by a runner whose wrapper slows one phase down: by twice its
tolerance, by half of it, or not at all. Which runs are the baseline and which are slowed is drawn
by the trial's number. Everything else is the product: plan, session, files, report, verdict.

At twice the tolerance a trial counts where the phase is named a regression and no other phase is
(the whole job may be, and of denoise the step). At half of it or at none, any regression is a false
alarm. Runs are those of ``ourvidz bench run``, 14 or more of a case that compare with one another:
two standard runs, say.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ourvidz.bench.protocol.baseline import finished_runs
from ourvidz.bench.protocol.runner import Ran, Runner
from ourvidz.bench.protocol.session import Session, report_of
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.core.cancel import CancelToken
from ourvidz.core.ids import new_id
from ourvidz.core.phase import Phase
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.environment import environment
from ourvidz.perf.grouping import group_id
from ourvidz.perf.measures import STEP, TOTAL, columns_of, is_judged, tolerance_of
from ourvidz.perf.protocol.judge import Reference
from ourvidz.perf.protocol.plan import Plan, PlannedRun, RunKind, cases_of_run
from ourvidz.perf.protocol.preflight import Facts
from ourvidz.perf.protocol.results import FinishedRun, RunFolder
from ourvidz.perf.stats import median
from ourvidz.perf.verdicts import SMALLEST_N_PHASES

LEVELS = {"twice": 2.0, "half": 0.5, "none": 0.0}
# Of the phase's median: shorter ones are within what a clock resolves.
SHORTEST_S = 0.005
UNSEEN = Facts(
    in_process=True,
    num_workers=None,
    num_queued=None,
    num_running=None,
    paused=(),
    missing_models=None,
    unhashed_models=None,
    missing_packages=None,
    broken_packages=None,
    gpu=None,
    uses_gpu=None,
    load_a_core=None,
    free_disk_bytes=None,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one trial came to."""

    is_found: bool  # the phase is named
    others: tuple[str, ...]  # other phases that are named


class Replay:
    """A runner that gives real runs again, in order."""

    def __init__(self, runs: Sequence[FinishedRun]) -> None:
        """Give ``runs`` one after another; a warm-up is the first of them."""
        self._runs = list(runs)
        self._next = 0

    def facts(self, job_types: Sequence[str]) -> Facts:
        """Nothing can be seen: nothing runs."""
        del job_types
        return UNSEEN

    def environment(self) -> Mapping[str, Any]:
        """Return this machine's facts."""
        return environment()

    def run(self, planned: PlannedRun, *, plan_id: str, cancel: CancelToken) -> Ran:
        """Return the next run, as if it had been made now."""
        del plan_id, cancel
        found = self._runs[0 if planned.is_warm_up else self._next]
        self._next += not planned.is_warm_up
        return Ran(job_id=found.job_id, at=found.at, wall_s=found.wall_s, body=found.body)

    def close(self) -> None:
        """Nothing to let go of."""


class Slowed:
    """A runner in which one phase takes longer."""

    def __init__(self, inner: Runner, *, phase: str, share: float) -> None:
        """Slow ``phase`` of what ``inner`` runs down by ``share`` of its time."""
        self._inner = inner
        self._phase = phase
        self._share = share

    def facts(self, job_types: Sequence[str]) -> Facts:
        """As the inner runner."""
        return self._inner.facts(job_types)

    def environment(self) -> Mapping[str, Any]:
        """As the inner runner."""
        return self._inner.environment()

    def run(self, planned: PlannedRun, *, plan_id: str, cancel: CancelToken) -> Ran:
        """Run it, and account the delay to the phase and to the whole."""
        ran = self._inner.run(planned, plan_id=plan_id, cancel=cancel)
        return replace(ran, body=slowed(ran.body, self._phase, self._share))

    def close(self) -> None:
        """As the inner runner."""
        self._inner.close()


def slowed(body: Mapping[str, Any], phase: str, share: float) -> dict[str, Any]:
    """Return a record's body as if a phase had taken longer by ``share`` of its time."""
    phases_s = dict(body["phases_s"])
    extra_s = share * phases_s[phase]
    phases_s[phase] += extra_s
    found = {**body, "phases_s": phases_s, "total_s": body["total_s"] + extra_s}
    if phase == Phase.DENOISE.value:
        found["step_times_s"] = [step_s * (1 + share) for step_s in body["step_times_s"]]
    return found


def trial(runs: Sequence[FinishedRun], *, phase: str, share: float, number: int) -> Trial:
    """Run the protocol once: seven runs as they were, seven through the slowed runner."""
    drawn = random.Random(number).sample(list(runs), 2 * SMALLEST_N_PHASES)
    before, after = drawn[:SMALLEST_N_PHASES], drawn[SMALLEST_N_PHASES:]
    now = datetime.now(UTC)
    plan = Plan(
        id=new_id("bench", now),
        kind=RunKind.RUN,
        suite="standard",
        repeats=SMALLEST_N_PHASES,
        seed=number,
        created_at=now.isoformat(timespec="seconds"),
        profile=str(after[0].body["request"]["profile"]),
        cases=cases_of_run([after[0].job_type], preset="baseline", values={}),
        environment=environment(),
    )
    with tempfile.TemporaryDirectory(prefix="ourvidz-slowdowns-") as name:
        folder = RunFolder(path=Path(name) / plan.id)
        folder.begin(plan)
        runner = Slowed(Replay(after), phase=phase, share=share)
        status = Session(plan=plan, folder=folder, runner=runner, tell=lambda _: None).execute()
        report = report_of(
            plan,
            folder.runs(),
            checks=(),
            reference=Reference(
                kind="protocol", name="before", records=[run.record for run in before]
            ),
            status=status,
            environment=environment(),
            all_job_types=(),
        )
    named = {name for verdict in report.verdicts for name in verdict.get("regressions", ())}
    expected = {phase, TOTAL, *([STEP] if phase == Phase.DENOISE.value else [])}
    return Trial(is_found=phase in named, others=tuple(sorted(named - expected)))


def phases_of(runs: Sequence[FinishedRun]) -> dict[str, float]:
    """Return the phases of which a verdict can be had, with each one's tolerance as a share."""
    found: dict[str, float] = {}
    known = {phase.value for phase in Phase} - {Phase.UNATTRIBUTED.value}
    for name, column in columns_of([run.record for run in runs]).items():
        middle = median(column.values)
        is_everywhere = len(column.values) == len(runs)
        if name in known and is_judged(name) and is_everywhere and middle >= SHORTEST_S:
            found[name] = tolerance_of(name).as_share(middle)
    return found


def groups_in(names: Sequence[str]) -> dict[str, list[FinishedRun]]:
    """Return the runs that count of all folders, by job type: the largest comparable group."""
    by_group: dict[tuple[str, str], dict[str, FinishedRun]] = {}
    for name in names:
        for run in finished_runs(name, Path(name).parent):
            record = run.record
            if not left_out_reasons(record):
                by_group.setdefault((run.job_type, group_id(record)), {})[run.job_id] = run
    found: dict[str, list[FinishedRun]] = {}
    for (job_type, _), runs in by_group.items():
        if len(runs) >= max(2 * SMALLEST_N_PHASES, len(found.get(job_type, ()))):
            found[job_type] = list(runs.values())
    return found


def results_of(job_type: str, runs: Sequence[FinishedRun], trials: int) -> list[BenchmarkResult]:
    """Run every trial of a job type; print a line a phase."""
    results: list[BenchmarkResult] = []
    for phase, tolerance in phases_of(runs).items():
        for level, factor in LEVELS.items():
            made = [
                trial(runs, phase=phase, share=factor * tolerance, number=number)
                for number in range(trials)
            ]
            if level == "twice":
                count = sum(each.is_found and not each.others for each in made)
            else:
                count = sum(each.is_found or bool(each.others) for each in made)
            results.append(
                BenchmarkResult(
                    case=f"{job_type}.{phase}",
                    system="ourvidz",
                    fidelity=str(runs[0].body["request"]["fidelity"]),
                    metric="named_at_twice" if level == "twice" else f"false_at_{level}",
                    value=count,
                    unit=f"of {trials}",
                    n=trials,
                    notes=f"slowed by {factor * tolerance:.1%} of the phase; {len(runs)} runs, "
                    f"{SMALLEST_N_PHASES} + {SMALLEST_N_PHASES} drawn by seeds 0 to {trials - 1}",
                )
            )
        told = ", ".join(f"{each.metric} {each.value:g}" for each in results[-len(LEVELS) :])
        print(f"{job_type:26} {phase:20} tolerance {tolerance:6.1%}  {told}", flush=True)
    return results


def main() -> None:
    """Run the trials and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", required=True, help="folders of protocol runs")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    groups = groups_in(arguments.runs)
    if not groups:
        parser.error(f"no case has {2 * SMALLEST_N_PHASES} runs that compare with one another")
    results = [
        result
        for job_type, runs in groups.items()
        for result in results_of(job_type, runs, arguments.trials)
    ]
    write_record(arguments.record, new_record("slowdowns", results, now=datetime.now(UTC)))


if __name__ == "__main__":
    main()
