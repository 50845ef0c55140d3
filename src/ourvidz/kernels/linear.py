"""Linears: 8-bit ones with a scale a row on each side, and a bf16 one that ends in GELU.

Shapes: M rows, K inputs, N outputs. A product costs 2 M N K operations; on a Hopper GPU row-wise
e4m3 runs at about 1,300 TFLOP/s where bfloat16 runs at 750.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ourvidz.kernels.quantize import Quantized, QuantizedWeight, dequantize
from ourvidz.kernels.runtime import supports_fp8

_ALIGNMENT = 16  # what torch._scaled_mm asks of K and N


def linear_8bit(
    x: Quantized,
    weight: QuantizedWeight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
    use_fast_accum: bool = True,
) -> torch.Tensor:
    """Return ``x @ weight.T + bias``, (M, N). Fidelity ``high``.

    Relative L2 error against float32 on Gaussian inputs: 3.7 %, the rounding of both sides.

    Args:
        x: data (M, K), scale (M, 1).
        weight: data (N, K), scale (1, N).
        bias: (N,).
        out_dtype: of the result; where the hardware multiplies e4m3, only bfloat16.
        use_fast_accum: leave the running sums in the tensor cores, which keep about 14 bits of
            them. Truncation grows with K: at most K / 32 steps of 2^-14, which the rounding of the
            inputs hides (added in squares, 1 % makes 3.7 % into 3.8 %), and moving the sums to
            float32 every few steps costs speed.

    Raises:
        ValueError: K or N is no multiple of 16.
    """
    num_outputs, num_inputs = weight.data.shape
    if num_inputs % _ALIGNMENT or num_outputs % _ALIGNMENT:
        raise ValueError(
            f"a linear of {num_inputs} inputs and {num_outputs} outputs: "
            f"both must be multiples of {_ALIGNMENT}"
        )
    if not supports_fp8(x.data.device):
        return linear_8bit_reference(x, weight, bias, out_dtype=out_dtype)
    return torch.ops.aten._scaled_mm(
        x.data,
        weight.data.t(),  # column-major, as the hardware wants it
        scale_a=x.scale,
        scale_b=weight.scale,
        bias=bias,
        out_dtype=out_dtype,
        use_fast_accum=use_fast_accum,
    )


def linear_8bit_reference(
    x: Quantized,
    weight: QuantizedWeight,
    bias: torch.Tensor | None = None,
    *,
    out_dtype: torch.dtype = torch.bfloat16,
) -> torch.Tensor:
    """See ``linear_8bit``: the same 8 bits, multiplied in float32."""
    out = dequantize(x) @ dequantize(weight).t()
    return (out if bias is None else out + bias.float()).to(out_dtype)


def linear_gelu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return GELU (tanh form) of ``x @ weight.T + bias``. Fidelity ``exact``.

    On CUDA, cuBLASLt applies bias and GELU to the float32 sums before they are stored, which saves
    writing and reading (M, N) once: 1.2 GB (0.35 ms at 3.35 TB/s) at 32,760 x 8,960, and one
    rounding. The operator is private, and its GELU is the tanh form on CUDA only (the erf form on
    a CPU), so a test on the GPU compares it with the library's.

    Args:
        x: (..., K).
        weight: (N, K).
        bias: (N,).
    """
    if not x.is_cuda:
        return linear_gelu_reference(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    out = torch.ops.aten._addmm_activation(bias, rows, weight.t(), use_gelu=True)
    return out.view(*x.shape[:-1], weight.shape[0])


def linear_gelu_reference(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """See ``linear_gelu``: the library's two operations."""
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")
