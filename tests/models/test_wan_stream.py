"""Our streaming decoder against the library's VAE, float32, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ourvidz
from ourvidz.kernels.vae import ConvTiles
from ourvidz.models.wan import stream
from ourvidz.models.wan.decode import decode
from ourvidz.models.wan.load import load_vae
from ourvidz.models.wan.stream import StreamingDecoder, StreamOptions, can_stream

TILES = ConvTiles(rows=16, outs=(16, 0), channels=(16, 0), num_warps=4)


def tiny_vae(**change):
    """The full size's structure, narrow; norms and biases are drawn too, so that all count."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(**{"base_dim": 8, "num_res_blocks": 1, **change}).eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in vae.named_parameters():
        if name.endswith("gamma"):
            parameter.data.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("bias"):
            parameter.data.uniform_(-0.3, 0.3, generator=generator)
    return vae


@pytest.fixture(scope="module")
def vae():
    return tiny_vae()


@pytest.fixture(scope="module")
def pocket_vae():
    folder = Path(ourvidz.__file__).parent / "weights/pocket-video/vae"
    return load_vae(folder, device="cpu", dtype=torch.float32)


def draw(vae, *, num_latent_frames=4, height=3, width=4, seed=0):
    shape = (1, vae.config.z_dim, num_latent_frames, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def library_samples(vae, latents):
    """What the library decodes, (n, H, W, 3) in [-1, 1]."""
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    with torch.inference_mode():
        sample = vae.decode(latents / (1 / std) + mean, return_dict=False)[0]
    return sample[0].permute(1, 2, 3, 0)


def samples(decoder, latents):
    return torch.cat(list(decoder.decode_samples(latents)))


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert expected.std() > 0.05  # a picture, not a constant,
    assert (expected.abs() == 1).float().mean() < 0.2  # and most of it not clipped
    assert (found - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("num_latent_frames", [1, 2, 3, 4])
def test_equals_the_library(vae, num_latent_frames):
    latents = draw(vae, num_latent_frames=num_latent_frames)
    decoder = StreamingDecoder(vae)
    assert_same(samples(decoder, latents), library_samples(vae, latents))
    expected = torch.cat(list(decode(vae=vae, latents=latents)))
    chunks = list(decoder.decode(latents))
    assert [len(chunk) for chunk in chunks] == [1, 4, 4, 4][:num_latent_frames]
    frames = torch.cat(chunks)
    assert frames.dtype == torch.uint8
    assert frames.is_contiguous()
    assert (frames.int() - expected.int()).abs().max() <= 1


def test_equals_the_library_on_trained_weights(pocket_vae):
    latents = draw(pocket_vae, num_latent_frames=3)
    assert_same(
        samples(StreamingDecoder(pocket_vae), latents), library_samples(pocket_vae, latents)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"temperal_downsample": [True, False], "dim_mult": [1, 2, 2]},
        {"temperal_downsample": [True, True, False], "num_res_blocks": 2},
        {"decoder_base_dim": 16, "z_dim": 4, "latents_mean": [0.1] * 4, "latents_std": [2.0] * 4},
    ],
    ids=["two stages up", "time first", "another width"],
)
def test_equals_the_library_at_other_shapes(change):
    other = tiny_vae(**change)
    latents = draw(other, num_latent_frames=3)
    assert_same(samples(StreamingDecoder(other), latents), library_samples(other, latents))


@pytest.mark.parametrize(
    "options",
    [
        {"frames_per_step": 2},
        {"frames_per_step": 3, "head_frames": 1},
        {"frames_per_step": 2, "head_frames": 3, "spare_steps": 2},
        {"head_frames": 8, "spare_steps": 3},
        {"head_frames": 1},
        {"is_upsampling_folded": False},
        {"triton_convs": {8: TILES, 16: TILES, 32: TILES}},
        {"triton_convs": {32: TILES}, "frames_per_step": 2, "spare_steps": 2},
        {"paired_convs": {8: TILES, 16: TILES, 32: TILES}, "head_frames": 3},
        {"paired_convs": {16: TILES}, "triton_convs": {16: TILES, 32: TILES}},
    ],
    ids=str,
)
def test_options_change_nothing(vae, options):
    latents = draw(vae, num_latent_frames=6, height=2, width=2)
    decoder = StreamingDecoder(vae, options=StreamOptions(**options))
    chunks = list(decoder.decode_samples(latents))
    assert_same(torch.cat(chunks), library_samples(vae, latents))
    assert max(len(chunk) for chunk in chunks) <= 4 * options.get("frames_per_step", 1)


def test_half_precision_is_near(vae):
    latents = draw(vae)
    decoder = StreamingDecoder(vae, dtype=torch.bfloat16)
    found, expected = samples(decoder, latents), library_samples(vae, latents)
    assert found.dtype == torch.float32
    mse = (found - expected).square().mean()
    assert mse > 0
    assert 10 * torch.log10(4 / mse) > 35


