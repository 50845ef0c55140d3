"""What both stores do alike: leases, fences, order, history, dedup, quotas, outbox, keys."""

import pytest

from ourvidz.core.errors import (
    IdempotencyConflict,
    IllegalState,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
)
from ourvidz.core.job import JobState
from ourvidz.jobs.model import (
    PRIORITY_FRONT,
    ApiKey,
    Beat,
    Dedup,
    Demand,
    EventKind,
    JobFilter,
    Quotas,
    Source,
    WorkerInfo,
)
from tests.jobs.checker import check_job
from tests.jobs.factory import (
    PLAN,
    make_asset,
    make_callback,
    make_enhance_job,
    make_job,
    make_request,
)

LEASE_S = 20.0
ERROR = {"code": "out_of_memory", "message": "It was too large.", "param": None, "hint": None}


def submit(store, *jobs, **options):
    return store.submit(jobs or (make_job(),), **options).jobs


def claim(store, worker="w1", **options):
    return store.claim(worker, **{"lease_s": LEASE_S, "overdue_s": 900.0, **options})


def finish(store, job, **options):
    return store.finish(
        job.id, job.token, **{"result": {"ok": True}, "assets": [make_asset(job.token)], **options}
    )


def kinds_of(store, job):
    return [event.kind.value for event in store.events(job.id)]


def claim_order(store, count, **options):
    return [claim(store, **options).id for _ in range(count)]


def test_a_job_from_submit_to_published(store):
    (job,) = submit(store, make_job(metadata={"mine": "ü\0"}, tenant="a"))
    assert job.state is JobState.QUEUED
    assert store.get(job.id, tenant="a") == job
    running = claim(store)
    assert (running.state, running.token, running.worker_id) == (JobState.RUNNING, 1, "w1")
    asset = make_asset(1)
    assert finish(store, running, assets=[asset], adjustments=[{"code": "c", "text": "t"}])
    done = store.get(job.id)
    assert (done.state, done.result, done.lease_until) == (JobState.SUCCEEDED, {"ok": True}, None)
    assert done.adjustments == ({"code": "c", "text": "t"},)
    assert done.metadata == {"mine": "ü\0"}
    assert done.request == job.request
    assert [found.id for found in store.assets(job.id)] == [asset.id]
    assert store.attempts(job.id)[0].outcome == "succeeded"
    assert kinds_of(store, job) == ["submitted", "claimed", "succeeded"]
    assert not check_job(store, job.id)
    assert claim(store) is None


def test_other_tenants_jobs_are_not_found(store):
    (job,) = submit(store, make_job(tenant="a"))
    for act in (store.get, store.cancel, store.retry, store.delete_job):
        with pytest.raises(NotFound):
            act(job.id, tenant="b")
    with pytest.raises(NotFound):
        store.move(job.id, tenant="b", front=True)
    with pytest.raises(NotFound):
        store.get("job_none")


def test_an_old_token_changes_nothing(store, clock):
    (job,) = submit(store)
    old = claim(store)
    clock.advance(LEASE_S + 1)
    assert store.reap(max_crashes=3) == (job.id,)
    new = claim(store, "w2")
    assert new.token == 2
    assert not finish(store, old)
    assert not store.fail(job.id, 1, error=ERROR, retry_in_s=None)
    assert not store.confirm_cancel(job.id, 1)
    assert not store.release(job.id, 1, reason="drain")
    assert not store.add_event(job.id, 1, EventKind.NOTE, {})
    assert not store.set_enhancement(job.id, 1, {})
    reply = store.beat("w1", [Beat(job_id=job.id, token=1)], lease_s=LEASE_S)[job.id]
    assert not reply.is_alive
    assert store.get(job.id) == new
    assert finish(store, new)
    assert not finish(store, old)
    assert not check_job(store, job.id)


def test_finish_said_again_is_true_and_changes_nothing(store):
    submit(store)
    job = claim(store)
    assert finish(store, job)
    before = store.get(job.id)
    assert finish(store, job)
    assert store.get(job.id) == before
    assert len(store.assets(job.id)) == 1


