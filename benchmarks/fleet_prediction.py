"""Does the simulator predict real workers? ``python -m benchmarks.fleet_prediction``.

Two real worker processes under the real supervisor, on one CPU thread each, run pocket images out
of a real store. What they took in the first part is what the simulator knows; of the second part it
is told when its jobs came and of which type they were, and its makespan and mean wait are compared
with the real ones. The second part comes in two waves, the later one while the first still waits.

Where other programs slow the machine down in one part and not in the other, the same job takes
another time: that drift is told beside the errors, which can't be smaller.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.fleet.simulation import (
    Foresight,
    JobClass,
    Machine,
    ModelSpec,
    Outcome,
    Scenario,
    Times,
    simulate,
)
from ourvidz.fleet.simulation.arrivals import replayed
from ourvidz.jobs.model import Job
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.worker.supervisor import Supervisor, WorkerSlot, worker_environment

_LOOK_S = 0.1
_SEEDS = range(20)
_MODEL_BYTES = 1  # both workers hold everything after the warm-up

Drafts = Callable[[int], list[Draft]]  # so many, alike however often it is called


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The second part as it was and as it was predicted, in seconds."""

    makespan_s: float
    mean_wait_s: float
    predicted_makespan_s: float
    predicted_mean_wait_s: float
    num_jobs: int
    drift: float  # how much longer the same jobs took in the second part than in the first

    @property
    def makespan_error(self) -> float:
        """The predicted makespan over the real one, less one."""
        return self.predicted_makespan_s / self.makespan_s - 1

    @property
    def wait_error(self) -> float:
        """The same of the mean wait."""
        return self.predicted_mean_wait_s / self.mean_wait_s - 1


def main() -> None:
    """Compare, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=36, help="Of each part.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    found: list[Comparison] = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            settings = load_settings(data_dir=Path(folder), device="cpu", profile="pocket")
            found.append(compare(settings, drafts=pocket_images, num_jobs=arguments.jobs))
        last = found[-1]
        errors = f"{last.makespan_error:+.1%} {last.wait_error:+.1%} (drift {last.drift:+.1%})"
        print(last, errors, flush=True)
    if arguments.record:
        made = new_record("fleet-prediction", _figures(found), now=datetime.now(UTC))
        write_record(arguments.record, made, replaces_others=True)


def pocket_images(count: int) -> list[Draft]:
    """Return images of three lengths by the pocket video model, in turn."""
    steps = (10, 16, 24)
    return [
        Draft(
            prompt="a red circle on a blue background",
            job_type="image_fast",
            values={"num_inference_steps": steps[index % len(steps)], "seed": index},
        )
        for index in range(count)
    ]


def compare(
    settings: Settings,
    *,
    drafts: Drafts,
    num_jobs: int,
    num_workers: int = 2,
    arguments: Sequence[str] = (),
) -> Comparison:
    """Run both parts and predict the second.

    Args:
        settings: of a data directory of its own.
        drafts: makes the jobs of a part.
        num_jobs: of each part.
        num_workers: real processes.
        arguments: added to each worker's command line.
    """
    store = open_store(settings)
    store.migrate()
    submitter = Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
    )
    environment = {**worker_environment(settings), "OURVIDZ_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    slots = [
        WorkerSlot(name=f"w{index}", device="cpu", environment=environment)
        for index in range(num_workers)
    ]
    supervisor = Supervisor(settings=settings, slots=slots, arguments=arguments)
    supervisor.start()
    try:
        _wait(lambda: _num_idle(store) == num_workers)
        _run(store, submitter, [drafts(4 * num_workers)])  # each has loaded and warmed up
        first = _run(store, submitter, [drafts(num_jobs)])
        second = _run(store, submitter, [drafts(2 * num_jobs // 3), drafts(num_jobs // 3)])
    finally:
        supervisor.stop()
        store.close()
    ends = [_ended(job) for job in second]
    came = [job.run_at for job in second]
    outcomes = predict(first, second, num_workers=num_workers)
    return Comparison(
        makespan_s=max(ends) - min(came),
        mean_wait_s=statistics.mean(_began(job) - job.run_at for job in second),
        predicted_makespan_s=statistics.mean(each.makespan_s for each in outcomes),
        predicted_mean_wait_s=statistics.mean(each.waits.mean_s for each in outcomes),
        num_jobs=len(second),
        drift=drift(occupied_s(first), occupied_s(second)),
    )


def drift(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> float:
    """Return by how much the second part's jobs took longer than the same jobs of the first."""
    now_s = sum(sum(seconds) for seconds in second.values())
    then_s = sum(len(seconds) * statistics.mean(first[name]) for name, seconds in second.items())
    return now_s / then_s - 1


