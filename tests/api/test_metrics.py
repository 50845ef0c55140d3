"""Metrics out of records: the same after a restart and at every server; what the board asks for."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import client_of
from tests.api.records import fill, put_run
from tests.api.test_system import put_worker
from tests.jobs.factory import make_job
from tests.perf.simulated import NUM_STEPS, make_record, make_runs

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
BOARD = json.loads((GRAFANA / "ourvidz.json").read_text(encoding="utf-8"))
JOB_TYPE = "sdxl_image_fast"  # what the factory's jobs are
MEMORY = {
    "level": "ok",
    "budget_bytes": 100,
    "weights_bytes": 50,
    "components": [{"model": "m", "name": "vae", "place": "device", "bytes": 5}],
}


def families_of(client):
    return list(text_string_to_metric_families(client.get("/metrics").text))


def samples_of(client):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families_of(client)
        for sample in family.samples
    }


def of(name, **labels):
    return (name, *sorted({"job_type": JOB_TYPE, **labels}.items()))


def test_histograms_count_records(client, deps):
    runs = make_runs(5, seed=1)
    fill(deps.store, runs)
    found = samples_of(client)
    assert found[of("ourvidz_job_seconds_count")] == 5
    assert found[of("ourvidz_job_seconds_sum")] == pytest.approx(sum(run.run_s for run in runs))
    assert found[of("ourvidz_job_seconds_bucket", le="20.0")] == 0
    assert found[of("ourvidz_job_seconds_bucket", le="30.0")] == 5
    assert found[of("ourvidz_phase_seconds_count", phase="denoise")] == 5
    assert of("ourvidz_phase_seconds_count", phase="queue_wait") not in found
    waited = sum(run.phases_s["queue_wait"] for run in runs)
    assert found[of("ourvidz_queue_wait_seconds_sum")] == pytest.approx(waited)
    assert found[of("ourvidz_step_seconds_count")] == 5 * NUM_STEPS
    assert found[of("ourvidz_finished_jobs_total", outcome="succeeded")] == 5


def test_failures_are_counted_by_their_cause_and_have_no_time(client, deps):
    put_run(deps.store, make_record(0))
    deps.store.submit((make_job(),))
    job = deps.store.claim("w1", lease_s=20.0, overdue_s=900.0)
    error = {"code": "out_of_memory", "message": "m", "param": None, "hint": None}
    body = {"is_success": False, "failure": "out_of_memory", "total_s": 9.0}
    assert deps.store.fail(job.id, job.token, error=error, retry_in_s=None, record=body)
    found = samples_of(client)
    assert found[of("ourvidz_finished_jobs_total", outcome="out_of_memory")] == 1
    assert found[of("ourvidz_job_seconds_count")] == 1


def test_every_server_tells_the_same_and_a_restart_loses_nothing(client, deps, make_app_deps):
    def told(one):
        return {key: value for key, value in samples_of(one).items() if "_http_" not in key[0]}

    fill(deps.store, make_runs(3, seed=1))
    first = told(client)
    other = client_of(make_app_deps())  # another server over the same store, just started
    later = told(other)
    histograms = [key for key in first if re.search(r"_(bucket|count|sum|total)$", key[0])]
    assert {key: later[key] for key in histograms} == {key: first[key] for key in histograms}
    put_run(deps.store, make_record(9))
    for one in (client, other):
        assert told(one)[of("ourvidz_job_seconds_count")] == 4


def test_scraped_text_is_well_formed(client, deps):
    fill(deps.store, make_runs(4, seed=2))
    put_worker(deps, facts={"memory": MEMORY})
    families = families_of(client)
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.documentation, family.name
        assert family.type != "unknown", family.name
        keys = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(keys) == len(set(keys)), family.name
        if family.type == "histogram":
            check_histogram(family)
    histograms = {family.name for family in families if family.type == "histogram"}
    assert {f"ourvidz_{name}_seconds" for name in ("job", "phase", "queue_wait", "step")} <= (
        histograms
    )


def check_histogram(family):
    """Buckets rise to +Inf, which is the count; the sum could be of such a count."""
    by_labels = {}
    for sample in family.samples:
        labels = tuple(sorted(item for item in sample.labels.items() if item[0] != "le"))
        kind = sample.name.removeprefix(f"{family.name}_")
        found = by_labels.setdefault(labels, {"bucket": []})
        if kind == "bucket":
            found["bucket"].append((float(sample.labels["le"]), sample.value))
        else:
            found[kind] = sample.value
    for found in by_labels.values():
        bounds = [bound for bound, _ in found["bucket"]]
        counts = [count for _, count in found["bucket"]]
        assert bounds == sorted(set(bounds))
        assert bounds[-1] == math.inf
        assert counts == sorted(counts)
        assert counts[-1] == found["count"]
        assert found["sum"] >= 0


# The board


def queries():
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


METRIC = re.compile(r"\b(ourvidz_\w+)(?:\{([^}]*)\})?")


def test_every_metric_and_label_of_the_board_is_in_a_scrape(client, deps):
    fill(deps.store, make_runs(2, seed=3))
    put_worker(deps, device="cuda:0", facts={"memory": MEMORY})
    deps.store.submit((make_job(),))
    deps.store.pause(JOB_TYPE)
    labels = {}
    client.get("/metrics")  # requests are counted from the second scrape on
    for name, *pairs in samples_of(client):
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    asked = 0
    for title, query in queries():
        for name, selectors in METRIC.findall(query):
            asked += 1
            assert name in labels, (title, name)
            for label in re.findall(r"(\w+)\s*(?:=~|!=|=)", selectors):
                assert label in labels[name], (title, name, label)
        names = [name for name, _ in METRIC.findall(query)]
        known = set().union(*(labels[name] for name in names))
        for by in re.findall(r"\bby \(([^)]*)\)", query):
            assert set(by.replace(" ", "").split(",")) <= known, (title, by)
    assert asked >= 20


def test_the_board_holds_together():
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    placed = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not placed & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        placed |= cells
    for _, query in queries():
        assert query.count("(") == query.count(")")
    scrape = yaml.safe_load((GRAFANA / "prometheus.yml").read_text(encoding="utf-8"))
    assert scrape["scrape_configs"][0]["authorization"]["credentials_file"]
