"""Triton's interpreter, where there is no GPU: the kernels' own code runs on the CPU."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel's module is imported


@pytest.fixture
def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
