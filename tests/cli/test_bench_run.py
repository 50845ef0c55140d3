import itertools
import json
import shutil

import pytest

from ourvidz.bench.protocol.session import Session
from ourvidz.engine.engine import Engine

TINY = ("--profile", "full", "--set", "num_inference_steps=2", "--set", "width=64", "--force")
RUN = ("bench", "run", "--set", "height=64", *TINY)


def slower_by(path, target, factor):
    """Write the runs of a protocol run as if they had taken ``factor`` of their time."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        body = line["body"]
        line["job_id"] += "-other"
        body["total_s"] *= factor
        body["phases_s"] = {name: factor * s for name, s in body["phases_s"].items()}
        body["unattributed_s"] *= factor
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


@pytest.mark.slow
def test_a_run_ends_with_a_report_and_a_regression_with_exit_code_3(cli, tmp_path, monkeypatch):
    forgotten = []
    forget = Engine.forget_prompts
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "forget_prompts", lambda e: (forgotten.append(1), forget(e)))
        first = cli(*RUN, "--suite", "standard", "-j", "image_fast", "--json")
    assert first.code == 0, first.err
    assert len(forgotten) == 8  # texts are encoded anew in each run, the warm-up's too
    report = first.last_json["run"]
    (group,) = report["groups"]
    assert (report["status"], report["num_done"], group["n"]) == ("complete", 7, 7)
    assert {check["name"] for check in report["preflight"]} >= {"queue empty", "disk room"}
    assert report["verdicts"][0]["text"] == "no baseline"
    assert report["environment"]["commit"] == report["commit"]
    folder = tmp_path / first.last_json["folder"]
    assert "# Protocol run" in (folder / "report.md").read_text()
    assert len(list((folder / "outputs").iterdir())) == 1
    assert list((folder / "jobs").iterdir()) == []
    records = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert {line["body"]["origin"] for line in records} == {"protocol"}
    assert all(line["quality"] for line in records)

    # Judged again, against the same runs as if they had been three times as fast.
    faster = slower_by(folder / "runs.jsonl", tmp_path / "faster.jsonl", 1 / 3)
    again = cli("bench", "run", "--resume", report["id"], "--baseline", str(faster), "--force")
    assert again.code == 3, again.err
    assert "regression" in again.err
    told = json.loads((folder / "report.json").read_text())
    assert "total" in told["verdicts"][0]["regressions"]
    assert told["verdicts"][0]["output"] is None  # the file's outputs were not kept beside it

    # Its own folder as the baseline: the same outputs, value by value.
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    slower_by(folder / "runs.jsonl", other / "runs.jsonl", 1.0)
    cli("bench", "run", "--resume", report["id"], "--baseline", str(other), "--force")
    told = json.loads((folder / "report.json").read_text())
    assert told["verdicts"][0]["outcome"] == "no_change"
    assert told["verdicts"][0]["output"]["is_identical"]

    # The store keeps the records, so the next run finds its baseline there.
    second = cli(*RUN, "--suite", "quick", "-j", "image_fast", "--json")
    (verdict,) = second.last_json["run"]["verdicts"]
    assert verdict["baseline"] == {
        "kind": "store",
        "name": "the established baselines",
        "n": 7,
    }
    assert verdict["outcome"] == "indicative"


def test_a_run_that_was_stopped_goes_on(cli, monkeypatch):
    calls = itertools.count()
    with monkeypatch.context() as patch:  # after the warm-up and one run
        patch.setattr(Session, "_is_late", lambda *_: next(calls) >= 2)
        stopped = cli(*RUN, "--suite", "quick", "-j", "image_fast", "--json")
    report = stopped.last_json["run"]
    assert stopped.code == 0
    assert (report["status"], report["num_done"]) == ("interrupted", 1)
    assert report["next"][0]["command"] == f"ourvidz bench run --resume {report['id']}"
    whole = cli("bench", "run", "--resume", report["id"], "--force", "--json").last_json["run"]
    assert (whole["id"], whole["status"], whole["num_done"]) == (report["id"], "complete", 3)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--suite", "huge"), 2, "suite 'huge' is unknown"),
        (("-j", "video_slow"), 2, "video_slow"),
        (("--set", "steps=3"), 2, "'steps' is no parameter"),
        (("--set", "num_inference_steps=few"), 2, "no number"),
        (("--preset", "balanced", "-j", "image_fast"), 2, "balanced"),
        (("--resume", "bench_1"), 1, "no protocol run"),
        (("--baseline", "bench_1"), 1, "no protocol run"),
        (("--profile", "half"), 2, "profile 'half'"),
    ],
)
def test_what_is_not_legal_is_refused_before_anything_runs(cli, tmp_path, arguments, code, said):
    found = cli("bench", "run", "--profile", "full", *arguments)
    assert found.code == code
    assert said in found.err
    assert not (tmp_path / "ourvidz-data" / "benchmarks").exists()


def test_preflight_refuses_where_models_are_missing(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(tmp_path / "none"))
    found = cli("bench", "run", "--profile", "full", "-j", "image_fast")
    assert found.code == 1
    assert "Pre-flight refuses: missing: wan2.1-t2v-1.3b" in found.err
    assert "ourvidz models pull wan2.1-t2v-1.3b" in found.err
