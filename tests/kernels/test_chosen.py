"""Which attention a shape gets."""

import torch
import torch.nn.functional as F

from ourvidz.kernels import chosen, runtime
from ourvidz.kernels.chosen import ChosenAttention


def exact(q, k, v):
    heads_first = [x.transpose(1, 2) for x in (q, k, v)]
    return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)


def test_it_is_attention(monkeypatch):
    monkeypatch.setattr(runtime, "is_interpreting", False)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, length, 2, 64) for length in (40, 30, 30))
    torch.testing.assert_close(ChosenAttention()(q, k, v), exact(q, k, v))


def test_eight_bits_only_where_allowed_and_long_enough(monkeypatch):
    monkeypatch.setattr(runtime, "is_interpreting", False)
    monkeypatch.setattr(chosen, "_FEWEST_KEYS_8BIT", 64)
    torch.manual_seed(0)
    long_k, long_v = (torch.randn(1, 64, 2, 64) for _ in range(2))
    q = torch.randn(1, 40, 2, 64)
    truth = exact(q, long_k, long_v)
    assert torch.equal(ChosenAttention()(q, long_k, long_v), truth)
    rounded = ChosenAttention(is_8bit=True)(q, long_k, long_v)
    error = float((rounded - truth).norm() / truth.norm())
    assert 1e-4 < error < 0.06
    short = [x[:, :63] for x in (long_k, long_v)]
    assert torch.equal(ChosenAttention(is_8bit=True)(q, *short), exact(q, *short))


def test_each_shape_is_asked_for_once(monkeypatch):
    monkeypatch.setattr(runtime, "is_interpreting", False)
    asked = []

    def fastest(ways, q_shape, dtype, device, *, len_k, cache):
        asked.append((q_shape, len_k))
        return "default"

    monkeypatch.setattr(chosen, "fastest_attention", fastest)
    attend = ChosenAttention()
    q, k = torch.randn(1, 5, 2, 64), torch.randn(1, 7, 2, 64)
    for keys in (k, q, k, q):
        attend(q, keys, keys)
    assert asked == [((1, 5, 2, 64), 7), ((1, 5, 2, 64), 5)]
