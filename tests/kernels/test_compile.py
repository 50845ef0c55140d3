"""The kernels compile for the GPUs that they are made for, which Triton does without one."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

HOPPER, ADA, AMPERE = 90, 89, 80
STRIDES = {"num_heads": "i32", "batch_stride": "i32", "token_stride": "i32", "length": "i32"}
POINTERS_OF_VALUES = {"v_ptr": "*bf16", "mean_ptr": "*fp32", "scale_ptr": "*fp32"}
CASES = (
    "norms",
    "rows",
    "int8",
    "int8-ampere",
    "tokens",
    "values",
    "text",
    "attention",
    "attention-hopper",
    "attention-ada",
    "attention-ampere",
)


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


def _compile(kernel, types, constants, *, capability=HOPPER, num_warps=8, num_stages=3):
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
            if types.get(name, "").startswith("*")
            or any(word in name for word in ("stride", "padded", "num_inputs", "num_outputs"))
        },
    )
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": num_warps, "num_stages": num_stages}
    compiled = triton.compile(source, target=target, options=options)
    sys.stdout.write(f"{kernel.__name__} {compiled.metadata.shared}\n")


def _norms():
    from ourvidz.kernels import _norms_triton

    types = dict.fromkeys(("x_ptr", "delta_ptr", "weight_ptr"), "*bf16")
    types |= dict.fromkeys(("gate_ptr", "mul_ptr", "add_ptr", "scale_ptr"), "*fp32")
    types |= dict.fromkeys(("cos_ptr", "sin_ptr"), "*fp32")
    types |= dict.fromkeys(
        ("rows_per_item", "num_pairs", "width", "row_stride", "num_positions"), "i32"
    )
    types |= dict.fromkeys(("gate_stride", "mul_stride"), "i32")
    types["eps"] = "fp32"
    for width, head, tail in ((1536, 1024, 512), (48, 32, 16), (2000, 1024, 1024)):
        pieces = {"WIDTH": width, "HEAD": head, "TAIL": tail, "IS_PACKED": True}
        for normed, is_paired, rows, flag in (
            ("*bf16", False, 1, False),
            ("*bf16", False, 2, True),
            ("*fp8e4nv", False, 1, True),
            ("*i8", False, 1, True),
            ("*i8", True, 2, False),
            ("*i8", True, 2, True),
        ):
            types["normed_ptr"] = normed
            constants = {"HAS_DELTA": flag, "HAS_GATE": flag, "IS_SHARED": flag, "VECTOR": 8}
            constants |= {"IS_QUANTIZED": normed == "*fp8e4nv", "IS_INT8": normed == "*i8"}
            constants |= {"IS_PAIRED": is_paired, "ROWS": rows} | pieces
            _compile(_norms_triton._residual_norm_kernel, types, constants, num_warps=1)
        types |= {"out_ptr": "*bf16", "spread_ptr": "*bf16"}
        for has_rope, parts in ((False, 0), (True, 0), (False, 2), (True, 2)):
            constants = {"NUM_PAIRS": 64, "HAS_ROPE": has_rope, "IS_NORMED": has_rope or parts == 0}
            constants |= {"PARTS": parts, "CHUNKS": 2} | pieces
            _compile(_norms_triton._norm_rope_kernel, types, constants, num_warps=1)
        constants = {"PARTS": 2, "CHUNKS": 2, "WIDTH": width, "HEAD": head, "TAIL": tail}
        _compile(_norms_triton._collect_kernel, types, constants, num_warps=1)


def _rows():
    from ourvidz.kernels import _quantize_triton

    types = {"x_ptr": "*bf16", "data_ptr": "*fp8e4nv", "scale_ptr": "*fp32"}
    for width in (1536, 8960):
        head, tail = _quantize_triton.two_pieces(width)
        for is_gelu in (False, True):
            _compile(
                _quantize_triton._quantize_rows_kernel,
                types,
                {"WIDTH": width, "IS_GELU": is_gelu, "HEAD": head, "TAIL": tail},
                num_warps=_quantize_triton.warps_of(width),
            )


def _int8(chosen, *, capability=HOPPER):
    from ourvidz.kernels import _int8_triton

    types = dict.fromkeys(("row_scale_ptr", "column_scale_ptr"), "*fp32")
    types |= dict.fromkeys(("bias_ptr", "out_ptr"), "*bf16")
    types |= dict.fromkeys(("num_rows", "num_outputs", "num_inputs", "num_programs"), "i32")
    types |= dict.fromkeys(("num_pairs", "num_turns", "num_steps"), "i32")
    for tiles in chosen:
        m, n, k = tiles.block_m, tiles.block_n, tiles.block_k
        for name, rows in (("x", m), ("weight", n)):
            types[name] = f"tensordesc<i8[{rows},{k}]>" if tiles.has_descriptors else "*i8"
        for is_gelu, is_paired in ((False, False), (False, m == 128), (True, m == 128)):
            constants = {
                "IS_PAIRED": is_paired,
                "BLOCK_M": m,
                "BLOCK_N": n,
                "BLOCK_K": k,
                "GROUP_M": tiles.group_m,
            }
            constants |= {"HAS_BIAS": True, "IS_GELU": is_gelu, "IS_RAW": False, "IS_EVEN": True}
            constants |= {"HAS_DESCRIPTORS": tiles.has_descriptors, "HALVES": tiles.has_halves}
            constants |= {"TURNS": 0 if tiles.is_persistent else 1, "STEPS": 0}
            _compile(
                _int8_triton._linear_kernel,
                types,
                constants,
                capability=capability,
                num_warps=tiles.num_warps,
                num_stages=tiles.num_stages,
            )


def _tokens():
    from ourvidz.kernels import _attention_triton as kernels

    for dtype in ("*i8", "*fp8e4nv"):
        types = {
            **STRIDES,
            "x_ptr": "*bf16",
            "channel_factor_ptr": "*fp32",
            "mean_ptr": "*fp32",
            "data_ptr": dtype,
            "scale_ptr": "*fp32",
            "longest_ptr": "*i32",
            "padded": "i32",
            "factor": "fp32",
        }
        for flag, block, num_warps in ((False, 16, 1), (True, 128, 8)):
            constants = {"D": 128, "BLOCK": block, "INT8": dtype == "*i8", "HAS_LONGEST": flag}
            constants |= {"SUBTRACT_MEAN": flag, "PER_BLOCK": flag}
            _compile(kernels.quantize_tokens_kernel, types, constants, num_warps=num_warps)
    types = dict.fromkeys(("q_ptr", "k_ptr"), "*bf16") | {"longest_ptr": "*i32"}
    types |= dict.fromkeys(("q_factor_ptr", "k_factor_ptr", "mean_ptr"), "*fp32")
    for side in "qk":
        names = ("batch_stride", "token_stride", "every", "sampled")
        types |= {f"{side}_{name}": "i32" for name in names}
    constants = {"D": 128, "CHANNELS": 32, "BLOCK": 128, "Q_STEPS": 8, "K_STEPS": 1, "MOST": 8}
    _compile(kernels.balance_kernel, types | {"num_heads": "i32"}, constants)


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


def _attention(products, *, capability=HOPPER, block_n=128, stages=3):
    from ourvidz.kernels import _attention_triton

    is_fp8 = products != "int8_bf16"
    scores = "*fp8e4nv" if products == "fp8_fp8" else "*i8"
    types = {"q_ptr": scores, "k_ptr": scores, "v_ptr": "*fp8e4nv" if is_fp8 else "*bf16"}
    types |= dict.fromkeys(("q_scale_ptr", "k_scale_ptr", "v_scale_ptr", "v_offset_ptr"), "*fp32")
    types |= dict.fromkeys(("num_heads", "v_batch_stride", "v_token_stride"), "i32")
    types |= dict.fromkeys(("len_q", "len_k", "padded_q", "padded_k"), "i32")
    types["out_ptr"] = "*bf16"
    constants = {
        "D": 128,
        "M": 128,
        "N": block_n,
        "KEY_BLOCK": 1,
        "PV_FP8": is_fp8,
        "ON_GPU": True,
        "STAGES": stages,
        "LAST": None,
    }
    _compile(_attention_triton.attention_kernel, types, constants, capability=capability)


def _hopper():
    """Ours in Gluon: every config that is offered, and what finds the longest keys."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource

    from ourvidz.kernels import _attention_gluon, attention_hopper

    kernel = _attention_gluon.attention_kernel
    names = kernel.arg_names
    kinds = {torch.bfloat16: "bf16", torch.int8: "i8"}
    for dtype, configs in (
        (torch.bfloat16, attention_hopper.CONFIGS_EXACT),
        (torch.int8, attention_hopper.CONFIGS_INT8),
    ):
        for config in configs:
            keys = (config.block_n * config.parts, 128)
            types = dict.fromkeys(("q_scale_ptr", "k_scale_ptr", "longest_ptr"), "*fp32")
            types |= dict.fromkeys(("num_heads", "len_q", "len_k", "padded_q", "padded_k"), "i32")
            types |= {"out_ptr": "*bf16", "factor": "fp32"}
            for name, block, kind in (
                ("q_desc", (64, 128), dtype),
                ("k_desc", keys, dtype),
                ("v_desc", keys, torch.bfloat16),
            ):
                layout = attention_hopper._layout(block, kind)
                types[name] = f"tensordesc<{kinds[kind]}{list(block)},{layout!r}>"
            constants = attention_hopper.constants_of(config, 128, is_int8=dtype == torch.int8)
            source = GluonASTSource(
                fn=kernel,
                signature={name: types.get(name, "constexpr") for name in names},
                constexprs={(names.index(name),): value for name, value in constants.items()},
                attrs={
                    (index,): [["tt.divisibility", 16]]
                    for index, name in enumerate(names)
                    if name.endswith("_ptr") or name.startswith("padded")
                },
            )
            options = {"num_warps": 4, "maxnreg": attention_hopper.registers_of(config)}
            target = GPUTarget("cuda", HOPPER, 32)
            compiled = triton.compile(source, target=target, options=options)
            sys.stdout.write(f"{kernel.__name__}-{config.name} {compiled.metadata.shared}\n")
    types = dict.fromkeys(("num_heads", "batch_stride", "head_stride", "row_stride"), "i32")
    types |= {"scale_ptr": "*fp32", "longest_ptr": "*i32", "length": "i32", "scale_stride": "i32"}
    for x_type, scale_block in (("*bf16", 0), ("*i8", 128)):
        constants = {"D": 128, "BLOCK": 128, "SCALE_BLOCK": scale_block}
        kernel = _attention_gluon.longest_rows_kernel
        _compile(kernel, types | {"x_ptr": x_type}, constants, num_warps=4)


