import pytest

from ourvidz.bridge.mapping import draft_of, floored_frames
from ourvidz.bridge.payload import parse_payload
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.jobs.model import Source
from tests.bridge.payloads import load, raw


def settings_of(profile):
    return Settings(profile=profile, bridge={"site_url": "https://site.example/"})


def draft(payload, profile="full"):
    settings = settings_of(profile)
    return draft_of(
        parse_payload(raw(payload)), settings=settings, catalogue=catalogue_of(settings)
    )


def ask(payload, profile="full"):
    """Return the complete request and the codes of its adjustments."""
    made = draft(payload, profile)
    settings = settings_of(profile)
    request = resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt=made.prompt,
        seed=555,
        job_type=made.job_type,
        values=made.values,
    )
    return request, [note["code"] for note in made.adjustments]


def test_wan_july():
    request, codes = ask(load("wan_july"))
    assert request.job_type == "video_fast"
    assert request.prompt == "a red circle moving left on a black background"
    assert (request.width, request.height, request.num_frames, request.fps) == (480, 832, 81, 16)
    assert (request.num_inference_steps, request.guidance_scale) == (25, 6.5)
    assert (request.scheduler, request.flow_shift, request.seed) == ("unipc", 5.0, 987654321)
    assert codes == ["frames_floored"]


def test_sdxl_july():
    request, codes = ask(load("sdxl_july"))
    assert (request.width, request.height, request.num_images) == (1024, 1024, 6)
    assert (request.num_inference_steps, request.guidance_scale) == (15, 6.0)
    assert (request.scheduler, request.flow_shift) == ("euler", None)
    assert request.negative_prompt == "blurry, low quality"
    assert codes == ["not_read"]


def test_sdxl_august():
    request, codes = ask(load("sdxl_august"))
    assert (request.width, request.height, request.num_images) == (1024, 1024, 3)
    assert (request.num_inference_steps, request.guidance_scale) == (25, 7.5)
    assert (request.seed, request.negative_prompt) == (42, "blurry")
    assert codes == []


def test_wan_august_takes_the_job_types_steps():
    request, codes = ask(load("wan_august"))
    assert (request.width, request.height, request.num_frames, request.fps) == (480, 832, 81, 16)
    assert (request.num_inference_steps, request.seed) == (25, 555)
    assert codes == ["frames_floored"]


def test_in_a_mixture_julys_names_win():
    request, codes = ask(load("mixed"))
    assert (request.width, request.height, request.num_frames, request.fps) == (832, 480, 45, 24)
    assert (request.num_inference_steps, request.seed) == (50, 555)
    assert request.enhancement is not None
    assert codes == ["seed_drawn", "frames_floored"]


def test_the_whole_payload_stays_on_the_job():
    payload = load("mixed")
    made = draft(payload)
    assert made.legacy == payload
    assert made.source is Source.BRIDGE


def test_the_callback_knows_what_it_needs():
    (callback,) = draft(load("wan_july")).callbacks
    assert callback.kind == "legacy"
    assert callback.url == "https://site.example/functions/v1/job-callback"
    assert callback.events == ("claimed", "succeeded", "failed", "cancelled")
    assert callback.facts == {
        "style": "july",
        "job_id": "a1000000-0000-4000-8000-000000000001",
        "user_id": "5c1f0a00-0000-4000-8000-0000000000aa",
        "file_id": "b2000000-0000-4000-8000-000000000002",
        "wan_task": "t2v-1.3B",
    }


def test_the_operator_may_fix_the_style():
    settings = Settings(bridge={"site_url": "https://site.example", "callback_style": "august"})
    made = draft_of(
        parse_payload(raw(load("wan_july"))), settings=settings, catalogue=catalogue_of(settings)
    )
    assert made.callbacks[0].facts["style"] == "august"


@pytest.mark.parametrize(
    ("given", "floored"), [(83, 81), (64, 61), (48, 45), (81, 81), (5, 5), (84, 81), (85, 85)]
)
def test_frames_are_floored_as_the_old_engine_did(given, floored):
    assert floored_frames(given) == floored
    made = draft(load("wan_july", config={"frame_num": given}))
    assert made.values["num_frames"] == floored
    texts = [note["text"] for note in made.adjustments]
    assert texts == (
        []
        if given == floored
        else [
            f"frame_num {given} became {floored}, as the old engine made it: the model makes "
            "4n+1 frames."
        ]
    )


