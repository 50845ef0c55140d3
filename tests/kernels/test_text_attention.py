"""Attention over a padded text's rows, the equal ones taken together."""

import math

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels.text_attention import (
    KEY_BLOCK,
    kept_rows,
    text_attention,
    text_attention_reference,
)


def padded(ends, length=200, width=24):
    texts = torch.randn(len(ends), length, width, generator=torch.Generator().manual_seed(0))
    for text, end in zip(texts, ends, strict=True):
        text[end:] = 0
    return texts


def test_the_rows_kept_say_what_all_say():
    ends, heads, dim = (5, 130), 2, 8
    texts = padded(ends)
    generator = torch.Generator().manual_seed(1)
    to_k, to_v = (torch.randn(24, heads * dim, generator=generator) for _ in range(2))
    keys, values = ((texts @ matrix + 0.3).unflatten(2, (heads, dim)) for matrix in (to_k, to_v))
    q = torch.randn(2, 7, heads, dim, generator=generator)
    heads_first = (x.transpose(1, 2) for x in (q, keys, values))
    expected = F.scaled_dot_product_attention(*heads_first).transpose(1, 2)
    kept = kept_rows(texts)
    assert kept is not None
    assert kept.num_rows == 3 * KEY_BLOCK
    found = text_attention(q, keys[:, : kept.num_rows], values[:, : kept.num_rows], kept.bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_added_to_scores():
    kept = kept_rows(padded((0, 3)))
    assert kept is not None
    assert kept.bias[0, 0] == pytest.approx(math.log(200))
    assert kept.bias[1, :3].tolist() == [0, 0, 0]
    assert kept.bias[1, 3] == pytest.approx(math.log(197))
    assert torch.isinf(kept.bias[1, 4:]).all()


@pytest.mark.parametrize("end", [200, 192])
def test_a_long_text_stays_whole(end):
    assert kept_rows(padded((5, end))) is None


@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("num_keys", [64, 128])
def test_the_kernel_gives_what_its_reference_gives(device, dim, num_keys):
    generator = torch.Generator().manual_seed(dim)
    packed = torch.randn(2, 150, 3, 2, dim, generator=generator).to(torch.bfloat16).to(device)
    q = packed[:, :, 1]  # a slice of something wider
    k, v = (
        torch.randn(2, num_keys, 2, dim, generator=generator).to(torch.bfloat16).to(device)
        for _ in range(2)
    )
    bias = torch.zeros(2, num_keys)
    bias[0, 10] = math.log(50)
    bias[0, 11:] = -math.inf
    bias = bias.to(device)
    found = text_attention(q, k, v, bias).float()
    expected = text_attention_reference(q.float(), k.float(), v.float(), bias)
    assert ((found - expected).norm() / expected.norm()) < 0.005
