"""How the ranks of a group divide a forward: guidance's branches, heads, queries.

A forward's work is known beforehand, so the plan is the one with the least predicted time: the
arithmetic of the rank that has most of it, plus the bytes that it exchanges. Rates come from a
measurement at the group's start (``ranks.measure_link``).

Dividing guidance costs nothing in exchanges, but the branches no longer share the first
self-attention. Branches that must stay together (8 bits, whose rounding is paired) are divided by
tokens only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_PARTS = 4  # queries, keys, values and what comes back


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkFigures:
    """What the ranks measured of themselves, the slowest of them counting."""

    flops_per_s: float  # of one rank, in a matrix product
    bytes_per_s: float  # that a rank sends in an exchange between all
    latency_s: float  # of an exchange of nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardWork:
    """One prediction: all texts of one step."""

    num_tokens: int
    num_heads: int
    width: int
    ffn_width: int
    num_layers: int
    num_texts: int
    items: int = 1
    bytes_per_value: int = 2
    are_texts_together: bool = False  # the texts may not be on different ranks

    @property
    def linear_flops(self) -> float:
        """Of one text: projections of self-attention, of the text's queries, feed-forward."""
        weights = 6 * self.width**2 + 2 * self.width * self.ffn_width
        return 2.0 * self.items * self.num_layers * self.num_tokens * weights

    @property
    def attention_flops(self) -> float:
        """Of one text: scores and their products with the values."""
        return 4.0 * self.items * self.num_layers * self.num_tokens**2 * self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardPlan:
    """Ranks are numbered branch by branch, within one by heads, then by queries."""

    branches: int = 1
    heads: int = 1
    queries: int = 1

    @property
    def size(self) -> int:
        """How many ranks work."""
        return self.branches * self.shards

    @property
    def shards(self) -> int:
        """How many ranks a branch has."""
        return self.heads * self.queries

    def branch_of(self, rank: int) -> int:
        """Return which branch a rank works on."""
        return rank // self.shards

    def __str__(self) -> str:
        """Return the plan in words."""
        return f"guidance x{self.branches}, heads x{self.heads}, queries x{self.queries}"


def possible_plans(size: int, work: ForwardWork) -> tuple[ForwardPlan, ...]:
    """Return the ways to keep ``size`` ranks busy; one rank alone is always the first.

    Heads are divided as far as they go, the rest is divided by queries.
    """
    plans = [ForwardPlan()]
    can_divide = work.num_texts == 2 and not work.are_texts_together
    for branches in (1, 2) if can_divide and size % 2 == 0 else (1,):
        shards = size // branches
        heads = math.gcd(work.num_heads, shards)
        if shards <= work.num_tokens:
            plans.append(ForwardPlan(branches=branches, heads=heads, queries=shards // heads))
    return tuple(dict.fromkeys(plans))


def predicted_s(plan: ForwardPlan, work: ForwardWork, figures: LinkFigures) -> float:
    """Return the seconds of one prediction under a plan."""
    texts = work.num_texts / plan.branches
    share = math.ceil(work.num_tokens / plan.shards) / work.num_tokens
    # Texts on one rank share the first self-attention, before which they do not differ.
    attentions = texts if work.are_texts_together else texts - (texts - 1) / work.num_layers
    flops = (texts * work.linear_flops + attentions * work.attention_flops) * share
    return flops / figures.flops_per_s + exchange_s(plan, work, figures)


def exchange_s(plan: ForwardPlan, work: ForwardWork, figures: LinkFigures) -> float:
    """Return the part of ``predicted_s`` in which ranks exchange."""
    if plan.size == 1:
        return 0.0
    texts = work.num_texts / plan.branches
    own = math.ceil(work.num_tokens / plan.shards) * work.items
    part = own * work.width * work.bytes_per_value
    # Keys and values go to every rank that shares a head, queries and results to one of them.
    sent = part * (2 * plan.queries + 2) * (1 - 1 / plan.shards)
    layers = texts * work.num_layers
    whole = layers * (sent / figures.bytes_per_s + _PARTS * figures.latency_s)
    latents = 2 * (sent > 0 or plan.branches > 1)  # in and out, once a prediction
    return (whole if plan.shards > 1 else 0.0) + latents * figures.latency_s


def choose_plan(size: int, work: ForwardWork, figures: LinkFigures) -> ForwardPlan:
    """Return the plan of ``size`` ranks, or of one alone, that is predicted to be the fastest."""
    return min(possible_plans(size, work), key=lambda plan: predicted_s(plan, work, figures))
