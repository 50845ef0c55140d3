import dataclasses
from datetime import UTC, datetime

import pytest

from ourvidz.bench.floors import LIMITS_SUITE, PUBLISHED
from ourvidz.bench.records import BenchmarkResult, new_record, read_record, write_record

ON_POCKET = ("--profile", "pocket", "--device", "cpu")


@pytest.fixture
def small(monkeypatch):
    """Make the measurements of a CPU take no time."""
    from ourvidz.bench import limits

    sizes = dataclasses.replace(
        limits._CPU,
        matmuls=((64, 64, 64),),
        attentions=((1, 32, 2, 16),),
        convolutions=((1, 8, 8, 8),),
        copy_bytes=2**18,
        disk_bytes=2**20,
        sample_s=0.0,
    )
    monkeypatch.setattr(limits, "_CPU", sizes)


def test_help_names_the_cases(cli):
    outcome = cli("bench", "peers", "--help")
    assert outcome.code == 0
    for name in ("video_fast", "wan_forward", "peak_memory", "--budget-seconds", "--repeats"):
        assert name in outcome.out
    assert "--disk" in cli("bench", "limits", "--help").out


def test_limits_are_written_and_every_floor_is_shown(cli, small, tmp_path):
    outcome = cli("bench", "limits", *ON_POCKET, "--out", "made/limits.json", "--json")
    assert outcome.code == 0
    record = read_record(tmp_path / "made" / "limits.json")
    assert record.suite == "limits"
    kinds = {result.case.partition(".")[0] for result in record.results}
    assert {"matmul", "attention", "convolution", "memory", "disk"} <= kinds
    floors = {(row["case"], row["fidelity"]): row for row in outcome.last_json["floors"]}
    assert floors["video_fast", "exact"]["floor_s"] > floors["wan_forward", "exact"]["floor_s"] > 0
    assert floors["video_fast", "exact"]["ours_s"] is None
    assert "distilled_4_step" in outcome.err


def test_limits_show_our_times_over_the_floors(cli, small, tmp_path):
    assert cli("bench", "limits", *ON_POCKET, "--out", "limits.json").code == 0
    made = cli(
        "bench", "peers", *ON_POCKET, "--case", "vae_decode", "--repeats", "1", "--no-library",
        "--set", "num_frames=5", "--record", "peers.json", "--limits", "limits.json", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    found = {result["metric"]: result["value"] for result in made.last_json["results"]}
    assert set(found) == {"seconds", "ratio_to_floor"}
    outcome = cli("bench", "limits", *ON_POCKET, "--peers", "peers.json", "--json")
    (row,) = (row for row in outcome.last_json["floors"] if row["case"] == "vae_decode")
    assert row["ours_s"] == found["seconds"]
    assert row["ratio_to_floor"] == pytest.approx(row["ours_s"] / row["floor_s"])


def test_an_unknown_case_names_the_nearest(cli):
    outcome = cli("bench", "peers", "--case", "video_fats")
    assert outcome.code == 2
    assert "video_fast" in outcome.err


@pytest.mark.parametrize("pair", ["num_frames", "colour=3", "num_frames=many", "prompt=x"])
def test_a_value_that_no_job_reads_is_refused(cli, pair):
    assert cli("bench", "peers", "--set", pair).code == 2


def test_a_record_of_another_suite_is_not_added_to(cli, small):
    assert cli("bench", "limits", *ON_POCKET, "--out", "limits.json").code == 0
    outcome = cli("bench", "peers", "--case", "load", *ON_POCKET, "--record", "limits.json")
    assert outcome.code == 2
    assert "--fresh" in outcome.err


def test_an_unknown_profile_is_refused(cli):
    assert cli("bench", "peers", "--profile", "other").code == 2
    assert cli("bench", "limits", "--profile", "other").code == 2


def write(path, suite, *rows):
    results = [
        BenchmarkResult(
            case=case, system=system, fidelity=fidelity, metric=metric, value=value, unit=unit, n=3
        )
        for case, system, fidelity, metric, value, unit in rows
    ]
    write_record(path, new_record(suite, results, now=datetime(2026, 1, 1, tzinfo=UTC)))


def test_another_card_is_modelled_and_says_so(cli, tmp_path):
    rates = [
        (f"{kind.value}.all", "torch", precision.value, "rate", value * 0.75, "per s")
        for (kind, precision), value in PUBLISHED["h200"].rates.items()
    ]
    write(tmp_path / "limits.json", LIMITS_SUITE, *rates)
    write(
        tmp_path / "peers.json",
        "peers",
        ("video_fast", "ourvidz", "exact", "seconds", 24.0, "s"),
        ("video_fast", "diffusers", "library", "seconds", 34.0, "s"),
        ("next_job", "ourvidz", "exact", "seconds", 0.1, "s"),
    )
    records = ("--peers", "peers.json", "--limits", "limits.json")
    outcome = cli(
        "bench", "model", "l40s", *records, "--measured-on", "h200", "--out", "m.json", "--json"
    )
    assert outcome.code == 0, outcome.err
    (only,) = outcome.last_json["modelled"]
    assert (only["case"], only["system"]) == ("video_fast", "ourvidz-modelled")
    assert 24.0 * 2.7 < only["low"] <= only["value"] <= only["high"] < 24.0 * 5.6
    assert read_record(tmp_path / "m.json").results[0].notes.startswith("MODELLED")
    assert cli("bench", "model", "l40s", *records).code == 2  # the record names no GPU
    assert cli("bench", "model", "abacus", *records, "--measured-on", "h200").code == 2
