"""The cases as data: what is run, what it costs, what it has to reach."""

import json
from pathlib import Path

import pytest

from ourvidz.bench import cases, peers
from ourvidz.bench.cases import CASES, bar_of, configs_of, find_case, request_of, work_of
from ourvidz.bench.floors import Ceilings, Kind, Precision, floor_s
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.models import Role
from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS
from ourvidz.core.errors import UnknownName
from ourvidz.core.request import Fidelity

FULL = Settings(profile="full")
CATALOGUE = catalogue_of(FULL)
TERA = 1e12


def request(name, **options):
    return request_of(find_case(name), catalogue=CATALOGUE, settings=FULL, **options)


def tflop(name, role):
    work = work_of(find_case(name), request(name), configs_of(CATALOGUE.model_for("full", role)))
    return work.flops / TERA


def test_the_cases_are_the_ones_of_the_records():
    assert {case.name for case in CASES} == {
        "video_fast",
        "wan_forward",
        "vae_decode",
        "sdxl_image_fast",
        "qwen_256",
        "distilled_4_step",
        "first_job",
        "next_job",
        "load",
        "peak_memory",
    }
    assert set(peers._LANES) == {case.name for case in CASES}


def test_what_is_asked_of_us():
    asked = {
        (case.name, bar.fidelity.value, bar.metric): bar.text for case in CASES for bar in case.bars
    }
    assert asked == {
        ("video_fast", "exact", "ratio_to_diffusers"): "<= 0.72",
        ("video_fast", "high", "ratio_to_diffusers"): "<= 0.5",
        ("video_fast", "exact", "ratio_to_diffusers_best"): "<= 0.85",
        ("video_fast", "high", "ratio_to_diffusers_best"): "<= 0.6",
        ("wan_forward", "exact", "ratio_to_floor"): "<= 1.15",
        ("wan_forward", "high", "ratio_to_floor"): "<= 1.15",
        ("vae_decode", "exact", "seconds"): "<= 0.9",
        ("sdxl_image_fast", "exact", "ratio_to_diffusers"): "<= 0.8",
        ("sdxl_image_fast", "high", "ratio_to_diffusers"): "<= 0.65",
        ("sdxl_image_fast", "high", "seconds"): "<= 2.1",
        ("qwen_256", "exact", "tokens_per_s"): ">= 180",
        ("qwen_256", "high", "tokens_per_s"): ">= 350",
        ("distilled_4_step", "high", "seconds"): "<= 2.2",
        ("first_job", "exact", "seconds"): "<= 12",
        ("next_job", "exact", "seconds"): "<= 0.15",
        ("load", "exact", "share_of_bandwidth"): ">= 0.8",
        ("peak_memory", "exact", "gib"): "<= 44",
    }
    assert all(metric in peers.UNITS for _, _, metric in asked)


def test_a_bar_is_met_on_its_own_side():
    most = bar_of("video_fast", "exact", "ratio_to_diffusers")
    least = bar_of("qwen_256", "exact", "tokens_per_s")
    assert most.is_met(0.72)
    assert not most.is_met(0.73)
    assert least.is_met(180)
    assert not least.is_met(179.9)
    assert bar_of("video_fast", "exact", "seconds") is None
    assert bar_of("nothing", "exact", "seconds") is None


def test_a_fidelity_is_measured_before_it_is_offered():
    made = request("video_fast", fidelity=Fidelity.HIGH)
    assert made.fidelity is Fidelity.HIGH
    assert (made.width, made.height, made.num_frames) == (480, 832, 81)
    assert (made.num_inference_steps, made.guidance_scale) == (25, 6.5)


def test_values_of_a_smaller_run_reach_only_jobs_that_read_them():
    smaller = {"num_frames": 5, "num_images": 2, "num_inference_steps": 3, "width": 64}
    video = request("video_fast", values=smaller)
    images = request("sdxl_image_fast", values=smaller)
    assert (video.num_frames, video.num_images, video.width) == (5, 1, 64)
    assert (images.num_frames, images.num_images, images.num_inference_steps) == (1, 2, 3)


def test_the_enhancer_may_write_256_tokens_and_never_fails_the_run():
    plan = request("qwen_256").enhancement
    assert (plan.max_new_tokens, plan.on_failure) == (256, "fallback")


def test_arithmetic_of_the_cases_at_full_size():
    forward, decode = tflop("wan_forward", Role.VIDEO), tflop("vae_decode", Role.VIDEO)
    assert forward == pytest.approx(282.85, abs=0.1)  # without the text's keys and values
    assert decode == pytest.approx(275, abs=0.5)
    assert tflop("video_fast", Role.VIDEO) == pytest.approx(50 * forward + decode)
    assert tflop("distilled_4_step", Role.VIDEO) == pytest.approx(4 * forward + decode)
    assert tflop("sdxl_image_fast", Role.IMAGE) == pytest.approx(15 * 81.1 + 62.8, abs=1)


def test_floors_of_the_cases_on_a_known_gpu():
    rates = {
        (Kind.MATMUL, Precision.BF16): 751e12,
        (Kind.ATTENTION, Precision.BF16): 591e12,
        (Kind.CONVOLUTION, Precision.BF16): 751e12,
        (Kind.MEMORY, Precision.BYTES): 4.2e12,
    }

    def floor(name, role):
        configs = configs_of(CATALOGUE.model_for("full", role))
        return floor_s(work_of(find_case(name), request(name), configs), Ceilings(rates=rates))

    assert floor("video_fast", Role.VIDEO) == pytest.approx(22.5 + 0.37, abs=0.1)
    assert floor("qwen_256", Role.ENHANCER) == pytest.approx(256 / 297, rel=0.02)
    assert floor("sdxl_image_fast", Role.IMAGE) == pytest.approx(15 * 0.111 + 0.084, abs=0.02)


@pytest.mark.parametrize("name", ["first_job", "next_job", "load", "peak_memory"])
def test_cases_that_no_arithmetic_bounds_have_no_floor(name):
    assert work_of(find_case(name), request(name), {}) is None


def test_configurations_come_from_the_folder_where_there_is_one():
    model = CATALOGUE.model_for("pocket", Role.VIDEO)
    found = configs_of(model, SHIPPED_WEIGHTS / model.id)
    path = Path(SHIPPED_WEIGHTS) / model.id / "transformer/config.json"
    assert found["transformer"] == json.loads(path.read_text(encoding="utf-8"))
    assert set(found) == {"text_encoder", "transformer", "vae"}


def test_an_unknown_case_names_the_nearest():
    with pytest.raises(UnknownName) as caught:
        find_case("video_fats")
    assert "video_fast" in caught.value.hint


def test_the_prompts_are_known_words():
    assert set(cases.PROMPTS) == {"pocket", "full"}
