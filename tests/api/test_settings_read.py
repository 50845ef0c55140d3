"""The settings in a file, read back to make it again."""

import io
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ourvidz.media.embedded import MAX_SETTINGS_BYTES, embedded_settings
from ourvidz.media.image import write_png
from ourvidz.media.settings import comment_of, read_settings
from ourvidz.media.video import VideoWriter
from ourvidz.worker.report import settings_of
from tests.api.conftest import client_of
from tests.api.worker import finish_job

READ = "/api/v1/settings/read"
PROMPT = "a red circle “moving” left"


def read(client, data):
    return client.post(READ, content=data, headers={"Content-Type": "video/mp4"})


def png_of(tmp_path, settings):
    path = tmp_path / "image.png"
    write_png(path, np.zeros((16, 16, 3), np.uint8), settings=settings)
    return path


def mp4_of(tmp_path, settings):
    path = tmp_path / "video.mp4"
    options = {"fps": 8, "settings": settings, "title": PROMPT, "num_threads": 1}
    with VideoWriter(path, width=48, height=32, **options) as writer:
        for _ in range(9):
            writer.write(np.zeros((32, 48, 3), np.uint8))
    return path


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def made(deps, client, **values):
    """Return the settings that a finished job's file would carry, and its answer."""
    job_id = client.post("/api/v1/jobs", json={"prompt": PROMPT, **values}).json()["id"]
    job = finish_job(deps, job_id)
    environment = {"ourvidz": "1.2.3"}
    return settings_of(job.request, None, environment), client.get(f"/api/v1/jobs/{job_id}").json()


@pytest.mark.parametrize(
    ("file_of", "values"),
    [
        (mp4_of, {"job_type": "video_fast", "seed": 7, "preset": "baseline"}),
        (mp4_of, {"job_type": "video7b_fast_enhanced", "seed": 2**31, "flow_shift": 4.0}),
        (png_of, {"job_type": "sdxl_image_fast", "seed": 0, "guidance_scale": 3.5}),
        (png_of, {"job_type": "image_fast", "negative_prompt": "blurry"}),
    ],
)
def test_a_file_makes_the_job_that_made_it(deps, client, tmp_path, file_of, values):
    settings, job = made(deps, client, **values)
    path = file_of(tmp_path, settings)
    assert embedded_settings(path.read_bytes()) == read_settings(path)
    found = read(client, path.read_bytes()).json()
    assert found["notes"] == []
    assert found["unknown"]["ourvidz_version"] == "1.2.3"
    again = client.post("/api/v1/jobs", json=found["request"])
    assert again.status_code == 201, again.text
    names = ("prompt", "job_type", "preset", "model", "seed", "width", "height", "num_frames")
    names += ("fps", "num_inference_steps", "guidance_scale", "scheduler", "flow_shift", "fidelity")
    for name in (*names, "negative_prompt"):
        assert again.json()[name] == job[name], name


def test_what_can_not_be_repeated_is_left_out_with_a_note(deps, client, tmp_path):
    settings, _ = made(deps, client, seed=7)
    changed = {"scheduler": "lcm", "width": 17, "seed": "x", "preset": 5, "job_type": "gone"}
    path = mp4_of(tmp_path, {**settings, **changed, "model": "wan9"})
    found = read(client, path.read_bytes()).json()
    assert {name: found["unknown"][name] for name in changed} == changed
    assert not set(changed) & set(found["request"])
    assert len(found["notes"]) > len(changed)
    assert "wan9" in found["notes"][-1]
    assert client.post("/api/v1/jobs", json=found["request"]).status_code == 201


def test_the_first_boxes_of_a_large_video_are_enough(deps, tmp_path):
    settings = deps.settings
    server = settings.server.model_copy(update={"max_body_bytes": 20_000})
    client = client_of(replace(deps, settings=settings.model_copy(update={"server": server})))
    data = mp4_of(tmp_path, {"prompt": PROMPT, "seed": 7}).read_bytes()
    head, place = b"", 0
    while place < len(data):
        (num_bytes,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] in (b"ftyp", b"moov"):
            head += data[place : place + num_bytes]
        place += num_bytes
    assert read(client, data + bytes(20_000)).status_code == 413
    assert read(client, head).json()["request"] == {"prompt": PROMPT, "seed": 7}


def test_a_packed_text_of_another_program_is_read(client):
    text = zlib.compress(json.dumps({"prompt": PROMPT}).encode())
    chunk = b"iTXt" + b"ourvidz\0\1\0\0\0" + text
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG")
    head, tail = data.getvalue()[:33], data.getvalue()[33:]
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert read(client, head + whole + tail).json()["request"] == {"prompt": PROMPT}


def plain_png():
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG")
    return data.getvalue()


def mp4_with(comment):
    data = box(b"data", struct.pack(">II", 1, 0) + comment)
    meta = box(b"meta", bytes(4) + box(b"ilst", box(b"\xa9cmt", data)))
    return box(b"ftyp", b"isom") + box(b"moov", box(b"udta", meta))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        plain_png(),
        box(b"ftyp", b"isom"),
        box(b"ftyp", b"isom") + struct.pack(">I", 1) + b"moov",
        box(b"ftyp", b"isom") + struct.pack(">I", 3) + b"moov",
        mp4_with(b"a comment of another program"),
        mp4_with(b'{"other": {}}'),
        mp4_with(b'{"ourvidz": 5}'),
        mp4_with(b"[" * 100_000),
        mp4_with(b'{"ourvidz": {"seed": NaN}}'),
        mp4_with(b'{"ourvidz": {"prompt": "' + b"x" * MAX_SETTINGS_BYTES + b'"}}'),
        mp4_with(b"\xff\xfe"),
    ],
    ids=range(14),
)
def test_files_without_settings_are_refused_with_a_hint(shared_client, data):
    answer = read(shared_client, data)
    assert answer.status_code == 400
    assert answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    "told",
    [
        b'{"seed": 1e999, "width": {"a": [1]}, "height": [[[]]], "prompt": "\\ud800 \\u0000"}',
        b'{"seed": true, "job_type": null, "fps": -1, "\\ud800": "\\udfff", "prompt": ""}',
        b'{"prompt": "' + b"x" * 30_000 + b'", "num_frames": 3.5}',
        b"{}",
    ],
    ids=["not finite and nested", "of other kinds", "long", "empty"],
)
def test_strange_values_give_a_job_that_is_legal_all_the_same(client, told):
    found = read(client, mp4_with(b'{"ourvidz": ' + told + b"}"))
    assert found.status_code == 200, found.text
    job = {"prompt": "a red circle", **found.json()["request"]}
    assert client.post("/api/v1/jobs", json=job).status_code == 201


def test_an_embedded_text_is_ours_alone(tmp_path):
    settings = {"prompt": PROMPT}
    assert json.loads(comment_of(settings)) == {"ourvidz": settings}
    assert embedded_settings(png_of(tmp_path, settings).read_bytes()) == settings
