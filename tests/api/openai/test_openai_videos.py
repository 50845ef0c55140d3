"""``client.videos`` of the official package."""

import asyncio
import io
import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import openai
import pytest
from PIL import Image

from ourvidz.core.errors import NotFound
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter
from tests.api.openai.hand_worker import until

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

SMALL = {"size": "64x64", "extra_body": {"num_frames": 5, "seed": 7}}
PNG = Image.new("RGB", (8, 8))


def png_bytes():
    out = io.BytesIO()
    PNG.save(out, format="PNG")
    return out.getvalue()


def test_create_and_poll_then_download(client, worker):
    with worker.serving():
        video = client.videos.create_and_poll(prompt="a red circle", model="pocket-video", **SMALL)
    assert video.status == "completed"
    assert (video.progress, video.object, video.model) == (100, "video", "pocket-video")
    assert (video.size, video.prompt, video.error) == ("64x64", "a red circle", None)
    assert video.completed_at >= video.created_at
    assert video.model_extra["job_type"] == "video_fast"
    assert video.model_extra["seed"] == 7
    content = client.videos.download_content(video.id).read()
    assert content[4:8] == b"ftyp"
    assert client.videos.download_content(video.id, variant="video").read() == content


def test_the_other_variants(client, worker):
    created = client.videos.create(
        prompt="a red circle", size="64x96", extra_body={"num_frames": 21}
    )
    worker.finish(worker.claim())
    thumbnail = client.videos.download_content(created.id, variant="thumbnail")
    with Image.open(io.BytesIO(thumbnail.read()), formats=["WEBP"]) as image:
        assert image.size == (64, 96)
    sheet = client.videos.download_content(created.id, variant="spritesheet")
    with Image.open(io.BytesIO(sheet.read()), formats=["WEBP"]) as image:
        greys = grey_cells(image.convert("RGB"), cell=(64, 96))
    assert len(greys) == 16
    # Brighter with every frame, from the first one to the last one.
    assert all(early < late for early, late in itertools.pairwise(greys))
    assert abs(greys[0] - 40) < 8
    assert abs(greys[-1] - 160) < 8


