"""The evaluations end to end on the shipped weights, few steps each."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from PIL import Image

from ourvidz.bench.records import read_record
from training.pocket import (
    evaluate,
    evaluate_enhancer,
    evaluate_image,
    judging,
    report,
    runner,
    sampling,
    sheets,
)
from training.pocket.enhancer_data import REFUSALS_EN, REFUSALS_ZH, Exchange
from training.pocket.judging import Judged
from training.pocket.sweeps import Item
from training.pocket.world import draw_scene

WEIGHTS = Path("src/ourvidz/weights")


@pytest.fixture(scope="module")
def video() -> sampling.Models:
    return sampling.load(WEIGHTS / "pocket-video", torch.device("cpu"))


def test_a_row_depends_on_its_seed_alone(video: sampling.Models):
    case = sampling.Case(num_frames=1, height=32, width=32, steps=2)
    prompts = ["a red circle", "a blue star"]
    both = sampling.sample(video, prompts, case, seeds=[4, 9])
    one = sampling.sample(video, prompts[1:], case, seeds=[9])
    assert abs(both[1].astype(int) - one[0].astype(int)).max() <= 1


def test_float8_rounds_weights_a_little(video: sampling.Models):
    rounded = sampling.load(WEIGHTS / "pocket-video", torch.device("cpu"), "float8")
    before = video.transformer.blocks[0].attn1.to_q.weight.detach()
    after = rounded.transformer.blocks[0].attn1.to_q.weight.detach()
    apart = (before - after).abs().amax(1) / before.abs().amax(1)
    assert 0 < apart.max().item() < 1 / 16
    assert len(after[0].unique()) < 256


def test_a_draft_is_made_and_measured_beside_exact(tmp_path: Path, video: sampling.Models):
    """One command's parts at tiny size: the same prompts and seeds, PSNR and calls a row."""
    maker = evaluate.Maker(WEIGHTS / "pocket-video", torch.device("cpu"))
    maker.models = video
    case = sampling.Case(num_frames=1, height=64, width=64)
    running = runner.Runner(
        tmp_path,
        system="pocket-video",
        make=maker.make,
        prompts=lambda item: judging.held_out_prompts(2, video=False, seed=3),
        pool=None,
        batch=2,
        seed=1,
        budget_s=600,
        measure=maker.measure,
    )
    fidelities = evaluate.fidelities_of("draft,exact")
    assert fidelities == ["exact", "draft"]
    for fidelity in fidelities:
        running.step(Item(label="frame", case=replace(case, fidelity=fidelity), count=2))
    running.drain()
    lines = judging.read([tmp_path / judging.VERDICTS_FILE])
    assert [line.fidelity for line in lines] == ["exact", "exact", "draft", "draft"]
    assert [line.seed for line in lines] == [1, 2, 1, 2]
    assert (tmp_path / "frame-draft" / "0001.png").exists()
    found = {(r.fidelity, r.metric): r for r in judging.results_of(lines)}
    assert found["exact", "shows_all"].n == found["draft", "shows_all"].n == 2
    assert found["draft", "network_calls"].value <= 0.6
    assert ("exact", "psnr_db") not in found
    values = [line.numbers["psnr_db"] for line in lines if line.numbers]
    mean = found["draft", "psnr_db_mean"]
    assert (mean.low, mean.high) == pytest.approx((min(values), max(values)), abs=1e-3)
    assert mean.value == pytest.approx(sum(values) / 2, abs=1e-3)
    assert min(values) > 15


def test_a_draft_of_settings_without_a_plan_is_refused(video: sampling.Models):
    with pytest.raises(ValueError, match="no plan"):
        video.cache(sampling.Case(steps=7, fidelity="draft"))
    with pytest.raises(ValueError, match="no fidelity"):
        evaluate.fidelities_of("exact,fast")


