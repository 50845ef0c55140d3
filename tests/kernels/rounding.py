"""Hardware's rounding for Triton's interpreter, which drops the carry when it rounds to e4m3."""

import numpy as np
import pytest
import torch


@pytest.fixture
def hardware_rounding(monkeypatch):
    """Round to nearest even, saturating, as the GPU's conversion instructions do."""
    if torch.cuda.is_available():
        return
    import triton.language as tl
    from triton.runtime import interpreter

    convert = interpreter._convert_float

    def convert_exactly(data, from_type, to_type, rounding_mode):
        if from_type != tl.float32 or to_type not in (tl.float8e4nv, tl.bfloat16):
            return convert(data, from_type, to_type, rounding_mode)
        values = torch.from_numpy(np.ascontiguousarray(data).view(np.float32))
        if to_type == tl.bfloat16:
            return values.to(torch.bfloat16).view(torch.uint16).numpy()
        return values.clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8).numpy()

    monkeypatch.setattr(interpreter, "_convert_float", convert_exactly)
