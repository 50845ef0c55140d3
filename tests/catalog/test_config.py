import pytest

from ourvidz.catalog.config import (
    EnhancementConfig,
    JobTypeEntry,
    ModelEntry,
    PresetEntry,
    Settings,
    catalogue_of,
    load_settings,
)
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import ConfigInvalid, OurVidzError


@pytest.fixture
def write_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "ourvidz.toml").write_text(text, encoding="utf-8")

    return write


def test_the_pocket_profile_is_the_default(write_config):
    assert load_settings().profile == "pocket"


def test_the_environment_wins_over_the_file_and_arguments_over_both(write_config, monkeypatch):
    write_config('profile = "full"\ndevice = "cpu"\n')
    assert load_settings().profile == "full"
    monkeypatch.setenv("OURVIDZ_PROFILE", "pocket")
    assert load_settings().profile == "pocket"
    assert load_settings(profile="full").profile == "full"
    assert load_settings().device == "cpu"


def test_an_operators_entries_join_the_catalogue(write_config):
    write_config(
        """
profile = "full"
[use_models]
image = "my-sdxl"
[models.my-sdxl]
base = "sdxl-base-1.0"
negative_prompt = "ugly"
[job_types.video_quick]
base = "video_fast"
num_inference_steps = 8
[presets.video_fast.tiny]
width_share = 0.5
height_share = 0.5
overrides = { num_inference_steps = 4 }
[negative_prompts]
video_fast = "rain"
"""
    )
    settings = load_settings()
    catalogue = catalogue_of(settings)

    def ask(**arguments):
        return resolve(
            catalogue=catalogue, settings=settings, prompt="a tea house", seed=1, **arguments
        )

    assert ask(job_type="sdxl_image_fast").model == "my-sdxl"
    assert ask(job_type="sdxl_image_fast").negative_prompt == "ugly"
    assert ask(job_type="video_quick").num_inference_steps == 8
    tiny = ask(preset="tiny")
    assert (tiny.width, tiny.height, tiny.num_inference_steps) == (240, 416, 4)
    assert tiny.negative_prompt == "rain"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('profil = "full"', "profile"),
        ('profile = "huge"', "profile"),
        ("profile = ", "ourvidz.toml"),
        ('[models.m]\nbase = "sdxl"', "sdxl-base-1.0"),
        ('[models.pocket-video]\nbase = "pocket-video"', "exists already"),
        ('[job_types.j]\nbase = "video_fast"\nnum_inference_steps = 1000', "1000"),
        ('[presets.video_fsat.p]\ntext = "x"', "video_fast"),
        ("[presets.video_fast.p]\noverrides = { steps = 3 }", "steps"),
        ('[use_models]\nimage = "pocket-video"', "pocket-video"),
        ('[negative_prompts]\nnone = "x"', "none"),
    ],
)
def test_a_mistake_is_named_with_its_place(write_config, text, word):
    write_config(text)
    with pytest.raises(OurVidzError) as raised:
        catalogue_of(load_settings())
    assert raised.value.exit_code == 2
    assert word in f"{raised.value.message} {raised.value.hint}"


def test_a_named_file_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("OURVIDZ_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigInvalid, match="not a file"):
        load_settings()


@pytest.mark.parametrize(
    "section", [Settings, EnhancementConfig, ModelEntry, JobTypeEntry, PresetEntry]
)
def test_every_setting_is_documented(section):
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_an_empty_variable_is_an_unset_one(monkeypatch):
    monkeypatch.setenv("OURVIDZ_DATABASE_URL", "")
    assert load_settings().database_url is None
