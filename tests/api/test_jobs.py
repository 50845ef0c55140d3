"""Jobs over HTTP: submit, read, steer."""

import itertools

import pytest

from ourvidz.core.job import JobState
from ourvidz.jobs.model import Beat, EventKind
from tests.api.worker import LEASE_S, WORKER, claim, fail, finish_job

PROMPT = {"prompt": "a red circle moving left"}


def submit(client, **values):
    answer = client.post("/api/v1/jobs", json=PROMPT | values)
    assert answer.status_code == 201, answer.text
    return answer.json()


def error_of(answer):
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "param", "hint"}
    return answer.json()["error"]


def test_a_submitted_job_is_stored_with_every_value_resolved(client, deps):
    made = submit(client, seed=7, num_inference_steps=9, metadata={"order": [1, {"a": None}]})
    stored = deps.store.get(made["id"])
    assert stored.request.seed == made["seed"] == 7
    assert stored.request.num_inference_steps == made["num_inference_steps"] == 9
    assert stored.state is JobState.QUEUED
    assert made["metadata"] == {"order": [1, {"a": None}]}
    assert made["queue_position"] == 0
    assert made["width"] == stored.request.width
    assert client.get(made["links"]["self"]).json() == made


def test_the_answer_to_a_submit_says_where_the_job_is(client):
    answer = client.post("/api/v1/jobs", json=PROMPT)
    assert answer.headers["location"] == f"http://127.0.0.1:8000/api/v1/jobs/{answer.json()['id']}"


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"job_type": "vidoe_fast"}, "job_type"),
        ({"preset": "nothing"}, "preset"),
        ({"num_frames": 34}, "num_frames"),
        ({"width": 100}, "width"),
        ({"width": "96"}, "width"),
        ({"seed": True}, "seed"),
        ({"num_images": 2}, "num_images"),
        ({"scheduler": "magic"}, "scheduler"),
        ({"guidance_scale": 1e9}, "guidance_scale"),
        ({"stepz": 3}, "stepz"),
        ({"delay_s": -1}, "delay_s"),
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"webhook_url": "ftp://example.com/x"}, None),
        ({"webhook_url": "http://user:pw@example.com/x"}, None),
        ({"webhook_url": "https://example.com/x", "webhook_events": []}, "webhook_events"),
    ],
)
def test_an_illegal_value_is_named(shared_client, values, param):
    answer = shared_client.post("/api/v1/jobs", json=PROMPT | values)
    assert answer.status_code == 400
    error = error_of(answer)
    if param:
        assert error["param"] == param
    assert shared_client.get("/api/v1/jobs").json()["data"] == []


def test_an_unknown_field_gets_the_nearest_name(shared_client):
    error = error_of(shared_client.post("/api/v1/jobs", json=PROMPT | {"guidance_scal": 3}))
    assert "guidance_scale" in error["hint"]


def test_metadata_has_a_limit(shared_client):
    answer = shared_client.post("/api/v1/jobs", json=PROMPT | {"metadata": {"a": "x" * 20_000}})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "too_large"


def test_a_refused_prompt_says_the_rule_and_not_the_prompt(shared_client):
    prompt = "a nude child"
    answer = shared_client.post("/api/v1/jobs", json={"prompt": prompt})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "policy_refused"
    assert prompt not in answer.text


def test_a_webhook_is_stored_with_its_events(client, deps):
    made = submit(client, webhook_url="https://example.com/hook", webhook_events=["claimed"])
    (callback,) = deps.store.get(made["id"]).callbacks
    assert (callback.kind, callback.url, callback.events) == (
        "webhook",
        "https://example.com/hook",
        ("claimed",),
    )


def test_a_batch_is_stored_whole_or_not_at_all(client, deps):
    jobs = [PROMPT | {"seed": seed} for seed in range(5)]
    answer = client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert answer.status_code == 201
    made = answer.json()
    assert [job["seed"] for job in made["data"]] == list(range(5))
    assert {job["batch_id"] for job in made["data"]} == {made["batch_id"]}

    jobs[3]["num_frames"] = 6
    assert client.post("/api/v1/jobs/batch", json={"jobs": jobs}).status_code == 400
    assert deps.store.counts().by_state["queued"] == 5
    listed = client.get("/api/v1/jobs", params={"batch_id": made["batch_id"]}).json()["data"]
    assert len(listed) == 5


