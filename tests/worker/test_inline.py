"""A job in the process of who waits for it: what the store and the folder hold afterwards."""

import time
from pathlib import Path

import pytest

from ourvidz.catalog.config import QueueConfig, Settings
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, LeaseLost, OutputUnwritable, StoreUnavailable
from ourvidz.core.event import FramesReady, PhaseStarted, Progress
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Source
from ourvidz.jobs.open import open_store
from ourvidz.policy.build import build_policy
from ourvidz.worker.inline import run_claimed
from ourvidz.worker.writers import OutputNames
from tests.clocks import ManualClock
from tests.jobs.checker import check_job
from tests.jobs.factory import make_job

LEASE_S = 20.0
WAIT_S = 30.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path, clock):
    opened = open_store(Settings(data_dir=tmp_path / "data"), clock=clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def start(worker, ask, store, out):
    """Store a job as this process's own and return it, its cancel token and its events."""

    def begin(job_type="video_fast", *, folder=out, through=None, queue=None, **values):
        new = make_job(request=ask(job_type, **values), source=Source.CLI)
        job = store.submit_and_claim(new, worker_id="cli-test", lease_s=LEASE_S)
        cancel = CancelToken()
        settings = Settings()
        events = run_claimed(
            job,
            worker=worker,
            store=through or store,
            policy=build_policy(settings.policy),
            queue=queue or QueueConfig(lease_s=LEASE_S, beat_s=0.01),
            names=OutputNames(folder=folder, stem=job.id),
            cancel=cancel,
        )
        return job, cancel, events

    return begin


def drain(events, at: type = object, act=None):
    """Return the result; ``act`` is called once, at the first event of the type ``at``."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            return stop.value
        if act is not None and isinstance(event, at):
            act()
            act = None


def wait_until(holds):
    give_up_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up_s, "it never came"
        time.sleep(0.005)


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_the_store_holds_the_job_and_the_folder_its_files(start, store, out):
    job, _, events = start("sdxl_image_fast")
    result = drain(events)
    done = store.get(job.id)
    assert done.state is JobState.SUCCEEDED
    assert result.job_id == job.id
    paths = [Path(output["path"]) for output in done.result["outputs"]]
    assert paths == [Path(asset.path).absolute() for asset in result.outputs]
    assert all(path.is_absolute() and path.is_file() and path.parent == out for path in paths)
    assert store.assets(job.id) == ()
    (record,) = store.records(job_type="sdxl_image_fast")
    assert record["step_times_s"]
    kinds = [event.kind.value for event in store.events(job.id)]
    assert kinds[:2] == ["submitted", "claimed"]
    assert kinds[-1] == "succeeded"
    assert "phase" in kinds
    assert not check_job(store, job.id)


def test_both_prompts_are_kept_with_the_job(start, store):
    job, _, events = start("image7b_fast_enhanced")
    result = drain(events)
    done = store.get(job.id)
    assert done.enhancement == result.enhancement.to_dict()
    assert [note["code"] for note in done.adjustments] == [note.code for note in result.adjustments]


def test_progress_is_told_while_it_runs(start, store):
    job, _, events = start()
    drain(events, Progress, lambda: wait_until(lambda: store.get(job.id).progress is not None))
    told = [event for event in store.events(job.id) if event.kind == "progress"]
    assert set(told[0].data) == {
        "phase",
        "done",
        "num_units",
        "eta_s",
        "eta_low_s",
        "eta_high_s",
        "preview",
    }


def test_beats_keep_the_lease(start, store, clock):
    job, _, events = start()

    def outlive_the_first_lease():
        clock.advance(LEASE_S - 1)
        wait_until(lambda: store.get(job.id).lease_until > store.now() + LEASE_S / 2)
        clock.advance(LEASE_S / 2)

    drain(events, Progress, outlive_the_first_lease)
    assert store.reap(max_crashes=3) == ()
    assert store.get(job.id).state is JobState.SUCCEEDED


def test_an_error_fails_the_job_for_good(start, store, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    job, _, events = start(folder=tmp_path / "file" / "inside")
    with pytest.raises(OutputUnwritable):
        drain(events)
    failed = store.get(job.id)
    assert (failed.state, failed.error["code"]) == (JobState.FAILED, "output_unwritable")
    assert str(tmp_path) not in str(failed.error)
    assert not check_job(store, job.id)


def test_who_waits_may_cancel(start, store, out):
    job, cancel, events = start()
    with pytest.raises(Cancelled):
        drain(events, Progress, cancel.cancel)
    assert store.get(job.id).state is JobState.CANCELLED
    assert files_in(out) == []
    assert not check_job(store, job.id)


def test_others_may_cancel_through_the_store(start, store, out):
    job, cancel, events = start()

    def ask_and_wait():
        store.cancel(job.id)
        wait_until(lambda: cancel.is_cancelled)

    with pytest.raises(Cancelled):
        drain(events, PhaseStarted, ask_and_wait)
    assert store.get(job.id).state is JobState.CANCELLED
    assert files_in(out) == []
    assert not check_job(store, job.id)


def test_a_cancel_after_the_last_frame_takes_the_files_away(start, store, out):
    quiet = QueueConfig(lease_s=LEASE_S, beat_s=1000.0)
    job, _, events = start(queue=quiet)
    with pytest.raises(Cancelled):
        drain(events, FramesReady, lambda: store.cancel(job.id))
    assert store.get(job.id).state is JobState.CANCELLED
    assert files_in(out) == []
    assert not check_job(store, job.id)


def test_a_job_that_was_taken_back_leaves_no_file(start, store, clock, out):
    job, cancel, events = start()

    def lose():
        clock.advance(LEASE_S * 2)
        while store.get(job.id).state is JobState.RUNNING:  # a beat may have come between
            store.reap(max_crashes=3)
            clock.advance(LEASE_S * 2)
        wait_until(lambda: cancel.is_cancelled)

    with pytest.raises(LeaseLost):
        drain(events, Progress, lose)
    failed = store.get(job.id)
    assert (failed.state, failed.error["code"]) == (JobState.FAILED, "crashed")
    assert files_in(out) == []
    assert not check_job(store, job.id)


def test_a_job_that_was_taken_back_at_its_very_end_leaves_no_file(start, store, clock, out):
    quiet = QueueConfig(lease_s=LEASE_S, beat_s=1000.0)
    job, _, events = start(queue=quiet)

    def lose():
        clock.advance(LEASE_S * 2)
        while store.get(job.id).state is JobState.RUNNING:
            store.reap(max_crashes=3)
            clock.advance(LEASE_S * 2)

    with pytest.raises(LeaseLost):
        drain(events, FramesReady, lose)
    assert files_in(out) == []


def test_an_end_that_nobody_waits_for_cancels_the_job(start, store, out):
    job, _, events = start()
    next(events)
    events.close()
    assert store.get(job.id).state is JobState.CANCELLED
    assert files_in(out) == []


class Deaf:
    """A real store whose answer to one method never comes."""

    def __init__(self, store, method):
        self._store, self._method = store, method

    def __getattr__(self, name):
        if name == self._method:
            raise StoreUnavailable
        return getattr(self._store, name)


def test_finished_files_stay_where_the_store_can_not_be_told(start, store, out):
    queue = QueueConfig(lease_s=0.01, beat_s=0.01)
    job, _, events = start(through=Deaf(store, "finish"), queue=queue)
    with pytest.raises(StoreUnavailable) as caught:
        drain(events)
    assert f"{job.id}.mp4" in str(caught.value.hint)
    assert {path.suffix for path in files_in(out)} == {".mp4", ".webp", ".json"}


def test_a_store_that_hears_no_beat_does_not_stop_the_job(start, store):
    job, _, events = start(through=Deaf(store, "beat"))
    drain(events)
    assert store.get(job.id).state is JobState.SUCCEEDED
