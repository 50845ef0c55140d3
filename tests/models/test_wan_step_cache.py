"""Leaving out evaluations of Wan's network by a plan."""

import dataclasses

import numpy as np
import pytest
import torch

from ourvidz.bench.calibrate import gram_of
from ourvidz.bench.plan_search import WARM_STEPS, PlanSearch
from ourvidz.catalog.step_plan import Source, StepPlan, StepRule, Term
from ourvidz.engine.recording import Trajectory
from ourvidz.models.schedulers import make_flow_scheduler
from ourvidz.models.wan.denoise import denoise, prepare_latents
from ourvidz.models.wan.step_cache import StepCache

STEPS, GUIDANCE = 6, 5.0
WHOLE = StepRule(num_forwards=2)


def term(source, step, weight):
    return Term(source=source, step=step, weight=weight)


def hold(step, of, *, num_forwards=0):
    """A step whose guidance, and prompt velocity too where it makes none, is an earlier one's."""
    prompt = step if num_forwards else of
    return StepRule(
        num_forwards=num_forwards,
        terms=(
            term(Source.PROMPT, prompt, 1.0),
            term(Source.DIFFERENCE, of, GUIDANCE - 1),
        ),
    )


PLAN = StepPlan(rules=(WHOLE, WHOLE, hold(2, 1, num_forwards=1), hold(3, 1), WHOLE, hold(5, 4)))


class Watched:
    """The library's module behind the two calls of a predictor, counting evaluations."""

    dtype = torch.float32

    def __init__(self, transformer):
        self.transformer = transformer
        self.given, self.found = [], []

    def text(self, prompt_embeds):
        return prompt_embeds

    def velocities(self, latents, timestep, texts, *, is_batched=False):
        found = [
            self.transformer(latents, timestep.expand(len(latents)), text, return_dict=False)[0]
            for text in texts
        ]
        self.given.append(latents.clone())
        self.found.append([each.clone() for each in found])
        return found


@pytest.fixture(scope="module")
def run(wan):
    prompts = torch.randn(2, 8, wan.transformer.config.text_dim, generator=seeded(1))

    def made(cache=None, *, seeds=(3,), guidance=GUIDANCE, batched=False, transformer=None):
        scheduler = make_flow_scheduler("unipc", num_inference_steps=STEPS, flow_shift=5.0)
        latents = prepare_latents(
            seeds=seeds, num_frames=5, height=32, width=32, geometry=wan.geometry
        )
        watched = Watched(transformer or wan.transformer)
        steps = denoise(
            transformer=watched,
            scheduler=scheduler,
            latents=latents,
            prompt_embeds=prompts[:1],
            negative_prompt_embeds=prompts[1:] if guidance > 1 else None,
            guidance_scale=guidance,
            guidance_batched=batched,
            cache=cache,
        )
        events = []
        while True:
            try:
                events.append(next(steps))
            except StopIteration as stop:
                return stop.value, events, watched

    return made


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_plan_that_leaves_nothing_out_changes_nothing(run):
    whole = StepPlan(rules=(WHOLE,) * STEPS)
    assert torch.equal(run(StepCache(whole))[0], run()[0])


def test_a_plan_is_followed_step_by_step(run):
    latents, events, watched = run(StepCache(PLAN))
    assert [event.num_forwards for event in events] == [2, 2, 1, 0, 2, 0]
    assert [event.num_skipped for event in events] == [0, 0, 1, 2, 0, 2]
    assert [event.step for event in events] == [1, 2, 3, 4, 5, 6]
    assert [len(found) for found in watched.found] == [2, 2, 1, 2]
    assert PLAN.num_forwards == 7
    assert not torch.allclose(latents, run()[0])


def test_a_held_velocity_is_the_earlier_one_bit_for_bit():
    cache = StepCache(PLAN)
    velocities = [torch.randn(1, 4, 2, 4, 4, generator=seeded(step)) for step in range(3)]
    buffer = torch.empty_like(velocities[0])

    def evaluate(step):
        def made(count):
            buffer.copy_(velocities[step])  # as a replayed graph writes into one place
            return [buffer, torch.zeros_like(buffer)][:count]

        return made

    for step in (0, 1):
        cache.velocity(step, torch.zeros(1), evaluate(step), guidance_scale=GUIDANCE)
    gated = cache.velocity(2, torch.zeros(1), evaluate(2), guidance_scale=GUIDANCE)
    assert torch.allclose(gated, velocities[2] + (GUIDANCE - 1) * velocities[1], atol=1e-6)
    held = cache.velocity(3, torch.zeros(1), evaluate(2), guidance_scale=GUIDANCE)
    assert torch.allclose(held, GUIDANCE * velocities[1], atol=1e-6)


