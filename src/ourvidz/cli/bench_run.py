"""``ourvidz bench run``: the standard test protocol, with verdicts against a baseline."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.catalogue import PROFILES, Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.parameters import BY_NAME
from ourvidz.cli.output import console, print_json
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, InvalidRequest, MissingDependency
from ourvidz.core.request import Fidelity, GenerationRequest

if TYPE_CHECKING:
    from ourvidz.bench.protocol.in_process import InProcess
    from ourvidz.bench.protocol.runner import Runner
    from ourvidz.bench.protocol.via_api import Service, ViaApi
    from ourvidz.perf.protocol.judge import Reference
    from ourvidz.perf.protocol.plan import Plan
    from ourvidz.perf.protocol.results import FinishedRun, RunFolder, RunReport

REGRESSION = 3  # the exit code of one
_FAILED = 1  # of runs that failed, or outputs that did not pass
STOPPED = "Stopped; what ended until then is kept."
_FOLDER = "benchmarks"  # within the data directory
_COLOURS = {"regression": "red", "improvement": "green", "incomparable": "yellow"}

Profile = Annotated[
    str | None, typer.Option("--profile", help="pocket (ships with the package) or full.")
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Where runs are kept (default: benchmarks, data directory)."),
]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Run the jobs through this service's API, http://127.0.0.1:8000."),
]
Key = Annotated[
    str | None, typer.Option("--key", envvar="OURVIDZ_API_KEY", help="The service's API key.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Run although pre-flight refuses; the report says so.")
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget-seconds",
        min=1,
        help="Begin no run that would end later; --resume does what is left.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command(name="run")(run)


def run(
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            "-s",
            help="quick (3 runs each, no verdict), standard (7) or full (10).",
        ),
    ] = "standard",
    job_types: Annotated[
        list[str] | None,
        typer.Option(
            "--job-types", "-j", help="Again, or with commas, for several (default: all)."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="A named variant of the job type.")
    ] = BASELINE,
    fidelity: Annotated[
        Fidelity, typer.Option("--fidelity", help="exact, high or draft.")
    ] = Fidelity.EXACT,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of every job, such as num_inference_steps=10."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            "-b",
            help="A run's id, folder or runs.jsonl (default: the store's established baselines).",
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with this run, as it was planned.")
    ] = None,
    url: Url = None,
    key: Key = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order, and of the jobs.")] = 7,
    out: Out = None,
    budget_seconds: Budget = None,
    force: Force = False,
    profile: Profile = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Run the test protocol: pre-flight, warm-up, interleaved runs, checks, verdicts, report.

    Prompts, seeds and order are fixed, previews off. Exit code 3: something became slower than the
    baseline; 1: a run failed, or an output did not pass.
    """
    from ourvidz.perf.protocol.plan import RunKind
    from ourvidz.perf.protocol.results import RunFolder, run_folder

    given = settings_of(profile, device)
    directory = kept_in(out, given)
    service = None if url is None else open_service(url, key)
    if resume is not None:
        folder = run_folder(directory, resume)
        plan = folder.plan()
        require_kind(plan, RunKind.RUN)
        settings = as_planned(plan, given)
    else:
        settings = given if service is None else _as_served(service, given)
        plan = new_run_plan(
            suite,
            settings=settings,
            job_types=names_in(job_types),
            preset=preset,
            values={**parameters_in(values), "fidelity": fidelity.value},
            seed=seed,
            service=service,
        )
        folder = RunFolder(path=directory / plan.id)
    reference = _named_reference(baseline, directory)
    runner = _runner(plan, folder, settings, service)
    with contextlib.closing(runner), cancel_on_signal() as cancel:
        status, checks = carry_out(
            plan,
            folder,
            runner,
            cancel=cancel,
            is_resumed=resume is not None,
            budget_seconds=budget_seconds,
            is_forced=force,
        )
        runs = folder.runs()
        report = _reported(
            plan,
            folder,
            runs,
            checks=checks,
            reference=reference or _own_reference(runner, runs, plan, directory),
            status=status,
            environment=_environment_of(runner, runs),
            all_job_types=tuple(catalogue_of(settings).job_types),
        )
    show(report, folder.path)
    if json:
        print_json({"run": report.to_dict(), "folder": str(folder.path)})
    if cancel.is_cancelled:
        raise Cancelled(STOPPED, hint=f"ourvidz bench run --resume {plan.id}")
    if report.outcome == "regression":
        raise typer.Exit(REGRESSION)
    if report.failures:
        raise typer.Exit(_FAILED)


