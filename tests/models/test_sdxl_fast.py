"""SDXL's fast path against the library's modules, on the shipped model and on tiny random ones."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ourvidz
from ourvidz.checkpoints.configs import SDXL_UNET
from ourvidz.models.loading import read_config
from ourvidz.models.schedulers import make_diffusion_scheduler
from ourvidz.models.sdxl import fast, fast_vae, load
from ourvidz.models.sdxl.decode import decode
from ourvidz.models.sdxl.fast import FastUnet
from ourvidz.models.sdxl.fast_vae import FastVae, attend_wide

POCKET = Path(ourvidz.__file__).parent / "weights/pocket-image"
ON_CPU = {"device": "cpu", "dtype": torch.float32}
TINY = {name: value for name, value in SDXL_UNET.items() if value is not None} | {
    "block_out_channels": [16, 32, 64],
    "attention_head_dim": [1, 2, 4],
    "cross_attention_dim": 24,
    "norm_num_groups": 8,  # groups span both inputs of a resnet on the way up
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 20,
    "sample_size": 16,
    "transformer_layers_per_block": [1, 2, 3],
}
SCHEDULER = read_config(POCKET / "scheduler", "scheduler_config.json")
PROMPT, NEGATIVE = "a green triangle on a yellow background", "blurred"


@pytest.fixture(scope="module")
def loaded():
    return {
        "unet": load.load_unet(POCKET / "unet", **ON_CPU),
        "vae": load.load_vae(POCKET / "vae", **ON_CPU),
    }


@pytest.fixture
def pocket(loaded):
    return copy.deepcopy(loaded["unet"])


@pytest.fixture
def vae(loaded):
    return copy.deepcopy(loaded["vae"])


def make_tiny(**changes):
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel.from_config(TINY | changes).eval()


@pytest.fixture(scope="module")
def conditioning():
    """What the pocket model's own encoders make of a negative and a positive prompt."""
    from ourvidz.models.sdxl.encode import encode

    parts = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")
    loaded = {
        name: getattr(load, f"load_{name.removesuffix('_2') if 'token' in name else name}")(
            POCKET / name, **({} if "token" in name else ON_CPU)
        )
        for name in parts
    }
    return encode([NEGATIVE, PROMPT], **loaded)


def inputs(unet, *, batch_size=2, size=(12, 8), seed=0):
    """Latents, timestep, text and sizes as the pipeline passes them."""
    config, generator = unet.config, torch.Generator().manual_seed(seed)
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return (
        torch.randn(batch_size, 4, *size, generator=generator),
        torch.tensor(501.0),
        torch.randn(batch_size, 7, config.cross_attention_dim, generator=generator),
        torch.randn(batch_size, pooled, generator=generator),
        torch.tensor([[64.0, 48.0, 0.0, 0.0, 64.0, 48.0]] * batch_size),
    )


@torch.no_grad()
def library(unet, sample, timestep, text, pooled, time_ids):
    added = {"text_embeds": pooled, "time_ids": time_ids}
    return unet(sample, timestep, text, added_cond_kwargs=added, return_dict=False)[0]


def predicted(model, sample, timestep, *conditioning):
    return model.predict(sample, timestep, model.text(*conditioning))


def error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def psnr(found, expected):
    """In dB, of samples in [-1, 1]."""
    mse = (found.clamp(-1, 1) - expected.clamp(-1, 1)).square().mean()
    return (10 * torch.log10(4 / mse)).item()


@pytest.mark.parametrize(("batch_size", "size"), [(1, (16, 16)), (3, (8, 12))])
def test_the_shipped_unet_predicts_as_the_library_does(pocket, batch_size, size):
    arguments = inputs(pocket, batch_size=batch_size, size=size)
    expected = library(pocket, *arguments)
    assert error(predicted(FastUnet(pocket), *arguments), expected) < 1e-5


