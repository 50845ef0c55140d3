"""Kernels' own code: on a GPU where there is one, else by Triton's interpreter."""

import pytest
import torch

from ourvidz.kernels import runtime


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    """Run the kernels here; ``tests/conftest.py`` has told Triton before it was imported."""
    monkeypatch.setattr(runtime, "is_interpreting", not torch.cuda.is_available())


@pytest.fixture
def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
