"""Measures all pocket models in one go, on one or more GPUs, within a budget of seconds.

    python -m training.pocket.report --video FOLDER --image FOLDER --enhancer FOLDER \\
        --out OUT --gpus 4 --budget-seconds 250
    python -m training.pocket.report --out OUT --smoke

For each GPU three rows of commands run side by side: pocket-video's cases, pocket-image's, and
pocket-enhancer followed by whole jobs. The most important cases come first; what the budget does
not hold is left out and said so, and a part that fails takes nothing else with it. OUT then holds
`rows.jsonl` (shares and intervals), `verdicts.jsonl.gz` (every single one), `table.txt`,
`environment.json`, `logs.tar.gz` and `sheets-*.tar`; `judging record` makes a record of them.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from training.pocket import judging, sheets
from training.pocket.bank import start_workers

_WEIGHTS: Final = Path("src/ourvidz/weights")
VIDEO_CASES: Final = (
    "video_fast=500,image_fast=500,video_high=500,image_high=500,video_fast.own,image_fast.own,"
    "steps=150,frames-steps=200,precision=150,frames-precision=200,guidance=100,"
    "frames-guidance=150,scheduler=100,frames-scheduler=150,shift=100,frames-shift=150,size=100,"
    "frames-size=150,video_balanced=200,video_aggressive=200,video_quality=200,"
    "video_empty_negative=200,image_empty_negative=200"
)
IMAGE_CASES: Final = (
    "sdxl_image_fast=500,sdxl_image_high=500,sdxl_image_fast.own,six_seeds=60,steps=200,"
    "precision=200,guidance=150,scheduler=150,size=150,sdxl_empty_negative=200"
)
JOBS: Final = (
    "video_fast=60,image_fast=60,sdxl_image_fast=60,image7b_fast_enhanced=60,"
    "video7b_fast_enhanced=60,sdxl_image_fast.own=60,image7b_fast_enhanced.own=60,video_high=40,"
    "image_high=40,sdxl_image_high=40,image7b_high_enhanced=40,video7b_high_enhanced=40"
)
SMOKE_VIDEO: Final = "video_fast=2,image_fast=4,image_fast.own=2,frames-precision=2"
SMOKE_IMAGE: Final = "sdxl_image_fast=4,sdxl_image_fast.own=2,six_seeds=1,precision=2"
SMOKE_JOBS: Final = "image_fast=2,sdxl_image_fast=1"
_JUDGING_S: Final = 25  # after a tool's own limit: its last judges
_PACKING_S: Final = 20  # kept for sheets and archives
_ARCHIVE_BYTES: Final = 14 * 2**20


@dataclass(frozen=True, kw_only=True)
class Command:
    """One evaluation to run.

    Attributes:
        name: Of its folder and log.
        module: Within `training.pocket`.
        arguments: Without `--out` and the limit of time.
        has_budget: Whether it takes `--budget-seconds`.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    has_budget: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What runs where.

    Attributes:
        work: Folder of the runs' files and logs.
        budget_s: Seconds for all.
        environment: Of the processes.
        begun_s: Reading of `time.monotonic` at the start.
    """

    work: Path
    budget_s: float
    environment: dict[str, str]
    begun_s: float

    @property
    def left_s(self) -> float:
        """Seconds until processes are ended."""
        return self.begun_s + self.budget_s - _PACKING_S - time.monotonic()


def lanes(options: argparse.Namespace) -> list[tuple[int, list[Command]]]:
    """Rows of commands, each with the GPU that it runs on; rows run side by side."""
    smoke = options.smoke
    cores = max(len(os.sched_getaffinity(0)) // options.gpus, 1)
    quick = ("--steps", "2") if smoke else ()
    rows: list[tuple[int, list[Command]]] = []
    for gpu in range(options.gpus):
        share = f"{gpu}/{options.gpus}"
        common = ("--only", share, "--batch", str(options.batch), "--no-sheets", *quick)
        video = ("--model", str(options.video), "--cases", options.video_cases, *common)
        image = ("--model", str(options.image), "--cases", options.image_cases, *common)
        many, few = str(max(1, cores * 5 // 8)), str(max(1, cores // 4))
        video, image = (*video, "--workers", many), (*image, "--workers", few)
        rows.append((gpu, [Command(name=f"video-{gpu}", module="evaluate", arguments=video)]))
        rows.append((gpu, [Command(name=f"image-{gpu}", module="evaluate_image", arguments=image)]))
        last = enhancer_commands(options) if gpu == options.gpus - 1 else []
        jobs = ("--jobs", options.jobs, "--shard", share)
        last.append(Command(name=f"jobs-{gpu}", module="evaluate_jobs", arguments=jobs))
        rows.append((gpu, last))
    return rows


def enhancer_commands(options: argparse.Namespace) -> list[Command]:
    """What measures the enhancer: held-out prompts, then those that a person wrote."""
    count, others = ("6", "3") if options.smoke else ("1000", "250")
    model = ("--model", str(options.enhancer), "--count", count)
    return [
        Command(
            name="enhancer",
            module="evaluate_enhancer",
            arguments=(*model, "--others", others),
            has_budget=False,
        ),
        Command(
            name="enhancer-own",
            module="evaluate_enhancer",
            arguments=(*model, "--prompts", "own"),
            has_budget=False,
        ),
    ]


def child_environment(options: argparse.Namespace) -> dict[str, str]:
    """Of the evaluations' processes: the models under test also serve whole jobs."""
    models = {
        "pocket-video": str(options.video.resolve()),
        "pocket-image": str(options.image.resolve()),
        "pocket-enhancer": str(options.enhancer.resolve()),
    }
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OURVIDZ_PROFILE": "pocket",
        "OURVIDZ_MODEL_PATHS": json.dumps(models),
    }


