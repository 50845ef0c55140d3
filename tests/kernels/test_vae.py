"""Kernels of the video decoder against their references and against the library's layers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import vae
from ourvidz.kernels.vae import ConvTiles

FORMS = {
    "norm": {},
    "norm without SiLU": {"is_activated": False},
    "bias": {"bias": True},
    "all": {"bias": True, "residual": True, "total": True},
    "sum alone": {"bias": True, "residual": True, "total": True, "out": False},
    "phases": {"bias": True, "total": True, "is_phased": True},
}


def arguments(form, *, channels, dtype, device, margin=1):
    """Tensors for ``add_norm_silu``; outputs are views of larger tensors, as in the decoder."""
    torch.manual_seed(channels)
    wanted = {"out": True, "total": False, "bias": False, "residual": False, **FORMS[form]}
    frames, height, width = 3, 4, 6
    shape = (frames, height, width, channels)
    is_phased = wanted.get("is_phased", False)
    source = (frames, height // 2 + 1, width // 2 + 1, 4 * channels) if is_phased else shape

    def picture():
        whole = torch.full(
            (frames + 2, height + margin, width + margin, channels),
            float("nan"),
            dtype=dtype,
            device=device,
        )
        return whole[2:, :height, :width]

    return {
        "values": torch.randn(source, device=device).mul(3).to(dtype),
        "gamma": torch.rand(channels, device=device) * channels**0.5,
        "bias": torch.randn(channels, device=device) if wanted["bias"] else None,
        "residual": torch.randn(shape, device=device).to(dtype) if wanted["residual"] else None,
        "out": picture() if wanted["out"] else None,
        "total": picture() if wanted["total"] else None,
        "is_activated": wanted.get("is_activated", True),
        "is_phased": is_phased,
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [16, 24])
@pytest.mark.parametrize("form", FORMS)
def test_add_norm_silu(device, form, channels, dtype):
    pytest.importorskip("triton")
    from ourvidz.kernels import _vae_triton

    found, expected = (
        arguments(form, channels=channels, dtype=dtype, device=device) for _ in range(2)
    )
    _vae_triton.add_norm_silu(**found)
    vae.add_norm_silu_reference(**expected)
    # The interpreter cuts where a GPU rounds.
    tolerance = 1e-5 if dtype is torch.float32 else 2**-6
    for name in ("out", "total"):
        if found[name] is not None:
            torch.testing.assert_close(
                found[name], expected[name], atol=tolerance, rtol=tolerance, msg=name
            )


def test_add_norm_silu_of_zeros_is_zero(device):
    pytest.importorskip("triton")
    from ourvidz.kernels import _vae_triton

    given = arguments("norm", channels=16, dtype=torch.float32, device=device)
    given["values"].zero_()
    _vae_triton.add_norm_silu(**given)
    assert torch.equal(given["out"], torch.zeros_like(given["out"]))


def test_reference_is_the_librarys_norm():
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm

    norm = WanRMS_norm(24, images=False)
    torch.nn.init.uniform_(norm.gamma)
    x = torch.randn(1, 24, 3, 4, 5)
    rows = x[0].permute(1, 2, 3, 0).contiguous()
    out = torch.empty_like(rows)
    gamma = norm.gamma.detach().flatten() * norm.scale
    vae.add_norm_silu_reference(rows, gamma=gamma, out=out)
    expected = F.silu(norm(x))[0].permute(1, 2, 3, 0)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)


def test_upsample_weight_is_the_librarys_upsampling():
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample

    torch.manual_seed(0)
    layer = WanResample(8, mode="upsample2d")
    x = torch.randn(1, 8, 2, 5, 3)
    expected = layer(x)[0].permute(1, 2, 3, 0)
    conv = layer.resample[1]
    phases = F.conv2d(x[0].transpose(0, 1), vae.upsample_weight(conv.weight), padding=1)
    joined = vae.join_phases(phases.permute(0, 2, 3, 1).contiguous()) + conv.bias
    torch.testing.assert_close(joined, expected, atol=1e-6, rtol=1e-5)


def conv_arguments(channels, outs, *, device, dtype=torch.float32):
    torch.manual_seed(outs)
    frames, height, width = 2, 3, 5
    window = torch.zeros(frames + 2, height + 1, width + 1, channels, device=device, dtype=dtype)
    window[:, :height, :width] = torch.randn(frames + 2, height, width, channels).to(window)
    weight = torch.randn(outs, channels, 3, 3, 3, device=device).mul(channels**-0.5).to(dtype)
    return window, weight


def test_causal_conv_reference_is_the_librarys():
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    conv = WanCausalConv3d(6, 4, 3, padding=1)
    window, _ = conv_arguments(6, 4, device="cpu")
    x = window[2:, :-1, :-1].permute(3, 0, 1, 2)[None]
    past = window[:2, :-1, :-1].permute(3, 0, 1, 2)[None]
    expected = conv(x, past)[0].permute(1, 2, 3, 0) - conv.bias
    found = vae.causal_conv_reference(window, vae.conv_weight(conv.weight))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("has_descriptors", [False, True])
@pytest.mark.parametrize(
    ("channels", "outs", "tiles"),
    [
        (32, 16, {"outs": (16, 0), "channels": (16, 0)}),
        (48, 48, {"outs": (32, 16), "channels": (32, 16)}),
        (16, 96, {"outs": (32, 16), "channels": (16, 0)}),  # two tiles of columns
        (16, 24, {"outs": (32, 0), "channels": (16, 0)}),  # a tile wider than the output
    ],
)
def test_causal_conv(device, channels, outs, tiles, has_descriptors):
    pytest.importorskip("triton")
    window, weight = conv_arguments(channels, outs, device=device)
    weight = vae.conv_weight(weight)
    found = vae.causal_conv(
        window,
        weight,
        tiles=vae.ConvTiles(rows=64, has_descriptors=has_descriptors, **tiles),
    )
    torch.testing.assert_close(
        found, vae.causal_conv_reference(window, weight), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("has_descriptors", [False, True])
@pytest.mark.parametrize("lines", [slice(2, 3), slice(1, 6)])
def test_borders_are_lines_of_a_taller_picture(device, lines, has_descriptors):
    """A stripe's convolution is the whole picture's there: by the kernels and their references."""
    pytest.importorskip("triton")
    _, weight = conv_arguments(16, 48, device=device)
    past, frames = torch.randn(5, 7, 5, 16, device=device).split((2, 3))
    window = F.pad(torch.cat((past, frames)), (0, 0, 0, 1, 0, 1))
    planes = pairs_of(frames, past)
    whole = vae.causal_conv_reference(window, vae.conv_weight(weight))
    with_borders = slice(lines.start - 1, lines.stop + 1)
    window, planes = window[:, with_borders].contiguous(), planes[:, :, with_borders].contiguous()
    tiles = vae.ConvTiles(rows=16, outs=(32, 16), channels=(16, 0), has_descriptors=has_descriptors)
    rows, pairs = vae.conv_weight(weight), vae.pair_weight(weight)
    found = {
        "reference": vae.causal_conv_reference(window, rows, has_borders=True),
        "kernel": vae.causal_conv(window, rows, tiles=tiles, has_borders=True),
        "pairs, reference": vae.paired_conv_reference(
            planes, pairs, num_frames=3, has_borders=True
        ),
        "pairs, kernel": vae.paired_conv(
            planes, pairs, num_frames=3, tiles=tiles, has_borders=True
        ),
    }
    for name, result in found.items():
        torch.testing.assert_close(result, whole[:, lines], atol=1e-4, rtol=1e-4, msg=name)


def test_causal_conv_in_half_precision(device):
    pytest.importorskip("triton")
    # The interpreter's matrix product knows no bfloat16.
    dtype = torch.float16 if device.type == "cpu" else torch.bfloat16
    window, weight = conv_arguments(16, 16, device=device, dtype=dtype)
    weight = vae.conv_weight(weight)
    tiles = vae.ConvTiles(rows=16, outs=(16, 0), channels=(16, 0))
    found = vae.causal_conv(window, weight, tiles=tiles)
    expected = vae.causal_conv_reference(window.float(), weight.float())
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("is_paired", [False, True])
@pytest.mark.parametrize("size", [96, 192, 384])
def test_default_tiles_fit_hopper(size, is_paired):
    tiles = vae.default_tiles(size, size, is_paired=is_paired)
    assert tiles is not None
    assert size % sum(tiles.outs) == size % sum(tiles.channels) == 0
    one = (tiles.rows + sum(tiles.outs)) * sum(tiles.channels) * (4 if is_paired else 2)
    assert tiles.num_stages * one <= 227 * 1024


def test_no_tiles_for_odd_sizes():
    assert vae.default_tiles(24, 24) is None
    assert vae.default_tiles(96, 3) is None


def pairs_arguments(form, *, num_frames, dtype, device):
    given = arguments(form, channels=24, dtype=dtype, device=device)
    del given["is_activated"]
    for name in ("values", "residual", "total"):
        given[name] = None if given[name] is None else given[name][:num_frames]
    height, width = 4, 6
    given["past"] = torch.randn(2, height, width, 24, device=device).to(dtype)
    planes = torch.zeros(4, -(-num_frames // 2), height + 1, width + 1, 24, device=device)
    given["out"] = planes.to(dtype)[:, :, :height, :width]
    return given


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_frames", [1, 2, 3])
@pytest.mark.parametrize("form", ["norm", "all", "phases"])
def test_add_norm_silu_pairs(device, form, num_frames, dtype):
    pytest.importorskip("triton")
    from ourvidz.kernels import _vae_triton

    found, expected = (
        pairs_arguments(form, num_frames=num_frames, dtype=dtype, device=device) for _ in range(2)
    )
    _vae_triton.add_norm_silu_pairs(**found)
    vae.add_norm_silu_pairs_reference(**expected)
    tolerance = 1e-5 if dtype is torch.float32 else 2**-6
    for name in ("out", "past", "total"):
        if found[name] is not None:
            torch.testing.assert_close(
                found[name], expected[name], atol=4 * tolerance, rtol=tolerance, msg=name
            )


def pairs_of(frames, past):
    """Planes with their margins for ``paired_conv``, from frames as they are."""
    num_frames, height, width, channels = frames.shape
    pairs = -(-num_frames // 2)
    whole = torch.cat((past, frames, frames.new_zeros(1, height, width, channels)))
    planes = frames.new_zeros(4, pairs, height + 1, width + 1, channels)
    for pair in range(pairs):
        a, b, c, d = whole[2 * pair : 2 * pair + 4]
        for plane, value in enumerate((a - c, b + c, c - b, b - d)):
            planes[plane, pair, :height, :width] = value
    return planes


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_paired_conv_reference_is_the_plain_convolution(num_frames):
    torch.manual_seed(num_frames)
    frames, past = torch.randn(num_frames, 3, 5, 6), torch.randn(2, 3, 5, 6)
    weight = torch.randn(4, 6, 3, 3, 3)
    planes = pairs_of(frames, past)
    found = vae.paired_conv_reference(planes, vae.pair_weight(weight), num_frames=num_frames)
    window = F.pad(torch.cat((past, frames)), (0, 0, 0, 1, 0, 1))
    expected = vae.causal_conv_reference(window, vae.conv_weight(weight))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("has_descriptors", [False, True])
@pytest.mark.parametrize(
    ("channels", "outs", "tiles"),
    [
        (32, 16, {"outs": (16, 0), "channels": (16, 0)}),
        (16, 96, {"outs": (32, 16), "channels": (16, 0)}),  # two tiles of columns
        (16, 24, {"outs": (32, 0), "channels": (16, 0)}),  # a tile wider than the output
    ],
)
def test_paired_conv(device, channels, outs, tiles, has_descriptors):
    pytest.importorskip("triton")
    _, weight = conv_arguments(channels, outs, device=device)
    num_frames = 3
    frames = torch.randn(num_frames + 2, 3, 5, channels, device=device)
    planes, weight = pairs_of(frames[2:], frames[:2]), vae.pair_weight(weight)
    found = vae.paired_conv(
        planes,
        weight,
        num_frames=num_frames,
        tiles=vae.ConvTiles(rows=64, has_descriptors=has_descriptors, **tiles),
    )
    expected = vae.paired_conv_reference(planes, weight, num_frames=num_frames)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_paired_conv_rounds_no_worse():
    """In bfloat16, against float64: at most half as much again as the plain convolution."""
    torch.manual_seed(0)
    frames = F.silu(torch.randn(6, 6, 6, 48))
    weight = torch.randn(32, 48, 3, 3, 3) * (27 * 48) ** -0.5
    window = F.pad(frames, (0, 0, 0, 1, 0, 1))
    exact = vae.causal_conv_reference(window.double(), vae.conv_weight(weight.double()))
    half = window.bfloat16().float(), weight.bfloat16().float()
    plain = vae.causal_conv_reference(half[0], vae.conv_weight(half[1]))
    planes = pairs_of(frames[2:], frames[:2].bfloat16().float()).bfloat16().float()
    paired = vae.paired_conv_reference(
        planes, vae.pair_weight(weight).bfloat16().float(), num_frames=4
    )
    errors = [float((found - exact).norm() / exact.norm()) for found in (paired, plain)]
    assert 0 < errors[0] < 1.5 * errors[1] < 0.01


@pytest.mark.slow
def test_whole_decode_through_the_kernels(device, monkeypatch):
    pytest.importorskip("triton")
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    from ourvidz.models.wan import stream

    torch.manual_seed(0)
    narrow = {"base_dim": 16, "dim_mult": [1, 2], "temperal_downsample": [True]}
    vae = AutoencoderKLWan(**narrow, num_res_blocks=1).eval().to(device)
    latents = torch.randn(1, 16, 2, 1, 2, device=device)
    expected = torch.cat(
        list(
            stream.StreamingDecoder(
                vae, options=stream.StreamOptions(has_kernels=False)
            ).decode_samples(latents)
        )
    )
    monkeypatch.setattr(stream, "_runs_kernels", lambda device: True)
    tiles = ConvTiles(rows=32, outs=(16, 0), channels=(16, 0))
    options = stream.StreamOptions(triton_convs={32: tiles}, paired_convs={16: tiles})
    found = torch.cat(list(stream.StreamingDecoder(vae, options=options).decode_samples(latents)))
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


# Compiled for Hopper on any machine: the interpreter takes code that the compiler refuses.
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ourvidz.kernels import _vae_triton as kernels
from ourvidz.kernels.vae import default_tiles

FLAGS = dict(HAS_BIAS=True, HAS_RESIDUAL=True, HAS_TOTAL=True, IS_PHASED=True)


def build(kernel, constants, descriptors=(), **options):
    names = kernel.arg_names
    kinds = {name: "*bf16" if name.endswith("_ptr") else "i32" for name in names}
    kinds |= dict(zip(names, [f"tensordesc<bf16[{r},{c}]>" for r, c in descriptors]))
    kinds |= dict.fromkeys(constants, "constexpr")
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, kinds, constexprs=values)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert made.metadata.shared <= 227 * 1024, made.metadata.shared
    return made.asm["ptx"]


rows = dict(CHANNELS=96, BLOCK=128, ROWS=16)
build(kernels._add_norm_kernel, rows | FLAGS | dict(HAS_OUT=True, IS_ACTIVATED=True))
build(kernels._add_norm_pairs_kernel, rows | FLAGS | dict(NUM_FRAMES=3))
for size, is_paired, border in ((96, False, 0), (96, False, 1), (192, True, 0), (192, True, 1)):
    tiles = default_tiles(size, size, is_paired=is_paired)
    (n1, n2), (k, _) = tiles.outs, tiles.channels
    constants = dict(CHANNELS=size, OUT=size, ROWS=tiles.rows, N1=n1, N2=n2)
    constants |= dict(PRECISION="tf32", HAS_DESCRIPTORS=True, BORDER=border)
    x, first, second = (tiles.rows, k), (n1, k), (n2 or n1, k)
    if is_paired:
        kernel, blocks = kernels._paired_conv_kernel, (x, first, second)
        constants |= dict(M2=n2 or 1, K=k)
    else:
        kernel, blocks = kernels._causal_conv_kernel, (x, x, first, first, second, second)
        constants |= dict(K1=k, K2=0)
    options = dict(num_warps=tiles.num_warps, num_stages=tiles.num_stages)
    assert "wgmma.mma_async" in build(kernel, constants, blocks, **options)
print("compiled")
"""


@pytest.mark.slow
def test_compiles_for_hopper(tmp_path):
    pytest.importorskip("triton")
    environment = {name: v for name, v in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "compiled\n", done.stderr[-2000:]
