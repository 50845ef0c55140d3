"""``serve``, ``jobs`` and ``keys`` from the command line."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from ourvidz.api.auth import is_well_formed
from ourvidz.cli import serve
from ourvidz.cli.main import main
from tests.api.worker import claim, finish_job

PROMPT = {"prompt": "a red circle moving left"}
START_S = 60


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def last_json(self):
        return json.loads(self.out.strip().splitlines()[-1])


@pytest.fixture
def cli(settings, monkeypatch, capsys):
    """Run the command line in this process on the data directory of ``deps``."""
    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ourvidz", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run


def submit(client, **values):
    return client.post("/api/v1/jobs", json=PROMPT | values).json()["id"]


# jobs


def test_jobs_are_listed_and_shown(cli, client, deps):
    done, waiting = submit(client, seed=1), submit(client, job_type="sdxl_image_fast")
    finish_job(deps, done)
    listed = cli("jobs", "list", "--json")
    assert [job["id"] for job in listed.last_json["jobs"]] == [waiting, done]
    assert done in listed.err
    only = cli("jobs", "list", "--state", "succeeded", "--json").last_json["jobs"]
    assert [job["id"] for job in only] == [done]
    shown = cli("jobs", "show", done, "--json").last_json
    assert shown["state"] == "succeeded"
    assert shown["attempts"][0]["outcome"] == "succeeded"
    assert shown["assets"][0]["bucket"] == "video_fast"
    assert cli("jobs", "show", "job_none").code == 1
    assert cli("jobs", "list", "--state", "queud").code == 2


def test_jobs_are_steered(cli, client, deps):
    first, second = submit(client, seed=1), submit(client, seed=2)
    assert cli("jobs", "move", second, "--front").code == 0
    assert deps.store.queue_position(second) == 0
    assert cli("jobs", "move", second).code == 2
    assert cli("jobs", "pause", "video_fast", "--json").last_json == {"paused": ["video_fast"]}
    assert deps.store.get(first).is_held
    assert cli("jobs", "pause", "video_fsat").code == 2
    assert cli("jobs", "resume", "video_fast", "--json").last_json == {"paused": []}
    cancelled = cli("jobs", "cancel", first, second, "--json").last_json["jobs"]
    assert [job["state"] for job in cancelled] == ["cancelled", "cancelled"]
    assert cli("jobs", "retry", first, "--json").last_json["jobs"][0]["state"] == "queued"
    assert cli("jobs", "retry", first).code == 1


def test_watching_shows_the_history_and_ends_with_the_job(cli, client, deps):
    job_id = submit(client)
    finish_job(deps, job_id)
    watched = cli("jobs", "watch", job_id, "--json")
    assert watched.code == 0
    assert "submitted" in watched.err
    assert "succeeded" in watched.err
    other = submit(client, seed=2)
    client.post(f"/api/v1/jobs/{other}/cancel")
    assert cli("jobs", "watch", other).code == 1


def test_watching_waits_for_the_end(cli, client, deps):
    job_id = submit(client)
    worker = threading.Thread(target=finish_job, args=(deps, job_id))
    worker.start()
    assert cli("jobs", "watch", job_id, "--json").last_json["state"] == "succeeded"
    worker.join()


# keys


def test_the_first_key_is_the_operators_and_others_are_not(cli, client, deps):
    first = cli("keys", "create", "--name", "me", "--json").last_json
    assert first["scopes"] == ["admin"]
    assert is_well_formed(first["secret"])
    second = cli("keys", "create", "--name", "site", "--queued-jobs", "5", "--json").last_json
    assert second["scopes"] == ["jobs:read", "jobs:write"]
    assert deps.store.keys()[0].quotas.queued_jobs == 5

    def status(key):
        header = {"Authorization": f"Bearer {key['secret']}"}
        return client.get("/api/v1/jobs", headers=header).status_code

    assert (status(first), status(second)) == (200, 200)
    listed = cli("keys", "list", "--json")
    assert {key["name"] for key in listed.last_json["keys"]} == {"me", "site"}
    assert first["secret"] not in listed.out + listed.err
    assert cli("keys", "revoke", second["id"]).code == 0
    assert (status(first), status(second)) == (200, 401)
    assert cli("keys", "revoke", "key_none").code == 1
    assert cli("keys", "create", "--name", "x", "--scope", "jobs:raed").code == 2


def test_a_key_is_shown_alone_on_stdout(cli):
    made = cli("keys", "create", "--name", "me")
    assert is_well_formed(made.out.strip())


# serve


def test_small_answers_do_not_wait_for_the_clients_acknowledgement():
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    with contextlib.closing(serve._listen("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_it_refuses_to_listen_beyond_loopback_without_a_key(cli):
    refused = cli("serve", "--host", "0.0.0.0", "--port", "0", "--no-worker")
    assert refused.code == 2
    assert "ourvidz keys create" in refused.err
    assert refused.out == ""


@contextmanager
def serving(data, **environment):
    """Start ``ourvidz serve`` without workers; yield its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ourvidz.cli", "serve", "--no-worker", "--port", "0"],
        env=os.environ | {"OURVIDZ_DATA_DIR": str(data)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = process.stdout.readline()  # ends with the process, so this can't wait for ever
        assert "ready at http://127.0.0.1:" in line
        yield process, line.split("ready at ")[1].split()[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(START_S)
        process.stdout.close()


@pytest.mark.slow
def test_a_stopped_server_keeps_every_job_and_ends_its_streams(settings):
    with serving(settings.data_dir) as (process, url):
        job_id = httpx.post(f"{url}/api/v1/jobs", json=PROMPT, timeout=30).json()["id"]
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
        with httpx.stream("GET", f"{url}/api/v1/jobs/{job_id}/events", timeout=30) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event")) == "event: submitted"
            process.send_signal(signal.SIGTERM)
            assert not [line for line in lines if line.startswith("event")]
        assert process.wait(START_S) == 0
    with serving(settings.data_dir) as (_, url):
        assert httpx.get(f"{url}/api/v1/jobs/{job_id}", timeout=30).json()["state"] == "queued"


@pytest.mark.slow
@pytest.mark.parametrize(("place", "is_stored"), [("before_commit", False), ("after_commit", True)])
def test_a_submit_that_kills_the_server_can_be_repeated(settings, deps, place, is_stored):
    headers = {"Idempotency-Key": "once"}
    with serving(settings.data_dir, OURVIDZ_FAIL_AT=place) as (process, url):
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{url}/api/v1/jobs", json=PROMPT, headers=headers, timeout=30)
        assert process.wait(START_S) == -signal.SIGKILL
    assert deps.store.counts().by_state.get("queued", 0) == int(is_stored)
    with serving(settings.data_dir) as (_, url):
        again = httpx.post(f"{url}/api/v1/jobs", json=PROMPT, headers=headers, timeout=30)
    assert again.status_code == (200 if is_stored else 201)
    assert deps.store.counts().by_state["queued"] == 1
    assert claim(deps).id == again.json()["id"]
