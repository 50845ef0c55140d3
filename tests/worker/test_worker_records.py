"""Every job leaves a performance record, whatever became of it and whichever door it came by."""

import json
from dataclasses import replace

import pytest

from ourvidz.catalog.config import QueueConfig, Settings, catalogue_of
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import InvalidRequest, OutputUnwritable
from ourvidz.core.job import JobState
from ourvidz.core.phase import CompileState, LoadState, Phase, Span
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import JobKind, Source
from ourvidz.jobs.open import open_store
from ourvidz.perf.baselines import left_out_reasons
from ourvidz.perf.comparison import difference
from ourvidz.perf.record import Origin
from ourvidz.perf.records import StoreRecords
from ourvidz.perf.success import UNUSABLE_ENHANCEMENT, success_rate
from ourvidz.policy.build import build_policy
from ourvidz.worker.assemble import assemble_runner
from ourvidz.worker.inline import run_claimed
from ourvidz.worker.publish import ORIGIN_KEY
from ourvidz.worker.report import BATCHED, TOOK_TURNS, record_body
from ourvidz.worker.run import window_of
from ourvidz.worker.writers import OutputNames
from tests.jobs.factory import make_job
from tests.worker.test_service import Place

PROMPT = "a red circle moving left"


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "data")
    yield made
    made.store.close()


def records(store):
    return list(StoreRecords(store).records())


def run_inline(worker, request, store, folder, **job):
    """Run one job as `ourvidz generate` does."""
    new = make_job(request=request, source=Source.CLI, **job)
    held = store.submit_and_claim(new, worker_id="cli-test", lease_s=60.0)
    events = run_claimed(
        held,
        worker=worker,
        store=store,
        policy=build_policy(Settings().policy),
        queue=QueueConfig(lease_s=60.0),
        names=OutputNames(folder=folder, stem=held.id),
        cancel=CancelToken(),
    )
    for _ in events:
        pass
    return held


@pytest.fixture
def store(tmp_path):
    opened = open_store(Settings(data_dir=tmp_path / "data"))
    opened.migrate()
    yield opened
    opened.close()


def test_a_command_line_job_leaves_a_whole_record(worker, ask, store, tmp_path):
    request = ask("video_fast")
    job = run_inline(worker, request, store, tmp_path / "out")
    (record,) = records(store)
    assert (record.id, record.job_type, record.source) == (job.id, "video_fast", "cli")
    assert (record.origin, record.is_success, record.failure) == (Origin.LIVE, True, None)
    assert record.workload == workload_facts(request)
    assert record.settings["seed"] == 1
    assert record.state in {"cold", "warm", "resident"}
    assert record.compile_state == "eager"
    assert sum(record.phases_s.values()) + record.shared_s == pytest.approx(
        record.total_s, abs=1e-4
    )
    assert {"denoise", "decode", "save", "unattributed"} <= set(record.phases_s)
    assert len(record.step_times_s) == 3
    assert record.network_calls == 3 * (2 if request.uses_guidance else 1)
    assert 0 < record.image_s < record.total_s
    assert record.memory["host_peak_bytes"] >= record.memory["host_mean_bytes"] > 2**20
    assert not [name for name in record.memory if name.startswith("device_")]
    assert record.host["cpu_s"] > 0
    assert record.host["samples"] >= 2
    assert record.device == {}  # there is no GPU
    assert record.facts["files"] == 1
    assert (record.facts["num_frames"], record.facts["width"]) == (9, 64)
    assert record.facts["bytes"] > 0
    machine, setup = record.environment["machine"], record.environment["setup"]
    assert (machine["device"], setup["precision"]) == ("cpu", "float32")
    assert setup["model_files"][request.model]
    assert record.environment["software"]["torch"]
    assert record.flags == ()


def test_no_word_of_a_prompt_and_no_place_is_in_it(worker, ask, store, tmp_path):
    run_inline(worker, ask("sdxl_image_fast", prompt="my secret words"), store, tmp_path / "place")
    (stored,) = store.perf_records()
    text = json.dumps(stored.body)
    assert "secret" not in text
    assert str(tmp_path) not in text


def test_equal_jobs_compare_and_others_do_not(worker, ask, store, tmp_path):
    for seed, steps in ((1, 3), (1, 3), (2, 3), (2, 4)):
        request = ask("sdxl_image_fast", seed=seed, num_inference_steps=steps)
        run_inline(worker, request, store, tmp_path / f"{seed}-{steps}")
    _, first, second, longer = records(store)
    assert difference(first, second) == ()
    assert [one.field for one in difference(second, longer)] == ["num_inference_steps"]


