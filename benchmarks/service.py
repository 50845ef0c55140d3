"""The whole service under load: ``python -m benchmarks.service --jobs 1000 --record FILE``.

Starts ``ourvidz serve`` in a process of its own on a fresh data directory, submits mixed jobs over
all ten job types through HTTP, waits for every one, and reads each job's own account. Values are
those of the job types unless ``--short`` makes clips and steps smaller, which is then in the notes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measure import SEED
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.job_types import JOB_TYPES, JobType
from ourvidz.core.request import MediaType
from training.pocket.judging import wilson

_BATCH = 50  # jobs a submit
_TERMINAL = {"succeeded", "failed", "cancelled"}
_SHORT = {"num_inference_steps": 8}
_SHORT_VIDEO = {"num_frames": 9}
_SHORT_BATCH = {"num_images": 2}
_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
_SHAPES = ("circle", "square", "triangle", "star", "diamond")
_MOTIONS = ("moving left", "moving right", "rising", "falling", "growing", "shrinking")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of the load."""

    jobs: list[dict[str, Any]]
    submit_s: list[float]  # of one request of one job
    read_s: list[float]  # of one look at a job
    cancel_s: list[float]  # from the request to the terminal state
    overhead_s: list[float]  # of one job on the idle service: what the client waits beside the run
    wall_s: float
    probes: int  # looks at /healthz
    probes_answered: int
    ready_s: float  # from process start to the first ready answer


def main() -> None:
    """Run the load, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--short", action="store_true", help="Few steps, short clips, two images.")
    parser.add_argument("--cancels", type=int, default=5, help="Running videos to cancel.")
    parser.add_argument("--alone", type=int, default=20, help="Jobs one after the other, at last.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (client, ready_s):
        outcome = load(client, arguments, ready_s)
    results = results_of(outcome, short=arguments.short)
    for result in results:
        print(f"{result.case:28} {result.metric:22} {result.value:10.4f} {result.unit}")
    for job in outcome.jobs:
        if job["state"] != "succeeded":
            print(job["id"], job["job_type"], job["state"], job["error"])
    if arguments.record:
        write_record(
            arguments.record,
            new_record(suite="service", results=results, now=datetime.now(UTC)),
            replaces_others=True,
        )


@contextmanager
def serving(data: Path) -> Iterator[tuple[httpx.Client, float]]:
    """Run the service; yields a client and the seconds until it was ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ourvidz.cli", "serve", "--port", str(port)]
    start_s = time.perf_counter()
    with (data / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data", str(data)], stdout=log, stderr=log, env=dict(os.environ)
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as client:
            _wait_ready(client, process, data / "serve.log")
            yield client, time.perf_counter() - start_s
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def _wait_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"serve ended: {log.read_text(encoding='utf-8')[-2000:]}")


def load(client: httpx.Client, arguments: argparse.Namespace, ready_s: float) -> Outcome:
    """Submit, wait for all, then cancel some running videos."""
    rng = random.Random(arguments.seed)
    bodies = list(itertools.islice(_bodies(rng, is_short=arguments.short), arguments.jobs))
    start_s = time.perf_counter()
    submit_s = [_timed_submit(client, body) for body in bodies[: min(100, len(bodies))]]
    for first in range(len(submit_s), len(bodies), _BATCH):
        client.post(
            "/api/v1/jobs/batch", json={"jobs": bodies[first : first + _BATCH]}
        ).raise_for_status()
    probes = Counter[bool]()
    while True:
        try:
            probes[client.get("/healthz").status_code == httpx.codes.OK] += 1
        except httpx.TransportError:
            probes[False] += 1
        by_state = client.get("/api/v1/queue").raise_for_status().json()["by_state"]
        if not by_state.get("queued") and not by_state.get("running"):
            break
        time.sleep(1.0)
    wall_s = time.perf_counter() - start_s
    jobs = list(_all_jobs(client))
    return Outcome(
        jobs=jobs,
        submit_s=submit_s,
        read_s=[_timed_read(client, job["id"]) for job in jobs[:100]],
        cancel_s=[_cancel_one(client) for _ in range(arguments.cancels)],
        overhead_s=[_overhead_one(client) for _ in range(arguments.alone)],
        wall_s=wall_s,
        probes=sum(probes.values()),
        probes_answered=probes[True],
        ready_s=ready_s,
    )


def _bodies(rng: random.Random, *, is_short: bool) -> Iterator[dict[str, Any]]:
    for index in itertools.count():
        job = JOB_TYPES[index % len(JOB_TYPES)]
        text = f"a {rng.choice(_COLOURS)} {rng.choice(_SHAPES)}"
        is_video = job.media_type is MediaType.VIDEO
        yield {
            "prompt": f"{text} {rng.choice(_MOTIONS)}" if is_video else text,
            "job_type": job.name,
            "seed": index,
            **(_short_values(job) if is_short else {}),
        }


def _short_values(job: JobType) -> dict[str, int]:
    values = dict(_SHORT)
    if job.media_type is MediaType.VIDEO:
        values |= _SHORT_VIDEO
    if job.num_images > 1:
        values |= _SHORT_BATCH
    return values


