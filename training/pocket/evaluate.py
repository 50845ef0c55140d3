"""Measures what pocket-video makes: held-out prompts, real files, and a judge without a network.

    python -m training.pocket.evaluate --model src/ourvidz/weights/pocket-video --out runs/seen \\
        --cases video_fast=500,image_fast=500,video_fast.own,steps=100,frames-steps=100

For every case (a job type's settings, or one of a family of `sweeps`) it samples prompts whose
attribute combinations and sentence templates never occur in training, writes MP4 or PNG files,
reads them back, compares what `detector` sees with what was asked, and prints accuracies with 95 %
Wilson intervals. `--fidelity exact,draft` makes every case at each of these fidelities of the
product, with the same prompts and seeds, and also measures each clip's PSNR against `exact` and the
share of the network's calls. The folder then holds `verdicts.jsonl` (every file's verdict),
`results.json`, `environment.json`, `sheet-*.jpg` and the files. On several GPUs start one process
for each with `CUDA_VISIBLE_DEVICES=I` and `--only I/N`; `judging` puts their verdicts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ourvidz.perf.quality import compare_frames
from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket import judging, runner, sampling, sweeps
from training.pocket.bank import start_workers
from training.pocket.judging import Prompt
from training.pocket.sampling import Case, Models, Precision
from training.pocket.sweeps import Item

SYSTEM = "pocket-video"


class Maker:
    """The model in the precision that each case asks for, loaded once a change."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.models: Models | None = None
        self.precision: Precision = "float32"
        self.exact: tuple[str, list[Pixels]] = ("", [])

    def at(self, precision: Precision) -> Models:
        """The model in one precision."""
        if self.models is None or precision != self.precision:
            self.models = sampling.load(self.folder, self.device, precision)
            self.precision = precision
        return self.models

    def make(self, case: Case, prompts: Sequence[str], seeds: Sequence[int]) -> Pixels:
        """Makes clips or single frames, uint8 [B, F, H, W, 3]."""
        return sampling.sample(self.at(case.precision), prompts, case, seeds=seeds)

    def measure(self, item: Item[Case], frames: Sequence[Pixels]) -> list[dict[str, float]]:
        """How near an item's rows are to the same rows at `exact`, and what they cost.

        `exact` is kept until another item's comes; nothing is said where there is none.
        """
        if item.case.fidelity == "exact":
            self.exact = (item.label, list(frames))
            return [{} for _ in frames]
        label, exact = self.exact
        if label != item.label:
            return [{} for _ in frames]
        cache = self.at(item.case.precision).cache(item.case)
        calls = 1.0 if cache is None else cache.share
        return [
            {
                judging.PSNR: compare_frames(after, before).finite_psnr_db,
                "network_calls": calls,
            }
            for before, after in zip(exact, frames, strict=True)
        ]

    def prompts(self, item: Item[Case], *, seed: int) -> list[Prompt]:
        """The prompts of an item."""
        video = item.case.num_frames > 1
        if item.own:
            return judging.own_prompts(item.count, video=video)
        fits = self.at(self.precision).fits
        return judging.held_out_prompts(item.count, video=video, seed=seed, fits=fits)


def fidelities_of(text: str) -> list[sampling.Fidelity]:
    """Reads `--fidelity`; `exact` comes first, since the others are compared with it.

    Raises:
        ValueError: A name that is none.
    """
    wanted = [name.strip() for name in text.split(",")]
    if unknown := set(wanted) - set(sampling.FIDELITIES):
        raise ValueError(f"{sorted(unknown)} is no fidelity: {', '.join(sampling.FIDELITIES)}")
    return [name for name in sampling.FIDELITIES if name in wanted]


def main() -> None:
    """Runs the cases that were asked for."""
    known = (*sweeps.CASES, *sweeps.FAMILIES)
    parser = runner.arguments(
        "Measure what pocket-video shows.", cases="video_fast,image_fast", known=known
    )
    parser.add_argument(
        "--fidelity", default="exact", help="one or more of " + ",".join(sampling.FIDELITIES)
    )
    options = parser.parse_args()
    fidelities = fidelities_of(options.fidelity)
    items = sweeps.items_of(
        options.cases,
        cases=sweeps.CASES,
        families=sweeps.FAMILIES,
        count=options.count,
        own=options.prompts == "own",
    )
    if options.steps:
        items = [replace(i, case=replace(i.case, steps=options.steps)) for i in items]
    pool = start_workers(options.workers)
    maker = Maker(options.model, runner.device())
    running = runner.Runner(
        options.out,
        system=SYSTEM,
        make=maker.make,
        prompts=lambda item: maker.prompts(item, seed=options.seed),
        pool=pool,
        batch=options.batch,
        seed=options.seed,
        budget_s=options.budget_seconds,
        measure=maker.measure,
    )
    items = sweeps.every_nth(items, options.only)
    running.run([replace(i, case=replace(i.case, fidelity=f)) for i in items for f in fidelities])
    runner.end(options.out, suite="pocket-video", record=options.record, draw=not options.no_sheets)


if __name__ == "__main__":
    main()