def test_beats_keep_a_lease_and_tell_progress(store, clock):
    submit(store)
    job = claim(store)
    for step in range(3):
        clock.advance(LEASE_S - 1)
        beat = Beat(job_id=job.id, token=1, progress={"step": step})
        reply = store.beat("w1", [beat], lease_s=LEASE_S)[job.id]
        assert (reply.is_alive, reply.cancel_requested) == (True, False)
        assert store.reap(max_crashes=3) == ()
    assert store.get(job.id).progress == {"step": 2}
    assert [event.data for event in store.events(job.id, after=2)] == [
        {"step": 0},
        {"step": 1},
        {"step": 2},
    ]


def test_a_crashed_job_runs_again_and_then_fails_as_crashed(store, clock):
    (job,) = submit(store)
    for crash in range(1, 4):
        assert claim(store).token == crash
        clock.advance(LEASE_S + 1)
        assert store.reap(max_crashes=3) == (job.id,)
        assert store.reap(max_crashes=3) == ()
        assert (store.get(job.id).crashes, store.get(job.id).errors) == (crash, 0)
    failed = store.get(job.id)
    assert (failed.state, failed.error["code"]) == (JobState.FAILED, "crashed")
    assert [attempt.outcome for attempt in store.attempts(job.id)] == ["crashed"] * 3
    assert not check_job(store, job.id)


def test_a_job_stored_by_who_runs_it_is_nobody_elses(store):
    job = store.submit_and_claim(make_job(source=Source.CLI), worker_id="cli-1", lease_s=LEASE_S)
    assert (job.state, job.worker_id, job.token) == (JobState.RUNNING, "cli-1", 1)
    assert job.lease_until == pytest.approx(store.now() + LEASE_S)
    assert store.get(job.id) == job
    assert claim(store) is None
    assert store.peek() is None
    assert kinds_of(store, job) == ["submitted", "claimed"]
    assert finish(store, job, assets=[])
    assert store.get(job.id).state is JobState.SUCCEEDED
    assert store.attempts(job.id)[0].outcome == "succeeded"
    assert not check_job(store, job.id)


def test_neither_pause_nor_delay_holds_what_never_waits(store):
    store.pause("all")
    new = make_job(source=Source.CLI, delay_s=60.0)
    job = store.submit_and_claim(new, worker_id="cli-1", lease_s=LEASE_S)
    assert (job.state, job.is_held) == (JobState.RUNNING, False)
    assert store.fail(job.id, job.token, error=ERROR, retry_in_s=None)
    store.resume("all")
    assert claim(store) is None


def test_what_its_runner_stores_is_charged_like_what_is_claimed(store):
    ran = make_job(tenant="a", source=Source.CLI, predicted_s=50.0)
    submit(store, make_job(tenant="a"), make_job(tenant="b"))
    store.submit_and_claim(ran, worker_id="cli-1", lease_s=LEASE_S)
    assert claim(store).tenant == "b"


def test_a_command_lines_job_fails_at_its_first_crash(store, clock):
    own = store.submit_and_claim(make_job(source=Source.CLI), worker_id="cli-1", lease_s=LEASE_S)
    asked = store.submit_and_claim(make_job(source=Source.CLI), worker_id="cli-2", lease_s=LEASE_S)
    submit(store)
    served = claim(store)
    store.cancel(asked.id)
    clock.advance(LEASE_S + 1)
    assert set(store.reap(max_crashes=3)) == {own.id, asked.id, served.id}
    failed = store.get(own.id)
    assert (failed.state, failed.error["code"], failed.crashes) == (JobState.FAILED, "crashed", 1)
    assert store.get(asked.id).state is JobState.CANCELLED
    assert store.get(served.id).state is JobState.QUEUED
    assert claim(store, "w2").id == served.id
    assert claim(store, "w2") is None
    assert not finish(store, own)
    for job in (own, asked):
        assert not check_job(store, job.id)


def test_errors_are_retried_after_a_wait_until_none_is_left(store, clock):
    submit(store, make_job(max_errors=2))
    job = claim(store)
    assert store.fail(job.id, 1, error=ERROR, retry_in_s=5.0, device_s=1.0)
    waiting = store.get(job.id)
    assert (waiting.state, waiting.errors, waiting.error) == (JobState.QUEUED, 1, ERROR)
    assert claim(store) is None
    assert store.peek() is None
    clock.advance(5.0)
    assert store.peek().id == job.id
    assert store.fail(claim(store).id, 2, error=ERROR, retry_in_s=5.0)
    assert store.get(job.id).state is JobState.FAILED
    assert kinds_of(store, job)[-3:] == ["requeued", "claimed", "failed"]
    assert not check_job(store, job.id)


