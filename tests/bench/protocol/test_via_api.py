"""Protocol runs over HTTP: a real server, and a worker of the test engine."""

import threading

import pytest

from ourvidz.bench.protocol.session import Session, jobs_folder, report_of
from ourvidz.bench.protocol.via_api import Service, ViaApi, body_for, environment_of
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import FetchFailed, IllegalState, InvalidRequest, NotFound
from ourvidz.perf.protocol.plan import API
from ourvidz.perf.protocol.results import COMPLETE, INTERRUPTED, RunFolder
from ourvidz.perf.record import Origin
from ourvidz.worker.service import WorkerService
from ourvidz.worker.testing import TestRunner
from tests.api.conftest import deps, guarded_client, make_app_deps, server, settings
from tests.perf.protocol.runs import make_plan

__all__ = ["deps", "guarded_client", "make_app_deps", "server", "settings"]  # fixtures


@pytest.fixture
def service(server):
    found = Service(url=str(server.base_url))
    yield found
    found.close()


@pytest.fixture
def working(deps):
    worker = WorkerService(
        settings=deps.settings,
        catalogue=deps.catalogue,
        store=deps.store,
        storage=deps.storage,
        policy=deps.policy,
        make_runner=TestRunner,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop()
    thread.join(timeout=30.0)
    assert not thread.is_alive()


def session_of(service, tmp_path, **fields):
    plan = make_plan("sdxl_image_fast", "image_fast", repeats=2, door=API)
    folder = RunFolder(path=tmp_path / plan.id)
    folder.begin(plan)
    runner = ViaApi(service=service, folder=jobs_folder(folder.path))
    return Session(plan=plan, folder=folder, runner=runner, tell=lambda _: None, **fields)


@pytest.mark.usefixtures("working")
def test_jobs_run_through_the_api_and_their_records_come_back(service, tmp_path):
    session = session_of(service, tmp_path)
    assert session.execute() == COMPLETE
    runs = session.folder.runs()
    assert [run.is_warm_up for run in runs] == [True, True, False, False, False, False]
    for run in runs:
        assert (run.error, run.record.origin) == (None, Origin.PROTOCOL)
        assert run.record.source == "api"
        assert run.record.total_s > 0
        assert run.quality
        # The test engine's files are of another size, which the output check finds.
        assert "16x16 in place of" in run.record.flags[0]
    first = runs[2]
    assert (session.folder.path / first.outputs[0]).is_file()
    assert list(jobs_folder(session.folder.path).iterdir()) == []
    report = report_of(
        session.plan,
        runs,
        checks=(),
        reference=None,
        status=COMPLETE,
        environment=environment_of(runs[-1].body),
        all_job_types=(),
    )
    assert {len(group["left_out"]) for group in report.groups} == {2}


def test_preflight_refuses_a_service_without_workers(service, tmp_path):
    session = session_of(service, tmp_path)
    with pytest.raises(IllegalState, match="0 workers are up"):
        session.preflight()


@pytest.mark.usefixtures("working")
def test_a_cancel_is_passed_on(service, tmp_path, deps):
    cancel = CancelToken()
    cancel.cancel()
    session = session_of(service, tmp_path, cancel=cancel)
    assert session.execute() == INTERRUPTED
    assert session.folder.runs() == ()


def test_what_the_service_refuses_is_told(service):
    (run, *_) = make_plan("image_fast").runs()
    with pytest.raises(InvalidRequest):
        service.ask("POST", "/api/v1/jobs", body=body_for(run, "x") | {"job_type": "none"})
    with pytest.raises(NotFound):
        service.get("/api/v1/jobs/job_01k9w8n0c4kq4v7m2x5y6z7a8b")
    with pytest.raises(InvalidRequest, match="no address"):
        Service(url="localhost:8000")
    nobody = Service(url="http://127.0.0.1:9")
    with pytest.raises(FetchFailed, match="does not answer"):
        nobody.get("/api/v1/status")
    nobody.close()
