import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels.quantize import (
    dequantize,
    gelu_quantize,
    gelu_quantize_reference,
    quantize_rows,
    quantize_rows_reference,
    quantize_weight,
)
from tests.kernels.rounding import hardware_rounding  # noqa: F401 - a fixture

pytest.importorskip("triton")


def relative_error(found, expected):
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def rows(num_rows, width, device, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_rows, width, generator=generator)
    x[:, 1] *= 30  # an outlier channel
    x[1] = 0
    return x.to(dtype).to(device)


def test_the_largest_value_of_a_row_is_kept_exactly_and_a_row_of_zeros_is_zero():
    x = torch.tensor([[0.5, -3.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1e-4, 0.0, 0.0, -1e-5]])
    quantized = quantize_rows_reference(x)
    assert quantized.data.dtype == torch.float8_e4m3fn
    assert quantized.scale.shape == (3, 1)
    back = dequantize(quantized)
    torch.testing.assert_close(back[0, 1], torch.tensor(-3.0))
    assert torch.equal(back[1], torch.zeros(4))
    torch.testing.assert_close(back[2, 0], torch.tensor(1e-4))


def test_a_gaussian_row_loses_at_most_three_percent():
    x = torch.randn(64, 1536, generator=torch.Generator().manual_seed(1))
    error = relative_error(dequantize(quantize_rows_reference(x)), x)
    assert 0.02 < error < 0.03


# Widths of one power of two, of two, and with a masked rest.
@pytest.mark.parametrize("width", [64, 96, 100, 700])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("run", "reference"),
    [(quantize_rows, quantize_rows_reference), (gelu_quantize, gelu_quantize_reference)],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in exp2")  # infinity is meant
@pytest.mark.usefixtures("hardware_rounding")
def test_the_kernel_gives_what_its_reference_gives(device, width, dtype, run, reference):
    x = rows(5, width, device, dtype)
    found, expected = run(x), reference(x)
    assert found.data.dtype == torch.float8_e4m3fn
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-6, atol=0)
    # A value that lies between two steps may fall on either: one step in a few thousand values.
    difference = (dequantize(found) - dequantize(expected)).abs()
    step = dequantize(expected).abs() / 8 + expected.scale / 512
    assert (difference <= step * 1.01).all()
    assert (difference > step / 4).float().mean() < 0.01


def test_the_kernel_holds_in_the_interpreters_own_rounding_too(device):
    x = rows(3, 256, device)
    # It drops a carry: a value just below a power of two may lose half of itself.
    assert relative_error(dequantize(quantize_rows(x)), x) < 0.1


def test_gelu_is_the_tanh_form_in_float32():
    x = rows(4, 128, "cpu")
    expected = F.gelu(x.float(), approximate="tanh")
    found = gelu_quantize_reference(x)
    assert torch.equal(found.data, quantize_rows_reference(expected).data)


def test_a_weight_has_one_scale_an_output(device):
    weight = rows(6, 64, device)
    quantized = quantize_weight(weight)
    assert quantized.data.shape == (6, 64)
    assert quantized.scale.shape == (1, 6)
    assert relative_error(dequantize(quantized), weight) < 0.1


def test_no_rows_are_no_rows(device):
    empty = quantize_rows(torch.empty(0, 64, device=device))
    assert empty.data.shape == (0, 64)
    assert empty.scale.shape == (0, 1)
