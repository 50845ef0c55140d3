"""Protocol runs over HTTP: one at a time, followed live, cancelled, found again after a restart."""

import itertools
import json
import sys
import time
from pathlib import Path

import pytest

from ourvidz.api import benchmarks
from ourvidz.api.benchmarks import Wanted, command_of
from ourvidz.api.keys import create_key
from ourvidz.core.clock import SystemClock
from ourvidz.perf.protocol.plan import Plan, RunKind, cases_of_run
from tests.api.conftest import client_of, parse

ROOT = "/api/v1/benchmarks"
RUN_ID = "bench_01k9w8n0c4kq4v7m2x5y6z7a8b"
SCRIPT = Path(__file__).with_name("benchmark_process.py")
NUM_RUNS = 4  # a warm-up, and three that count


def plan_of(run_id=RUN_ID):
    return Plan(
        id=run_id,
        kind=RunKind.RUN,
        suite="quick",
        repeats=NUM_RUNS - 1,
        seed=7,
        created_at="2026-01-05T08:00:00+00:00",
        profile="pocket",
        cases=cases_of_run(["video_fast"], preset="baseline", values={}),
        environment={"cpu": "Some CPU"},
    )


class Played:
    """The process that is started in place of the command."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.commands = []
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / "given-plan.json"
        plan.write_text(json.dumps(plan_of().to_dict()), encoding="utf-8")

        def command(wanted, url):
            self.commands.append(command_of(wanted, url))
            return [sys.executable, str(SCRIPT), str(folder), str(plan)]

        monkeypatch.setattr(benchmarks, "command_of", command)

    def go(self, *numbers):
        for number in numbers:
            (self.folder / f"go-{number}").touch()


@pytest.fixture
def played(deps, monkeypatch):
    made = Played(deps.settings.data_dir / "benchmarks", monkeypatch)
    yield made
    made.go(*range(1, NUM_RUNS + 1))
    wait_until(lambda: not benchmarks.Benchmarks(deps.settings)._is_locked())


def wait_until(is_true):
    end_s = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def active(client):
    return client.get(f"{ROOT}/active").json()


def started(client, **values):
    answer = client.post(ROOT, json={"suite": "quick", "job_types": ["video_fast"]} | values)
    assert answer.status_code == 202, answer.text
    wait_until(lambda: active(client)["run_id"] is not None)
    return active(client)


def test_a_run_from_its_start_to_its_report(client, played):
    found = started(client, seed=3)
    assert (found["is_running"], found["run_id"], found["seed"]) == (True, RUN_ID, 3)
    (command,) = played.commands
    assert command[1:8] == [
        "-m", "ourvidz.cli", "bench", "run", "--url", "http://127.0.0.1:8000", "--suite"
    ]  # fmt: skip
    played.go(1, 2)
    path = f"{ROOT}/{RUN_ID}/events"
    wait_until(lambda: client.get(path, params={"after": 1}).json()["data"] != [])
    page = client.get(path, params={"after": 0}).json()
    assert [(each["kind"], each["num_done"]) for each in page["data"]] == [("run", 0), ("run", 1)]
    assert (page["data"][0]["is_warm_up"], page["is_finished"]) == (True, False)
    (brief,) = client.get(ROOT).json()["data"]
    assert (brief["is_active"], brief["status"], brief["num_done"]) == (True, "running", 1)
    played.go(3, 4)
    wait_until(lambda: not active(client)["is_running"])
    events = [json.loads(event["data"]) for event in parse(client.get(path).text)]
    assert [event["kind"] for event in events] == ["run"] * NUM_RUNS + ["end"]
    assert (events[-1]["status"], events[-1]["outcome"]) == ("complete", "no_change")
    assert [event["seq"] for event in events] == list(range(1, NUM_RUNS + 2))
    for cut in range(1, NUM_RUNS + 2):
        answer = client.get(path, headers={"Last-Event-ID": str(cut)})
        if cut == NUM_RUNS + 1:
            assert answer.status_code == 204
        else:
            assert [json.loads(event["data"]) for event in parse(answer.text)] == events[cut:]
    report = client.get(f"{ROOT}/{RUN_ID}").json()
    assert (report["schema"], report["status"], report["num_done"]) == (1, "complete", 3)
    (brief,) = client.get(ROOT).json()["data"]
    assert (brief["is_active"], brief["outcome"]) == (False, "no_change")


def test_one_at_a_time_for_all_servers_and_over_restarts(client, deps, played):
    started(client)
    other = client_of(deps)  # another server of this machine, just started
    assert other.post(ROOT, json={}).status_code == 409
    assert active(other)["is_running"] is True
    cancelled = other.post(f"{ROOT}/active/cancel")
    assert cancelled.status_code == 202
    wait_until(lambda: not active(client)["is_running"])
    assert client.get(f"{ROOT}/{RUN_ID}").json()["status"] == "interrupted"
    assert other.post(f"{ROOT}/active/cancel").status_code == 404
    assert len(played.commands) == 1


def test_a_run_is_followed_while_it_goes_on(server, played):
    started(server)
    with server.stream("GET", f"{ROOT}/{RUN_ID}/events") as answer:
        lines = answer.iter_lines()
        for number in (1, 2):
            played.go(number)
            assert next(line for line in lines if line.startswith("event: ")) == "event: run"
        played.go(3, 4)
        kinds = [line for line in lines if line.startswith("event: ")]
        assert kinds == ["event: run", "event: run", "event: end"]


def test_a_refused_run_says_why(client, played):
    (played.folder / "refuse").touch()
    assert client.post(ROOT, json={"suite": "quick"}).status_code == 202
    wait_until(lambda: not active(client)["is_running"])
    found = active(client)
    assert (found["run_id"], found["error"]["message"]) == (None, "pre-flight refuses")


def test_a_process_that_dies_is_told_and_its_stream_ends(client, played):
    started(client)
    (played.folder / "crash").touch()
    played.go(1)
    wait_until(lambda: not active(client)["is_running"])
    assert active(client)["error"]["code"] == "crashed"
    (end,) = parse(client.get(f"{ROOT}/{RUN_ID}/events").text)
    assert json.loads(end["data"])["status"] == "interrupted"
    (played.folder / "crash").unlink()
    (played.folder / "given-plan.json").unlink()  # the next one dies before it has an id
    assert client.post(ROOT, json={}).status_code == 202
    wait_until(lambda: not active(client)["is_running"])
    assert (active(client)["run_id"], active(client)["error"]["code"]) == (None, "crashed")


def test_a_run_has_a_key_of_its_own_that_ends_with_it(client, deps, played):
    _, secret = create_key(
        store=deps.store,
        clock=SystemClock(),
        name="ada",
        tenant="default",
        scopes=["performance:write", "metrics:read"],
    )
    client.headers["Authorization"] = f"Bearer {secret}"
    started(client)
    keys = deps.store.keys
    (own,) = [key for key in keys() if key.name == "benchmark"]
    assert client.post(ROOT, json={}).status_code == 409
    assert len(keys()) == 2
    assert set(own.scopes) == {"jobs:read", "jobs:write", "metrics:read"}
    wait_until(lambda: (played.folder / "key").exists())
    assert (played.folder / "key").read_text().startswith("ov_live_")
    assert own.revoked_at is None
    played.go(*range(1, NUM_RUNS + 1))
    wait_until(lambda: any(key.revoked_at for key in keys()))
    assert secret not in (played.folder / ".service.json").read_text()


def test_without_keys_none_is_made(client, deps, played):
    started(client)
    assert deps.store.keys() == ()
    wait_until(lambda: (played.folder / "key").exists())
    assert (played.folder / "key").read_text() == ""


@pytest.mark.parametrize(
    "body",
    [
        {"suite": "none"},
        {"job_types": ["none"]},
        {"preset": "none"},
        {"seed": -1},
        {"job_types": [""]},
    ],
)
def test_what_can_not_be_measured_is_refused_before_anything_runs(client, played, body):
    assert client.post(ROOT, json=body).status_code == 400
    assert played.commands == []


def test_what_is_not_there(client):
    assert client.get(ROOT).json() == {"data": [], "next_cursor": None}
    answer = client.get(f"{ROOT}/active")
    assert (answer.status_code, answer.json()) == (200, None)
    for path in (f"/{RUN_ID}", f"/{RUN_ID}/events", "/..%2F..", "/bench_1"):
        assert client.get(f"{ROOT}{path}").status_code == 404
    assert client.post(f"{ROOT}/active/cancel").status_code == 404


def test_the_command_names_all_that_is_wanted():
    wanted = Wanted(suite="full", job_types=("a", "b"), preset="draft", seed=1, is_forced=True)
    command = command_of(wanted, "http://127.0.0.1:1")
    pairs = set(itertools.pairwise(command))
    assert {("--suite", "full"), ("--job-types", "a,b"), ("--preset", "draft")} <= pairs
    assert {"--force", "--json"} <= set(command)