def test_an_error_that_no_retry_mends_fails_at_once(store):
    submit(store)
    job = claim(store)
    assert store.fail(job.id, 1, error=ERROR, retry_in_s=None)
    assert store.get(job.id).state is JobState.FAILED


def test_cancel_in_every_state(store, clock):
    queued, running, crashed, erring = submit(store, *(make_job() for _ in range(4)))
    assert store.cancel(queued.id).state is JobState.CANCELLED
    for _ in range(3):
        claim(store)
    for job in (running, crashed, erring):
        asked = store.cancel(job.id)
        assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
        assert store.cancel(job.id).event_seq == asked.event_seq
    beats = [Beat(job_id=running.id, token=1)]
    assert store.beat("w1", beats, lease_s=LEASE_S)[running.id].cancel_requested
    assert store.confirm_cancel(running.id, 1)
    assert store.fail(erring.id, 1, error=ERROR, retry_in_s=1.0)
    clock.advance(LEASE_S + 1)
    assert store.reap(max_crashes=3) == (crashed.id,)
    for job in (queued, running, crashed, erring):
        ended = store.get(job.id)
        assert (ended.state, ended.error["code"]) == (JobState.CANCELLED, "cancelled")
        assert store.cancel(job.id) == ended
        assert not check_job(store, job.id)


def test_a_cancelled_job_publishes_nothing(store):
    submit(store)
    job = claim(store)
    store.cancel(job.id)
    assert not finish(store, job)
    assert store.get(job.id).state is JobState.CANCELLED
    assert store.assets(job.id) == ()
    assert not check_job(store, job.id)


def test_confirming_a_cancel_that_nobody_asked_for(store):
    submit(store)
    job = claim(store)
    assert not store.confirm_cancel(job.id, 1)
    assert store.get(job.id).state is JobState.RUNNING


def test_release_counts_nothing_and_keeps_the_place(store):
    first, second = submit(store, make_job(), make_job())
    assert claim(store).id == first.id
    assert store.release(first.id, 1, reason="drain")
    back = store.get(first.id)
    assert (back.state, back.errors, back.crashes) == (JobState.QUEUED, 0, 0)
    assert store.events(first.id)[-1].data["why"] == "drain"
    assert claim_order(store, 2) == [first.id, second.id]
    assert store.attempts(first.id)[0].outcome == "released"


def test_retry_starts_anew_and_keeps_the_enhancement(store):
    (job,) = submit(store)
    claim(store)
    assert store.set_enhancement(job.id, 1, {"enhanced_prompt": "more"})
    with pytest.raises(IllegalState):
        store.retry(job.id)
    store.fail(job.id, 1, error=ERROR, retry_in_s=None)
    again = store.retry(job.id)
    assert (again.state, again.errors, again.error) == (JobState.QUEUED, 0, None)
    assert again.enhancement == {"enhanced_prompt": "more"}
    assert claim(store).token == 2
    with pytest.raises(IllegalState):
        store.retry(job.id)
    assert finish(store, store.get(job.id))
    with pytest.raises(IllegalState):
        store.retry(job.id)
    assert not check_job(store, job.id)


def test_claims_follow_bands_then_residency_then_creation(store):
    video = make_request(job_type="video_fast")
    low = make_job(priority=-5)
    image = make_job()
    clip = make_job(request=video)
    high = make_job(priority=10, request=video)
    ids = [job.id for job in submit(store, low, image, clip, high)]
    assert store.peek(resident=["video-model"]).id == high.id
    order = claim_order(store, 4, resident=["video-model"])
    assert order == [ids[3], ids[2], ids[1], ids[0]]


def test_without_residency_the_older_job_goes_first_over_all_models(store):
    jobs = [make_job(request=make_request(model=name)) for name in ("z", "a", "m", "a")]
    ids = [job.id for job in submit(store, *jobs)]
    assert claim_order(store, 4, resident=["other"]) == ids


