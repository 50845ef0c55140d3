"""``ourvidz bench sweep``: what a setting changes in time and output, with advice."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.job_types import BASELINE
from ourvidz.cli.bench_run import (
    STOPPED,
    Budget,
    Device,
    Force,
    Json,
    Out,
    Profile,
    as_planned,
    cancel_on_signal,
    carry_out,
    check_case,
    kept_in,
    parameters_in,
    require_kind,
    settings_of,
)
from ourvidz.cli.output import console, print_json
from ourvidz.core.errors import Cancelled, InvalidRequest
from ourvidz.core.request import Fidelity

if TYPE_CHECKING:
    from ourvidz.bench.records import BenchmarkResult
    from ourvidz.perf.protocol.plan import Plan
    from ourvidz.perf.protocol.results import FinishedRun, RunFolder, RunReport
    from ourvidz.perf.protocol.sweep import Change, Factor, Sweep

_ADVICE_COLOURS = {"adopt": "green", "test first": "yellow", "avoid": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command(name="sweep")(sweep)


def sweep(
    job_type: Annotated[
        str | None, typer.Option("--job-type", "-j", help="Of which job type.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            "-v",
            help="What, and its levels: scheduler=unipc,euler. Again for several; size=384x640, "
            "preset=balanced and negative_prompt=off,on work too.",
        ),
    ] = None,
    is_grid: Annotated[
        bool, typer.Option("--grid", help="Every combination, not one factor at a time.")
    ] = False,
    repeats: Annotated[
        int, typer.Option("--n", min=1, help="Runs a setting; from 5 there are verdicts.")
    ] = 7,
    prompts: Annotated[
        int,
        typer.Option("--prompts", min=1, help="So many prompts, whose outputs are compared."),
    ] = 3,
    preset: Annotated[str, typer.Option("--preset", "-p", help="Around which preset.")] = BASELINE,
    fidelity: Annotated[
        Fidelity, typer.Option("--fidelity", help="Of the preset, unless it is varied.")
    ] = Fidelity.EXACT,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of every job, such as num_frames=17."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Write the changes to this benchmark record too."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with this sweep, as it was planned.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order, and of the jobs.")] = 7,
    out: Out = None,
    budget_seconds: Budget = None,
    force: Force = False,
    profile: Profile = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Vary settings around a preset: speed, output, and whether to adopt, test first or avoid.

    Runs of all settings take turns, at the same prompts and seeds. The changes are kept as a
    benchmark record, which `ourvidz perf claims` holds the claims of 2025 against.
    """
    from ourvidz.bench.protocol.in_process import InProcess
    from ourvidz.bench.protocol.session import jobs_folder
    from ourvidz.perf.protocol.plan import RunKind
    from ourvidz.perf.protocol.results import RunFolder, run_folder

    given = settings_of(profile, device)
    directory = kept_in(out, given)
    if resume is not None:
        folder = run_folder(directory, resume)
        plan = folder.plan()
        require_kind(plan, RunKind.SWEEP)
        settings = as_planned(plan, given)
    else:
        settings = given
        plan = _plan(
            settings,
            job_type=job_type,
            vary=vary or (),
            is_grid=is_grid,
            repeats=repeats,
            prompts=prompts,
            preset=preset,
            values={"fidelity": fidelity.value, **parameters_in(values)},
            seed=seed,
        )
        folder = RunFolder(path=directory / plan.id)
    runner = InProcess(
        settings=settings, catalogue=catalogue_of(settings), folder=jobs_folder(folder.path)
    )
    with contextlib.closing(runner), cancel_on_signal() as cancel:
        status, checks = carry_out(
            plan,
            folder,
            runner,
            cancel=cancel,
            is_resumed=resume is not None,
            budget_seconds=budget_seconds,
            is_forced=force,
            kept_repeats=plan.num_prompts,
        )
    report, found = _report(plan, folder, status=status, checks=checks)
    paths = [] if not found.changes else [_keep(found, plan, directory, record)]
    _show(report, folder.path)
    if json:
        print_json(
            {
                "run": report.to_dict(),
                "folder": str(folder.path),
                "records": [str(path) for path in paths],
            }
        )
    if cancel.is_cancelled:
        raise Cancelled(STOPPED, hint=f"ourvidz bench sweep --resume {plan.id}")


def _plan(
    settings: Settings,
    *,
    job_type: str | None,
    vary: Sequence[str],
    is_grid: bool,
    repeats: int,
    prompts: int,
    preset: str,
    values: Mapping[str, Any],
    seed: int,
) -> Plan:
    from ourvidz.core.ids import new_id
    from ourvidz.perf.environment import environment
    from ourvidz.perf.protocol.plan import Plan, RunKind, check_prompts
    from ourvidz.perf.protocol.sweep import cases_of_sweep, factors_of, levels_of

    if job_type is None:
        raise InvalidRequest(
            "A sweep is of one job type.", param="job_type", hint="--job-type video_fast"
        )
    catalogue = catalogue_of(settings)
    factors = factors_of(vary)
    request = check_case(job_type, preset, values, settings, catalogue)
    own = levels_of({name: getattr(request, name) for name in type(request).__dataclass_fields__})
    cases = cases_of_sweep(
        factors, job_type=job_type, preset=preset, values=values, own=own, is_grid=is_grid
    )
    for case in cases:
        check_case(case.job_type, case.preset, case.values, settings, catalogue)
    now = datetime.now(UTC)
    return Plan(
        id=new_id("bench", now),
        kind=RunKind.SWEEP,
        suite="grid" if is_grid else "one_factor",
        repeats=repeats,
        seed=seed,
        created_at=now.isoformat(timespec="seconds"),
        profile=settings.profile,
        device=settings.device,
        cases=cases,
        num_prompts=min(check_prompts(prompts), repeats),
        environment=environment(),
        options={
            "own": own,
            "factors": [{"name": each.name, "levels": list(each.levels)} for each in factors],
        },
    )


