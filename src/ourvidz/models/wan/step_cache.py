"""Leaves out evaluations of the network by a plan (see ``catalog.step_plan``). Fidelity ``draft``.

What stands in for them are sums of kept latents and velocities, so it works with every predictor.
It keeps what later sums need and nothing else: about ten tensors of the latents' size at once (8 MB
each at 480x832x81), and a sum reads as many (a few microseconds on a GPU).

Reference: a job without a plan, in which every step evaluates everything.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ourvidz.catalog.step_plan import Source, StepPlan, StepRule

Evaluate = Callable[[int], list[torch.Tensor]]  # number of branches to their velocities


class StepCache:
    """What one job has kept so far; made for one run of ``denoise``."""

    def __init__(self, plan: StepPlan) -> None:
        self._plan = plan
        # The last step that needs each tensor: it is dropped there.
        self._last_use: dict[tuple[Source, int], int] = {}
        for index, rule in enumerate(plan.rules):
            for term in rule.terms:
                self._last_use[term.source, term.step] = index
        self._kept: dict[tuple[Source, int], torch.Tensor] = {}

    @property
    def num_steps(self) -> int:
        """Steps that the plan has."""
        return len(self._plan.rules)

    @property
    def share(self) -> float:
        """Evaluations that a job makes, of those of a job that leaves nothing out."""
        return self._plan.num_forwards / self._plan.num_full_forwards

    @property
    def num_kept(self) -> int:
        """Tensors of the latents' size that are kept now."""
        return len(self._kept)

    def num_forwards(self, index: int) -> int:
        """Return how many evaluations a step makes."""
        return self._plan.rules[index].num_forwards

    def num_skipped(self, index: int) -> int:
        """Return how many evaluations a step leaves out."""
        return self._plan.num_branches - self._plan.rules[index].num_forwards

    def velocity(
        self, index: int, latents: torch.Tensor, evaluate: Evaluate, *, guidance_scale: float
    ) -> torch.Tensor:
        """Return a step's guided velocity, evaluated or made of what is kept.

        Args:
            index: of the step, from 0; every step once, in order.
            latents: (B, C, F, H, W) float32.
            evaluate: called with 1 (the prompt) or 2 (both branches), or not at all.
            guidance_scale: of classifier-free guidance.
        """
        rule = self._plan.rules[index]
        self._keep(Source.LATENTS, index, latents)
        velocity = self._evaluated(index, rule, evaluate, guidance_scale)
        if velocity is None:
            velocity = self._sum(rule)
        for key in [key for key in self._kept if self._last_use[key] <= index]:
            del self._kept[key]
        return velocity

    def _evaluated(
        self, index: int, rule: StepRule, evaluate: Evaluate, guidance_scale: float
    ) -> torch.Tensor | None:
        if rule.num_forwards == 0:
            return None
        found = evaluate(rule.num_forwards)
        # A copy: a predictor may write its next velocity into the same memory.
        self._keep(Source.PROMPT, index, found[0], is_copied=True)
        if len(found) == 1:
            return found[0] if self._plan.num_branches == 1 else None
        difference = found[0] - found[1]
        self._keep(Source.DIFFERENCE, index, difference)
        return found[1] + guidance_scale * difference

    def _keep(
        self, source: Source, index: int, tensor: torch.Tensor, *, is_copied: bool = False
    ) -> None:
        if (source, index) in self._last_use:
            self._kept[source, index] = tensor.clone() if is_copied else tensor

    def _sum(self, rule: StepRule) -> torch.Tensor:
        first, *others = rule.terms
        total = self._kept[first.source, first.step] * first.weight
        for term in others:
            total.add_(self._kept[term.source, term.step], alpha=term.weight)
        return total
