"""Our forward of the Wan transformer against the library's, on the same weights."""

import pytest
import torch

from ourvidz.checkpoints.locate import find_model
from ourvidz.models.schedulers import make_flow_scheduler
from ourvidz.models.wan import load
from ourvidz.models.wan.config import WanGeometry
from ourvidz.models.wan.denoise import denoise, prepare_latents
from ourvidz.models.wan.encode import encode
from ourvidz.models.wan.fast import FastWan, can_run_fast, linears_8bit
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


WIDE = {"num_attention_heads": 4, "attention_head_dim": 16, "ffn_dim": 128}


def names_8bit(transformer):
    chosen = {id(linear) for linear in linears_8bit(transformer)}
    return [name for name, module in transformer.named_modules() if id(module) in chosen]


def test_8_bits_are_for_linears_after_a_norm():
    assert names_8bit(make_transformer(num_layers=1, **WIDE)) == [
        "blocks.0.attn1.to_q",
        "blocks.0.attn1.to_k",
        "blocks.0.attn1.to_v",
        "blocks.0.attn2.to_q",
        "blocks.0.ffn.net.0.proj",
    ]
    assert "blocks.0.attn2.to_q" not in names_8bit(make_transformer(cross_attn_norm=False, **WIDE))
    assert names_8bit(make_transformer()) == []  # 24 channels can't be turned in blocks


@pytest.mark.parametrize("has_norm", [True, False])
@pytest.mark.parametrize("is_batched", [False, True])
def test_in_8_bits_it_stays_near_the_library(has_norm, is_batched):
    transformer = make_transformer(cross_attn_norm=has_norm, **WIDE)
    inputs = make_inputs()
    expected = velocities(LibraryPredictor(transformer), *inputs)
    found = velocities(FastWan(transformer, is_8bit=True), *inputs, is_batched=is_batched)
    for ours, theirs in zip(found, expected, strict=True):
        assert 1e-4 < relative_error(ours, theirs) < 0.02


def test_in_8_bits_guidances_branches_are_rounded_alike():
    transformer = make_transformer(**WIDE)
    latents, timestep, embeds = make_inputs()
    embeds = [embeds[0], embeds[0] + 0.05 * embeds[1]]
    cond, uncond = velocities(LibraryPredictor(transformer), latents, timestep, embeds)
    fast = FastWan(transformer, is_8bit=True)
    together = velocities(fast, latents, timestep, embeds)
    alone = [velocities(fast, latents, timestep, [each])[0] for each in embeds]
    errors = [
        float((found[0] - found[1] - (cond - uncond)).norm() / (cond - uncond).norm())
        for found in (together, alone)
    ]
    assert errors[0] < errors[1] / 4, errors


@pytest.mark.parametrize("is_8bit", [False, True])
@pytest.mark.parametrize("is_batched", [False, True])
def test_the_observer_is_told_of_the_first_text_in_order(is_8bit, is_batched):
    transformer = make_transformer(**WIDE)
    told = {}
    for name, fast in (
        ("exact", FastWan(transformer)),
        ("other", FastWan(transformer, is_8bit=is_8bit)),
    ):
        seen = told[name] = []
        fast.observer = lambda index, x, seen=seen: seen.append((index, x.clone()))
        velocities(fast, *make_inputs(2), is_batched=is_batched and name == "other")
    for (index, found), (expected_index, expected) in zip(
        told["other"], told["exact"], strict=False
    ):
        assert index == expected_index
        assert relative_error(found, expected) < 0.02
    assert len(told["other"]) in (3, 6)


def test_8_bits_add_their_own_bytes():
    transformer = make_transformer(num_layers=2, **WIDE)
    assert FastWan.added_bytes(transformer) == 2 * (4 * 64 * 64 + 128 * 64)
    assert FastWan.added_bytes(make_transformer()) == 0


def relative_error(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.slow
def test_in_8_bits_the_guided_prediction_of_trained_weights_is_within_five_percent():
    folder = find_model("pocket-video", [])
    on_cpu = {"device": "cpu", "dtype": torch.float32}
    transformer = load.load_transformer(folder / "transformer", **on_cpu)
    embeds = encode(
        ["a small yellow star moving right on a green background", "blurry, low quality"],
        tokenizer=load.load_tokenizer(folder / "tokenizer"),
        text_encoder=load.load_text_encoder(folder / "text_encoder", **on_cpu),
        max_sequence_length=96,
    ).prompt_embeds
    vae = load.load_vae(folder / "vae", **on_cpu)
    geometry = WanGeometry.from_configs(transformer=transformer.config, vae=vae.config)
    latents = prepare_latents(seeds=(3,), num_frames=17, height=160, width=96, geometry=geometry)
    exact, rounded = FastWan(transformer), FastWan(transformer, is_8bit=True)
    errors = []

    class Both:
        """Compares the guided predictions at every state of the exact one's run."""

        dtype = torch.float32

        def text(self, prompt_embeds):
            return [each.text(prompt_embeds) for each in (exact, rounded)]

        def velocities(self, latents, timestep, texts, **options):
            found = [
                predictor.velocities(latents, timestep, [text[index] for text in texts], **options)
                for index, predictor in enumerate((exact, rounded))
            ]
            guided = [uncond + 6.5 * (cond - uncond) for cond, uncond in found]
            errors.append(relative_error(guided[1], guided[0]))
            return found[0]

    steps = denoise(
        transformer=Both(),
        scheduler=make_flow_scheduler("unipc", num_inference_steps=12, flow_shift=3.0),
        latents=latents,
        prompt_embeds=embeds[:1],
        negative_prompt_embeds=embeds[1:],
        guidance_scale=6.5,
    )
    for _ in steps:
        pass
    assert len(errors) == 12
    assert 0.005 < sorted(errors)[6] < max(errors) < 0.05, errors


@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("ends", [(5, 100), (70, 3), (160, 4), (0, 1)])
def test_padded_texts_predict_what_the_library_predicts(ends, is_batched):
    transformer = make_transformer()
    latents, timestep, _ = make_inputs()
    embeds = [torch.randn(1, 160, 10) for _ in ends]
    for text, end in zip(embeds, ends, strict=True):
        text[:, end:] = 0
    expected = velocities(LibraryPredictor(transformer), latents, timestep, embeds)
    fast = FastWan(transformer)
    lengths = [fast.text(each).keys[0].shape[1] for each in embeds]
    assert min(lengths) < 160  # something was saved
    found = velocities(fast, latents, timestep, embeds, is_batched=is_batched)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
