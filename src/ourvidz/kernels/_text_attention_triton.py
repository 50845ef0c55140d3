"""The Triton side of ``text_attention``. Imported only where Triton can run."""

from __future__ import annotations

import typing

import triton
import triton.language as tl

ROWS = 128  # queries of a program, see the kernel
STAGES = 2  # fit into 99 KiB, of GPUs before Hopper
_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _operand(x: typing.Any, ON_GPU: tl.constexpr) -> typing.Any:
    """A 16-bit operand of a product, which the interpreter multiplies in float32 only."""
    if ON_GPU:
        return x
    else:
        return x.to(tl.float32)


@triton.jit(do_not_specialize=["length"])
def text_attention_kernel(
    q_ptr: typing.Any,
    k_ptr: typing.Any,
    v_ptr: typing.Any,
    bias_ptr: typing.Any,
    out_ptr: typing.Any,
    num_heads: typing.Any,
    q_batch_stride: typing.Any,
    q_token_stride: typing.Any,
    length: typing.Any,
    factor: typing.Any,
    T: tl.constexpr,
    D: tl.constexpr,
    N: tl.constexpr,
    ON_GPU: tl.constexpr,
) -> None:
    """ROWS queries of one head; q (B, L, H, D) strided, k and v (B, T, H, D), bias (B, T)."""
    block, head = tl.program_id(0), tl.program_id(1)
    batch, inner = (head // num_heads).to(tl.int64), head % num_heads
    rows = block * 128 + tl.arange(0, 128)
    channels = tl.arange(0, D)
    keys = tl.arange(0, N)
    is_row = (rows < length)[:, None]
    at = q_ptr + batch * q_batch_stride + inner * D
    q = tl.load(at + rows[:, None] * q_token_stride + channels[None, :], mask=is_row, other=0.0)
    start = (batch * T * num_heads + inner) * D
    offsets = keys[:, None] * (num_heads * D) + channels[None, :]
    highest = tl.full((128,), -1.0e30, tl.float32)
    total = tl.zeros((128,), tl.float32)
    acc = tl.zeros((128, D), tl.float32)
    for first in range(0, T, N):
        k = tl.load(k_ptr + start + first * num_heads * D + offsets)
        v = tl.load(v_ptr + start + first * num_heads * D + offsets)
        added = tl.load(bias_ptr + batch * T + first + keys) * _LOG2_E
        s = tl.dot(_operand(q, ON_GPU), _operand(k, ON_GPU).T) * factor + added[None, :]
        new_highest = tl.maximum(highest, tl.max(s, 1))
        p = tl.exp2(s - new_highest[:, None])
        decay = tl.exp2(highest - new_highest)
        total = total * decay + tl.sum(p, 1)
        acc = acc * decay[:, None]
        acc = tl.dot(_operand(p.to(v.dtype), ON_GPU), _operand(v, ON_GPU), acc)
        highest = new_highest
    out = acc / total[:, None]
    at = out_ptr + ((batch * length + rows) * num_heads + inner)[:, None] * D + channels[None, :]
    tl.store(at, out.to(out_ptr.dtype.element_ty), mask=is_row)
