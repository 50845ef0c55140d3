"""An old site in front of the real processes: `ourvidz bridge` and `ourvidz serve`."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from ourvidz.bridge.lists import NAME_FILE
from ourvidz.media.probe import probe
from tests.bridge.payloads import load
from tests.bridge.servers import wait_until

END_S = 30.0


@pytest.fixture
def environment(tmp_path, site, redis_server, redis):
    del redis
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("OURVIDZ")},
        "OMP_NUM_THREADS": "1",
        "OURVIDZ_DATA_DIR": str(tmp_path / "data"),
        "OURVIDZ_DEVICE": "cpu",
        "OURVIDZ_BRIDGE__REDIS_URL": redis_server.url,
        "OURVIDZ_BRIDGE__SITE_URL": site.url,
        "OURVIDZ_BRIDGE__CALLBACK_KEY": "site-service-key",
        "OURVIDZ_BRIDGE__POLL_S": "0.05",
    }


@pytest.fixture
def start(tmp_path, environment):
    """Start `ourvidz ...` as a process; it ends with the block."""

    @contextmanager
    def run(*arguments):
        with (tmp_path / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ourvidz.cli", *arguments],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    return run


def test_it_needs_no_torch():
    code = (
        "import sys, ourvidz.bridge.service, ourvidz.bridge.callbacks; "
        "sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def log_of(tmp_path, command):
    return (tmp_path / f"{command}.log").read_text(encoding="utf-8")


def test_the_command_moves_jobs_until_it_is_told_to_stop(start, push, lists, house, tmp_path):
    with start("bridge", "--json") as process:
        push(load("wan_july"), b"poison", load("wan_august", type="video_ultra"))
        wait_until(lambda: len(house.jobs()) == 1, "the job")
        wait_until(lambda: lists() == {"wan_queue:bridge:dead": 1}, "empty lists")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0
    summary = json.loads(out.splitlines()[-1])
    name = (tmp_path / "data" / NAME_FILE).read_text(encoding="utf-8").strip()
    assert summary == {
        "name": name,
        **{"stored": 1, "known": 0, "refused": 1, "dead": 1, "untold": 0},
    }
    assert "entry of 6 bytes of wan_queue put on wan_queue:bridge:dead: it is not JSON" in (
        log_of(tmp_path, "bridge")
    )


def test_a_killed_bridge_loses_nothing(start, push, lists, house, redis):
    count = 25
    with start("bridge") as process:
        push(*(load("wan_august", id=f"j{n}") for n in range(count)))
        wait_until(lambda: len(house.jobs()) > 3, "the first jobs")
        process.kill()
    left = redis.llen("wan_queue") + len(house.jobs())
    assert left >= count - 1
    with start("bridge", "--once") as process:
        assert process.wait(END_S) == 0
    ids = [job.metadata["legacy_id"] for job in house.jobs()]
    assert sorted(ids) == sorted(f"j{n}" for n in range(count))
    assert lists() == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_existing_site_works_unchanged(start, push, site, tmp_path):
    """Both generations in, real pocket models, callbacks out, files where the site looks."""
    with ExitStack() as stack:
        serve = stack.enter_context(start("serve", "--port", "0"))
        stack.enter_context(start("bridge"))
        push(
            load("wan_july"),
            load("wan_august", config={"frames": 17}),
            load("mixed", config={"sample_steps": 4, "size": "480*832"}),
        )
        push(load("sdxl_july"), load("sdxl_august"), queue="sdxl_queue")

        def completed():
            assert serve.poll() is None, log_of(tmp_path, "serve")[-2000:]
            return {b["job_id"]: b for b in site.bodies if b["status"] == "completed"}

        wait_until(lambda: len(completed()) == 5, "five callbacks", deadline_s=540)
        bodies = completed()
    assert {body["status"] for body in site.bodies} == {"processing", "completed"}
    assets = tmp_path / "data" / "assets"
    july = bodies[load("wan_july")["id"]]
    facts = probe(assets / "video_fast" / july["assets"][0])
    assert (facts.width, facts.height, facts.num_frames) == (96, 160, 33)
    assert july["metadata"]["frame_num"] == facts.num_frames
    assert july["metadata"]["generation_time"] > 0
    (august,) = bodies["wan_job_77"]["assets"]
    facts = probe(assets / "video_fast" / august["url"])
    assert august["metadata"]["bytes"] == facts.file_bytes
    assert (assets / "video_fast" / august["thumbnail_url"]).is_file()
    for body, number in ((bodies[load("sdxl_july")["id"]], 6), (bodies["sdxl_job_77"], 3)):
        assert len(body["assets"]) == number
    for path in bodies[load("sdxl_july")["id"]]["assets"]:
        assert probe(assets / "sdxl_image_fast" / path).width == 128
    assert bodies["mixed_job_77"]["enhancedPrompt"]
    assert bodies["mixed_job_77"]["assets"] == ["user_77/vid_77.mp4"]
