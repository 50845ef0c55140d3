"""Ratings and blind tests over HTTP."""

import json
from typing import get_args

import pytest

from ourvidz.api.rating_schemas import SettingName
from ourvidz.perf.stats import wilson_interval
from tests.api.conftest import client_of
from tests.api.test_access import key_for
from tests.api.worker import finish_job

PROMPT = "a red circle moving left on a black background"
TESTS = "/api/v1/performance/blind-tests"


def submit(client, headers=None, **values):
    answer = client.post("/api/v1/jobs", json={"prompt": PROMPT, **values}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture
def finished(client, deps):
    """Return a function that makes a job that succeeded."""

    def make(**values):
        job_id = submit(client, **values)
        finish_job(deps, job_id)
        return job_id

    return make


def rate(client, job_id, headers=None, **body):
    return client.put(f"/api/v1/jobs/{job_id}/rating", json=body, headers=headers)


def test_a_job_is_rated_and_rated_anew(client, finished):
    job_id = finished()
    first = rate(client, job_id, stars=2, tags=["flicker", "anatomy"])
    assert first.status_code == 200
    assert first.json()["tags"] == ["anatomy", "flicker"]
    rate(client, job_id, stars=4)
    rate(client, job_id, stars=5, rater="visitor 17")
    listed = client.get(f"/api/v1/jobs/{job_id}/ratings").json()["data"]
    assert [(each["stars"], each["is_own"]) for each in listed] == [(4, True), (5, False)]
    assert "visitor" not in json.dumps(listed)


def test_a_rating_is_taken_back_by_who_gave_it(client, finished):
    job_id = finished()
    rate(client, job_id, stars=3, rater="ada")
    assert client.delete(f"/api/v1/jobs/{job_id}/rating").status_code == 404
    assert client.delete(f"/api/v1/jobs/{job_id}/rating?rater=ada").status_code == 200
    assert client.get(f"/api/v1/jobs/{job_id}/ratings").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "stars"),
        ({"stars": 0}, "stars"),
        ({"stars": 6}, "stars"),
        ({"stars": "4"}, "stars"),
        ({"tags": ["ugly"]}, "tags"),
        ({"stars": 3, "words": "nice"}, "words"),
    ],
)
def test_bad_ratings_are_refused(client, finished, body, param):
    answer = rate(client, finished(), **body)
    assert answer.status_code == 400
    assert param in answer.text


def test_what_has_no_output_is_not_rated(client):
    queued = submit(client)
    assert rate(client, queued, stars=3).status_code == 409
    assert rate(client, "job_0000", stars=3).status_code == 404
    assert rate(client, "nonsense", stars=3).status_code == 404


def test_ratings_are_put_together_with_intervals(client, finished):
    jobs = [finished(fidelity="exact"), finished(fidelity="exact", seed=4), finished(seed=5)]
    for number, job_id in enumerate(jobs):
        rate(client, job_id, stars=number + 3, tags=["text"] if number else [])
    answer = client.get("/api/v1/performance/ratings").json()
    (group,) = answer["data"]
    assert (answer["num_ratings"], answer["is_complete"]) == (3, True)
    assert group["mean_stars"] == 4
    interval = wilson_interval(2, 3)
    assert group["good"] == {
        "hits": 2,
        "n": 3,
        "share": pytest.approx(2 / 3),
        "low": pytest.approx(interval.low),
        "high": pytest.approx(interval.high),
    }
    assert group["tags"]["text"]["hits"] == 2
    assert PROMPT not in json.dumps(answer)
    grouped = client.get("/api/v1/performance/ratings", params={"by": ["model", "width"]})
    assert list(grouped.json()["data"][0]["group"]) == ["model", "width"]
    refused = client.get("/api/v1/performance/ratings", params={"by": ["seed"]})
    assert refused.status_code == 400
    assert "num_inference_steps" in refused.text
    assert client.get("/api/v1/performance/ratings?job_type=none").json()["data"] == []


