"""The simulated queue: the store's lanes, with its own claim order over them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ourvidz.fleet.policy import ClassLoad, QueueSummary
from ourvidz.fleet.simulation.scenario import JobClass
from ourvidz.jobs.claiming import Lane, Overdue, Wishes, choices


@dataclass(kw_only=True, slots=True, eq=False)
class SimJob:
    """One job on its way."""

    job_class: JobClass
    submitted_s: float
    service_s: float  # on one GPU
    order: int  # its position within a band
    claimed_s: float = 0.0
    begun_s: float = 0.0  # its first step
    ends_s: float = 0.0


@dataclass(kw_only=True, slots=True)
class _LaneQueue:
    name: str
    model: str
    bands: dict[int, deque[SimJob]] = field(default_factory=dict[int, deque[SimJob]])
    num_jobs: int = 0

    def lane(self) -> Lane:
        """Return what the store would tell of it."""
        used = [(priority, jobs) for priority, jobs in self.bands.items() if jobs]
        return Lane(
            name=self.name,
            priority=max(priority for priority, _ in used),
            run_at=min(jobs[0].submitted_s for _, jobs in used),
        )

    def oldest(self) -> deque[SimJob]:
        """Return the band whose first job has waited longest."""
        return min((jobs for jobs in self.bands.values() if jobs), key=_age)


def _age(jobs: deque[SimJob]) -> float:
    return jobs[0].submitted_s


class SimQueue:
    """Jobs that wait, one tenant's."""

    def __init__(self) -> None:
        self._lanes: dict[str, _LaneQueue] = {}
        self.num_jobs = 0

    def add(self, job: SimJob) -> None:
        """Append a job, or put one back where it was."""
        name = f"generate:{job.job_class.model}"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _LaneQueue(name=name, model=job.job_class.model)
        band = lane.bands.setdefault(job.job_class.priority, deque())
        place = len(band)
        while place and band[place - 1].order > job.order:
            place -= 1
        band.insert(place, job)
        lane.num_jobs += 1
        self.num_jobs += 1

    def claim(self, resident: Collection[str], *, overdue_before: float) -> SimJob | None:
        """Take the job that the store would give to a worker with these models."""
        if not self.num_jobs:
            return None
        lanes = [lane.lane() for lane in self._lanes.values() if lane.num_jobs]
        wishes = Wishes(resident=resident, overdue_before=overdue_before)
        for choice in choices(lanes, wishes):
            if isinstance(choice, Overdue):
                lane = self._lanes[choice.lane]
                return self._take(lane, lane.oldest())
            lane = min(
                (self._lanes[name] for name in choice.lanes),
                key=lambda lane: lane.bands[choice.priority][0].order,
            )
            return self._take(lane, lane.bands[choice.priority])
        return None

    def models(self) -> list[str]:
        """Return models of what waits, what is likely next first, as ``JobStore.upcoming``."""
        lanes = [lane.lane() for lane in self._lanes.values() if lane.num_jobs]
        lanes.sort(key=lambda lane: (-lane.priority, lane.run_at, lane.name))
        return [lane.model for lane in lanes]

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs wait for each model."""
        return {lane.model: lane.num_jobs for lane in self._lanes.values() if lane.num_jobs}

    def summary(self, *, now_s: float, overdue_s: float, rates: Mapping[str, Rate]) -> QueueSummary:
        """Return what the policy looks at.

        Args:
            now_s: the time.
            overdue_s: who waits longer is overdue.
            rates: arrivals a second and mean seconds, by class of media.
        """
        waiting: dict[str, list[SimJob]] = {name: [] for name in rates}
        for lane in self._lanes.values():
            for band in lane.bands.values():
                for job in band:
                    waiting.setdefault(job.job_class.media, []).append(job)
        return QueueSummary(
            classes={
                name: ClassLoad(
                    num_waiting=len(jobs),
                    num_overdue=sum(now_s - job.submitted_s > overdue_s for job in jobs),
                    arrivals_per_s=rates[name].per_s if name in rates else 0.0,
                    predicted_s=_mean_s(jobs, rates.get(name)),
                )
                for name, jobs in waiting.items()
            }
        )

    def _take(self, lane: _LaneQueue, band: deque[SimJob]) -> SimJob:
        lane.num_jobs -= 1
        self.num_jobs -= 1
        return band.popleft()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """What came lately of one class of media."""

    per_s: float
    mean_s: float


def _mean_s(jobs: list[SimJob], rate: Rate | None) -> float:
    if rate is not None and rate.mean_s:
        return rate.mean_s
    return sum(job.job_class.mean_s for job in jobs) / len(jobs) if jobs else 0.0
