"""One job over several GPUs: what ``test_group`` and ``test_group_images`` show, through NCCL."""

import os
import signal

import numpy as np
import pytest
import torch
from group_images import is_event, make_image_request, run_batch
from group_jobs import drive, frames_of, is_step, make_engine, make_request

from ourvidz.core.errors import RankLost

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpus")
    size = 4 if torch.cuda.device_count() >= 4 else 2
    found = [make_engine(folder, each, "cuda") for each in (1, size)]
    yield found
    for engine in found:
        engine.close()


def psnr_db(found, expected):
    error = np.square(found.astype(float) - expected.astype(float)).mean()
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("fidelity", ["exact", "high"])
@pytest.mark.parametrize("values", [{}, {"guidance_scale": 1.0}, {"num_frames": 33}], ids=str)
def test_several_gpus_make_the_same_video(engines, fidelity, values):
    request = make_request(fidelity=fidelity, num_inference_steps=8, **values)
    expected, found = (frames_of(engine, request) for engine in engines)
    assert psnr_db(found, expected) > 30  # bfloat16 sums of other sizes, through 8 steps


@pytest.mark.parametrize("fidelity", ["exact", "high"])
@pytest.mark.parametrize(
    "values",
    [{"num_images": 6}, {"num_images": 5, "guidance_scale": 1.0}, {"num_images": 2}],
    ids=str,
)
def test_several_gpus_make_the_same_images(engines, fidelity, values):
    request = make_image_request(fidelity=fidelity, num_inference_steps=8, **values)
    expected, found = (frames_of(engine, request) for engine in engines)
    for image, as_expected in zip(found, expected, strict=True):
        assert psnr_db(image, as_expected) > 30  # half precision's sums of other sizes
    again = frames_of(engines[1], request)  # by captured graphs
    assert psnr_db(again, expected) > 30


def test_jobs_batched_together_are_shared(engines):
    alone, group = engines
    requests = [make_image_request(num_images=number, seed=number) for number in (1, 2, 3)]
    found, _ = run_batch(group, requests)
    for images, request in zip(found, requests, strict=True):
        assert psnr_db(images, frames_of(alone, request)) > 30


def test_one_that_ends_fails_the_batch_and_the_group_starts_again(engines):
    alone, group = engines
    requests = [make_image_request(num_images=2, seed=seed) for seed in (3, 9)]
    pids = group.group_facts()["pids"]

    def on_report(report):
        if is_event(report, 0) and is_step(report.event, 2):
            os.kill(pids[1], signal.SIGKILL)

    _, ends = run_batch(group, requests, on_report=on_report)
    assert all(isinstance(ends[index].error, RankLost) for index in range(2)), ends
    found, _ = run_batch(group, requests)
    assert psnr_db(found[0], frames_of(alone, requests[0])) > 30


def test_one_that_ends_fails_the_attempt_and_the_group_starts_again(engines):
    alone, group = engines
    request = make_request(num_inference_steps=6)
    pids = group.group_facts()["pids"]

    def at_step(event):
        if is_step(event, 2):
            os.kill(pids[1], signal.SIGKILL)

    with pytest.raises(RankLost, match="Rank 1 of"):
        drive(group, request, at_step)
    assert psnr_db(frames_of(group, request), frames_of(alone, request)) > 30
    assert group.group_facts()["pids"][1] != pids[1]
