"""Rows laid out by heads, against plain PyTorch; on a GPU the kernels run there too."""

import pytest
import torch

from ourvidz.kernels import norms, spread
from ourvidz.kernels.layout import Spread

_norms_triton = pytest.importorskip("ourvidz.kernels._norms_triton")

EPS = 1e-6
LAYOUTS = [
    Spread(items=1, parts=1, chunks=1),
    Spread(items=1, parts=3, chunks=2),
    Spread(items=2, parts=2, chunks=1),
    Spread(items=2, parts=2, chunks=3),
]


def make_rows(device, dtype):
    torch.manual_seed(5)
    whole = torch.randn(10, 3 * 48, device=device).to(dtype)
    return whole[:, 48:96]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_rows_are_laid_out_and_put_together_again(device, dtype, layout):
    x = make_rows(device, dtype)
    expected = spread.spread_reference(x, spread=layout)
    assert expected.shape == layout.shape(x.shape)
    # Item, chunk, part and row of one value, told by hand.
    item, chunk, part, row, value = (length - 1 for length in expected.shape)
    width = expected.shape[4]
    column = (part * layout.chunks + chunk) * width + value
    assert expected[item, chunk, part, row, value] == x[item * expected.shape[3] + row, column]
    found = _norms_triton.norm_rope_spread(
        x, weight=None, eps=0.0, cos=None, sin=None, spread=layout
    )
    assert torch.equal(found, expected)
    assert torch.equal(spread.collect_reference(expected), x)
    assert torch.equal(_norms_triton.collect(expected), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_norm_and_turn_write_where_the_exchange_reads(device, dtype, layout):
    x = make_rows(device, dtype)
    weight = torch.randn(48, device=device).to(dtype)
    angles = torch.randn(len(x) // layout.items, 4, device=device)
    options = {"weight": weight, "eps": EPS, "cos": angles.cos(), "sin": angles.sin()}
    before = x.clone()
    in_place = x.clone()
    _norms_triton.norm_rope(in_place, **options)
    found = _norms_triton.norm_rope_spread(x, **options, spread=layout)
    assert torch.equal(found, spread.spread_reference(in_place, spread=layout))
    assert torch.equal(x, before)
    if dtype is torch.float32:
        expected = spread.spread_reference(norms.norm_rope_reference(x, **options), spread=layout)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_a_layout_that_does_not_divide_is_refused():
    with pytest.raises(AssertionError):
        Spread(items=1, parts=5, chunks=1).shape((10, 48))
