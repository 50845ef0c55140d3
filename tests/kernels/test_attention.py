import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import attention as kernels
from ourvidz.kernels.attention import (
    BACKENDS,
    CONFIGS,
    AttentionConfig,
    attend_quantized,
    attention,
    attention_8bit,
    attention_8bit_reference,
    default_config,
    default_products,
    quantize_operands,
    value_order,
)
from tests.kernels.rounding import hardware_rounding  # noqa: F401 - a fixture

OUTLIERS = [3, 40, 50, 60]
SMALL = AttentionConfig(block_m=64, block_n=64, num_warps=4, num_stages=2)


def relative_error(found, expected):
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def tensors(kind, *, len_q, len_k, heads=1, head_dim=128, items=1):
    generator = torch.Generator().manual_seed(0)

    def draw(length):
        return torch.randn(items, length, heads, head_dim, generator=generator)

    q, k, v = draw(len_q), draw(len_k), draw(len_k)
    if kind != "gaussian":
        k[..., OUTLIERS] *= 10
        k += 3 * torch.randn(head_dim, generator=generator)
    if kind == "same outliers":
        q[..., OUTLIERS] *= 10
    if kind == "other outliers":
        q[..., [5, 41, 51, 61]] *= 10
    return [x.to(torch.bfloat16) for x in (q, k, v)]


