import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.catalog.catalogue import build_catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.parameters import BY_NAME, check_num_frames
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.request import Fidelity, MediaType

CATALOGUE = build_catalogue()


def ask(prompt="a red circle", *, profile="pocket", **arguments):
    settings = Settings(profile=profile)
    return resolve(catalogue=CATALOGUE, settings=settings, prompt=prompt, seed=1, **arguments)


@pytest.mark.parametrize(
    ("profile", "size", "frames"), [("pocket", (96, 160), 33), ("full", (480, 832), 81)]
)
def test_video_fast_has_the_missions_defaults_at_the_models_native_size(profile, size, frames):
    request = ask(profile=profile)
    assert (request.width, request.height) == size
    assert request.num_frames == frames
    assert (request.num_inference_steps, request.guidance_scale) == (25, 6.5)
    assert (request.scheduler, request.flow_shift, request.fps) == ("unipc", 5.0, 16)
    assert request.fidelity is Fidelity.EXACT


@pytest.mark.parametrize(
    ("preset", "size", "frames"),
    [("balanced", (480, 832), 65), ("aggressive", (384, 640), 49), ("quality", (480, 832), 81)],
)
def test_presets_have_the_missions_sizes_on_the_full_model(preset, size, frames):
    request = ask(profile="full", preset=preset)
    assert ((request.width, request.height), request.num_frames) == (size, frames)


@pytest.mark.parametrize("name", list(CATALOGUE.job_types))
@pytest.mark.parametrize("profile", ["pocket", "full"])
def test_every_job_type_resolves_in_both_profiles(name, profile):
    request = ask(job_type=name, profile=profile)
    assert request.profile == profile
    assert (request.enhancement is not None) == name.endswith("_enhanced")
    assert request.num_frames == 1 or request.media_type is MediaType.VIDEO
    assert request.negative_prompt


def test_there_are_the_ten_job_types():
    assert len(CATALOGUE.job_types) == 10


@given(st.integers(5, 241))
def test_frames_are_legal_or_refused_with_the_two_nearest_legal_counts(num_frames):
    if num_frames % 4 == 1:
        assert check_num_frames(num_frames) == num_frames
        return
    with pytest.raises(InvalidRequest) as raised:
        check_num_frames(num_frames)
    below, above = (int(word.strip(".")) for word in raised.value.hint.split() if word[0].isdigit())
    assert below % 4 == above % 4 == 1
    assert below < num_frames < above
    assert above - below == 4


@pytest.mark.parametrize(
    ("arguments", "param", "hint"),
    [
        ({"job_type": "vide_fast"}, "job_type", "video_fast"),
        ({"preset": "balancd"}, "preset", "balanced"),
        ({"values": {"num_frames": 83}}, "num_frames", "81 and 85"),
        ({"values": {"width": 100}}, "width", "96 and 112"),
        ({"values": {"height": 4096}}, "height", "64 to 2048"),
        ({"values": {"guidance_scale": float("nan")}}, "guidance_scale", None),
        ({"values": {"guidance_scale": 21}}, "guidance_scale", "0 to 20"),
        ({"values": {"num_inference_steps": 0}}, "num_inference_steps", "1 to 100"),
        ({"values": {"num_inference_steps": 2.5}}, "num_inference_steps", None),
        ({"values": {"seed": -1}}, "seed", None),
        ({"values": {"scheduler": "unpic"}}, "scheduler", "unipc"),
        ({"values": {"fidelity": "high"}}, "fidelity", "exact"),
        ({"values": {"num_images": 2}}, "num_images", None),
        ({"values": {"shift": 2}}, "shift", None),
        ({"job_type": "image_fast", "values": {"num_frames": 33}}, "num_frames", None),
        ({"job_type": "sdxl_image_fast", "values": {"flow_shift": 3.0}}, "flow_shift", None),
        ({"prompt": "  \n"}, "prompt", None),
        ({"prompt": "x" * 4001}, "prompt", "fewer words"),
        ({"prompt": "a\x00b"}, "prompt", "plain text"),
    ],
)
def test_bad_input_names_the_parameter_and_what_to_do(arguments, param, hint):
    with pytest.raises(InvalidRequest) as raised:
        ask(**arguments)
    assert raised.value.param == param
    assert raised.value.exit_code == 2
    if hint:
        assert hint in raised.value.hint


def test_unknown_names_are_an_error_of_their_own():
    with pytest.raises(UnknownName):
        ask(job_type="nothing like it at all")


def test_an_empty_negative_prompt_switches_it_off():
    assert ask(values={"negative_prompt": ""}).negative_prompt == ""


@pytest.mark.parametrize("count", [1, 6, 16])
def test_each_image_has_its_own_seed(count):
    request = ask(job_type="sdxl_image_fast", values={"num_images": count, "seed": 2**32 - 2})
    assert len(set(request.item_seeds)) == count
    assert all(0 <= seed < 2**32 for seed in request.item_seeds)


def test_every_parameter_is_read_by_the_request():
    fields = set(type(ask()).__dataclass_fields__)
    assert set(BY_NAME) <= fields
