"""``ourvidz perf predict``: what a job would take here, before anything runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE, resolve
from ourvidz.cli.output import console, print_json
from ourvidz.cli.parameters import with_catalogue_options
from ourvidz.core.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table

    from ourvidz.perf.prediction import Prediction, Rates
    from ourvidz.perf.record import PerformanceRecord

_PROMPT = "any"  # the words of a prompt cost no time


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz perf``."""
    app.command(name="predict")(with_catalogue_options(predict))


def predict(
    job_type: Annotated[
        str, typer.Option("--job-type", "-j", help="What kind of job.")
    ] = DEFAULT_JOB_TYPE,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="A named variant of the job type.")
    ] = BASELINE,
    state: Annotated[
        Literal["cold", "warm", "resident"],
        typer.Option("--state", help="Where the weights will come from: disk, memory, or there."),
    ] = "resident",
    limits: Annotated[
        Path | None,
        typer.Option(
            "--limits",
            help="What `ourvidz bench limits` measured: serves for models that never ran here.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
    **values: Any,
) -> None:
    """Say what a job would take, with the interval that holds 90 % of them."""
    # `ourvidz --help` need not wait for the statistics.
    from ourvidz.core.workload import workload_facts
    from ourvidz.perf.prediction import fit, local_rates

    settings = load_settings()
    request = resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt=_PROMPT,
        seed=0,
        job_type=job_type,
        preset=preset,
        values=values,
    )
    rates = local_rates(settings.device) if limits is None else _measured_rates(limits)
    predictor = fit(_records(settings), rates=rates)
    found = predictor.predict(workload_facts(request), environment_key=None, state=state)
    if found is None:
        raise InvalidRequest("Nothing can be expected of a job without a size.")
    console.print(_headline(found, state), highlight=False)
    console.print(_table(found))
    if json:
        print_json({"job_type": job_type, "preset": preset, "state": state, **found.to_dict()})


def _records(settings: Settings) -> list[PerformanceRecord]:
    """Return the newest records; none where there is no store, since looking must not make one."""
    from ourvidz.jobs.open import DATABASE_FILE, open_store
    from ourvidz.perf.prediction import MOST_RECORDS
    from ourvidz.perf.records import StoreRecords

    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        return []
    with contextlib.closing(open_store(settings)) as store:
        store.migrate()
        return list(StoreRecords(store).records(limit=MOST_RECORDS))


def _measured_rates(path: Path) -> Rates:
    from ourvidz.bench.floors import Ceilings, Kind, Precision
    from ourvidz.bench.records import read_record
    from ourvidz.perf.prediction import Rates

    ceilings = Ceilings.from_record(read_record(path))
    base = ceilings.base
    is_gpu = (Kind.HOST_TO_DEVICE, Precision.BYTES) in ceilings.rates
    memory = ceilings.rate(Kind.MEMORY, Precision.BYTES)
    return Rates(
        matmul_flops_s=ceilings.rate(Kind.MATMUL, base),
        attention_flops_s=ceilings.rate(Kind.ATTENTION, base),
        convolution_flops_s=ceilings.rate(Kind.CONVOLUTION, base),
        disk_bytes_s=ceilings.rates.get((Kind.DISK, Precision.BYTES)),
        host_to_device_bytes_s=ceilings.rate(Kind.HOST_TO_DEVICE, Precision.BYTES)
        if is_gpu
        else memory,
        memory_bytes_s=memory,
        is_gpu=is_gpu,
    )


def _headline(found: Prediction, state: str) -> str:
    records = f"{found.n} record{'' if found.n == 1 else 's'} of this model here"
    basis = records if found.basis == "history" else "no record of this model here: a prior"
    return (
        f"[bold]{found.total_s:.2f} s[/]  90 % of jobs: {found.low_s:.2f} to {found.high_s:.2f} s"
        f"\n[dim]{state}; from {basis}[/]"
    )


def _table(found: Prediction) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    table.add_column("%", justify="right")
    for phase, seconds in found.phases_s.items():
        table.add_row(phase, f"{seconds:.3f}", f"{seconds / found.total_s:.1%}")
    return table
