"""What coming jobs need is told to the engine while others run, and comes back when none does."""

import threading
import time
from dataclasses import replace

import pytest

from ourvidz.catalog.config import catalogue_of
from ourvidz.checkpoints.synth import write_synth
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import WorkerInfo
from ourvidz.jobs.open import open_store
from ourvidz.models import reading
from ourvidz.worker.assemble import assemble_runner
from ourvidz.worker.foresight import Foresight
from ourvidz.worker.testing import TestRunner
from tests.jobs.factory import PLAN, make_job, make_request
from tests.worker.test_service import Place

IMAGE, VIDEO, ENHANCER = "sdxl-base-1.0", "wan2.1-t2v-1.3b", "qwen2.5-7b-instruct"


def wait_until(condition):
    pause, deadline_s = threading.Event(), time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        pause.wait(0.005)


# What the store tells


class Told(TestRunner):
    """Knows when it was told something."""

    def __init__(self):
        super().__init__()
        self.is_told = threading.Event()

    def expect(self, models, *, is_idle):
        super().expect(models, is_idle=is_idle)
        self.is_told.set()


@pytest.fixture
def store(tmp_path):
    from ourvidz.catalog.config import Settings

    opened = open_store(Settings(data_dir=tmp_path))
    opened.migrate()
    yield opened
    opened.close()


def told_by(store, *, is_idle, models=()):
    runner = Told()
    foresight = Foresight(store=store, runner=runner, models=models, poll_s=0.05)
    foresight.look(is_idle=is_idle)
    assert runner.is_told.wait(30)
    foresight.close()
    return runner.expected


def test_a_busy_worker_tells_what_the_queue_needs_enhancers_first(store):
    enhanced = make_request(model="other", enhancement=PLAN)
    store.submit([make_job(), make_job(), make_job(request=enhanced, priority=5)])
    expected = ("enhancer-model", "other", "image-model", "image-model")
    assert told_by(store, is_idle=False) == [(expected, False)]
    assert told_by(store, is_idle=False, models=["image-model"]) == [
        (("image-model", "image-model"), False)
    ]


def test_an_idle_worker_tells_what_was_used_lately_too(store):
    video = make_request(job_type="video_fast")
    store.submit([make_job(request=video), make_job(request=video), make_job()])
    for _ in range(3):
        job = store.claim("w", lease_s=20.0, overdue_s=900.0)
        store.fail(job.id, job.token, error={"code": "x"}, retry_in_s=None)
    assert told_by(store, is_idle=False) == [((), False)]
    assert told_by(store, is_idle=True) == [(("video-model", "image-model"), True)]
    assert told_by(store, is_idle=True, models=["image-model"]) == [(("image-model",), True)]


def test_it_looks_again_when_a_job_begins_or_ends_but_not_all_the_time(store):
    runner = TestRunner()
    foresight = Foresight(store=store, runner=runner, models=(), poll_s=3600.0)
    for count, is_idle in enumerate([True, False, True], start=1):
        foresight.look(is_idle=is_idle)
        wait_until(lambda count=count: len(runner.expected) == count and not foresight._is_looking)
        foresight.look(is_idle=is_idle)
        foresight.look(is_idle=is_idle)
    foresight.close()
    foresight.look(is_idle=False)
    assert [is_idle for _, is_idle in runner.expected] == [True, False, True]


def test_an_engines_defect_ends_nothing(store):
    class Broken(TestRunner):
        def expect(self, models, *, is_idle):
            super().expect(models, is_idle=is_idle)
            raise ZeroDivisionError

    runner = Broken()
    foresight = Foresight(store=store, runner=runner, models=(), poll_s=0.0)
    for count in (1, 2):
        foresight.look(is_idle=True)
        wait_until(lambda count=count: len(runner.expected) == count and not foresight._is_looking)
    assert foresight.memory == {}
    foresight.close()


def test_the_service_looks_ahead_and_shows_its_memory(tmp_path):
    place, runner = Place(tmp_path / "data"), TestRunner()
    with place.working(runner):
        (video,) = place.submit("steps=100000 step_ms=5", job_type="video_fast")
        place.wait(lambda: place.store.get(video).progress)
        (waiting,) = place.submit("steps=1", job_type="video_fast")
        model = place.store.get(waiting).request.model
        place.wait(lambda: ((model,), False) in runner.expected)

        def memory():
            return [worker.facts.get("memory") for worker in place.store.workers()]

        components = [{"model": model, "name": "all", "place": "device", "bytes": 2**20}]
        place.wait(lambda: memory() and (memory()[0] or {}).get("components") == components)
        place.store.cancel(video)
        place.done([video, waiting])
        place.wait(lambda: ((model,), True) in runner.expected)
    place.store.close()