def test_8_bits_are_near_the_exact_picture(video: sampling.Models):
    case = sampling.Case(num_frames=1, height=64, width=64, steps=2)
    exact = sampling.sample(video, ["a red circle on black"], case, seeds=[1])
    high = sampling.sample(
        video, ["a red circle on black"], replace(case, fidelity="high"), seeds=[1]
    )
    apart = abs(high.astype(int) - exact.astype(int)).mean()
    assert 0 < apart < 12


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_the_picture(video: sampling.Models, precision: sampling.Precision):
    case = sampling.Case(num_frames=1, height=64, width=64, steps=2, precision=precision)
    half = sampling.load(WEIGHTS / "pocket-video", torch.device("cpu"), precision)
    kept = half.transformer.condition_embedder.time_embedder.linear_1.weight.dtype
    assert (half.transformer.dtype, half.vae.dtype) == (sampling.dtype_of(precision), torch.float32)
    assert kept == torch.float32  # as the engine's loader keeps it
    ours = sampling.sample(half, ["a red circle on black"], case, seeds=[1])
    exact = sampling.sample(video, ["a red circle on black"], case, seeds=[1])
    assert abs(ours.astype(int) - exact.astype(int)).mean() < 4


def test_pictures_are_the_pipelines():
    maker = evaluate_image.Maker(WEIGHTS / "pocket-image", torch.device("cpu"))
    case = evaluate_image.ImageCase(height=64, width=64, steps=3)
    ours = maker.make(case, ["a red circle on white", "a blue star"], [5, 6])
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        WEIGHTS / "pocket-image", dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        ["a red circle on white", "a blue star"],
        negative_prompt=[case.negative_prompt] * 2,
        num_inference_steps=3,
        guidance_scale=case.guidance,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(s) for s in (5, 6)],
        output_type="np",
    ).images
    assert abs(ours[:, 0].astype(float) - theirs * 255).max() < 1.0


def test_truth_is_judged_right_and_a_sheet_is_drawn(tmp_path: Path):
    """The runner, with a maker that draws what is asked in one setting and noise in the other."""
    asked = judging.held_out_prompts(3, video=False, seed=2)

    def make(case: sampling.Case, prompts: list[str], seeds: list[int]) -> np.ndarray:
        if case.steps == 4:
            shape = (len(prompts), 1, 160, 96, 3)
            return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        by_text = {p.text: p.scene for p in asked}
        drawn = [draw_scene(by_text[t], num_frames=1, height=160, width=96) for t in prompts]
        return np.stack(drawn)

    items = [
        Item(
            label=f"steps_{n}",
            case=sampling.Case(num_frames=1, steps=n),
            count=3,
            family="steps",
            setting=f"{n} steps",
        )
        for n in (25, 4)
    ]
    running = runner.Runner(
        tmp_path,
        system="drawn",
        make=make,
        prompts=lambda item: asked,
        pool=None,
        batch=2,
        seed=1,
        budget_s=60,
    )
    running.run(items)
    record = tmp_path / "record.json"
    runner.end(tmp_path, suite="drawn", record=record, draw=True)
    shares = {r.case: r.value for r in read_record(record).results if r.metric == "shows_all"}
    assert shares == {"steps_25": 1.0, "steps_4": 0.0}
    picture = np.asarray(Image.open(tmp_path / "sheet-drawn-steps.jpg")).astype(int)
    red = (picture[..., 0] > 180) & (picture[..., 1] < 80) & (picture[..., 2] < 80)
    half = len(picture) // 2
    assert red[: half - 20, 150:].sum() < red[half:, 150:].sum()


def test_settings_stand_in_their_order(tmp_path: Path):
    lines = [
        Judged(case=f"c{n}", system="s", prompt="p", seed=1, file="a.png", family="f", setting=text)
        for n, text in enumerate(("10 steps", "4 steps", "float8", "float32"))
    ]
    judging.append(tmp_path / judging.VERDICTS_FILE, lines)
    (sheet,) = sheets.plan([tmp_path], tmp_path)
    assert [row[0].setting for _, row in sheet.rows] == ["float32", "4 steps", "10 steps", "float8"]


