"""``ourvidz generate``: one prompt to files."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ourvidz.catalog.catalogue import PROFILES, Catalogue
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.catalog.job_types import BASELINE, JOB_TYPES
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE
from ourvidz.cli.output import console, phase_table, print_json
from ourvidz.cli.parameters import with_catalogue_options
from ourvidz.cli.progress import JobProgress
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import InvalidRequest, OurVidzError
from ourvidz.core.event import JobEvent
from ourvidz.core.job import JobResult
from ourvidz.core.phase import LoadState
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.perf.ledger import is_unattributed_alarming

if TYPE_CHECKING:
    from ourvidz.jobs.model import Job
    from ourvidz.jobs.submission import Draft, Submitter
    from ourvidz.perf.prediction import Prediction
    from ourvidz.perf.records import RecordReader
    from ourvidz.worker.run import Worker
    from ourvidz.worker.writers import OutputNames

_SUFFIXES = frozenset({".mp4", ".png"})
_WHOLE_SECOND = 1.05  # with what passes between two looks at the clock, and a tick
_JOB_TYPE_NAMES = ", ".join(job.name for job in JOB_TYPES)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(name="generate")(with_catalogue_options(generate))


def generate(
    prompt: Annotated[str, typer.Argument(help="What to make, in plain words.")],
    job_type: Annotated[
        str, typer.Option("--job-type", "-j", help=f"What kind of job: {_JOB_TYPE_NAMES}.")
    ] = DEFAULT_JOB_TYPE,
    preset: Annotated[
        str, typer.Option("--preset", "-p", help="A named variant of the job type.")
    ] = BASELINE,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="pocket (ships with the package) or full."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder, or a file name ending in .mp4 or .png."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
    **values: Any,
) -> None:
    """Make a video or images from PROMPT, and say where every second went."""
    # Here and below: `ourvidz --help` need not wait for what a job needs.
    from ourvidz.jobs.model import Source
    from ourvidz.jobs.submission import Draft

    settings = load_settings(
        **{
            name: value
            for name, value in {"profile": _known_profile(profile), "device": device}.items()
            if value is not None
        }
    )
    draft = Draft(prompt=prompt, job_type=job_type, preset=preset, values=values, source=Source.CLI)
    result = run_one(draft, settings=settings, catalogue=catalogue_of(settings), out=out)
    _show(result)
    if json:
        from ourvidz.worker.report import summary_of

        print_json(summary_of(result))


def run_one(
    draft: Draft, *, settings: Settings, catalogue: Catalogue, out: Path | None
) -> JobResult:
    """Store ``draft`` as a job, run it in this process and return its result.

    It is timed from the process's start.
    """
    from ourvidz.engine.waking import wake_device
    from ourvidz.jobs.open import open_store
    from ourvidz.jobs.submission import Submitter
    from ourvidz.perf.records import StoreRecords
    from ourvidz.policy.build import build_policy
    from ourvidz.worker.inline import run_claimed

    clock = SystemClock()
    with contextlib.closing(open_store(settings)) as store:
        submitter = Submitter(
            store=store,
            catalogue=catalogue,
            settings=settings,
            policy=build_policy(settings.policy),
            clock=clock,
        )
        request = submitter.resolve(draft)
        out = _checked_out(out or settings.out_dir, request)
        console.print(_headline(request), highlight=False)
        with _cancel_on_signal() as cancel, JobProgress() as progress:
            started_s = _process_start_s(clock)
            wake_device(settings.device)
            records = StoreRecords(store)
            worker = make_worker(
                settings=settings, catalogue=catalogue, clock=clock, records=records
            )
            try:
                job = _claimed(submitter, draft, request)
                expected = _expected(worker, request)
                if expected is not None:
                    console.print(_expectation(expected), highlight=False)
                events = run_claimed(
                    job,
                    worker=worker,
                    store=store,
                    policy=submitter.policy,
                    queue=settings.queue,
                    names=_names(out, job.id),
                    cancel=cancel,
                    started_s=started_s,
                )
                return _watch(events, progress)
            finally:
                worker.engine.close()


def _watch(events: Generator[JobEvent, None, JobResult], progress: JobProgress) -> JobResult:
    with contextlib.closing(events):  # before the store, which is told of every end
        while True:
            try:
                progress.show(next(events))
            except StopIteration as stop:
                return stop.value


def _claimed(submitter: Submitter, draft: Draft, request: GenerationRequest) -> Job:
    """Store the job as this process's own, once nothing but running it is left to do."""
    from ourvidz.worker.inline import new_worker_id

    store, queue = submitter.store, submitter.settings.queue
    store.migrate()
    store.reap(max_crashes=queue.max_crashes)  # what was killed here before, without a service
    return submitter.submit_and_claim(
        draft, request, worker_id=new_worker_id(), lease_s=queue.lease_s
    )