def test_what_waited_too_long_goes_before_everything(store, clock):
    old, older = make_job(priority=-100), make_job(priority=-50)
    submit(store, older)
    clock.advance(10)
    submit(store, old)
    clock.advance(1000)
    (fresh,) = submit(store, make_job(priority=100))
    assert claim_order(store, 3) == [older.id, old.id, fresh.id]


def test_a_worker_takes_only_its_models_and_kinds(store):
    video, enhance, image = (
        make_job(request=make_request(job_type="video_fast")),
        make_enhance_job(),
        make_job(),
    )
    submit(store, video, enhance, image)
    assert claim(store, models=["nothing"]) is None
    assert claim(store, kinds=["enhance"]).id == enhance.id
    assert claim(store, kinds=["enhance"]) is None
    assert store.peek(models=["image-model"]).id == image.id
    assert claim(store, models=["image-model"]).id == image.id
    assert claim(store, models=["image-model"]) is None
    assert claim(store).id == video.id


def test_tenants_share_by_predicted_seconds_and_weight(store):
    store.set_tenant_weight("heavy", 2.0)
    for tenant in ("light", "heavy"):
        submit(store, *(make_job(tenant=tenant, predicted_s=10.0) for _ in range(8)))
    first = [claim(store).tenant for _ in range(9)]
    assert first.count("heavy") == 6
    assert first.count("light") == 3


def test_the_charge_is_corrected_by_what_a_job_took(store):
    submit(store, *(make_job(tenant="a", predicted_s=10.0) for _ in range(3)))
    submit(store, *(make_job(tenant="b", predicted_s=10.0) for _ in range(3)))
    job = claim(store)
    assert job.tenant == "a"
    assert finish(store, job, device_s=100.0)
    assert [claim(store).tenant for _ in range(4)] == ["b", "b", "b", "a"]


def test_a_tenant_that_rested_gets_no_credit_for_it(store):
    submit(store, *(make_job(tenant="busy", predicted_s=10.0) for _ in range(12)))
    for _ in range(6):
        finish(store, claim(store), device_s=10.0)
    submit(store, *(make_job(tenant="rested", predicted_s=10.0) for _ in range(6)))
    tenants = [claim(store).tenant for _ in range(6)]
    assert tenants.count("rested") == 3


def test_moves(store):
    a, b, c, d = submit(store, *(make_job() for _ in range(4)))
    store.move(d.id, front=True)
    store.move(c.id, front=True)
    store.move(b.id, before=a.id)
    assert store.get(c.id).priority == PRIORITY_FRONT
    assert [store.queue_position(job.id) for job in (c, d, b, a)] == [0, 1, 2, 3]
    moved = store.move(c.id, after=a.id)
    assert moved.priority == 0
    store.move(a.id, priority=7)
    assert claim_order(store, 4) == [d.id, a.id, b.id, c.id]
    assert kinds_of(store, c).count("moved") == 2


@pytest.mark.parametrize("models", [("m1", "m2"), ("m2", "m1")])
def test_equal_positions_in_two_lanes_go_by_id(store, models):
    first, second = (make_job(request=make_request(model=model)) for model in models)
    assert first.id < second.id
    submit(store, first, second)
    store.move(second.id, front=True)
    store.move(first.id, front=True)
    running = claim(store)
    moved = store.move(second.id, front=True)
    assert running.id == first.id
    assert moved.position == running.position
    store.release(running.id, running.token, reason="drain")
    assert claim_order(store, 2) == [first.id, second.id]


def test_many_moves_between_two_neighbours_find_room(store):
    jobs = submit(store, *(make_job() for _ in range(12)))
    ids = [job.id for job in jobs]
    expected = list(ids)
    for turn in range(60):
        moved = expected[2 + turn % 9]
        expected.remove(moved)
        expected.insert(1, moved)
        store.move(moved, after=ids[0])
    (newest,) = submit(store)
    assert claim_order(store, 13) == [*expected, newest.id]


