"""What waits for each pool, in predicted seconds of one worker, and what waits for none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ourvidz.cluster.shape import Pool
from ourvidz.jobs.model import QueuedWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """The queue as pools see it."""

    seconds: Mapping[str, float]  # by pool
    unclaimed: Mapping[str, int]  # jobs by lane (kind:model) that no pool claims


def waiting(work: Iterable[QueuedWork], pools: Sequence[Pool]) -> Waiting:
    """Share what waits among pools: a lane that several may claim, equally."""
    seconds: defaultdict[str, float] = defaultdict(float)
    unclaimed: dict[str, int] = {}
    for lane in work:
        able = [pool for pool in pools if not pool.models or lane.model in pool.models]
        if not able:
            unclaimed[lane.lane] = lane.num_jobs
        for pool in able:
            seconds[pool.name] += lane.predicted_s / len(able)
    return Waiting(seconds=seconds, unclaimed=unclaimed)
