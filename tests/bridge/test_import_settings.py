import json
import tomllib

import pytest

from ourvidz.bridge.import_settings import (
    append_to_config,
    import_presets,
    presets_toml,
    read_settings_file,
)
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import ConfigInvalid, InvalidRequest, UnknownName
from tests.bridge.payloads import DATA

OLD = DATA / "old_settings.json"
CATALOGUE = catalogue_of(Settings())


def imported(old=None, **options):
    return import_presets(old or read_settings_file(OLD), catalogue=CATALOGUE, **options)


def request_of(toml, job_type, preset="legacy", profile="full"):
    settings = Settings(profile=profile, **tomllib.loads(toml))
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt="a red circle",
        seed=1,
        job_type=job_type,
        preset=preset,
    )


def check(content):
    catalogue_of(Settings(**content))


def test_a_preset_does_what_the_old_settings_did():
    request = request_of(presets_toml(imported()), "video_high")
    assert (request.width, request.height, request.num_frames) == (384, 640, 61)
    assert (request.num_inference_steps, request.guidance_scale) == (40, 7.0)
    assert (request.scheduler, request.flow_shift) == ("dpm++", 3.0)


def test_it_scales_to_the_pocket_models():
    request = request_of(presets_toml(imported()), "video_high", profile="pocket")
    assert (request.width, request.height, request.num_frames) == (80, 128, 25)


def test_texts_survive_the_file():
    request = request_of(presets_toml(imported()), "sdxl_image_fast")
    assert request.negative_prompt == 'blurry, "low" quality'
    assert (request.num_images, request.num_inference_steps) == (3, 20)
    odd = 'a\\b\t"c"\n\x7fd \U0001f600'
    toml = presets_toml(imported({"image_fast": {"negative_prompt": odd}}))
    assert tomllib.loads(toml)["presets"]["image_fast"]["legacy"]["overrides"] == {
        "negative_prompt": odd
    }


def test_adjustments_are_named():
    by_job = {preset.job_type: preset for preset in imported()}
    assert by_job["video_high"].adjustments == (
        "frame_num 64 became 61: the model makes 4n+1 frames, and the old engine floored to them",
        "expected_time left out: expected times are computed from measured runs",
    )
    assert "sample_shift left out: sdxl_image_fast never read it" in (
        by_job["sdxl_image_fast"].adjustments
    )
    assert "# video_high: frame_num 64 became 61" in presets_toml(imported())


def test_what_a_job_type_does_already_needs_no_preset():
    by_job = {preset.job_type: preset for preset in imported()}
    assert by_job["video_fast"].entry is None
    assert by_job["image_fast"].entry is None
    assert set(tomllib.loads(presets_toml(imported()))["presets"]) == {
        "video_high",
        "sdxl_image_fast",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_stps": 20}, "video_fast.sample_stps: this setting has no meaning"),
        ({"first_frame": "a.png"}, "video_fast.first_frame: a reference image has no meaning"),
        ({"sample_steps": 500}, "video_fast.sample_steps: .* out of range"),
        ({"sample_solver": "ddim"}, "video_fast.sample_solver: .* is not one of"),
        ({"size": "big"}, "video_fast.size: .* is not a size"),
        ({"size": "1024*832"}, "video_fast.size: 2.13 times"),
        ({"frame_num": 2}, "video_fast.frame_num: .* out of range"),
        ({"enhance_prompt": "no"}, "video_fast.enhance_prompt: not true or false"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(settings, message):
    with pytest.raises(InvalidRequest, match=message):
        imported({"video_fast": settings})


def test_an_unknown_job_type_is_refused():
    with pytest.raises(UnknownName, match="video_quick"):
        imported({"video_quick": {}})


@pytest.mark.parametrize("name", ["baseline", "", "a b", "a.b"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InvalidRequest, match="can't be a preset's name"):
        imported(name=name)


@pytest.mark.parametrize("content", ["", "{nope", "[]", "{}", "3"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, content):
    path = tmp_path / "old.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest):
        read_settings_file(path)


def test_writing_appends_and_keeps_what_is_there(tmp_path):
    path = tmp_path / "ourvidz.toml"
    path.write_text('profile = "pocket"\n# mine\n[server]\nport = 9000', encoding="utf-8")
    append_to_config(path, imported(), check=check)
    text = path.read_text(encoding="utf-8")
    assert text.startswith('profile = "pocket"\n# mine\n[server]\nport = 9000\n')
    settings = Settings(**tomllib.loads(text))
    assert settings.server.port == 9000
    assert set(settings.presets) == {"video_high", "sdxl_image_fast"}


def test_writing_twice_is_refused_and_another_name_is_not(tmp_path):
    path = tmp_path / "ourvidz.toml"
    append_to_config(path, imported(), check=check)
    before = path.read_bytes()
    with pytest.raises(ConfigInvalid, match="has a preset 'legacy' of video_high already"):
        append_to_config(path, imported(), check=check)
    assert path.read_bytes() == before
    append_to_config(path, imported(name="july"), check=check)
    assert request_of(path.read_text(encoding="utf-8"), "video_high", "july").num_frames == 61


@pytest.mark.parametrize("content", ["presets = {}\n", "not toml at all\n", "unknown_key = 1\n"])
def test_a_file_that_would_not_be_valid_stays_as_it_was(tmp_path, content):
    path = tmp_path / "ourvidz.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises((ConfigInvalid, ValueError)):
        append_to_config(path, imported(), check=check)
    assert path.read_text(encoding="utf-8") == content


class TestCommand:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch, capsys):
        from ourvidz.cli.main import main

        monkeypatch.chdir(tmp_path)

        def call(*arguments):
            monkeypatch.setattr("sys.argv", ["ourvidz", "bridge", "import-settings", *arguments])
            code = 0
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
            return code, capsys.readouterr()

        return call

    def test_it_prints_toml(self, run):
        code, captured = run(str(OLD))
        assert code == 0
        assert request_of(captured.out, "video_high").num_frames == 61
        assert "frame_num 64 became 61" in captured.err

    def test_it_writes(self, run, tmp_path):
        code, captured = run(str(OLD), "--write", "--json", "--name", "y2025")
        assert code == 0
        assert json.loads(captured.out.splitlines()[-1])["written"] == "ourvidz.toml"
        text = (tmp_path / "ourvidz.toml").read_text(encoding="utf-8")
        assert request_of(text, "video_high", "y2025").num_frames == 61

    def test_it_refuses_with_its_exit_code(self, run, tmp_path):
        (tmp_path / "old.json").write_text('{"video_fast": {"magic": 1}}', encoding="utf-8")
        code, captured = run("old.json", "--write")
        assert code == 2
        assert "video_fast.magic" in captured.err
        assert not (tmp_path / "ourvidz.toml").exists()
