"""``client.images`` and ``client.models`` of the official package."""

import base64
import http.client
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import openai
import pytest
from PIL import Image

from ourvidz.catalog.config import PolicyConfig, ServerConfig, Settings
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter
from tests.api.openai.hand_worker import until
from tests.api.openai.service import serve

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def opened(item, image_format="PNG"):
    return Image.open(io.BytesIO(base64.b64decode(item.b64_json)), formats=[image_format])


def the_job(service):
    (job,) = until(lambda: service.deps.store.list_jobs(JobFilter()))
    return job


def test_images_come_as_base64_png(client, worker):
    with worker.serving():
        answer = client.images.generate(
            prompt="a red circle", n=3, size="64x96", extra_body={"seed": 2**32 - 1}
        )
    assert len(answer.data) == 3
    for index, item in enumerate(answer.data):
        assert item.url is None
        with opened(item) as image:
            assert image.size == (64, 96)
            assert image.getpixel((60, 90)) == (40 + 6 * index,) * 3
    assert [item.model_extra["seed"] for item in answer.data] == [2**32 - 1, 0, 1]
    assert (answer.size, answer.output_format) == ("64x96", "png")
    assert answer.model_extra["job_type"] == "sdxl_image_fast"


def test_images_come_as_signed_addresses(service, client, worker):
    with worker.serving():
        answer = client.images.generate(
            prompt="a red circle", size="64x64", response_format="url", quality="hd"
        )
    (item,) = answer.data
    assert item.b64_json is None
    assert item.url.startswith(service.url)
    fetched = httpx.get(item.url)  # without a key: the address is signed
    assert fetched.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(fetched.content)) as image:
        assert image.size == (64, 64)
    assert answer.model_extra["job_type"] == "sdxl_image_high"


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_images_are_converted(client, worker, output_format):
    with worker.serving():
        answer = client.images.generate(
            prompt="a red circle",
            size="64x64",
            output_format=output_format,
            output_compression=80,
        )
    with opened(answer.data[0], output_format.upper()) as image:
        assert image.size == (64, 64)
    assert answer.output_format == output_format


def test_the_enhanced_prompt_is_the_revised_one(service, client, worker):
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(
            client.images.generate,
            prompt="a red circle",
            model="image_fast",
            size="64x64",
            extra_body={"enhance_prompt": True},
        )
        job = worker.claim()
        assert job.request.job_type == "image7b_fast_enhanced"
        worker.enhance(job, "a vivid red circle in the middle")
        worker.finish(job)
        answer = asking.result(timeout=20)
    assert answer.data[0].revised_prompt == "a vivid red circle in the middle"


def test_whoever_waits_comes_first(client, worker):
    client.videos.create(prompt="a red circle", extra_body={"num_frames": 5})
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.images.generate, prompt="a red circle", size="64x64")
        until(lambda: worker.store.counts().by_state.get("queued") == 2)
        job = worker.claim()
        assert job.request.job_type == "sdxl_image_fast"
        worker.finish(job)
        asking.result(timeout=20)