def grey_cells(sheet, *, cell):
    """The brightness of the lower right quarter of each of 4 x 4 cells, 12 px apart."""
    width, height = cell
    found = []
    for row, column in itertools.product(range(4), range(4)):
        left, top = 12 + column * (width + 12), 12 + row * (height + 12)
        found.append(sheet.getpixel((left + width * 3 // 4, top + height * 3 // 4))[0])
    return found


def test_ranges_of_the_content(service, client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    worker.finish(worker.claim())
    url = f"{service.url}/v1/videos/{created.id}/content"
    whole = httpx.get(url)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = httpx.get(url, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert httpx.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_progress_and_poll_header_of_a_running_job(client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    queued = client.videos.with_raw_response.retrieve(created.id)
    assert queued.parse().status == "queued"
    assert 250 <= int(queued.headers["openai-poll-after-ms"]) <= 2000
    job = worker.claim()
    seen = []
    for done in (1, 10, 20, 25):
        worker.tell(job, phase="denoise", done=done, num_units=25, eta_s=None)
        video = client.videos.retrieve(created.id)
        assert (video.status, video.model_extra["phase"]) == ("in_progress", "denoise")
        seen.append(video.progress)
    assert seen == sorted(set(seen))
    assert seen[0] > 0
    assert seen[-1] < 100
    worker.tell(job, phase="denoise", done=25, num_units=25, eta_s=0.5)
    running = client.videos.with_raw_response.retrieve(created.id)
    assert running.headers["openai-poll-after-ms"] == "250"
    assert running.parse().model_extra["eta_s"] == 0.5
    worker.finish(job)
    assert (
        "openai-poll-after-ms" not in client.videos.with_raw_response.retrieve(created.id).headers
    )


def test_seconds_and_extra_fields(client):
    video = client.videos.create(
        prompt="a red circle",
        seconds="4",
        size="128x96",
        extra_body={
            "negative_prompt": "blue",
            "num_inference_steps": 9,
            "guidance_scale": 3.5,
            "extra_params": {"flow_shift": 2.5, "scheduler": "euler"},
            "enhance_prompt": True,
            "seed": None,
        },
    )
    assert (video.seconds, video.size) == ("4", "128x96")
    extra = video.model_extra
    assert (extra["num_frames"], extra["fps"]) == (65, 16)
    assert [note["code"] for note in extra["adjustments"]] == ["seconds_to_frames"]
    assert extra["job_type"] == "video7b_fast_enhanced"
    assert (extra["negative_prompt"], extra["num_inference_steps"]) == ("blue", 9)
    assert (extra["guidance_scale"], extra["flow_shift"], extra["scheduler"]) == (3.5, 2.5, "euler")


def test_json_is_taken_like_a_form(service, client):
    answer = httpx.post(
        f"{service.url}/v1/videos",
        json={"prompt": "a red circle", "size": "64x64", "num_frames": 5, "seed": 7},
    )
    assert answer.status_code == 200
    video = client.videos.retrieve(answer.json()["id"])
    assert (video.size, video.model_extra["num_frames"]) == ("64x64", 5)


def test_list_pages_in_both_orders(client, worker):
    made = [client.videos.create(prompt=f"circle {number}", **SMALL).id for number in range(5)]
    with worker.serving():  # images are no videos
        client.images.generate(prompt="a red circle", size="64x64")
    page = client.videos.list(limit=2)
    assert [video.id for video in page.data] == made[:2:-1]
    assert (page.first_id, page.last_id, page.has_more) == (made[4], made[3], True)
    assert [video.id for video in client.videos.list(limit=2)] == made[::-1]
    assert [video.id for video in client.videos.list(limit=2, order="asc")] == made
    assert client.videos.list(limit=5).has_more is False
    assert [video.id for video in client.videos.list(after=made[1])] == [made[0]]


def test_delete_forgets_a_finished_video_and_its_files(service, client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    worker.finish(worker.claim())
    (asset,) = service.deps.store.assets(created.id)
    deleted = client.videos.delete(created.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (created.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(created.id)
    for key in (asset.key, asset.thumbnail_key):
        with pytest.raises(NotFound):
            service.deps.storage.stat(asset.bucket, key)


def test_delete_takes_a_queued_video_from_the_queue(client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    assert client.videos.delete(created.id).deleted
    assert worker.try_claim() is None


def test_delete_of_a_running_video_stops_its_worker_first(service, client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    job = worker.claim()
    assert not worker.tell(job, phase="denoise", done=1, num_units=25, eta_s=None)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(client.videos.delete, created.id)
        until(lambda: worker.tell(job))  # the next beat says so
        assert not deleting.done()  # while the worker is still at it
        assert service.deps.store.confirm_cancel(job.id, job.token)
        assert deleting.result(timeout=20).deleted
    with pytest.raises(NotFound):
        service.deps.store.get(created.id)


def test_cancelled_and_failed_videos_are_answers_not_errors(service, client, worker):
    cancelled = client.videos.create(prompt="a red circle", **SMALL)
    service.deps.store.cancel(cancelled.id)
    video = client.videos.poll(cancelled.id)
    assert (video.status, video.error.code) == ("failed", "cancelled")
    assert video.model_extra["state"] == "cancelled"
    failed = client.videos.create(prompt="a green circle", **SMALL)
    worker.fail(worker.claim(), code="output_invalid", message="/secret/place/x.mp4 is black")
    video = client.videos.poll(failed.id)
    assert (video.status, video.error.code) == ("failed", "output_invalid")
    assert "/secret" not in video.model_dump_json()


def test_content_of_a_video_without_one(client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    with pytest.raises(openai.ConflictError) as caught:
        client.videos.download_content(created.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
    worker.fail(worker.claim(), code="crashed", message="The worker died.")
    with pytest.raises(openai.ConflictError, match="failed"):
        client.videos.download_content(created.id)


def test_content_that_has_expired(service, client, worker):
    created = client.videos.create(prompt="a red circle", **SMALL)
    worker.finish(worker.claim())
    (asset,) = service.deps.store.assets(created.id)
    service.deps.store.mark_assets_deleted([asset.id])
    with pytest.raises(openai.NotFoundError, match="expired"):
        client.videos.download_content(created.id)


def test_errors_are_the_clients_own_classes(client, worker):
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(prompt="a red circle", extra_body={"num_frames": 32})
    assert caught.value.param == "num_frames"
    assert caught.value.code == "invalid_request"
    assert caught.value.type == "invalid_request_error"
    assert "33" in caught.value.message  # the hint is part of the message
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(prompt="a red circle", model="sora-2")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.BadRequestError, match="num_inference_steps"):
        client.videos.create(prompt="a red circle", extra_body={"num_inference_step": 5})
    with pytest.raises(openai.BadRequestError, match="prompt"):
        client.videos.create(prompt="")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve("job_00000000000000000000000000")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve("nothing")
    with pytest.raises(openai.NotFoundError):
        client.videos.delete("nothing")
    with pytest.raises(openai.BadRequestError):
        client.videos.list(after="nothing")
    with pytest.raises(openai.BadRequestError):
        client.videos.list(limit=0)
    assert worker.try_claim() is None  # nothing of all this was stored


def test_an_image_job_is_not_a_video(service, client, worker):
    with worker.serving():
        client.images.generate(prompt="a red circle", size="64x64")
    (job,) = service.deps.store.list_jobs(JobFilter())
    assert job.state is JobState.SUCCEEDED
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(job.id)


def test_references_are_checked_then_refused(client, worker):
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(
            prompt="a red circle", input_reference=("a.png", png_bytes(), "image/png")
        )
    assert (caught.value.code, caught.value.param) == ("reference_unsupported", "input_reference")
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(prompt="a red circle", input_reference=("a.png", b"no", "image/png"))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "input_reference")
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(
            prompt="a red circle",
            extra_body={"input_reference": {"image_url": "http://127.0.0.1:9/a.png"}},
        )
    assert caught.value.code == "url_refused"
    assert worker.try_claim() is None


def test_what_no_model_can_do_is_said(client):
    calls = {
        "Remixing": lambda: client.videos.remix("job_1", prompt="more"),
        "Editing a video": lambda: client.videos.edit(prompt="more", video=("a.mp4", b"0" * 100)),
        "Extending": lambda: client.videos.extend(
            prompt="more", seconds="4", video=("a.mp4", b"0" * 100)
        ),
        "character": lambda: client.videos.create_character(name="n", video=("a.mp4", b"0" * 100)),
        "Editing an image": lambda: client.images.edit(
            prompt="more", image=("a.png", png_bytes(), "image/png")
        ),
    }
    for words, call in calls.items():
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            call()
        assert caught.value.code == "unsupported"
    with pytest.raises(openai.BadRequestError, match="character"):
        client.videos.get_character("char_1")


def test_the_clients_own_retry_makes_no_second_job(service):
    """The first answer is lost on its way; the client sends the same again by itself."""
    lost = threading.Event()

    class LosesTheFirstAnswer(openai.DefaultHttpxClient):
        def send(self, request, **kwargs):
            response = super().send(request, **kwargs)
            if request.method == "POST" and not lost.is_set():
                lost.set()
                response.read()
                raise httpx2.ReadError("the connection broke", request=request)
            return response

    with service.client(max_retries=2, http_client=LosesTheFirstAnswer()) as client:
        video = client.videos.create(prompt="a red circle", **SMALL)
        again = client.videos.create(prompt="a red circle", **SMALL)
    assert lost.is_set()
    assert again.id != video.id  # not a retry, so a wish for another one
    assert len(service.deps.store.list_jobs(JobFilter())) == 2


def test_an_idempotency_key_makes_one_job(client):
    headers = {"Idempotency-Key": "order-1"}
    first = client.videos.create(prompt="a red circle", extra_headers=headers, **SMALL)
    assert (
        client.videos.create(prompt="a red circle", extra_headers=headers, **SMALL).id == first.id
    )
    with pytest.raises(openai.ConflictError) as caught:
        client.videos.create(prompt="a blue circle", extra_headers=headers, **SMALL)
    assert caught.value.code == "idempotency_conflict"


def test_a_deleted_videos_idempotency_key_is_free_again(client):
    headers = {"Idempotency-Key": "order-2"}
    first = client.videos.create(prompt="a red circle", extra_headers=headers, **SMALL)
    client.videos.delete(first.id)
    again = client.videos.create(prompt="a red circle", extra_headers=headers, **SMALL)
    assert again.id != first.id
    assert again.status == "queued"


def test_the_asynchronous_client(service, worker):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any") as client:
            created = await client.videos.create(prompt="a red circle", **SMALL)
            video = await client.videos.poll(created.id, poll_interval_ms=20)
            content = await client.videos.download_content(video.id)
            return video, [found.id async for found in client.videos.list(limit=1)], content.read()

    with worker.serving():
        video, listed, content = asyncio.run(run())
    assert video.status == "completed"
    assert listed == [video.id]
    assert content[4:8] == b"ftyp"


def test_ids_are_ours(client):
    assert re.fullmatch(r"job_[0-9a-z]{26}", client.videos.create(prompt="a red circle").id)
