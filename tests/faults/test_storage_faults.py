"""An object store that is slow, or fails in the middle of an upload in parts; real processes."""

import os
import signal
import threading

import pytest

from ourvidz.core.job import JobState
from ourvidz.storage.store import attempt_prefix
from tests.faults.harness import LEASE_S, REAP_S, check_history
from tests.storage.servers import Fault, FaultyProxy, MotoS3

pytestmark = pytest.mark.slow

STORES = ["sqlite", "postgres"]
# Noise of 1800 x 1800 is a file of 9.3 MiB: two parts.
LARGE = "steps=4 step_ms=20 px=1800"
SECOND_PART = "partNumber=2"
TRIES = 4  # of one upload by the worker, each behind those of the storage itself
# Another program's settings must not matter; these point nowhere.
FOREIGN = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}


class Gate(FaultyProxy):
    """Holds requests whose address holds ``closed_to`` until ``open``."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.closed_to = None
        self.has_held = threading.Event()
        self._is_open = threading.Event()

    def close_to(self, text):
        self.closed_to = text

    def open(self):
        self.closed_to = None
        self._is_open.set()

    def handle(self, request):
        if self.closed_to and self.closed_to in request.path:
            self.has_held.set()
            self._is_open.wait(60)
        super().handle(request)


@pytest.fixture
def gate():
    with MotoS3() as moto, Gate(moto) as proxy:
        yield proxy
        proxy.open()


@pytest.fixture
def make_remote(make_site, gate):
    """Make a site whose files lie behind the gate."""

    def make(store):
        storage = {
            "kind": "s3",
            "endpoint": gate.url,
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "secret",
        }
        return make_site(store, storage=storage)

    return make


def objects(site, job_id):
    """The names of everything that can be seen of a job."""
    found = site.storage.list_objects("image_fast", prefix=job_id)
    return {stored.key.removeprefix(f"{job_id}/") for stored in found}


def require_whole(site, job):
    """One file is published, of this attempt, and nothing of any other can be seen."""
    assert job.state is JobState.SUCCEEDED, (job.error, site.logs())
    (asset,) = site.store.assets(job.id)
    assert asset.key.startswith(f"{attempt_prefix(job.id, job.token)}/")
    assert asset.num_bytes > 9 * 2**20
    assert {name.partition("/")[0] for name in objects(site, job.id)} == {str(job.token)}
    check_history(site)


@pytest.mark.parametrize("store", STORES)
def test_an_upload_slower_than_a_lease_is_one_attempt(make_remote, gate, store):
    site = make_remote(store)
    site.start_worker(**FOREIGN)
    site.wait_ready()
    gate.close_to(SECOND_PART)
    (job_id,) = site.submit(LARGE, job_type="image_fast")
    site.wait_until(gate.has_held.is_set, timeout_s=30, what="upload")
    held_at = site.store.now()
    site.wait_until(
        lambda: site.store.now() - held_at > 2 * (LEASE_S + REAP_S), timeout_s=30, what="two leases"
    )
    assert site.store.get(job_id).state is JobState.RUNNING
    assert objects(site, job_id) == set()
    gate.open()
    (job,) = site.wait_done([job_id])
    assert job.token == 1
    require_whole(site, job)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("how", ["answer", "drop", "answer_late", "drop_late"])
def test_a_part_that_fails_for_a_while_is_sent_again(make_remote, gate, store, how):
    site = make_remote(store)
    site.start_worker(**FOREIGN)
    site.wait_ready()
    gate.fail(Fault(how=how, method="PUT", path=SECOND_PART, times=2))
    gate.fail(Fault(how=how, method="POST", path="uploadId="))
    (job,) = site.wait_done(site.submit(LARGE, job_type="image_fast"))
    assert gate.count("PUT", SECOND_PART) >= 3
    assert job.token == 1
    require_whole(site, job)


@pytest.mark.parametrize("store", STORES)
def test_an_upload_that_is_refused_runs_the_job_again(make_remote, gate, store):
    site = make_remote(store)
    site.start_worker(**FOREIGN)
    site.wait_ready()
    refusal = {"status": 403, "code": "AccessDenied"}
    fault = Fault(how="answer", method="PUT", path=SECOND_PART, times=TRIES, **refusal)
    gate.fail(fault)
    (job_id,) = site.submit(LARGE, job_type="image_fast")
    site.wait_until(lambda: fault.times == 0, timeout_s=30, what="refused uploads")
    (job,) = site.wait_done([job_id])
    first, second = site.store.attempts(job_id)
    assert (first.outcome, first.error["code"], second.outcome) == (
        "failed",
        "storage_failed",
        "succeeded",
    )
    assert (job.errors, job.crashes) == (1, 0)
    require_whole(site, job)


@pytest.mark.parametrize("store", STORES)
def test_a_worker_killed_in_the_middle_of_an_upload_leaves_no_half_object(make_remote, gate, store):
    site = make_remote(store)
    victim = site.start_worker(**FOREIGN)
    site.wait_ready()
    gate.close_to(SECOND_PART)
    (job_id,) = site.submit(LARGE, job_type="image_fast")
    site.wait_until(gate.has_held.is_set, timeout_s=30, what="upload")
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    gate.open()
    assert objects(site, job_id) == set()
    site.start_worker(**FOREIGN)
    (job,) = site.wait_done([job_id])
    assert [attempt.outcome for attempt in site.store.attempts(job_id)] == ["crashed", "succeeded"]
    require_whole(site, job)
