"""``ourvidz perf quality`` on drawn files."""

import json
import sys

import numpy as np
import pytest

from ourvidz.cli.main import main
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter
from ourvidz.perf.quality.pocket.prompts import read_prompt
from tests.bench.lpips_weights import write_weights
from training.pocket.world import draw_scene

PROMPT = "a red circle moving left on a black background"


@pytest.fixture
def quality(tmp_path, monkeypatch, capsys):
    """Run ``ourvidz perf quality``; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ourvidz", "perf", "quality", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def clip(path, *, prompt=PROMPT, model="pocket-video", crf=16):
    scene = read_prompt(PROMPT, is_video=True).scene
    frames = draw_scene(scene, num_frames=17, height=160, width=96)
    settings = {"prompt": prompt, "model": model}
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, width=96, height=160, fps=16, settings=settings, crf=crf) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_a_file_is_measured_and_judged_by_the_prompt_that_it_carries(quality, tmp_path):
    code, out, err = quality(clip(tmp_path / "a.mp4"), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["files"][0]["quality"]["num_frames"] == 17
    assert found["files"][0]["follows"] == dict.fromkeys(
        ("background", "colour", "motion", "shape"), True
    )
    assert (found["following"]["all"]["hits"], found["following"]["all"]["n"]) == (1, 1)
    assert "1 of 1 show all their prompts name" in err


def test_a_given_prompt_goes_first_and_what_is_missed_is_named(quality, tmp_path):
    prompt = "a blue circle moving left on a black background"
    _, _, err = quality(clip(tmp_path / "a.mp4"), "--prompt", prompt)
    assert "misses colour" in err


def test_files_of_other_models_are_not_judged_by_their_prompts(quality, tmp_path):
    _, out, _ = quality(clip(tmp_path / "a.mp4", model="wan2.1-t2v-1.3b"), "--json")
    found = json.loads(out)
    assert "follows" not in found["files"][0]
    assert found["following"] is None


def test_differences_are_held_to_a_bar(quality, tmp_path):
    one, coarse = clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", crf=40)
    _, out, err = quality(one, "--reference", one, "--json")
    assert json.loads(out)["files"][0]["difference"]["is_identical"] is True
    assert "value by value" in err
    _, out, err = quality(coarse, "--reference", one, "--json")
    row = json.loads(out)["files"][0]
    assert row["missed"] == [f"PSNR {row['difference']['psnr_db']:.1f} dB, under 40"]
    assert "different output" in err
    _, _, err = quality(coarse, "--reference", one, "--fidelity", "draft")
    assert "within, bar of draft" in err


def test_a_folder_of_references_goes_by_names(quality, tmp_path):
    files = [clip(tmp_path / f"{name}.mp4") for name in "ab"]
    for name in "ab":
        clip(tmp_path / "exact" / f"{name}.mp4")
    code, out, _ = quality(*files, "--reference", tmp_path / "exact", "--json")
    assert code == 0
    assert all(row["difference"]["is_identical"] for row in json.loads(out)["files"])


@pytest.mark.parametrize("name", ["notes.txt", "gone.mp4", "gone.png", "gone.webp"])
def test_what_can_not_be_read_is_refused(quality, name):
    code, _, err = quality(name)
    assert code != 0
    assert name in err


def test_bad_wishes_are_refused(quality, tmp_path):
    one = clip(tmp_path / "a.mp4")
    write_png(tmp_path / "b.png", np.zeros((32, 32, 3), dtype=np.uint8))
    assert quality(one, "--fidelity", "best")[0] == 2
    assert quality(one, one, "--reference", one)[0] == 2
    code, _, err = quality(one, "--reference", tmp_path / "b.png")
    assert code == 2
    assert "the other 32x32" in err


def test_a_clip_model_scores_by_the_prompt_inside_or_given(quality, tmp_path, monkeypatch):
    from ourvidz.bench import clip_score

    asked = []

    class Scorer:
        def __init__(self, folder):
            assert folder.name == "clip"

        def score(self, prompt, frames):
            asked.append(prompt)
            return clip_score.ClipScore(
                score=0.75, num_frames=len(list(frames)), is_truncated=False
            )

    monkeypatch.setattr(clip_score, "ClipScorer", Scorer)
    one = clip(tmp_path / "a.mp4", model="wan2.1-t2v-1.3b")
    _, out, err = quality(one, "--clip-model", tmp_path / "clip", "--json")
    assert json.loads(out)["files"][0]["clip"]["num_frames"] == 17
    assert "CLIP score 0.750 over 17 frames" in err
    quality(one, "--clip-model", tmp_path / "clip", "--prompt", "a dancer")
    assert asked == [PROMPT, "a dancer"]
    write_png(tmp_path / "b.png", np.zeros((32, 32, 3), dtype=np.uint8))
    assert quality(tmp_path / "b.png", "--clip-model", tmp_path / "clip")[0] == 2


def test_a_folder_without_a_clip_model_is_refused(quality, tmp_path):
    code, _, err = quality(clip(tmp_path / "a.mp4"), "--clip-model", tmp_path)
    assert code == 2
    assert "config.json" in err


def test_lpips_is_told_beside_the_difference(quality, tmp_path):
    weights = write_weights(tmp_path / "alex")
    one, coarse = clip(tmp_path / "a.mp4"), clip(tmp_path / "b.mp4", crf=40)
    clip(tmp_path / "exact" / "a.mp4")
    clip(tmp_path / "exact" / "b.mp4")
    _, out, err = quality(
        one, coarse, "--reference", tmp_path / "exact", "--lpips-model", weights, "--json"
    )
    same, other = (row["lpips"] for row in json.loads(out)["files"])
    assert same == {"distance": 0.0, "num_frames": 17, "network": "alex"}
    assert other["distance"] > 0.001
    assert "LPIPS (alex)" in err
    assert f" {other['distance']:.4f} " in err


def test_without_weights_there_is_no_lpips(quality, tmp_path):
    one = clip(tmp_path / "a.mp4")
    _, out, err = quality(one, "--reference", one, "--json")
    assert "lpips" not in json.loads(out)["files"][0]
    assert "LPIPS" not in err


def test_lpips_needs_a_reference_and_weights(quality, tmp_path):
    one = clip(tmp_path / "a.mp4")
    code, _, err = quality(one, "--lpips-model", tmp_path)
    assert code == 2
    assert "--reference" in err
    code, _, err = quality(one, "--reference", one, "--lpips-model", tmp_path)
    assert code == 2
    assert "torchvision" in err
