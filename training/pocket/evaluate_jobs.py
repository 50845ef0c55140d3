"""Judges whole jobs: the product's own path from prompt to file, on this machine.

    python -m training.pocket.evaluate_jobs --jobs sdxl_image_fast=60,video_fast=20 --out runs/jobs
    python -m training.pocket.evaluate_jobs --merge runs/*/verdicts.jsonl --record FILE

Each job runs as `ourvidz generate` runs it (catalogue, enhancer, engine, media), with the job
type's own number of images; its first file is read back and held against the prompt by `detector`,
and all files together make the metric `shows_all_every_image`. Slower than `evaluate`, which
samples in batches, but nothing of the product is left out. `--shard I/N` takes every N-th prompt,
so that N processes share the work; verdicts are kept one a line, and `--merge` works out the shares
from all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ourvidz.bench.records import new_record, write_record
from ourvidz.catalog.config import catalogue_of, load_settings
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import InvalidRequest, OurVidzError
from ourvidz.core.job import JobResult
from ourvidz.core.request import GenerationRequest
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.run import Worker
from ourvidz.worker.writers import OutputNames
from training.pocket import judging, sheets, sweeps
from training.pocket.judging import OWN, Judged, Prompt

PROMPT_SEED: Final = 1
SYSTEM: Final = "ourvidz"
_SPARE: Final = 2  # prompts drawn for each one wanted, to replace those that are refused


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process does of the jobs of one type.

    Attributes:
        job_type: Of the catalogue.
        count: Prompts of all processes together.
        own: Whether a person wrote them (else they are held out).
        shard: "I/N": every N-th prompt, from the I-th on.
        deadline: Reading of `time.monotonic` after which no job begins.
    """

    job_type: str
    count: int
    own: bool = False
    shard: str = "0/1"
    deadline: float = float("inf")


def run_job(worker: Worker, request: GenerationRequest, folder: Path) -> JobResult:
    """Runs one request to its end in `folder`."""
    names = OutputNames(folder=folder, stem="job")
    events = worker.run(request, job_id="job", names=names, cancel=CancelToken())
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def prompts_of(share: Share) -> list[tuple[int, Prompt]]:
    """Numbered prompts, more than are wanted; the number gives the seed."""
    video = "video" in share.job_type
    if share.own:
        found = judging.own_prompts(share.count, video=video)
    else:
        found = judging.held_out_prompts(_SPARE * share.count, video=video, seed=PROMPT_SEED)
    return sweeps.every_nth(list(enumerate(found)), share.shard)


def judge_result(result: JobResult, prompt: Prompt, *, case: str, seed: int, out: Path) -> Judged:
    """Says which named attributes the job's first file shows, and whether every file is right."""
    paths = [Path(asset.path) for asset in result.outputs]
    found = [judging.judge_path(prompt, path) for path in paths]
    request = result.request
    shift = f" shift {request.flow_shift:g}" if request.flow_shift is not None else ""
    return Judged(
        case=case,
        system=SYSTEM,
        prompt=prompt.text,
        seed=seed,
        verdict=found[0],
        aside={"all_every_image": all(all(v.values()) for v in found)} if len(found) > 1 else {},
        style=prompt.style,
        notes=f"whole jobs: {request.model}, {request.num_frames}x{request.height}x"
        f"{request.width}, {request.scheduler}{shift}, {request.num_inference_steps} steps, "
        f"guidance {request.guidance_scale:g}, the engine's own precision, "
        f"{len(found)} files a job, the first one judged",
        file=paths[0].relative_to(out).as_posix(),
    )


def judge_job_type(share: Share, out: Path) -> Iterator[Judged]:
    """Runs prompts as jobs of one type and judges each.

    Prompts of more tokens than the model reads are refused by the product, not drawn badly: they
    are left out and the next ones taken.

    Args:
        share: What to run.
        out: Where the files go.

    Yields:
        Verdicts, as soon as each job has ended.
    """
    settings = load_settings(profile="pocket")
    catalogue = catalogue_of(settings)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    case = share.job_type + (OWN if share.own else "")
    wanted = len(sweeps.every_nth(range(share.count), share.shard))
    done = 0
    for index, prompt in prompts_of(share):
        if done == wanted or time.monotonic() > share.deadline:
            break
        try:
            request = resolve(
                catalogue=catalogue,
                settings=settings,
                prompt=prompt.text,
                seed=index + 1,
                job_type=share.job_type,
            )
            folder = out / case / str(index)
            result = run_job(worker, request, folder)
        except InvalidRequest as error:
            print(f"left out: {error.message}", flush=True)
            continue
        except OurVidzError as error:
            print(f"{case}, prompt {index}: failed: {error.message}", flush=True)
            done += 1
            lost = dict.fromkeys(sorted(prompt.named), False)
            yield Judged(case=case, system=SYSTEM, prompt=prompt.text, seed=index + 1, verdict=lost)
            continue
        done += 1
        yield judge_result(result, prompt, case=case, seed=index + 1, out=out)
    worker.engine.close()


def run_all(options: argparse.Namespace) -> list[Path]:
    """Runs the jobs that were asked for, and returns the file of their verdicts."""
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    verdicts = out / judging.VERDICTS_FILE
    verdicts.unlink(missing_ok=True)
    judging.write_environment(out)
    deadline = time.monotonic() + options.budget_seconds
    for item in options.jobs.split(","):
        name, _, count = item.partition("=")
        share = Share(
            job_type=name.removesuffix(OWN),
            count=int(count),
            own=options.prompts == "own" or name.endswith(OWN),
            shard=options.shard,
            deadline=deadline,
        )
        for line in judge_job_type(share, out):
            judging.append(verdicts, [line])
    if verdicts.exists():
        sheets.draw_all([out], out)
    return [verdicts] if verdicts.exists() else []


def main() -> None:
    """Runs what was asked for, prints a line a job type and writes the record."""
    parser = argparse.ArgumentParser(description="Judge whole jobs on the pocket models.")
    parser.add_argument("--jobs", help="job_type[.own]=count, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("runs/jobs"), help="files and verdicts")
    parser.add_argument("--prompts", choices=("held-out", "own"), default="held-out")
    parser.add_argument("--shard", default="0/1", help="I/N: every N-th prompt, from the I-th on")
    parser.add_argument("--budget-seconds", type=float, default=1e9, help="begin no job later")
    parser.add_argument("--merge", type=Path, nargs="+", help="verdicts of shards; runs nothing")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    if not options.jobs and not options.merge:
        parser.error("either --jobs or --merge is needed")
    results = judging.results_of(judging.read(options.merge or run_all(options)))
    print(judging.table(results), flush=True)
    if options.record and results:
        write_record(options.record, new_record("pocket-jobs", results, now=datetime.now(UTC)))


if __name__ == "__main__":
    main()
