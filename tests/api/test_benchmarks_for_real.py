"""A benchmark of the pocket models, started over HTTP, through a real service and its worker."""

import json
import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JOB_TYPE = "sdxl_image_fast"
COMMAND = [sys.executable, "-m", "ourvidz.cli"]


@pytest.fixture
def service(tmp_path):
    """A client, with an operator's key, of a service with one worker."""
    environment = {**os.environ, "OURVIDZ_DATA_DIR": str(tmp_path / "data")}
    made = subprocess.run(
        [*COMMAND, "keys", "create", "--name", "op", "--scope", "admin", "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    secret = json.loads(made.stdout.strip().splitlines()[-1])["secret"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(port), "--workers", "1"],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
            wait_until(lambda: is_ready(client))
            yield client
    finally:
        process.terminate()
        process.wait(60)


def is_ready(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(is_true):
    end_s = time.monotonic() + 240
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.2)


def test_a_quick_run_of_one_job_type(service):
    def active():
        return service.get("/api/v1/benchmarks/active").json()

    body = {"suite": "quick", "job_types": [JOB_TYPE], "is_forced": True}
    assert service.post("/api/v1/benchmarks", json=body).status_code == 202
    wait_until(lambda: active()["run_id"] is not None or not active()["is_running"])
    run_id = active()["run_id"]
    assert run_id is not None, active()
    events = []
    with service.stream("GET", f"/api/v1/benchmarks/{run_id}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    assert active()["error"] is None
    assert [event["kind"] for event in events] == ["run"] * 4 + ["end"]
    assert [event["error"] for event in events] == [None] * 5
    assert events[-1]["status"] == "complete"
    report = service.get(f"/api/v1/benchmarks/{run_id}").json()
    assert (report["num_done"], report["failures"]) == (3, [])
    records = service.get("/api/v1/performance/records").json()["data"]
    assert [each["origin"] for each in records] == ["protocol"] * 4
    job = service.get(f"/api/v1/performance/jobs/{records[0]['job_id']}").json()
    assert {"denoise", "upload"} <= {span["phase"] for span in job["spans"]}
    params = {"job_type": JOB_TYPE, "history": False}
    rows = service.get("/api/v1/performance/matrix", params=params).json()["rows"]
    assert ("in_progress", 3) in {(row["status"], row["n"]) for row in rows}

    def ended():
        keys = service.get("/api/v1/keys").json()["data"]
        return [key["name"] for key in keys if key["revoked_at"]] == ["benchmark"]

    wait_until(ended)
