"""What the policy learns from the store, and what the simulator replays of it."""

from dataclasses import replace

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.core.request import MediaType
from ourvidz.fleet.queue import look, summarise
from ourvidz.fleet.simulation import Foresight, JobClass, Machine, ModelSpec, Scenario, simulate
from ourvidz.fleet.simulation.arrivals import replayed
from ourvidz.jobs.model import CameJob, JobKind, WaitingClass
from ourvidz.jobs.open import open_store
from tests.jobs.factory import make_enhance_job, make_job, make_request


@pytest.fixture
def store(tmp_path):
    opened = open_store(Settings(data_dir=tmp_path))
    opened.migrate()
    yield opened
    opened.close()


def video(**fields):
    return make_job(request=make_request(job_type="video_fast"), **fields)


def test_what_waits_and_what_came_by_class(store):
    jobs = [video(predicted_s=20.0), video(predicted_s=30.0), make_job(predicted_s=2.0)]
    store.submit([*jobs, make_enhance_job(predicted_s=1.0), video(delay_s=600.0, predicted_s=9.0)])
    claimed = store.claim("w", lease_s=20.0, overdue_s=900.0, models=["video-model"])
    assert claimed.predicted_s == 20.0
    classes = look(store, overdue_s=900.0).classes
    waiting = {name: each.num_waiting for name, each in classes.items()}
    assert waiting == {"video": 1, "image": 1, "enhancement": 1}
    assert classes["video"].arrivals_per_s == pytest.approx(3 / 600.0)
    # Of what waits and of what came, so that one that waits counts twice.
    assert classes["video"].predicted_s == pytest.approx((30 + 20 + 30 + 9) / 4)
    assert classes["image"].predicted_s == pytest.approx(2.0)


def test_paused_jobs_ask_for_nothing_and_old_ones_are_overdue(store):
    store.submit([video(), make_job()])
    store.pause("sdxl_image_fast")
    summary = look(store, overdue_s=900.0)
    assert {name: each.num_waiting for name, each in summary.classes.items() if each.num_waiting}
    assert summary.num_waiting == 1
    assert summary.num_overdue == 0
    assert look(store, overdue_s=-1.0).num_overdue == 1


def test_every_job_that_waits_is_counted_however_many_there_are(store):
    store.submit([video(predicted_s=10.0) for _ in range(500)])
    store.submit([make_job(predicted_s=2.0) for _ in range(100)])
    classes = look(store, overdue_s=-1.0).classes
    assert {name: each.num_waiting for name, each in classes.items()} == {
        "video": 500,
        "image": 100,
    }
    assert {name: each.num_overdue for name, each in classes.items()} == {
        "video": 500,
        "image": 100,
    }
    assert classes["video"].predicted_s == pytest.approx(10.0)


def test_a_burst_longer_than_a_look_has_the_rate_of_its_last_jobs():
    came = [
        CameJob(kind=JobKind.GENERATE, media_type=MediaType.VIDEO, created_at=0.0, predicted_s=4.0)
    ] * 30
    waiting = WaitingClass(
        kind=JobKind.GENERATE,
        media_type=MediaType.VIDEO,
        num_jobs=10,
        num_overdue=3,
        predicted_s=80.0,
    )
    summary = summarise([waiting], came, came_within_s=60.0)
    assert (summary.num_waiting, summary.num_overdue) == (10, 3)
    assert summary.classes["video"].predicted_s == pytest.approx(5.0)
    assert summary.offered == pytest.approx(0.5 * 5.0)
    assert summarise([], [], came_within_s=60.0).classes == {}


def test_recorded_jobs_come_again_as_they_came(store):
    jobs = store.submit([make_job(), video(), make_job()]).jobs
    at = {job.id: 100.0 * index for index, job in enumerate(jobs)}
    moved = [replace(job, run_at=5e8 + at[job.id]) for job in jobs]
    arrivals = replayed(
        reversed(moved),
        name_of=lambda job: job.request.job_type,
        services_s={jobs[1].id: 30.0},
    )
    assert [(each.at_s, each.job_class) for each in arrivals] == [
        (0.0, "sdxl_image_fast"),
        (100.0, "video_fast"),
        (200.0, "sdxl_image_fast"),
    ]
    scenario = Scenario(
        machines=[Machine(num_gpus=1, room_bytes=10, page_cache_bytes=10)],
        models=[ModelSpec(id="m", num_bytes=1, from_disk_s=0.0, from_page_cache_s=0.0)],
        classes=[
            JobClass(name=name, model="m", services_s=(5.0,))
            for name in ("sdxl_image_fast", "video_fast")
        ],
        foresight=Foresight.NONE,
    )
    found = simulate(scenario, lambda: arrivals, seed=1)
    assert found.responses_by_class["video_fast"].mean_s == pytest.approx(30.0, abs=0.1)
    assert found.responses_by_class["sdxl_image_fast"].mean_s == pytest.approx(5.0, abs=0.1)
