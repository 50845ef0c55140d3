"""How many groups a pool should have, from what waits and runs: values in, a number out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ourvidz.cluster.shape import Pool

# Fewer groups only after so long without need of them: loading models again costs minutes.
COOL_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A pool's present target, and since when fewer would do."""

    target: int
    low_since_s: float | None = None


def scaled(
    pool: Pool,
    now: Scale,
    *,
    queued_s: float,
    at_s: float,
    num_busy: int = 0,
    cool_s: float = COOL_S,
) -> Scale:
    """Return the next target.

    Up at once, to as many groups as let a new job wait no longer than ``target_wait_s``; down by
    one, once fewer would have done for ``cool_s`` without a break, and then by one each ``cool_s``.
    Never fewer than are at work: a job that is given back would only wait, and run, again.

    Args:
        pool: floor, ceiling and the wait that is aimed at.
        now: what this function said last.
        queued_s: predicted seconds of one worker that wait for this pool's groups.
        at_s: seconds of any clock that only runs forward.
        num_busy: groups of the pool whose workers have a job.
        cool_s: how long fewer must have done.
    """
    needed = math.ceil(queued_s / pool.target_wait_s)
    wanted = min(max(needed, num_busy, pool.floor), pool.ceiling)
    target = min(max(now.target, pool.floor), pool.ceiling)
    if wanted >= target:
        return Scale(target=wanted)
    if now.low_since_s is None:
        return Scale(target=target, low_since_s=at_s)
    if at_s - now.low_since_s < cool_s:
        return Scale(target=target, low_since_s=now.low_since_s)
    return Scale(target=target - 1, low_since_s=at_s)
