"""The kernels compile for the GPUs that they are made for, which Triton does without one."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

HOPPER, ADA, AMPERE = 90, 89, 80
STRIDES = {"num_heads": "i32", "batch_stride": "i32", "token_stride": "i32", "length": "i32"}
POINTERS_OF_VALUES = {"v_ptr": "*bf16", "mean_ptr": "*fp32", "scale_ptr": "*fp32"}
CASES = ("norms", "rows", "tokens", "values", "attention", "attention-ada", "attention-ampere")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_compiles_and_fits_into_shared_memory(case):
    # A process of its own: this one imported the kernels for the interpreter.
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.test_compile", case],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    sizes = [int(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines()]
    assert sizes
    assert max(sizes) < 232_448  # bytes of shared memory that a program may take on Hopper


def _compile(kernel, types, constants, *, capability=HOPPER, num_warps=8):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (index,): [["tt.divisibility", 16]]
            for index, name in enumerate(names)
            if types.get(name, "").startswith("*") or "stride" in name or "padded" in name
        },
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": num_warps})
    sys.stdout.write(f"{kernel.__name__} {compiled.metadata.shared}\n")


def _norms():
    from ourvidz.kernels import _norms_triton

    types = dict.fromkeys(("x_ptr", "delta_ptr", "weight_ptr"), "*bf16")
    types |= dict.fromkeys(("gate_ptr", "mul_ptr", "add_ptr", "scale_ptr"), "*fp32")
    types |= dict.fromkeys(("cos_ptr", "sin_ptr"), "*fp32")
    types |= dict.fromkeys(("rows_per_item", "width", "row_stride", "num_positions"), "i32")
    types["eps"] = "fp32"
    for flag in (False, True):
        types["normed_ptr"] = "*fp8e4nv" if flag else "*bf16"
        constants = {"HAS_DELTA": flag, "HAS_GATE": flag, "IS_QUANTIZED": flag, "BLOCK": 2048}
        _compile(_norms_triton._residual_norm_kernel, types, constants, num_warps=4)
        constants = {"NUM_PAIRS": 64, "HAS_ROPE": flag, "BLOCK": 2048}
        _compile(_norms_triton._norm_rope_kernel, types, constants, num_warps=4)


def _rows():
    from ourvidz.kernels import _quantize_triton

    types = {"x_ptr": "*bf16", "data_ptr": "*fp8e4nv", "scale_ptr": "*fp32", "width": "i32"}
    for width in (1536, 8960):
        head, tail = _quantize_triton.split_width(width)
        for is_gelu in (False, True):
            _compile(
                _quantize_triton._quantize_rows_kernel,
                types,
                {"IS_GELU": is_gelu, "HEAD": head, "TAIL": tail},
            )


def _tokens():
    from ourvidz.kernels import _attention_triton

    for dtype in ("*i8", "*fp8e4nv"):
        types = {
            **STRIDES,
            "x_ptr": "*bf16",
            "channel_factor_ptr": "*fp32",
            "rotation_ptr": "*bf16",
            "mean_ptr": "*fp32",
            "data_ptr": dtype,
            "scale_ptr": "*fp32",
            "padded": "i32",
            "factor": "fp32",
        }
        constants = {"D": 128, "BLOCK": 128, "INT8": dtype == "*i8", "ON_GPU": True}
        for flag in (False, True):
            kernel = _attention_triton.quantize_tokens_kernel
            _compile(kernel, types, {**constants, "SUBTRACT_MEAN": flag, "PER_BLOCK": flag})


def _values():
    from ourvidz.kernels import _attention_triton as kernels

    partial = {"partial_ptr": "*fp32"}
    _compile(
        kernels.value_range_kernel,
        {**STRIDES, **partial, "v_ptr": "*bf16"},
        {"D": 128, "BLOCK": 64, "STEPS": 8},
        num_warps=4,
    )
    _compile(
        kernels.value_scale_kernel,
        {**partial, "mean_ptr": "*fp32", "scale_ptr": "*fp32", "parts": "i32", "length": "i32"},
        {"D": 128, "BLOCK": 64},
        num_warps=4,
    )
    out = {"data_ptr": "*fp8e4nv", "residual_ptr": "*fp32", "padded": "i32"}
    types = {**STRIDES, **POINTERS_OF_VALUES, **out}
    _compile(kernels.quantize_values_kernel, types, {"D": 128, "BLOCK": 128})


def _attention(products, *, delayed=(False,), capability=HOPPER, block_n=128, stages=3):
    from ourvidz.kernels import _attention_triton

    is_fp8 = products != "int8_bf16"
    scores = "*fp8e4nv" if products == "fp8_fp8" else "*i8"
    types = {"q_ptr": scores, "k_ptr": scores, "v_ptr": "*fp8e4nv" if is_fp8 else "*bf16"}
    types |= dict.fromkeys(("q_scale_ptr", "k_scale_ptr", "v_scale_ptr", "v_offset_ptr"), "*fp32")
    types |= dict.fromkeys(("num_heads", "v_batch_stride", "v_token_stride"), "i32")
    types |= dict.fromkeys(("len_q", "len_k", "padded_q", "padded_k"), "i32")
    types["out_ptr"] = "*bf16"
    for is_delayed in delayed:
        constants = {
            "D": 128,
            "M": 128,
            "N": block_n,
            "KEY_BLOCK": 1,
            "PV_FP8": is_fp8,
            "DELAYED": is_delayed,
            "ON_GPU": True,
            "STAGES": stages,
            "LAST": None,
        }
        _compile(_attention_triton.attention_kernel, types, constants, capability=capability)


def _main(case):
    if case == "attention":
        _attention("int8_fp8", delayed=(False, True))
        _attention("fp8_fp8")
        _attention("int8_bf16")
    elif case == "attention-ada":
        _attention("int8_fp8", capability=ADA, block_n=64, stages=2)
    elif case == "attention-ampere":
        _attention("int8_bf16", capability=AMPERE, block_n=64, stages=2)
    else:
        {"norms": _norms, "rows": _rows, "tokens": _tokens, "values": _values}[case]()


if __name__ == "__main__":
    _main(sys.argv[1])
