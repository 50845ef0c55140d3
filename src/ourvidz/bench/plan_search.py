"""Chooses which evaluations of a denoiser to leave out, from exact runs.

Every tensor that a plan may use (see ``catalog.step_plan``) is a vector, and so is each step's
guided velocity. A missing velocity is fitted as a sum of the nearest known ones by least squares
over all runs at once, for which the vectors' inner products are enough: a step's error costs a
system of nine equations, whatever the size of the video.

What a plan costs is the root of the sum over its steps of (error x change of sigma)^2: how far the
steps' own errors move the latents if they do not correlate. Measured on trained weights, an error
of one step reaches the end 0.4 to 1.2 times as large for most prompts, and up to 6 times for some
that hang between two outcomes, without regard to the noise level. So no step gets a weight of its
own, and the caller checks a plan by running it.

The search takes away, one by one, the evaluation that costs least, and then moves single ones for
as long as that helps. N tensors: latents, prompt velocities and differences of all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ourvidz.catalog.step_plan import Source, StepPlan, StepRule, Term

Floats = npt.NDArray[np.float64]

WARM_STEPS = 2  # evaluated whole: there is nothing yet to make velocities of
_NUM_BACK = 3  # velocities and differences that a sum looks back to
# Of the normalised system's diagonal: weights that are fitted to noise grow large and fail on the
# states that a job with left-out steps passes through.
_RIDGE = 1e-4

Tensors = tuple[tuple[Source, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    terms: tuple[Term, ...]
    error: float  # norm of what the sum misses, over all runs


@dataclass(kw_only=True, eq=False)
class PlanSearch:
    """Plans for one sampler, from the inner products of exact runs.

    Attributes:
        gram: (N, N), summed over runs; in the order of ``tensor_index``.
        sigmas: noise levels, one more than steps.
        guidance_scale: of the guided velocity that sums stand in for.
        num_branches: 2 under guidance, else 1.
    """

    gram: Floats
    sigmas: Sequence[float]
    guidance_scale: float
    num_branches: int
    _fits: dict[tuple[int, Tensors], _Fit] = field(default_factory=dict[tuple[int, Tensors], _Fit])

    @property
    def num_steps(self) -> int:
        """Steps of a job."""
        return len(self.sigmas) - 1

    @cached_property
    def _targets(self) -> Floats:
        """Each step's guided velocity as weights of tensors, (steps, N)."""
        targets = np.zeros((self.num_steps, len(self.gram)))
        for step in range(self.num_steps):
            targets[step, tensor_index(Source.PROMPT, step, self.num_steps)] = 1
            if self.num_branches == 2:
                difference = tensor_index(Source.DIFFERENCE, step, self.num_steps)
                targets[step, difference] = self.guidance_scale - 1
        return targets

    def plan(self, counts: Sequence[int]) -> StepPlan:
        """Return the plan with these numbers of evaluations, its sums fitted."""
        rules = [
            StepRule(num_forwards=count, terms=self._fit(counts, step).terms)
            if count < self.num_branches
            else StepRule(num_forwards=count)
            for step, count in enumerate(counts)
        ]
        return StepPlan(rules=tuple(rules), num_branches=self.num_branches)

    def cost(self, counts: Sequence[int]) -> float:
        """Return what leaving out costs, in the latents' units."""
        return float(np.sqrt(sum(self._costs(counts, 0))))

    def search(self, budget: int) -> list[int]:
        """Return each step's evaluations, ``budget`` in all or as near above as can be."""
        counts = self._thinned(budget)
        while True:
            best = min(
                self._moved(counts), key=lambda found: found[0], default=(float("inf"), counts)
            )
            if best[0] >= self.cost(counts) ** 2 * (1 - 1e-9):
                return counts
            counts = best[1]

    def _thinned(self, budget: int) -> list[int]:
        counts = [self.num_branches] * self.num_steps
        while (spare := sum(counts) - budget) > 0:
            before = sum(self._costs(counts, 0))
            best: tuple[float, list[int]] | None = None
            for step in range(WARM_STEPS, self.num_steps):
                for saved in range(1, min(counts[step], spare) + 1):
                    found = _changed(counts, {step: -saved})
                    price = (self._total(counts, found, step) - before) / saved
                    if best is None or price < best[0]:
                        best = price, found
            if best is None:
                break
            counts = best[1]
        return counts

    def _moved(self, counts: list[int]) -> list[tuple[float, list[int]]]:
        """Return plans with an evaluation or a pair moved to another step, and their costs."""
        found: list[tuple[float, list[int]]] = []
        steps = range(WARM_STEPS, self.num_steps)
        for giver in steps:
            for taker in steps:
                for number in range(1, self.num_branches + 1):
                    is_room = counts[taker] + number <= self.num_branches
                    if giver == taker or counts[giver] < number or not is_room:
                        continue
                    other = _changed(counts, {giver: -number, taker: number})
                    found.append((self._total(counts, other, min(giver, taker)), other))
        return found

    def _total(self, before: Sequence[int], counts: Sequence[int], first: int) -> float:
        """Return the squared cost of ``counts``, which equal ``before`` up to ``first``."""
        return sum(self._costs(before, 0, first)) + sum(self._costs(counts, first))

    def _costs(self, counts: Sequence[int], first: int, end: int | None = None) -> list[float]:
        return [
            ((self.sigmas[step] - self.sigmas[step + 1]) * self._fit(counts, step).error) ** 2
            for step in range(first, self.num_steps if end is None else end)
            if counts[step] < self.num_branches
        ]

    def _fit(self, counts: Sequence[int], step: int) -> _Fit:
        known = _known(counts, step, self.num_branches)
        if (step, known) not in self._fits:
            self._fits[step, known] = self._fitted(step, known)
        return self._fits[step, known]

    def _fitted(self, step: int, known: Tensors) -> _Fit:
        target = self._targets[step]
        index = [tensor_index(source, each, self.num_steps) for source, each in known]
        system = self.gram[np.ix_(index, index)]
        sizes = np.sqrt(np.maximum(np.diagonal(system), 1e-30))
        normal = system / np.outer(sizes, sizes) + _RIDGE * np.eye(len(index))
        weights = _solved(normal, (self.gram[index] @ target) / sizes) / sizes
        missed = -target
        np.add.at(missed, index, weights)
        error = float(np.sqrt(max(0.0, missed @ self.gram @ missed)))
        terms = (
            Term(source=source, step=each, weight=float(weights[at]))
            for at, (source, each) in enumerate(known)
        )
        return _Fit(terms=tuple(terms), error=error)


