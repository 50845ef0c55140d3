"""GEGLU against diffusers' own module and as 8-bit rows."""

import pytest
import torch

from ourvidz.kernels import geglu

pytest.importorskip("triton")


@pytest.fixture(params=["reference", "triton"])
def use(request, monkeypatch):
    """Which side the public functions take."""
    is_triton = request.param == "triton"
    monkeypatch.setattr(geglu, "can_run_triton", lambda *tensors: is_triton)
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(6, 1040), (5, 34)])
def test_is_the_librarys(use, device, dtype, shape):
    from diffusers.models.activations import GEGLU

    x = (torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3).to(device, dtype)
    module = GEGLU(2, shape[1] // 2)
    module.proj = torch.nn.Identity()
    expected = module(x.float())
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    torch.testing.assert_close(geglu.geglu(x).float(), expected, rtol=tolerance, atol=tolerance)


def test_the_gate_is_as_exact_as_float32_lets_it_be(device):
    from ourvidz.kernels import _geglu_triton

    gate = torch.cat((torch.linspace(-12, 12, 4001), torch.tensor([-6e4, 6e4, 0.0])))
    x = torch.cat((torch.ones_like(gate), gate))[None].to(device)
    exact = torch.nn.functional.gelu(gate.double())
    error = (_geglu_triton.geglu(x)[0].cpu().double() - exact).abs()
    assert (error <= 2e-7 * gate.abs()).all()


@pytest.mark.parametrize("width", [520, 512])
def test_quantized_rows(use, device, width):
    x = torch.randn(6, 2 * width, generator=torch.Generator().manual_seed(1)).to(device)
    x[2] *= 100
    x[3] = 0
    rows = geglu.geglu_quantized(x)
    theirs = geglu.geglu_quantized_reference(x)
    assert rows.data.dtype == torch.float8_e4m3fn
    assert rows.data.shape == (6, width)
    torch.testing.assert_close(rows.scale, theirs.scale, rtol=1e-5, atol=0)
    found, expected = rows.data.float() * rows.scale, geglu.geglu_reference(x)
    # e4m3 keeps three bits after the first: half a step is 2 ** -4 of the value, or 2 ** -10 of a
    # unit where values are subnormal.
    limit = expected.abs() * 2**-4 + rows.scale * 2**-10
    is_near = (found - expected).abs() <= limit * 1.01
    if device.type == "cuda" or use == "reference":
        assert is_near.all()
    else:
        # Triton's interpreter cuts, and loses the carry where rounding reaches a power of two.
        assert ((found.abs() >= expected.abs() * 0.45) | (expected.abs() < rows.scale)).all()
        assert ((found - expected).norm() / expected.norm()) < 0.2
    assert not found[3].any()
