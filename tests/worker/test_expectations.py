"""What a worker learns from its jobs, and the interval that its ETA has from then on."""

from ourvidz.core.cancel import CancelToken
from ourvidz.core.event import Progress
from ourvidz.core.phase import Phase
from ourvidz.worker.expectations import Expectations
from ourvidz.worker.writers import OutputNames


def steps_of(worker, request, folder, job_id):
    names = OutputNames(folder=folder, stem=job_id)
    events = worker.run(request, job_id=job_id, names=names, cancel=CancelToken())
    return [
        event for event in events if isinstance(event, Progress) and event.phase is Phase.DENOISE
    ]


def test_nothing_is_expected_before_the_first_job(worker, ask, tmp_path):
    worker.expectations = Expectations()
    assert worker.expectations.of(ask(), worker.fingerprint) is None
    steps = steps_of(worker, ask(), tmp_path, "first")
    assert all(step.eta_s is not None and step.eta_low_s is None for step in steps)


def test_a_finished_job_gives_the_next_one_an_interval(worker, ask, tmp_path):
    worker.expectations = Expectations()
    steps_of(worker, ask(), tmp_path, "first")
    assert worker.expectations.forecaster.refresh().num_records == 1
    found = worker.expectations.of(ask(), worker.fingerprint)
    assert (found.n, found.basis) == (1, "history")
    assert "load" not in found.phases_s  # an ETA begins once the models are there
    steps = steps_of(worker, ask(), tmp_path, "second")
    assert all(step.eta_low_s < step.eta_s < step.eta_high_s for step in steps)


def test_another_model_is_not_expected_from_a_prior(worker, ask, tmp_path):
    worker.expectations = Expectations()
    steps_of(worker, ask("video_fast"), tmp_path, "first")
    worker.expectations.forecaster.refresh()
    assert worker.expectations.of(ask("sdxl_image_fast"), worker.fingerprint) is None