def test_moves_that_make_no_sense(store):
    a, b = submit(store, make_job(), make_job())
    for bad in ({}, {"front": True, "priority": 1}, {"priority": 101}, {"after": a.id}):
        with pytest.raises(InvalidRequest):
            store.move(a.id, **bad)
    claim(store)
    with pytest.raises(IllegalState):
        store.move(a.id, front=True)
    with pytest.raises(IllegalState):
        store.move(b.id, after=a.id)
    with pytest.raises(NotFound):
        store.move(b.id, after="job_none")


def test_pause_holds_what_waits_and_what_comes(store, clock):
    running, image = submit(store, make_job(), make_job())
    assert claim(store).id == running.id
    store.pause("sdxl_image_fast")
    store.pause("sdxl_image_fast")
    (later,) = submit(store)
    (video,) = submit(store, make_job(request=make_request(job_type="video_fast")))
    assert [store.get(job.id).is_held for job in (image, later, video)] == [True, True, False]
    assert store.counts().paused == ("sdxl_image_fast",)
    assert claim(store).id == video.id
    clock.advance(LEASE_S + 1)
    store.reap(max_crashes=3)
    assert store.get(running.id).is_held
    store.pause("all")
    store.resume("sdxl_image_fast")
    assert claim(store) is None
    store.resume("all")
    assert claim_order(store, 4) == [running.id, image.id, later.id, video.id]


def test_delayed_jobs_wait_and_are_not_overdue_when_they_come(store, clock):
    (late,) = submit(store, make_job(delay_s=1000.0))
    assert claim(store) is None
    clock.advance(999.0)
    (other,) = submit(store, make_job(priority=1))
    clock.advance(1.0)
    assert claim_order(store, 2) == [other.id, late.id]


def test_jobs_of_one_shape_are_taken_together(store):
    small = make_request(width=32)
    jobs = [make_job(), make_job(request=small), make_job(), make_job(priority=1), make_job()]
    submit(store, *jobs)
    claim(store)
    lead = claim(store)
    assert lead.id == jobs[0].id
    more = store.claim_same_shape("w1", lead, limit=1, lease_s=LEASE_S)
    assert [job.id for job in more] == [jobs[2].id]
    more = store.claim_same_shape("w1", lead, limit=5, lease_s=LEASE_S)
    assert [(job.id, job.token, job.worker_id) for job in more] == [(jobs[4].id, 1, "w1")]
    (video,) = submit(store, make_job(request=make_request(job_type="video_fast"), priority=9))
    assert store.claim_same_shape("w1", claim(store), limit=5, lease_s=LEASE_S) == ()
    assert not check_job(store, video.id, must_be_terminal=False)


def test_a_key_makes_one_job(store, clock):
    dedup = Dedup(key="k", body_hash="h")
    first = store.submit([make_job(key_id="key1")], dedup=dedup)
    again = store.submit([make_job(key_id="key1")], dedup=dedup)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.jobs == first.jobs
    with pytest.raises(IdempotencyConflict):
        store.submit([make_job(key_id="key1")], dedup=Dedup(key="k", body_hash="other"))
    other_key = store.submit([make_job(key_id="key2")], dedup=dedup)
    other_tenant = store.submit([make_job(key_id="key1", tenant="t")], dedup=dedup)
    assert not other_key.is_replay
    assert not other_tenant.is_replay
    clock.advance(25 * 3600)
    assert not store.submit([make_job(key_id="key1")], dedup=dedup).is_replay


def test_reaping_forgets_old_keys(store, clock):
    dedup = Dedup(key="k", body_hash="h")
    store.submit([make_job()], dedup=dedup)
    clock.advance(25 * 3600)
    store.reap(max_crashes=3)
    assert not store.submit([make_job()], dedup=Dedup(key="k", body_hash="other")).is_replay


def test_ids_of_the_old_queues_are_remembered_for_a_month(store, clock):
    dedup = Dedup(key="legacy:7", body_hash="h")
    first = store.submit([make_job()], dedup=dedup)
    clock.advance(29 * 24 * 3600)
    store.reap(max_crashes=3)
    assert store.submit([make_job()], dedup=dedup).jobs == first.jobs
    clock.advance(2 * 24 * 3600)
    store.reap(max_crashes=3)
    assert not store.submit([make_job()], dedup=dedup).is_replay


