"""Servers that die around the commit of a submit, and clients that ask again; both stores."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from ourvidz.core.job import JobState
from tests.bridge.payloads import load
from tests.bridge.servers import RedisServer
from tests.faults.harness import CLI, check_history

STORES = ["sqlite", "postgres"]
QUICK_STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
POINTS = {"before_commit": False, "mid_commit": False, "after_commit": True}
WORK = "steps=4 step_ms=20"
CLIENTS = 20


def post_native(api, key):
    return api.submit(WORK, job_type="image_fast", key=key)


def post_openai(api, key):
    headers = {"Idempotency-Key": key}
    return api.post("/v1/videos", {"prompt": WORK, "model": "video_fast"}, **headers)


DOORS = {"native": post_native, "openai": post_openai}


def run_to_its_end(site, *, worker=True):
    """Exactly one job is there; run it, and return it."""
    (job,) = site.jobs()
    if worker:
        site.start_worker()
    (job,) = site.wait_done([job.id])
    assert job.state is JobState.SUCCEEDED
    assert len(site.store.attempts(job.id)) == 1
    check_history(site)
    return job


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("point", "is_stored"), POINTS.items())
def test_a_submit_that_killed_the_server_is_repeated(make_site, store, door, point, is_stored):
    site = make_site(store)
    api = site.start_api(fail_at=point)
    with pytest.raises(httpx.TransportError):
        DOORS[door](api, "one")
    api.wait_killed()
    assert len(site.jobs()) == int(is_stored)
    again = DOORS[door](site.start_api(), "one")
    assert again.is_success, again.text
    if door == "native":
        assert again.status_code == (200 if is_stored else 201)
    assert run_to_its_end(site).id == again.json()["id"]


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("point", "is_stored"), POINTS.items())
def test_a_bridge_killed_around_the_commit_moves_the_job_once(
    make_site, tmp_path, store, point, is_stored
):
    site = make_site(store)
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        payload = load("sdxl_july", prompt=WORK)
        redis.client.lpush("sdxl_queue", json.dumps(payload))
        # Only servers send callbacks; none runs here.
        old = {"redis_url": redis.url, "site_url": "http://127.0.0.1:9", "callback_key": "key"}
        where = {"OURVIDZ_BRIDGE": json.dumps(old)}
        command = [*CLI, "bridge", "--once", "--name", "here"]
        killed = site.start("bridge", command, fail_at=point, **where)
        assert killed.wait(timeout=60) == -signal.SIGKILL
        assert len(site.jobs()) == int(is_stored)
        assert site.start("bridge", command, **where).wait(timeout=60) == 0
        assert [key for key in redis.client.scan_iter() if redis.client.llen(key)] == []
    finally:
        redis.stop()
    assert run_to_its_end(site).legacy["id"] == payload["id"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
@pytest.mark.parametrize("store", STORES)
def test_the_official_client_retries_over_a_servers_death_and_gets_one_job(make_site, store):
    site = make_site(store)
    api = site.start_api(fail_at="after_commit")
    client = openai.OpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=12)
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(client.videos.create, model="video_fast", prompt=WORK)
        api.wait_killed()
        assert len(site.jobs()) == 1
        site.start_api(port=api.port)
        video = created.result(timeout=60)
    assert run_to_its_end(site).id == video.id


def send_together(sends):
    """Call all at the same moment, each on a thread; return the answers."""
    start = threading.Barrier(len(sends))

    def one(send):
        start.wait(30)
        return send()

    with ThreadPoolExecutor(len(sends)) as pool:
        return [call.result() for call in [pool.submit(one, send) for send in sends]]


@pytest.mark.slow
@pytest.mark.parametrize("store", QUICK_STORES)
def test_the_same_submit_from_many_at_once_is_one_job(make_site, store):
    site = make_site(store)
    apis = [site.start_api(), site.start_api()]
    answers = send_together([lambda api=apis[i % 2]: post_native(api, "k") for i in range(CLIENTS)])
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * (CLIENTS - 1) + [201], [answer.text for answer in answers]
    assert {answer.json()["id"] for answer in answers} == {run_to_its_end(site).id}


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_two_bodies_under_one_key_at_once_are_one_job(make_site, store):
    site = make_site(store)
    apis = [site.start_api(), site.start_api()]
    sends = [
        lambda api=apis[i // 2 % 2], seed=i % 2: api.submit(
            WORK, job_type="image_fast", key="k", seed=seed
        )
        for i in range(CLIENTS)
    ]
    answers = send_together(sends)
    codes = sorted(answer.status_code for answer in answers)
    half = CLIENTS // 2
    assert codes == [200] * (half - 1) + [201] + [409] * half, answers[0].text
    run_to_its_end(site)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("door", DOORS)
def test_retries_without_a_key_that_say_so_are_one_job(make_site, store, door):
    site = make_site(store)
    api = site.start_api()
    path, body = {
        "native": ("/api/v1/jobs", {"prompt": WORK, "job_type": "image_fast"}),
        "openai": ("/v1/videos", {"prompt": WORK, "model": "video_fast"}),
    }[door]
    tries = [{"x-stainless-retry-count": str(number)} for number in range(CLIENTS)]
    first = api.post(path, body, **tries[0])
    answers = send_together([lambda head=head: api.post(path, body, **head) for head in tries[1:]])
    assert all(answer.is_success for answer in answers)
    assert {answer.json()["id"] for answer in [first, *answers]} == {run_to_its_end(site).id}