def test_ratings_are_grouped_by_whatever_their_settings_are(deps, finished):
    job_id = finished()
    kept = deps.store.put_rating(job_id, rater="r", stars=3)
    assert set(get_args(SettingName)) == set(kept.settings)


def test_ratings_stay_when_the_job_is_deleted(client, finished):
    job_id = finished()
    rate(client, job_id, stars=5)
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 200
    assert client.get("/api/v1/performance/ratings").json()["num_ratings"] == 1


# Blind tests


def pair(client, finished):
    jobs = [finished(num_inference_steps=25), finished(num_inference_steps=15)]
    made = client.post(TESTS, json={"job_ids": jobs})
    assert made.status_code == 201, made.text
    return jobs, made.json()


def test_nobody_learns_which_is_which_before_voting(client, deps, finished):
    jobs, test = pair(client, finished)
    assets = [asset for job_id in jobs for asset in deps.store.assets(job_id)]
    assert (test["choice"], test["names"]) == (None, None)
    shown = [
        json.dumps(test),
        client.get(f"{TESTS}/{test['id']}").text,
        client.get(TESTS).text,
    ]
    for side in "ab":
        answer = client.get(test[side][0]["url"])
        assert answer.status_code == 200
        shown.append(json.dumps(dict(answer.headers)))
    for text in shown:
        for asset in assets:
            assert asset.job_id not in text
            assert asset.id not in text
            assert asset.key not in text


def test_a_vote_shows_the_names_and_the_files_were_theirs(client, deps, finished):
    jobs, test = pair(client, finished)
    contents = {side: client.get(test[side][0]["url"]).content for side in "ab"}
    voted = client.post(f"{TESTS}/{test['id']}/vote", json={"choice": "b"}).json()
    assert voted["choice"] == "b"
    assert sorted([voted["names"]["job_a"], voted["names"]["job_b"]]) == sorted(jobs)
    for side in "ab":
        job_id = voted["names"][f"job_{side}"]
        (asset,) = deps.store.assets(job_id)
        opened = deps.storage.open(asset.bucket, asset.key)
        assert b"".join(opened.chunks) == contents[side]
        steps = voted["names"][f"settings_{side}"]["num_inference_steps"]
        assert steps == deps.store.get(job_id).request.num_inference_steps
    again = client.post(f"{TESTS}/{test['id']}/vote", json={"choice": "a"})
    assert again.status_code == 409
    assert client.get(f"{TESTS}/{test['id']}").json()["names"] == voted["names"]
    other = client.get(f"{TESTS}/{test['id']}?rater=ada").json()
    assert (other["choice"], other["names"]) == (None, None)


def test_the_letters_are_drawn_by_chance(client, finished):
    jobs, _ = pair(client, finished)
    first = set()
    for _ in range(40):  # one kind alone: once in 10 ** 12
        test = client.post(TESTS, json={"job_ids": jobs}).json()
        voted = client.post(f"{TESTS}/{test['id']}/vote", json={"choice": "tie"}).json()
        first.add(voted["names"]["job_a"])
        if len(first) == 2:
            break
    assert first == set(jobs)


def test_votes_become_a_win_rate(client, deps, finished):
    jobs, test = pair(client, finished)
    stored = deps.store.blind_test(test["id"])
    fewer = "a" if stored.job_a == jobs[1] else "b"
    for number in range(7):
        body = {"choice": fewer, "rater": f"visitor {number}"}
        assert client.post(f"{TESTS}/{test['id']}/vote", json=body).status_code == 200
    client.post(f"{TESTS}/{test['id']}/vote", json={"choice": "tie"})
    answer = client.get("/api/v1/performance/win-rates").json()
    (found,) = answer["data"]
    assert found["differs"] == {"num_inference_steps": [15, 25]}
    assert (found["wins_first"], found["wins_second"], found["ties"]) == (7, 0, 1)
    assert (found["preference"], found["num_raters"]) == ("first", 8)
    assert found["second_wins"]["high"] < 0.5
    assert "num_inference_steps 15 is preferred" in found["text"]


