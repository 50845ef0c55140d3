"""``ourvidz perf trace``: a file that ui.perfetto.dev opens, of a stored job or of a sidecar."""

import json

import jsonschema

from ourvidz.catalog.config import load_settings
from ourvidz.jobs.open import open_store
from tests.api.records import put_run
from tests.perf.simulated import make_record
from tests.perf.test_trace import SCHEMA, SPANS


def test_a_stored_jobs_trace(cli, tmp_path):
    store = open_store(load_settings(data_dir=tmp_path / "ourvidz-data"))
    store.migrate()
    job = put_run(store, make_record(0))
    store.close()
    done = cli("perf", "trace", job.id, "--out", "job.perfetto.json", "--json")
    assert (done.code, done.last_json["spans"]) == (0, 2)
    found = json.loads((tmp_path / "job.perfetto.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    assert found["otherData"]["job_id"] == job.id


def test_a_sidecars_trace_and_refusals(cli, tmp_path):
    body = {"job_id": "job_1", "job_type": "video_fast", "spans": SPANS, "step_times_s": [0.5]}
    (tmp_path / "a.json").write_text(json.dumps(body), encoding="utf-8")
    assert cli("perf", "trace", "a.json").code == 0
    found = json.loads((tmp_path / "job_1.perfetto.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    (tmp_path / "b.json").write_text("[]", encoding="utf-8")
    assert cli("perf", "trace", "b.json").code == 2
    assert cli("perf", "trace", "absent.json").code == 2
    assert cli("perf", "trace", "job_none", "--json").last_json["error"]["code"] == "not_found"
