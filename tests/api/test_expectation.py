"""What a job would take, before it starts, in the queue and while it runs, over HTTP."""

import numpy as np
import pytest

from ourvidz.jobs.model import Beat
from tests.api.records import fill
from tests.api.test_jobs import PROMPT, submit
from tests.api.test_system import put_worker
from tests.api.worker import LEASE_S, WORKER, claim
from tests.perf.prediction.simulated import drawn, run


@pytest.fixture
def known(deps):
    """A store with the history of the pocket video model; the service has read it."""
    rng = np.random.default_rng(5)
    runs = [
        run(index, drawn(rng) | {"model": "pocket-video"}, rng=rng, noise=0.02)
        for index in range(30)
    ]
    fill(deps.store, runs)
    deps.forecaster.refresh()
    return deps


def expect(client, **values):
    answer = client.post("/api/v1/jobs/expect", json=PROMPT | values)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_dry_question_stores_nothing(client, known):
    before = client.get("/api/v1/queue").json()["by_state"]
    found = expect(client)
    assert found["expected"]["basis"] == "history"
    assert found["expected"]["num_records"] == 30
    interval = found["expected"]
    assert interval["low_s"] < interval["total_s"] < interval["high_s"]
    assert sum(interval["phases_s"].values()) == pytest.approx(interval["total_s"], abs=0.01)
    assert client.get("/api/v1/queue").json()["by_state"] == before


def test_more_steps_are_expected_to_take_longer(client, known):
    few, many = (expect(client, num_inference_steps=steps)["expected"] for steps in (10, 40))
    assert many["phases_s"]["denoise"] == pytest.approx(4 * few["phases_s"]["denoise"], rel=0.1)


def test_a_model_that_a_worker_holds_need_not_be_loaded(client, known):
    cold = expect(client)["expected"]
    put_worker(known)
    resident = expect(client)["expected"]
    assert (cold["state"], resident["state"]) == ("cold", "resident")
    assert "load" in cold["phases_s"]
    assert "load" not in resident["phases_s"]


def test_without_history_the_answer_says_that_it_is_a_prior(client):
    assert expect(client)["expected"]["basis"] == "prior"


def test_a_dry_question_is_refused_what_a_submit_is(client):
    answer = client.post("/api/v1/jobs/expect", json=PROMPT | {"num_frames": 64})
    assert answer.status_code == 400
    assert "65" in answer.json()["error"]["hint"]


def test_a_submitted_job_says_what_it_takes_and_when_its_turn_is(client, known):
    put_worker(known)
    first = submit(client, num_inference_steps=20)
    second = submit(client, num_inference_steps=40)
    assert first["expected"]["total_s"] < second["expected"]["total_s"]
    assert first["starts_in"]["seconds"] == 0.0
    wait = second["starts_in"]
    assert wait["seconds"] == pytest.approx(first["predicted_s"], abs=0.01)
    assert wait["low_s"] < wait["seconds"] < wait["high_s"]
    assert second["predicted_s"] >= second["expected"]["total_s"]  # charged as if it had to load
    queue = client.get("/api/v1/queue").json()["empty_in"]
    assert queue["seconds"] == pytest.approx(first["predicted_s"] + second["predicted_s"], abs=0.1)


def test_without_a_worker_or_while_paused_nobody_knows_when(client, known):
    made = submit(client)
    assert made["starts_in"] is None
    assert client.get("/api/v1/queue").json()["empty_in"] is None
    put_worker(known)
    client.post("/api/v1/queue/pause", json={"scope": "all"})
    assert client.get(made["links"]["self"]).json()["starts_in"] is None


def test_a_running_job_has_an_eta_before_its_worker_tells_one(client, known):
    put_worker(known)
    made = submit(client)
    claim(known, made["id"])
    shown = client.get(made["links"]["self"]).json()
    assert shown["starts_in"] is None
    told = shown["progress"]
    assert told["eta_s"] == pytest.approx(shown["expected"]["total_s"], abs=1.0)
    assert told["eta_interval"]["low_s"] < told["eta_s"] < told["eta_interval"]["high_s"]


def test_a_workers_own_interval_comes_through(client, known):
    job = claim(known, submit(client)["id"])
    progress = {"phase": "denoise", "done": 3, "num_units": 25}
    progress |= {"eta_s": 4.0, "eta_low_s": 3.5, "eta_high_s": 4.75}
    known.store.beat(
        WORKER, [Beat(job_id=job.id, token=job.token, progress=progress)], lease_s=LEASE_S
    )
    told = client.get(f"/api/v1/jobs/{job.id}").json()["progress"]
    assert told["eta_s"] == 4.0
    assert told["eta_interval"] == {"low_s": 3.5, "high_s": 4.75}


def test_a_finished_job_and_a_list_are_not_predicted(client, known):
    submit(client)
    listed = client.get("/api/v1/jobs").json()["data"]
    assert all(job["expected"] is None and job["starts_in"] is None for job in listed)