def new_run_plan(
    suite_name: str,
    *,
    settings: Settings,
    job_types: Sequence[str],
    preset: str,
    values: Mapping[str, Any],
    seed: int,
    service: Service | None = None,
) -> Plan:
    """Return the plan of a run, checked against the catalogue.

    Raises:
        UnknownName, InvalidRequest: a suite, job type, preset or value that is not legal.
    """
    from ourvidz.core.ids import new_id
    from ourvidz.perf.environment import environment as this_environment
    from ourvidz.perf.protocol.plan import API, IN_PROCESS, Plan, RunKind, cases_of_run, find_suite

    suite = find_suite(suite_name)
    catalogue = catalogue_of(settings)
    names = list(job_types) or list(catalogue.job_types)
    cases = cases_of_run(names, preset=preset, values=values)
    for case in cases:
        check_case(case.job_type, case.preset, case.values, settings, catalogue)
    now = datetime.now(UTC)
    return Plan(
        id=new_id("bench", now),
        kind=RunKind.RUN,
        suite=suite.name,
        repeats=suite.repeats,
        seed=seed,
        created_at=now.isoformat(timespec="seconds"),
        profile=settings.profile,
        device=settings.device,
        cases=cases,
        door=IN_PROCESS if service is None else API,
        environment=this_environment() if service is None else service.environment(),
    )


def check_case(
    job_type: str, preset: str, values: Mapping[str, Any], settings: Settings, catalogue: Catalogue
) -> GenerationRequest:
    """Return a case's request; what a job would be refused for is refused before anything runs.

    Raises:
        UnknownName, InvalidRequest: a name or value that is not legal.
    """
    from ourvidz.catalog.resolve import resolve

    return resolve(
        catalogue=catalogue,
        settings=settings,
        prompt="a red circle",
        seed=0,
        job_type=job_type,
        preset=preset,
        values=values,
        unconfirmed=True,
    )


def carry_out(
    plan: Plan,
    folder: RunFolder,
    runner: Runner,
    *,
    cancel: CancelToken,
    is_resumed: bool,
    budget_seconds: float | None,
    is_forced: bool,
    kept_repeats: int = 1,
) -> tuple[str, Sequence[Any]]:
    """Run a plan's pre-flight and what is left of it; return its status and the checks.

    Raises:
        IllegalState: pre-flight refuses.
        InvalidRequest: a resumed run is of another machine or program.
    """
    from ourvidz.bench.protocol.session import Session, require_same_machine

    end_s = None if budget_seconds is None else time.monotonic() + budget_seconds
    session = Session(
        plan=plan,
        folder=folder,
        runner=runner,
        tell=lambda text: console.print(f"[dim]{escape(text)}[/]", highlight=False),
        cancel=cancel,
        end_s=end_s,
        is_forced=is_forced,
        kept_repeats=kept_repeats,
    )
    if is_resumed:
        require_same_machine(plan, runner.environment())
    checks = session.preflight()
    if not is_resumed:
        folder.begin(plan)
    console.print(f"[bold]{plan.id}[/]  {escape(str(folder.path))}", highlight=False)
    return session.execute(), checks