@pytest.mark.parametrize(
    ("name", "config", "size", "frames"),
    [
        ("wan_july", {}, (96, 160), 33),
        ("wan_july", {"size": "832*480"}, (160, 96), 33),
        ("wan_july", {"size": "384*640", "frame_num": 49}, (80, 128), 21),
        ("wan_august", {}, (96, 160), 33),
        ("sdxl_july", {}, (128, 128), 1),
        ("sdxl_july", {"size": "512*768"}, (64, 96), 1),
    ],
)
def test_the_pocket_models_make_the_same_shape_at_their_own_size(name, config, size, frames):
    request, codes = ask(load(name, config=config), profile="pocket")
    assert ((request.width, request.height), request.num_frames) == (size, frames)
    assert "scaled_to_profile" in codes


def test_without_a_size_the_job_types_own_is_taken_and_nothing_is_said():
    payload = load("sdxl_august")
    del payload["config"]["resolution"]
    request, codes = ask(payload, profile="pocket")
    assert (request.width, request.height) == (128, 128)
    assert codes == []


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("config", "image"),
        ("config", "first_frame"),
        ("config", "last_frame"),
        ("metadata", "reference_image_url"),
        ("metadata", "start_reference_url"),
        ("metadata", "end_reference_url"),
    ],
)
def test_reference_images_are_refused(section, name):
    with pytest.raises(InvalidRequest, match=f"{name} is set, and this job type's model takes no"):
        draft(load("wan_july", **{section: {name: "https://cdn.example/a.png"}}))
    draft(load("wan_july", **{section: {name: None}}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sample_steps": 0}, "num_inference_steps 0 is out of range"),
        ({"sample_steps": "many"}, "num_inference_steps 'many' is not a number"),
        ({"sample_guide_scale": 99}, "guidance_scale 99 is out of range"),
        ({"size": "480 by 832"}, "is not a size"),
        ({"size": "481*832"}, "width 481 is not a multiple of 16"),
        ({"size": "480*9999"}, "height 9999 is out of range"),
        ({"frame_num": 3}, "num_frames 3 is out of range"),
        ({"frame_num": 1000}, "num_frames 1000 is out of range"),
        ({"frame_num": [81]}, "is not a number"),
        ({"seed": 2**32}, "seed 4294967296 is out of range"),
        ({"sample_shift": -1}, "flow_shift -1 is out of range"),
        ({"sample_solver": 3}, "sample_solver 3 is not a text"),
        ({"sample_solver": "ddim"}, "scheduler 'ddim' is not one of"),
        ({"negative_prompt": 5}, "negative_prompt 5 is not a text"),
    ],
)
@pytest.mark.parametrize("profile", ["full", "pocket"])
def test_what_is_not_legal_is_refused_under_either_profile(config, message, profile):
    with pytest.raises(InvalidRequest, match=message):
        ask(load("wan_july", config=config), profile)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "video_ultra"}, "'video_ultra' is unknown"),
        ({"type": None}, "names no job type"),
        ({"prompt": None}, "prompt is empty"),
        ({"prompt": ["x"]}, "prompt .* is not a text"),
        ({"user_id": None}, "user_id is missing"),
        ({"user_id": "../other"}, "can't be part of a path"),
        ({"user_id": "a/b"}, "can't be part of a path"),
        ({"user_id": "user\n"}, "can't be part of a path"),
        ({"video_id": ".."}, "can't be part of a path"),
    ],
)
def test_what_can_not_be_answered_for_is_refused(changes, message):
    with pytest.raises(InvalidRequest, match=message):
        ask(load("wan_july", **changes))


def test_an_unknown_type_names_the_nearest():
    with pytest.raises(UnknownName) as caught:
        draft(load("wan_july", type="video_fats"))
    assert "video_fast" in caught.value.hint


def test_config_that_is_no_object_is_refused():
    with pytest.raises(InvalidRequest, match="config is not an object"):
        draft({**load("wan_july"), "config": "fast"})


def test_numbers_sent_as_text_count():
    request, _ = ask(load("wan_july", config={"sample_steps": "30", "sample_guide_scale": "5.5"}))
    assert (request.num_inference_steps, request.guidance_scale) == (30, 5.5)


@pytest.mark.parametrize("job", JOB_TYPES, ids=lambda job: job.name)
def test_julys_form_is_legal_for_every_job_type(job):
    fixture = load("sdxl_july" if job.role == "image" else "wan_july", type=job.name)
    request, codes = ask(fixture)
    assert request.job_type == job.name
    assert ("enhancement_by_job_type" in codes) is job.is_enhanced


def test_more_images_than_the_video_model_makes_are_said():
    request, codes = ask(load("wan_july", type="image_fast", config={"num_images": 4}))
    assert request.num_images == 1
    assert codes == ["one_output"]


def test_the_file_is_named_after_the_job_where_no_id_is_given():
    assert draft(load("wan_august")).callbacks[0].facts["file_id"] == "wan_job_77"
    odd = draft(load("wan_august", id="job #1"))
    assert odd.callbacks[0].facts["file_id"] is None
