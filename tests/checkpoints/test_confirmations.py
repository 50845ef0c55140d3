"""Verdicts on disk, and what makes one worthless: other files, device, version, techniques."""

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

import ourvidz
from ourvidz.catalog.config import ModelEntry, Settings, catalogue_of
from ourvidz.catalog.step_plan import DRAFT_NAME
from ourvidz.checkpoints import confirmations
from ourvidz.checkpoints.confirmations import (
    Confirmation,
    Figure,
    confirmations_path,
    machine_of,
    offers_high,
    offers_of,
    read_confirmations,
    source_of,
    standings,
    subject_of,
    techniques_for,
    weights_hash,
    write_confirmation,
)
from ourvidz.core.errors import ModelMissing
from ourvidz.core.request import Fidelity

MODEL_ID = "wan2.1-t2v-1.3b"
HIGH, DRAFT = Fidelity.HIGH, Fidelity.DRAFT


@pytest.fixture
def settings(tmp_path):
    """A model of two files, whose content nobody reads."""
    folder = tmp_path / "models" / MODEL_ID
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}", encoding="utf-8")
    (folder / "transformer" / "a.safetensors").write_bytes(b"weights")
    return Settings(
        profile="full", models_dir=tmp_path / "models", data_dir=tmp_path / "data", device="cpu"
    )


@pytest.fixture
def model(settings):
    return catalogue_of(settings).model(MODEL_ID)


def verdict(settings, model, fidelity=HIGH, **changes):
    values = {
        "subject": subject_of(settings, model, fidelity),
        "fidelity": fidelity,
        "is_held": True,
        "is_random": False,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "weights": weights_hash(settings, model),
        "revision": "owner/name abc",
        "plan": "4 prompts",
        "figures": (Figure(metric="guided_error_worst", value=0.01, limit=0.05),),
    }
    return Confirmation(**values | changes)


def keep(settings, model, fidelity=HIGH, **changes):
    write_confirmation(settings.data_dir, verdict(settings, model, fidelity, **changes))


def offer(settings, model, fidelity=HIGH):
    return offers_of(settings)(model)[fidelity]


def test_without_a_verdict_only_exact_is_offered(settings, model):
    offers = offers_of(settings)(model)
    assert list(offers) == list(Fidelity)
    assert [each.is_offered for each in offers.values()] == [True, False, False]
    assert "nobody has confirmed it" in offers[HIGH].reason


def test_what_is_written_is_read_and_offered(settings, model):
    keep(settings, model)
    assert read_confirmations(settings.data_dir, MODEL_ID) == {HIGH: verdict(settings, model)}
    assert offer(settings, model).is_offered
    assert offer(settings, model).reason == ""
    assert not offer(settings, model, DRAFT).is_offered  # it does more than high


def test_the_last_verdict_of_a_fidelity_stands_beside_the_others(settings, model):
    keep(settings, model)
    keep(settings, model, is_held=False)
    keep(settings, model, DRAFT)
    found = read_confirmations(settings.data_dir, MODEL_ID)
    assert found[DRAFT].is_held
    assert not found[HIGH].is_held
    assert offer(settings, model, DRAFT).is_offered
    names = [path.name for path in confirmations_path(settings.data_dir, MODEL_ID).parent.iterdir()]
    assert names == [f"{MODEL_ID}.json"]  # nothing half-written beside it


def test_a_verdict_that_broke_a_bound_says_which(settings, model):
    figures = (
        Figure(metric="guided_error_worst", value=0.12, limit=0.05),
        Figure(metric="psnr_mean", value=40.0, limit=30.0, is_least=True, unit="dB"),
    )
    keep(settings, model, is_held=False, figures=figures)
    reason = offer(settings, model).reason
    assert "guided_error_worst 0.12, at most 0.05" in reason
    assert "psnr" not in reason


def test_random_weights_prove_nothing(settings, model):
    keep(settings, model, is_random=True)
    assert not offer(settings, model).is_offered
    assert "random weights prove nothing" in offer(settings, model).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"files": "other"}, "files have changed"),
        ({"device": "NVIDIA X"}, "it was confirmed on NVIDIA X, and this is cpu"),
        ({"version": "0.0.0"}, f"version 0.0.0, and this is {ourvidz.__version__}"),
        ({"techniques": ("wan.fused",)}, "wan.linears_8bit"),
    ],
)
def test_a_verdict_about_something_else_is_not_relied_on(settings, model, change, reason):
    subject = dataclasses.replace(subject_of(settings, model, HIGH), **change)
    keep(settings, model, subject=subject)
    assert not offer(settings, model).is_offered
    assert reason in offer(settings, model).reason


def test_files_that_change_later_end_it(settings, model):
    keep(settings, model)
    weights = settings.models_dir / MODEL_ID / "transformer" / "a.safetensors"
    before = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert "files have changed" in offer(settings, model).reason
    weights.unlink()
    assert not offer(settings, model).is_offered
    (settings.models_dir / MODEL_ID / "model_index.json").unlink()
    assert offer(settings, model).reason == "its files are not here"  # and no path


