"""Turns and batches on a CUDA device: outputs, device times and memory."""

import numpy as np
import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.clock import SystemClock
from ourvidz.core.phase import Phase
from ourvidz.worker.active import Turns
from ourvidz.worker.assemble import assemble_worker
from tests.worker.driving import frames_alone, order_of, take_turns

pytestmark = pytest.mark.gpu

SETTINGS = Settings(profile="pocket", device="cuda")


@pytest.fixture(scope="module")
def worker():
    made = assemble_worker(settings=SETTINGS, catalogue=catalogue_of(SETTINGS), clock=SystemClock())
    yield made
    made.engine.close()


def ask(job_type, **values):
    return resolve(
        catalogue=catalogue_of(SETTINGS),
        settings=SETTINGS,
        prompt="a red circle moving left",
        seed=3,
        job_type=job_type,
        values={"num_inference_steps": 8, **values},
    )


def test_turns_on_a_gpu_give_what_jobs_give_alone(worker, tmp_path):
    requests = {"video": ask("video_fast"), "images": ask("sdxl_image_fast", num_images=2)}
    alone = {
        job_id: frames_alone(worker, order_of(request, tmp_path / "alone", job_id))
        for job_id, request in requests.items()
    }
    turns = Turns(worker.clock)
    for job_id, request in requests.items():
        turns.add(worker.start(order_of(request, tmp_path, job_id)))
    seen = take_turns(turns)
    for job_id, result in seen.results().items():
        assert np.array_equal(seen.frames(job_id), alone[job_id])
        timing = result.timing
        total_s = sum(timing.phases_s.values()) + timing.unattributed_s + timing.shared_s
        assert total_s == pytest.approx(timing.total_s, abs=1e-6)
        assert len(timing.step_times_s) == 8
        (denoise,) = (span for span in timing.spans if span.phase is Phase.DENOISE)
        # What the others did between this job's steps is not in its device time.
        assert denoise.device_s == pytest.approx(sum(timing.step_times_s))
        assert denoise.device_s < denoise.duration_s


def test_a_batch_on_a_gpu_has_room_and_shares_its_device_time(worker, tmp_path):
    request = ask("sdxl_image_fast", num_images=2)
    frames_alone(worker, order_of(request, tmp_path / "alone", "alone"))
    room = worker.engine.batch_room(request)
    assert room >= 2
    turns = Turns(worker.clock)
    orders = [order_of(request, tmp_path / job_id, job_id) for job_id in "ab"]
    turns.add(worker.start_batch(orders, max_items=room))
    results = take_turns(turns).results()
    spans = [
        next(span for span in result.timing.spans if span.phase is Phase.DENOISE)
        for result in results.values()
    ]
    assert spans[0].device_s == pytest.approx(spans[1].device_s)
    assert all(result.timing.batched_with == 1 for result in results.values())