def _reported(
    plan: Plan,
    folder: RunFolder,
    runs: Sequence[FinishedRun],
    *,
    checks: Sequence[Any],
    reference: Reference | None,
    status: str,
    environment: Mapping[str, Any],
    all_job_types: Sequence[str],
) -> RunReport:
    from ourvidz.bench.protocol.session import report_of, write

    report = report_of(
        plan,
        runs,
        checks=checks,
        reference=reference,
        status=status,
        environment=environment,
        all_job_types=all_job_types,
        root=folder.path,
    )
    write(folder, report)
    return report


def _named_reference(name: str | None, directory: Path) -> Reference | None:
    if name is None:
        return None
    from ourvidz.bench.protocol.baseline import reference_of

    return reference_of(name, directory)


def _own_reference(
    runner: Runner, runs: Sequence[FinishedRun], plan: Plan, directory: Path
) -> Reference | None:
    """Return the established baselines of earlier protocol runs through the same door.

    In process they are the store's; a service keeps its store to itself, and what was run through
    it before is in the folders beside this run's.
    """
    from ourvidz.bench.protocol.baseline import earlier_records
    from ourvidz.bench.protocol.in_process import InProcess
    from ourvidz.perf.decisions import load_decisions
    from ourvidz.perf.protocol.judge import store_reference
    from ourvidz.perf.records import StoreRecords

    own = {run.job_id for run in runs}
    if isinstance(runner, InProcess):
        return store_reference(
            StoreRecords(runner.store).records(),
            source="cli",
            without=own,
            decisions=load_decisions(runner.store),
        )
    return store_reference(earlier_records(directory, door=plan.door), source="api", without=own)


def _runner(
    plan: Plan, folder: RunFolder, settings: Settings, service: Service | None
) -> InProcess | ViaApi:
    """Return what runs a plan's jobs.

    Raises:
        InvalidRequest: the plan is of the other door.
    """
    from ourvidz.bench.protocol.in_process import InProcess
    from ourvidz.bench.protocol.session import jobs_folder
    from ourvidz.perf.protocol.plan import API

    if (plan.door == API) is (service is None):
        raise InvalidRequest(
            f"{plan.id} was begun {'through a service' if service is None else 'in process'}.",
            param="url",
            hint="Go on the same way: with --url, or without.",
        )
    at = jobs_folder(folder.path)
    if service is not None:
        from ourvidz.bench.protocol.via_api import ViaApi

        return ViaApi(service=service, folder=at)
    return InProcess(settings=settings, catalogue=catalogue_of(settings), folder=at)


def open_service(url: str, key: str | None) -> Service:
    """Return a running service, not asked yet.

    Raises:
        MissingDependency: the package that speaks HTTP is not installed.
        InvalidRequest: no address of a service.
    """
    if importlib.util.find_spec("httpx") is None:
        raise MissingDependency("httpx is not installed.", hint="pip install 'ourvidz[serve]'")
    from ourvidz.bench.protocol.via_api import Service

    return Service(url=url, key=key)


def _as_served(service: Service, given: Settings) -> Settings:
    """Return the settings with the profile that a service runs with."""
    return given.model_copy(update={"profile": service.environment()["profile"]})


def _environment_of(runner: Runner, runs: Sequence[FinishedRun]) -> Mapping[str, Any]:
    """Return where jobs ran: this machine, or what the records of a service tell."""
    from ourvidz.bench.protocol.in_process import InProcess

    if isinstance(runner, InProcess) or not runs:
        return runner.environment()
    from ourvidz.bench.protocol.via_api import environment_of

    return environment_of(runs[-1].body)


# Arguments


def settings_of(profile: str | None, device: str | None) -> Settings:
    """Return the settings with what the command was given.

    Raises:
        InvalidRequest: an unknown profile.
    """
    if profile is not None and profile not in PROFILES:
        raise InvalidRequest(
            f"profile {profile!r} is unknown.", param="profile", hint="Use pocket or full."
        )
    given = {"profile": profile, "device": device}
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def kept_in(out: Path | None, settings: Settings) -> Path:
    """Return where runs are kept."""
    return out or settings.data_dir / _FOLDER