def test_decodes_take_turns_and_closed_ones_leave_nothing(vae):
    decoder = StreamingDecoder(vae)
    first, second = draw(vae, num_latent_frames=3), draw(vae, num_latent_frames=3, seed=1)
    alone = [torch.cat(list(decoder.decode(x))) for x in (first, second)]
    state = dict(vars(decoder))

    closed = decoder.decode(first)
    next(closed)
    next(closed)
    closed.close()
    turns = [decoder.decode(x) for x in (first, second)]
    chunks = list(zip(*turns, strict=True))

    for item, expected in enumerate(alone):
        assert torch.equal(torch.cat([pair[item] for pair in chunks]), expected)
    assert not torch.equal(alone[0], alone[1])
    assert vars(decoder) == state


@pytest.mark.parametrize("is_grad_enabled", [True, False])
def test_modes_of_the_caller_stay(vae, is_grad_enabled):
    benchmark = torch.backends.cudnn.benchmark
    with torch.set_grad_enabled(is_grad_enabled):
        for _ in StreamingDecoder(vae).decode(draw(vae, num_latent_frames=2)):
            assert torch.is_grad_enabled() is is_grad_enabled
            assert not torch.is_inference_mode_enabled()
            assert torch.backends.cudnn.benchmark is benchmark


def test_frames_leave_before_the_clip_is_done(vae, monkeypatch):
    steps = []
    run_stage = StreamingDecoder._run_stage

    def counted(self, run, index, x):
        steps.append(index)
        return run_stage(self, run, index, x)

    monkeypatch.setattr(StreamingDecoder, "_run_stage", counted)
    chunks = StreamingDecoder(vae).decode(draw(vae, num_latent_frames=4, height=2, width=2))
    next(chunks)
    assert steps.count(3) == 1
    assert len(list(chunks)) == 3
    assert steps.count(0) == 2  # the first latent frame, then the other three together
    assert steps.count(3) == 4


@pytest.mark.parametrize(
    "options",
    [{}, {"frames_per_step": 2, "spare_steps": 2}, {"triton_convs": {32: TILES}}],
    ids=str,
)
def test_counts_the_memory_of_its_inputs(vae, monkeypatch, options):
    runs = []

    class Run(stream._Run):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            runs.append(self)

    monkeypatch.setattr(stream, "_Run", Run)
    decoder = StreamingDecoder(vae, options=StreamOptions(**options))
    list(decoder.decode_samples(draw(vae, num_latent_frames=9, height=2, width=3)))
    counted = decoder.memory_bytes(height=16, width=24)
    assert 0 < runs[0].num_bytes <= counted <= 3 * runs[0].num_bytes


def test_full_size_fits_the_plan():
    """What the module says: under 18 GB at 720p, with everything that a step touches."""
    narrow = tiny_vae(num_res_blocks=2)
    decoder = StreamingDecoder(narrow, dtype=torch.bfloat16)
    times = 96 / narrow.config.base_dim  # bytes grow with the channels
    assert 5e9 < times * decoder.memory_bytes(height=480, width=832) < 8e9
    assert 12e9 < times * decoder.memory_bytes(height=720, width=1280) < 18e9


def test_refuses_what_it_does_not_know(vae):
    from diffusers import AutoencoderKL

    assert can_stream(vae)
    residual = {"is_residual": True, "dim_mult": [1, 1], "temperal_downsample": [True]}
    assert not can_stream(tiny_vae(**residual))
    assert not can_stream(tiny_vae(in_channels=12, out_channels=12, patch_size=2))
    assert not can_stream(AutoencoderKL())
    changed = tiny_vae()
    changed.decoder.up_blocks[0].resnets[0].nonlinearity = torch.nn.GELU()
    assert not can_stream(changed)
    with pytest.raises(AssertionError):
        StreamingDecoder(changed)


@pytest.mark.gpu
@pytest.mark.parametrize("convs", ["library", "triton", "paired"])
def test_on_a_gpu(convs):
    from ourvidz.kernels.vae import default_tiles

    wide = tiny_vae(base_dim=96, dim_mult=[1, 2, 4, 4]).cuda()
    latents = draw(wide, num_latent_frames=4, height=6, width=10)
    expected = library_samples(wide.cpu(), latents).cuda()
    sizes = (96, 192, 384)
    options = {
        "library": StreamOptions(),
        "triton": StreamOptions(triton_convs={n: default_tiles(n, n) for n in sizes}),
        "paired": StreamOptions(
            paired_convs={n: default_tiles(n, n, is_paired=True) for n in sizes}
        ),
    }
    decoder = StreamingDecoder(wide.cuda(), dtype=torch.bfloat16, options=options[convs])
    found = samples(decoder, latents)
    assert (expected.abs() == 1).float().mean() < 0.2
    mse = (found - expected).square().mean()
    assert 10 * torch.log10(4 / mse) > 35
    first, second = (torch.cat(list(decoder.decode(latents))) for _ in range(2))
    assert torch.equal(first, second)


def test_options_of_a_device_off_cuda_are_the_defaults():
    from ourvidz.models.wan.stream import options_for

    assert options_for(torch.device("cpu")) == StreamOptions()
