"""``ourvidz perf predict``: from history, from a prior, from measured ceilings; refusals."""

import pytest

from tests.cli.quick import quick_cli
from tests.cli.test_perf_verdicts import fill
from tests.perf.prediction.simulated import runs, truth, workload

FULL = ("--width", "480", "--height", "832", "--num-frames", "81")


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OURVIDZ_PROFILE", "full")
    return quick_cli(tmp_path, monkeypatch, capsys)


def test_history_predicts(cli, tmp_path):
    fill(tmp_path, runs(30, seed=1))
    outcome = cli("perf", "predict", "-j", "video_fast", *FULL, "--json")
    assert outcome.code == 0
    found = outcome.last_json
    assert (found["basis"], found["num_records"], found["state"]) == ("history", 30, "resident")
    assert found["total_s"] == pytest.approx(sum(truth(workload()).values()), rel=0.1)
    assert found["low_s"] < found["total_s"] < found["high_s"]
    assert "from 30 records of this model here" in outcome.err


def test_settings_change_what_is_expected(cli, tmp_path):
    fill(tmp_path, runs(30, seed=1))
    few, many = (
        cli("perf", "predict", *FULL, "--num-inference-steps", steps, "--json").last_json
        for steps in ("10", "40")
    )
    assert many["phases_s"]["denoise"] == pytest.approx(4 * few["phases_s"]["denoise"], rel=0.1)
    assert many["phases_s"]["decode"] == few["phases_s"]["decode"]


def test_without_history_it_is_a_prior_and_makes_no_store(cli, tmp_path):
    outcome = cli("perf", "predict", "-j", "sdxl_image_fast", "--state", "cold", "--json")
    assert outcome.code == 0
    assert outcome.last_json["basis"] == "prior"
    assert outcome.last_json["phases_s"]["load"] > 0
    assert "a prior" in outcome.err
    assert not (tmp_path / "ourvidz-data").exists()


def test_measured_ceilings_serve_as_the_prior(cli, tmp_path):
    slow, fast = (
        cli("perf", "predict", *FULL, "--limits", str(_limits(tmp_path, rate)), "--json").last_json
        for rate in (1e12, 1e14)
    )
    assert slow["phases_s"]["denoise"] > 50 * fast["phases_s"]["denoise"]


def _limits(folder, rate):
    from datetime import UTC, datetime

    from ourvidz.bench.records import BenchmarkResult, new_record, write_record

    results = [
        BenchmarkResult(
            case=case,
            system="torch",
            fidelity=precision,
            metric="rate",
            value=value,
            unit="1/s",
            n=3,
        )
        for case, precision, value in (
            ("matmul.4096", "fp32", rate),
            ("attention.4096", "fp32", rate),
            ("convolution.64", "fp32", rate),
            ("memory.copy", "bytes", 1e10),
        )
    ]
    path = folder / f"limits-{rate:.0e}.json"
    write_record(path, new_record("limits", results, now=datetime.now(UTC)))
    return path


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("-j", "video_fsat"), "video_fast"),
        (("--num-frames", "64"), "65"),
        (("--limits", "nothing.json"), "nothing.json"),
    ],
)
def test_what_makes_no_sense_is_refused(cli, arguments, word):
    outcome = cli("perf", "predict", *arguments)
    assert outcome.code != 0
    assert word in outcome.err
