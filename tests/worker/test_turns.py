"""Jobs in turns on one thread: the same outputs as alone, each charged with its own time."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import Cancelled, IllegalState, OutputUnwritable, PolicyRefused
from ourvidz.core.event import PhaseStarted, PreviewReady, Progress, PromptEnhanced, Waiting
from ourvidz.core.job import JobState
from ourvidz.core.phase import LoadState, Phase
from ourvidz.models.wan.fast import FastWan
from ourvidz.worker.active import Turns
from ourvidz.worker.assemble import assemble_worker
from ourvidz.worker.report import summary_of
from tests.clocks import ManualClock
from tests.worker.driving import frames_alone, order_of, run_alone, take_turns

IMAGE_MODEL, VIDEO_MODEL = "sdxl-base-1.0", "wan2.1-t2v-1.3b"


@pytest.fixture
def fresh(tiny_settings):
    """A worker that has loaded nothing, on a clock that stands still."""
    made = assemble_worker(
        settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=ManualClock()
    )
    yield made
    made.engine.close()


@pytest.fixture
def slow_networks(monkeypatch):
    """Make each pass of a network take seconds on a manual clock."""
    hooks = []

    def install(clock, *, transformer_s, unet_s):
        velocities = FastWan.velocities

        def slow_velocities(self, latents, timestep, texts, **options):
            clock.advance(transformer_s * len(texts))
            return velocities(self, latents, timestep, texts, **options)

        def after_forward(module, inputs, output):
            del inputs, output
            if type(module).__name__ == "UNet2DConditionModel":
                clock.advance(unet_s)

        monkeypatch.setattr(FastWan, "velocities", slow_velocities)
        hooks.append(torch.nn.modules.module.register_module_forward_hook(after_forward))

    yield install
    for hook in hooks:
        hook.remove()


def adds_up(timing):
    total_s = sum(timing.phases_s.values()) + timing.unattributed_s + timing.shared_s
    return total_s == pytest.approx(timing.total_s, abs=1e-6)


def is_step(event, number):
    return isinstance(event, Progress) and (event.phase, event.done) == (Phase.DENOISE, number)


def test_a_video_and_images_in_turns_give_what_they_give_alone(worker, ask, tmp_path):
    requests = {"video": ask("video_fast"), "images": ask("sdxl_image_fast", seed=4)}
    alone = {
        job_id: frames_alone(worker, order_of(request, tmp_path / f"{job_id}-alone", job_id))
        for job_id, request in requests.items()
    }
    turns = Turns(worker.clock)
    for job_id, request in requests.items():
        turns.add(worker.start(order_of(request, tmp_path, job_id)))
    seen = take_turns(turns)
    for job_id in requests:
        assert np.array_equal(seen.frames(job_id), alone[job_id])
    for result in seen.results().values():
        assert result.state is JobState.SUCCEEDED
        assert result.memory["jobs_in_process"] == 2
        assert adds_up(result.timing)
    # Real turns: steps of both alternate.
    steps = [
        job_id
        for job_id, event in seen.order
        if isinstance(event, Progress) and event.phase is Phase.DENOISE
    ]
    assert steps[:4] in (["video", "images"] * 2, ["images", "video"] * 2)


@pytest.mark.slow
def test_the_pocket_models_in_turns_give_what_they_give_alone(tmp_path):
    settings = Settings(profile="pocket", device="cpu", dtype="float32")
    catalogue = catalogue_of(settings)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())

    def ask(job_type, **values):
        return resolve(
            catalogue=catalogue,
            settings=settings,
            prompt="a red circle moving left",
            seed=3,
            job_type=job_type,
            values={"num_inference_steps": 3, "width": 64, "height": 64, **values},
        )

    requests = {
        "video": ask("video_fast", num_frames=9),
        "images": ask("sdxl_image_fast", num_images=1),
        "again": ask("video_fast", num_frames=9, guidance_scale=3.0),
    }
    alone = {
        job_id: frames_alone(worker, order_of(request, tmp_path / f"{job_id}-alone", job_id))
        for job_id, request in requests.items()
    }
    turns = Turns(worker.clock)
    for job_id, request in requests.items():
        turns.add(worker.start(order_of(request, tmp_path, job_id)))
    seen = take_turns(turns)
    for job_id in requests:
        assert np.array_equal(seen.frames(job_id), alone[job_id])
    seen.results()
    worker.engine.close()


def test_each_job_is_charged_with_its_own_steps(fresh, ask, tmp_path, slow_networks):
    for job_type in ("video_fast", "sdxl_image_fast"):  # load, so that nothing waits
        run_alone(fresh, order_of(ask(job_type), tmp_path / "warm", job_type)).results()
    clock = fresh.clock
    slow_networks(clock, transformer_s=2.0, unet_s=0.5)
    turns = Turns(clock)
    turns.add(fresh.start(order_of(ask("video_fast"), tmp_path, "video", queued_s=1.5)))
    turns.add(fresh.start(order_of(ask("sdxl_image_fast"), tmp_path, "images")))
    seen = take_turns(turns)
    results = seen.results()
    video, images = results["video"].timing, results["images"].timing
    assert video.step_times_s == (4.0, 4.0, 4.0)  # guidance: two passes a step
    assert images.step_times_s == (0.5, 0.5, 0.5)
    assert video.phases_s["denoise"] == 12.0
    assert images.phases_s["denoise"] == 1.5
    assert (video.device_s, images.device_s) == (12.0, 1.5)
    assert video.shared_s == 1.5  # the cost of the images to the video
    assert images.shared_s in (8.0, 12.0)  # the video's steps while the images were not done
    assert video.phases_s["queue_wait"] == 1.5
    assert video.total_s == pytest.approx(15.0)
    assert adds_up(video)
    assert adds_up(images)
    assert video.unattributed_s == images.unattributed_s == 0.0
    denoise = next(span for span in video.spans if span.phase is Phase.DENOISE)
    assert denoise.facts["waiting_for_turn_s"] > 0
    assert summary_of(results["video"])["timing"]["shared_s"] == 1.5


def test_other_work_on_the_thread_is_no_jobs_phase(fresh, ask, tmp_path):
    run_alone(fresh, order_of(ask("image_fast"), tmp_path / "warm", "warm")).results()
    turns = Turns(fresh.clock)
    turns.add(fresh.start(order_of(ask("image_fast"), tmp_path, "job")))

    def work_aside(report):
        if isinstance(report.event, Progress) and report.event.phase is Phase.DENOISE:
            with turns.aside():
                fresh.clock.advance(10.0)

    result = take_turns(turns, after=work_aside).results()["job"]
    assert result.timing.step_times_s == (0.0, 0.0, 0.0)
    assert result.timing.shared_s == 30.0
    assert "denoise" not in result.timing.phases_s


def test_a_cancelled_job_leaves_the_other_as_it_was(worker, ask, tmp_path):
    request = ask("video_fast")
    alone = frames_alone(worker, order_of(request, tmp_path / "alone", "video"))
    cancel = CancelToken()
    turns = Turns(worker.clock)
    turns.add(worker.start(order_of(request, tmp_path / "kept", "video")))
    turns.add(
        worker.start(order_of(ask("sdxl_image_fast"), tmp_path / "gone", "images", cancel=cancel))
    )

    def cancel_at_the_second_step(report):
        if report.job_id == "images" and is_step(report.event, 2):
            cancel.cancel()

    seen = take_turns(turns, after=cancel_at_the_second_step)
    assert isinstance(seen.errors["images"], Cancelled)
    steps = [e.done for e in seen.events["images"] if isinstance(e, Progress)]
    assert max(steps) == 2
    assert not (tmp_path / "gone").exists()
    assert np.array_equal(seen.frames("video"), alone)
    assert seen.results()["video"].state is JobState.SUCCEEDED


def test_a_job_that_waits_for_weights_gives_its_turns_away(fresh, ask, tmp_path):
    run_alone(fresh, order_of(ask("video_fast"), tmp_path / "warm", "warm")).results()
    turns = Turns(fresh.clock)
    video = fresh.start(order_of(ask("video_fast"), tmp_path, "video"))
    images = fresh.start(order_of(ask("sdxl_image_fast"), tmp_path, "images"))
    turns.add(video)
    turns.add(images)
    was_blocked = []

    def note(report):
        if isinstance(report.event, Waiting):
            was_blocked.append(images.is_blocked)

    seen = take_turns(turns, after=note)
    assert was_blocked
    assert all(was_blocked)
    results = seen.results()
    assert results["images"].timing.state is not LoadState.RESIDENT
    assert results["video"].timing.state is LoadState.RESIDENT
    assert {IMAGE_MODEL, VIDEO_MODEL} <= set(fresh.engine.resident())


def test_two_jobs_share_one_load_and_one_may_leave(fresh, ask, tmp_path):
    cancel = CancelToken()
    turns = Turns(fresh.clock)
    first = fresh.start(order_of(ask("image_fast"), tmp_path / "a", "first", cancel=cancel))
    second = fresh.start(order_of(ask("image_fast"), tmp_path / "b", "second"))
    turns.add(first)
    turns.add(second)

    def cancel_while_loading(report):
        is_loading = isinstance(report.event, PhaseStarted | Waiting)
        if report.job_id == "second" and is_loading:
            cancel.cancel()

    seen = take_turns(turns, after=cancel_while_loading)
    assert isinstance(seen.errors["first"], Cancelled)
    result = seen.results()["second"]
    loads = [span for span in result.timing.spans if span.phase is Phase.LOAD_TRANSFORMER]
    assert len(loads) == 1


def test_finishing_goes_on_beside_the_next_job(worker, ask, tmp_path):
    seen = run_alone(worker, order_of(ask("video_fast"), tmp_path / "first", "first"))
    finishing = seen.finishing["first"]
    other = run_alone(worker, order_of(ask("image_fast"), tmp_path / "second", "second"))
    assert other.results()["second"].state is JobState.SUCCEEDED
    (asset,) = finishing.files()
    assert finishing.files() == (asset,)
    with finishing.recorder.span(Phase.UPLOAD):
        pass
    result = finishing.wait()
    assert result.outputs == (asset,)
    assert "upload" in [span.phase.value for span in result.timing.spans]
    assert (tmp_path / "first" / "first.json").is_file()
    finishing.abandon()
    assert not (tmp_path / "first").exists()


def test_a_failing_disk_is_the_finishing_jobs_error(worker, ask, tmp_path):
    folder = tmp_path / "gone"
    turns = Turns(worker.clock)
    turns.add(worker.start(order_of(ask("sdxl_image_fast", num_images=1), folder, "job")))

    def remove_the_folder(report):
        if is_step(report.event, 3):
            folder.rmdir()

    seen = take_turns(turns, after=remove_the_folder)
    with pytest.raises(OutputUnwritable):
        seen.finishing["job"].files()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_job_leaves_nothing_and_frees_its_model(fresh, ask, tmp_path):
    job = fresh.start(order_of(ask("image_fast"), tmp_path / "out", "job"))
    while not isinstance(getattr(job.advance(), "event", None), Progress):
        pass
    with pytest.raises(IllegalState):
        fresh.engine.unload(VIDEO_MODEL)
    job.close()
    job.close()
    assert job.is_done
    assert job.advance() is None
    assert list(tmp_path.iterdir()) == []
    assert fresh.engine.unload(VIDEO_MODEL) > 0
    assert fresh.engine.resident() == {}
    assert fresh.engine.unload(VIDEO_MODEL) == 0


def test_a_preview_comes_with_the_first_frame(worker, ask, tmp_path):
    order = order_of(ask("video_fast"), tmp_path, "job", wants_preview=True)
    seen = run_alone(worker, order)
    (preview,) = (e for e in seen.events["job"] if isinstance(e, PreviewReady))
    picture = Image.open(io.BytesIO(preview.webp))
    assert picture.format == "WEBP"
    assert picture.size == (preview.width, preview.height) == (64, 96)
    first = seen.frames("job")[0].astype(int)
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - first).mean() < 32
    seen.finishing["job"].abandon()


# Enhancement: alone, kept from an earlier attempt, and refused by a policy


def enhance(worker, request, tmp_path, **values):
    turns = Turns(worker.clock)
    turns.add(worker.start_enhance(order_of(request, tmp_path, "job", **values)))
    return take_turns(turns)


@pytest.fixture(scope="module")
def pocket():
    settings = Settings(profile="pocket", device="cpu")
    made = assemble_worker(settings=settings, catalogue=catalogue_of(settings), clock=SystemClock())
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def ask_pocket():
    settings = Settings(profile="pocket", device="cpu")

    def make(prompt):
        return resolve(
            catalogue=catalogue_of(settings),
            settings=settings,
            prompt=prompt,
            seed=1,
            job_type="image7b_fast_enhanced",
            values={"num_inference_steps": 2},
        )

    return make


def test_a_job_that_only_enhances(pocket, ask_pocket, tmp_path):
    seen = enhance(pocket, ask_pocket("purple diamond, navy background"), tmp_path)
    result = seen.results()["job"]
    assert result.outputs == ()
    assert result.enhancement.verdict == "usable"
    assert "diamond" in result.enhancement.enhanced_prompt
    assert adds_up(result.timing)
    assert set(result.timing.phases_s) >= {"enhance.run"}
    assert result.timing.device_s > 0
    assert list(tmp_path.iterdir()) == []


def test_a_stored_enhancement_is_used_and_nobody_is_asked_again(pocket, ask_pocket, tmp_path):
    request = ask_pocket("purple diamond, navy background")
    whole = run_alone(pocket, order_of(request, tmp_path / "whole", "job"))
    made = whole.results()["job"].enhancement
    stored = Enhancement.from_dict({**made.to_dict(), "a later field": 1})
    assert stored == made
    order = order_of(request, tmp_path / "stored", "job", enhancement=stored)
    seen = run_alone(pocket, order)
    assert np.array_equal(seen.frames("job"), whole.frames("job"))
    assert not any(isinstance(event, PromptEnhanced) for event in seen.events["job"])
    result = seen.results()["job"]
    assert result.enhancement == made
    assert "enhance.run" not in result.timing.phases_s


@pytest.mark.parametrize("is_stored", [False, True])
def test_an_enhanced_prompt_that_the_policy_refuses(pocket, ask_pocket, tmp_path, is_stored):
    request = ask_pocket("purple diamond, navy background")
    asked = []

    def refuse(prompt):
        asked.append(prompt)
        raise PolicyRefused(param="prompt")

    stored = None
    if is_stored:
        stored = enhance(pocket, request, tmp_path).results()["job"].enhancement
    order = order_of(request, tmp_path / "out", "job", enhancement=stored, check_prompt=refuse)
    seen = run_alone(pocket, order)
    assert isinstance(seen.errors["job"], PolicyRefused)
    assert len(asked) == 1
    assert "diamond" in asked[0]
    assert not any(isinstance(event, PromptEnhanced) for event in seen.events["job"])
    assert not (tmp_path / "out").exists()
