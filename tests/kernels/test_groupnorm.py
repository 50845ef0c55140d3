"""Group norm in pieces against the library's operation: references and Triton's own code."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import groupnorm

pytest.importorskip("triton")
from ourvidz.kernels import _groupnorm_triton

EPS = 1e-5
LENGTHS = [1, 90, 300]  # rows: less than a chunk, and a last chunk that isn't full
IMPLEMENTATIONS = ["reference", "triton"]


@pytest.fixture(params=IMPLEMENTATIONS)
def use(request, monkeypatch):
    """Which side the public functions take."""
    is_triton = request.param == "triton"
    monkeypatch.setattr(groupnorm, "can_run_triton", lambda *tensors: is_triton)
    return request.param


def tensor(device, *shape, dtype=torch.float32, seed=0, offset=3.0):
    """Values whose mean is large beside their deviation: a difference of squares would show."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) + offset).to(device=device, dtype=dtype)


def parameters(device, channels, seed=5):
    return tensor(device, channels, seed=seed), tensor(device, channels, seed=seed + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", LENGTHS)
def test_moments(use, device, length, dtype):
    x = tensor(device, 2, length, 70, offset=100.0, dtype=dtype)
    moments = groupnorm.channel_moments(x)
    num_chunks = -(-length // 128)
    assert moments.mean.shape == moments.m2.shape == (2, num_chunks, 70)
    assert moments.counts.sum() == length
    var, mean = torch.var_mean(x[:, :128].double(), dim=1, correction=0)
    torch.testing.assert_close(moments.mean[:, 0].double(), mean, rtol=1e-6, atol=1e-5)
    expected = var * min(length, 128)
    torch.testing.assert_close(moments.m2[:, 0].double(), expected, rtol=1e-4, atol=1e-4)


def test_long_chunks_are_read_in_tiles(use, device):
    x = tensor(device, 1, 700, 5)
    whole = groupnorm.channel_moments(x, rows_per_chunk=512)
    assert whole.mean.shape == (1, 2, 5)
    torch.testing.assert_close(whole.mean[:, 1], x[:, 512:].mean(1), rtol=1e-5, atol=1e-5)
    m2 = (x[:, :512] - x[:, :512].mean(1, keepdim=True)).square().sum(1)
    torch.testing.assert_close(whole.m2[:, 0], m2, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("has_residual", [False, True])
def test_sum_and_its_moments(use, device, dtype, has_residual):
    x, residual = (tensor(device, 2, 150, 20, dtype=dtype, seed=seed) for seed in (1, 2))
    bias = tensor(device, 20, seed=3)
    expected = x.float() + bias + (residual.float() if has_residual else 0.0)
    moments = groupnorm.add_with_moments(x, bias=bias, residual=residual if has_residual else None)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    torch.testing.assert_close(x.float(), expected, rtol=tolerance, atol=tolerance)
    # Of the sum as it was rounded.
    torch.testing.assert_close(moments.mean[:, 0], x[:, :128].float().mean(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("has_shift", [False, True])
def test_group_norm(use, device, dtype, silu, has_shift):
    x = tensor(device, 2, 300, 24, dtype=dtype)
    weight, bias = parameters(device, 24)
    arguments = {"weight": weight, "bias": bias, "num_groups": 8, "eps": EPS, "silu": silu}
    # A slice, as the time embedding's is.
    arguments["shift"] = tensor(device, 2, 60, seed=9)[:, 7:31] if has_shift else None
    ours = groupnorm.group_norm([(x, groupnorm.channel_moments(x))], **arguments)
    theirs = groupnorm.group_norm_reference(x, **arguments)
    assert ours.dtype == dtype
    tolerance = 2e-5 if dtype is torch.float32 else 2**-6
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_one_shift_for_all_images(use, device):
    x, shift = tensor(device, 2, 40, 8), tensor(device, 1, 8, seed=4)
    weight, bias = parameters(device, 8)
    arguments = {"weight": weight, "bias": bias, "num_groups": 2, "eps": EPS, "silu": True}
    moments = groupnorm.channel_moments(x)
    ours = groupnorm.group_norm([(x, moments)], shift=shift, **arguments)
    theirs = groupnorm.group_norm_reference(x + shift[:, None], **arguments)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_groups", [2, 3, 10])
def test_two_inputs_are_one_concatenated(use, device, num_groups):
    """Of 20 and 10 channels: of two or of ten groups, one spans both."""
    first, second = tensor(device, 2, 200, 20), tensor(device, 2, 200, 10, seed=8)
    weight, bias = parameters(device, 30)
    arguments = {"weight": weight, "bias": bias, "num_groups": num_groups, "eps": EPS}
    inputs = [(x, groupnorm.channel_moments(x)) for x in (first, second)]
    ours = groupnorm.group_norm(inputs, silu=True, **arguments)
    theirs = groupnorm.group_norm_reference(
        torch.cat([first, second], dim=2), silu=True, **arguments
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_phases_make_the_upsampled_convolution(use, device, dtype):
    cpu = torch.device("cpu")  # a GPU's float32 convolutions are rounded to TF32
    x = tensor(cpu, 2, 6, 5, 4, offset=0.0).to(dtype)
    weight, bias = tensor(cpu, 7, 6, 3, 3, offset=0.0).to(dtype), tensor(cpu, 7)
    wide = F.interpolate(x.float(), scale_factor=2.0, mode="nearest")
    expected = F.conv2d(wide, weight.float(), bias, padding=1).permute(0, 2, 3, 1).to(device)

    phases = F.conv2d(x, groupnorm.phase_weights(weight), padding=1).permute(0, 2, 3, 1)
    image, moments = groupnorm.interleave_with_moments(
        phases.contiguous().to(device), bias=bias.to(device)
    )
    assert image.shape == (2, 10, 8, 7)
    tolerance = 1e-5 if dtype is torch.float32 else 0.1
    torch.testing.assert_close(image.float(), expected, rtol=tolerance, atol=tolerance)
    rows = image.flatten(1, 2).float()
    torch.testing.assert_close(moments.mean[:, 0], rows.mean(1), rtol=1e-4, atol=1e-5)


def test_chunks_of_any_length_are_powers_of_two_and_few():
    assert [groupnorm.choose_rows_per_chunk(length) for length in (1, 1024, 65536)] == [128] * 3
    assert groupnorm.choose_rows_per_chunk(65537) == 256
    assert groupnorm.choose_rows_per_chunk(2**20) == 2048


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_sides_agree_on_a_large_image(device, dtype):
    """Several tiles, chunks of them, blocks of channels and images at once."""
    x = tensor(device, 2, 1030, 130, dtype=dtype)
    ours = _groupnorm_triton.channel_moments(x, rows_per_chunk=256)
    theirs = groupnorm.channel_moments_reference(x, rows_per_chunk=256)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.m2, theirs.m2, rtol=1e-4, atol=1e-3)
    weight, bias = parameters(device, 130)
    arguments = {"weight": weight, "bias": bias, "num_groups": 13, "eps": EPS, "shift": None}
    affine = _groupnorm_triton.channel_affine([ours], **arguments)
    expected = groupnorm.channel_affine_reference([theirs], **arguments)
    torch.testing.assert_close(affine, expected, rtol=1e-5, atol=1e-5)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ourvidz.kernels import _geglu_triton as geglu, _groupnorm_triton as norm

HALF, FLOAT, INT = "*fp16", "*fp32", "i32"


def compile(kernel, pointers, **constants):
    types = {name: pointers.get(name, INT) for name in kernel.arg_names}
    types |= {name: "constexpr" for name in constants}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, types, values)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


moments = {name: HALF for name in ("x_ptr", "bias_ptr", "residual_ptr", "out_ptr")}
moments |= {"mean_ptr": FLOAT, "m2_ptr": FLOAT}
tile = {"TILE_ROWS": 128, "TILE_CHANNELS": 64, "IS_EVEN": True}
for flags in ((0, 0, 0, 0), (1, 1, 0, 1), (1, 0, 1, 1)):
    names = ("HAS_BIAS", "HAS_RESIDUAL", "IS_INTERLEAVED", "HAS_OUT")
    chosen = {name: bool(flag) for name, flag in zip(names, flags)}
    compile(norm._moments_kernel, moments, ROWS_PER_CHUNK=256, **chosen, **tile, IS_PACKED=True)
affine = {name: FLOAT for name in norm._affine_kernel.arg_names if name.endswith("_ptr")}
shape = {"MAX_CHUNKS": 64, "TILE_CHUNKS": 32, "TILE_CHANNELS": 16}
for flag in (False, True):
    pointers = affine | {"eps": "fp32"}
    compile(norm._affine_kernel, pointers, HAS_SECOND=flag, HAS_SHIFT=flag, **shape)
pointers = {"x_ptr": HALF, "scale_ptr": FLOAT, "offset_ptr": FLOAT, "out_ptr": HALF}
compile(norm._apply_kernel, pointers, HAS_SILU=True, **tile, ON_GPU=True)
pointers = {"x_ptr": HALF, "out_ptr": HALF}
compile(geglu._geglu_kernel, pointers, TILE_ROWS=4, TILE_COLUMNS=512, ON_GPU=True)
pointers = {"x_ptr": HALF, "data_ptr": "*fp8e4nv", "scale_ptr": FLOAT}
for head, tail in ((2048, 512), (256, 256)):
    shape = {"NUM_COLUMNS": head + tail, "HEAD": head, "TAIL": tail}
    compile(geglu._geglu_quantized_kernel, pointers, **shape, ON_GPU=True)
"""


@pytest.mark.slow
def test_compiles_for_hopper_without_one(tmp_path):
    """What the interpreter lets pass, a compiler may not: it needs no GPU."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        check=True,
    )