def ask_and_hold(service, body, headers=()):
    """Send an image request by hand and return the connection, its answer still to come."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"))
    connection.request(
        "POST",
        "/v1/images/generations",
        body=body,
        headers={"Content-Type": "application/json", **dict(headers)},
    )
    return connection


def test_a_client_that_goes_away_cancels_its_job(service):
    connection = ask_and_hold(service, b'{"prompt": "a red circle", "size": "64x64"}')
    job = the_job(service)
    connection.close()
    until(lambda: service.deps.store.get(job.id).state is JobState.CANCELLED)


def test_a_client_that_goes_away_stops_a_running_job(service, worker):
    connection = ask_and_hold(service, b'{"prompt": "a red circle", "size": "64x64"}')
    job = worker.claim()
    connection.close()
    worker.stop_when_cancelled(job)
    assert service.deps.store.get(job.id).state is JobState.CANCELLED


def test_a_job_goes_on_while_anybody_waits_for_it(service, worker):
    """Two requests of one Idempotency-Key wait for one job; one of them goes away."""
    with ThreadPoolExecutor(1) as pool, service.client() as client:
        headers = {"Idempotency-Key": "both"}
        asking = pool.submit(
            client.images.generate, prompt="a red circle", size="64x64", extra_headers=headers
        )
        job = worker.claim()
        connection = ask_and_hold(service, b'{"prompt":"a red circle","size":"64x64"}', headers)
        until(lambda: service.app.state.openai_image_waiters[job.id] == 2)
        connection.close()
        until(lambda: service.app.state.openai_image_waiters[job.id] == 1)
        assert not worker.tell(job)  # nobody asked it to stop
        worker.finish(job)
        assert asking.result(timeout=20).model_extra["id"] == job.id


def test_a_client_that_comes_back_finds_its_job(service, worker):
    """The client's own retry after a broken connection: one job, run again if it was cancelled."""
    may_break = threading.Event()

    class LosesItsFirstConnection(openai.DefaultHttpxClient):
        def send(self, request, **kwargs):
            if may_break.is_set():
                return super().send(request, **kwargs)
            connection = ask_and_hold(service, request.read())
            may_break.wait(20)
            connection.close()
            raise httpx2.ReadError("the connection broke", request=request)

    with (
        ThreadPoolExecutor(1) as pool,
        service.client(max_retries=1, http_client=LosesItsFirstConnection()) as client,
    ):
        asking = pool.submit(client.images.generate, prompt="a red circle", size="64x64")
        job = worker.claim()
        may_break.set()
        worker.stop_when_cancelled(job)
        again = worker.claim()
        assert (again.id, again.token) == (job.id, job.token + 1)
        worker.finish(again)
        assert asking.result(timeout=20).model_extra["id"] == job.id
    assert len(service.deps.store.list_jobs(JobFilter())) == 1


def test_a_wait_that_is_too_long_names_the_job(tmp_path):
    settings = Settings(data_dir=tmp_path, server=ServerConfig(blocking_wait_s=0.3))
    for service in serve(settings):
        with (
            service.client(max_retries=2) as client,
            pytest.raises(openai.APIStatusError) as caught,
        ):
            client.images.generate(prompt="a red circle", size="64x64")
        job = the_job(service)  # one: the client was told not to try again
        assert caught.value.status_code == 504
        assert caught.value.response.headers["x-ourvidz-job-id"] == job.id
        assert job.id in caught.value.message
        assert job.state is JobState.QUEUED  # it goes on


def test_an_impatient_client_gets_its_answer_in_time(service):
    """The client says how long it reads; the job is named before it hangs up, and goes on."""
    with service.client(timeout=2.0) as client, pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(prompt="a red circle", size="64x64")
    assert caught.value.code == "wait_timeout"
    assert the_job(service).state is JobState.QUEUED


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("crashed", openai.InternalServerError),
        ("out_of_memory", openai.InternalServerError),
        ("policy_refused", openai.BadRequestError),
    ],
)
def test_a_failed_job_is_an_error(service, worker, code, error):
    with ThreadPoolExecutor(1) as pool, service.client(max_retries=2) as client:
        asking = pool.submit(client.images.generate, prompt="a red circle", size="64x64")
        job = worker.claim()
        worker.fail(job, code=code, message="It went wrong in /secret/place/x.py.")
        with pytest.raises(error) as caught:
            asking.result(timeout=20)
    assert caught.value.code == code
    assert caught.value.response.headers["x-ourvidz-job-id"] == job.id
    assert "/secret" not in caught.value.message
    assert len(service.deps.store.list_jobs(JobFilter())) == 1  # not tried again


def test_a_job_that_somebody_cancels_is_a_conflict(service, client, worker):
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.images.generate, prompt="a red circle", size="64x64")
        service.deps.store.cancel(the_job(service).id)
        with pytest.raises(openai.ConflictError) as caught:
            asking.result(timeout=20)
    assert caught.value.code == "cancelled"