def test_other_names_of_a_file_are_kept_with_it(store):
    store.submit([make_job()])
    job = claim(store)
    asset = make_asset(job.token)
    assert store.finish(job.id, job.token, result={}, assets=[asset])
    store.note_published(asset.id, key="u/v.png", thumbnail_key="u/v.webp")
    names = {"published_key": "u/v.png", "published_thumbnail_key": "u/v.webp"}
    assert store.asset(asset.id).facts == {**asset.facts, **names}
    with pytest.raises(NotFound):
        store.note_published("asset_none", key="u/v.png", thumbnail_key=None)


def test_what_waits_counts_against_the_device_seconds(store):
    quotas = Quotas(device_seconds_per_day=10.0)
    store.submit([make_job(key_id="k", predicted_s=6.0)], quotas=quotas)
    with pytest.raises(QuotaExceeded):
        store.submit([make_job(key_id="k", predicted_s=6.0)], quotas=quotas)
    store.submit([make_job(key_id="k", predicted_s=4.0)], quotas=quotas)


def test_a_retried_post_is_recognised_by_its_body(store, clock):
    store.submit([make_job()], dedup=Dedup(body_hash="h"))
    second = store.submit([make_job()], dedup=Dedup(body_hash="h"))
    assert not second.is_replay
    retried = Dedup(body_hash="h", retried_within_s=600.0)
    assert store.submit([make_job()], dedup=retried).jobs == second.jobs
    assert not store.submit([make_job(tenant="t")], dedup=retried).is_replay
    clock.advance(601.0)
    assert not store.submit([make_job()], dedup=retried).is_replay


def test_quotas_hold_all_or_nothing(store, clock):
    quotas = Quotas(queued_jobs=2, device_seconds_per_day=25.0)
    store.submit([make_job(key_id="k", predicted_s=5.0)], quotas=quotas)
    with pytest.raises(QuotaExceeded) as refused:
        store.submit([make_job(key_id="k") for _ in range(2)], quotas=quotas)
    assert refused.value.retry_after_s > 0
    assert store.counts().by_state == {"queued": 1}
    finish(store, claim(store), device_s=20.0)
    assert store.device_seconds("k", within_s=60.0) == 20.0
    with pytest.raises(QuotaExceeded) as refused:
        store.submit([make_job(key_id="k", predicted_s=6.0)], quotas=quotas)
    assert refused.value.retry_after_s == pytest.approx(24 * 3600.0)
    store.submit([make_job(key_id="other", predicted_s=6.0)], quotas=quotas)
    clock.advance(24 * 3600.0)
    store.submit([make_job(key_id="k", predicted_s=6.0)], quotas=quotas)
    assert store.device_seconds("k", within_s=60.0) == 0.0


def test_messages_are_told_until_settled(store, clock):
    callback = make_callback("claimed", "succeeded")
    (job,) = submit(store, make_job(callbacks=(callback, make_callback("failed"))))
    running = claim(store)
    store.release(job.id, 1, reason="drain")
    running = claim(store)
    finish(store, running)
    started, done = store.claim_outbox(limit=10, lease_s=30.0)
    assert (started.event, done.event, done.url) == ("claimed", "succeeded", callback.url)
    assert done.payload["job_id"] == job.id
    assert done.payload["facts"] == {"n": 1}
    assert len(done.payload["assets"]) == 1
    assert store.claim_outbox(limit=10, lease_s=30.0) == ()
    store.settle_outbox(started.id, retry_in_s=None)
    store.settle_outbox(done.id, retry_in_s=5.0, error="status 500")
    clock.advance(5.0)
    (again,) = store.claim_outbox(limit=10, lease_s=30.0)
    assert (again.id, again.tries) == (done.id, 1)
    clock.advance(31.0)
    assert [item.id for item in store.claim_outbox(limit=10, lease_s=30.0)] == [done.id]
    store.settle_outbox(done.id, retry_in_s=None, error="gone")
    assert [(item["state"], item["tries"]) for item in store.outbox(job.id)] == [
        ("delivered", 1),
        ("failed", 2),
    ]
    clock.advance(100.0)
    assert store.claim_outbox(limit=10, lease_s=30.0) == ()