@pytest.mark.slow
def test_a_restarted_service_is_warm_again_by_itself(tmp_path):
    place = Place(tmp_path / "data")

    def make_runner():
        return assemble_runner(
            settings=place.settings, catalogue=place.catalogue, clock=SystemClock()
        )

    (job_id,) = place.submit("a red circle", num_inference_steps=1, num_images=1)
    with place.working(make_runner=make_runner):
        (job,) = place.done([job_id])
        assert job.error is None
    with place.working(make_runner=make_runner):
        # Nobody asks for anything.
        place.wait(lambda: any(it.resident for it in place.store.workers()))
        (worker,) = place.store.workers()
        assert worker.resident.keys() == {job.request.model}
    place.store.close()


# What the engine does with it, on real models


@pytest.fixture
def runner(tiny_settings, tmp_path):
    settings = tiny_settings.model_copy(update={"data_dir": tmp_path})
    made = assemble_runner(settings=settings, catalogue=catalogue_of(settings), clock=SystemClock())
    yield made
    made.close()


def places(runner):
    return {(each["model"], each["name"]): each["place"] for each in runner.memory()["components"]}


def test_what_is_used_comes_back_to_a_new_process(runner):
    runner.expect([IMAGE, "a model of another release"], is_idle=True)
    names = ("text_encoder", "text_encoder_2", "unet", "vae")
    expected = {(IMAGE, name): "device" for name in names}
    wait_until(lambda: places(runner) == expected)
    memory = runner.memory()
    assert memory["level"] == "ok"
    assert memory["weights_bytes"] == sum(each["bytes"] for each in memory["components"]) > 0
    assert runner.resident().keys() == {IMAGE}


def test_beside_a_running_job_a_cpu_reads_files_ahead_and_no_more(runner, monkeypatch):
    read = threading.Event()
    monkeypatch.setattr(reading, "read_ahead", lambda files, max_bytes: read.set())
    runner.expect([ENHANCER], is_idle=False)
    assert read.wait(30)
    assert runner.resident() == {}
    assert places(runner)[ENHANCER, "model"] in {"page_cache", "disk"}


def test_a_model_that_is_not_here_is_left_out(tiny_settings, tmp_path):
    write_synth(family="sdxl", size="tiny", out=tmp_path / "models" / IMAGE, seed=0)
    settings = tiny_settings.model_copy(
        update={"models_dir": tmp_path / "models", "data_dir": tmp_path}
    )
    runner = assemble_runner(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    )
    runner.expect([VIDEO, ENHANCER, IMAGE], is_idle=True)
    wait_until(lambda: runner.resident().keys() == {IMAGE} and len(places(runner)) == 4)
    runner.close()


def test_an_endpoint_that_enhances_needs_no_enhancer_here(tiny_settings, tmp_path):
    settings = tiny_settings.model_copy(
        update={"data_dir": tmp_path, "enhancer_url": "http://127.0.0.1:1"}
    )
    runner = assemble_runner(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    )
    runner.expect([ENHANCER], is_idle=True)
    assert places(runner) == {}
    runner.close()


def test_idle_time_keeps_default_negative_prompts_once_their_encoder_is_here(
    runner, tiny_settings, tmp_path, ask
):
    assert not runner.use_idle_time()  # nothing is loaded for it
    runner.expect([IMAGE], is_idle=True)
    wait_until(lambda: len(places(runner)) == 4 and set(places(runner).values()) == {"device"})
    pieces = 0
    while runner.use_idle_time():
        pieces += 1
    settings = tiny_settings.model_copy(update={"data_dir": tmp_path})
    catalogue = catalogue_of(settings)
    texts = [t for t in catalogue.negative_prompts(catalogue.models[IMAGE], {}) if t]
    assert pieces == len(texts) > 0
    assert not runner.use_idle_time()

    other = assemble_runner(settings=settings, catalogue=catalogue, clock=SystemClock())
    request = replace(ask("sdxl_image_fast"), prompt=texts[0])  # both of its texts are known
    assert request.negative_prompt == texts[0]
    recorder = SpanRecorder(SystemClock())
    for _ in other._engine.generate(request, recorder=recorder, cancel=CancelToken()):
        pass
    (encode,) = (span for span in recorder.spans() if span.phase is Phase.ENCODE)
    assert encode.facts["cached"] is True
    assert (IMAGE, "text_encoder") not in places(other)
    other.close()


# Beside other workers


class Held(Told):
    """Has models, and a device of some size."""

    def __init__(self, *models):
        super().__init__()
        for model in models:
            self.load(model)