# Of odd sizes the way up doubles and cuts, as the skip connections are.
@pytest.mark.parametrize("size", [(12, 8), (13, 9), (6, 7)])
def test_a_unet_of_sdxls_structure_predicts_as_the_library_does(size):
    unet = make_tiny()
    arguments = inputs(unet, size=size)
    expected = library(unet, *arguments)
    assert error(predicted(FastUnet(unet), *arguments), expected) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"use_linear_projection": False},  # 1 x 1 convolutions
        {"layers_per_block": 1},
        {"flip_sin_to_cos": False, "freq_shift": 1},
        {"norm_num_groups": 4, "conv_in_kernel": 1, "conv_out_kernel": 1},
        {"transformer_layers_per_block": [1, 1, 1], "attention_head_dim": [2, 2, 2]},
    ],
)
def test_variants_predict_as_the_library_does(changes):
    unet = make_tiny(**changes)
    arguments = inputs(unet)
    expected = library(unet, *arguments)
    assert error(predicted(FastUnet(unet), *arguments), expected) < 1e-5


def test_every_weight_matters():
    """Norms' weights and biases are ones and zeros in a fresh module: these are not."""
    unet = make_tiny()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    arguments = inputs(unet)
    expected = library(unet, *arguments)
    assert error(predicted(FastUnet(unet), *arguments), expected) < 1e-5


def test_the_librarys_own_path_goes_on_working(pocket):
    arguments = inputs(pocket)
    before, expected = dict(pocket.state_dict()), library(pocket, *arguments)
    model = FastUnet(pocket)
    after = pocket.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert error(library(pocket, *arguments), expected) < 1e-5
    # No second copy: an attention's three weights are one tensor, and ours.
    own = pocket.mid_block.attentions[0].transformer_blocks[0].attn1
    storages = {part.weight.untyped_storage().data_ptr() for part in (own.to_q, own.to_k, own.to_v)}
    weight = model._mid.layers[0].transformer.blocks[0].to_qkv.weight
    assert storages == {weight.untyped_storage().data_ptr()}


def test_both_branches_see_the_same_latents(pocket):
    sample, timestep, *rest = inputs(pocket, batch_size=4)
    model = FastUnet(pocket)
    context = model.text(*rest)
    once = model.predict(sample[:2], timestep, context)
    assert torch.equal(once, model.predict(sample[:2].repeat(2, 1, 1, 1), timestep, context))


@pytest.mark.parametrize("timestep", [501, 501.0, torch.tensor(501), torch.tensor([501.0])])
def test_timesteps_come_in_any_form(pocket, timestep):
    sample, expected, *rest = inputs(pocket)
    model = FastUnet(pocket)
    context = model.text(*rest)
    assert torch.equal(
        model.predict(sample, timestep, context), model.predict(sample, expected, context)
    )


def test_jobs_take_turns(pocket):
    model = FastUnet(pocket)
    jobs = [inputs(pocket, seed=seed) for seed in (1, 2)]
    alone = [predicted(model, *job) for job in jobs]
    contexts = [model.text(*job[2:]) for job in jobs]
    for _ in range(2):
        for (sample, timestep, *_), context, expected in zip(jobs, contexts, alone, strict=True):
            assert torch.equal(model.predict(sample, timestep, context), expected)


def test_eight_bits_on_trained_weights(pocket, conditioning):
    """Guided, where the errors of both branches grow, as ``high`` promises."""
    sample = inputs(pocket, size=(16, 16))[0][:1].repeat(2, 1, 1, 1)
    rest = (conditioning.prompt_embeds, conditioning.pooled_prompt_embeds)
    time_ids = torch.tensor([[128.0, 128.0, 0.0, 0.0, 128.0, 128.0]] * 2)
    expected = library(pocket, sample, torch.tensor(501.0), *rest, time_ids)
    model = FastUnet(pocket, fidelity="high")
    found = predicted(model, sample, torch.tensor(501.0), *rest, time_ids)
    assert 1e-4 < error(found, expected) < 0.02

    def guided(branches):
        return branches[:1] + 6.5 * (branches[1:] - branches[:1])

    assert error(guided(found), guided(expected)) < 0.05
    exact = predicted(FastUnet(pocket), sample, torch.tensor(501.0), *rest, time_ids)
    assert error(exact, expected) < 1e-5  # the weights that it read are as they were


def test_an_image_does_not_depend_on_its_batch(pocket, vae, conditioning):
    """Three images of four steps at once and one at a time: the same to 60 dB, in float32."""
    model, decoder = FastUnet(pocket), FastVae(vae)
    time_ids = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def run(latents):
        num_images = latents.shape[0]
        context = model.text(
            conditioning.prompt_embeds.repeat_interleave(num_images, 0),
            conditioning.pooled_prompt_embeds.repeat_interleave(num_images, 0),
            time_ids.repeat(2 * num_images, 1),
        )
        scheduler = make_diffusion_scheduler("euler", num_inference_steps=4, config=SCHEDULER)
        latents = latents * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, timestep)
            uncond, cond = model.predict(scaled, timestep, context).chunk(2)
            guided = uncond + 6.0 * (cond - uncond)
            latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
        return decoder.decode_sample(latents)

    together = run(noise)
    assert together.std() > 0.1  # pictures, not constants
    for index in range(3):
        assert psnr(run(noise[index : index + 1]), together[index : index + 1]) > 60


