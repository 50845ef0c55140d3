"""The worker service, against a real SQLite store and local storage, in this process."""

import contextlib
import io
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

from ourvidz.catalog.config import catalogue_of, load_settings
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import StorageFailed, StoreUnavailable
from ourvidz.core.job import JobState
from ourvidz.jobs.model import TERMINAL_STATES, EventKind, JobKind
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.policy.policy import Verdict
from ourvidz.storage.open import open_storage
from ourvidz.worker.assemble import assemble_runner
from ourvidz.worker.service import WorkerService
from ourvidz.worker.testing import TestRunner
from tests.jobs.checker import check_store

QUEUE = {
    "lease_s": 6.0,
    "beat_s": 0.5,
    "reap_s": 0.5,
    "poll_s": 0.05,
    "retry_s": 0.02,
    "drain_s": 20.0,
}


class Recording(TestRunner):
    """Remembers what it was asked to start."""

    def __init__(self):
        super().__init__()
        self.started = []

    def start(self, orders):
        self.started.append([order.job_id for order in orders])
        return super().start(orders)


class Failing:
    """A storage whose first uploads fail."""

    def __init__(self, storage, failures):
        self._storage, self._failures = storage, failures

    def put_file(self, *arguments, **named):
        if self._failures:
            self._failures -= 1
            raise StorageFailed
        return self._storage.put_file(*arguments, **named)

    def __getattr__(self, name):
        return getattr(self._storage, name)


class Unreachable:
    """A store that does not take the first results."""

    def __init__(self, store, failures):
        self._store, self.failures = store, failures

    def finish(self, *arguments, **named):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable
        return self._store.finish(*arguments, **named)

    def __getattr__(self, name):
        return getattr(self._store, name)


class RefusingEnhanced:
    """Lets every prompt pass but enhanced ones."""

    def check(self, prompt, *, stage):
        is_allowed = stage.value != "enhanced"
        return Verdict(is_allowed=is_allowed, rule="test", reason="it is enhanced")


class Place:
    def __init__(self, root, **queue):
        self.settings = load_settings(data_dir=root, queue={**QUEUE, **queue}, device="cpu")
        self.catalogue = catalogue_of(self.settings)
        self.store = open_store(self.settings)
        self.store.migrate()
        self.storage = open_storage(self.settings)
        self.policy = build_policy(self.settings.policy)
        self.submitter = Submitter(
            store=self.store,
            catalogue=self.catalogue,
            settings=self.settings,
            policy=self.policy,
        )

    def submit(self, *prompts, job_type="sdxl_image_fast", kind=JobKind.GENERATE, **values):
        drafts = [
            Draft(prompt=prompt, job_type=job_type, kind=kind, values=values) for prompt in prompts
        ]
        return [job.id for job in self.submitter.submit(drafts).jobs]

    def service(self, runner=None, **changes):
        made = runner or TestRunner()
        arguments = {
            "settings": self.settings,
            "catalogue": self.catalogue,
            "store": self.store,
            "storage": self.storage,
            "policy": self.policy,
            "make_runner": lambda: made,
            **changes,
        }
        return WorkerService(**arguments)

    @contextlib.contextmanager
    def working(self, runner=None, **changes):
        service = self.service(runner, **changes)
        thread = threading.Thread(target=service.run, name="service")
        thread.start()
        try:
            yield service
        finally:
            service.stop()
            thread.join(timeout=30.0)
            assert not thread.is_alive()

    def wait(self, condition, *, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            pause.wait(0.01)

    def done(self, ids):
        self.wait(lambda: all(self.store.get(i).state in TERMINAL_STATES for i in ids))
        return [self.store.get(job_id) for job_id in ids]

    def kinds(self, job_id):
        return [event.kind for event in self.store.events(job_id)]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "data")
    yield made
    made.store.close()