def put_peer(store, worker_id, *, resident=(), budget_bytes=0, state="idle"):
    store.put_worker(
        WorkerInfo(
            id=worker_id,
            host="h",
            pid=1,
            device="test",
            state=state,
            started_at=0.0,
            seen_at=0.0,
            models=(),
            resident=dict.fromkeys(resident, 10),
            jobs=(),
            facts={"memory": {"budget_bytes": budget_bytes}},
        )
    )


def part_of(store, worker_id, runner, *, sizes):
    foresight = Foresight(
        store=store, runner=runner, models=(), poll_s=0.05, worker_id=worker_id, sizes=sizes
    )
    foresight.look(is_idle=True)
    assert runner.is_told.wait(30)
    foresight.close()
    ((part, is_idle),) = runner.expected
    assert is_idle
    return part


def use(store, job_type, times, **timing):
    """Jobs of a type that were there and are no more."""
    for _ in range(times):
        store.submit([make_job(request=make_request(job_type=job_type))])
        job = store.claim("w", lease_s=20.0, overdue_s=900.0)
        body = {"request": workload_facts(job.request), "timing": timing}
        store.finish(job.id, job.token, result={}, assets=[], record=body)


def test_two_workers_divide_what_no_worker_holds_alone(store):
    use(store, "video_fast", 3)
    use(store, "sdxl_image_fast", 1)
    for name in ("a", "b"):
        put_peer(store, name, budget_bytes=15)
    sizes = {"video-model": 10, "image-model": 10}
    parts = [part_of(store, name, Held(), sizes=sizes) for name in ("a", "b")]
    assert sorted(parts) == [("image-model",), ("video-model",)]
    put_peer(store, "b", budget_bytes=15, state="draining")  # then one is alone
    assert part_of(store, "a", Held(), sizes=sizes) == ("video-model", "image-model")


def test_an_idle_worker_makes_room_for_what_nobody_has(store):
    use(store, "video_fast", 1)
    put_peer(store, "a", resident=["stranger"], budget_bytes=15)
    put_peer(store, "b", resident=["other"], budget_bytes=5)
    runner = Held("stranger")
    sizes = {"video-model": 10, "stranger": 10}
    assert part_of(store, "a", runner, sizes=sizes) == ("video-model",)
    assert runner.resident() == {}
    put_peer(store, "b", resident=["video-model"], budget_bytes=15)
    keeping = Held("stranger")
    part_of(store, "a", keeping, sizes=sizes)
    assert keeping.resident().keys() == {"stranger"}  # a second copy is not worth it


def test_no_room_is_made_for_what_never_worked(store):
    store.submit([make_job(request=make_request(job_type="video_fast"))])  # nobody has its files
    put_peer(store, "a", resident=["stranger"], budget_bytes=15)
    put_peer(store, "b", budget_bytes=5)
    runner = Held("stranger")
    sizes = {"video-model": 10, "stranger": 10}
    assert part_of(store, "a", runner, sizes=sizes) == ("video-model",)
    assert runner.resident().keys() == {"stranger"}


def test_long_work_brings_as_many_copies_as_it_keeps_busy(store):
    use(store, "video_fast", 4, total_s=1700.0)  # two of them in half an hour
    use(store, "sdxl_image_fast", 6, total_s=2.0)
    names = ("a", "b", "c")
    for name in names:
        put_peer(store, name, budget_bytes=15)
    sizes = {"video-model": 10, "image-model": 10}
    parts = [part_of(store, name, Held(), sizes=sizes) for name in names]
    assert sorted(parts) == [("image-model",), ("video-model",), ("video-model",)]


def test_beside_a_worker_without_a_budget_each_brings_what_was_used(store):
    use(store, "video_fast", 3)
    use(store, "sdxl_image_fast", 1)
    put_peer(store, "gpu", budget_bytes=15)
    put_peer(store, "cpu", budget_bytes=0)
    sizes = {"video-model": 10, "image-model": 10}
    for name in ("gpu", "cpu"):
        assert part_of(store, name, Held(), sizes=sizes) == ("video-model", "image-model")


def test_what_was_used_at_this_hour_of_earlier_weeks_is_expected(store, monkeypatch):
    use(store, "video_fast", 2)
    put_peer(store, "a", budget_bytes=10)
    put_peer(store, "b", budget_bytes=5)
    now = store.now()
    monkeypatch.setattr(store, "now", lambda: now + 7 * 86400.0)
    monkeypatch.setattr(store, "demand", lambda **_: ())  # not in the last hour
    assert part_of(store, "a", Held(), sizes={"video-model": 10}) == ("video-model",)
    monkeypatch.setattr(store, "now", lambda: now + 7 * 86400.0 + 12 * 3600.0)
    assert part_of(store, "a", Held(), sizes={"video-model": 10}) == ()
