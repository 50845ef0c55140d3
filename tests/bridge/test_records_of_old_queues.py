"""A job of the old queues leaves a performance record; a worker of the test engine runs it."""

import threading

from ourvidz.catalog.config import catalogue_of
from ourvidz.jobs.model import TERMINAL_STATES
from ourvidz.perf.records import StoreRecords
from ourvidz.policy.build import build_policy
from ourvidz.worker.service import WorkerService
from ourvidz.worker.testing import TestRunner
from tests.bridge.payloads import load
from tests.bridge.servers import wait_until


def test_a_job_of_the_old_queue_leaves_a_record(house, push):
    push(load("sdxl_august", prompt="steps=2"), queue="sdxl_queue")
    house.bridge().run_once()
    (job,) = house.jobs()
    service = WorkerService(
        settings=house.settings,
        catalogue=catalogue_of(house.settings),
        store=house.store,
        storage=house.storage,
        policy=build_policy(house.settings.policy),
        make_runner=TestRunner,
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        wait_until(lambda: house.store.get(job.id).state in TERMINAL_STATES)
    finally:
        service.stop()
        thread.join(timeout=30.0)
    (record,) = StoreRecords(house.store).records()
    assert (record.id, record.source, record.is_success) == (job.id, "bridge", True)
    assert record.workload["num_inference_steps"] == job.request.num_inference_steps
    assert record.facts["files"] == job.request.num_images
