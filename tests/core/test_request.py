"""A request survives its JSON form, and its workload tells what costs the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ourvidz.catalog.catalogue import build_catalogue
from ourvidz.catalog.config import load_settings
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.catalog.resolve import resolve
from ourvidz.core.request import GenerationRequest


def request_of(job_type: str) -> GenerationRequest:
    return resolve(
        catalogue=build_catalogue(),
        settings=load_settings(),
        prompt="a red circle",
        seed=7,
        job_type=job_type,
    )


@pytest.mark.parametrize("job_type", [job.name for job in JOB_TYPES])
def test_survives_json(job_type):
    request = request_of(job_type)
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_workload_ignores_prompt_and_seed_and_nothing_else():
    request = request_of("video_fast")
    same = replace(request, prompt="a blue square", negative_prompt="blur", seed=9)
    assert same.workload == request.workload
    for change in (
        {"num_inference_steps": 26},
        {"width": 112},
        {"num_frames": 29},
        {"scheduler": "euler"},
        {"guidance_scale": 1.0},
        {"flow_shift": 3.0},
        {"preset": "balanced"},
    ):
        assert replace(request, **change).workload != request.workload, change


def test_only_images_of_one_shape_batch():
    image = request_of("sdxl_image_fast")
    assert image.batch_shape is not None
    assert replace(image, prompt="other", seed=1, num_images=2).batch_shape == image.batch_shape
    assert replace(image, num_inference_steps=16).batch_shape != image.batch_shape
    assert request_of("video_fast").batch_shape is None