def _timed_submit(client: httpx.Client, body: dict[str, Any]) -> float:
    start_s = time.perf_counter()
    client.post("/api/v1/jobs", json=body).raise_for_status()
    return time.perf_counter() - start_s


def _timed_read(client: httpx.Client, job_id: str) -> float:
    start_s = time.perf_counter()
    client.get(f"/api/v1/jobs/{job_id}").raise_for_status()
    return time.perf_counter() - start_s


def _cancel_one(client: httpx.Client) -> float:
    body = {"prompt": "a red circle moving left", "job_type": "video_high", "seed": 1}
    link = f"/api/v1/jobs/{client.post('/api/v1/jobs', json=body).raise_for_status().json()['id']}"
    while True:
        progress = client.get(link).json()["progress"] or {}
        if progress.get("phase") == "denoise":
            break
        time.sleep(0.02)
    start_s = time.perf_counter()
    client.post(f"{link}/cancel").raise_for_status()
    while client.get(link).json()["state"] not in _TERMINAL:
        time.sleep(0.02)
    return time.perf_counter() - start_s


def _overhead_one(client: httpx.Client) -> float:
    """Seconds from the submit to the news of the end, less those between claim and end."""
    body = {"prompt": "a blue star", "job_type": "sdxl_image_fast"} | _SHORT | _SHORT_BATCH
    start_s = time.perf_counter()
    link = f"/api/v1/jobs/{client.post('/api/v1/jobs', json=body).raise_for_status().json()['id']}"
    with client.stream("GET", f"{link}/events", headers={"Accept": "text/event-stream"}) as answer:
        for line in answer.iter_lines():
            if line.partition(": ")[2] in _TERMINAL:
                break
    wall_s = time.perf_counter() - start_s
    job = client.get(link).raise_for_status().json()
    run = [datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at")]
    return wall_s - (run[1] - run[0]).total_seconds()


def _all_jobs(client: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = client.get("/api/v1/jobs", params=params).raise_for_status().json()
        yield from page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def results_of(outcome: Outcome, *, short: bool) -> list[BenchmarkResult]:
    """Return the figures of a load."""
    notes = "pocket models, one CPU worker"
    notes += f"; short: {_SHORT | _SHORT_VIDEO | _SHORT_BATCH}" if short else "; job types' values"
    succeeded = [job for job in outcome.jobs if job["state"] == "succeeded"]
    low, high = (round(bound, 6) for bound in wilson(len(succeeded), len(outcome.jobs)))

    def figure(metric: str, value: float, unit: str, n: int, **bounds: Any) -> BenchmarkResult:
        return BenchmarkResult(
            case=bounds.pop("case", "mixed"),
            system="ourvidz",
            fidelity="exact",
            metric=metric,
            value=round(value, 6),
            unit=unit,
            n=n,
            notes=notes,
            **bounds,
        )

    share = len(succeeded) / len(outcome.jobs)
    submit_ms = sorted(1000 * value for value in outcome.submit_s)
    results = [
        figure("success_rate", share, "share", len(outcome.jobs), low=low, high=high),
        figure("failed", len(outcome.jobs) - len(succeeded), "jobs", len(outcome.jobs)),
        figure("wall_s", outcome.wall_s, "s", 1),
        figure("jobs_a_minute", 60 * len(outcome.jobs) / outcome.wall_s, "jobs/min", 1),
        figure("uptime", outcome.probes_answered / outcome.probes, "share", outcome.probes),
        figure("ready_s", outcome.ready_s, "s", 1),
        figure("submit_p50_ms", statistics.median(submit_ms), "ms", len(submit_ms)),
        figure("submit_p99_ms", submit_ms[int(0.99 * (len(submit_ms) - 1))], "ms", len(submit_ms)),
        figure("read_p50_ms", 1000 * statistics.median(outcome.read_s), "ms", len(outcome.read_s)),
    ]
    if outcome.cancel_s:
        results.append(
            figure(
                "cancel_s",
                statistics.median(outcome.cancel_s),
                "s",
                len(outcome.cancel_s),
                low=round(min(outcome.cancel_s), 6),
                high=round(max(outcome.cancel_s), 6),
            )
        )
    if outcome.overhead_s:
        ms = sorted(1000 * value for value in outcome.overhead_s)
        results.append(figure("overhead_p50_ms", statistics.median(ms), "ms", len(ms)))
        results.append(figure("overhead_max_ms", ms[-1], "ms", len(ms)))
    for job_type in sorted({job["job_type"] for job in succeeded}):
        totals = [
            job["ledger"]["total_s"] - job["phases_s"].get("queue_wait", 0.0)
            for job in succeeded
            if job["job_type"] == job_type and job["ledger"]
        ]
        results.append(
            figure(
                "run_s",
                statistics.median(totals),
                "s",
                len(totals),
                low=round(min(totals), 6),
                high=round(max(totals), 6),
                case=job_type,
            )
        )
    return results


if __name__ == "__main__":
    main()