def _report(
    plan: Plan, folder: RunFolder, *, status: str, checks: Sequence[Any]
) -> tuple[RunReport, Sweep]:
    """Judge what ran, and write the report."""
    from dataclasses import replace

    from ourvidz.perf.plain import plain
    from ourvidz.perf.protocol.judge import failures_of, groups_of
    from ourvidz.perf.protocol.results import counted, empty_report
    from ourvidz.perf.protocol.sweep import judge_sweep
    from ourvidz.perf.protocol.sweep_text import render_sweep
    from ourvidz.perf.protocol.text import machine_of

    runs = folder.runs()
    ended = counted(runs)
    found = judge_sweep(
        plan.cases,
        ended,
        own=plan.options["own"],
        factors=_factors(plan),
        differences=_differences(plan, ended, folder.path),
        machine=machine_of(plan.environment),
        source=f"sweep {plan.id}",
    )
    report = replace(
        empty_report(plan),
        status=status,
        num_done=len(ended),
        preflight=tuple(plain(check) for check in checks),
        groups=tuple(groups_of(plan, ended)),
        failures=tuple(failures_of(runs)),
        details={"sweep": found.to_dict()},
    )
    folder.write_report(report, text=render_sweep(report))
    return report, found


def _factors(plan: Plan) -> list[Factor]:
    from ourvidz.perf.protocol.sweep import Factor

    return [
        Factor(name=each["name"], levels=tuple(each["levels"])) for each in plan.options["factors"]
    ]


def _differences(plan: Plan, runs: Sequence[FinishedRun], root: Path) -> dict[str, Any]:
    """Return how far each setting's outputs are from the preset's, by case."""
    from ourvidz.bench.protocol.outputs import difference_between

    base = [run for run in runs if run.case == plan.cases[0].name]
    found = {
        case.name: difference_between(
            [run for run in runs if run.case == case.name], root, base, root
        )
        for case in plan.cases[1:]
    }
    return {name: difference for name, difference in found.items() if difference is not None}


def _keep(found: Sweep, plan: Plan, directory: Path, path: Path | None) -> Path:
    """Add the changes to a benchmark record, which claims are held against."""
    from ourvidz.bench.records import new_record, record_name, write_record
    from ourvidz.perf.history.evidence import SUITE

    results = [_result(change, plan) for change in found.changes]
    made = new_record(SUITE, results, now=datetime.now(UTC))
    target = path or directory / record_name(made)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_record(target, made)
    return target


def _result(change: Change, plan: Plan) -> BenchmarkResult:
    from ourvidz.bench.records import BenchmarkResult
    from ourvidz.perf.history.evidence import METRIC, UNIT

    return BenchmarkResult(
        case=change.case,
        system="ourvidz",
        fidelity=str(plan.cases[0].values.get("fidelity", Fidelity.EXACT.value)),
        metric=METRIC,
        value=change.change,
        unit=UNIT,
        n=change.n,
        low=change.low,
        high=change.high,
        notes=f"{plan.profile} profile, resident, in turns, seed {plan.seed}, "
        f"{plan.num_prompts} prompts, sweep {plan.id}; the 95 % interval is Hodges-Lehmann's",
    )


def _show(report: RunReport, folder: Path) -> None:
    from ourvidz.perf.protocol.sweep_text import change_text, output_text
    from ourvidz.perf.protocol.text import seconds

    details = report.details["sweep"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("setting")
    for name in ("n", "median", "time"):
        table.add_column(name, justify="right")
    for name in ("output", "advice", ""):
        table.add_column(name)
    for each in details["settings"]:
        colour = _ADVICE_COLOURS.get(each["advice"] or "", "dim")
        table.add_row(
            escape(each["case"]),
            str(each["n"]),
            seconds(each["median_s"]),
            change_text(each),
            output_text(each),
            f"[{colour}]{each['advice'] or ''}[/]",
            f"[dim]{escape(each['reason'])}[/]",
        )
    console.print()
    console.print(table)
    for claim in details["claims"]:
        stated = claim["figures"][0]["stated"]
        console.print(
            f"[cyan]claim[/]  {claim['id']}: stated {stated} %, {claim['verdict']}: "
            f"{escape(claim['reason'])}",
            highlight=False,
        )
    for failure in report.failures:
        why = failure["error"] or ", ".join(failure["faults"])
        console.print(f"[red]failed[/]  {failure['key']}: {escape(why)}", highlight=False)
    console.print(f"[dim]{escape(str(folder / 'report.md'))}[/]", highlight=False, soft_wrap=True)
