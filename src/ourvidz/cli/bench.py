"""``ourvidz bench``: what this machine can do, and how near to it we and the library come."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.bench.cases import (
    BY_CASE,
    CASES,
    OURS,
    Case,
    bar_of,
    configs_of,
    find_case,
    request_of,
    work_of,
)
from ourvidz.bench.floors import (
    COMPUTE,
    LIMITS_SUITE,
    PUBLISHED,
    Ceilings,
    Kind,
    Modelled,
    Work,
    floor_s,
    modelled,
)
from ourvidz.catalog.catalogue import PROFILES, Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.models import Role
from ourvidz.catalog.parameters import BY_NAME
from ourvidz.cli import (
    bench_calibrate,
    bench_compare,
    bench_confirm,
    bench_load,
    bench_run,
    bench_sweep,
)
from ourvidz.cli.output import console, print_json
from ourvidz.core.errors import InvalidRequest, ModelMissing
from ourvidz.core.request import Fidelity

if TYPE_CHECKING:
    from ourvidz.bench.limits import Limit, Skipped
    from ourvidz.bench.records import BenchmarkResult

app = typer.Typer(
    help="The test protocol, sweeps, load tests; this machine's ceilings, us beside the library.",
    no_args_is_help=True,
)
bench_confirm.register(app)
bench_calibrate.register(app)
bench_run.register(app)
bench_compare.register(app)
bench_sweep.register(app)
bench_load.register(app)

_CASE_NAMES = ", ".join(BY_CASE)
_DEFAULT_REPEATS = 3
_DEFAULT_BUDGET_S = 400.0

_Profile = Annotated[
    str | None, typer.Option("--profile", help="pocket (ships with the package) or full.")
]
_Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
_Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]


@app.command()
def limits(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the figures to this record.")
    ] = None,
    disk: Annotated[
        Path | None,
        typer.Option(
            "--disk", help="A file or folder to read from disk (default: the video model's files)."
        ),
    ] = None,
    peers_record: Annotated[
        Path | None,
        typer.Option("--peers", help="A record of `bench peers`: show its times over the floors."),
    ] = None,
    profile: _Profile = None,
    device: _Device = None,
    json: _Json = False,
) -> None:
    """Measure the ceilings (products, attention, copies, disk) and print each case's floor.

    On a GPU products and attention are measured in 16 and in 8 bits, on a CPU in float32. It takes
    a minute or two, the first time longer: our 8-bit attention looks for its best blocks.
    """
    from ourvidz.bench.limits import ceilings_of, measure_limits, results_of
    from ourvidz.bench.records import new_record, write_record
    from ourvidz.engine.device import select_device
    from ourvidz.worker.assemble import require_engine_packages

    require_engine_packages()
    settings = _settings(profile, device)
    catalogue = catalogue_of(settings)
    times = _times_of(peers_record)
    found: list[Limit | Skipped] = []
    folder = disk or _folder(settings, catalogue, Role.VIDEO)
    for limit in measure_limits(select_device(settings.device), disk=folder):
        console.print(_limit_line(limit), highlight=False)
        found.append(limit)
    results = results_of(found)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_record(out, new_record(LIMITS_SUITE, results, now=datetime.now(UTC)))
    rows = _floor_rows(settings, catalogue, ceilings_of(found), times)
    console.print()
    console.print(_floor_table(rows, settings.profile))
    if json:
        print_json({"limits": [_brief(result) for result in results], "floors": rows})


@app.command()
def peers(
    case: Annotated[
        list[str] | None,
        typer.Option("--case", "-c", help=f"Again for several (default: all): {_CASE_NAMES}."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", "-o", help="Add the figures to this record after each case."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin the record anew, whatever it holds.")
    ] = False,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Rounds of each case.")] = (
        _DEFAULT_REPEATS
    ),
    budget_seconds: Annotated[
        float,
        typer.Option("--budget-seconds", help="Of a case: begin no round that would end later."),
    ] = _DEFAULT_BUDGET_S,
    fidelity: Annotated[
        list[Fidelity] | None,
        typer.Option("--fidelity", help="Ours; again for several (default: exact and high)."),
    ] = None,
    library: Annotated[
        bool, typer.Option("--library/--no-library", help="Measure the library too.")
    ] = True,
    compile_unet: Annotated[
        bool,
        typer.Option(
            "--compile-unet", help="Compile the library's whole UNet: two minutes, a little faster."
        ),
    ] = False,
    limits_record: Annotated[
        Path | None,
        typer.Option("--limits", help="A record of `bench limits` (default: measure now)."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A smaller run, such as num_frames=17. Written into the record's notes."
        ),
    ] = None,
    vram_gib: Annotated[
        float | None,
        typer.Option(
            "--vram-gib", help="Pretend that the card has so much memory, for peak_memory."
        ),
    ] = None,
    profile: _Profile = None,
    device: _Device = None,
    json: _Json = False,
) -> None:
    """Run the cases: ours and the library in turns, on the same weights, seeds and noise.

    The full profile makes up models of random values where none are here (30 GB in all); the
    pocket profile runs every case on a CPU. What the seconds include stands in the record.
    """
    from ourvidz.bench.peers import Bench, Options, append, check_record
    from ourvidz.bench.records import read_record

    cases = [find_case(name) for name in case] if case else list(CASES)
    settings = _settings(profile, device, vram_gib=vram_gib)
    if record is not None and not fresh:
        check_record(record)
    options = Options(
        repeats=repeats,
        budget_s=budget_seconds,
        fidelities=tuple(fidelity) if fidelity else None,
        has_library=library,
        compile_unet=compile_unet,
        values=_values(values or []),
        ceilings=Ceilings.from_record(read_record(limits_record)) if limits_record else None,
    )
    results: list[BenchmarkResult] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ourvidz-bench-") as folder:
        bench = Bench(
            settings=settings,
            catalogue=catalogue_of(settings),
            folder=Path(folder),
            options=options,
            tell=lambda text: console.print(f"[dim]{escape(text)}[/]", highlight=False),
        )
        try:
            for each in cases:
                console.print(f"\n[bold]{each.name}[/]  {escape(each.text)}", highlight=False)
                outcome = bench.run(each)
                results += outcome.results
                failures += [f"{each.name}: {failure}" for failure in outcome.failures]
                if record is not None and outcome.results:
                    append(record, outcome.results, is_fresh=fresh)
                    fresh = False
        finally:
            bench.close()
    console.print()
    console.print(_result_table(results, has_bars=settings.profile == "full"))
    for failure in failures:
        console.print(f"[yellow]left out[/]  {escape(failure)}", highlight=False)
    if json:
        print_json({"results": [_brief(result) for result in results], "left_out": failures})
    if failures:
        raise typer.Exit(1)


@app.command()
def model(
    card: Annotated[
        str, typer.Argument(help=f"The card to model: {', '.join(PUBLISHED)}.", show_default=False)
    ],
    peers_record: Annotated[
        Path, typer.Option("--peers", help="A record of `bench peers`: what was measured.")
    ],
    limits_record: Annotated[
        Path, typer.Option("--limits", help="A record of `bench limits` of the same card.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Add the modelled figures to this record.")
    ] = None,
    here: Annotated[
        str | None,
        typer.Option("--measured-on", help="The card of the records (default: as they say)."),
    ] = None,
    json: _Json = False,
) -> None:
    """Model our seconds on a card that is not here, from its published rates. Not a measurement.

    The time at the floor scales with the published tensor rates; what is above it with those or
    with the memory's, which gives the interval. Full-size cases as they are, nothing smaller.
    """
    from ourvidz.bench.records import new_record, read_record, write_record

    measured = read_record(peers_record)
    ceilings = Ceilings.from_record(read_record(limits_record))
    here = here or _card_of(measured.environment)
    results: list[BenchmarkResult] = []
    for result in measured.results:
        work = _full_work(result.case, result.fidelity) if _is_ours_seconds(result) else None
        if work is None:
            continue
        found = modelled(
            work,
            seconds=(result.value, result.low or result.value, result.high or result.value),
            ceilings=ceilings,
            here=here,
            there=card,
            fidelity=Fidelity(result.fidelity),
        )
        results.append(_modelled_result(result, found, here=here, card=card))
    if not results:
        raise InvalidRequest("the record holds none of our full-size seconds", param="peers")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_record(out, new_record("modelled", results, now=datetime.now(UTC)))
    for result in results:
        console.print(
            f"{result.case:<18} {result.fidelity:<6} [bold]{result.value:.3g} s[/]  "
            f"[dim]{result.low:.3g} to {result.high:.3g}, modelled for {card} from {here}[/]",
            highlight=False,
        )
    if json:
        print_json({"modelled": [_brief(result) for result in results]})


def _is_ours_seconds(result: BenchmarkResult) -> bool:
    is_whole = "Smaller than the case" not in result.notes and "pocket" not in result.notes
    return result.system == OURS and result.metric == "seconds" and is_whole


def _full_work(case_name: str, fidelity: str) -> Work | None:
    settings = Settings(profile="full")
    catalogue = catalogue_of(settings)
    case = BY_CASE.get(case_name)
    if case is None:
        return None
    request = request_of(case, catalogue=catalogue, settings=settings, fidelity=Fidelity(fidelity))
    role = Role.ENHANCER if case.name == "qwen_256" else case.roles[0]
    return work_of(case, request, configs_of(catalogue.model_for("full", role)))


def _card_of(environment: Mapping[str, Any]) -> str:
    names = [str(gpu.get("name", "")).lower() for gpu in environment.get("gpus", [])]
    found = next((card for card in PUBLISHED for name in names if card in name), None)
    if found is None:
        raise InvalidRequest(
            "the record does not name a card whose published rates are known",
            param="measured-on",
            hint=f"name it with --measured-on: {', '.join(PUBLISHED)}",
        )
    return found


def _modelled_result(
    result: BenchmarkResult, found: Modelled, *, here: str, card: str
) -> BenchmarkResult:
    return dataclasses.replace(
        result,
        system=f"{OURS}-modelled",
        metric=f"seconds_{card}",
        value=found.value,
        low=found.low,
        high=found.high,
        notes=f"MODELLED for {card}, not measured: from {result.n} runs on {here}, published rates "
        "of both cards and the ceilings measured here",
    )


# --------------------------------------------------------------------------------------- arguments


def _settings(
    profile: str | None, device: str | None, *, vram_gib: float | None = None
) -> Settings:
    if profile is not None and profile not in PROFILES:
        raise InvalidRequest(
            f"profile {profile!r} is unknown.", param="profile", hint="Use pocket or full."
        )
    given = {"profile": profile, "device": device, "vram_gib": vram_gib}
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in BY_NAME or BY_NAME[name].kind not in ("int", "float"):
            raise InvalidRequest(
                f"{pair!r} sets no number of a job.", param="set", hint="Such as num_frames=17."
            )
        values[name] = _number(name, value)
    return values


def _number(name: str, value: str) -> int | float:
    try:
        return int(value) if BY_NAME[name].kind == "int" else float(value)
    except ValueError:
        raise InvalidRequest(f"{name}={value!r} is no number.", param="set") from None


def _folder(settings: Settings, catalogue: Catalogue, role: Role) -> Path | None:
    from ourvidz.worker.assemble import model_locator

    try:
        return model_locator(settings)(catalogue.model_for(settings.profile, role).id)
    except ModelMissing:
        return None


# ------------------------------------------------------------------------------------------ floors


def _times_of(record: Path | None) -> dict[tuple[str, str], float]:
    """Return our seconds by case and fidelity, the last measured first."""
    if record is None:
        return {}
    from ourvidz.bench.records import read_record

    return {
        (result.case, result.fidelity): result.value
        for result in read_record(record).results
        if result.system == OURS and result.metric == "seconds"
    }


def _floor_rows(
    settings: Settings,
    catalogue: Catalogue,
    ceilings: Ceilings,
    times: dict[tuple[str, str], float],
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for case in CASES:
        for fidelity in case.fidelities:
            row = _floor_row(case, fidelity, settings, catalogue, ceilings)
            if row is None:
                continue
            ours_s = times.get((case.name, fidelity.value))
            ratio = None if ours_s is None else ours_s / row["floor_s"]
            rows.append({**row, "ours_s": ours_s, "ratio_to_floor": ratio})
    return rows


def _floor_row(
    case: Case,
    fidelity: Fidelity,
    settings: Settings,
    catalogue: Catalogue,
    ceilings: Ceilings,
) -> dict[str, Any] | None:
    request = request_of(case, catalogue=catalogue, settings=settings, fidelity=fidelity)
    role = Role.ENHANCER if case.name == "qwen_256" else case.roles[0]
    model = catalogue.model_for(settings.profile, role)
    folder = _folder(settings, catalogue, role)
    if folder is None and settings.profile != "full":
        return None
    work = work_of(
        case,
        request,
        configs_of(model, folder),
        text_tokens=catalogue.models[request.model].prompt_token_limit,
    )
    if work is None:
        return None
    return {
        "case": case.name,
        "fidelity": fidelity.value,
        "tflop": work.flops / 1e12,
        "floor_s": floor_s(work, ceilings, fidelity),
    }


# ------------------------------------------------------------------------------------------ tables


def _limit_line(limit: Limit | Skipped) -> str:
    name = f"{limit.kind.value:<15} {limit.name:<34}"
    if not hasattr(limit, "rate"):
        reason = getattr(limit, "reason", "")
        return f"[dim]{name} not here: {escape(reason[:80])}[/]"
    rate, low, high = (_rate(limit.kind, value) for value in _rates(limit))
    precision = getattr(limit, "precision", "")
    return f"{name} {precision:<6} [bold]{rate}[/]  [dim]{low} to {high}[/]"


def _rates(limit: Any) -> tuple[float, float, float]:
    return limit.rate, limit.low, limit.high


def _rate(kind: Kind, value: float) -> str:
    if kind in COMPUTE:
        return f"{value / 1e12:.3g} TFLOP/s"
    return f"{value / 1e9:.3g} GB/s"


def _floor_table(rows: Sequence[dict[str, Any]], profile: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title=f"floors, {profile} profile")
    for column in ("case", "fidelity", "TFLOP", "floor", "ours", "ours / floor"):
        table.add_column(column, justify="left" if column in ("case", "fidelity") else "right")
    for row in rows:
        table.add_row(
            row["case"],
            row["fidelity"],
            f"{row['tflop']:.4g}",
            f"{row['floor_s']:.4g} s",
            "" if row["ours_s"] is None else f"{row['ours_s']:.4g} s",
            "" if row["ratio_to_floor"] is None else f"{row['ratio_to_floor']:.2f}",
        )
    return table


def _result_table(results: Sequence[BenchmarkResult], *, has_bars: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "metric", "value", "min to max", "bar"):
        table.add_column(column, justify="right" if column in ("value", "min to max") else "left")
    last_case = ""
    for result in results:
        if result.case != last_case:
            last_case = result.case
            table.add_row(f"[bold]{result.case}[/]", "", "", f"[dim]n = {result.n}[/]", "")
        is_ours = result.system == OURS
        bar = bar_of(result.case, result.fidelity, result.metric) if has_bars and is_ours else None
        met = "" if bar is None else ("[green]met[/]" if bar.is_met(result.value) else "[red]no[/]")
        unit = "" if result.unit in ("1", "share") else f" {result.unit}"
        table.add_row(
            f"  {result.system} {result.fidelity}" if is_ours else f"  {result.system}",
            result.metric,
            f"{result.value:.4g}{unit}",
            f"{result.low:.4g} to {result.high:.4g}" if result.low is not None else "",
            f"{escape(bar.text)} {met}" if bar else "",
        )
    return table


def _brief(result: BenchmarkResult) -> dict[str, Any]:
    fields = ("case", "system", "fidelity", "metric", "value", "unit", "n", "low", "high")
    return {name: getattr(result, name) for name in fields}
