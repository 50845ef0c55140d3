"""The board's queries in a real Prometheus that scrapes a real server. Skipped where none is."""

import re
import shutil
import socket
import subprocess
import time

import httpx
import pytest
import yaml

from tests.api.records import fill, put_run
from tests.api.test_metrics import MEMORY, queries
from tests.api.test_system import put_worker
from tests.jobs.factory import make_job
from tests.perf.simulated import make_record, make_runs

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus in PATH"),
]


def wait_until(is_true):
    end_s = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.1)


@pytest.fixture
def prometheus(server, tmp_path):
    """A Prometheus on a free port of loopback that scrapes the server each second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "ourvidz",
                "static_configs": [{"targets": [server.base_url.netloc.decode()]}],
            }
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = [
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([PROMETHEUS, *options], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=20) as http:

            def is_ready():
                try:
                    return http.get("/-/ready").status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(is_ready)
            yield http
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool in PATH")
def test_promtool_accepts_what_is_scraped(client, deps):
    fill(deps.store, make_runs(3, seed=1))
    put_worker(deps, device="cuda:0", facts={"memory": MEMORY})
    text = client.get("/metrics").content
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_of_the_board_has_an_answer(prometheus, server, deps):
    fill(deps.store, make_runs(2, seed=1))
    put_worker(deps, device="cuda:0", facts={"memory": MEMORY})

    def value(query):
        answer = prometheus.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def scraped(number):
        found = value("max(ourvidz_job_seconds_count)")
        return bool(found) and float(found[0]["value"][1]) == number

    wait_until(lambda: scraped(2))
    for index in range(3):
        put_run(deps.store, make_record(10 + index))
        wait_until(lambda count=3 + index: scraped(count))
    deps.store.submit((make_job(),))
    deps.store.pause("sdxl_image_fast")
    wait_until(lambda: bool(value("ourvidz_paused")) and bool(value("ourvidz_queued_jobs")))
    asked = 0
    for title, query in queries():
        if query.startswith("label_values"):
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
            found = prometheus.get(
                f"/api/v1/label/{label}/values", params={"match[]": name}
            ).json()["data"]
            assert found == ["sdxl_image_fast"]
            continue
        expr = query.replace("$__rate_interval", "30s").replace("$job_type", ".*")
        result = value(expr)
        assert result, (title, expr)
        assert all(each["value"][1] not in {"NaN", "+Inf"} for each in result), (title, result)
        asked += 1
    assert asked >= 15
