"""What answers about speed cost: ``python -m benchmarks.performance_api --record FILE``.

An installation with 2,500 finished jobs of all ten job types is simulated: real requests in a real
store, with times drawn by a seed around those of one GPU, two of the job types slower from a moment
on, and a new version of the software. Then the routes of the dashboard are asked in one process, as
the studio asks them. Reported are seconds of CPU, since a shared machine's clock tells of others
too: of the first answer, and of the answer after one more job.

``--figures FILE`` keeps what was measured. Another commit's file, given as ``--before``, stands
beside it as ``earlier``, with the ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ourvidz.api.app import create_app
from ourvidz.api.deps import AppDeps, make_deps
from ourvidz.api.performance import PerformanceDesk
from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.core.clock import SystemClock
from ourvidz.core.request import GenerationRequest, MediaType
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import Job
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft
from ourvidz.perf.kept import KeptRecords
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_signer, open_storage

SEED = 20261122
NUM_JOBS = 2500
NUM_AFTER = 5  # answers after one more job each
_BATCH = 100
_LEASE_S = 600.0
_COLD_SHARE = 0.06
_OTHER_PRESET_SHARE = 0.2
_FLAGGED_SHARE = 0.03
_FAILED_SHARE = 0.02
_SLOWED = ("video_fast", "sdxl_image_high")
_SLOWER = 1.15

# Seconds and standard deviation as a share.
_VIDEO = {"encode": (0.12, 0.03), "denoise": (24.0, 0.01), "decode": (1.6, 0.02)}
_IMAGE = {"encode": (0.03, 0.03), "denoise": (2.2, 0.01), "decode": (0.2, 0.02)}
_ALWAYS = {
    "queue_wait": (3.0, 0.8),
    "prepare": (0.05, 0.08),
    "save": (0.9, 0.08),
    "thumbnail": (0.06, 0.08),
    "probe": (0.08, 0.08),
    "upload": (0.5, 0.10),
    "notify": (0.04, 0.10),
    "unattributed": (0.05, 0.10),
}
_LOADS = {
    "load.text_encoder": (9.0, 0.05),
    "load.transformer": (6.0, 0.05),
    "load.vae": (0.8, 0.05),
}
_ENHANCED = {"enhance.run": (1.8, 0.05)}
_ASKED: Mapping[str, str] = {
    "matrix": "/api/v1/performance/matrix",
    "trends": "/api/v1/performance/trends?limit=200",
    "alarms": "/api/v1/performance/alarms",
    "baselines": "/api/v1/performance/baselines?limit=200",
    "overview": "/api/v1/performance/trends?limit=200&measure=total&history=false",
}


class StillClock(SystemClock):
    """No answer seems dear by it, so that none lacks the newest record."""

    def monotonic(self) -> float:
        """Return the same moment always."""
        return 0.0


@dataclass(kw_only=True)
class Installation:
    """A service whose jobs are simulated."""

    deps: AppDeps
    rng: random.Random
    num_done: int = 0
    job_types: list[str] = field(default_factory=list[str])

    def run_jobs(self, number: int, *, of: int) -> None:
        """Let so many jobs end, of ``of`` in all."""
        for first in range(0, number, _BATCH):
            drafts = [self._draft() for _ in range(min(_BATCH, number - first))]
            jobs = self.deps.submitter.submit(drafts).jobs
            for _ in jobs:
                self._run(of)

    def _draft(self) -> Draft:
        name = self.rng.choice(self.job_types)
        presets = list(self.deps.catalogue.presets_of(name))
        is_other = self.rng.random() < _OTHER_PRESET_SHARE
        preset = self.rng.choice(presets) if is_other else "baseline"
        return Draft(prompt="a red circle", job_type=name, preset=preset)

    def _run(self, of: int) -> None:
        store = self.deps.store
        job = store.claim("w1", lease_s=_LEASE_S, overdue_s=_LEASE_S)
        assert job is not None
        body = self._body(job, is_late=self.num_done > 0.6 * of)
        if self.rng.random() < _FAILED_SHARE:
            body |= {"is_success": False, "failure": "out_of_memory"}
        assert store.finish(job.id, job.token, result={}, assets=[], record=body)
        self.num_done += 1

    def _body(self, job: Job, *, is_late: bool) -> dict[str, Any]:
        request = job.request
        is_cold = self.rng.random() < _COLD_SHARE
        phases_s = {name: self._noisy(*of) for name, of in _phases(request, is_cold).items()}
        if is_late and request.job_type in _SLOWED:
            phases_s["denoise"] *= _SLOWER
        steps = request.num_inference_steps
        unattributed_s = phases_s.pop("unattributed")
        return {
            "request": workload_facts(request),
            "settings": {"seed": request.seed, "fps": request.fps},
            "total_s": sum(phases_s.values()) + unattributed_s,
            "phases_s": phases_s,
            "unattributed_s": unattributed_s,
            "step_times_s": [self._noisy(phases_s["denoise"] / steps, 0.02) for _ in range(steps)],
            "state": "cold" if is_cold else "resident",
            "compile_state": "eager",
            "is_success": True,
            "memory": {"device_peak_allocated_bytes": round(self._noisy(14e9, 0.001))},
            "environment": _environment(request.model, "1.1" if is_late else "1.0"),
            "flags": ["the GPU was throttled"] if self.rng.random() < _FLAGGED_SHARE else [],
        }

    def _noisy(self, mean: float, share: float) -> float:
        return mean * self.rng.lognormvariate(0.0, share)


def _phases(request: GenerationRequest, is_cold: bool) -> dict[str, tuple[float, float]]:
    own = _VIDEO if request.media_type is MediaType.VIDEO else _IMAGE
    enhanced = _ENHANCED if request.enhancement is not None else {}
    return {**_ALWAYS, **own, **enhanced, **(_LOADS if is_cold else {})}


def _environment(model: str, version: str) -> dict[str, Any]:
    return {
        "version": 1,
        "machine": {
            "device": "cuda",
            "gpu": "NVIDIA H200",
            "gpu_memory_gib": 139.8,
            "cpu": "Some CPU",
            "cpu_cores": 16,
            "disk": "nvme",
            "power_limit_w": 700,
        },
        "setup": {"precision": "auto", "techniques_off": [], "model_files": {model: "a" * 16}},
        "software": {
            "ourvidz": version,
            "commit": "c0ffee" + version,
            "python": "3.11.2",
            "torch": "2.13.0",
            "cuda": "13.0",
            "cudnn": "9.10",
            "triton": "3.5",
            "diffusers": "0.37",
            "transformers": "5.1",
            "driver": "580.1",
            "os": "Debian 12",
            "kernel": "6.1",
        },
        "told": {"gpus": 1},
    }


@contextmanager
def installation(folder: Path, *, seed: int = SEED) -> Iterator[Installation]:
    """Open an empty service over a real store and real storage."""
    settings = Settings(data_dir=folder)
    store = open_store(settings)
    try:
        store.migrate()
        deps = make_deps(
            settings=settings,
            catalogue=catalogue_of(settings),
            store=store,
            storage=open_storage(settings),
            policy=build_policy(settings.policy),
            signer=open_signer(settings),
        )
        yield Installation(
            deps=deps, rng=random.Random(seed), job_types=list(deps.catalogue.job_types)
        )
    finally:
        store.close()


def cpu_s(act: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that something took."""
    begin_s = time.process_time()
    act()
    return time.process_time() - begin_s