def test_a_pocket_job_from_the_store_to_storage(place):
    def make_runner():
        return assemble_runner(
            settings=place.settings, catalogue=place.catalogue, clock=SystemClock()
        )

    (job_id,) = place.submit(
        "a red circle on a blue background", num_inference_steps=2, num_images=1
    )
    with place.working(make_runner=make_runner) as service:
        (job,) = place.done([job_id])
        assert job.state is JobState.SUCCEEDED, job.error
    (asset,) = place.store.assets(job_id)
    file = place.storage.open(asset.bucket, asset.key)
    image = Image.open(io.BytesIO(b"".join(file.chunks)))
    assert image.size == (asset.facts["width"], asset.facts["height"])
    assert asset.bucket == "sdxl_image_fast"
    thumbnail = place.storage.open(asset.bucket, asset.thumbnail_key)
    assert Image.open(io.BytesIO(b"".join(thumbnail.chunks))).format == "WEBP"
    assert str(place.settings.data_dir) not in repr(job.result)
    timing = job.result["timing"]
    named_s = sum(timing["phases_s"].values()) + timing["unattributed_s"] + timing["shared_s"]
    assert named_s == pytest.approx(timing["total_s"], abs=1e-4)
    assert {"denoise", "decode", "upload"} <= set(timing["phases_s"])
    events = place.store.events(job_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    phases = [event.data["phase"] for event in events if event.kind is EventKind.PHASE]
    assert phases.index("denoise") < phases.index("decode")
    (record,) = place.store.records()
    assert place.store.durations_s(job.request.workload)
    assert record
    assert not (place.settings.data_dir / "work" / service.worker_id).exists()
    assert place.store.workers() == ()


@pytest.mark.slow
def test_every_job_type_succeeds_on_the_pocket_models(tmp_path):
    """All ten at once, so that images take turns with videos and equal ones run as a batch."""
    place = Place(tmp_path / "data", lease_s=20.0, beat_s=5.0)

    def make_runner():
        return assemble_runner(
            settings=place.settings, catalogue=place.catalogue, clock=SystemClock()
        )

    prompt = "a red circle moves left on a blue background"
    ids = [
        job_id
        for job_type in place.catalogue.job_types
        for job_id in place.submit(prompt, job_type=job_type, num_inference_steps=3)
    ]
    ids += place.submit(*[prompt] * 3, num_inference_steps=3, num_images=2)
    with place.working(make_runner=make_runner):
        place.wait(lambda: all(place.store.get(i).is_terminal for i in ids), timeout_s=110.0)
    jobs = [place.store.get(job_id) for job_id in ids]
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, [job.error for job in jobs]
    assert check_store(place.store, ids) == []
    batched = [job.result["timing"]["batched_with"] for job in jobs[-3:]]
    assert batched == [2, 2, 2]
    shared = [
        job.result["timing"]["shared_s"] for job in jobs if "enhanced" in job.request.job_type
    ]
    assert any(shared)
    place.store.close()


def test_many_jobs_each_publish_once(place):
    ids = place.submit(*["steps=2 step_ms=1"] * 30, job_type="image_fast")
    with place.working():
        jobs = place.done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert all(len(place.store.assets(job_id)) == 1 for job_id in ids)
    assert all(len(place.store.attempts(job_id)) == 1 for job_id in ids)
    assert check_store(place.store, ids) == []


def test_a_submit_wakes_a_worker_that_looks_once_an_hour(tmp_path):
    place = Place(tmp_path / "data", poll_s=3600.0)
    with place.working():
        place.wait(lambda: [worker.state for worker in place.store.workers()] == ["idle"])
        (first,) = place.submit("steps=2 step_ms=1", job_type="image_fast")
        place.done([first])
        (video,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
        place.wait(lambda: place.store.get(video).progress)
        (guest,) = place.done(place.submit("steps=1"))  # one beside it is seen too
        place.store.cancel(video)
        place.done([video])
    assert guest.state is JobState.SUCCEEDED
    place.store.close()


def test_errors_are_retried_and_say_nothing_of_this_machine(place):
    once, ever, refused = place.submit(
        "steps=2 fail=1", "steps=2 fail=99", "steps=2 refuse=1", job_type="image_fast"
    )
    with place.working():
        again, failed, invalid = place.done([once, ever, refused])
    assert (again.state, again.errors) == (JobState.SUCCEEDED, 1)
    assert (failed.state, failed.errors) == (JobState.FAILED, place.settings.queue.max_errors)
    assert failed.error["code"] == "internal_error"
    assert "the test asked" not in repr(failed.error)
    assert (invalid.state, invalid.error["code"]) == (JobState.FAILED, "invalid_request")
    assert len(place.store.attempts(refused)) == 1


def test_cancelling_a_running_job_stops_it(place):
    (job_id,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
    with place.working():
        place.wait(lambda: place.store.get(job_id).progress)
        place.store.cancel(job_id)
        (job,) = place.done([job_id])
        (after,) = place.done(place.submit("steps=1", job_type="image_fast"))
    assert job.state is JobState.CANCELLED
    assert place.store.attempts(job_id)[0].outcome == "cancelled"
    assert after.state is JobState.SUCCEEDED


def test_an_image_takes_turns_with_a_running_video(place):
    (video,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
    with place.working():
        place.wait(lambda: place.store.get(video).progress)
        images = [*place.submit("steps=3"), *place.submit("steps=3", job_type="image_fast")]
        jobs = place.done(images)
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert place.store.get(video).state is JobState.RUNNING
        place.store.cancel(video)
        place.done([video])


def test_waiting_jobs_of_one_shape_run_as_one_batch(place):
    ids = place.submit(*["steps=2"] * 4, num_images=2)
    runner = Recording()
    with place.working(runner):
        jobs = place.done(ids)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert [len(started) for started in runner.started] == [4]
    assert all(len(place.store.assets(job_id)) == 2 for job_id in ids)


def test_the_next_job_is_encoded_ahead(place):
    runner = TestRunner()
    first, second = place.submit("steps=200 step_ms=5", "steps=1 the next", job_type="video_fast")
    with place.working(runner):
        place.done([first, second])
    assert runner.encoded == ["steps=1 the next"]


def test_the_enhanced_prompt_is_kept_and_looked_at(place):
    (job_id,) = place.submit("steps=1 a red circle", job_type="image7b_fast_enhanced")
    with place.working():
        (job,) = place.done([job_id])
    assert job.state is JobState.SUCCEEDED
    assert job.enhancement["enhanced_prompt"] == "steps=1 a red circle, enhanced"
    (other,) = place.submit("steps=1 a red circle", job_type="image7b_fast_enhanced")
    with place.working(policy=RefusingEnhanced()):
        (refused,) = place.done([other])
    assert (refused.state, refused.error["code"]) == (JobState.FAILED, "policy_refused")
    assert place.store.assets(other) == ()
    with place.working(policy=RefusingEnhanced()):
        place.store.retry(other)  # what is kept of the first attempt is looked at again
        (refused,) = place.done([other])
    assert (refused.state, refused.error["code"]) == (JobState.FAILED, "policy_refused")


def test_a_job_that_only_enhances_delivers_no_file(place):
    (job_id,) = place.submit("a red circle", job_type="image7b_fast_enhanced", kind=JobKind.ENHANCE)
    with place.working():
        (job,) = place.done([job_id])
    assert job.state is JobState.SUCCEEDED
    assert job.result["enhancement"]["enhanced_prompt"] == "a red circle, enhanced"
    assert place.store.assets(job_id) == ()
    assert place.store.records() == ()


def test_a_stopping_worker_finishes_what_it_has(place):
    running, waiting = place.submit("steps=60 step_ms=5", "steps=1", job_type="video_fast")
    with place.working() as service:
        place.wait(lambda: place.store.get(running).state is JobState.RUNNING)
        service.stop()
        assert service.wait_ended(20.0)
    assert place.store.get(running).state is JobState.SUCCEEDED
    assert place.store.get(waiting).state is JobState.QUEUED


def test_what_a_stopping_worker_can_not_finish_goes_back(tmp_path):
    place = Place(tmp_path / "data", drain_s=0.0)
    (job_id,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
    with place.working() as service:
        place.wait(lambda: place.store.get(job_id).state is JobState.RUNNING)
        service.stop()
        assert service.wait_ended(20.0)
    job = place.store.get(job_id)
    assert (job.state, job.errors, job.crashes) == (JobState.QUEUED, 0, 0)
    assert place.store.attempts(job_id)[0].outcome == "released"
    place.store.close()


def test_a_storage_that_fails_for_a_while_costs_no_second_run(place):
    (job_id,) = place.submit("steps=1", num_images=1)
    with place.working(storage=Failing(place.storage, 2)):
        (job,) = place.done([job_id])
    assert job.state is JobState.SUCCEEDED
    assert len(place.store.attempts(job_id)) == 1


def test_a_result_waits_for_a_store_that_is_away(place):
    (job_id,) = place.submit("steps=1", job_type="image_fast")
    store = Unreachable(place.store, 2)
    with place.working(store=store):
        (job,) = place.done([job_id])
    assert (job.state, store.failures) == (JobState.SUCCEEDED, 0)
    assert len(place.store.attempts(job_id)) == 1


def test_who_could_not_renew_publishes_nothing(tmp_path):
    place = Place(tmp_path / "data", lease_s=1.0, beat_s=0.2, reap_s=100.0)
    (job_id,) = place.submit("steps=300 step_ms=10", job_type="video_fast")
    service = place.service()
    service._heartbeat._hear = lambda message: service._heartbeat._is_ready.set()  # no news at all
    thread = threading.Thread(target=service.run)
    thread.start()
    place.wait(lambda: place.store.get(job_id).state is JobState.RUNNING)
    place.wait(lambda: not service._held)
    assert place.store.assets(job_id) == ()
    assert EventKind.SUCCEEDED not in place.kinds(job_id)
    service.stop()
    thread.join(timeout=30.0)
    assert not thread.is_alive()
    place.store.close()


def test_a_job_beyond_its_deadline_fails(tmp_path):
    place = Place(tmp_path / "data", deadline_floor_s=0.2, max_errors=1)
    (job_id,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
    with place.working():
        (job,) = place.done([job_id])
    assert (job.state, job.error["code"]) == (JobState.FAILED, "deadline_exceeded")
    place.store.close()


def test_what_is_logged_about_a_job_is_in_its_history_without_paths(place):
    class Talking(TestRunner):
        def advance(self, run, *, block_s):
            logging.getLogger("ourvidz.engine").warning(
                "read /data/models/x.safetensors at 2 GiB/s"
            )
            return super().advance(run, block_s=block_s)

    (job_id,) = place.submit("steps=2 refuse=1", job_type="image_fast")
    with place.working(Talking()):
        place.done([job_id])
    texts = [e.data["text"] for e in place.store.events(job_id) if e.kind is EventKind.LOG]
    assert "read (path) at 2 GiB/s" in texts
    assert any("asked to be refused" in text for text in texts)


def test_what_killed_workers_left_is_swept(place):
    host, dead = socket.gethostname(), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    work = place.settings.data_dir / "work"
    names = [f"{host}-{dead.pid}-abc123", f"{host}-{os.getpid()}-abc123", f"{host}-{dead.pid}-fff"]
    for name in names:
        (work / name / "job").mkdir(parents=True)
    for name in names[:2]:
        os.utime(work / name, (0, 0))
    with place.working():
        place.wait(lambda: place.store.workers())
    assert sorted(path.name for path in work.iterdir()) == sorted(names[1:])


def test_a_command_that_comes_while_the_worker_starts_is_kept(place):
    runner, may_start = TestRunner(), threading.Event()

    def make_runner():
        assert may_start.wait(30.0)
        return runner

    with place.working(make_runner=make_runner) as service:
        place.wait(lambda: place.store.workers())
        place.store.command_worker(service.worker_id, "load", "pocket-image")
        place.wait(lambda: not has_commands(place))
        may_start.set()
        place.wait(lambda: "pocket-image" in runner.resident())


def test_a_worker_that_never_started_ends_with_its_commands(place):
    may_fail = threading.Event()

    def make_runner():
        assert may_fail.wait(30.0)
        raise OSError("no device")

    service, errors = place.service(make_runner=make_runner), []

    def run():
        try:
            service.run()
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, name="service")
    thread.start()
    place.wait(lambda: place.store.workers())
    place.store.command_worker(service.worker_id, "load", "pocket-image")
    place.wait(lambda: not has_commands(place))
    may_fail.set()
    thread.join(timeout=30.0)
    assert errors == ["no device"]
    assert place.store.workers() == ()


def has_commands(place):
    with contextlib.closing(sqlite3.connect(place.settings.data_dir / "ourvidz.db")) as database:
        return database.execute("select count(*) from worker_command").fetchone()[0] > 0


def test_operators_commands_reach_the_worker(place):
    runner = TestRunner()
    with place.working(runner) as service:
        place.wait(lambda: place.store.workers())
        place.store.command_worker(service.worker_id, "load", "pocket-image")
        place.wait(lambda: runner.resident())
        place.wait(lambda: place.store.workers()[0].resident)
        place.store.command_worker(service.worker_id, "drain")
        assert service.wait_ended(20.0)
