"""Fused norms against their references and against the library's own operations."""

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import norms, runtime
from ourvidz.kernels.int8 import rotate

pytest.importorskip("triton")
from ourvidz.kernels import _norms_triton

EPS = 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_gate", [False, True])
@pytest.mark.parametrize("has_delta", [False, True])
@pytest.mark.parametrize("num_items", [1, 2])
def test_residual_norm(device, dtype, has_gate, has_delta, num_items):
    torch.manual_seed(num_items)
    rows, width = 6, 48
    x, delta = (torch.randn(rows, width, device=device).mul(3).to(dtype) for _ in range(2))
    gate, mul, add = (torch.randn(num_items, width, device=device) for _ in range(3))
    arguments = {"mul": mul, "add": add, "eps": EPS, "delta": delta if has_delta else None}
    arguments["gate"] = gate if has_gate else None
    expected = norms.residual_norm_reference(x.clone(), **arguments)
    found = _norms_triton.residual_norm(x.clone(), **arguments)
    # The interpreter cuts where a GPU rounds.
    tolerance = 1e-5 if dtype is torch.float32 else 2**-6
    torch.testing.assert_close(found[0], expected[0], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found[1], expected[1], atol=4 * tolerance, rtol=4 * tolerance)


def test_residual_norm_is_the_librarys_modulated_norm():
    """As ``WanTransformerBlock.forward`` has it (diffusers 0.42.1)."""
    torch.manual_seed(0)
    x, delta = (torch.randn(2, 5, 16, dtype=torch.bfloat16) for _ in range(2))
    shift, scale, gate = (torch.randn(2, 1, 16) for _ in range(3))
    total = (x.float() + delta * gate).type_as(x)
    normed = F.layer_norm(total.float(), (16,), eps=EPS)
    expected = (normed * (1 + scale) + shift).type_as(x)
    found = norms.residual_norm_reference(
        x.flatten(0, 1).clone(),
        mul=1 + scale[:, 0],
        add=shift[:, 0],
        eps=EPS,
        delta=delta.flatten(0, 1),
        gate=gate[:, 0],
    )
    assert torch.equal(found[0].view_as(x), total)
    assert torch.equal(found[1].view_as(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_rope", [False, True])
def test_norm_rope(device, dtype, has_rope):
    torch.manual_seed(3)
    heads, size, positions = 3, 8, 5
    whole = torch.randn(2 * positions, 3 * heads * size, device=device).to(dtype)
    weight = torch.randn(heads * size, device=device).to(dtype)
    angles = torch.randn(positions, size // 2, device=device)
    turn = {"cos": angles.cos(), "sin": angles.sin()} if has_rope else {"cos": None, "sin": None}
    x = whole[:, heads * size : 2 * heads * size]
    expected = norms.norm_rope_reference(x, weight=weight, eps=EPS, **turn)
    untouched = whole.clone()
    _norms_triton.norm_rope(x, weight=weight, eps=EPS, **turn)
    tolerance = 1e-6 if dtype is torch.float32 else 2**-7
    torch.testing.assert_close(x, expected, atol=tolerance, rtol=tolerance)
    assert torch.equal(whole[:, : heads * size], untouched[:, : heads * size])
    assert torch.equal(whole[:, 2 * heads * size :], untouched[:, 2 * heads * size :])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_delta", [False, True])
@pytest.mark.parametrize("num_items", [1, 2])
@pytest.mark.parametrize("width", [64, 192])
def test_residual_norm_int8(device, dtype, has_delta, num_items, width):
    torch.manual_seed(num_items)
    rows = 6
    x, delta = (torch.randn(rows, width, device=device).mul(3).to(dtype) for _ in range(2))
    gate, mul, add = (torch.randn(num_items, width, device=device) for _ in range(3))
    arguments = {"mul": mul, "add": add, "eps": EPS}
    arguments |= {"delta": delta, "gate": gate} if has_delta else {}
    total, expected = norms.residual_norm_int8_reference(x.clone(), **arguments)
    own = x.clone()
    same, found = norms.residual_norm_int8(own, **arguments)
    assert same is own
    torch.testing.assert_close(same, total, atol=2**-6, rtol=2**-6)
    assert found.data.dtype == torch.int8
    assert found.data.shape == (rows, width)
    assert (found.data.abs().amax(dim=1) == 127).all()
    # The interpreter cuts the sum to bfloat16 where a GPU rounds it.
    steps = 1 if dtype is torch.float32 else 3
    assert (found.data.int() - expected.data.int()).abs().max() <= steps
    torch.testing.assert_close(found.scale, expected.scale, rtol=2**-6, atol=0)
    # Turned back it is the normalised sum.
    plain = norms.residual_norm_reference(x.float(), **{**arguments, "delta": None})[1]
    if not has_delta:
        back = rotate(found.data.float() * found.scale)
        assert (back - plain).norm() < 0.02 * plain.norm()


@pytest.mark.parametrize("has_delta", [False, True])
@pytest.mark.parametrize("num_pairs", [3, 70])
def test_residual_norm_pairs(device, has_delta, num_pairs):
    torch.manual_seed(num_pairs)
    width = 128
    x = torch.randn(num_pairs, width, device=device)
    x = torch.cat((x, x + 0.1 * torch.randn(num_pairs, width, device=device)))
    gate, mul, add = (torch.randn(2, width, device=device) for _ in range(3))
    mul, add = mul[:1].expand(2, -1), add[:1].expand(2, -1)  # as one timestep has it
    arguments = {"mul": mul, "add": add, "eps": EPS}
    arguments |= {"delta": x.flip(0), "gate": gate} if has_delta else {}
    total, expected = norms.residual_norm_pairs_reference(x.clone(), **arguments)
    same, found = norms.residual_norm_pairs(x.clone(), **arguments)
    torch.testing.assert_close(same, total)
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-4, atol=0)
    assert found.data.shape == expected.data.shape == (128 * -(-num_pairs // 64), width)
    pairs = [each.data.unflatten(0, (-1, 2, 64)) for each in (found, expected)]
    for branch in range(2):
        ours, theirs = (each[:, branch].flatten(0, 1)[:num_pairs].int() for each in pairs)
        assert (ours - theirs).abs().max() <= 1
        assert (ours != theirs).float().mean() < 0.01
    _, rows = norms.residual_norm_int8_reference(x.clone(), **arguments)
    values = rotate(rows.data.float() * rows.scale)
    base, more = (
        pairs[0][:, branch].flatten(0, 1)[:num_pairs] * found.scale[branch][:, None]
        for branch in range(2)
    )
    assert (rotate(base) - values[num_pairs:]).norm() < 0.01 * values.norm()
    assert (rotate(base + more) - values[:num_pairs]).norm() < 0.02 * values.norm()


# One piece halved, two pieces, and two with something beyond the row's end.
@pytest.mark.parametrize("width", [64, 80, 112])
@pytest.mark.parametrize("kind", ["residual_norm", "residual_norm_int8", "residual_norm_pairs"])
def test_a_launch_changes_no_result(device, kind, width):
    torch.manual_seed(width)
    x, delta = (torch.randn(8, width, device=device) for _ in range(2))
    gate, mul, add = (torch.randn(2, width, device=device) for _ in range(3))
    arguments = {"gate": gate, "mul": mul, "add": add, "delta": delta, "eps": EPS}
    run = getattr(_norms_triton, kind)
    expected = getattr(norms, f"{kind}_reference")(x.clone(), **arguments)
    for num_warps, rows, vector in ((1, 1, 8), (1, 2, 8), (4, 2, 16)):
        launch = _norms_triton.NormLaunch(num_warps=num_warps, rows=rows, vector=vector)
        total, normed = run(x.clone(), **arguments, launch=launch)
        torch.testing.assert_close(total, expected[0])
        if kind == "residual_norm":
            torch.testing.assert_close(normed, expected[1], rtol=1e-4, atol=1e-5)
            continue
        torch.testing.assert_close(normed.scale, expected[1].scale, rtol=1e-4, atol=0)
        if kind == "residual_norm_int8":
            assert (normed.data.int() - expected[1].data.int()).abs().max() <= 1
        else:
            first = [
                each.data.unflatten(0, (-1, 2, 64))[0, :, :4] for each in (normed, expected[1])
            ]
            assert (first[0].int() - first[1].int()).abs().max() <= 1


def test_what_branches_share_is_read_once_and_expanded_vectors_are_not_copied(device):
    torch.manual_seed(5)
    x, delta = (torch.randn(8, 64, device=device) for _ in range(2))
    gate, mul, add = (torch.randn(1, 64, device=device).expand(2, -1) for _ in range(3))
    arguments = {"gate": gate, "mul": mul, "add": add, "delta": delta, "eps": EPS}
    _, apart = norms.residual_norm_pairs(x.clone(), **arguments)
    _, shared = norms.residual_norm_pairs(x.clone(), **arguments, is_shared=True)
    is_pair = torch.arange(128) % 64 < 4
    assert torch.equal(apart.data[is_pair], shared.data[is_pair])
    assert torch.equal(apart.scale, shared.scale)
    expected = norms.residual_norm_reference(x.clone(), **arguments)
    found = norms.residual_norm(x.clone(), **arguments)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_residual_norm_int8_of_a_row_of_zeros(device):
    zeros = torch.zeros(2, 64, device=device)
    _, rows = norms.residual_norm_int8(zeros.clone(), mul=zeros, add=zeros, eps=EPS)
    assert not rows.data.any()
    assert rows.scale.isfinite().all()


def test_without_triton_the_reference_runs(monkeypatch):
    monkeypatch.setattr(runtime, "is_interpreting", False)
    x = torch.randn(4, 8)
    weight = torch.ones(8)
    expected = F.rms_norm(x, (8,), eps=EPS)
    norms.norm_rope_(x, weight=weight, eps=EPS)
    torch.testing.assert_close(x, expected)
    mul, add = torch.ones(1, 8), torch.zeros(1, 8)
    _, normed = norms.residual_norm(x, mul=mul, add=add, eps=EPS)
    torch.testing.assert_close(normed, F.layer_norm(x, (8,), eps=EPS))