def _text():
    from ourvidz.kernels import _text_attention_triton

    types = dict.fromkeys(("q_ptr", "k_ptr", "v_ptr", "out_ptr"), "*bf16") | {"bias_ptr": "*fp32"}
    types |= dict.fromkeys(("num_heads", "q_batch_stride", "q_token_stride", "length"), "i32")
    types["factor"] = "fp32"
    for num_keys in (64, 256):
        constants = {"T": num_keys, "D": 128, "N": 64, "ON_GPU": True}
        kernel = _text_attention_triton.text_attention_kernel
        _compile(kernel, types, constants, num_stages=_text_attention_triton.STAGES)


def _main(case):
    if case == "attention":
        _attention("int8_fp8")
        _attention("fp8_fp8")
        _attention("int8_bf16")
    elif case == "attention-hopper":
        _hopper()
    elif case == "text":
        _text()
    elif case == "attention-ada":
        _attention("int8_fp8", capability=ADA, block_n=64, stages=2)
    elif case == "attention-ampere":
        _attention("int8_bf16", capability=AMPERE, block_n=64, stages=2)
    elif case.startswith("int8"):
        from ourvidz.kernels import int8

        if case == "int8":
            _int8((int8.MANY_ROWS, int8.MANY_INPUTS, int8.FEW_ROWS, int8.SMALL_TILES))
        else:
            _int8((int8.SMALL_TILES, int8.SMALL_PAIRS), capability=AMPERE)
    else:
        {"norms": _norms, "rows": _rows, "tokens": _tokens, "values": _values}[case]()


if __name__ == "__main__":
    _main(sys.argv[1])
