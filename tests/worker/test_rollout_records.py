"""A job's side of a rollout reaches its record, by which the sides are compared."""

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.catalog.rollouts import METADATA_KEY
from ourvidz.jobs.open import open_store
from ourvidz.perf.records import StoreRecords
from ourvidz.perf.rollouts import compare_rollouts
from tests.clocks import ManualClock
from tests.jobs.factory import make_job
from tests.worker.test_worker_records import run_inline

NOTE = {"name": "fewer", "arm": "treatment", "changes": ["num_inference_steps"]}


@pytest.mark.slow
def test_of_a_finished_job(worker, ask, tmp_path):
    store = open_store(Settings(data_dir=tmp_path / "data"))
    store.migrate()
    run_inline(
        worker, ask("image_fast"), store, tmp_path / "out", metadata={METADATA_KEY: NOTE, "a": 1}
    )
    (record,) = StoreRecords(store).records()
    assert record.settings["rollout"] == NOTE
    assert record.settings["seed"] == 1
    assert "a" not in record.settings
    (found,) = compare_rollouts([record])
    assert found.treatment.jobs == 1
    store.close()


def test_of_a_job_whose_worker_died(tmp_path):
    clock = ManualClock()
    store = open_store(Settings(data_dir=tmp_path / "data"), clock=clock)
    store.migrate()
    store.submit((make_job(metadata={METADATA_KEY: NOTE}),))
    store.claim("w1", lease_s=20.0, overdue_s=900.0)
    clock.advance(60.0)
    store.reap(max_crashes=1)
    (record,) = StoreRecords(store).records()
    assert record.failure == "crashed"
    assert record.settings["rollout"] == NOTE
    store.close()
