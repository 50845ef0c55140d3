"""Verdicts about finished files, shares with their intervals, and the records made of them.

    python -m training.pocket.judging rows --verdicts FILE... --out rows.jsonl
    python -m training.pocket.judging record --verdicts FILE... --environment FILE --commit SHA \\
        --suite pocket-evaluation --out benchmarks/records/NAME.json

Every evaluation writes one `Judged` a line into `verdicts.jsonl`: what was asked, with which seed
and settings, and what the judge said. All shares are worked out from these lines, so that the lines
of several processes, GPUs or machines need only be put together.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from ourvidz.bench.records import BenchmarkRecord, BenchmarkResult, write_record
from ourvidz.perf.environment import environment
from ourvidz.perf.quality.pocket import detector
from ourvidz.perf.quality.pocket.detector import Pixels
from ourvidz.perf.stats import wilson_interval
from training.pocket.captions import caption
from training.pocket.world import Scene, sample_scene

FPS: Final = 16
VERDICTS_FILE: Final = "verdicts.jsonl"
ENVIRONMENT_FILE: Final = "environment.json"
OWN: Final = ".own"  # ends the name of a case whose prompts a person wrote
PSNR: Final = "psnr_db"  # of a row's frames against the same prompt and seed at `exact`
MEANS: Final = (PSNR,)
_CRF: Final = "18"
_COMPLETE_SHARE: Final = 0.7  # of held-out captions that name every attribute


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked for.

    Attributes:
        text: The wording.
        scene: What is to be seen.
        named: Attributes that the wording names.
        style: "plain" or "loose" for prompts that a person wrote, else empty.
    """

    text: str
    scene: Scene
    named: frozenset[str]
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One prompt and what became of it: a line of `verdicts.jsonl`.

    Attributes:
        case: The way of making, a name as `BenchmarkResult.case` wants it.
        system: The model, or "ourvidz" for whole jobs.
        prompt: As given.
        seed: As given.
        verdict: Truth by attribute; all of them together make the metric "all".
        aside: Truths of their own that "all" leaves out.
        numbers: Measured values, reported by their median, those of `MEANS` also by their mean.
        prefix: Of the metrics' names: what the attributes do.
        style: Of the prompt; shares are also given for each style alone.
        notes: Settings, the same on all lines of a case.
        fidelity: Of the case, as records name it.
        file: The finished file, relative to the folder of the verdicts.
        family: The sweep that the case belongs to, or empty.
        setting: What the case sets within its family, in words.
    """

    case: str
    system: str
    prompt: str
    seed: int
    verdict: dict[str, bool] = field(default_factory=dict[str, bool])
    aside: dict[str, bool] = field(default_factory=dict[str, bool])
    numbers: dict[str, float] = field(default_factory=dict[str, float])
    prefix: str = "shows"
    style: str = ""
    notes: str = ""
    fidelity: str = "exact"
    file: str = ""
    family: str = ""
    setting: str = ""

    @property
    def missed(self) -> list[str]:
        """Attributes that were asked for and not seen."""
        return [name for name, right in self.verdict.items() if not right]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One file to write and judge."""

    prompt: Prompt
    frames: Pixels
    path: Path


def held_out_prompts(
    count: int, *, video: bool, seed: int, fits: Callable[[str], bool] | None = None
) -> list[Prompt]:
    """Held-out scenes in held-out wordings; seven of ten captions name every attribute.

    Args:
        count: Prompts wanted.
        video: Whether of clips (else of single pictures).
        seed: Source of randomness.
        fits: Says whether a model reads a text to its end; others are left out, as the product
            refuses them.
    """
    rng = random.Random(seed)
    chosen: list[Prompt] = []
    while len(chosen) < count:
        scene = sample_scene(rng, video=video, held_out=True)
        complete = rng.random() < _COMPLETE_SHARE
        said = caption(scene, rng, split="eval", complete=complete)
        if fits is None or fits(said.text):
            chosen.append(Prompt(text=said.text, scene=scene, named=said.named))
    return chosen


def own_prompts(count: int, *, video: bool) -> list[Prompt]:
    """The first of the prompts that a person wrote: of clips, or of pictures of one or two."""
    from training.pocket import own_words

    words = own_words.load("video") if video else own_words.load("image") + own_words.load("pair")
    return [
        Prompt(text=w.prompt, scene=w.scene, named=frozenset(w.named), style=w.style)
        for w in words[:count]
    ]


