"""Real models at tiny size, made once a session; and a catalogue whose full profile is them."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported anywhere: tiny networks lose time to more threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before Triton is, which transformers does: without a GPU kernels are tested by its interpreter.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, and that is no failure of what is tested.
settings.register_profile("ourvidz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ourvidz")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Folder with one tiny random checkpoint a model of the full profile."""
    from ourvidz.checkpoints.synth import write_synth

    root = tmp_path_factory.mktemp("models")
    for model_id, family in (
        ("wan2.1-t2v-1.3b", "wan"),
        ("sdxl-base-1.0", "sdxl"),
        ("qwen2.5-7b-instruct", "qwen"),
    ):
        write_synth(family=family, size="tiny", out=root / model_id, seed=0)
    return root


@pytest.fixture(scope="session")
def tiny_settings(tiny_models):
    from ourvidz.catalog.config import Settings

    return Settings(
        profile="full",
        models_dir=tiny_models,
        data_dir=tiny_models / "data",
        device="cpu",
    )