def test_a_message_outlives_its_job(store):
    (job,) = submit(store, make_job(callbacks=(make_callback("cancelled"),)))
    with pytest.raises(IllegalState):
        store.delete_job(job.id)
    store.cancel(job.id)
    store.delete_job(job.id)
    with pytest.raises(NotFound):
        store.get(job.id)
    assert (store.events(job.id), store.attempts(job.id)) == ((), ())
    assert [item.event for item in store.claim_outbox(limit=5, lease_s=1.0)] == ["cancelled"]


def test_lists_and_filters(store, clock):
    image, video = (
        make_job(tenant="a", source=Source.BRIDGE),
        make_job(request=make_request(job_type="video_fast", prompt="100% Äpfel"), batch_id="b"),
    )
    submit(store, image, video)
    third = submit(store, make_job())[0]
    claim(store)

    def ids(**where):
        return [job.id for job in store.list_jobs(JobFilter(**where))]

    assert ids() == [third.id, video.id, image.id]
    assert ids(tenant="a") == [image.id]
    assert ids(states=(JobState.RUNNING,)) == [image.id]
    assert ids(states=(JobState.RUNNING, JobState.QUEUED), media_type="video/mp4") == [video.id]
    assert ids(job_types=("video_fast",)) == ids(batch_id="b") == ids(text="äPFEL") == [video.id]
    assert ids(text="0% ") == [video.id]
    assert ids(text="0_ ") == []
    assert ids(sources=(Source.BRIDGE,)) == [image.id]
    assert ids(created_after=clock.now().timestamp()) == []
    everything = JobFilter()
    page = store.list_jobs(everything, limit=2)
    rest = store.list_jobs(everything, limit=2, after=page[-1].id)
    assert [job.id for job in (*page, *rest)] == ids()
    oldest = store.list_jobs(everything, limit=1, newest_first=False)
    assert [job.id for job in oldest] == [image.id]


def test_counts_and_predictions(store, clock):
    record = {"timing": {"phases_s": {"denoise": 3.0}}}
    submit(store, *(make_job() for _ in range(3)))
    for seconds in (4.0, 6.0):
        job = claim(store)
        clock.advance(seconds)
        finish(store, job, record=record)
    counts = store.counts()
    assert counts.by_state == {"queued": 1, "succeeded": 2}
    assert counts.queued_by_job_type == {"sdxl_image_fast": 1}
    assert counts.oldest_queued_s == pytest.approx(10.0)
    assert store.counts(tenant="nobody").by_state == {}
    workload = job.request.workload
    assert store.durations_s(workload) == (pytest.approx(6.0), pytest.approx(4.0))
    assert store.phases_s(workload, limit=1) == ({"denoise": 3.0},)
    assert store.records(job_type="sdxl_image_fast") == (record, record)
    assert store.records(job_type="video_fast") == ()


def test_assets_are_listed_expired_and_forgotten(store, clock):
    assets = []
    for age in range(3):
        submit(store, make_job(tenant=f"t{age}"))
        job = claim(store)
        assets.append(make_asset(num_bytes=100))
        finish(store, job, assets=[assets[-1]])
        clock.advance(10.0)
    ids = [asset.id for asset in assets]
    assert [item.id for item in store.list_assets()] == ids[::-1]
    assert [item.id for item in store.list_assets(limit=5, after=ids[1])] == [ids[0]]
    assert [item.id for item in store.list_assets(tenant="t1")] == [ids[1]]
    assert [item.id for item in store.assets_to_expire(older_than_s=15.0, total_bytes=None)] == (
        ids[:2]
    )
    assert [item.id for item in store.assets_to_expire(older_than_s=None, total_bytes=250)] == (
        ids[:1]
    )
    assert store.is_published("images", assets[0].key)
    assert store.is_published("images", assets[0].thumbnail_key)
    assert not store.is_published("videos", assets[0].key)
    with pytest.raises(NotFound):
        store.asset(ids[0], tenant="t1")
    store.mark_assets_deleted([ids[0]])
    assert not store.is_published("images", assets[0].key)
    with pytest.raises(NotFound):
        store.asset(ids[0])
    assert store.asset(ids[1], tenant="t1").num_bytes == 100


