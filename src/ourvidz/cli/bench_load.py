"""``ourvidz bench load``: what a running service does under a given rate of jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import load_settings
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE
from ourvidz.cli.bench_run import (
    Force,
    Json,
    Key,
    Out,
    cancel_on_signal,
    kept_in,
    names_in,
    open_service,
    parameters_in,
)
from ourvidz.cli.output import console, print_json

if TYPE_CHECKING:
    from ourvidz.bench.protocol.via_api import Service
    from ourvidz.perf.protocol.load import LoadPlan, LoadReport, Served
    from ourvidz.perf.protocol.plan import Plan
    from ourvidz.perf.protocol.preflight import Check
    from ourvidz.perf.protocol.results import RunFolder, RunReport

# Waiting beyond it, jobs are given up: so many deadlines after the last arrival.
_PATIENCE = 3.0


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command(name="load")(load)


def load(
    url: Annotated[str, typer.Option("--url", help="The service, http://127.0.0.1:8000.")],
    rate: Annotated[float, typer.Option("--rate", help="Jobs a second, on average.")],
    duration: Annotated[
        float, typer.Option("--duration", help="For so many seconds jobs come.")
    ] = 60.0,
    deadline: Annotated[
        float, typer.Option("--deadline", help="A job that ends later than this is no good.")
    ] = 30.0,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, help="Jobs under way at most; what comes then is not sent."
        ),
    ] = None,
    job_types: Annotated[
        list[str] | None,
        typer.Option("--job-types", "-j", help="Again, or with commas, for several: a mix."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of every job, such as num_inference_steps=10."),
    ] = None,
    look: Annotated[
        float, typer.Option("--look-seconds", min=0.05, help="Between two looks at the jobs.")
    ] = 1.0,
    key: Key = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of arrivals, prompts, jobs.")] = 7,
    out: Out = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Send jobs at random moments (Poisson) whether or not the service keeps up.

    Latency counts from when a job was due. Goodput is what ended within the deadline, a second.
    """
    from ourvidz.perf.protocol.load import LoadPlan, arrivals_of, report_load
    from ourvidz.perf.protocol.plan import PROMPTS
    from ourvidz.perf.protocol.preflight import judge_facts, require_passed
    from ourvidz.perf.protocol.results import COMPLETE, INTERRUPTED, RunFolder

    wanted = LoadPlan(
        rate_s=rate,
        duration_s=duration,
        deadline_s=deadline,
        concurrency=concurrency,
        seed=seed,
        job_types=tuple(names_in(job_types) or [DEFAULT_JOB_TYPE]),
    )
    parameters = parameters_in(values)
    arrivals = arrivals_of(wanted, PROMPTS)
    directory = kept_in(out, load_settings())
    service = open_service(url, key)
    from ourvidz.bench.protocol.load import LoadTest
    from ourvidz.bench.protocol.session import jobs_folder
    from ourvidz.bench.protocol.via_api import ViaApi

    with contextlib.closing(service), cancel_on_signal() as cancel:
        plan = _plan(wanted, parameters, service.environment())
        folder = RunFolder(path=directory / plan.id)
        runner = ViaApi(service=service, folder=jobs_folder(folder.path))
        checks = judge_facts(runner.facts(wanted.job_types))
        require_passed(checks, is_forced=force)
        folder.begin(plan)
        console.print(f"[bold]{plan.id}[/]  {len(arrivals)} jobs", highlight=False)
        test = LoadTest(
            service=service,
            plan=wanted,
            values=parameters,
            run_id=plan.id,
            patience_s=_PATIENCE * deadline,
            look_s=look,
            cancel=cancel,
            tell=lambda text: console.print(f"[dim]{escape(text)}[/]", highlight=False),
        )
        served, elapsed_s = test.run(arrivals)
        environment = _environment(service, served) or plan.environment
    found = report_load(wanted, served, elapsed_s=elapsed_s)
    report = _report(
        plan,
        folder,
        found,
        served,
        checks=checks,
        status=INTERRUPTED if cancel.is_cancelled else COMPLETE,
        num_planned=len(arrivals),
        environment=environment,
    )
    _show(found, folder.path)
    if json:
        print_json({"run": report.to_dict(), "folder": str(folder.path)})


def _plan(wanted: LoadPlan, values: Mapping[str, Any], environment: Mapping[str, Any]) -> Plan:
    from ourvidz.catalog.job_types import BASELINE
    from ourvidz.core.ids import new_id
    from ourvidz.perf.plain import plain
    from ourvidz.perf.protocol.plan import API, Plan, RunKind, cases_of_run

    now = datetime.now(UTC)
    return Plan(
        id=new_id("bench", now),
        kind=RunKind.LOAD,
        suite="poisson",
        repeats=0,  # arrivals are drawn
        seed=wanted.seed,
        created_at=now.isoformat(timespec="seconds"),
        profile=str(environment["profile"]),
        cases=cases_of_run(wanted.job_types, preset=BASELINE, values=values),
        environment=environment,
        door=API,
        options=plain(wanted),
    )


def _report(
    plan: Plan,
    folder: RunFolder,
    found: LoadReport,
    served: Sequence[Served],
    *,
    checks: Sequence[Check],
    status: str,
    num_planned: int,
    environment: Mapping[str, Any],
) -> RunReport:
    from dataclasses import replace

    from ourvidz.perf.plain import plain
    from ourvidz.perf.protocol.load_text import render_load
    from ourvidz.perf.protocol.results import empty_report

    report = replace(
        empty_report(plan),
        status=status,
        num_planned=num_planned,
        num_done=len(served),
        environment=environment,
        commit=cast("str | None", environment.get("commit")),
        preflight=tuple(plain(check) for check in checks),
        details={"load": found.to_dict(), "served": plain(served)},
    )
    folder.write_report(report, text=render_load(report))
    return report


def _environment(service: Service, served: Sequence[Served]) -> Mapping[str, Any] | None:
    """Return where jobs ran, from the record of one; None where none ended."""
    from ourvidz.bench.protocol.via_api import environment_of

    ended = [one.job_id for one in served if one.latency_s is not None and one.job_id]
    return environment_of(service.record(ended[-1])) if ended else None


def _show(found: LoadReport, folder: Path) -> None:
    from ourvidz.perf.protocol.text import seconds

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("jobs")
    for name in ("came", "succeeded", "in time", "goodput", "median", "p90", "p95", "p99"):
        table.add_column(name, justify="right")
    table.add_column("failures")
    for each in found.figures:
        latency = each.latency
        table.add_row(
            escape(each.job_type or "all"),
            str(each.arrived),
            str(each.succeeded),
            str(each.in_time),
            f"{each.goodput_s:.3g}/s",
            *(
                ("", "", "", "")
                if latency is None
                else (
                    seconds(latency.median),
                    seconds(latency.p90),
                    seconds(latency.p95),
                    seconds(latency.p99),
                )
            ),
            escape(", ".join(f"{count} {name}" for name, count in each.failures.items())),
        )
    console.print()
    console.print(table)
    console.print(f"[dim]{escape(str(folder / 'report.md'))}[/]", highlight=False, soft_wrap=True)