def _visible(gpu: int) -> str:
    """The machine's own number of the GPU, where this process may see some of them only."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return seen[gpu] if gpu < len(seen) else str(gpu)


def run_lane(plan: Plan, gpu: int, commands: Sequence[Command]) -> None:
    """Runs commands one after the other, each with the time that is left."""
    for command in commands:
        begin = time.monotonic()
        with (plan.work / f"{command.name}.log").open("w", encoding="utf-8") as log:
            code = _run(plan, gpu, command, log)
        took = time.monotonic() - begin
        print(f"{command.name}: ended with {code} after {took:.0f} s", flush=True)


def _run(plan: Plan, gpu: int, command: Command, log: IO[str]) -> int | str:
    """Runs one command and ends it, with all its children, when the time is over."""
    if plan.left_s <= 0:
        return "no time"
    out = ("--out", str(plan.work / command.name))
    limit = ("--budget-seconds", f"{max(plan.left_s - _JUDGING_S, 1):.0f}")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"training.pocket.{command.module}",
            *command.arguments,
            *out,
            *(limit if command.has_budget else ()),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**plan.environment, "CUDA_VISIBLE_DEVICES": _visible(gpu)},
        start_new_session=True,
    )
    try:
        return process.wait(timeout=max(plan.left_s, 1))
    except subprocess.TimeoutExpired:
        return "the time was over"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def collect(work: Path, out: Path) -> str:
    """Puts the runs' verdicts and logs together and returns the table.

    Args:
        work: Folder of the runs.
        out: Where the few files go that are worth keeping.
    """
    runs = _runs(work)
    lines = judging.read([run / judging.VERDICTS_FILE for run in runs])
    results = judging.results_of(lines)
    rows = "".join(json.dumps(asdict(result)) + "\n" for result in results)
    (out / "rows.jsonl").write_text(rows, encoding="utf-8")
    with gzip.open(out / "verdicts.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
    shown = judging.table(results)
    (out / "table.txt").write_text(shown + "\n", encoding="utf-8")
    with tarfile.open(out / "logs.tar.gz", "w:gz") as logs:
        for path in sorted(work.glob("*.log")):
            logs.add(path, path.name)
    facts = sorted(work.glob(f"*/{judging.ENVIRONMENT_FILE}"))
    if facts:
        (out / judging.ENVIRONMENT_FILE).write_bytes(facts[0].read_bytes())
    return shown


def draw(work: Path, out: Path, *, workers: int) -> None:
    """Draws and packs the sheets of all runs, in several processes."""
    drawn = work / "sheets"
    drawn.mkdir(exist_ok=True)
    wanted = sheets.plan(_runs(work), drawn)
    pool = start_workers(min(workers, 16))
    made = list(map(sheets.draw, wanted) if pool is None else pool.imap(sheets.draw, wanted))
    archive([path for path in made if path is not None], out)


def _runs(work: Path) -> list[Path]:
    return sorted(path.parent for path in work.glob(f"*/{judging.VERDICTS_FILE}"))


def archive(paths: Sequence[Path], out: Path) -> None:
    """Packs files into as few archives as fit a limit of bytes each."""
    groups: list[list[Path]] = [[]]
    size = 0
    for path in paths:
        needed = path.stat().st_size + 2048
        if groups[-1] and size + needed > _ARCHIVE_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += needed
    for number, group in enumerate(groups, start=1):
        if group:
            with tarfile.open(out / f"sheets-{number}.tar", "w") as packed:
                for path in group:
                    packed.add(path, path.name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure all pocket models.")
    parser.add_argument("--video", type=Path, default=_WEIGHTS / "pocket-video")
    parser.add_argument("--image", type=Path, default=_WEIGHTS / "pocket-image")
    parser.add_argument("--enhancer", type=Path, default=_WEIGHTS / "pocket-enhancer")
    parser.add_argument("--out", type=Path, required=True, help="for a few files")
    parser.add_argument("--work", type=Path, help="for the many; a temporary folder if left out")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--budget-seconds", type=float, default=250)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--video-cases", default=VIDEO_CASES)
    parser.add_argument("--image-cases", default=IMAGE_CASES)
    parser.add_argument("--jobs", default=JOBS)
    parser.add_argument("--smoke", action="store_true", help="tiny counts, to try every line")
    options = parser.parse_args()
    if options.smoke:
        options.batch = 4
        options.video_cases, options.image_cases = SMOKE_VIDEO, SMOKE_IMAGE
        options.jobs = SMOKE_JOBS
    return options


def main() -> None:
    """Runs all and packs what came of it."""
    begun_s = time.monotonic()
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    work = options.work or Path(tempfile.mkdtemp(prefix="pocket-report-"))
    work.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        work=work.resolve(),
        budget_s=options.budget_seconds,
        environment=child_environment(options),
        begun_s=begun_s,
    )
    threads = [
        threading.Thread(target=run_lane, args=(plan, gpu, commands))
        for gpu, commands in lanes(options)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown = collect(plan.work, options.out)
    print(shown, flush=True)
    draw(plan.work, options.out, workers=len(os.sched_getaffinity(0)))
    print(f"{time.monotonic() - begun_s:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