def _expected(worker: Worker, request: GenerationRequest) -> Prediction | None:
    """Return what the job should take from the process's start; None where nothing says it."""
    from ourvidz.core.workload import workload_facts
    from ourvidz.jobs.model import Source
    from ourvidz.perf.prediction import environment_key

    try:
        predictor = worker.expectations.forecaster.refresh()
    except OurVidzError:  # the job matters more than how long it takes
        return None
    found = predictor.predict(
        workload_facts(request),
        environment_key=environment_key(worker.fingerprint(request))
        if predictor.num_records
        else None,
        state=LoadState.WARM.value,  # the disk's cache holds what was read before
        source=Source.CLI.value,
    )
    return None if found is None or found.basis == "prior" else found


def _expectation(expected: Prediction) -> str:
    runs = f"{expected.n} run{'' if expected.n == 1 else 's'}"
    return (
        f"[dim]expected {expected.total_s:.1f} s "
        f"(90 %: {expected.low_s:.1f} to {expected.high_s:.1f} s, from {runs})[/]"
    )


def make_worker(
    *,
    settings: Settings,
    catalogue: Catalogue,
    clock: SystemClock,
    records: RecordReader | None = None,
) -> Worker:
    """Return a worker on this machine's device.

    Args:
        records: past jobs, for the ETA.

    Raises:
        MissingDependency: the ``engine`` extra is not installed.
    """
    from ourvidz.worker.assemble import assemble_worker

    return assemble_worker(settings=settings, catalogue=catalogue, clock=clock, records=records)


def _known_profile(profile: str | None) -> str | None:
    if profile is not None and profile not in PROFILES:
        raise InvalidRequest(
            f"profile {profile!r} is unknown.", param="profile", hint="Use pocket or full."
        )
    return profile


def _checked_out(out: Path, request: GenerationRequest) -> Path:
    wanted = _suffix(request)
    if out.suffix.lower() in _SUFFIXES - {wanted}:
        raise InvalidRequest(
            f"Job type {request.job_type!r} makes {wanted} files, not {out.suffix!r}.",
            param="out",
            hint=f"Name it {out.with_suffix(wanted).name!r}, or give a folder.",
        )
    return out


def _suffix(request: GenerationRequest) -> str:
    return ".mp4" if request.media_type is MediaType.VIDEO else ".png"


def _names(out: Path, job_id: str) -> OutputNames:
    from ourvidz.worker.writers import OutputNames

    if out.suffix.lower() in _SUFFIXES:
        return OutputNames(folder=out.parent, stem=out.stem)
    return OutputNames(folder=out, stem=job_id)


def _headline(request: GenerationRequest) -> str:
    size = f"{request.width}x{request.height}"
    what = (
        f"{request.num_frames} frames"
        if request.media_type is MediaType.VIDEO
        else f"{request.num_images} image{'s' if request.num_images > 1 else ''}"
    )
    preset = "" if request.preset == BASELINE else f" ({request.preset})"
    profile = f"[dim]{request.profile} profile[/]"
    return (
        f"[bold]{request.job_type}[/]{preset}  {request.model}  {profile}\n"
        f"[dim]{size}, {what}, {request.num_inference_steps} steps, "
        f"seed {request.seed}[/]"
    )


def _show(result: JobResult) -> None:
    from ourvidz.worker.report import summary_of

    summary = summary_of(result)
    console.print()
    console.print(phase_table(summary["timing"]))
    if is_unattributed_alarming(result.timing.unattributed_s, result.timing.total_s):
        console.print("[yellow]note[/]  More time than 2 % or 1 s has no name: please report it.")
    step_s = result.timing.step_s
    console.print(
        f"[dim]step {step_s:.3f} s, models {result.timing.state.value}, "
        f"peak memory {result.memory['host_peak_bytes'] / 2**30:.2f} GiB[/]"
        if step_s is not None
        else "",
        highlight=False,
    )
    for asset in result.outputs:
        console.print(f"[green]✓[/] {escape(asset.path)}", highlight=False, soft_wrap=True)


def _process_start_s(clock: SystemClock) -> float:
    """Return when this process started, on ``clock``'s monotonic axis."""
    import time

    import psutil

    age_s = time.time() - psutil.Process().create_time()
    ticks = _start_ticks()
    if ticks is not None:
        # psutil counts from the boot's whole second (/proc/stat): up to a second too much.
        exact_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        if -0.05 <= age_s - exact_s <= _WHOLE_SECOND:  # else a kernel with other clocks
            age_s = exact_s
    return clock.monotonic() - max(0.0, age_s)


def _start_ticks() -> int | None:
    """Return the clock ticks from boot to this process's start (proc_pid_stat(5), field 22)."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])  # its name, in brackets, may hold anything
    except (OSError, ValueError, IndexError):
        return None  # not Linux


@contextlib.contextmanager
def _cancel_on_signal() -> Generator[CancelToken]:
    """Yield a token that Ctrl-C and SIGTERM set; the job then stops within one step."""
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        console.print("[yellow]cancelling...[/]")
        cancel.cancel()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
