"""Our forward of the Wan transformer against the library's, on the same weights."""

import pytest
import torch

from ourvidz.models.schedulers import make_flow_scheduler
from ourvidz.models.wan.denoise import denoise, prepare_latents
from ourvidz.models.wan.fast import FastWan, can_run_fast
from ourvidz.models.wan.predict import LibraryPredictor

TEXT_LENGTH = 7


def make_transformer(**changes):
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    torch.manual_seed(0)
    settings = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 4,
        "out_channels": 4,
        "text_dim": 10,
        "freq_dim": 16,
        "ffn_dim": 40,
        "num_layers": 3,
        **changes,
    }
    return WanTransformer3DModel(**settings).eval().requires_grad_(False)


def make_inputs(batch=1, dtype=torch.float32):
    torch.manual_seed(1)
    latents = torch.randn(batch, 4, 3, 4, 6)
    texts = [torch.randn(batch, TEXT_LENGTH, 10).to(dtype) for _ in range(2)]
    return latents, torch.tensor(400), texts


@torch.inference_mode()
def velocities(predictor, latents, timestep, embeds, **options):
    texts = [predictor.text(each) for each in embeds]
    return predictor.velocities(latents, timestep, texts, **options)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("has_norm", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_it_predicts_what_the_library_predicts(batch, is_batched, has_norm, num_layers):
    transformer = make_transformer(cross_attn_norm=has_norm, num_layers=num_layers)
    inputs = make_inputs(batch)
    expected = velocities(LibraryPredictor(transformer), *inputs)
    found = velocities(FastWan(transformer), *inputs, is_batched=is_batched)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    assert (found[0] - found[1]).abs().max() > 1e-3  # the texts matter


def test_one_text_alone_and_either_order():
    transformer = make_transformer()
    latents, timestep, embeds = make_inputs()
    fast = FastWan(transformer)
    both = velocities(fast, latents, timestep, embeds)
    for index in range(2):
        (alone,) = velocities(fast, latents, timestep, embeds[index : index + 1])
        assert torch.equal(alone, both[index])
    swapped = velocities(fast, latents, timestep, embeds[::-1])
    assert torch.equal(swapped[0], both[1])


def test_in_bfloat16_it_is_as_near_to_the_truth_as_the_library():
    truth_model = make_transformer()
    inputs = make_inputs()
    truth = velocities(LibraryPredictor(truth_model), *inputs)[0]
    transformer = make_transformer().to(torch.bfloat16)
    inputs = make_inputs(dtype=torch.bfloat16)
    errors = [
        float((velocities(predictor, *inputs)[0] - truth).norm() / truth.norm())
        for predictor in (LibraryPredictor(transformer), FastWan(transformer))
    ]
    assert errors[1] < 1.5 * errors[0] < 0.05


def test_the_library_still_works_and_no_weight_is_there_twice():
    transformer = make_transformer()
    inputs = make_inputs()
    before = velocities(LibraryPredictor(transformer), *inputs)
    weights = [value.clone() for value in transformer.state_dict().values()]
    FastWan(transformer)
    after = velocities(LibraryPredictor(transformer), *inputs)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(weights, transformer.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    attention = transformer.blocks[0].attn1
    storages = {
        linear.weight.untyped_storage().data_ptr()
        for linear in (attention.to_q, attention.to_k, attention.to_v)
    }
    assert len(storages) == 1


def test_sizes_may_change_between_calls():
    transformer = make_transformer()
    fast, library = FastWan(transformer), LibraryPredictor(transformer)
    _, timestep, embeds = make_inputs()
    for frames in (1, 2, 1):
        latents = torch.randn(1, 4, frames, 4, 6)
        expected = velocities(library, latents, timestep, embeds)
        found = velocities(fast, latents, timestep, embeds)
        torch.testing.assert_close(found[0], expected[0], atol=2e-5, rtol=1e-4)


def test_the_given_attention_is_used():
    seen = []

    def attention(query, key, value):
        seen.append((tuple(query.shape), tuple(key.shape)))
        out = torch.nn.functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        return out.transpose(1, 2)

    transformer = make_transformer()
    velocities(FastWan(transformer, attention=attention), *make_inputs())
    self_shape, cross_shape = (1, 18, 2, 12), (1, TEXT_LENGTH, 2, 12)
    assert seen.count((self_shape, self_shape)) == 1 + 2 * 2  # the first block's is shared
    assert seen.count((self_shape, cross_shape)) == 2 * 3


@pytest.mark.parametrize("changes", [{"image_dim": 8, "added_kv_proj_dim": 24}, {"qk_norm": None}])
def test_what_it_does_not_know_is_left_to_the_library(changes):
    assert can_run_fast(make_transformer())
    assert not can_run_fast(make_transformer(**changes))


def test_a_whole_denoising_agrees(wan):
    def run(transformer):
        steps = denoise(
            transformer=transformer,
            scheduler=make_flow_scheduler("unipc", num_inference_steps=4, flow_shift=3.0),
            latents=prepare_latents(
                seeds=(1,), num_frames=5, height=32, width=48, geometry=wan.geometry
            ),
            prompt_embeds=embeds[0],
            negative_prompt_embeds=embeds[1],
            guidance_scale=5.0,
        )
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value

    torch.manual_seed(5)
    embeds = torch.randn(2, 1, 9, wan.transformer.config.text_dim)
    expected = run(wan.transformer)
    torch.testing.assert_close(run(FastWan(wan.transformer)), expected, atol=1e-4, rtol=1e-4)
