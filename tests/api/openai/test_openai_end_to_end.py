"""The official client, the server, the store, and a real worker on the shipped models."""

import base64
import io
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import openai
import pytest
from PIL import Image

from ourvidz.catalog.config import QueueConfig, Settings
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import NotFound
from ourvidz.core.event import Progress
from ourvidz.core.phase import Phase
from ourvidz.media.settings import read_settings
from tests.api.openai.hand_worker import until
from tests.api.openai.service import serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def steps():
    """How many denoise steps the worker has made of each job."""
    return Counter()


def watched_runner(steps, settings, catalogue):
    from ourvidz.worker.assemble import assemble_runner

    runner = assemble_runner(settings=settings, catalogue=catalogue, clock=SystemClock())
    advance = runner.advance

    def watched(run, *, block_s):
        turn = advance(run, block_s=block_s)
        if turn and isinstance(turn.event, Progress) and turn.event.phase is Phase.DENOISE:
            steps[turn.job_id] += 1
        return turn

    runner.advance = watched
    return runner


def has_begun(store, thread):
    assert thread.is_alive(), "the worker ended at once; its log says why"
    return store.workers()


@pytest.fixture(scope="module")
def service(tmp_path_factory, steps):
    pytest.importorskip("torch")
    from ourvidz.worker.service import WorkerService

    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        device="cpu",
        queue=QueueConfig(beat_s=1.0, poll_s=0.1),
    )
    for service in serve(settings):
        deps = service.deps
        worker = WorkerService(
            settings=settings,
            catalogue=deps.catalogue,
            store=deps.store,
            storage=deps.storage,
            policy=deps.policy,
            make_runner=partial(watched_runner, steps, settings, deps.catalogue),
        )
        thread = threading.Thread(target=worker.run, name="worker")
        thread.start()
        until(partial(has_begun, deps.store, thread))
        yield service
        worker.stop()
        thread.join()


@pytest.fixture
def client(service):
    with service.client(timeout=240.0) as client:
        yield client


def test_a_video_from_prompt_to_file(client, tmp_path):
    video = client.videos.create_and_poll(
        prompt="a red circle moving left on a blue background",
        model="pocket-video",
        extra_body={"num_inference_steps": 8, "seed": 1},
    )
    assert (video.status, video.error) == ("completed", None)
    path = tmp_path / "video.mp4"
    client.videos.download_content(video.id).write_to_file(path)
    settings = read_settings(path)
    assert settings is not None
    assert settings["prompt"] == video.prompt
    assert (settings["num_frames"], settings["seed"]) == (33, 1)
    sheet = client.videos.download_content(video.id, variant="spritesheet").read()
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.width > 4 * 96
    thumbnail = client.videos.download_content(video.id, variant="thumbnail").read()
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert image.size == (96, 160)


def test_images_with_an_enhanced_prompt(client):
    answer = client.images.generate(
        prompt="a red circle",
        model="pocket-video",
        extra_body={"enhance_prompt": True, "num_inference_steps": 4},
    )
    (item,) = answer.data
    assert item.revised_prompt
    with Image.open(io.BytesIO(base64.b64decode(item.b64_json))) as image:
        assert image.size == (96, 160)


def test_a_batch_of_images(client):
    answer = client.images.generate(
        prompt="a green square on a white background",
        n=2,
        extra_body={"num_inference_steps": 4},
    )
    sizes = set()
    for item in answer.data:
        with Image.open(io.BytesIO(base64.b64decode(item.b64_json))) as image:
            sizes.add(image.size)
    assert (len(answer.data), sizes) == (2, {(128, 128)})


def test_deleting_a_running_video_stops_it(service, client, steps):
    video = client.videos.create(
        prompt="a red circle moving left",
        size="192x320",
        extra_body={"num_inference_steps": 100, "num_frames": 81},
    )
    until(lambda: steps[video.id] >= 2, limit_s=200)
    assert client.videos.retrieve(video.id).status == "in_progress"
    assert client.videos.delete(video.id).deleted
    made = steps[video.id]
    assert made < 100
    with pytest.raises(NotFound):
        service.deps.store.get(video.id)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)
    # The device is free: the next job runs at once, and the deleted one makes no further step.
    answer = client.images.generate(prompt="a red circle", extra_body={"num_inference_steps": 1})
    assert len(answer.data) == 1
    assert steps[video.id] == made


EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ([sys.executable, "openai_video.py", "a red circle", "--seconds", "1"], {".mp4": 1}),
        ([sys.executable, "openai_images.py", "a red circle", "--n", "2"], {".png": 2}),
        (
            [sys.executable, "native_client.py", "a red circle", "--job-type", "image_fast"],
            {".png": 1},
        ),
        (["sh", "curl.sh", "a red circle"], {".mp4": 1, ".webp": 1, ".png": 1}),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else None,
)
def test_the_examples_run_as_they_stand(service, tmp_path, command, files):
    if command[0] == "sh" and not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("needs curl and jq")
    program, script, *arguments = command
    done = subprocess.run(
        [program, str(EXAMPLES / script), *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "OPENAI_BASE_URL": f"{service.url}/v1",
            "OPENAI_API_KEY": "any",
            "OURVIDZ_URL": service.url,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Counter(path.suffix for path in tmp_path.iterdir()) == files, done.stdout
    assert all(path.stat().st_size > 500 for path in tmp_path.iterdir())
