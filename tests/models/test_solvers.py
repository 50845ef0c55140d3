"""Steps as sums against the library's own steps."""

import pytest
import torch

from ourvidz.models.renoise import RenoiseScheduler
from ourvidz.models.schedulers import (
    DIFFUSION_SCHEDULERS,
    FLOW_SCHEDULERS,
    make_diffusion_scheduler,
    make_flow_scheduler,
)
from ourvidz.models.solvers import (
    LibrarySolver,
    LinearSolver,
    make_solver,
    step_factors,
)

SDXL = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "prediction_type": "epsilon",
}


def flow(name, steps):
    return make_flow_scheduler(name, num_inference_steps=steps, flow_shift=5.0)


def diffusion(name, steps):
    return make_diffusion_scheduler(name, num_inference_steps=steps, config=SDXL)


def run(solver, steps, scale):
    """Drive a solver with a made-up network that depends on its input."""
    latents = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(1)) * scale
    for index in range(steps):
        seen = solver.model_input(latents, index)
        output = torch.tanh(seen * (0.3 + 0.01 * index)) - 0.1 * seen
        latents = solver.step(output, index, latents)
    return latents


CASES = [(flow, name) for name in FLOW_SCHEDULERS] + [
    (diffusion, name) for name in DIFFUSION_SCHEDULERS
]


@pytest.mark.parametrize(("make", "name"), CASES)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 25, 50])
def test_a_whole_run_agrees(make, name, steps):
    factors = step_factors(make(name, steps))
    assert factors is not None
    scheduler = make(name, steps)
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    expected = run(LibrarySolver(scheduler), steps, scale)
    found = run(LinearSolver(factors), steps, scale)
    torch.testing.assert_close(found, expected, atol=2e-5 * max(1.0, scale), rtol=2e-5)


def test_asking_for_factors_leaves_the_scheduler_unused():
    scheduler = flow("unipc", 5)
    step_factors(scheduler)
    fresh = run(LibrarySolver(flow("unipc", 5)), 5, 1.0)
    assert torch.equal(run(LibrarySolver(scheduler), 5, 1.0), fresh)


def test_a_step_that_is_no_sum_is_left_to_the_library():
    class Squaring:
        timesteps = torch.tensor([3, 2, 1])
        sigmas = torch.tensor([1.0, 0.5, 0.1, 0.0])

        def step(self, output, timestep, latents, return_dict):
            return ((latents + output * timestep) ** 2 + 1,)

    assert step_factors(Squaring()) is None


def test_on_a_gpu_nothing_waits_and_fresh_noise_stays_with_its_sampler():
    gpu = torch.device("cuda")
    assert isinstance(make_solver(flow("unipc", 5), gpu), LinearSolver)
    renoise = RenoiseScheduler([1.0, 0.5], shape=(2, 3), seeds=(1,))
    assert isinstance(make_solver(renoise, gpu), LibrarySolver)


def test_on_a_cpu_the_library_steps():
    assert isinstance(make_solver(flow("unipc", 5), torch.device("cpu")), LibrarySolver)