def write_file(frames: Pixels, path: Path) -> None:
    """Writes uint8 [F, H, W, 3] as PNG (F = 1) or as MP4 (H.264, 4:2:0)."""
    if len(frames) == 1:
        Image.fromarray(frames[0]).save(path)
        return
    options = {"crf": _CRF, "threads": "1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def judge_path(prompt: Prompt, path: Path) -> dict[str, bool]:
    """Says which named attributes a finished file shows; one that can't be read shows none."""
    try:
        frames = detector.read_frames(path)
    except (OSError, ValueError, FFmpegError):
        return dict.fromkeys(sorted(prompt.named), False)
    height, width = frames.shape[1:3]
    seen = detector.see(frames)
    return detector.judge(prompt.scene, seen, named=prompt.named, height=height, width=width)


def judge_task(task: Task) -> dict[str, bool]:
    """Writes one file, reads it back, and says which named attributes it shows."""
    write_file(task.frames, task.path)
    return judge_path(task.prompt, task.path)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share."""
    if count == 0:
        return 0.0, 1.0
    interval = wilson_interval(hits, count)
    return interval.low, interval.high


def _shares(lines: Sequence[Judged]) -> dict[str, list[bool]]:
    """Truth values by metric, of one case."""
    judged = [line for line in lines if line.verdict]
    shares = {"all": [all(line.verdict.values()) for line in judged]} if judged else {}
    for style in sorted({line.style for line in judged} - {""}):
        of_style = [line for line in judged if line.style == style]
        shares[f"all_{style}"] = [all(line.verdict.values()) for line in of_style]
    for name in sorted({name for line in lines for name in line.verdict}):
        shares[name] = [line.verdict[name] for line in lines if name in line.verdict]
    for name in sorted({name for line in lines for name in line.aside}):
        shares[name] = [line.aside[name] for line in lines if name in line.aside]
    return shares


def results_of(lines: Iterable[Judged]) -> list[BenchmarkResult]:
    """Shares with Wilson intervals, and medians with their extremes, case by case."""
    by_case: dict[tuple[str, str, str], list[Judged]] = {}
    for line in lines:
        by_case.setdefault((line.system, line.case, line.fidelity), []).append(line)
    results: list[BenchmarkResult] = []
    for found in by_case.values():
        for name, hits in _shares(found).items():
            low, high = wilson(sum(hits), len(hits))
            metric = f"{found[0].prefix}_{name}"
            results.append(
                _result(found[0], metric, (sum(hits) / len(hits), low, high), "share", len(hits))
            )
        for name in sorted({name for line in found for name in line.numbers}):
            values = [line.numbers[name] for line in found if name in line.numbers]
            bounds = (float(np.median(values)), min(values), max(values))
            unit = "dB" if name == PSNR else "1"
            results.append(_result(found[0], name, bounds, unit, len(values)))
            if name in MEANS:
                bounds = (statistics.fmean(values), min(values), max(values))
                results.append(_result(found[0], f"{name}_mean", bounds, unit, len(values)))
    return results


def _result(
    line: Judged, metric: str, bounds: tuple[float, float, float], unit: str, n: int
) -> BenchmarkResult:
    value, low, high = (round(bound, 4) for bound in bounds)
    middle = "mean" if metric.endswith("_mean") else "median"
    said = (
        "95 % Wilson interval" if unit == "share" else f"least and greatest; value is the {middle}"
    )
    return BenchmarkResult(
        case=line.case,
        system=line.system,
        fidelity=line.fidelity,
        metric=metric,
        value=value,
        unit=unit,
        n=n,
        low=min(low, value),
        high=max(high, value),
        notes=f"{line.notes}; low and high: {said}",
    )


def table(results: Sequence[BenchmarkResult]) -> str:
    """The results as text, one line a case."""
    lines: list[str] = []
    for system, case, fidelity in dict.fromkeys((r.system, r.case, r.fidelity) for r in results):
        cells: list[str] = []
        of_case = [r for r in results if (r.system, r.case, r.fidelity) == (system, case, fidelity)]
        for r in of_case:
            scale = 100 if r.unit == "share" else 1
            low, high = scale * (r.low or 0.0), scale * (r.high or 0.0)
            name = r.metric.partition("_")[2] if r.unit == "share" else r.metric
            cells.append(f"{name} {scale * r.value:.3g} [{low:.3g}-{high:.3g}]")
        n = max(r.n for r in of_case)
        name = case if fidelity == "exact" else f"{case} {fidelity}"
        lines.append(f"{system} {name} (n={n}): " + "  ".join(cells))
    return "\n".join(lines)


def append(path: Path, lines: Iterable[Judged]) -> None:
    """Adds lines to a file of verdicts."""
    text = "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines)
    with path.open("a", encoding="utf-8") as out:
        out.write(text)


def read(paths: Iterable[Path]) -> list[Judged]:
    """All whole lines of files of verdicts; of a line met twice, the later one.

    A process that was ended while writing leaves a last line that is cut off: it is left out.
    """
    found: dict[tuple[str, str, str, str, int], Judged] = {}
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = Judged(**json.loads(text))
            except ValueError:
                continue
            found[line.system, line.case, line.fidelity, line.prompt, line.seed] = line
    return list(found.values())


def environment_facts() -> dict[str, Any]:
    """What was measured on: the product's facts, and the device that torch sees."""
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {**environment(), "device": device}


def write_environment(folder: Path) -> None:
    """Writes the facts of this machine beside the verdicts."""
    text = json.dumps(environment_facts(), indent=1)
    (folder / ENVIRONMENT_FILE).write_text(text + "\n", encoding="utf-8")


def make_record(
    path: Path,
    results: Sequence[BenchmarkResult],
    facts: dict[str, Any],
    *,
    suite: str,
    commit: str | None,
) -> None:
    """Writes a benchmark record of results that may come from another machine.

    Args:
        path: The record's file.
        results: One or more.
        facts: Of the machine that measured, as `environment_facts` gives.
        suite: The record's name.
        commit: What was measured; the machine's own notion of it if None.
    """
    commit = commit or facts.get("commit")
    record = BenchmarkRecord(
        suite=suite,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit,
        environment={**facts, "commit": commit},
        results=tuple(results),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, record)


def finish(folder: Path, *, suite: str, record: Path | None) -> list[BenchmarkResult]:
    """Ends an evaluation: `results.json` from the folder's verdicts, and a record if wanted."""
    path = folder / VERDICTS_FILE
    results = results_of(read([path])) if path.exists() else []
    rows = json.dumps([asdict(r) for r in results], indent=1)
    (folder / "results.json").write_text(rows + "\n", encoding="utf-8")
    if record and results:
        make_record(record, results, environment_facts(), suite=suite, commit=None)
    return results


def default_workers() -> int:
    """Processes that judge files where nothing is said: all cores but one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _results_in(paths: Sequence[Path]) -> list[BenchmarkResult]:
    rows = [json.loads(t) for p in paths for t in p.read_text(encoding="utf-8").splitlines() if t]
    return [BenchmarkResult(**row) for row in rows]


def main() -> None:
    """Puts verdicts together: as rows, or as a record."""
    parser = argparse.ArgumentParser(description="Put verdicts together.")
    parser.add_argument("what", choices=("rows", "record"))
    parser.add_argument("--verdicts", type=Path, nargs="*", default=[], help="verdicts.jsonl files")
    parser.add_argument("--rows", type=Path, nargs="*", default=[], help="rows.jsonl files")
    parser.add_argument("--only", default="", help="cases or systems to keep; all if empty")
    parser.add_argument("--environment", type=Path, help="facts of the machine that measured")
    parser.add_argument("--commit", help="what was measured")
    parser.add_argument("--suite", default="pocket-evaluation")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    results = [*results_of(read(options.verdicts)), *_results_in(options.rows)]
    kept = set(options.only.split(",")) - {""}
    results = [r for r in results if not kept or r.case in kept or r.system in kept]
    if options.what == "rows":
        text = "".join(json.dumps(asdict(r)) + "\n" for r in results)
        options.out.write_text(text, encoding="utf-8")
    else:
        facts = environment_facts()
        if options.environment:
            facts = json.loads(options.environment.read_text(encoding="utf-8"))
        make_record(options.out, results, facts, suite=options.suite, commit=options.commit)
    print(table(results))


if __name__ == "__main__":
    main()
