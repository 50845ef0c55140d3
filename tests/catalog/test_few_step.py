"""Few-step families as data: settings that go together, with their sources, and one's own."""

import math

import pytest

from ourvidz.catalog.few_step import (
    BY_ID,
    FEW_STEP_FAMILIES,
    LoraFile,
    Sampling,
    WeightsKind,
    few_step_family,
    sampling_of,
    trig_sigmas,
    warped_sigmas,
)
from ourvidz.catalog.models import MODELS
from ourvidz.core.errors import ConfigInvalid

ALL = pytest.mark.parametrize("family", FEW_STEP_FAMILIES, ids=lambda family: family.id)


@ALL
def test_settings_go_together(family):
    family.sampling.check(family.id)
    assert family.sampling.guidance_scale == 1.0
    assert 1 <= family.sampling.num_inference_steps <= 8
    if family.family == "wan":
        assert family.sampling.sigmas
        assert family.sampling.timestep_spacing is None
    else:
        assert family.sampling.flow_shift is None
        assert not family.sampling.sigmas


@ALL
def test_a_lora_is_a_safetensors_file_of_a_repository(family):
    if family.kind is WeightsKind.LORA:
        assert family.file.endswith(".safetensors")
        assert family.lora == LoraFile(file=family.file, hub_repo=family.hub_repo)
    else:
        assert family.lora is None
    assert family.hub_repo.count("/") == 1


@ALL
def test_what_can_be_run_has_its_base_and_everything_its_sources(family):
    bases = {model.id: model for model in MODELS}
    if family.obstacles:
        with pytest.raises(ConfigInvalid, match="can't be run yet"):
            few_step_family(family.id, place="models.x")
    else:
        assert bases[family.base].family == family.family
        assert few_step_family(family.id, place="models.x") is family
    assert family.sources
    assert family.license
    if family.license == "unknown" or "disagree" in family.license:
        assert any("licence" in text for text in family.unverified)


def test_ids_are_unique():
    assert len(BY_ID) == len(FEW_STEP_FAMILIES)


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(ConfigInvalid, match=r"models\.x: no few-step") as caught:
        few_step_family("causvid-wan", place="models.x")
    assert "causvid-wan2.1-1.3b" in (caught.value.hint or "")


def test_warped_steps_are_the_flow_shift_of_the_plain_ones():
    # LightX2V: linspace(1, 0, 1001)[:-1], shifted, at 1000 minus each step of the list.
    plain = [1 - index / 1000 for index in range(1000)]
    expected = [5 * u / (1 + 4 * u) for u in (plain[1000 - step] for step in (1000, 750, 500, 250))]
    assert warped_sigmas((1000, 750, 500, 250), 5.0) == pytest.approx(expected)
    assert warped_sigmas((1000, 500), 1.0) == (1.0, 0.5)


def test_causvids_steps_are_multiples_of_its_training_grid_before_the_shift():
    sigmas = BY_ID["causvid-wan2.1-1.3b"].sampling.sigmas
    assert warped_sigmas((1000, 280, 120), 8.0) == pytest.approx(sigmas, abs=1e-3)


def test_angles_become_flow_noise_levels():
    sigmas = trig_sigmas(80.0, (1.5, math.pi / 4))
    # tan t = sigma of noise over signal; the flow's level is its share in the sum of both.
    assert sigmas == pytest.approx((80 / 81, math.tan(1.5) / (1 + math.tan(1.5)), 0.5))


FAMILY = BY_ID["causvid-wan2.1-1.3b"]


def test_an_operators_values_go_on_top_of_a_familys():
    assert sampling_of(None, {"scheduler": None}, place="x") is None
    assert sampling_of(FAMILY, {}, place="x") == FAMILY.sampling
    more = sampling_of(FAMILY, {"num_inference_steps": 6}, place="x")
    assert more is not None
    assert (more.num_inference_steps, more.sigmas, more.flow_shift) == (6, (), 8.0)
    same = sampling_of(FAMILY, {"num_inference_steps": 3, "guidance_scale": 1.5}, place="x")
    assert same is not None
    assert (same.sigmas, same.guidance_scale) == (FAMILY.sampling.sigmas, 1.5)
    levels = sampling_of(FAMILY, {"sigmas": [1, 0.5]}, place="x")
    assert levels is not None
    assert (levels.num_inference_steps, levels.sigmas) == (2, (1.0, 0.5))


def test_a_family_without_levels_keeps_none():
    lightning = sampling_of(BY_ID["sdxl-lightning-4step"], {}, place="x")
    assert lightning == Sampling(
        num_inference_steps=4, scheduler="euler", timestep_spacing="trailing"
    )


def test_settings_of_ones_own():
    own = sampling_of(None, {"num_inference_steps": 4, "scheduler": "euler"}, place="x")
    assert own == Sampling(num_inference_steps=4, scheduler="euler")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_inference_steps": 4}, "models.x: scheduler is missing"),
        ({"scheduler": "euler"}, "num_inference_steps is missing"),
        ({"scheduler": "heun", "num_inference_steps": 4}, "'heun' is unknown"),
        ({"scheduler": "lcm", "num_inference_steps": 0}, "1 or more"),
        ({"scheduler": "lcm", "sigmas": [1.0, 0.5], "num_inference_steps": 3}, "2 sigmas for 3"),
        ({"scheduler": "lcm", "sigmas": [0.5, 1.0]}, "do not fall"),
        ({"scheduler": "lcm", "sigmas": [1.0, 1.0]}, "do not fall"),
        ({"scheduler": "lcm", "sigmas": [1.5, 1.0]}, "do not fall"),
        ({"scheduler": "lcm", "sigmas": [1.0, 0.0]}, "do not fall"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ConfigInvalid, match=message):
        sampling_of(None, values, place="models.x")