def test_workers_and_their_commands(store, clock):
    worker = WorkerInfo(
        id="w1",
        host="h",
        pid=1,
        device="cpu",
        state="idle",
        started_at=1.0,
        seen_at=0.0,
        models=("m",),
        resident={"m": 5},
        jobs=(),
        facts={"version": "1"},
    )
    with pytest.raises(NotFound):
        store.command_worker("w1", "drain")
    store.put_worker(worker)
    store.put_worker(worker)
    (seen,) = store.workers()
    assert (seen.resident, seen.seen_at) == ({"m": 5}, store.now())
    store.command_worker("w1", "load", "m")
    store.command_worker("w1", "drain")
    assert [(item.verb, item.model) for item in store.take_commands("w1")] == [
        ("load", "m"),
        ("drain", None),
    ]
    assert store.take_commands("w1") == ()
    clock.advance(61.0)
    assert store.workers() == ()
    store.beat("w1", [], lease_s=LEASE_S)
    assert len(store.workers()) == 1
    store.remove_worker("w1")
    store.remove_worker("w1")
    assert store.workers() == ()


def test_keys(store, clock):
    key = ApiKey(
        id="key_1",
        tenant="a",
        name="n",
        prefix="ov_",
        scopes=("jobs",),
        quotas=Quotas(queued_jobs=3),
        created_at=store.now(),
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    store.add_key(key, sha256="abc")
    assert store.find_key("xyz") is None
    assert store.find_key("abc") == key
    assert store.find_key("abc").last_used_at == store.now()
    with pytest.raises(NotFound):
        store.revoke_key("key_1", tenant="b")
    assert store.revoke_key("key_1", tenant="a").revoked_at == store.now()
    assert [found.id for found in store.keys(tenant="a")] == ["key_1"]
    assert store.keys(tenant="b") == ()
    with pytest.raises(IllegalState):
        store.add_key(key, sha256="def")


def test_a_batch_is_stored_whole_or_not_at_all(store):
    job = make_job()
    with pytest.raises(IllegalState):
        store.submit([make_job(), job, job])
    assert store.counts().by_state == {}


# What is worth bringing before it is claimed


def test_upcoming_tells_what_the_next_jobs_need(store):
    assert store.upcoming() == ()
    video = make_request(job_type="video_fast")
    enhanced = make_request(model="other-image", enhancement=PLAN)
    submit(store, *(make_job() for _ in range(10)))
    submit(store, make_job(request=video, priority=10), make_job(request=enhanced))
    submit(store, make_enhance_job(), make_job(request=make_request(model="z"), delay_s=60.0))
    found = store.upcoming()
    assert found[0] == Demand(model="video-model", num_jobs=1)  # of the top band
    assert set(found[1:]) == {
        Demand(model="image-model", num_jobs=8),
        Demand(model="enhancer-model", num_jobs=1),
        Demand(model="other-image", num_jobs=1, enhancer="enhancer-model"),
    }
    assert claim(store).request.model == "video-model"
    assert set(store.upcoming()) == set(found[1:])


def test_upcoming_asks_for_no_enhancer_twice(store):
    (job,) = submit(store, make_job(request=make_request(enhancement=PLAN)))
    claimed = claim(store)
    assert store.set_enhancement(job.id, claimed.token, {"enhanced_prompt": "rich"})
    assert store.release(job.id, claimed.token, reason="drain")
    assert store.upcoming() == (Demand(model="image-model", num_jobs=1),)


def test_what_is_paused_is_not_upcoming(store):
    submit(store)
    store.pause("all")
    assert store.upcoming() == ()


def test_demand_counts_what_was_used_lately(store, clock):
    submit(store, make_job(request=make_request(model="long-ago")))
    clock.advance(3600)
    video = make_request(job_type="video_fast")
    submit(store, *(make_job(request=video) for _ in range(3)))
    submit(store, *(make_job(request=make_request(enhancement=PLAN)) for _ in range(2)))
    submit(store, make_enhance_job())
    claim(store)
    assert store.demand(within_s=1800.0) == (
        Demand(model="enhancer-model", num_jobs=3),
        Demand(model="video-model", num_jobs=3),
        Demand(model="image-model", num_jobs=2),
    )
