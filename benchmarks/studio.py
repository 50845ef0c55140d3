"""The studio with 1,000 jobs and endless news: ``python -m benchmarks.studio --record FILE``.

A real service and a real Chromium on this machine. The jobs are made by the worker's test engine,
which writes real files without models, so that what is measured is the page.

- *interaction*: what the browser's Event Timing says from a key or a click to the next frame, while
  a person scrolls, searches, selects and opens in a library of 1,000 jobs, three times over.
- *memory*: heap after a collection, and DOM nodes, each half minute while jobs run and report
  their steps; the last quarter of the time over the first. Five minutes go before the first sample:
  the browser compiles what runs often, lists of the newest fill up, and caches live five minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import CDPSession, Locator, Page, sync_playwright

from ourvidz.bench.records import BenchmarkResult, new_record, write_record

NUM_JOBS = 1000
BATCH = 100
ANSWER_S = 60.0
DONE_S = 600.0
SAMPLE_S = 30.0
WARM_UP_MIN = 5.0
# A hand does not do all at once: keystroke-level models (Card, Moran, Newell, 1980) give 100 ms to
# each press or release of a button, and more to moving to what is pressed.
HAND_MS = 100.0
ROUNDS = 3
HOLD_MS = 100.0
LIVE = "steps=40 step_ms=250 px=64"  # ten seconds of news a job
OBSERVE = """() => {
  window.__events = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.interactionId) window.__events.push(entry.duration);
    }
  }).observe({ type: "event", durationThreshold: 16, buffered: true });
}"""


@dataclass(kw_only=True)
class Site:
    """A server and a worker without models."""

    url: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def submit(self, prompts: list[str]) -> None:
        """Store a batch of images."""
        image = {"job_type": "sdxl_image_fast", "num_images": 1}
        self.submit_all([{"prompt": prompt, **image} for prompt in prompts])

    def submit_all(self, jobs: list[dict[str, Any]]) -> None:
        """Store a batch of jobs."""
        answer = httpx.post(f"{self.url}/api/v1/jobs/batch", json={"jobs": jobs}, timeout=ANSWER_S)
        answer.raise_for_status()

    def num_active(self) -> int:
        """Return how many jobs wait or run."""
        by_state = httpx.get(f"{self.url}/api/v1/queue", timeout=ANSWER_S).json()["by_state"]
        return by_state.get("queued", 0) + by_state.get("running", 0)

    def wait_until_done(self) -> None:
        """Return once nothing waits or runs."""
        end_s = time.monotonic() + DONE_S
        while self.num_active():
            assert time.monotonic() < end_s, "the worker did not finish the jobs"
            time.sleep(1.0)


@contextlib.contextmanager
def running_site(folder: Path, *, is_real: bool = False) -> Iterator[Site]:
    """Start a server and a worker, with models if ``is_real``, and end them by their ids."""
    cli = [sys.executable, "-m", "ourvidz.cli"]
    environment = {**os.environ, "OURVIDZ_DATA_DIR": str(folder)}
    server = subprocess.Popen(
        [*cli, "serve", "--no-worker", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().split("ready at ")[1].split()[0]
    worker = subprocess.Popen(
        [*cli, "worker", *([] if is_real else ["--test-engine"])],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    site = Site(url=url, processes=[worker, server])
    try:
        yield site
    finally:
        for process in site.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(ANSWER_S)


def fill(site: Site) -> None:
    """Let 1,000 jobs end."""
    for first in range(0, NUM_JOBS, BATCH):
        site.submit([f"picture {first + i} steps=1 step_ms=1 px=64" for i in range(BATCH)])
    site.wait_until_done()


def press(page: Page, what: Locator) -> None:
    """Click where it is; a locator's own click runs scripts of Playwright's in between."""
    box = what.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + min(10.0, box["height"] / 2)
    page.mouse.move(x, y)
    page.wait_for_timeout(HAND_MS)
    page.mouse.click(x, y, delay=HOLD_MS)


def interactions_ms(page: Page, site: Site) -> list[float]:
    """Use the library as a person does, anew each round; return what keys and clicks took."""
    return [each for _ in range(ROUNDS) for each in _round_ms(page, site)]


def _round_ms(page: Page, site: Site) -> list[float]:
    page.goto(f"{site.url}/library")
    page.get_by_role("heading", name="Library", level=1).wait_for()
    page.locator("main img").first.wait_for()
    page.evaluate(OBSERVE)
    for _ in range(25):
        page.mouse.move(680, 500)
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(80)
    search = page.get_by_role("searchbox").first
    press(page, search)
    search.press_sequentially("picture 99", delay=60)
    page.wait_for_timeout(800)
    search.fill("")
    page.wait_for_timeout(800)
    press(page, page.get_by_role("checkbox").first)
    press(page, page.get_by_role("checkbox").nth(1))
    page.keyboard.press("Escape")
    press(page, page.get_by_role("link", name="picture").first)
    page.get_by_role("dialog").wait_for()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(120)
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    return [float(duration) for duration in page.evaluate("window.__events")]


def heap(session: CDPSession) -> tuple[float, float]:
    """Return bytes of the heap after a collection, and DOM nodes."""
    session.send("HeapProfiler.collectGarbage")
    metrics: dict[str, Any] = session.send("Performance.getMetrics")
    values = {each["name"]: float(each["value"]) for each in metrics["metrics"]}
    return values["JSHeapUsedSize"], values["Nodes"]


def watch_memory(page: Page, site: Site, *, minutes: float) -> list[tuple[float, float]]:
    """Leave the queue open while jobs come and go; return samples of heap and nodes."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(f"{site.url}/queue")
    samples: list[tuple[float, float]] = []
    begin_s = time.monotonic() + 60.0 * WARM_UP_MIN
    end_s = begin_s + 60.0 * minutes
    turn = 0
    while time.monotonic() < end_s:
        if site.num_active() < 5:
            turn += 1
            site.submit([f"live {turn} {index} {LIVE}" for index in range(5)])
        page.wait_for_timeout(1000 * SAMPLE_S)
        if time.monotonic() > begin_s:
            samples.append(heap(session))
    return samples


