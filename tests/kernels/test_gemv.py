"""Products with one vector and one token's attention: each kernel against its reference."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import gemv, runtime
from ourvidz.kernels.gemv import GemvConfig, Qkv
from ourvidz.kernels.quantize import Quantized, dequantize
from ourvidz.models.qwen import fast as fast_module
from ourvidz.models.qwen.fast import FastQwen

pytest.importorskip("triton")

EPS = 1e-6
# Relative to the largest value. The interpreter cuts where a GPU rounds.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
CASES = pytest.mark.parametrize(
    ("dtype", "is_quantized", "config"),
    [
        (torch.float32, False, GemvConfig(rows=2, num_warps=1)),
        (torch.float32, True, GemvConfig(rows=4, num_warps=1, chunks=2)),
        (torch.bfloat16, False, GemvConfig(rows=4, num_warps=2, chunks=2)),
        (torch.bfloat16, True, GemvConfig(rows=2, num_warps=1, unroll=2)),
        (torch.bfloat16, True, GemvConfig(rows=1, num_warps=2)),
    ],
)


def random(*shape, device, dtype, spread=1.0):
    return (torch.randn(*shape, device=device) * spread).to(dtype)


def as_weight(weight, *, is_quantized):
    return gemv.quantize_weight(weight) if is_quantized else weight


def exact(part):
    """The same values in float32, for the references."""
    if dataclasses.is_dataclass(part) and not isinstance(part, Quantized):
        names = [field.name for field in dataclasses.fields(part)]
        return type(part)(**{name: exact(getattr(part, name)) for name in names})
    return part.float() if isinstance(part, torch.Tensor) else part


def assert_near(found, expected, dtype):
    assert found.dtype == dtype
    error = (found.double() - expected.double()).abs().max() / expected.double().abs().max()
    assert error <= TOLERANCE[dtype]


def test_quantized_rows_reach_the_largest_value_and_stay_near():
    torch.manual_seed(0)
    weight = torch.randn(64, 512) * torch.logspace(-6, 3, 64)[:, None]
    weight[3] = 0
    quantized = gemv.quantize_weight(weight)
    assert quantized.data.dtype == torch.float8_e4m3fn
    assert quantized.scale.shape == (64, 1)
    assert quantized.scale.dtype == torch.float32
    largest = quantized.data.float().abs().amax(dim=1)
    assert torch.equal(largest == 448, torch.arange(64) != 3)
    back = dequantize(quantized)
    assert torch.equal(back[3], weight[3])
    rows = torch.arange(64) != 3
    errors = (back - weight)[rows].norm(dim=1) / weight[rows].norm(dim=1)
    assert 0.02 < errors.max() < 0.03  # as the docstring says


def test_rows_are_quantized_alike_in_parts(monkeypatch):
    weight = torch.randn(10, 32)
    whole = gemv.quantize_weight(weight)
    monkeypatch.setattr(gemv, "_ROWS_AT_ONCE", 4)
    parts = gemv.quantize_weight(weight)
    assert whole.data.dtype == parts.data.dtype
    assert torch.equal(whole.data.float(), parts.data.float())
    assert torch.equal(whole.scale, parts.scale)


def test_matmul_of_quantized_rows_is_that_of_what_they_stand_for():
    torch.manual_seed(1)
    weight = gemv.quantize_weight(torch.randn(24, 48))
    x = torch.randn(5, 48)
    expected = F.linear(x.double(), weight.data.double() * weight.scale.double())
    torch.testing.assert_close(gemv.matmul(x, weight).double(), expected, rtol=1e-5, atol=1e-4)


@CASES
@pytest.mark.parametrize(("num_rows", "width"), [(5, 1184), (3, 16), (4, 1024)])
def test_linear(device, dtype, is_quantized, config, num_rows, width):
    torch.manual_seed(num_rows)
    made = random(num_rows, width, device=device, dtype=dtype)
    weight = as_weight(made, is_quantized=is_quantized)
    x, norm = (random(width, device=device, dtype=dtype) for _ in range(2))
    residual = random(num_rows, device=device, dtype=dtype, spread=width**0.5)
    for names in (["norm"], ["residual"]):
        given = {"norm": norm, "residual": residual}
        given = {name: given[name] for name in names}
        found = gemv.linear(x, weight, eps=EPS, config=config, **given)
        expected = gemv.linear_reference(
            exact(x), exact(weight), eps=EPS, **{name: exact(given[name]) for name in given}
        )
        assert_near(found, expected, dtype)


@CASES
def test_gate_up(device, dtype, is_quantized, config):
    torch.manual_seed(2)
    num_rows, width = 5, 1184
    gate, up = (
        as_weight(
            random(num_rows, width, device=device, dtype=dtype, spread=width**-0.5),
            is_quantized=is_quantized,
        )
        for _ in range(2)
    )
    x, norm = (random(width, device=device, dtype=dtype) for _ in range(2))
    found = gemv.gate_up(x, gate, up, norm=norm, eps=EPS, config=config)
    expected = gemv.gate_up_reference(exact(x), exact(gate), exact(up), norm=exact(norm), eps=EPS)
    assert_near(found, expected, dtype)


@dataclasses.dataclass
class Heads:
    """A layer with 4 query heads and 2 key-value heads of 8, whose cache has 70 positions."""

    device: torch.device
    dtype: torch.dtype
    is_quantized: bool = False

    def __post_init__(self):
        torch.manual_seed(4)
        width, size, self.capacity = 80, 8, 70

        def weight(num_heads):
            made = random(num_heads * size, width, device=self.device, dtype=self.dtype, spread=0.1)
            return as_weight(made, is_quantized=self.is_quantized)

        def bias(num_heads):
            return random(num_heads * size, device=self.device, dtype=self.dtype)

        self.qkv = Qkv(
            query=weight(4),
            key=weight(2),
            value=weight(2),
            query_bias=bias(4),
            key_bias=bias(2),
            value_bias=bias(2),
        )
        angles = torch.randn(self.capacity, size // 2, device=self.device).repeat(1, 2)
        self.cos, self.sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        self.x, self.norm = (random(width, device=self.device, dtype=self.dtype) for _ in range(2))
        self.cache = random(2, 2, self.capacity, size, device=self.device, dtype=self.dtype)

    def tables(self, convert):
        return {
            "norm": convert(self.norm),
            "eps": EPS,
            "cos": convert(self.cos),
            "sin": convert(self.sin),
        }


@CASES
@pytest.mark.parametrize("position", [0, 69])
def test_qkv_rope(device, dtype, is_quantized, config, position):
    heads = Heads(device, dtype, is_quantized)
    at = torch.tensor([position], device=device)
    cache, expected_cache = heads.cache.clone(), exact(heads.cache)
    found = gemv.qkv_rope_(
        heads.x,
        heads.qkv,
        position=at,
        cache=cache,
        config=config,
        **heads.tables(lambda table: table),
    )
    expected = gemv.qkv_rope_reference_(
        exact(heads.x), exact(heads.qkv), position=at, cache=expected_cache, **heads.tables(exact)
    )
    assert_near(found, expected, dtype)
    assert_near(cache[0, :, position], expected_cache[0, :, position], dtype)
    assert_near(cache[1, :, position], expected_cache[1, :, position], dtype)
    others = torch.arange(heads.capacity) != position
    assert torch.equal(cache[:, :, others], heads.cache[:, :, others])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("position", "num_splits"), [(69, 1), (0, 2), (31, 2), (32, 2), (69, 8)])
def test_attend(device, dtype, num_splits, position):
    heads = Heads(device, dtype)
    query = random(32, device=device, dtype=dtype, spread=3.0)
    at = torch.tensor([position], device=device)
    arrived = torch.zeros(4, dtype=torch.int32, device=device)
    # What lies behind the position must not matter, however large.
    heads.cache[:, :, position + 1 :] = 1e4
    expected = gemv.attend_reference(exact(query), exact(heads.cache), position=at)
    for _ in range(2):  # the counters are ready again after each
        found = gemv.attend(query, heads.cache, position=at, arrived=arrived, num_splits=num_splits)
        assert_near(found, expected, dtype)
        assert not arrived.any()


def test_attention_is_the_plain_formula():
    heads = Heads(torch.device("cpu"), torch.float32)
    query = torch.randn(32)
    found = gemv.attend_reference(query, heads.cache, position=torch.tensor([40]))
    keys, values = heads.cache[:, :, :41].repeat_interleave(2, dim=1).double()
    scores = torch.einsum("hs,hts->ht", query.view(4, 8).double(), keys) / 8**0.5
    expected = torch.einsum("ht,hts->hs", scores.softmax(dim=-1), values).flatten()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_without_triton_the_references_run(monkeypatch):
    monkeypatch.setattr(runtime, "is_interpreting", False)
    from ourvidz.kernels import _gemv_triton

    for name in ("linear", "gate_up", "qkv_rope_", "attend"):
        monkeypatch.delattr(_gemv_triton, name)
    heads = Heads(torch.device("cpu"), torch.float32)
    at = torch.tensor([3])
    tables = heads.tables(lambda table: table)
    query = gemv.qkv_rope_(heads.x, heads.qkv, position=at, cache=heads.cache, **tables)
    mixed = gemv.attend(query, heads.cache, position=at, arrived=torch.zeros(4, dtype=torch.int32))
    weight = torch.randn(80, 32)
    out = gemv.linear(mixed, weight, residual=heads.x)
    torch.testing.assert_close(out, heads.x + F.linear(mixed, weight))
    gated = gemv.gate_up(out, weight.T, weight.T, norm=heads.norm, eps=EPS)
    assert gated.shape == (32,)


@pytest.mark.parametrize("weights", ["native", "e4m3"])
def test_a_whole_decoder_of_kernels_equals_plain_operations(monkeypatch, device, weights):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(3)
    config = Qwen2Config(
        hidden_size=32,
        intermediate_size=20,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_hidden_layers=1,
        vocab_size=20,
    )
    model = Qwen2ForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    monkeypatch.setattr(fast_module, "_MIN_CAPACITY", 128)  # two programs a head
    input_ids = torch.tensor([[3, 14, 15]])
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "is_interpreting", False)
        expected = FastQwen(model, weights=weights).logits(input_ids)
    fast = FastQwen(model.to(device), weights=weights)
    for name in ("linear_reference", "attend_reference"):  # the kernels must be what runs
        monkeypatch.delattr(gemv, name)
    found = fast.logits(input_ids.to(device))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_kernels_compile_for_hopper_with_wide_loads():
    """The interpreter takes what the compiler refuses; no GPU is needed to ask it."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "compile_gemv.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("compiled") == 24