def exact(q, k, v):
    q, k, v = (x.float().transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


@pytest.mark.parametrize("backend", ["default", "flash", "cudnn"])
def test_exact_backends_give_the_librarys_attention_in_our_layout(backend):
    q, k, v = (x.float() for x in tensors("gaussian", len_q=5, len_k=7, heads=2, head_dim=64))
    found = attention(q, k, v, backend=backend)
    assert found.shape == q.shape
    assert found.is_contiguous()
    assert torch.equal(found, exact(q, k, v))


def test_an_unknown_backend_names_the_known_ones():
    q, k, v = tensors("gaussian", len_q=2, len_k=2, head_dim=64)
    with pytest.raises(ValueError, match="default, flash, cudnn, 8bit"):
        attention(q, k, v, backend="magic")
    assert BACKENDS == ("default", "flash", "cudnn", "8bit")


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("kind", ["gaussian", "key outliers", "same outliers", "other outliers"])
@pytest.mark.parametrize("products", ["int8_fp8", "int8_bf16"])
@pytest.mark.parametrize("key_scale", ["token", "block"])
def test_eight_bits_stay_within_four_percent(head_dim, kind, products, key_scale):
    q, k, v = tensors(kind, len_q=256, len_k=1500, head_dim=head_dim)
    found = attention_8bit_reference(q, k, v, products=products, key_scale=key_scale)
    assert relative_error(found, exact(q, k, v)) < (0.04 if products == "int8_fp8" else 0.02)


def test_e4m3_scores_do_not_keep_to_the_bound():
    q, k, v = tensors("gaussian", len_q=256, len_k=1500)
    error = relative_error(attention_8bit_reference(q, k, v, products="fp8_fp8"), exact(q, k, v))
    assert 0.04 < error < 0.06


@pytest.mark.parametrize("head_dim", [64, 128])
def test_what_is_done_before_rounding_leaves_attention_as_it_is(monkeypatch, head_dim):
    # With the roundings taken out, balance, rotation and smoothing cancel.
    monkeypatch.setattr(kernels, "_round_rows", lambda x, *_: (x, torch.ones(1, 1, 1, 1)))
    q, k, v = (x.double().float() for x in tensors("other outliers", len_q=64, len_k=200))
    q, k, v = (x[..., :head_dim].contiguous() for x in (q, k, v))

    def leave(values, *_args, **_kwargs):
        return values

    monkeypatch.setattr(torch.Tensor, "to", leave)  # no e4m3, no bfloat16
    found = attention_8bit_reference(q, k, v)
    monkeypatch.undo()
    assert relative_error(found, exact(q, k, v)) < 1e-4


def test_a_constant_in_the_values_comes_back():
    q, k, v = tensors("gaussian", len_q=16, len_k=300)
    found = attention_8bit_reference(q, k, v + 100)
    assert (found.float() - 100).abs().max() < 5
    torch.testing.assert_close(found.float().mean().item(), 100.0, rtol=5e-3, atol=0)


@pytest.mark.parametrize("products", ["int8_fp8", "int8_bf16", "fp8_fp8"])
@pytest.mark.parametrize("key_scale", ["token", "block"])
@pytest.mark.parametrize("config", [SMALL], ids=lambda config: config.name)
@pytest.mark.usefixtures("hardware_rounding")
def test_the_kernel_gives_what_its_reference_gives(device, products, key_scale, config):
    # Two heads of a slice, a tail of keys and of queries, and more than two blocks.
    packed = torch.cat(tensors("key outliers", len_q=150, len_k=150, heads=2, head_dim=64), 2)
    q, k, v = packed.to(device).chunk(3, 2)
    q = q[:, :70]
    found = attention_8bit(q, k, v, products=products, key_scale=key_scale, config=config)
    expected = attention_8bit_reference(q, k, v, products=products, key_scale=key_scale)
    assert found.is_contiguous()
    # Probabilities rounded to e4m3 relative to another maximum differ by a step.
    assert relative_error(found, expected) < (0.004 if products == "int8_bf16" else 0.025)
    if products == "int8_fp8":
        assert relative_error(found, exact(q, k, v)) < 0.04


@pytest.mark.parametrize("len_k", [1, 64, 65, 129])
@pytest.mark.parametrize("config", [SMALL], ids=lambda config: config.name)
@pytest.mark.usefixtures("hardware_rounding")
def test_any_number_of_keys(device, len_k, config):
    q, k, v = (
        x.to(device) for x in tensors("gaussian", len_q=3, len_k=len_k, head_dim=64, items=2)
    )
    found = attention_8bit(q, k, v, config=config)
    assert relative_error(found, exact(q, k, v)) < 0.05


@pytest.mark.usefixtures("hardware_rounding")
def test_the_kernels_operands_are_the_roundings_of_the_reference(device):
    q, k, v = (x.to(device) for x in tensors("key outliers", len_q=40, len_k=130, head_dim=64))
    operands = quantize_operands(q, k, v)
    _, k_factor, mean = kernels._balance(q, k)
    rotation = kernels._rotation(64, q.device).float()
    rotated = (k.float() * k_factor.unsqueeze(1)) @ rotation
    expected, scale = kernels._round_rows(
        rotated.transpose(1, 2) - (mean @ rotation).unsqueeze(2), True, 1
    )
    found = operands.k[:, :, :130].float()
    assert ((found - expected).abs() <= 1).all()
    assert (found != expected).float().mean() < 0.01
    torch.testing.assert_close(operands.k_scale[:, :, :130], scale[..., 0], rtol=1e-5, atol=0)
    assert (operands.k[:, :, 130:] == 0).all()
    # Values come back through their order, scale and offset, within a step of e4m3.
    order = value_order(operands.v.shape[3]).to(device)
    restored = torch.empty_like(operands.v.float())
    restored[..., order] = operands.v.float() * operands.v_scale.unsqueeze(3)
    rest = v.float().transpose(1, 2).transpose(2, 3) - v.float().mean(1).unsqueeze(3)
    assert relative_error(restored[..., :130], rest) < 0.04
    assert (restored[..., 130:] == 0).all()
    # The offset is the mean, corrected by what rounding lost.
    lost = (v.float().transpose(1, 2).transpose(2, 3) - restored[..., :130]).mean(3)
    torch.testing.assert_close(operands.v_offset, lost, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head_dim", [64, 128])
def test_one_kernel_finds_the_balance(device, head_dim):
    packed = torch.cat(tensors("other outliers", len_q=300, len_k=300, heads=2, items=2), 2)
    q, k, _ = packed[..., :head_dim].contiguous().to(device).chunk(3, 2)
    q = q[:, :70]
    expected = kernels._balance(q, k)
    found = kernels._balance_and_zero(q, k)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2], expected[2], rtol=1e-5, atol=1e-5)
    assert not found[3].any()


