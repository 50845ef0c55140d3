"""SDXL jobs of one shape as one batch: each gets what it gets alone, and its part of the bill."""

import json

import numpy as np
import pytest
from PIL import Image

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import Cancelled, InvalidRequest, OutOfMemory, OutputUnwritable
from ourvidz.core.event import FramesReady, Progress
from ourvidz.core.job import JobState
from ourvidz.core.phase import Phase
from ourvidz.worker.active import Turns
from ourvidz.worker.assemble import assemble_worker
from tests.worker.driving import frames_alone, order_of, take_turns

PROMPTS = {"a": "a red circle", "b": "a blue star on a white background", "c": ""}


@pytest.fixture
def requests(ask):
    """Three jobs of one shape: other prompts, negatives, seeds and numbers of images."""
    shape = [("a", 11, 2, ""), ("b", 12, 1, "blurry"), ("c", 13, 3, "")]
    return {
        job_id: ask(
            "sdxl_image_fast",
            prompt=PROMPTS[job_id] or "a green triangle",
            seed=seed,
            num_images=count,
            negative_prompt=negative,
        )
        for job_id, seed, count, negative in shape
    }


def run_batch(worker, orders, *, max_items=8, after=lambda report: None):
    turns = Turns(worker.clock)
    turns.add(worker.start_batch(orders, max_items=max_items))
    return take_turns(turns, after=after)


def orders_of(requests, folder, **cancels):
    return [
        order_of(request, folder / job_id, job_id, cancel=cancels.get(job_id))
        for job_id, request in requests.items()
    ]


