import math

import pytest

from ourvidz.api.openai.drafts import (
    ResponseFormat,
    image_draft,
    image_output,
    seconds_of,
    video_draft,
)
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import InvalidRequest, UnknownName

POCKET = Settings(profile="pocket")
FULL = Settings(profile="full")
CATALOGUE = catalogue_of(POCKET)


def video(settings=POCKET, **fields):
    return video_draft({"prompt": "a red circle", **fields}, catalogue=CATALOGUE, settings=settings)


def image(settings=POCKET, **fields):
    return image_draft({"prompt": "a red circle", **fields}, catalogue=CATALOGUE, settings=settings)


def resolved(draft, settings=POCKET):
    return resolve(
        catalogue=CATALOGUE,
        settings=settings,
        prompt=draft.prompt,
        seed=7,
        job_type=draft.job_type,
        preset=draft.preset,
        values=draft.values,
    )


def refusal(make, **fields):
    with pytest.raises(InvalidRequest) as caught:
        make(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("seconds", "fps", "num_frames"),
    [
        ("4", None, 65),
        (4, None, 65),
        ("5", None, 81),
        ("12", None, 193),
        ("2.0", None, 33),
        ("0.3", None, 5),
        ("1", "30", 29),  # 29 and 33 are the nearest to 30
        ("3.9375", None, 65),  # 63 lies between 61 and 65: the longer
    ],
)
def test_seconds_are_the_nearest_legal_frames(seconds, fps, num_frames):
    draft = video(seconds=seconds, fps=fps)
    assert draft.values["num_frames"] == num_frames
    assert resolved(draft).num_frames == num_frames
    rate = int(fps or 16)
    distance = abs(num_frames - float(seconds) * rate)
    assert all(abs(4 * n + 1 - float(seconds) * rate) >= distance for n in range(1, 61))


def test_the_change_of_length_is_told_and_an_exact_one_is_not():
    (note,) = video(seconds="4").adjustments
    assert note["code"] == "seconds_to_frames"
    assert "65" in note["text"]
    assert "64" in note["text"]
    assert video(seconds="1", fps="33").adjustments == ()


@pytest.mark.parametrize("seconds", ["0", "-1", "0.01", "16", "1e300", "nan", "inf", "four", True])
def test_an_impossible_length_is_refused(seconds):
    assert refusal(video, seconds=seconds).param == "seconds"


def test_seconds_round_trip_through_the_object():
    for seconds in ("2", "4", "5", "8", "12"):
        num_frames = video(seconds=seconds).values["num_frames"]
        assert seconds_of(num_frames, 16) == seconds


def test_seconds_and_num_frames_exclude_each_other():
    assert refusal(video, seconds="4", num_frames=33).param == "seconds"


def test_num_frames_must_be_legal():
    with pytest.raises(InvalidRequest, match="32"):
        resolved(video(num_frames="32"))
    assert resolved(video(num_frames="49")).num_frames == 49


def test_text_of_a_form_becomes_values():
    draft = video(
        seed="42",
        guidance_scale="5.5",
        num_inference_steps="7",
        flow_shift="3",
        scheduler="euler",
        fidelity="exact",
        negative_prompt="",
        size="128x160",
        fps="24",
    )
    request = resolved(draft)
    assert (request.seed, request.guidance_scale, request.num_inference_steps) == (42, 5.5, 7)
    assert (request.flow_shift, request.scheduler, request.negative_prompt) == (3.0, "euler", "")
    assert (request.width, request.height, request.fps) == (128, 160, 24)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "1.5"),
        ("seed", "x"),
        ("seed", True),
        ("seed", [1]),
        ("seed", float("inf")),
        ("seed", math.nan),
        ("guidance_scale", 10**400),
        ("num_frames", "1e400"),
        ("enhance_prompt", "perhaps"),
        ("negative_prompt", 3),
        ("model", 3),
        ("size", "big"),
        ("size", "100x160"),
        ("size", "96"),
        ("preset", {"a": 1}),
        ("extra_params", "[1]"),
        ("extra_params", {"size": "96x160"}),
    ],
)
def test_a_value_that_cannot_be_read_is_named(name, value):
    assert str(refusal(video, **{name: value}).param).startswith(name)


def test_unknown_fields_are_refused_with_the_nearest_known():
    error = refusal(video, num_inference_step="5")
    assert isinstance(error, UnknownName)
    assert error.param == "num_inference_step"
    assert "num_inference_steps" in (error.hint or "")
    assert refusal(video, output_path="/tmp/x").param == "output_path"