@pytest.mark.parametrize("guidance_batched", [True, False])
def test_denoises_as_the_module_does(pocket, conditioning, driven, guidance_batched):
    from ourvidz.models.sdxl.denoise import denoise
    from ourvidz.models.sdxl.encode import PromptEmbeds, prepare_time_ids

    negative, positive = (
        PromptEmbeds(
            prompt_embeds=conditioning.prompt_embeds[index : index + 1],
            pooled_prompt_embeds=conditioning.pooled_prompt_embeds[index : index + 1],
            num_tokens=conditioning.num_tokens[index : index + 1],
            num_truncated_tokens=conditioning.num_truncated_tokens[index : index + 1],
        )
        for index in range(2)
    )

    def run(unet):
        generator = denoise(
            unet=unet,
            scheduler=make_diffusion_scheduler("euler", num_inference_steps=3, config=SCHEDULER),
            latents=torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)),
            prompt_embeds=positive,
            time_ids=prepare_time_ids(height=64, width=64),
            negative_prompt_embeds=negative,
            guidance_scale=6.0,
            guidance_batched=guidance_batched,
        )
        return driven(generator)[1]

    expected = run(pocket)
    assert error(run(FastUnet(pocket)), expected) < 1e-4


def test_knows_what_it_can_run(pocket):
    assert fast.can_run_fast(pocket)
    assert fast.can_run_fast(make_tiny())


class LoraLinear(nn.Linear):
    """As adapters replace layers: another class in the same place."""


def _adapter(unet):
    own = unet.mid_block.attentions[0].transformer_blocks[0].attn1
    own.to_q = LoraLinear(own.to_q.in_features, own.to_q.out_features, bias=False)


def _processor(unet):
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())


def _hook(unet):
    unet.mid_block.register_forward_hook(lambda *_: None)


def _free_u(unet):
    unet.enable_freeu(s1=0.9, s2=0.2, b1=1.3, b2=1.4)


def _chunked(unet):
    unet.mid_block.attentions[0].transformer_blocks[0].set_chunk_feed_forward(1, 0)


def _mixed(unet):
    unet.conv_out.to(torch.bfloat16)


def _wrapped(unet):
    unet.mid_block.forward = lambda *_: None


@pytest.mark.parametrize(
    "change", [_adapter, _processor, _hook, _free_u, _chunked, _mixed, _wrapped]
)
def test_refuses_a_changed_unet(change):
    unet = make_tiny()
    change(unet)
    assert not fast.can_run_fast(unet)


@pytest.mark.parametrize(
    "changes",
    [
        {"down_block_types": ["DownBlock2D", "AttnDownBlock2D", "CrossAttnDownBlock2D"]},
        {"addition_embed_type": None},
        {"resnet_time_scale_shift": "scale_shift"},
        {"mid_block_scale_factor": 2},
        {"downsample_padding": 0},
        {"act_fn": "gelu"},
        {"time_embedding_act_fn": "silu"},
        {"class_embed_type": "timestep"},
        {"center_input_sample": True},
    ],
)
def test_refuses_what_it_does_not_know(changes):
    assert not fast.can_run_fast(make_tiny(**changes))


def test_refuses_other_classes(vae):
    assert not fast.can_run_fast(nn.Linear(2, 2))
    assert not fast.can_run_fast(vae)


def test_the_decoder_decodes_as_the_library_does(vae):
    latents = torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
    model = FastVae(vae)
    assert error(model.decode_sample(latents), expected) < 1e-5
    assert error(vae.decode(latents / vae.config.scaling_factor).sample.detach(), expected) < 1e-5