def names_in(given: Sequence[str] | None) -> list[str]:
    """Return names out of repeated options, each of which may hold several with commas."""
    return [name.strip() for each in given or () for name in each.split(",") if name.strip()]


def parameters_in(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Return parameters out of ``name=value`` texts.

    Raises:
        InvalidRequest: no such parameter, or a value of another type.
    """
    values: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidRequest(
                f"{pair!r} sets nothing.", param="set", hint="Such as num_inference_steps=10."
            )
        values[name] = value_of(name, text)
    return values


def value_of(name: str, text: str) -> int | float | str:
    """Return a parameter's value out of its text.

    Raises:
        InvalidRequest: no such parameter, or a value of another type.
    """
    if name not in BY_NAME:
        raise InvalidRequest(f"{name!r} is no parameter.", param=name, hint=", ".join(BY_NAME))
    kind = BY_NAME[name].kind
    try:
        return int(text) if kind == "int" else float(text) if kind == "float" else text
    except ValueError:
        raise InvalidRequest(f"{name}={text!r} is no number.", param=name) from None


def require_kind(plan: Plan, kind: Any) -> None:
    """Refuse to go on with a run of another kind.

    Raises:
        InvalidRequest: it is of another kind.
    """
    if plan.kind is not kind:
        raise InvalidRequest(
            f"{plan.id} is a {plan.kind.value}, not a {kind.value}.",
            param="resume",
            hint=f"ourvidz bench {plan.kind.value} --resume {plan.id}",
        )


def as_planned(plan: Plan, given: Settings) -> Settings:
    """Return the settings that a resumed run was planned with."""
    return given.model_copy(update={"profile": plan.profile, "device": plan.device or "auto"})


@contextlib.contextmanager
def cancel_on_signal() -> Generator[CancelToken]:
    """Give a token that Ctrl-C and SIGTERM set; what ended until then is kept."""
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        console.print("[yellow]stopping...[/]")
        cancel.cancel()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


# How it looks


def show(report: RunReport, folder: Path) -> None:
    """Print a run's groups, verdicts, hints and what to test next."""
    from ourvidz.perf.protocol.text import told

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("case", "state", "verdict"):
        table.add_column(name)
    for name in ("n", "median", "step", "CV"):
        table.add_column(name, justify="right")
    table.add_column("")
    verdicts = {each["group"]: each for each in report.verdicts}
    for group in report.groups:
        verdict = verdicts.get(group["group"], {"outcome": "none", "text": ""})
        outcome = str(verdict["outcome"])
        colour = _COLOURS.get(outcome, "dim")
        measures = group["measures"]
        total, step = measures.get("total"), measures.get("step")
        table.add_row(
            escape(group["case"]),
            group["state"],
            f"[{colour}]{outcome.replace('_', ' ')}[/]",
            str(group["n"]),
            told("total", total and total["median"]),
            told("step", step and step["median"]),
            "" if not total or total["cv"] is None else f"{total['cv']:.1%}",
            f"[dim]{escape(str(verdict['text']))}[/]",
        )
    console.print()
    console.print(table)
    for failure in report.failures:
        why = failure["error"] or ", ".join(failure["faults"])
        console.print(f"[red]failed[/]  {failure['key']}: {escape(why)}", highlight=False)
    for hint in report.hints:
        about = f"{hint['about']}: " if hint["about"] else ""
        console.print(f"[cyan]hint[/]  {escape(about + hint['text'])}", highlight=False)
    for each in report.next:
        console.print(
            f"[cyan]next[/]  {escape(each['command'])} [dim]{escape(each['why'])}[/]",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"[dim]{escape(str(folder / 'report.md'))}[/]", highlight=False, soft_wrap=True)
