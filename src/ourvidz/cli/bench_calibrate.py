"""``ourvidz bench calibrate``: make the plan by which ``draft`` leaves out evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ourvidz.catalog.config import load_settings
from ourvidz.catalog.step_plan import write_calibrations
from ourvidz.cli.output import console, print_json

if TYPE_CHECKING:
    from ourvidz.catalog.step_plan import Calibration


def register(app: typer.Typer) -> None:
    """Add the command to ``ourvidz bench``."""
    app.command()(calibrate)


def calibrate(
    model_id: Annotated[str, typer.Argument(help="A Wan model, see `ourvidz models list`.")],
    job_type: Annotated[str, typer.Option("--job-type", help="Whose settings.")] = "video_fast",
    preset: Annotated[str, typer.Option("--preset", help="A preset of it.")] = "baseline",
    target_calls: Annotated[
        float, typer.Option("--target-calls", help="At most this share of the network's calls.")
    ] = 0.6,
    prompts: Annotated[
        int, typer.Option("--prompts", help="Of the fixed ones; a third of them check the plan.")
    ] = 12,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Another file than draft.json in the model's folder; no job reads it.",
        ),
    ] = None,
    num_inference_steps: Annotated[
        int | None,
        typer.Option("--num-inference-steps", help="Another number than the job type's."),
    ] = None,
    width: Annotated[int | None, typer.Option("--width", help="px, for a quick look.")] = None,
    height: Annotated[int | None, typer.Option("--height", help="px, for a quick look.")] = None,
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", help="For a quick look.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = (
        None
    ),
    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout.")
    ] = False,
) -> None:
    """Find out which network calls a job type of your model can do without.

    Exact jobs of fixed prompts are recorded, a plan is made of them and run on others. It holds
    for this model, sampler, number of steps, shift and guidance. On random weights only its
    mechanics are shown, and it says so.
    """
    from ourvidz.bench import calibrate as bench

    settings = load_settings(**({} if device is None else {"device": device}))
    path, folder = bench.default_path(settings, model_id)
    options = bench.Options(
        job_type=job_type,
        preset=preset,
        target_calls=target_calls,
        num_prompts=prompts,
        num_inference_steps=num_inference_steps,
        width=width,
        height=height,
        num_frames=num_frames,
    )
    made, checked = bench.calibrate(
        model_id,
        settings=settings,
        options=options,
        tell=lambda text: console.print(f"[dim]{escape(text)}[/]", highlight=False),
    )
    path = out or path
    write_calibrations(path, bench.add_to_file(path, made, model_id=model_id, folder=folder))
    _show(made)
    console.print(f"[dim]written to {escape(str(path))}[/]", highlight=False)
    if json:
        print_json(
            {
                "model": model_id,
                "key": str(made.key),
                "network_calls": made.plan.num_forwards,
                "network_calls_exact": made.plan.num_full_forwards,
                "calls_by_step": [rule.num_forwards for rule in made.plan.rules],
                "is_confirmed": made.is_confirmed,
                "verdict": made.verdict,
                "measured": dict(made.measured),
                "psnr_db": {each.prompt: round(each.psnr_db, 2) for each in checked},
            }
        )


def _show(made: Calibration) -> None:
    plan = made.plan
    console.print(f"\n[bold]{escape(str(made.key))}[/]", highlight=False)
    calls = "".join(str(rule.num_forwards) for rule in plan.rules)
    share = plan.num_forwards / plan.num_full_forwards
    console.print(
        f"calls by step {calls}: {plan.num_forwards} of {plan.num_full_forwards} ({share:.2f})",
        highlight=False,
    )
    colour = "green" if made.is_confirmed else "yellow"
    console.print(f"[{colour}]{escape(made.verdict)}[/]", highlight=False)
