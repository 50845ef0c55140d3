"""A job that came over HTTP leaves a performance record; a worker of the test engine runs it."""

import threading
import time

import pytest

from ourvidz.jobs.model import TERMINAL_STATES
from ourvidz.perf.records import StoreRecords
from ourvidz.worker.service import WorkerService
from ourvidz.worker.testing import TestRunner


@pytest.fixture
def working(deps):
    """A worker service beside the application, over the same store and storage."""
    service = WorkerService(
        settings=deps.settings,
        catalogue=deps.catalogue,
        store=deps.store,
        storage=deps.storage,
        policy=deps.policy,
        make_runner=TestRunner,
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    yield
    service.stop()
    thread.join(timeout=30.0)
    assert not thread.is_alive()


def wait_for(deps, job_id):
    give_up_s = time.monotonic() + 30.0
    while deps.store.get(job_id).state not in TERMINAL_STATES:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("path", "body", "source"),
    [
        ("/api/v1/jobs", {"prompt": "steps=2", "job_type": "sdxl_image_fast"}, "api"),
        ("/v1/videos", {"prompt": "steps=2"}, "openai"),
    ],
)
def test_a_job_over_http_leaves_a_record(client, deps, path, body, source):
    answer = client.post(path, json=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    job_id = answer.json()["id"]
    wait_for(deps, job_id)
    (record,) = StoreRecords(deps.store).records()
    assert (record.id, record.source, record.is_success) == (job_id, source, True)
    assert record.total_s > 0
    assert record.workload["model"] == deps.store.get(job_id).request.model
    assert record.facts["bytes"] > 0
