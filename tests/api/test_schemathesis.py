"""Requests drawn from the OpenAPI document itself: nothing undocumented, nothing that breaks.

A worker's part is played beforehand, so that ids of jobs in every state, assets and keys exist.
"""

import contextlib
import random
import sys

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from ourvidz.api import benchmarks
from ourvidz.api.app import create_app
from ourvidz.api.keys import create_key
from ourvidz.api.schemas import MAX_WAIT_S
from ourvidz.core.clock import SystemClock
from ourvidz.perf.protocol.results import RunFolder
from tests.api.conftest import client_of
from tests.api.records import fill
from tests.api.test_benchmarks import plan_of
from tests.api.test_system import put_worker
from tests.api.worker import WORKER, claim, fail, finish_job
from tests.perf.simulated import make_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = 25
PROMPT = {"prompt": "a red circle moving left"}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
)

# No faults: the service says that something is missing. No worker ends what images wait for.
MAY_LACK = {503, 504, 507}


def populate(deps) -> dict[str, list[str]]:
    """Put a job in every state, a worker and files into the store; return their ids by name."""
    client = client_of(deps)

    def submit(**values):
        return client.post("/api/v1/jobs", json=PROMPT | values).json()["id"]

    finished = submit(seed=1)
    finish_job(deps, finished)
    other = submit(seed=6)
    finish_job(deps, other)
    image = submit(job_type="sdxl_image_fast")
    finish_job(deps, image)
    failed = submit(seed=2)
    fail(deps, failed)
    running = submit(seed=3)
    claim(deps, running)
    queued = submit(seed=4)
    cancelled = submit(seed=5)
    client.post(f"/api/v1/jobs/{cancelled}/cancel")
    put_worker(deps)
    assets = [asset["id"] for asset in client.get("/api/v1/assets").json()["data"]]
    ran = fill(deps.store, make_runs(8, seed=1))
    slower = fill(deps.store, make_runs(8, seed=2, slower={"denoise": 1.3}))
    body = {"verb": "ignore", "target": slower[0], "note": "drawn"}
    decision = client.post("/api/v1/performance/decisions", json=body).json()["id"]
    plan = plan_of()
    RunFolder(path=deps.settings.data_dir / "benchmarks" / plan.id).begin(plan)
    goal = {"job_type": "video_fast", "seconds": 1.0}
    goal_id = client.post("/api/v1/performance/goals", json=goal).json()["id"]
    pair = {"job_ids": [finished, other]}
    blind_test = client.post("/api/v1/performance/blind-tests", json=pair).json()["id"]
    client.put(f"/api/v1/jobs/{finished}/rating", json={"stars": 4})
    groups = [each["id"] for each in client.get("/api/v1/performance/baselines").json()["data"]]
    jobs = [finished, image, failed, running, queued, cancelled, ran[0], slower[0]]
    return {
        "job_id": jobs,
        "video_id": [job for job in jobs if job != running],  # its end would be waited for
        "asset_id": assets,
        "model_id": ["pocket-video", "pocket-image"],
        "model": ["pocket-video", "video_fast"],
        "worker_id": [WORKER],
        "decision_id": [decision],
        "goal_id": [goal_id],
        "group": groups,
        "test_id": [blind_test],
        "run_id": [plan.id],
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The application with things in it, and the header of an operator's key."""
    from ourvidz.api.deps import make_deps
    from ourvidz.catalog.config import Settings, catalogue_of
    from ourvidz.jobs.open import open_store
    from ourvidz.policy.build import build_policy
    from ourvidz.storage.open import open_signer, open_storage

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(benchmarks, "command_of", lambda wanted, url: [sys.executable, "-c", ""])
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        queue={"poll_s": 0.02},
        server={"blocking_wait_s": 0.05},
    )
    store = open_store(settings)
    store.migrate()
    deps = make_deps(
        settings=settings,
        catalogue=catalogue_of(settings),
        store=store,
        storage=open_storage(settings),
        policy=build_policy(settings.policy),
        signer=open_signer(settings),
    )
    ids = populate(deps)
    _, secret = create_key(
        store=store, clock=SystemClock(), name="drawn", tenant="default", scopes=["admin"]
    )
    yield create_app(deps), ids, {"Authorization": f"Bearer {secret}", "Host": "127.0.0.1"}
    store.close()
    monkeypatch.undo()


@pytest.fixture(scope="module")
def spec(service):
    app, _, headers = service
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)


def operations(spec):
    return [result.ok() for result in spec.get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_drawn_request_breaks_anything(service, spec, mode):
    _, ids, headers = service
    broken: list[str] = []
    for operation in operations(spec):
        broken += drawn_failures(operation, mode, ids, headers)
    assert broken == []


def drawn_failures(operation, mode, ids, headers) -> list[str]:
    """Draw requests for one operation; return what was wrong with their answers."""
    broken: list[str] = []
    rng = random.Random(0)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case):
        for name in case.path_parameters or {}:
            if name in ids and rng.random() < 0.8:
                case.path_parameters[name] = rng.choice(ids[name])
        bound_time(case)
        answer = case.call(headers=headers, timeout=60)
        checks = CHECKS[1:] if answer.status_code in MAY_LACK else CHECKS
        try:
            case.validate_response(answer, checks=checks)
        except (schemathesis.core.failures.FailureGroup, AssertionError) as error:
            broken.append(f"{operation.label}: {answer.status_code} {error!s:.400}")

    with contextlib.suppress(Unsatisfiable):  # nothing that is sent here can be wrong
        run()
    return broken[:3]


def bound_time(case) -> None:
    """Streams end soon, waits are short: nothing here plays the worker meanwhile."""
    query = case.query if isinstance(case.query, dict) else {}
    if case.path.endswith(("/events", "/logs")):
        case.query = {**query, "max_s": 0.01}
    wait_s = case.body.get("wait_s") if isinstance(case.body, dict) else None
    if isinstance(wait_s, int | float) and 0 < wait_s <= MAX_WAIT_S:  # what is illegal stays so
        case.body["wait_s"] = 0.01
