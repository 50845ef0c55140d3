"""Marked jobs, and what is stored beside the jobs of a page."""

import pytest

from ourvidz.jobs.watching import ChangeWatch
from tests.api.conftest import client_of
from tests.api.test_access import key_for
from tests.api.worker import finish_job

PROMPT = "a red circle moving left on a black background"


def submit(client, headers=None, **values):
    answer = client.post("/api/v1/jobs", json={"prompt": PROMPT, **values}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture
def reads(deps, monkeypatch):
    """Count reading transactions by the statements that they run."""
    counted = []
    database = deps.store._db
    read = database.read

    def counting(body):
        counted.append(body)
        return read(body)

    monkeypatch.setattr(database, "read", counting)
    return counted


def test_a_job_is_marked_and_unmarked_again(client):
    job_id = submit(client)
    address = f"/api/v1/jobs/{job_id}/favourite"
    assert client.get(f"/api/v1/jobs/{job_id}").json()["is_favourite"] is False
    for _ in range(2):
        answer = client.put(address)
        assert (answer.status_code, answer.json()["is_favourite"]) == (200, True)
    for _ in range(2):
        answer = client.delete(address)
        assert (answer.status_code, answer.json()["is_favourite"]) == (200, False)


def test_favourites_are_listed_alone_and_page_by_page(client):
    jobs = [submit(client, seed=seed) for seed in range(5)]
    for job_id in (jobs[0], jobs[2], jobs[4]):
        client.put(f"/api/v1/jobs/{job_id}/favourite")
    page = client.get("/api/v1/jobs", params={"is_favourite": True, "limit": 2}).json()
    assert [job["id"] for job in page["data"]] == [jobs[4], jobs[2]]
    params = {"is_favourite": True, "limit": 2, "cursor": page["next_cursor"]}
    rest = client.get("/api/v1/jobs", params=params).json()
    assert ([job["id"] for job in rest["data"]], rest["next_cursor"]) == ([jobs[0]], None)
    assert len(client.get("/api/v1/jobs").json()["data"]) == 5


def test_a_mark_is_seen_by_who_watches_the_store(client, deps):
    job_id = submit(client)
    watch = ChangeWatch(deps.store)
    client.put(f"/api/v1/jobs/{job_id}/favourite")
    assert watch.has_changed()
    assert client.get(f"/api/v1/jobs/{job_id}/events", params={"after": 0}).json()["last_seq"] == 1


def test_jobs_of_others_are_not_marked(deps):
    client = client_of(deps)
    _, mine = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    _, theirs = key_for(deps, "jobs:read", "jobs:write", tenant="theirs")
    _, reader = key_for(deps, "jobs:read", tenant="mine")
    address = f"/api/v1/jobs/{submit(client, mine)}/favourite"
    assert client.put(address, headers=theirs).status_code == 404
    assert client.put(address, headers=reader).status_code == 403
    assert client.put(address, headers=mine).status_code == 200
    favourites = {"is_favourite": True}
    assert client.get("/api/v1/jobs", params=favourites, headers=theirs).json()["data"] == []
    assert len(client.get("/api/v1/jobs", params=favourites, headers=reader).json()["data"]) == 1


def test_a_job_carries_what_the_asker_said_of_it(client, deps):
    rated, other = (submit(client, seed=seed) for seed in (1, 2))
    for _ in range(2):
        finish_job(deps)
    address = f"/api/v1/jobs/{rated}/rating"
    client.put(address, json={"stars": 1, "rater": "visitor 17"})
    assert client.get(f"/api/v1/jobs/{rated}").json()["rating"] is None
    client.put(address, json={"stars": 4, "tags": ["flicker", "anatomy"]})
    own = {"stars": 4, "tags": ["anatomy", "flicker"]}
    assert client.get(f"/api/v1/jobs/{rated}").json()["rating"] == own
    listed = client.get("/api/v1/jobs").json()["data"]
    assert {job["id"]: job["rating"] for job in listed} == {rated: own, other: None}
    client.put(address, json={"tags": ["text"]})
    assert client.get(f"/api/v1/jobs/{rated}").json()["rating"] == {"stars": None, "tags": ["text"]}
    client.delete(address)
    assert client.get(f"/api/v1/jobs/{rated}").json()["rating"] is None


def test_each_key_sees_its_own_rating(deps):
    client = client_of(deps)
    _, first = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    _, second = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    job_id = submit(client, first)
    finish_job(deps, job_id)
    client.put(f"/api/v1/jobs/{job_id}/rating", json={"stars": 5}, headers=first)
    address = f"/api/v1/jobs/{job_id}"
    assert client.get(address, headers=first).json()["rating"]["stars"] == 5
    assert client.get(address, headers=second).json()["rating"] is None


def test_a_page_is_read_in_as_many_steps_as_one_row(client, deps, reads):
    def steps(limit):
        reads.clear()
        data = client.get("/api/v1/jobs", params={"limit": limit}).json()["data"]
        assert len(data) == limit
        assert all(len(job["assets"]) == 1 for job in data)
        return len(reads)

    for seed in range(6):
        finish_job(deps, submit(client, seed=seed))
    assert steps(1) == steps(6)
