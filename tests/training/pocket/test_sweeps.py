"""Families of cases, and how `--cases` names them."""

from __future__ import annotations

import re

import pytest

from ourvidz.catalog.job_types import JOB_TYPES, PRESETS
from ourvidz.catalog.models import MODELS
from ourvidz.catalog.parameters import check_num_frames
from ourvidz.catalog.scaling import native_size, scaled_frames
from training.pocket import evaluate_image, sweeps
from training.pocket.sweeps import CASES, FAMILIES, every_nth, items_of


def test_items_have_counts_and_writers():
    items = items_of("video_fast=500,image_fast.own,steps", cases=CASES, families=FAMILIES, count=7)
    assert [(i.label, i.count, i.own) for i in items[:1]] == [("video_fast", 500, False)]
    assert (items[1].label, items[1].own) == ("image_fast.own", True)
    assert [i.case.steps for i in items[2:]] == list(sweeps.STEPS)
    assert items[2].label == "steps_4"
    assert {i.count for i in items[2:]} == {7}
    with pytest.raises(ValueError, match="nothing_such"):
        items_of("nothing_such", cases=CASES, families=FAMILIES, count=1)


@pytest.mark.parametrize(
    ("cases", "families"),
    [(CASES, FAMILIES), (evaluate_image.CASES, evaluate_image.FAMILIES)],
)
def test_labels_are_distinct_names_of_records(cases: dict, families: dict):
    items = items_of(",".join((*cases, *families)), cases=cases, families=families, count=1)
    labels = [item.label for item in items]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_.+-]*", label) for label in labels)


def test_cases_are_the_catalogues_job_types_and_presets():
    video = next(m for m in MODELS if m.id == "pocket-video")
    cases = {**CASES, **evaluate_image.CASES}
    for job in JOB_TYPES:
        if job.name in cases:
            case = cases[job.name]
            wanted = (job.num_inference_steps, job.guidance_scale, job.scheduler)
            assert (case.steps, case.guidance, case.scheduler) == wanted
            assert case.negative_prompt == video.default_negative_prompt
    for preset in PRESETS:
        case = CASES[f"video_{preset.name}"]
        size = native_size(video, preset.width_share, preset.height_share)
        assert (case.width, case.height) == size
        assert case.num_frames == scaled_frames(video.num_frames, preset.frames_share)
        assert case.steps == preset.overrides["num_inference_steps"]
        assert case.shift == preset.overrides["flow_shift"]


def test_sizes_are_legal():
    for case in FAMILIES["size"].values():
        assert check_num_frames(case.num_frames) == case.num_frames
        assert case.width % 16 == case.height % 16 == 0


def test_shares_cover_all_once():
    shares = [every_nth(range(11), f"{i}/4") for i in range(4)]
    assert sorted(n for share in shares for n in share) == list(range(11))
    with pytest.raises(ValueError, match="4/4"):
        every_nth([1], "4/4")