def main() -> None:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, default=Path("benchmarks/records/studio.json"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder)) as site:
        fill(site)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=arguments.chromium, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1360, "height": 860})
            durations = interactions_ms(page, site)
            load = os.getloadavg()[0]
            samples = watch_memory(page, site, minutes=arguments.minutes)
            browser.close()
    results = results_of(durations, samples, minutes=arguments.minutes, load=load)
    record = new_record("studio", results, now=datetime.now(UTC))
    arguments.record.unlink(missing_ok=True)
    write_record(arguments.record, record)
    for result in results:
        print(f"{result.case:24} {result.metric:24} {result.value:>14.3f} {result.unit}")


def results_of(
    durations: list[float],
    samples: list[tuple[float, float]],
    *,
    minutes: float,
    load: float,
) -> list[BenchmarkResult]:
    """Return the figures; the bars are 100 ms and a heap that stays."""
    quarter = max(1, len(samples) // 4)

    def growth(index: int) -> float:
        first = statistics.median(sample[index] for sample in samples[:quarter])
        return statistics.median(sample[index] for sample in samples[-quarter:]) / first

    slow = sorted(durations) or [16.0]
    library = (
        f"{NUM_JOBS} jobs, {ROUNDS} rounds; interactions of 16 ms and more, from the key to the "
        f"next frame; "
        f"load {load:.1f} on {os.cpu_count()} cores"
    )
    live = f"{minutes:g} minutes of live news, after {WARM_UP_MIN:g}; last quarter over the first"
    heap_mib = samples[-1][0] / 2**20
    return [
        _result("library", "interaction_max", slow[-1], "ms", len(slow), library),
        _result("library", "interaction_median", statistics.median(slow), "ms", len(slow), library),
        _result("live", "heap_growth", growth(0), "ratio", len(samples), live),
        _result("live", "node_growth", growth(1), "ratio", len(samples), live),
        _result("live", "heap", heap_mib, "MiB", len(samples), live),
    ]


def _result(case: str, metric: str, value: float, unit: str, n: int, notes: str) -> BenchmarkResult:
    return BenchmarkResult(
        case=case,
        system="ourvidz",
        fidelity="exact",
        metric=metric,
        value=value,
        unit=unit,
        n=n,
        notes=notes,
    )


if __name__ == "__main__":
    main()
