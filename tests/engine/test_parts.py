"""The parts of a job, taken out, are what jobs run."""

from dataclasses import replace

import pytest
import torch

from ourvidz.catalog.config import catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.clock import SystemClock
from ourvidz.core.request import Fidelity
from ourvidz.engine.parts import open_denoiser
from ourvidz.kernels.int8 import int8_rows, rotate
from ourvidz.worker.assemble import assemble_worker

HIGH = Fidelity.HIGH
SIZES = {
    "video_fast": {"width": 64, "height": 64, "num_frames": 5},
    "sdxl_image_fast": {"width": 64, "height": 64, "num_images": 2},
}


@pytest.fixture(scope="module")
def engine(tiny_settings):
    worker = assemble_worker(
        settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=SystemClock()
    )
    yield worker.engine
    worker.engine.close()


@pytest.fixture(params=SIZES)
def request_of_job(request, tiny_settings):
    return resolve(
        catalogue=catalogue_of(tiny_settings),
        settings=tiny_settings,
        prompt="a red circle",
        seed=3,
        job_type=request.param,
        values={**SIZES[request.param], "num_inference_steps": 3, "negative_prompt": "a blue sea"},
    )


def test_our_own_networks_predict_what_the_librarys_does(engine, request_of_job):
    with open_denoiser(engine, request_of_job, HIGH) as parts:
        for moment in parts.moments({0, 2}):
            exact, library = parts.exact.predict(moment), parts.library.predict(moment)
            assert len(exact) == len(library) == 2
            for ours, theirs in zip(exact, library, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
            assert not torch.equal(*exact)


def test_the_prompts_branch_comes_first(engine, request_of_job):
    alone = replace(request_of_job, guidance_scale=1.0)
    with open_denoiser(engine, alone, HIGH) as parts:
        (moment,) = parts.moments({0})
        (expected,) = parts.exact.predict(moment)
        assert torch.equal(parts.guided((expected,)), expected)
    with open_denoiser(engine, request_of_job, HIGH) as parts:
        (same,) = parts.moments({0})
        assert torch.equal(same.latents, moment.latents)
        cond, uncond = parts.exact.predict(same)
        torch.testing.assert_close(cond, expected, rtol=1e-4, atol=1e-4)
        scale = request_of_job.guidance_scale
        guided = parts.guided((cond, uncond))
        torch.testing.assert_close(guided, uncond + scale * (cond - uncond))


def test_the_states_are_those_of_the_steps_that_were_asked_for(engine, request_of_job):
    with open_denoiser(engine, request_of_job, HIGH) as parts:
        every = parts.moments({0, 1, 2})
        last = parts.moments({2})
        assert [moment.step for moment in every] == [0, 1, 2]
        assert torch.equal(last[0].latents, every[2].latents)
        times = [float(moment.timestep) for moment in every]
        assert times == sorted(times, reverse=True)


def test_watching_the_blocks_changes_nothing_and_ends(engine, request_of_job):
    with open_denoiser(engine, request_of_job, HIGH) as parts:
        (moment,) = parts.moments({1})
        expected = parts.exact.predict(moment)
        seen = []
        with parts.exact.observed(lambda index, x: seen.append(index)) as can_watch:
            found = parts.exact.predict(moment)
        assert all(map(torch.equal, found, expected))
        assert can_watch == (request_of_job.family == "wan")
        assert seen == ([0, 1, 0, 1] if can_watch else [])
        parts.exact.predict(moment)
        assert len(seen) in (0, 4)


def test_an_operator_in_8_bits_is_the_one_that_the_network_runs(engine, tiny_settings):
    """The report's linear is a copy of what ``FastWan`` does in several places."""
    request = resolve(
        catalogue=catalogue_of(tiny_settings),
        settings=tiny_settings,
        prompt="a red circle",
        seed=3,
        values=SIZES["video_fast"],
    )
    with open_denoiser(engine, request, HIGH) as parts:
        block, fast = parts.module.blocks[0], parts.other.predictor._blocks[0]
        linears = [block.attn1.to_q, block.attn1.to_k, block.attn1.to_v]
        assert all(any(linear is one for one in parts.other.linears_8bit) for linear in linears)
        assert parts.exact.linears_8bit == ()
        x = torch.randn(1, 6, linears[0].in_features)
        x[..., 3] *= 20  # an outlier channel, which turning spreads
        found = [parts.other.linear_8bit(x, each.weight, each.bias) for each in linears]
        expected = fast.qkv(int8_rows(rotate(x[0])))
        assert torch.equal(torch.cat(found, dim=-1)[0], expected)
        exact = torch.cat([linear(x) for linear in linears], dim=-1)[0]
        assert 0 < (expected - exact).norm() / exact.norm() < 0.02
