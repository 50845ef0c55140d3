"""What the old site gets: the files where it looks for them, and the bodies that it reads."""

import json

import pytest

from ourvidz.bridge.bodies import MAX_MESSAGE_CHARS
from ourvidz.core.errors import InvalidRequest
from tests.bridge.conftest import CALLBACK_KEY
from tests.bridge.finishing import WORKER, claim, content, finish
from tests.bridge.payloads import load
from tests.bridge.servers import serve_site
from tests.storage.servers import MotoS3

USER = "5c1f0a00-0000-4000-8000-0000000000aa"


@pytest.fixture
def run(push, tmp_path):
    """Take a payload in, claim it, finish it with real files and send what is due."""

    def do(house, payload):
        push(payload)
        house.bridge().run_once()
        job = claim(house)
        house.sender.send_due()
        finish(house, job, tmp_path / "files")
        house.sender.send_due()
        return house.store.get(job.id)

    return do


def seconds(job):
    return round(job.finished_at - job.started_at, 3)


def test_july_video(make_house, site, run):
    house = make_house(profile="full")
    job = run(house, load("wan_july"))
    path = f"{USER}/b2000000-0000-4000-8000-000000000002.mp4"
    assert site.bodies == [
        {
            "job_id": "a1000000-0000-4000-8000-000000000001",
            "status": "processing",
            "assets": [],
            "error_message": None,
        },
        {
            "job_id": "a1000000-0000-4000-8000-000000000001",
            "status": "completed",
            "assets": [path],
            "error_message": None,
            "metadata": {
                "seed": 987654321,
                "generation_time": seconds(job),
                "num_images": 1,
                "job_type": "video_fast",
                "content_type": "video",
                "frame_num": 81,
                "wan_task": "t2v-1.3B",
                "reference_mode": "none",
            },
        },
    ]
    for request in site.requests:
        assert request["path"] == "/functions/v1/job-callback"
        assert request["authorization"] == f"Bearer {CALLBACK_KEY}"
        assert request["type"] == "application/json"
    (asset,) = house.store.assets(job.id)
    assert content(house, "video_fast", path) == content(house, "video_fast", asset.key)
    thumbnail = path.replace(".mp4", ".thumb.webp")
    assert content(house, "video_fast", thumbnail) == (
        content(house, "video_fast", asset.thumbnail_key)
    )


def test_july_images(house, site, run):
    job = run(house, load("sdxl_july"))
    completed = site.bodies[-1]
    paths = [f"{USER}/b2000000-0000-4000-8000-000000000005_{n}.png" for n in range(6)]
    assert completed["assets"] == paths
    assert completed["metadata"] == {
        "seed": 987654321,
        "generation_time": seconds(job),
        "num_images": 6,
        "job_type": "sdxl_image_fast",
        "content_type": "image",
        "frame_num": 1,
        "reference_mode": "none",
    }
    assert "enhancedPrompt" not in completed
    stored = {content(house, "sdxl_image_fast", path) for path in paths}
    assert len(stored) == 6
    assert stored == {
        content(house, "sdxl_image_fast", asset.key) for asset in house.store.assets(job.id)
    }


def test_august_video(make_house, site, run):
    house = make_house(profile="full")
    job = run(house, load("wan_august"))
    (asset,) = house.store.assets(job.id)
    assert site.bodies[-1] == {
        "job_id": "wan_job_77",
        "worker_id": WORKER,
        "status": "completed",
        "assets": [
            {
                "type": "video",
                "url": "user_77/wan_job_77.mp4",
                "thumbnail_url": "user_77/wan_job_77.thumb.webp",
                "metadata": {
                    "width": 480,
                    "height": 832,
                    "format": "mp4",
                    "steps": 25,
                    "guidance_scale": 6.5,
                    "seed": job.request.seed,
                    "bytes": asset.num_bytes,
                    "index": 0,
                },
            }
        ],
        "error_message": None,
        "metadata": {"processing_time": seconds(job)},
    }
    assert site.bodies[0] == {
        "job_id": "wan_job_77",
        "worker_id": WORKER,
        "status": "processing",
        "assets": [],
        "error_message": None,
        "metadata": {},
    }
    assert len(content(house, "video_fast", "user_77/wan_job_77.thumb.webp")) > 0
    assert asset.facts["published_key"] == "user_77/wan_job_77.mp4"
    assert asset.facts["published_thumbnail_key"] == "user_77/wan_job_77.thumb.webp"