def test_openai_fields_without_meaning_are_ignored():
    assert video(user="u", safety_identifier="s") == video()
    assert image(user="u", style="vivid", moderation="low", partial_images=1) == image()


def test_extra_params_are_the_same_fields():
    assert video(extra_params={"seed": "3"}) == video(seed=3)
    assert video(extra_params='{"seed": 3}') == video(seed=3)
    assert refusal(video, seed="4", extra_params={"seed": "3"}).param == "seed"


@pytest.mark.parametrize(
    ("model", "job_type"),
    [
        (None, "video_fast"),
        ("video_high", "video_high"),
        ("video7b_fast_enhanced", "video7b_fast_enhanced"),
        ("pocket-video", "video_fast"),
    ],
)
def test_model_names_a_job_type_or_a_model(model, job_type):
    assert video(model=model).job_type == job_type


@pytest.mark.parametrize(
    "model", ["sora-2", "wan2.1-t2v-1.3b", "pocket-image", "pocket-enhancer", "image_fast"]
)
def test_a_model_that_cannot_make_a_video_here_is_refused(model):
    error = refusal(video, model=model)
    assert error.param == "model"
    assert model in error.message
    assert error.hint


def test_the_full_profile_takes_its_own_models():
    assert video(FULL, model="wan2.1-t2v-1.3b").job_type == "video_fast"
    with pytest.raises(UnknownName, match="pocket-video"):
        video(FULL, model="pocket-video")


@pytest.mark.parametrize(
    ("model", "is_enhanced", "job_type"),
    [
        ("video_fast", "true", "video7b_fast_enhanced"),
        ("video_high", True, "video7b_high_enhanced"),
        ("video7b_high_enhanced", "false", "video_high"),
        ("video7b_fast_enhanced", "true", "video7b_fast_enhanced"),
        ("video_fast", "0", "video_fast"),
    ],
)
def test_enhance_prompt_switches_to_the_twin(model, is_enhanced, job_type):
    assert video(model=model, enhance_prompt=is_enhanced).job_type == job_type


def test_sdxl_has_no_enhanced_twin():
    assert refusal(image, enhance_prompt=True).param == "enhance_prompt"
    assert image(enhance_prompt=False).job_type == "sdxl_image_fast"
    assert image(model="image_fast", enhance_prompt=True).job_type == "image7b_fast_enhanced"


def test_presets_are_taken():
    request = resolved(video(preset="balanced"))
    assert (request.preset, request.num_inference_steps, request.scheduler) == (
        "balanced",
        18,
        "euler",
    )


@pytest.mark.parametrize(
    ("model", "quality", "job_type"),
    [
        (None, None, "sdxl_image_fast"),
        (None, "auto", "sdxl_image_fast"),
        (None, "standard", "sdxl_image_fast"),
        (None, "hd", "sdxl_image_high"),
        (None, "high", "sdxl_image_high"),
        ("pocket-image", "low", "sdxl_image_fast"),
        ("pocket-video", "high", "image_high"),
        ("pocket-video", "medium", "image_fast"),
    ],
)
def test_quality_chooses_the_speed(model, quality, job_type):
    assert image(model=model, quality=quality).job_type == job_type


def test_a_named_job_type_keeps_its_speed_and_says_so():
    draft = image(model="sdxl_image_fast", quality="hd")
    assert draft.job_type == "sdxl_image_fast"
    assert draft.adjustments[0]["code"] == "quality_ignored"
    assert image(model="sdxl_image_fast", quality="auto").adjustments == ()


def test_n_is_the_batch_of_sdxl_alone():
    assert resolved(image()).num_images == 1
    assert resolved(image(n=16)).num_images == 16
    assert resolved(image(model="image_fast", n=1)).num_images == 1
    for fields in ({"n": 0}, {"n": 17}, {"n": 2, "model": "image_fast"}, {"n": "x"}):
        assert refusal(image, **fields).param == "n"


@pytest.mark.parametrize(
    "fields",
    [{"stream": True}, {"background": "transparent"}, {"quality": "best"}, {"svg": {}}],
)
def test_what_no_model_can_do_is_refused(fields):
    assert refusal(image, **fields).param == next(iter(fields))


def test_output_is_base64_png_unless_asked_otherwise():
    output = image_output({})
    assert (output.response_format, output.output_format) == ("b64_json", "png")
    assert image_output({"response_format": "url"}).response_format is ResponseFormat.URL
    for fields in (
        {"output_format": "gif"},
        {"response_format": "path"},
        {"output_compression": 101},
        {"output_format": "jpeg", "response_format": "url"},
    ):
        assert refusal(lambda **all_fields: image_output(all_fields), **fields).param