def predict(
    first: Sequence[Job], second: Sequence[Job], *, num_workers: int
) -> tuple[Outcome, ...]:
    """Return what the simulator says of ``second``, knowing what ``first`` took."""
    classes = [
        JobClass(name=name, model="any", services_s=tuple(seconds), media="image")
        for name, seconds in occupied_s(first).items()
    ]
    machine = Machine(num_gpus=1, room_bytes=_MODEL_BYTES, page_cache_bytes=_MODEL_BYTES)
    model = ModelSpec(id="any", num_bytes=_MODEL_BYTES, from_disk_s=0.0, from_page_cache_s=0.0)
    scenario = Scenario(
        machines=[machine] * num_workers,
        models=[model],
        classes=classes,
        foresight=Foresight.NONE,
        times=Times(handover_s=0.0),  # it is within what was measured
    )
    arrivals = replayed(second, name_of=_name_of, services_s={})
    return tuple(simulate(scenario, lambda: arrivals, seed=seed) for seed in _SEEDS)


def occupied_s(jobs: Iterable[Job]) -> Mapping[str, list[float]]:
    """Return how long each job kept its worker from the next one, by class.

    The jobs must have waited together: each began when the one before it let its worker go. The
    last one of a worker has none behind it, and is left out.
    """
    by_worker: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_worker[job.worker_id or ""].append(job)
    found: dict[str, list[float]] = defaultdict(list)
    for own in by_worker.values():
        ordered = sorted(own, key=_began)
        for job, following in itertools.pairwise(ordered):
            found[_name_of(job)].append(_began(following) - _began(job))
    return found


def _run(store: JobStore, submitter: Submitter, waves: Sequence[list[Draft]]) -> list[Job]:
    """Submit the waves, each once half of the one before has begun; wait for all."""
    ids: list[str] = []

    def half_has_begun() -> bool:
        begun = sum(store.get(each).started_at is not None for each in ids)
        return begun >= len(ids) // 2

    for wave in waves:
        _wait(half_has_begun)
        ids += [job.id for job in submitter.submit(wave).jobs]
    _wait(lambda: all(store.get(each).is_terminal for each in ids))
    return [store.get(each) for each in ids]


def _name_of(job: Job) -> str:
    return f"{job.request.job_type}-{job.request.num_inference_steps}"


def _began(job: Job) -> float:
    assert job.started_at is not None, job.id
    return job.started_at


def _ended(job: Job) -> float:
    assert job.finished_at is not None, job.id
    return job.finished_at


def _num_idle(store: JobStore) -> int:
    return sum(worker.state == "idle" for worker in store.workers())


def _wait(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(_LOOK_S)


def _figures(found: Sequence[Comparison]) -> list[BenchmarkResult]:
    values = {
        "makespan_s": ("s", [each.makespan_s for each in found]),
        "predicted_makespan_s": ("s", [each.predicted_makespan_s for each in found]),
        "makespan_error": ("share", [each.makespan_error for each in found]),
        "mean_wait_s": ("s", [each.mean_wait_s for each in found]),
        "predicted_mean_wait_s": ("s", [each.predicted_mean_wait_s for each in found]),
        "wait_error": ("share", [each.wait_error for each in found]),
        "drift": ("share", [each.drift for each in found]),
    }
    return [
        BenchmarkResult(
            case=f"pocket-images.{found[0].num_jobs}",
            system="ourvidz",
            fidelity="exact",
            metric=metric,
            value=round(statistics.median(each), 4),
            unit=unit,
            n=len(each),
            low=round(min(each), 4),
            high=round(max(each), 4),
            notes="two worker processes of one thread each, on cores that others used too",
        )
        for metric, (unit, each) in values.items()
    ]


if __name__ == "__main__":
    main()