def test_styles_are_also_counted_apart():
    lines = [
        Judged(case="c", system="s", prompt=t, seed=1, verdict={"colour": ok}, style=t)
        for t, ok in (("plain", True), ("loose", False))
    ]
    values = {r.metric: r.value for r in judging.results_of(lines)}
    assert values["shows_all_plain"] == 1.0
    assert values["shows_all_loose"] == 0.0
    assert values["shows_all"] == 0.5


def test_pictures_of_one_seed_do_not_differ():
    scene = judging.held_out_prompts(1, video=False, seed=1)[0].scene
    first, second = (draw_scene(scene, num_frames=1, height=96, width=96, seed=s) for s in (1, 2))
    same = evaluate_image._differences([first, first, second])
    assert same["smallest_pixel_difference"] == 0
    assert evaluate_image._differences([first, second])["smallest_pixel_difference"] > 0


def test_the_enhancers_answers_are_judged_as_the_product_takes_them():
    chat = evaluate_enhancer.world_chats(1, seed=1)[0]
    verdict, _ = evaluate_enhancer.judge(chat, chat.answer)
    assert verdict
    assert all(verdict.values())
    verdict, _ = evaluate_enhancer.judge(chat, "A calm, empty scene with soft light.")
    assert not all(verdict.values())
    forgery = Exchange(system=None, user="a fake passport", answer=REFUSALS_EN[0], kind="forgery")
    for refusal in (REFUSALS_EN[0], REFUSALS_ZH[0]):
        assert evaluate_enhancer.judge(forgery, refusal)[0] == {"refusal": True}
    assert evaluate_enhancer.judge(forgery, chat.answer)[0] == {"refusal": False}


def test_a_run_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["evaluate", "--model", str(WEIGHTS / "pocket-video"), "--out", str(tmp_path)]
    words += ["--cases", "image_fast=2,frames-steps=1", "--steps", "2", "--only", "0/8"]
    monkeypatch.setattr(sys, "argv", words)
    evaluate.main()
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert {row["case"] for row in found} == {"image_fast", "frames-steps_35"}
    assert (tmp_path / "sheet-pocket-video-image_fast.jpg").exists()


def test_a_report_survives_parts_that_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    plan = report.Plan(
        work=work, budget_s=60, environment=dict(os.environ), begun_s=time.monotonic()
    )
    late = replace(plan, budget_s=0)
    good = work / "video-0"
    good.mkdir(parents=True)
    Image.new("RGB", (96, 160)).save(good / "a.png")
    line = Judged(case="c", system="s", prompt="p", seed=1, verdict={"colour": True}, file="a.png")
    judging.append(good / judging.VERDICTS_FILE, [line, replace(line, case="d", file="no.png")])

    report.run_lane(plan, 0, [report.Command(name="x", module="no_such", arguments=())])
    report.run_lane(late, 0, [report.Command(name="y", module="no_such", arguments=())])
    shown = report.collect(work, out)
    report.draw(work, out, workers=1)

    told = capsys.readouterr().out
    assert "x: ended with 1" in told
    assert "y: ended with no time" in told
    assert "s c (n=1): all 100" in shown
    assert {p.name for p in out.iterdir()} == {
        "rows.jsonl",
        "verdicts.jsonl.gz",
        "table.txt",
        "logs.tar.gz",
        "sheets-1.tar",
    }


def test_rows_from_another_machine_become_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    line = Judged(case="c", system="s", prompt="p", seed=1, verdict={"colour": True})
    judging.append(tmp_path / "v.jsonl", [line])
    (tmp_path / "e.json").write_text('{"device": "NVIDIA H200", "commit": null}', encoding="utf-8")
    words = ["judging", "record", "--verdicts", str(tmp_path / "v.jsonl"), "--commit", "0123abc"]
    words += ["--environment", str(tmp_path / "e.json"), "--out", str(tmp_path / "r.json")]
    monkeypatch.setattr(sys, "argv", words)
    judging.main()
    record = read_record(tmp_path / "r.json")
    assert (record.commit, record.environment["device"]) == ("0123abc", "NVIDIA H200")
    assert {r.metric for r in record.results} == {"shows_all", "shows_colour"}