@pytest.mark.parametrize("images_at_once", [1, 2])
def test_images_are_those_of_the_slow_decoder(vae, images_at_once):
    latents = torch.randn(3, 4, 8, 6, generator=torch.Generator().manual_seed(1))
    theirs = list(decode(vae=vae, latents=latents))
    ours = list(FastVae(vae).decode(latents, images_at_once=images_at_once))
    assert len(ours) == 3
    for image, expected in zip(ours, theirs, strict=True):
        assert image.dtype == torch.uint8
        assert image.shape == (64, 48, 3)
        assert image.is_contiguous()
        assert (image.int() - expected.int()).abs().max() <= 1


def test_bfloat16_decodes_better_than_the_librarys(vae):
    """Latents and pixels stay in float32: 54 dB against 49 on the shipped decoder."""
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(latents / vae.config.scaling_factor).sample
        half = load.load_vae(POCKET / "vae", device="cpu", dtype=torch.bfloat16)
        scaled = latents.bfloat16() / vae.config.scaling_factor
        theirs = psnr(half.decode(scaled).sample.float(), expected)
    ours = psnr(FastVae(vae, dtype=torch.bfloat16).decode_sample(latents), expected)
    assert ours > 50
    assert ours > theirs + 3


def test_a_float16_vae_stays_as_it_is():
    vae = load.load_vae(POCKET / "vae", device="cpu", dtype=torch.float16)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    (image,) = FastVae(vae).decode(latents)
    assert image.float().std() > 5
    assert vae.dtype == torch.float16
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())


def test_latents_of_given_mean_and_deviation(vae):
    vae.register_to_config(latents_mean=[0.1, 0.2, -0.3, 0.4], latents_std=[1.0, 2.0, 0.5, 1.5])
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    (theirs,), (ours,) = decode(vae=vae, latents=latents), FastVae(vae).decode(latents)
    assert (ours.int() - theirs.int()).abs().max() <= 1


@pytest.mark.parametrize("change", ["use_tiling", "use_slicing"])
def test_leaves_tiled_decoding_to_the_library(vae, change):
    assert fast_vae.can_run_fast(vae)
    setattr(vae, change, True)
    assert not fast_vae.can_run_fast(vae)


def test_refuses_a_changed_decoder(vae):
    vae.decoder.mid_block.register_forward_hook(lambda *_: None)
    assert not fast_vae.can_run_fast(vae)
    assert not fast_vae.can_run_fast(nn.Linear(2, 2))


@pytest.mark.parametrize("max_scores", [1, 50, 10**6])
def test_wide_attention_in_chunks(max_scores):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 21, 3, 10, generator=generator) for _ in range(3))
    expected = F.scaled_dot_product_attention(
        *(part.transpose(1, 2) for part in (query, key, value)), scale=1.0
    ).transpose(1, 2)
    found = attend_wide(query, key, value, max_scores=max_scores)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("fidelity", ["exact", "high"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_graphs_replay_what_runs_eagerly(dtype, fidelity):
    unet = load.load_unet(POCKET / "unet", device="cuda", dtype=dtype)
    reference = load.load_unet(POCKET / "unet", device="cuda", dtype=torch.float32)
    eager = FastUnet(unet, fidelity=fidelity, use_graphs=False)
    graphed = FastUnet(unet, fidelity=fidelity, max_graphs=1)
    jobs = [
        [part.cuda() for part in inputs(unet, seed=seed, size=size)]
        for seed, size in ((1, (16, 16)), (2, (16, 16)), (3, (8, 12)))
    ]
    contexts = [graphed.text(*job[2:]) for job in jobs]
    for turn in range(4):
        for (sample, timestep, *rest), context in zip(jobs, contexts, strict=True):
            found = graphed.predict(sample, timestep - turn, context)
            expected = eager.predict(sample, timestep - turn, context)
            assert error(found.float(), expected.float()) < 2e-3
            truth = library(reference, sample, timestep - turn, *rest)
            assert error(found.float(), truth) < (0.02 if fidelity == "exact" else 0.05)


@pytest.mark.gpu
def test_the_decoder_on_a_gpu(vae):
    latents = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = FastVae(vae).decode_sample(latents)
    theirs = [image.float() for image in FastVae(vae).decode(latents)]
    model = FastVae(vae.to("cuda"))
    assert model.dtype == torch.bfloat16
    assert psnr(model.decode_sample(latents.cuda()).cpu(), expected) > 45
    for image, other in zip(model.decode(latents.cuda()), theirs, strict=True):
        assert image.device.type == "cpu"
        assert (image.float() - other).abs().mean() < 2
