"""Runs cases one after the other: made on the device while other processes judge the last ones."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket import judging, sheets
from training.pocket.judging import Judged, Prompt, Task
from training.pocket.sampling import in_batches
from training.pocket.sweeps import Item

_BACKLOG = 1  # cases that may wait for judges while the next one is made


class AnyCase(Protocol):
    """What the runner asks of a case."""

    @property
    def notes(self) -> str:
        """The settings in words."""
        ...

    @property
    def precision(self) -> str:
        """One of `sampling.PRECISIONS`."""
        ...


CaseT = TypeVar("CaseT", bound=AnyCase)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A case whose files are being judged."""

    item: Item[Any]
    tasks: list[Task]
    seeds: list[int]
    made_s: float
    numbers: list[dict[str, float]]
    verdicts: AsyncResult[list[dict[str, bool]]] | list[dict[str, bool]]


class Runner(Generic[CaseT]):
    """One evaluation in one folder.

    Args:
        out: The folder.
        system: The model's name in results.
        make: Makes files' frames of a case from prompts and seeds.
        prompts: The prompts of an item.
        pool: Processes that judge; None judges here.
        batch: Rows made at a time.
        seed: The first row's seed; later rows count up.
        budget_s: Seconds after which no further case begins.
        measure: Measures an item's frames, one entry a row, beside what the judges say.
    """

    def __init__(
        self,
        out: Path,
        *,
        system: str,
        make: Callable[[CaseT, Sequence[str], Sequence[int]], Pixels],
        prompts: Callable[[Item[CaseT]], list[Prompt]],
        pool: Pool | None,
        batch: int,
        seed: int,
        budget_s: float,
        measure: Callable[[Item[CaseT], Sequence[Pixels]], list[dict[str, float]]] | None = None,
    ) -> None:
        self.out, self.system, self.make, self.prompts = out, system, make, prompts
        self.pool, self.batch, self.seed = pool, batch, seed
        self.measure = measure
        self.deadline = time.monotonic() + budget_s
        self._waiting: list[Waiting] = []
        out.mkdir(parents=True, exist_ok=True)
        (out / judging.VERDICTS_FILE).unlink(missing_ok=True)
        judging.write_environment(out)

    def run(self, items: Sequence[Item[CaseT]]) -> None:
        """Runs the items in order; one that fails is reported and the others go on."""
        for item in items:
            self.step(item)
        self.drain()

    def is_late(self, label: str) -> bool:
        """Whether the time is over; says so if it is."""
        late = time.monotonic() > self.deadline
        if late:
            print(f"{label}: left out, no time", flush=True)
        return late

    def step(self, item: Item[CaseT]) -> None:
        """Makes one case and hands it to the judges."""
        if self.is_late(item.label):
            return
        try:
            self._start(item)
        except (RuntimeError, ValueError, ImportError, OSError) as error:
            print(f"{item.label}: failed: {error}", flush=True)
        while len(self._waiting) > _BACKLOG:
            self._collect()

    def drain(self) -> None:
        """Waits for all verdicts that are still out."""
        while self._waiting:
            self._collect()

    def _start(self, item: Item[CaseT]) -> None:
        wanted = self.prompts(item)
        seeds = [self.seed + i for i in range(len(wanted))]
        begin = time.monotonic()

        def make(texts: Sequence[str], at: Sequence[int]) -> Pixels:
            return self.make(item.case, texts, at)

        frames = in_batches(make, [p.text for p in wanted], seeds, self.batch)
        made_s = time.monotonic() - begin
        numbers = self.measure(item, frames) if self.measure else [{} for _ in frames]
        fidelity = getattr(item.case, "fidelity", "exact")
        folder = self.out / (item.label if fidelity == "exact" else f"{item.label}-{fidelity}")
        folder.mkdir(parents=True, exist_ok=True)
        suffix = "mp4" if len(frames[0]) > 1 else "png"
        tasks = [
            Task(prompt=p, frames=f, path=folder / f"{i:04d}.{suffix}")
            for i, (p, f) in enumerate(zip(wanted, frames, strict=True))
        ]
        verdicts = (
            [judging.judge_task(task) for task in tasks]
            if self.pool is None
            else self.pool.map_async(judging.judge_task, tasks, chunksize=2)
        )
        # The frames are in the judges' hands by now; kept here they would fill the memory.
        kept = [Task(prompt=t.prompt, frames=t.frames[:0], path=t.path) for t in tasks]
        self._waiting.append(
            Waiting(
                item=item,
                tasks=kept,
                seeds=seeds,
                made_s=made_s,
                numbers=numbers,
                verdicts=verdicts,
            )
        )

    def _collect(self) -> None:
        """Waits for the oldest case's verdicts, writes them down and prints its line."""
        done = self._waiting.pop(0)
        item, verdicts = done.item, done.verdicts
        found = verdicts if isinstance(verdicts, list) else verdicts.get()
        kind = "prompts written by hand" if item.own else "held-out prompts"
        notes = f"{item.case.notes}, {kind}, seeds from {self.seed}"
        lines = [
            Judged(
                case=item.label,
                system=self.system,
                prompt=task.prompt.text,
                seed=seed,
                verdict=verdict,
                numbers=numbers,
                style=task.prompt.style,
                notes=notes,
                fidelity=_fidelity(item),
                file=task.path.relative_to(self.out).as_posix(),
                family=item.family,
                setting=item.setting,
            )
            for task, seed, verdict, numbers in zip(
                done.tasks, done.seeds, found, done.numbers, strict=True
            )
        ]
        judging.append(self.out / judging.VERDICTS_FILE, lines)
        shown = judging.table(judging.results_of(lines))
        print(f"{shown}  ({done.made_s:.1f} s to make)", flush=True)


def _fidelity(item: Item[Any]) -> str:
    """What a case's results stand under; rounded weights alone keep no promise of the product."""
    if item.case.precision == "float8":
        return "draft"
    return getattr(item.case, "fidelity", "exact")


def arguments(description: str, *, cases: str, known: Sequence[str]) -> argparse.ArgumentParser:
    """The options that the evaluations of both models share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", type=Path, required=True, help="pipeline folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--cases", default=cases, help="NAME[.own][=COUNT],...: " + ", ".join(known)
    )
    parser.add_argument("--prompts", choices=("held-out", "own"), default="held-out")
    parser.add_argument("--count", type=int, default=100, help="prompts of each case")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="of every case, to try the code")
    parser.add_argument("--only", default="0/1", help="I/N: every N-th case, from the I-th on")
    parser.add_argument("--workers", type=int, default=1, help="processes that judge files")
    parser.add_argument("--budget-seconds", type=float, default=1e9, help="begin no case later")
    parser.add_argument("--record", type=Path, help="also write a benchmark record")
    parser.add_argument("--no-sheets", action="store_true", help="draw no contact sheets")
    return parser


def device() -> torch.device:
    """The first GPU that this process may see, else the CPU; the libraries' chatter is off."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def end(out: Path, *, suite: str, record: Path | None, draw: bool) -> None:
    """Writes results, sheets and the record of a finished evaluation."""
    judging.finish(out, suite=suite, record=record)
    if draw:
        sheets.draw_all([out], out)