def difference(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


@pytest.mark.parametrize("max_items", [8, 3, 1])
def test_each_job_gets_its_images_as_alone(worker, requests, tmp_path, max_items):
    seen = run_batch(worker, orders_of(requests, tmp_path), max_items=max_items)
    for job_id, result in seen.results().items():
        request = requests[job_id]
        assert [asset.seed for asset in result.outputs] == list(request.item_seeds)
        alone = frames_alone(worker, order_of(request, tmp_path / "alone", job_id))
        files = np.stack([np.asarray(Image.open(asset.path)) for asset in result.outputs])
        assert difference(files, alone) <= 1  # 1/255, float32
        sidecar = json.loads((tmp_path / job_id / f"{job_id}.json").read_text(encoding="utf-8"))
        assert sidecar["settings"]["prompt"] == request.prompt
    assert set(seen.finishing) == {"a", "b", "c"}


@pytest.mark.slow
def test_the_pocket_model_gives_each_job_its_images_as_alone(tmp_path):
    settings = Settings(profile="pocket", device="cpu", dtype="float32")
    catalogue = catalogue_of(settings)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    requests = {
        job_id: resolve(
            catalogue=catalogue,
            settings=settings,
            prompt=prompt,
            seed=5,
            job_type="sdxl_image_fast",
            values={"num_images": count, "num_inference_steps": 4},
        )
        for job_id, prompt, count in (("a", "a red circle", 1), ("b", "a blue star", 2))
    }
    seen = run_batch(worker, orders_of(requests, tmp_path))
    seen.results()
    for job_id, request in requests.items():
        alone = frames_alone(worker, order_of(request, tmp_path / "alone", job_id))
        assert difference(seen.frames(job_id), alone) <= 1
    assert not np.array_equal(seen.frames("a")[0], seen.frames("b")[0])
    worker.engine.close()


def test_the_device_is_split_by_images_and_the_wall_time_adds_up(worker, requests, tmp_path):
    seen = run_batch(worker, orders_of(requests, tmp_path))
    denoise = {}
    for job_id, result in seen.results().items():
        timing = result.timing
        total_s = sum(timing.phases_s.values()) + timing.unattributed_s + timing.shared_s
        assert total_s == pytest.approx(timing.total_s, abs=1e-6)
        assert timing.batched_with == 2
        assert timing.shared_s > 0  # the others' encoding and decoding
        assert len(timing.step_times_s) == 3
        (denoise[job_id],) = (span for span in timing.spans if span.phase is Phase.DENOISE)
        assert denoise[job_id].facts["batched_with"] == 2
    shares = {job_id: span.facts["share"] for job_id, span in denoise.items()}
    assert shares == {"a": 2 / 6, "b": 1 / 6, "c": 3 / 6}
    assert len({(span.start_s, span.end_s) for span in denoise.values()}) == 1
    device_s = {job_id: finishing.device_s for job_id, finishing in seen.finishing.items()}
    assert all(device_s[job_id] >= denoise[job_id].duration_s * shares[job_id] for job_id in shares)
    assert sum(shares.values()) == pytest.approx(1.0)  # together they are charged with it once


def step(event, number):
    return isinstance(event, Progress) and (event.phase, event.done) == (Phase.DENOISE, number)


def first_image_of(job_id):
    return lambda report: report.job_id == job_id and isinstance(report.event, FramesReady)


@pytest.mark.parametrize(
    ("member", "moment"),
    [
        ("b", lambda report: step(report.event, 1)),
        ("c", first_image_of("c")),  # two more to come
        ("c", first_image_of("a")),
    ],
    ids=["denoising", "decoding", "another is decoding"],
)
def test_a_cancelled_member_drops_out_and_hurts_nobody(worker, requests, tmp_path, member, moment):
    cancel = CancelToken()

    def cancel_it(report):
        if moment(report):
            cancel.cancel()

    alone = {
        job_id: frames_alone(worker, order_of(requests[job_id], tmp_path / "alone", job_id))
        for job_id in requests
    }
    seen = run_batch(worker, orders_of(requests, tmp_path, **{member: cancel}), after=cancel_it)
    assert isinstance(seen.errors.pop(member), Cancelled)
    assert not (tmp_path / member).exists()
    results = seen.results()
    assert set(results) == set(requests) - {member}
    for job_id, result in results.items():
        assert result.state is JobState.SUCCEEDED
        assert difference(seen.frames(job_id), alone[job_id]) <= 1


def test_a_batch_that_nobody_wants_stops_within_one_step(worker, requests, tmp_path):
    cancels = {job_id: CancelToken() for job_id in requests}

    def cancel_all(report):
        if step(report.event, 1):
            for cancel in cancels.values():
                cancel.cancel()

    seen = run_batch(worker, orders_of(requests, tmp_path, **cancels), after=cancel_all)
    assert {type(error) for error in seen.errors.values()} == {Cancelled}
    assert set(seen.errors) == set(requests)
    steps = [event.done for _, event in seen.order if isinstance(event, Progress)]
    assert max(steps) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_members_own_error_is_its_own(worker, ask, requests, tmp_path):
    (tmp_path / "b").write_text("in the way", encoding="utf-8")
    requests["d"] = ask("sdxl_image_fast", prompt="blue " * 200)
    seen = run_batch(worker, orders_of(requests, tmp_path))
    assert isinstance(seen.errors["b"], OutputUnwritable)
    assert isinstance(seen.errors["d"], InvalidRequest)
    assert set(seen.results()) == {"a", "c"}


def test_a_members_disk_fails_midway(worker, requests, tmp_path):
    def remove_the_folder(report):
        if report.job_id == "c" and step(report.event, 3):
            (tmp_path / "c").rmdir()

    seen = run_batch(worker, orders_of(requests, tmp_path), after=remove_the_folder)
    failing = seen.finishing.pop("c", None)
    if failing is None:  # met while it still decoded
        assert isinstance(seen.errors["c"], OutputUnwritable)
    else:
        with pytest.raises(OutputUnwritable):
            failing.files()
    assert set(seen.results()) == {"a", "b"}
    assert not (tmp_path / "c").exists()


def test_out_of_memory_ends_every_member_and_the_engine_goes_on(
    worker, requests, tmp_path, monkeypatch
):
    from ourvidz.engine import sdxl

    def no_room(*args, **kwargs):
        raise MemoryError("Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(sdxl, "denoise", no_room)
        seen = run_batch(worker, orders_of(requests, tmp_path))
    assert {type(error) for error in seen.errors.values()} == {OutOfMemory}
    assert "--num-images" in seen.errors["a"].hint
    assert list(tmp_path.iterdir()) == []
    assert set(run_batch(worker, orders_of(requests, tmp_path)).results()) == {"a", "b", "c"}


def test_a_closed_batch_leaves_nothing(worker, requests, tmp_path):
    batch = worker.start_batch(orders_of(requests, tmp_path), max_items=8)
    while not isinstance(batch.advance().event, FramesReady):
        pass
    batch.close()
    assert list(tmp_path.iterdir()) == []
    assert worker.engine.unload(requests["a"].model) > 0  # nothing is in use any more