def tensor_index(source: Source, step: int, num_steps: int) -> int:
    """Return where a tensor stands among all: latents first, then velocities, then differences."""
    order = (Source.LATENTS, Source.PROMPT, Source.DIFFERENCE)
    return order.index(source) * num_steps + step


def _changed(counts: Sequence[int], by: dict[int, int]) -> list[int]:
    return [count + by.get(step, 0) for step, count in enumerate(counts)]


def _known(counts: Sequence[int], step: int, num_branches: int) -> Tensors:
    """Return what a step's sum is made of: the nearest evaluations, and two states.

    The states are this step's and the one at the last whole evaluation: with them a sum can hold
    the predicted data in place of the velocity.
    """
    prompts = [at for at in range(step, -1, -1) if counts[at] >= 1]
    whole = [at for at in range(step, -1, -1) if counts[at] == num_branches]
    found = [(Source.PROMPT, at) for at in prompts[: _NUM_BACK + (counts[step] > 0)]]
    if num_branches == 2:
        found += [(Source.DIFFERENCE, at) for at in whole[:_NUM_BACK]]
    found += [(Source.LATENTS, step)]
    last = whole if counts[step] else prompts
    found += [(Source.LATENTS, at) for at in last[:1]]
    return tuple(found)


def _solved(system: Floats, right: Floats) -> Floats:
    solve: Any = np.linalg.solve
    return solve(system, right)