def test_a_stopping_server_sends_the_client_elsewhere(service, worker):
    answers = []

    class Watched(openai.DefaultHttpxClient):
        def send(self, request, **kwargs):
            response = super().send(request, **kwargs)
            answers.append(response.status_code)
            service.deps.closing.clear()  # the next server answers
            return response

    with (
        ThreadPoolExecutor(1) as pool,
        service.client(max_retries=1, http_client=Watched()) as client,
    ):
        asking = pool.submit(client.images.generate, prompt="a red circle", size="64x64")
        job = worker.claim()
        service.deps.closing.set()
        until(lambda: answers)
        worker.finish(job)
        assert asking.result(timeout=20).model_extra["id"] == job.id
    assert answers == [503, 200]


def test_bad_requests(client, worker):
    for fields, param in (
        ({"n": 17}, "n"),
        ({"n": 2, "model": "image_fast"}, "n"),
        ({"model": "video_fast"}, "model"),
        ({"size": "100x100"}, "size"),
        ({"output_format": "gif"}, "output_format"),
        ({"background": "transparent"}, "background"),
        ({"extra_body": {"loras": ["x"]}}, "loras"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(prompt="a red circle", **fields)
        assert caught.value.param == param
    assert worker.try_claim() is None


def test_models_can_be_listed_and_read(client):
    models = {model.id: model for model in client.models.list()}
    assert {"video_fast", "sdxl_image_high", "pocket-video", "pocket-image"} <= set(models)
    assert "wan2.1-t2v-1.3b" not in models  # of the other profile
    video = client.models.retrieve("pocket-video")
    assert video == models["pocket-video"]
    assert (video.object, video.owned_by) == ("model", "ourvidz")
    assert video.model_extra["media_types"] == ["video/mp4", "image/png"]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


@pytest.fixture
def own_service(tmp_path):
    yield from serve(Settings(data_dir=tmp_path))


def test_keys_are_needed_once_there_is_one(own_service):
    service = own_service
    from ourvidz.api.auth import hash_secret, new_secret
    from ourvidz.jobs.model import ApiKey, Quotas

    secret = new_secret()
    key = ApiKey(
        id="key_1",
        tenant="acme",
        name="test",
        prefix=secret[:14],
        scopes=("jobs:read", "jobs:write"),
        quotas=Quotas(queued_jobs=1),
        created_at=service.deps.store.now(),
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    service.deps.store.add_key(key, sha256=hash_secret(secret))
    with service.client(api_key="wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with service.client(api_key=secret) as client:
        video = client.videos.create(prompt="a red circle")
        job = service.deps.store.get(video.id)
        assert (job.tenant, job.key_id) == ("acme", "key_1")
        with pytest.raises(openai.RateLimitError) as caught:
            client.videos.create(prompt="a red circle")
        assert int(caught.value.response.headers["retry-after"]) > 0
        other = service.deps.submitter.submit([_draft()]).jobs[0]
        with pytest.raises(openai.NotFoundError):  # another tenant's: 404, not 403
            client.videos.retrieve(other.id)
        with pytest.raises(openai.NotFoundError):
            client.videos.delete(other.id)
        assert [found.id for found in client.videos.list()] == [video.id]


def test_a_refused_prompt_is_a_bad_request(tmp_path):
    policy = PolicyConfig(mode="rules", deny={"no_dogs": r"\bdogs?\b"})
    for service in serve(Settings(data_dir=tmp_path, policy=policy)):
        with service.client() as client:
            for ask in (client.images.generate, client.videos.create):
                with pytest.raises(openai.BadRequestError) as caught:
                    ask(prompt="two dogs in a park")
                assert (caught.value.code, caught.value.param) == ("policy_refused", "prompt")
                assert "park" not in caught.value.message


def _draft():
    from ourvidz.jobs.submission import Draft

    return Draft(prompt="a blue square")


def test_waiting_requests_hold_no_thread(service):
    """More of them than the server's pool has threads, and it still answers."""
    with ThreadPoolExecutor(60) as pool, service.client() as client:
        asking = [
            pool.submit(client.images.generate, prompt=f"circle {number}", size="64x64")
            for number in range(60)
        ]
        until(lambda: service.deps.store.counts().by_state.get("queued") == 60)
        assert client.models.list().data  # the server still answers
        for job in service.deps.store.list_jobs(JobFilter(), limit=100):
            service.deps.store.cancel(job.id)
        for waiting in asking:
            with pytest.raises(openai.ConflictError):
                waiting.result(timeout=20)
