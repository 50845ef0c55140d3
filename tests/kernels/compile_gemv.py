"""Compiles the decoding kernels for Hopper at Qwen 2.5-7B's shapes: run as a script, needs no GPU.

Fails where the compiler refuses a kernel or where a weight is not read 16 bytes at a time.
"""

from __future__ import annotations

import dataclasses
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ourvidz.kernels import _gemv_triton as kernels
from ourvidz.kernels import gemv

WIDTH, INNER = 3584, 18944
X, F, INT, EPS = "*bf16", "*fp32", "i32", "fp32"


def compile_for_hopper(kernel, types, *, num_warps, **constants) -> str:
    """Return the PTX; ``types`` are those of the arguments that are no constants, in order."""
    index = {name: at for at, name in enumerate(kernel.arg_names)}
    names = [name for name in kernel.arg_names if name not in constants]
    signature = dict(zip(names, types, strict=True)) | dict.fromkeys(constants, "constexpr")
    aligned = [["tt.divisibility", 16]]
    pointers = [name for name in names if signature[name].startswith("*")]
    source = ASTSource(
        kernel,
        signature,
        constexprs={(index[name],): value for name, value in constants.items()},
        attrs={(index[name],): aligned for name in pointers},
    )
    options = {"num_warps": num_warps}
    ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    weight_loads = [line for line in ptx.splitlines() if "ld.global.L1::evict_first" in line]
    assert all(".v4.b32" in line for line in weight_loads), weight_loads
    sys.stdout.write(f"compiled {kernel.__name__}: {len(weight_loads)} loads of weights\n")
    return ptx


def launch(config, *, size, width):
    """As ``gemv._launch`` has it."""
    return {
        "K": width,
        "ROWS": config.rows,
        "BLOCK_K": 16 // size * 32 * config.num_warps * config.chunks,
        "PER": 16 // size,
        "UNROLL": config.unroll,
        "PDL": config.pdl,
        "num_warps": config.num_warps,
        "HAS_SCALE": size == 1,
    }


def compile_all(weight, *, size, configs, pdl):
    def options(name, width=WIDTH):
        config = dataclasses.replace(getattr(configs, name), pdl=pdl)
        return launch(config, size=size, width=width)

    linear = [X, weight, F, X, X, X, INT, EPS]
    for name, width in (("out", WIDTH), ("down", INNER)):
        plain = {"HAS_NORM": False, "HAS_RESIDUAL": True}
        assert "ld.global.L1::evict_first" in compile_for_hopper(
            kernels._linear_kernel, linear, **options(name, width), **plain
        )
    normed = {"HAS_NORM": True, "HAS_RESIDUAL": False}
    compile_for_hopper(kernels._linear_kernel, linear, **options("head"), **normed)
    pair = [X, weight, weight, F, F, X, X, INT, EPS]
    compile_for_hopper(kernels._gate_up_kernel, pair, **options("gate_up"))
    heads = {"NUM_HEADS": 28, "NUM_KV_HEADS": 4, "HALF": 64}
    tables = [X, X, X, X, X, X, "*i64", X, X, INT, EPS]
    compile_for_hopper(
        kernels._qkv_rope_kernel,
        [X, weight, weight, weight, F, F, F, *tables],
        **options("qkv"),
        **heads,
    )
    ptx = compile_for_hopper(
        kernels._attend_kernel,
        [X, X, "*i64", F, F, F, "*i32", X, INT, EPS],
        NUM_KV_HEADS=4,
        GROUP=7,
        SIZE=128,
        NUM_SPLITS=16,
        BLOCK_T=32,
        PDL=pdl,
        num_warps=4,
    )
    assert "atom.global.gpu.acq_rel" in ptx
    assert ("griddepcontrol.wait" in ptx) is pdl


if __name__ == "__main__":
    for pdl in (False, True):
        compile_all(X, size=2, configs=gemv.NATIVE_CONFIGS, pdl=pdl)
        compile_all("*fp8e4nv", size=1, configs=gemv.QUANTIZED_CONFIGS, pdl=pdl)
