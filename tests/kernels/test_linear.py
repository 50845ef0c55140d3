import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels.linear import (
    linear_8bit,
    linear_8bit_reference,
    linear_gelu,
    linear_gelu_reference,
)
from ourvidz.kernels.quantize import (
    dequantize,
    quantize_rows_reference,
    quantize_weight,
)


def relative_error(found, expected):
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def case(num_rows=48, num_inputs=256, num_outputs=64, outlier=1.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_rows, num_inputs, generator=generator)
    x[:, ::50] *= outlier
    weight = torch.randn(num_outputs, num_inputs, generator=generator) / num_inputs**0.5
    return x, weight, torch.randn(num_outputs, generator=generator)


def weight_of(weight):
    rows = quantize_rows_reference(weight)
    return type(quantize_weight(weight[:1]))(data=rows.data, scale=rows.scale.reshape(1, -1))


@pytest.mark.parametrize("outlier", [1.0, 10.0, 100.0])
def test_the_error_stays_within_four_percent_with_outlier_channels(outlier):
    x, weight, bias = case(num_inputs=1536, outlier=outlier)
    found = linear_8bit(
        quantize_rows_reference(x), weight_of(weight), bias, out_dtype=torch.float32
    )
    assert relative_error(found - bias, x @ weight.t()) < 0.04


def test_it_is_the_product_of_what_the_bits_stand_for():
    x, weight, bias = case()
    rows, columns = quantize_rows_reference(x), weight_of(weight)
    expected = F.linear(dequantize(rows), dequantize(columns), bias)
    found = linear_8bit(rows, columns, bias, out_dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    without = linear_8bit(rows, columns, out_dtype=torch.float32)
    torch.testing.assert_close(without, expected - bias, rtol=1e-5, atol=1e-5)


def test_torchs_operator_takes_our_layout_and_agrees_with_the_reference():
    # The call that runs on a GPU; torch carries a CPU version of it.
    x, weight, bias = case()
    rows, columns = quantize_rows_reference(x), weight_of(weight)
    found = torch._scaled_mm(
        rows.data,
        columns.data.t(),
        scale_a=rows.scale,
        scale_b=columns.scale,
        bias=bias.to(torch.bfloat16),
        out_dtype=torch.bfloat16,
    )
    expected = linear_8bit_reference(rows, columns, bias.to(torch.bfloat16))
    assert relative_error(found, expected) < 0.005


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(24, 16), (32, 20)])
def test_sizes_that_the_hardware_refuses_are_refused_everywhere(num_inputs, num_outputs):
    x, weight, _ = case(num_inputs=num_inputs, num_outputs=num_outputs)
    with pytest.raises(ValueError, match="multiples of 16"):
        linear_8bit(quantize_rows_reference(x), weight_of(weight))


def test_linear_gelu_is_the_librarys_two_operations_off_the_gpu():
    x, weight, bias = case()
    x = x.view(2, 24, -1)
    expected = F.gelu(F.linear(x, weight, bias), approximate="tanh")
    assert torch.equal(linear_gelu(x, weight, bias), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("num_inputs", [1536, 8960])
def test_on_a_gpu_both_linears_agree_with_their_references(num_inputs):
    x, weight, bias = case(num_rows=500, num_inputs=num_inputs, num_outputs=1536)
    x, weight, bias = (tensor.cuda().bfloat16() for tensor in (x, weight, bias))
    rows, columns = quantize_rows_reference(x), weight_of(weight)
    found = linear_8bit(rows, columns, bias)
    assert relative_error(found, linear_8bit_reference(rows, columns, bias)) < 0.015
    gelu = linear_gelu(x, weight, bias)
    in_float32 = linear_gelu_reference(x.float(), weight.float(), bias.float())
    assert relative_error(gelu, in_float32) < 0.003  # the erf form would be 0.0005 off besides
