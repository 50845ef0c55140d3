"""Jobs in this process: what ends one of them leaves the others alone."""

from types import SimpleNamespace

import pytest

from ourvidz.bench.protocol import in_process
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, OutOfMemory
from tests.perf.protocol.runs import make_plan


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Engine and job are played; settings, store and submission are real."""
    settings = Settings(data_dir=tmp_path, profile="pocket")
    runner = in_process.InProcess(
        settings=settings, catalogue=catalogue_of(settings), folder=tmp_path
    )
    engine = SimpleNamespace(forget_prompts=lambda: None, close=lambda: None)
    runner._worker = SimpleNamespace(engine=engine)
    yield runner
    runner.close()


def planned():
    return make_plan("image_fast", repeats=1).runs()[0]


def test_a_late_beat_of_a_finished_job_does_not_end_the_run(runner, monkeypatch):
    given = []

    def run_claimed(job, *, cancel, **_):
        given.append(cancel)
        yield
        cancel.cancel()  # what a beat does that finds the job finished
        raise OutOfMemory("played")

    monkeypatch.setattr(in_process, "run_claimed", run_claimed)
    cancel = CancelToken()
    for _ in range(2):
        ran = runner.run(planned(), plan_id="bench_1", cancel=cancel)
        assert ran.error == "played"
    assert not cancel.is_cancelled
    assert len(set(map(id, given))) == 2


def test_who_stops_the_run_stops_its_job(runner, monkeypatch):
    cancel = CancelToken()

    def run_claimed(job, *, cancel: CancelToken, **_):
        yield
        outer.cancel()
        cancel.raise_if_cancelled()

    outer = cancel
    monkeypatch.setattr(in_process, "run_claimed", run_claimed)
    with pytest.raises(Cancelled):
        runner.run(planned(), plan_id="bench_1", cancel=cancel)