def test_a_failed_command_leaves_the_class_of_its_failure(worker, ask, store, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("here is no folder")
    with pytest.raises(OutputUnwritable):
        run_inline(worker, ask("sdxl_image_fast"), store, blocked / "out")
    (record,) = records(store)
    assert (record.is_success, record.failure) == (False, OutputUnwritable.code)
    assert (record.source, record.phases_s) == ("cli", {})
    assert 0 <= record.total_s < 60
    assert record.environment["machine"]["device"] == "cpu"


def test_a_service_job_on_the_engine_leaves_the_same_kind_of_record(
    place, tiny_settings, worker, ask, store, tmp_path
):
    """One of the service and one of the command line, of one request, compare."""
    request = ask("sdxl_image_fast")
    for _ in range(2):
        run_inline(worker, request, store, tmp_path / "out")
    by_command = records(store)[-1]

    def make_runner():
        return assemble_runner(
            settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=SystemClock()
        )

    jobs = [make_job(request=request) for _ in range(2)]
    with place.working(make_runner=make_runner, catalogue=catalogue_of(tiny_settings)):
        for job in jobs:  # the second finds everything resident
            place.store.submit((job,))
            (done,) = place.done([job.id])
            assert done.state is JobState.SUCCEEDED, done.error
    by_service = records(place.store)[-1]
    assert by_service.source == "api"
    assert "upload" in by_service.phases_s
    assert by_service.host["cpu_cores_mean"] > 0
    assert difference(by_command, by_service) == ()


@pytest.mark.parametrize(
    ("prompt", "failure"),
    [("steps=2 refuse=1", InvalidRequest.code), ("steps=2 fail=9", "internal_error")],
)
def test_a_failed_service_job_leaves_the_class_of_its_failure(place, prompt, failure):
    (job_id,) = place.submit(prompt)
    with place.working():
        (job,) = place.done([job_id])
    assert job.state is JobState.FAILED
    (record,) = records(place.store)
    assert (record.id, record.is_success, record.failure) == (job_id, False, failure)
    assert record.workload == workload_facts(job.request)
    assert record.environment["machine"] == {"device": "test"}


def test_a_job_that_succeeds_at_last_leaves_one_record(place):
    (job_id,) = place.submit("steps=2 fail=1")
    with place.working():
        (job,) = place.done([job_id])
    assert job.state is JobState.SUCCEEDED
    (record,) = records(place.store)
    assert record.is_success


def test_cancelled_and_enhancing_jobs_leave_none(place):
    (waiting,) = place.submit("steps=500 step_ms=5", job_type="video_fast")
    (enhancing,) = place.submit(
        "a circle refuse=1", job_type="image7b_fast_enhanced", kind=JobKind.ENHANCE
    )
    with place.working():
        place.wait(lambda: place.store.get(waiting).state is JobState.RUNNING)
        place.store.cancel(waiting)
        place.done([waiting, enhancing])
    assert records(place.store) == []


@pytest.mark.parametrize(
    ("metadata", "origin"),
    [
        ({ORIGIN_KEY: "protocol"}, Origin.PROTOCOL),
        ({ORIGIN_KEY: "imported"}, Origin.LIVE),
        ({}, Origin.LIVE),
    ],
)
def test_a_benchmarks_jobs_are_told_from_peoples(place, ask, metadata, origin):
    job = make_job(request=ask("sdxl_image_fast", prompt="steps=1"), metadata=metadata)
    place.store.submit((job,))
    with place.working():
        place.done([job.id])
    (record,) = records(place.store)
    assert record.origin is origin


def finished_result(worker, request, folder):
    events = worker.run(
        request,
        job_id="job",
        names=OutputNames(folder=folder, stem="job"),
        cancel=CancelToken(),
    )
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def test_company_is_flagged(worker, ask, tmp_path):
    result = finished_result(worker, ask("sdxl_image_fast"), tmp_path)
    alone = record_body(result)
    assert alone["flags"] == []
    timing = replace(result.timing, batched_with=1, shared_s=result.timing.total_s / 2)
    assert record_body(replace(result, timing=timing))["flags"] == [BATCHED, TOOK_TURNS]
    barely = replace(result.timing, shared_s=result.timing.total_s / 1000)
    assert record_body(replace(result, timing=barely))["flags"] == []


@pytest.mark.parametrize(
    ("verdict", "flags"),
    [
        ("usable", []),
        ("refused", ["enhancement_refused"]),
        ("empty", ["enhancement_failed"]),
        ("runaway", ["enhancement_failed"]),
        ("off_language", ["enhancement_failed"]),
        ("unavailable", ["enhancement_failed"]),
    ],
)
def test_an_enhancement_that_was_no_prompt_is_flagged(worker, ask, tmp_path, verdict, flags):
    result = finished_result(worker, ask("sdxl_image_fast"), tmp_path)
    enhancement = Enhancement(
        original_prompt=PROMPT,
        enhanced_prompt=None,
        answer="",
        verdict=verdict,
        model="qwen",
        num_tokens_in=1,
        num_tokens_out=1,
        num_tokens_prompt=1,
        num_tokens_truncated=0,
    )
    assert record_body(replace(result, enhancement=enhancement))["flags"] == flags


def test_a_job_whose_enhancer_said_nonsense_is_delivered_and_counts_for_nothing(
    worker, ask, store, tmp_path
):
    """Random weights never make a prompt, and the default is the person's own."""
    run_inline(worker, ask("image7b_fast_enhanced"), store, tmp_path / "out")
    (record,) = records(store)
    assert record.is_success
    assert set(record.flags) <= UNUSABLE_ENHANCEMENT
    assert left_out_reasons(record) == record.flags != ()
    assert success_rate([record]).successes == 0


def test_samples_are_those_of_the_jobs_time_on_the_device(worker, ask, tmp_path):
    result = finished_result(worker, ask("video_fast"), tmp_path)
    start_s, end_s = window_of(result.timing)
    spans = {span.phase: span for span in result.timing.spans}
    assert start_s <= spans[Phase.DENOISE].start_s
    assert end_s >= spans[Phase.DECODE].end_s
    assert end_s <= max(span.end_s for span in result.timing.spans)
    waited = Span(phase=Phase.QUEUE_WAIT, start_s=0.0, end_s=start_s)
    queued = replace(result.timing, spans=(waited, *result.timing.spans))
    assert window_of(queued) == (start_s, end_s)
    assert result.timing.state in set(LoadState)
    assert result.timing.compile_state is CompileState.EAGER
