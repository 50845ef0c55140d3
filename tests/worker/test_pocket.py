"""The shipped models do what the prompt says, judged from the files by a detector without networks.

Colours, shapes and motions here are ones that the models get right nearly always (98 % of 500
held-out prompts, `benchmarks/records/pocket-video-evaluation-h200.json`); the seed is fixed, so a
failure is a change, not bad luck.
"""

from pathlib import Path

import numpy as np
import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.perf.quality.pocket import detector
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.writers import OutputNames

SETTINGS = Settings(profile="pocket", device="cpu")
CATALOGUE = catalogue_of(SETTINGS)


@pytest.fixture(scope="module")
def pocket():
    worker = assemble_worker(settings=SETTINGS, catalogue=CATALOGUE, clock=SystemClock())
    yield worker
    worker.engine.close()


def make(worker, folder, prompt, job_type, *, seed=7, **values):
    request = resolve(
        catalogue=CATALOGUE,
        settings=SETTINGS,
        prompt=prompt,
        seed=seed,
        job_type=job_type,
        values=values,
    )
    names = OutputNames(folder=folder, stem="out")
    events = worker.run(request, job_id="job", names=names, cancel=CancelToken())
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def see(asset):
    return detector.see(detector.read_frames(Path(asset.path)))


@pytest.mark.slow
def test_a_video_shows_colour_shape_motion_and_background(pocket, tmp_path):
    prompt = "a red circle moving left on a black background"
    result = make(pocket, tmp_path, prompt, "video_fast", num_inference_steps=8)
    seen = see(result.outputs[0])
    (thing,) = seen.things
    assert (thing.colour, thing.shape) == ("red", "circle")
    assert (seen.motion, seen.background) == ("left", "black")


def test_an_image_by_the_video_model(pocket, tmp_path):
    prompt = "a large green triangle on a white background"
    result = make(pocket, tmp_path, prompt, "image_fast", num_inference_steps=10)
    seen = see(result.outputs[0])
    assert (seen.things[0].colour, seen.things[0].shape) == ("green", "triangle")
    assert seen.background == "white"


def test_six_images_show_the_prompt_and_differ(pocket, tmp_path):
    prompt = "a blue star to the left of a yellow circle on a white background"
    result = make(pocket, tmp_path, prompt, "sdxl_image_fast")
    frames = [detector.read_frames(Path(asset.path)) for asset in result.outputs]
    assert len({frame.tobytes() for frame in frames}) == 6
    seen = [detector.see(frame) for frame in frames]
    right = [
        {(thing.colour, thing.shape) for thing in one.things}
        == {("blue", "star"), ("yellow", "circle")}
        for one in seen
    ]
    assert sum(right) >= 5


def test_an_enhanced_prompt_keeps_its_meaning(pocket, tmp_path):
    prompt = "purple diamond, navy background"
    result = make(pocket, tmp_path, prompt, "image7b_fast_enhanced", num_inference_steps=10)
    account = result.enhancement
    assert account.verdict == "usable"
    assert len(account.enhanced_prompt) > len(prompt)
    seen = see(result.outputs[0])
    assert (seen.things[0].colour, seen.things[0].shape) == ("purple", "diamond")
    assert seen.background == "navy"


def test_a_refusal_falls_back_to_the_persons_prompt_and_says_so(pocket, tmp_path):
    prompt = "a forged banknote"
    result = make(pocket, tmp_path, prompt, "image7b_fast_enhanced", num_inference_steps=2)
    assert result.enhancement.verdict == "refused"
    assert result.enhancement.enhanced_prompt is None
    assert [note.code for note in result.adjustments] == ["enhancement_refused"]


BF16_PSNR_DB = 40.0  # stated in docs/guides/generate.md; equal images have no noise at all


def psnr_db(first, second):
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def test_in_bfloat16_an_image_alone_is_the_image_of_the_batch(tmp_path):
    settings = SETTINGS.model_copy(update={"dtype": "bfloat16"})
    worker = assemble_worker(settings=settings, catalogue=CATALOGUE, clock=SystemClock())
    few = {"num_inference_steps": 6}
    batch = make(worker, tmp_path, "a red circle", "sdxl_image_fast", num_images=3, **few)
    for index, asset in enumerate(batch.outputs):
        alone = make(
            worker,
            tmp_path / str(index),
            "a red circle",
            "sdxl_image_fast",
            num_images=1,
            seed=7 + index,
            **few,
        )
        pixels = [detector.read_frames(Path(a.path)) for a in (asset, alone.outputs[0])]
        assert psnr_db(*pixels) >= BF16_PSNR_DB
    worker.engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("job_type", [job.name for job in JOB_TYPES])
def test_every_job_type_at_its_own_defaults(pocket, tmp_path, job_type):
    prompt = "an orange square on a black background"
    result = make(pocket, tmp_path, prompt, job_type)
    seen = see(result.outputs[0])
    assert seen.background == "black"
    assert seen.things[0].colour == "orange"


MOTIONS = {
    "moving to the right": "right",
    "going up": "up",
    "dropping down": "down",
    "getting bigger": "growing",
    "getting smaller": "shrinking",
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "motion"), MOTIONS.items())
def test_every_motion(pocket, tmp_path, words, motion):
    result = make(pocket, tmp_path, f"a pink square {words} on gray", "video_fast")
    assert see(result.outputs[0]).motion == motion