def test_files_that_are_gone_can_not_be_voted_on(client, finished):
    jobs, test = pair(client, finished)
    client.delete(f"/api/v1/jobs/{jobs[0]}")
    shown = client.get(f"{TESTS}/{test['id']}").json()
    assert sorted(len(shown[side]) for side in "ab") == [0, 1]
    assert client.post(f"{TESTS}/{test['id']}/vote", json={"choice": "a"}).status_code == 409


def test_what_can_not_be_compared_is_refused(client, finished):
    first, other = finished(), finished(prompt="a blue square")
    assert client.post(TESTS, json={"job_ids": [first, first]}).status_code == 400
    refused = client.post(TESTS, json={"job_ids": [first, other]})
    assert refused.status_code == 400
    assert "one prompt" in refused.json()["error"]["message"]
    assert client.post(TESTS, json={"job_ids": [first]}).status_code == 400
    assert client.post(TESTS, json={"job_ids": [first, "job_none"]}).status_code == 404
    assert client.post(TESTS, json={"job_ids": [first, submit(client)]}).status_code == 409
    assert client.get(f"{TESTS}/blind_none").status_code == 404
    assert client.get(f"{TESTS}/blind_none/files/a/0").status_code == 404
    _, test = pair(client, finished)
    assert client.get(f"{TESTS}/{test['id']}/files/a/7").status_code == 404
    assert client.get(f"{TESTS}/{test['id']}/files/c/0").status_code == 400


def test_files_of_a_side_take_a_range(client, finished):
    _, test = pair(client, finished)
    answer = client.get(test["a"][0]["url"], headers={"Range": "bytes=0-3"})
    assert answer.status_code == 206
    assert len(answer.content) == 4
    assert client.head(test["a"][0]["url"]).status_code == 200


def test_others_tenants_see_and_judge_nothing(deps):
    client = client_of(deps)
    _, mine = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    _, theirs = key_for(deps, "jobs:read", "jobs:write", tenant="theirs")
    _, reader = key_for(deps, "jobs:read", tenant="mine")
    _, operator = key_for(deps)
    jobs = [submit(client, mine, seed=seed) for seed in (1, 2)]
    for job_id in jobs:
        finish_job(deps, job_id)
    assert rate(client, jobs[0], theirs, stars=1).status_code == 404
    assert rate(client, jobs[0], reader, stars=1).status_code == 403
    assert rate(client, jobs[0], mine, stars=5).status_code == 200
    assert rate(client, jobs[0], operator, stars=3).status_code == 200
    test = client.post(TESTS, json={"job_ids": jobs}, headers=mine).json()
    address = f"{TESTS}/{test['id']}"
    for method, path in (
        ("get", f"/api/v1/jobs/{jobs[0]}/ratings"),
        ("get", address),
        ("get", f"{address}/files/a/0"),
        ("delete", f"/api/v1/jobs/{jobs[0]}/rating"),
    ):
        assert getattr(client, method)(path, headers=theirs).status_code == 404, path
    vote = {"choice": "a"}
    assert client.post(f"{address}/vote", json=vote, headers=theirs).status_code == 404
    assert client.post(f"{address}/vote", json=vote, headers=reader).status_code == 403
    assert client.post(TESTS, json={"job_ids": jobs}, headers=theirs).status_code == 404
    assert client.get(TESTS, headers=theirs).json()["data"] == []
    assert client.get("/api/v1/performance/ratings", headers=theirs).json()["num_ratings"] == 0
    assert client.get("/api/v1/performance/ratings", headers=reader).json()["num_ratings"] == 2
    client.post(f"{address}/vote", json=vote, headers=mine)
    for headers, number in ((theirs, 0), (mine, 1), (operator, 1)):
        found = client.get("/api/v1/performance/win-rates", headers=headers).json()
        assert found["num_votes"] == number
    assert client.get(f"{address}", headers=reader).json()["names"] is None