def ask(client: TestClient, path: str) -> None:
    """Read an answer."""
    client.get(path).raise_for_status()


def measure(made: Installation, num_jobs: int) -> list[BenchmarkResult]:
    """Return what each route's first answer costs, and the later ones after one more job each."""
    made.run_jobs(num_jobs, of=num_jobs)
    app = create_app(made.deps)
    store, folder = made.deps.store, made.deps.settings.data_dir
    app.state.performance = PerformanceDesk(
        store, KeptRecords(store), data_dir=folder, clock=StillClock()
    )
    client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))
    with client:
        records_s = cpu_s(lambda: ask(client, "/api/v1/performance/records"))
        found = [_result("records", "first_cpu_s", [records_s], num_jobs)]
        for name, path in _ASKED.items():
            seconds = cpu_s(lambda path=path: ask(client, path))
            found.append(_result(name, "first_cpu_s", [seconds], num_jobs))
        later: dict[str, list[float]] = {name: [] for name in _ASKED}
        for _ in range(NUM_AFTER):
            made.run_jobs(1, of=num_jobs)
            for name, path in _ASKED.items():
                later[name].append(cpu_s(lambda path=path: ask(client, path)))
    return found + [_result(name, "next_cpu_s", each, num_jobs) for name, each in later.items()]


def _result(case: str, metric: str, values: list[float], num_jobs: int) -> BenchmarkResult:
    said = "after one more job" if metric == "next_cpu_s" else "of a server that just started"
    return BenchmarkResult(
        case=case,
        system="ourvidz",
        fidelity="exact",
        metric=metric,
        value=statistics.median(values),
        unit="s",
        n=len(values),
        low=min(values) if len(values) > 1 else None,
        high=max(values) if len(values) > 1 else None,
        notes=f"{num_jobs} records of ten job types; CPU seconds {said}",
    )


def beside(
    found: Sequence[BenchmarkResult], earlier: Sequence[Mapping[str, Any]]
) -> list[BenchmarkResult]:
    """Return another commit's figures, and how many times as fast each answer is now."""
    before = [BenchmarkResult(**{**each, "system": "earlier"}) for each in earlier]
    known = {(each.case, each.metric): each.value for each in before}
    return before + [
        BenchmarkResult(
            case=each.case,
            system="ourvidz",
            fidelity="exact",
            metric=each.metric.replace("cpu_s", "speed_up"),
            value=known[each.case, each.metric] / each.value,
            unit="1",
            n=each.n,
            notes="earlier CPU seconds over these",
        )
        for each in found
        if (each.case, each.metric) in known
    ]


def main() -> None:
    """Measure, print and write a record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=NUM_JOBS)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder)) as made:
        found = measure(made, arguments.jobs)
    if arguments.figures is not None:
        arguments.figures.write_text(json.dumps([asdict(each) for each in found]))
    if arguments.before is not None:
        found += beside(found, json.loads(arguments.before.read_text()))
    for each in found:
        print(f"{each.system:8} {each.case:10} {each.metric:18} {each.value:8.3f} {each.unit}")
    if arguments.record is not None:
        record = new_record("performance-api", found, now=datetime.now(UTC))
        write_record(arguments.record, record)


if __name__ == "__main__":
    main()