def test_august_images(house, site, run):
    job = run(house, load("sdxl_august"))
    assets = site.bodies[-1]["assets"]
    assert [asset["url"] for asset in assets] == [f"user_77/sdxl_job_77_{n}.png" for n in range(3)]
    assert [asset["metadata"]["seed"] for asset in assets] == [42, 43, 44]
    assert [asset["metadata"]["index"] for asset in assets] == [0, 1, 2]
    assert {asset["type"] for asset in assets} == {"image"}
    stored = house.store.assets(job.id)
    assert [asset["metadata"]["bytes"] for asset in assets] == [a.num_bytes for a in stored]


@pytest.mark.parametrize("kind", ["s3", "supabase"])
def test_in_object_stores_the_old_paths_are_the_same(make_house, site, run, kind):
    with MotoS3() as server:
        house = make_house(
            storage={
                "kind": kind,
                "endpoint": server.url,
                "access_key_id": "AKIDEXAMPLE",
                "secret_access_key": "example-secret",
                "bucket_prefix": f"{kind}-old-",
            }
        )
        job = run(house, load("sdxl_august"))
        for asset in house.store.assets(job.id):
            path = f"user_77/sdxl_job_77_{asset.index}.png"
            assert content(house, "sdxl_image_high", path) == (
                content(house, "sdxl_image_high", asset.key)
            )
    assert [asset["url"] for asset in site.bodies[-1]["assets"]] == [
        f"user_77/sdxl_job_77_{n}.png" for n in range(3)
    ]


def test_enhanced_job_types_tell_the_enhanced_prompt(house, site, push, tmp_path):
    push(load("mixed", config={"size": "480*832"}))
    house.bridge().run_once()
    job = claim(house)
    enhancement = {"original_prompt": "x", "enhanced_prompt": "a bright orange square, centred"}
    assert house.store.set_enhancement(job.id, job.token, enhancement)
    finish(house, job, tmp_path / "files")
    house.sender.send_due()
    completed = [body for body in site.bodies if body["status"] == "completed"]
    assert [body["enhancedPrompt"] for body in completed] == ["a bright orange square, centred"]
    assert completed[0]["assets"] == ["user_77/vid_77.mp4"]


def test_without_a_usable_enhancement_the_prompt_that_was_used_is_told(house, site, run):
    run(house, load("mixed"))
    assert site.bodies[-1]["enhancedPrompt"] == "an orange square"


@pytest.mark.parametrize(
    ("name", "extra"), [("wan_july", {}), ("wan_august", {"worker_id": WORKER})]
)
def test_a_failed_job(house, site, push, name, extra):
    push(load(name))
    house.bridge().run_once()
    job = claim(house)
    error = InvalidRequest("It can't be done.", hint="Ask for less." + "." * 900)
    assert house.store.fail(job.id, job.token, error=error.to_dict(), retry_in_s=None)
    house.sender.send_due()
    body = site.bodies[-1]
    assert body.pop("error_message") == f"It can't be done. {error.hint}"[:MAX_MESSAGE_CHARS]
    assert body == {
        "job_id": load(name)["id"],
        "status": "failed",
        "assets": [],
        "metadata": {},
        **extra,
    }


def test_a_cancelled_job_failed_in_the_old_words(house, site, push):
    push(load("wan_july"))
    house.bridge().run_once()
    house.store.cancel(house.jobs()[0].id)
    house.sender.send_due()
    assert site.bodies == [
        {
            "job_id": load("wan_july")["id"],
            "status": "failed",
            "assets": [],
            "error_message": "The job was cancelled.",
            "metadata": {},
        }
    ]


def test_processing_never_comes_after_the_end(house, site, push, tmp_path):
    """The site was away when the job started; what is told late is only what still holds."""
    push(load("wan_july"))
    house.bridge().run_once()
    job = claim(house)
    finish(house, job, tmp_path / "files")
    house.sender.send_due()
    assert [body["status"] for body in site.bodies] == ["completed"]


