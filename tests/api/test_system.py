"""Signs of life, metrics, logs, catalogue, models, workers and the document."""

import json
import logging
import re
import subprocess
import sys

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

import ourvidz
from ourvidz.api import openapi
from ourvidz.api.openapi import document
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.catalog.parameters import PARAMETERS
from ourvidz.core.logs import JsonLines
from ourvidz.jobs.model import WorkerInfo
from tests.api.conftest import client_of
from tests.api.worker import WORKER, claim, finish_job

PROMPT = {"prompt": "a red circle moving left"}


def put_worker(deps, **values):
    facts = {
        "id": WORKER,
        "host": "here",
        "pid": 1,
        "device": "cpu",
        "state": "idle",
        "started_at": deps.store.now(),
        "seen_at": deps.store.now(),
        "models": (),
        "resident": {"pocket-video": 1000},
        "jobs": ("job_x",),
        "facts": {"cache": "/srv/secret/cache"},
    }
    deps.store.put_worker(WorkerInfo(**facts | values))


def samples_of(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_tell_the_queue_the_workers_and_the_requests(client, deps):
    for seed in range(2):
        client.post("/api/v1/jobs", json=PROMPT | {"seed": seed})
    client.post("/api/v1/jobs", json=PROMPT | {"job_type": "sdxl_image_fast"})
    finish_job(deps)
    put_worker(deps)
    client.post("/api/v1/queue/pause", json={"scope": "video_fast"})
    client.get("/api/v1/jobs/job_none")
    found = samples_of(client)
    assert found["ourvidz_jobs", ("state", "queued")] == 2
    assert found["ourvidz_jobs", ("state", "succeeded")] == 1
    assert found["ourvidz_queued_jobs", ("job_type", "sdxl_image_fast")] == 1
    assert found["ourvidz_workers", ("state", "idle")] == 1
    assert found["ourvidz_paused", ("scope", "video_fast")] == 1
    assert found["ourvidz_recent_job_run_seconds_count", ("job_type", "video_fast")] == 1
    resident = ("ourvidz_resident_bytes", ("model", "pocket-video"), ("worker", WORKER))
    assert found[resident] == 1000
    labels = (("method", "POST"), ("route", "/api/v1/jobs"), ("status", "201"))
    assert found["ourvidz_http_requests_total", *labels] == 3
    missed = (("method", "GET"), ("route", "/api/v1/jobs/{job_id}"), ("status", "404"))
    assert found["ourvidz_http_requests_total", *missed] == 1
    assert found["ourvidz_oldest_queued_seconds",] >= 0


def test_paths_that_do_not_exist_make_no_new_label(client):
    for number in range(5):
        client.get(f"/made-up/{number}")
    routes = {key for key in samples_of(client) if key[0] == "ourvidz_http_requests_total"}
    assert sum("made-up" in str(key) for key in routes) == 0
    assert any(("route", "unmatched") in key for key in routes)


def test_two_applications_count_apart(make_app_deps, settings, tmp_path):
    one = client_of(make_app_deps())
    two = client_of(make_app_deps(settings.model_copy(update={"data_dir": tmp_path / "two"})))
    one.post("/api/v1/jobs", json=PROMPT)
    assert samples_of(two)["ourvidz_jobs", ("state", "queued")] == 0


def test_the_access_log_names_request_and_job(client, deps, caplog):
    with caplog.at_level(logging.INFO, logger="ourvidz.access"):
        made = client.post("/api/v1/jobs", json=PROMPT)
        client.get(f"/api/v1/jobs/{made.json()['id']}?secret=hidden")
    records = [one for one in caplog.records if one.name == "ourvidz.access"]
    assert [one.job_id for one in records] == [made.json()["id"]] * 2
    line = json.loads(JsonLines().format(records[0]))
    assert line["request_id"] == made.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/jobs", 201)
    assert line["latency_ms"] >= 0
    assert "hidden" not in JsonLines().format(records[1])


def test_the_status_says_what_runs(make_app_deps):
    deps = make_app_deps(supervisor_status=lambda: {"workers": [{"name": "cpu"}]})
    status = client_of(deps).get("/api/v1/status").json()
    assert status["version"] == ourvidz.__version__
    assert (status["store"], status["storage"]) == ("sqlite", "local")
    assert status["supervisor"] == {"workers": [{"name": "cpu"}]}
    assert status["uptime_s"] >= 0


def test_a_store_without_its_schema_is_not_ready(settings, tmp_path, make_app_deps):
    from dataclasses import replace

    from ourvidz.jobs.open import open_store

    deps = make_app_deps()
    empty = open_store(settings.model_copy(update={"data_dir": tmp_path / "empty"}))
    try:
        client = client_of(replace(deps, store=empty))
        assert client.get("/readyz").status_code >= 500
    finally:
        empty.close()


# Catalogue, models, workers


def test_the_catalogue_is_enough_to_build_a_legal_request(client):
    catalogue = client.get("/api/v1/catalog").json()
    assert [job["name"] for job in catalogue["job_types"]] == [job.name for job in JOB_TYPES]
    assert {one["name"] for one in catalogue["parameters"]} == {one.name for one in PARAMETERS}
    for job in catalogue["job_types"]:
        jsonschema.Draft202012Validator.check_schema(job["json_schema"])
        for preset in job["presets"]:
            values = PROMPT | preset["values"]
            jsonschema.validate(values, job["json_schema"])
            body = values | {"job_type": job["name"], "preset": preset["name"]}
            answer = client.post("/api/v1/jobs", json=body)
            assert answer.status_code == 201, answer.text
            for name, value in preset["values"].items():
                assert answer.json()[name] == value


def test_models_say_where_they_are_loaded_and_can_be_asked_for(client, deps):
    put_worker(deps)
    models = {model["id"]: model for model in client.get("/api/v1/models").json()["data"]}
    assert models["pocket-video"]["resident_on"] == [
        {"worker_id": WORKER, "device": "cpu", "bytes": 1000}
    ]
    assert models["pocket-image"]["resident_on"] == []
    assert models["pocket-video"]["is_active"]
    assert not models["wan2.1-t2v-1.3b"]["is_active"]

    asked = client.post("/api/v1/models/pocket-image/load")
    assert (asked.status_code, asked.json()) == (202, {"worker_ids": [WORKER]})
    client.post("/api/v1/models/pocket-video/unload", json={"worker_id": WORKER})
    assert (
        client.post("/api/v1/models/pocket-video/unload", json={"worker_id": "other"}).status_code
        == 409
    )
    client.post(f"/api/v1/workers/{WORKER}/drain")
    commands = [(one.verb, one.model) for one in deps.store.take_commands(WORKER)]
    assert commands == [("load", "pocket-image"), ("unload", "pocket-video"), ("drain", None)]


def test_workers_that_went_meanwhile_are_left_out(client, deps, monkeypatch):
    for worker_id in ("gone", "here", "late"):
        put_worker(deps, id=worker_id)
    listed = deps.store.workers()
    monkeypatch.setattr(deps.store, "workers", lambda **_: listed)
    deps.store.remove_worker("gone")
    asked = client.post("/api/v1/models/pocket-image/load")
    assert (asked.status_code, asked.json()) == (202, {"worker_ids": ["here", "late"]})
    assert len(deps.store.take_commands("late")) == 1
    assert client.post("/api/v1/workers/gone/drain").status_code == 404
    for worker_id in ("here", "late"):
        deps.store.remove_worker(worker_id)
    assert client.post("/api/v1/models/pocket-image/load").status_code == 409


def test_workers_are_shown_without_paths(client, deps):
    put_worker(deps)
    (worker,) = client.get("/api/v1/workers").json()["data"]
    assert worker["jobs"] == ["job_x"]
    assert worker["facts"] == {"cache": "(path)"}


def test_a_worker_tells_what_its_gpu_does(client, deps):
    told = {"utilisation": 0.5, "memory_used_bytes": 2**34, "power_w": 612.5}
    put_worker(deps, facts={"torch": "2.11", "gpu": told})
    put_worker(deps, id="cpu")
    workers = {worker["id"]: worker for worker in client.get("/api/v1/workers").json()["data"]}
    assert workers[WORKER]["gpu"] == told | {"temperature_c": None}
    assert workers[WORKER]["facts"] == {"torch": "2.11"}
    assert workers["cpu"]["gpu"] is None


MEMORY = {
    "level": "tight",
    "budget_bytes": 1000,
    "weights_bytes": 600,
    "derived_bytes": 200,
    "arriving_bytes": 0,
    "activations_bytes": 150,
    "free_bytes": 50,
    "host_bytes": 30,
    "host_budget_bytes": 400,
    "components": [
        {"model": "pocket-video", "name": "vae", "place": "device", "bytes": 800},
        {"model": "pocket-image", "name": "unet", "place": "page_cache", "bytes": 70},
    ],
}


def test_workers_tell_how_full_their_device_is_and_what_is_where(client, deps):
    put_worker(deps, facts={"memory": MEMORY, "torch": "2.11"})
    put_worker(deps, id="starting", facts={}, resident={})
    put_worker(deps, id="old", facts={"memory": {"level": "ok"}})
    workers = {worker["id"]: worker for worker in client.get("/api/v1/workers").json()["data"]}
    assert workers[WORKER]["memory"] == MEMORY
    assert workers[WORKER]["facts"] == {"torch": "2.11"}
    assert workers["starting"]["memory"] is None
    assert workers["old"]["memory"]["components"] == []
    found = samples_of(client)
    mine = ("worker", WORKER)
    assert found["ourvidz_memory_budget_bytes", ("place", "device"), mine] == 1000
    assert found["ourvidz_memory_budget_bytes", ("place", "host"), mine] == 400
    kinds = ("weights", "derived", "arriving", "activations", "free")
    numbers = [found["ourvidz_memory_bytes", ("kind", kind), mine] for kind in kinds]
    assert numbers == [600, 200, 0, 150, 50]
    levels = [found["ourvidz_memory_pressure", ("level", it), mine] for it in ("ok", "tight")]
    assert levels == [0, 1]
    name = "ourvidz_component_bytes"
    told = {key[1:4]: value for key, value in found.items() if key[0] == name}
    assert told == {
        (("component", "vae"), ("model", "pocket-video"), ("place", "device")): 800,
        (("component", "unet"), ("model", "pocket-image"), ("place", "page_cache")): 70,
    }
    assert not any(("worker", "starting") in key for key in found)


def test_a_claimed_job_counts_as_running(client, deps):
    client.post("/api/v1/jobs", json=PROMPT)
    claim(deps)
    assert client.get("/api/v1/queue").json()["by_state"]["running"] == 1


# The document


def test_the_document_is_whole():
    spec = document()
    assert spec["openapi"].startswith("3.1")
    ids = []
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation.get("summary"), (method, path)
            assert operation.get("tags"), (method, path)
            assert "422" not in operation["responses"], (method, path)
            if path.startswith("/api/"):
                assert operation.get("description"), (method, path)
                for status in ("400", "401", "403", "429", "500", "503"):
                    assert status in operation["responses"], (method, path, status)
    assert len(ids) == len(set(ids))
    assert "HTTPValidationError" not in json.dumps(spec)
    references = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(spec)))
    assert references <= set(spec["components"]["schemas"])


def test_the_document_can_be_written_and_checked(tmp_path, monkeypatch, capsys):
    file = tmp_path / "openapi.json"

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["openapi", str(file), *arguments])
        return openapi.main()

    assert call("--check") == 1
    assert call() == 0
    assert call("--check") == 0
    assert "stale" in capsys.readouterr().err.lower()
    assert json.loads(file.read_text(encoding="utf-8"))["info"]["version"] == ourvidz.__version__


@pytest.mark.parametrize("module", ["ourvidz.api.app", "ourvidz.cli.serve"])
def test_the_api_is_free_of_torch(module):
    code = (
        f"import {module}, sys; heavy = {{'torch', 'diffusers', 'transformers'}}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documentation_page_runs_only_what_its_policy_names(client):
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "sha256-" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_the_documentation_page_needs_no_other_server(client):
    page = client.get("/docs")
    assert "http" not in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [name for name in named if not name.startswith("data:")]
    assert len(files) == 2
    for name in files:
        assert name.startswith("/")
        answer = client.get(name)
        assert answer.status_code == 200
        assert len(answer.content) > 10_000
