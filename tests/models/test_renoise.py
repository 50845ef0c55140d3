"""The few-step sampler: the library's formula, with noise that follows the seeds."""

import torch

from ourvidz.models.noise import seeded_noise
from ourvidz.models.renoise import RenoiseScheduler

SHAPE = (2, 3, 4, 5)
SIGMAS = (1.0, 0.757, 0.522)


def run(scheduler, sample, velocities):
    for velocity, timestep in zip(velocities, scheduler.timesteps, strict=True):
        (sample,) = scheduler.step(velocity, timestep, sample, return_dict=False)
    return sample


def test_steps_are_the_librarys_with_one_generator_an_item():
    from diffusers import FlowMatchLCMScheduler

    seeds = (3, 4)
    library = FlowMatchLCMScheduler(shift=1.0)
    library.set_timesteps(sigmas=list(SIGMAS))
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    noise = torch.stack([torch.randn(SHAPE, generator=each) for each in generators])
    assert torch.equal(noise, seeded_noise(SHAPE, seeds=seeds))
    scheduler = RenoiseScheduler(SIGMAS, shape=SHAPE, seeds=seeds)
    torch.testing.assert_close(scheduler.sigmas, library.sigmas)
    torch.testing.assert_close(scheduler.timesteps, library.timesteps)
    ours = theirs = noise
    for index, timestep in enumerate(library.timesteps):
        velocity = seeded_noise(SHAPE, seeds=(index, 9))
        (ours,) = scheduler.step(velocity, timestep, ours, return_dict=False)
        theirs = library.step(velocity, timestep, theirs, generator=generators, return_dict=False)[
            0
        ]
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_perfect_network_gives_the_data_whatever_the_noise():
    data = seeded_noise(SHAPE, seeds=(1,))
    for seeds in ((5,), (6,)):
        scheduler = RenoiseScheduler(SIGMAS, shape=SHAPE, seeds=seeds)
        sample = seeded_noise(SHAPE, seeds=seeds) * scheduler.init_noise_sigma
        for sigma, timestep in zip(SIGMAS, scheduler.timesteps, strict=True):
            (sample,) = scheduler.step((sample - data) / sigma, timestep, sample)
        torch.testing.assert_close(sample, data, rtol=0, atol=1e-5)


def test_an_item_depends_on_its_seed_alone():
    velocities = [seeded_noise(SHAPE, seeds=(index,)) for index in range(3)]
    both = RenoiseScheduler(SIGMAS, shape=SHAPE, seeds=(7, 8))
    alone = RenoiseScheduler(SIGMAS, shape=SHAPE, seeds=(8,))
    together = run(
        both, seeded_noise(SHAPE, seeds=(7, 8)), [v.expand(2, *SHAPE) for v in velocities]
    )
    single = run(alone, seeded_noise(SHAPE, seeds=(8,)), velocities)
    assert torch.equal(together[1:], single)
    assert not torch.equal(together[:1], single)


def test_one_step_draws_no_noise_and_a_lower_start_scales_it():
    scheduler = RenoiseScheduler((0.9,), shape=SHAPE, seeds=(1,))
    assert scheduler.init_noise_sigma == 0.9
    (data,) = scheduler.step(torch.ones(1, *SHAPE), 900.0, torch.zeros(1, *SHAPE))
    torch.testing.assert_close(data, torch.full((1, *SHAPE), -0.9))