def test_only_what_is_still_needed_is_kept(run):
    cache = StepCache(PLAN)
    run(cache)
    assert cache.num_kept == 0
    cache = StepCache(PLAN)
    most = 0
    for step, rule in enumerate(PLAN.rules):
        cache.velocity(step, torch.zeros(1), lambda n: [torch.ones(1)] * n, guidance_scale=2.0)
        most = max(most, cache.num_kept)
        assert cache.num_forwards(step) == rule.num_forwards
    assert most == 2


def test_without_guidance_the_one_branch_is_left_out(run):
    rules = [StepRule(num_forwards=1)] * STEPS
    rules[3] = StepRule(num_forwards=0, terms=(term(Source.PROMPT, 2, 1.0),))
    plan = StepPlan(rules=tuple(rules), num_branches=1)
    _, events, watched = run(StepCache(plan), guidance=1.0)
    assert [event.num_forwards for event in events] == [1, 1, 1, 0, 1, 1]
    assert len(watched.found) == 5


def test_branches_in_one_batch_are_one_call_and_a_batch_shares_the_plan(run):
    _, events, _ = run(StepCache(PLAN), batched=True)
    assert [event.num_forwards for event in events] == [1, 1, 1, 0, 1, 0]
    both = run(StepCache(PLAN), seeds=(3, 4))[0]
    one = run(StepCache(PLAN), seeds=(4,))[0]
    assert torch.allclose(both[1:], one, atol=1e-4)


def test_a_plan_of_other_steps_is_a_mistake(run):
    with pytest.raises(AssertionError, match="other steps"):
        run(StepCache(dataclasses.replace(PLAN, rules=PLAN.rules[:4])))


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ((hold(0, 0),), "needs the"),
        ((WHOLE, StepRule(num_forwards=0)), "has a sum"),
        ((StepRule(num_forwards=2, terms=(term(Source.PROMPT, 0, 1.0),)),), "has a sum"),
        ((StepRule(num_forwards=3),), "3 evaluations"),
        ((WHOLE, StepRule(num_forwards=0, terms=(term(Source.PROMPT, 2, 1.0),))), "look at"),
        ((WHOLE, StepRule(num_forwards=0, terms=(term(Source.PROMPT, 0, float("nan")),))), "nan"),
        ((), "steps"),
    ],
)
def test_a_plan_that_can_not_be_followed_is_refused(rules, what):
    with pytest.raises(ValueError, match=what):
        StepPlan(rules=tuple(rules))


# ---------------------------------------------------------------------------------- making of plans


def trajectory(run, seed):
    latents, _, watched = run(seeds=(seed,))
    return Trajectory(latents=watched.given, velocities=watched.found, final=latents)


@pytest.fixture(scope="module")
def search(run):
    sigmas = make_flow_scheduler("unipc", num_inference_steps=STEPS, flow_shift=5.0).sigmas
    return PlanSearch(
        gram=sum(gram_of(trajectory(run, seed)) for seed in (1, 2)),
        sigmas=tuple(sigmas.tolist()),
        guidance_scale=GUIDANCE,
        num_branches=2,
    )


@pytest.mark.parametrize("budget", [5, 7, 11])
def test_a_search_keeps_to_its_budget_and_beats_an_even_thinning(search, budget):
    counts = search.search(budget)
    assert sum(counts) == budget
    assert counts[:WARM_STEPS] == [2] * WARM_STEPS
    assert search.plan(counts).num_forwards == budget
    worse = [2] * STEPS
    for step in reversed(range(STEPS)):
        while worse[step] and sum(worse) > budget:
            worse[step] -= 1
    assert search.cost(counts) <= search.cost(worse)


def test_what_a_search_says_of_a_sum_is_what_the_sum_misses(run, search):
    counts = [2, 2, 1, 0, 2, 2]
    plan = search.plan(counts)
    missed = 0.0
    for seed in (1, 2):
        found = trajectory(run, seed)
        cache = StepCache(plan)
        for step in range(STEPS):
            given, (prompt, other) = found.latents[step], found.velocities[step]
            made = cache.velocity(
                step, given, lambda n, p=prompt, o=other: [p, o][:n], guidance_scale=GUIDANCE
            )
            true = other + GUIDANCE * (prompt - other)
            change = search.sigmas[step] - search.sigmas[step + 1]
            missed += change**2 * float((made - true).double().square().sum())
    assert search.cost(counts) == pytest.approx(np.sqrt(missed), rel=1e-3)


def test_a_fitted_plan_is_nearer_to_exact_than_a_held_one(run, search):
    exact = run(seeds=(9,))[0]
    fitted = run(StepCache(search.plan([2, 2, 1, 0, 2, 0])), seeds=(9,))[0]
    held = run(StepCache(PLAN), seeds=(9,))[0]
    assert (fitted - exact).norm() < (held - exact).norm()