def test_a_technique_that_is_switched_off_later_ends_it(settings, model):
    keep(settings, model)
    other = settings.model_copy(update={"techniques_off": ("wan.linears_8bit",)})
    assert "wan.linears_8bit" in offer(other, model).reason
    elsewhere = settings.model_copy(update={"techniques_off": ("sdxl.linears_8bit",)})
    assert offer(elsewhere, model).is_offered  # of another family


def test_a_plan_of_draft_concerns_draft_alone(settings, model):
    keep(settings, model)
    keep(settings, model, DRAFT)
    assert offer(settings, model, DRAFT).is_offered
    (settings.models_dir / MODEL_ID / DRAFT_NAME).write_text("{}", encoding="utf-8")
    assert offer(settings, model).is_offered
    assert "files have changed" in offer(settings, model, DRAFT).reason


def test_an_enhancer_leaves_nothing_out_so_its_draft_is_what_is_offered(settings):
    settings = settings.model_copy(update={"profile": "pocket"})
    model = catalogue_of(settings).model("pocket-enhancer")
    assert offer(settings, model, DRAFT).is_offered
    assert techniques_for(settings, model, DRAFT) == techniques_for(settings, model, Fidelity.EXACT)
    keep(settings, model)
    assert offer(settings, model, DRAFT).is_offered
    assert techniques_for(settings, model, DRAFT) == techniques_for(settings, model, HIGH)


def test_draft_is_confirmed_anew_once_it_may_use_8_bits(settings, model):
    keep(settings, model, DRAFT)
    assert "wan.linears_8bit" not in subject_of(settings, model, DRAFT).techniques
    keep(settings, model)
    assert offers_high(settings, model)
    assert "wan.linears_8bit" in offer(settings, model, DRAFT).reason


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1}'])
def test_a_file_that_is_none_counts_as_no_verdict(settings, model, text):
    keep(settings, model)
    confirmations_path(settings.data_dir, MODEL_ID).write_text(text, encoding="utf-8")
    assert read_confirmations(settings.data_dir, MODEL_ID) == {}
    assert not offer(settings, model).is_offered


def test_the_file_is_read_again_only_when_it_changed(settings, model, monkeypatch):
    keep(settings, model)
    assert offer(settings, model).is_offered
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("it was read again"))
    assert offer(settings, model).is_offered


def test_standings_carry_the_verdict(settings, model):
    keep(settings, model)
    exact, high, draft = standings(settings, model)
    assert (exact.confirmation, draft.confirmation) == (None, None)
    assert high.confirmation == verdict(settings, model)


def test_weights_are_told_apart_and_their_record_is_believed(settings, model, tiny_models):
    first = weights_hash(settings, model)
    weights = settings.models_dir / MODEL_ID / "transformer" / "a.safetensors"
    weights.write_bytes(b"WEIGHTS")
    assert weights_hash(settings, model) != first
    recorded = settings.model_copy(update={"models_dir": tiny_models})
    assert len(weights_hash(recorded, model)) == 64


def test_made_up_weights_are_known(settings, model, tiny_models):
    assert source_of(settings, model) == ("", False)
    made_up = settings.model_copy(update={"models_dir": tiny_models})
    assert source_of(made_up, model) == ("synthetic", True)


def test_a_model_that_is_not_here_has_no_subject(settings):
    with pytest.raises(ModelMissing):
        subject_of(settings, catalogue_of(settings).model("sdxl-base-1.0"), HIGH)


def test_a_lora_has_a_verdict_of_its_own(settings):
    settings = settings.model_copy(
        update={"models": {"fast": ModelEntry(base=MODEL_ID, lora=Path("fast.safetensors"))}}
    )
    model = catalogue_of(settings).model("fast")
    folder = settings.models_dir / "fast"
    folder.mkdir()
    (folder / "fast.safetensors").write_bytes(b"lora")
    keep(settings, model)
    assert offer(settings, model).is_offered
    assert not offer(settings, catalogue_of(settings).model(MODEL_ID)).is_offered
    (folder / "fast.safetensors").write_bytes(b"another")
    assert "files have changed" in offer(settings, model).reason


def test_the_gpus_of_this_machine_are_found_without_torch(tmp_path, monkeypatch):
    for index, name in enumerate(("NVIDIA H200", "NVIDIA L4", "NVIDIA H200")):
        folder = tmp_path / f"0000:{index}"
        folder.mkdir()
        text = f"Model: \t\t {name}\nIRQ:   \t\t 1\n"
        (folder / "information").write_text(text, encoding="utf-8")
    monkeypatch.setattr(confirmations, "_NVIDIA_FACTS", tmp_path)
    confirmations._gpu_names.cache_clear()
    try:
        assert machine_of("auto") == machine_of("cuda:1") == "NVIDIA H200, NVIDIA L4"
        assert machine_of("cpu") == "cpu"
    finally:
        confirmations._gpu_names.cache_clear()