def test_a_site_that_fails_is_told_again_and_nothing_changes(house, site, push, tmp_path):
    push(load("wan_july"))
    house.bridge().run_once()
    job = claim(house)
    finish(house, job, tmp_path / "files")
    site.statuses.extend([500])
    house.sender.send_due()
    (message,) = [item for item in house.store.outbox(job.id) if item["event"] == "succeeded"]
    item_id = message["id"]
    house.store.settle_outbox(item_id, retry_in_s=0.0, error="for this test: due at once")
    house.sender.send_due()
    assert [request["status"] for request in site.requests] == [500, 200]
    assert site.bodies[0] == site.bodies[1]
    objects = sorted(item.key for item in house.storage.list_objects("video_fast"))
    assert [key for key in objects if key.startswith(USER)] == [
        f"{USER}/b2000000-0000-4000-8000-000000000002.mp4",
        f"{USER}/b2000000-0000-4000-8000-000000000002.thumb.webp",
    ]


def test_other_addresses_are_still_checked(house):
    """Only the site that the operator named may be private; what a client names may not."""
    from ourvidz.bridge.callbacks import SitePoster
    from ourvidz.core.errors import UrlRefused
    from ourvidz.net.client import GuardedClient

    poster = SitePoster(house.settings, GuardedClient())
    with serve_site() as other, pytest.raises(UrlRefused):
        poster.post(f"{other.url}/functions/v1/job-callback", content=b"", headers={}, timeout_s=5)
    assert other.requests == []


class TestRefusals:
    """Jobs that never got into the store."""

    def test_the_site_is_told(self, any_house, site, push, lists):
        push(load("wan_july", type="video_ultra"))
        any_house.bridge().run_once()
        (body,) = site.bodies
        assert body == {
            "job_id": load("wan_july")["id"],
            "status": "failed",
            "assets": [],
            "error_message": "job_type 'video_ultra' is unknown. Did you mean 'video_fast'?",
            "metadata": {},
        }
        assert site.requests[0]["path"] == "/functions/v1/job-callback"
        assert site.requests[0]["authorization"] == f"Bearer {CALLBACK_KEY}"
        assert (any_house.jobs(), lists()) == ((), {})

    def test_in_augusts_shape_too(self, house, site, push):
        push(load("sdxl_august", metadata={"reference_image_url": "https://cdn.example/x.png"}))
        house.bridge().run_once()
        (body,) = site.bodies
        assert body["job_id"] == "sdxl_job_77"
        assert body["worker_id"] == "bridge-here"
        assert body["error_message"].startswith("reference_image_url is set")

    def test_the_content_policy_holds_over_the_bridge(self, house, site, push, lists):
        push(load("wan_july", prompt="explicit sex with a child"))
        push(load("wan_august", prompt="a child flying a kite in the park"))
        house.bridge().run_once()
        assert [job.metadata["legacy_id"] for job in house.jobs()] == ["wan_job_77"]
        (body,) = site.bodies
        assert body["status"] == "failed"
        assert "content policy refuses" in body["error_message"]
        assert lists() == {}

    def test_it_waits_for_a_site_that_is_away_also_over_a_restart(
        self, house, site, push, redis, lists
    ):
        push(load("wan_july", type="video_ultra"))
        site.statuses.extend([503, 503])
        assert house.bridge().run_once() == 1
        assert lists() == {"wan_queue:bridge:here:refused": 1}
        restarted = house.bridge()
        assert restarted.run_once() == 1
        assert json.loads(redis.lindex("wan_queue:bridge:here:refused", 0))["status"] == "failed"
        assert restarted.run_once() == 0
        assert lists() == {}
        assert [request["status"] for request in site.requests] == [503, 503, 200]

    def test_one_that_the_site_rejects_is_given_up_and_kept(self, house, site, push, lists):
        push(load("wan_july", type="video_ultra"))
        site.statuses.extend([404] * 10)
        bridge = house.bridge()
        assert [bridge.run_once() for _ in range(10)] == [1] * 9 + [0]
        assert lists() == {"wan_queue:bridge:dead": 1}

    def test_a_rejected_one_does_not_hold_up_the_next(self, house, site, push, lists):
        push(load("wan_july", type="video_ultra"), load("wan_august", type="video_ultra"))
        site.statuses.extend([404])
        assert house.bridge().run_once() == 1
        assert [request["status"] for request in site.requests] == [404, 200]
        assert lists() == {"wan_queue:bridge:here:refused": 1}
