import json
import threading
import time

import pytest

from ourvidz.worker.service import WorkerService
from ourvidz.worker.testing import TestRunner
from tests.api.conftest import deps, guarded_client, make_app_deps, server, settings

__all__ = ["deps", "guarded_client", "make_app_deps", "server", "settings"]  # fixtures


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
    give_up_s = time.monotonic() + 30.0
    while not deps.store.workers():  # pre-flight asks whether one is up
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    yield
    worker.stop()
    thread.join(timeout=30.0)


@pytest.mark.usefixtures("working")
def test_a_load_test_ends_with_a_report(cli, server, tmp_path):
    found = cli(
        *("bench", "load", "--url", str(server.base_url), "--rate", "10", "--duration", "0.5"),
        *("-j", "image_fast", "--look-seconds", "0.05", "--json"),
    )
    assert found.code == 0, found.err
    report = found.last_json["run"]
    whole = report["details"]["load"]["figures"][0]
    assert whole["arrived"] == report["num_planned"] == report["num_done"] > 0
    assert whole["succeeded"] == whole["in_time"] == whole["arrived"]
    folder = tmp_path / found.last_json["folder"]
    assert "# Load test" in (folder / "report.md").read_text()
    assert json.loads((folder / "plan.json").read_text())["kind"] == "load"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--rate", "0"), 2, "rate_s 0.0 is not above 0"),
        (("--rate", "1000", "--duration", "1000"), 2, "1000000 jobs"),
        (("--rate", "1", "--set", "speed=9"), 2, "'speed' is no parameter"),
        (("--rate", "1"), 1, "does not answer"),
    ],
)
def test_what_can_not_be_offered_is_refused(cli, tmp_path, arguments, code, said):
    found = cli("bench", "load", "--url", "http://127.0.0.1:9", *arguments)
    assert found.code == code
    assert said in found.err
    assert not (tmp_path / "ourvidz-data" / "benchmarks").exists()
