"""A job's history over HTTP: gapless, resumable, ending with the job."""

import json

import pytest

from ourvidz.jobs.model import EventKind
from tests.api.conftest import parse
from tests.api.worker import claim, finish_job, publish

PROMPT = {"prompt": "a red circle moving left"}


def submit(client):
    return client.post("/api/v1/jobs", json=PROMPT).json()["id"]


def test_a_finished_jobs_stream_is_its_whole_history_and_ends(client, deps):
    job_id = submit(client)
    finish_job(deps, job_id)
    answer = client.get(f"/api/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse(answer.text)
    assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "submitted"
    assert events[-1]["event"] == "succeeded"
    assert json.loads(events[-1]["data"])["job_id"] == job_id


def test_a_stream_goes_on_behind_the_last_event_id(client, deps):
    job_id = submit(client)
    finish_job(deps, job_id)
    path = f"/api/v1/jobs/{job_id}/events"
    whole = parse(client.get(path).text)
    for cut in range(len(whole)):
        last = whole[cut]["id"]
        answer = client.get(path, headers={"Last-Event-ID": last})
        if cut == len(whole) - 1:
            assert answer.status_code == 204  # browsers stop connecting again
        else:
            assert parse(answer.text) == whole[cut + 1 :]


@pytest.mark.parametrize("value", ["x", "-1", "1e3", "9" * 30])
def test_a_last_event_id_must_be_one(client, value):
    answer = client.get(f"/api/v1/jobs/{submit(client)}/events", headers={"Last-Event-ID": value})
    assert answer.status_code == 400


def test_polling_tells_the_same_as_the_stream(client, deps):
    job_id = submit(client)
    path = f"/api/v1/jobs/{job_id}/events"
    first = client.get(path, params={"after": 0}).json()
    assert [event["kind"] for event in first["data"]] == ["submitted"]
    assert (first["last_seq"], first["is_finished"]) == (1, False)
    finish_job(deps, job_id)
    rest = client.get(path, params={"after": first["last_seq"]}).json()
    assert rest["is_finished"] is True
    streamed = [json.loads(event["data"]) for event in parse(client.get(path).text)]
    assert first["data"] + rest["data"] == streamed


def test_events_come_while_the_job_runs(server, deps):
    job_id = submit(server)
    job = claim(deps, job_id)
    with server.stream("GET", f"/api/v1/jobs/{job_id}/events") as answer:
        lines = answer.iter_lines()

        def next_event():
            return next(line for line in lines if line.startswith("event: "))

        assert next_event() == "event: submitted"
        assert next_event() == "event: claimed"
        deps.store.add_event(job.id, job.token, EventKind.PHASE, {"phase": "denoise"})
        assert next_event() == "event: phase"
        publish(deps, job)
        assert next_event() == "event: succeeded"
        assert [line for line in lines if line.startswith("event: ")] == []


def test_a_stream_ends_when_its_job_is_deleted_or_its_time_is_over(server, deps):
    job_id = submit(server)
    answer = server.get(f"/api/v1/jobs/{job_id}/events", params={"max_s": 0.05})
    assert [event["event"] for event in parse(answer.text)] == ["submitted"]

    server.post(f"/api/v1/jobs/{job_id}/cancel")
    job = submit(server)
    with server.stream("GET", f"/api/v1/jobs/{job}/events") as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line == "event: submitted")
        deps.store.cancel(job)
        deps.store.delete_job(job)
        assert list(lines)[-1:] in ([""], [])


def test_a_closing_server_ends_its_streams(server, deps):
    job_id = submit(server)
    with server.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line == "event: submitted")
        deps.closing.set()
        assert "event: succeeded" not in list(lines)


def test_logs_are_the_log_events_alone_without_paths(client, deps):
    job_id = submit(client)
    job = claim(deps, job_id)
    log = {"level": "info", "text": "reading '/srv/models/wan/x.bin' at 3 GiB/s"}
    deps.store.add_event(job.id, job.token, EventKind.LOG, log)
    deps.store.add_event(job.id, job.token, EventKind.PHASE, {"phase": "denoise"})
    page = client.get(f"/api/v1/jobs/{job_id}/logs", params={"after": 0}).json()
    assert [event["kind"] for event in page["data"]] == ["log"]
    assert page["data"][0]["data"]["text"] == "reading '(path)' at 3 GiB/s"
    publish(deps, job)
    streamed = parse(client.get(f"/api/v1/jobs/{job_id}/logs").text)
    assert [event["event"] for event in streamed] == ["log"]


def test_a_retried_job_goes_on_in_the_same_stream(client, deps):
    job_id = submit(client)
    client.post(f"/api/v1/jobs/{job_id}/cancel")
    client.post(f"/api/v1/jobs/{job_id}/retry")
    finish_job(deps, job_id)
    kinds = [event["event"] for event in parse(client.get(f"/api/v1/jobs/{job_id}/events").text)]
    assert "cancelled" in kinds
    assert kinds[-1] == "succeeded"