def test_a_sample_of_a_long_sequence_has_at_most_2047_tokens():
    assert kernels._sample(32_760) == (31, 1057)
    assert kernels._sample(2047) == (1, 2047)
    assert kernels._sample(2048) == (2, 1024)


@pytest.mark.parametrize("key_scale", ["token", "block"])
def test_the_longest_key_is_found_while_rounding(device, key_scale):
    q, k, v = (x.to(device) for x in tensors("key outliers", len_q=3, len_k=300, items=2))
    operands = quantize_operands(q, k, v, products="int8_bf16", key_scale=key_scale)
    scale = operands.k_scale.repeat_interleave(operands.key_block, 2)
    squares = operands.k.float().square().sum(3) * scale.square()
    assert operands.k_longest is not None
    torch.testing.assert_close(operands.k_longest, squares.amax(2).flatten(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("launch", [(8, 1), (32, 2), (128, 8)])
def test_a_launch_changes_no_operand(device, launch):
    q, _, _ = (x.to(device) for x in tensors("gaussian", len_q=200, len_k=3, head_dim=64))
    factor = torch.ones(q.shape[0], q.shape[2], 64, device=device)
    expected = kernels._quantize_tokens(q, factor, torch.int8)
    found = kernels._quantize_tokens(q, factor, torch.int8, launch=launch)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_the_factors_are_powers_of_two_that_cancel():
    q, k, _ = tensors("other outliers", len_q=100, len_k=100)
    q_factor, k_factor, _ = kernels._balance(q, k)
    assert torch.equal(q_factor * k_factor, torch.ones_like(q_factor))
    assert torch.equal(q_factor, torch.exp2(q_factor.log2().round()))
    assert (k_factor[..., OUTLIERS] < 1).all()  # a loud channel of keys moves to the queries


def test_the_rotation_is_orthogonal():
    rotation = kernels._rotation(64, torch.device("cpu")).float()
    assert torch.equal(rotation @ rotation.t(), 64 * torch.eye(64))


def test_the_order_of_values_permutes_every_sixteen():
    order = value_order(64)
    assert order[:16].tolist() == [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]
    assert torch.equal(order[16:32], order[:16] + 16)
    assert torch.equal(order.sort().values, torch.arange(64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"products": "int4"}, "unknown products"),
        ({"key_scale": "head"}, "unknown key scale"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    q, k, v = tensors("gaussian", len_q=2, len_k=2, head_dim=64)
    with pytest.raises(ValueError, match=message):
        attention_8bit(q, k, v, **arguments)


def test_other_head_sizes_are_refused():
    q, k, v = tensors("gaussian", len_q=2, len_k=2, head_dim=72)
    with pytest.raises(ValueError, match="head sizes"):
        attention_8bit(q, k, v)


def test_the_type_of_the_queries_is_the_type_of_the_result(monkeypatch):
    monkeypatch.setattr(kernels, "can_run_triton", lambda *_: False)
    q, k, v = (x.float() for x in tensors("gaussian", len_q=20, len_k=30, head_dim=64))
    found = attention(q, k, v, backend="8bit")
    assert found.dtype == torch.float32
    assert relative_error(found, exact(q, k, v)) < 0.04


def test_configs_have_names_of_their_own():
    assert len({config.name for config in CONFIGS}) == len(CONFIGS)
    assert default_config(torch.device("cpu")) in CONFIGS
    assert default_products(torch.device("cpu")) == "int8_fp8"


@pytest.mark.gpu
@pytest.mark.parametrize("products", ["int8_fp8", "int8_bf16"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_on_a_gpu_every_config_keeps_to_the_bound(products, config):
    q, k, v = (x.cuda() for x in tensors("key outliers", len_q=300, len_k=1100, heads=2, items=2))
    operands = quantize_operands(q, k, v, products=products)
    found = attend_quantized(operands, config=config)
    assert relative_error(found, exact(q, k, v)) < 0.04
    expected = attention_8bit_reference(q, k, v, products=products)
    assert relative_error(found, expected) < 0.025