def test_a_grid_makes_every_combination_with_one_seed(client):
    axes = {"guidance_scale": [3.0, 5.0, 7.0], "num_inference_steps": [4, 8]}
    answer = client.post("/api/v1/jobs/grid", json={"base": PROMPT, "axes": axes})
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    points = [(job["guidance_scale"], job["num_inference_steps"]) for job in made]
    assert points == list(itertools.product([3.0, 5.0, 7.0], [4, 8]))
    assert len({job["seed"] for job in made}) == 1
    assert made[1]["metadata"]["grid"] == {"guidance_scale": 3.0, "num_inference_steps": 8}


@pytest.mark.parametrize(
    ("axes", "param"),
    [
        ({"stepz": [1]}, "axes"),
        ({"seed": []}, "axes.seed"),
        ({"seed": list(range(100)), "fps": list(range(1, 7))}, "axes"),
        ({"seed": ["a"]}, "axes.seed"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(client, deps, axes, param):
    answer = client.post("/api/v1/jobs/grid", json={"base": PROMPT, "axes": axes})
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param
    assert not deps.store.counts().by_state.get("queued")


# Repeated requests


def test_the_same_idempotency_key_and_body_is_the_same_job(client, deps):
    headers = {"Idempotency-Key": "one"}
    first = client.post("/api/v1/jobs", json=PROMPT, headers=headers)
    again = client.post("/api/v1/jobs", json=PROMPT, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert deps.store.counts().by_state["queued"] == 1

    other = client.post("/api/v1/jobs", json={"prompt": "a blue star"}, headers=headers)
    assert other.status_code == 409
    assert error_of(other)["code"] == "idempotency_conflict"
    assert other.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_an_idempotency_key_has_a_form(shared_client, key):
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert shared_client.post("/api/v1/jobs", json=PROMPT, headers=headers).status_code == 400


def test_a_clients_own_retry_is_the_same_job(client, deps):
    first = client.post("/api/v1/jobs", json=PROMPT)
    retried = client.post("/api/v1/jobs", json=PROMPT, headers={"x-stainless-retry-count": "1"})
    assert retried.json()["id"] == first.json()["id"]
    meant = client.post("/api/v1/jobs", json=PROMPT, headers={"x-stainless-retry-count": "0"})
    assert meant.json()["id"] != first.json()["id"]
    assert deps.store.counts().by_state["queued"] == 2


# Listing


def test_pages_hold_every_job_once(client):
    made = [submit(client, seed=seed)["id"] for seed in range(7)]
    seen, cursor = [], None
    while True:
        page = client.get(
            "/api/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}
        )
        seen += [job["id"] for job in page.json()["data"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("cursor", ["!", "am9i", "x" * 100, "____"])
def test_a_made_up_cursor_is_refused(shared_client, cursor):
    answer = shared_client.get("/api/v1/jobs", params={"cursor": cursor})
    assert answer.status_code == 400
    assert error_of(answer)["param"] == "cursor"


def test_filters_leave_out_what_they_name(client, deps):
    video = submit(client)["id"]
    image = submit(client, job_type="sdxl_image_fast")["id"]
    client.post(f"/api/v1/jobs/{image}/cancel")

    def ids(**params):
        return [job["id"] for job in client.get("/api/v1/jobs", params=params).json()["data"]]

    assert ids(state="cancelled") == [image]
    assert ids(state=["cancelled", "queued"], is_oldest_first=True) == [video, image]
    assert ids(job_type="video_fast") == [video]
    assert ids(media_type="image/png") == [image]
    assert ids(text="CIRCLE", state="queued") == [video]
    assert ids(text="square") == []
    assert ids(source="bridge") == []
    assert ids(created_after="2100-01-01") == []
    assert ids(created_before="2100-01-01T00:00:00Z", state="queued") == [video]
    for wrong in ("yesterday", "1e400", ""):
        answer = client.get("/api/v1/jobs", params={"created_after": wrong})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "created_after")
    assert ids(created_before=2_000_000_000.0, state="queued") == [video]
    assert client.get("/api/v1/jobs", params={"state": "lost"}).status_code == 400
    assert client.get("/api/v1/jobs", params={"text": "a\x00"}).status_code == 400


# A job's life


def test_a_running_job_shows_step_and_eta(client, deps):
    for seed in range(6):
        finish_job(deps, submit(client, seed=seed)["id"])
    made = submit(client)
    job = claim(deps, made["id"])
    progress = {"phase": "denoise", "done": 3, "num_units": 25, "eta_s": 4.0}
    deps.store.beat(
        WORKER, [Beat(job_id=job.id, token=job.token, progress=progress)], lease_s=LEASE_S
    )
    shown = client.get(f"/api/v1/jobs/{job.id}").json()
    assert shown["state"] == "running"
    assert shown["queue_position"] is None
    told = shown["progress"]
    assert (told["phase"], told["step"], told["num_steps"], told["eta_s"]) == (
        "denoise",
        3,
        25,
        4.0,
    )
    assert told["eta_interval"]["low_s"] <= 4.0 <= told["eta_interval"]["high_s"]
    assert 0 <= told["percent"] <= 99
    assert shown["attempts"][0]["worker_id"] == WORKER
    assert shown["attempts"][0]["outcome"] is None


def test_the_interval_is_unknown_until_enough_jobs_have_run(client, deps):
    made = submit(client)
    claim(deps, made["id"])
    told = client.get(f"/api/v1/jobs/{made['id']}").json()["progress"]
    assert told["eta_s"] is None
    assert told["eta_interval"] is None


def test_a_preview_of_a_running_job_has_an_address(client, deps, tmp_path):
    job = claim(deps, submit(client)["id"])
    (tmp_path / "preview.webp").write_bytes(b"picture")
    place = {"bucket": "video_fast", "key": f"{job.id}/{job.token}/preview.webp"}
    deps.storage.put_file(**place, path=tmp_path / "preview.webp", media_type="image/webp")
    progress = {"phase": "decode", "preview": place}
    deps.store.beat(
        WORKER, [Beat(job_id=job.id, token=job.token, progress=progress)], lease_s=LEASE_S
    )
    url = client.get(f"/api/v1/jobs/{job.id}").json()["preview_url"]
    assert client.get(url).content == b"picture"
    told = client.get(f"/api/v1/jobs/{job.id}/events", params={"after": 0})
    assert told.json()["data"][-1]["data"]["has_preview"] is True
    assert "preview.webp" not in told.text


def test_a_finished_job_has_files_phases_and_both_prompts(client, deps):
    made = submit(client, job_type="video7b_fast_enhanced")
    finish_job(deps, made["id"], enhanced="a bright red circle moving slowly to the left")
    shown = client.get(f"/api/v1/jobs/{made['id']}").json()
    assert shown["state"] == "succeeded"
    assert shown["prompt"] == PROMPT["prompt"]
    assert shown["enhanced_prompt"] == "a bright red circle moving slowly to the left"
    assert shown["enhancement"]["verdict"] == "usable"
    assert shown["phases_s"]["denoise"] == 0.9
    assert shown["ledger"]["state"] == "resident"
    assert shown["adjustments"] == [{"code": "note", "text": "as asked"}]
    (asset,) = shown["assets"]
    assert asset["media_type"] == "video/mp4"
    assert client.get(asset["url"]).content[4:8] == b"ftyp"
    assert client.get(asset["thumbnail_url"]).content[:4] == b"RIFF"
    assert shown["preview_url"] == asset["thumbnail_url"]
    assert shown["started_at"] <= shown["finished_at"]
    assert "cancel" not in shown["links"]


def test_a_failed_job_says_why_without_paths(client, deps):
    made = submit(client)
    fail(deps, made["id"], message="can't write '/srv/secret/out/x.png'", code="output_unwritable")
    shown = client.get(f"/api/v1/jobs/{made['id']}").json()
    assert shown["state"] == "failed"
    assert shown["error"]["code"] == "output_unwritable"
    assert "secret" not in client.get(f"/api/v1/jobs/{made['id']}/events?after=0").text
    assert "secret" not in str(shown)
    assert shown["links"]["retry"].endswith("/retry")


def test_cancel_retry_and_delete(client, deps):
    made = submit(client)
    path = f"/api/v1/jobs/{made['id']}"
    assert client.post(f"{path}/retry").status_code == 409
    assert client.delete(path).status_code == 409
    assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{path}/retry").json()["state"] == "queued"
    client.post(f"{path}/cancel")
    assert client.delete(path).json() == {"id": made["id"], "is_deleted": True}
    assert client.get(path).status_code == 404


def test_cancelling_a_running_job_asks_its_worker(client, deps):
    made = submit(client)
    job = claim(deps, made["id"])
    assert client.post(f"/api/v1/jobs/{job.id}/cancel").json()["is_cancel_requested"] is True
    replies = deps.store.beat(WORKER, [Beat(job_id=job.id, token=job.token)], lease_s=LEASE_S)
    assert replies[job.id].cancel_requested


def test_deleting_a_job_deletes_its_files(client, deps):
    made = submit(client)
    finish_job(deps, made["id"])
    assert list(deps.storage.list_objects("video_fast"))
    assert client.delete(f"/api/v1/jobs/{made['id']}").status_code == 200
    assert list(deps.storage.list_objects("video_fast")) == []


def test_a_moved_job_goes_first(client, deps):
    first, second, third = (submit(client, seed=seed)["id"] for seed in range(3))
    assert client.post(f"/api/v1/jobs/{third}/move", json={"front": True}).status_code == 200
    moved = client.post(f"/api/v1/jobs/{second}/move", json={"before": first})
    assert moved.status_code == 200, moved.text
    order = [deps.store.claim(WORKER, lease_s=LEASE_S, overdue_s=1e9).id for _ in range(3)]
    assert order == [third, second, first]
    assert client.post(f"/api/v1/jobs/{third}/move", json={"front": True}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"front": True, "priority": 3}, {"front": False}])
def test_a_move_goes_to_exactly_one_place(client, body):
    made = submit(client)
    assert client.post(f"/api/v1/jobs/{made['id']}/move", json=body).status_code == 400


def test_pausing_holds_a_job_type_until_it_is_resumed(client, deps):
    made = submit(client)
    answer = client.post("/api/v1/queue/pause", json={"scope": "video_fast"})
    assert answer.json()["paused"] == ["video_fast"]
    assert deps.store.claim(WORKER, lease_s=LEASE_S, overdue_s=1e9) is None
    assert client.get(f"/api/v1/jobs/{made['id']}").json()["is_held"] is True
    assert client.post("/api/v1/queue/resume", json={"scope": "video_fast"}).json()["paused"] == []
    assert claim(deps).id == made["id"]
    refused = client.post("/api/v1/queue/pause", json={"scope": "video_fsat"})
    assert refused.status_code == 400
    assert "video_fast" in error_of(refused)["hint"]


def test_the_queue_counts(client, deps):
    submit(client)
    submit(client, job_type="sdxl_image_fast")
    queue = client.get("/api/v1/queue").json()
    assert queue["by_state"]["queued"] == 2
    assert queue["queued_by_job_type"] == {"sdxl_image_fast": 1, "video_fast": 1}
    assert queue["oldest_queued_s"] >= 0


def test_an_enhancement_is_a_job_that_can_be_waited_for(client, deps):
    answer = client.post("/api/v1/enhance", json={"prompt": "a red circle"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["kind"], made["state"]) == ("enhance", "queued")
    refused = client.post("/api/v1/enhance", json={"prompt": "a", "job_type": "video_fast"})
    assert refused.status_code == 400

    job = claim(deps, made["id"])
    enhancement = {"enhanced_prompt": "a large red circle", "verdict": "usable", "model": "m"}
    deps.store.set_enhancement(job.id, job.token, enhancement)
    deps.store.add_event(job.id, job.token, EventKind.ENHANCED, enhancement)
    assert deps.store.finish(job.id, job.token, result={}, assets=[])
    headers = {"x-stainless-retry-count": "1"}
    again = client.post("/api/v1/enhance", json={"prompt": "a red circle"}, headers=headers)
    assert again.status_code == 200
    assert again.json()["enhanced_prompt"] == "a large red circle"


def test_waiting_ends_as_soon_as_the_job_does(client, deps):
    import threading

    found = threading.Event()

    def work():
        while not found.wait(0.02):
            job = deps.store.claim(WORKER, lease_s=LEASE_S, overdue_s=1e9)
            if job is not None:
                deps.store.finish(job.id, job.token, result={}, assets=[])
                return

    worker = threading.Thread(target=work)
    worker.start()
    try:
        answer = client.post("/api/v1/enhance", json={"prompt": "a red circle", "wait_s": 60.0})
    finally:
        found.set()
        worker.join()
    assert answer.json()["state"] == "succeeded"
