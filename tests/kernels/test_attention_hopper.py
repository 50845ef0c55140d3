"""Attention in Gluon. What it computes is seen on a Hopper GPU only; that it compiles, anywhere."""

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import attention_hopper as hopper
from ourvidz.kernels.attention import quantize_operands

SHAPES = [(1, 64, 128, 2, 128), (2, 200, 333, 3, 128), (1, 1000, 700, 2, 64), (1, 130, 1, 1, 128)]


def tensors(shape, size):
    items, len_q, len_k, heads, dim = shape
    generator = torch.Generator("cuda").manual_seed(0)
    whole = torch.randn(
        items, max(len_q, len_k), 3, heads, dim, device="cuda", generator=generator
    ).to(torch.bfloat16)
    q, k, v = whole.unbind(2)
    return q[:, :len_q].contiguous() * size, k[:, :len_k].contiguous() + size, v[:, :len_k]


def exact(q, k, v):
    heads_first = (x.transpose(1, 2).double() for x in (q, k, v))
    return F.scaled_dot_product_attention(*heads_first).transpose(1, 2).float()


def relative_error(found, expected):
    return ((found.float() - expected).norm() / expected.norm()).item()


def test_names_are_unique():
    for configs in (hopper.CONFIGS_EXACT, hopper.CONFIGS_INT8):
        assert len({config.name for config in configs}) == len(configs)


def test_it_is_for_hopper_alone():
    assert not hopper.can_run_hopper(torch.zeros(1, 8, 2, 128, dtype=torch.bfloat16))


def test_parts_of_one_projection_are_rows_without_a_copy():
    whole = torch.zeros(2 * 5, 3 * 16, dtype=torch.bfloat16)
    for part in whole.chunk(3, 1):
        x = part.unflatten(1, (2, 8)).unflatten(0, (2, 5))
        rows = hopper._rows(x)
        assert rows.shape == (10, 16)
        assert rows.data_ptr() == x.data_ptr()
        assert rows.stride() == (48, 1)


@pytest.mark.parametrize("change", ["heads", "items", "alignment"])
def test_what_is_laid_out_otherwise_is_copied(change):
    if change == "heads":
        x = torch.randn(2, 2, 5, 8).transpose(1, 2)
    elif change == "items":
        x = torch.randn(2, 7, 2, 8)[:, :5]
    else:
        x = torch.randn(2 * 5 * 16 + 1)[1:].view(2, 5, 2, 8)
    x = x.to(torch.bfloat16) if change != "alignment" else x
    rows = hopper._rows(x)
    assert torch.equal(rows.reshape(2, 5, 2, 8), x)
    assert rows.data_ptr() % 16 == 0


# Sizes: as after norms; a first block that is far below the most that lengths allow; scores whose
# exponentials overflow, for which the running maximum is followed.
@pytest.mark.gpu
@pytest.mark.parametrize("size", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("config", hopper.CONFIGS_EXACT, ids=lambda config: config.name)
def test_on_a_gpu_it_is_exact(config, shape, size):
    q, k, v = tensors(shape, size)
    found = hopper.attend_exact(q, k, v, config=config)
    assert relative_error(found, exact(q, k, v)) < 0.005


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("config", hopper.CONFIGS_INT8, ids=lambda config: config.name)
def test_on_a_gpu_int8_scores_keep_to_their_bound(config, shape):
    q, k, v = tensors(shape, 1.0)
    operands = quantize_operands(q, k, v, products="int8_bf16", key_scale="block")
    found = hopper.attend_quantized(operands, config=config)
    assert relative_error(found, exact(q, k, v)) < 0.02
