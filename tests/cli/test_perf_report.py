"""``ourvidz perf report|digest``: out of the store into a file, in each format; refusals."""

import json
from datetime import UTC, datetime

import pytest

from tests.cli.quick import quick_cli
from tests.cli.test_perf_verdicts import fill
from tests.perf.simulated import environment, make_runs


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    return quick_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def stepped(tmp_path):
    """Twelve runs, and twelve slower ones with another torch."""
    return fill(
        tmp_path,
        [
            *make_runs(12, seed=1),
            *make_runs(12, seed=2, slower={"denoise": 1.2}, environment=environment(torch="2.12")),
        ],
    )


def test_an_empty_installation_has_a_report_and_makes_no_store(cli, tmp_path):
    outcome = cli("perf", "report")
    assert outcome.code == 0
    assert "Baselines established | **0 of 10**" in outcome.out
    assert "No clean run yet" in outcome.out
    assert not (tmp_path / "ourvidz-data").exists()


def test_a_file_says_its_format(cli, tmp_path, stepped):
    for name, begin in (("r.html", "<!doctype html>"), ("r.md", "# Performance report")):
        outcome = cli("perf", "report", "--out", str(tmp_path / "new" / name))
        assert outcome.code == 0
        assert (tmp_path / "new" / name).read_text().startswith(begin)
    outcome = cli("perf", "report", "--out", str(tmp_path / "r.json"), "--json")
    kept = json.loads((tmp_path / "r.json").read_text())
    assert kept["schema"] == 1
    assert kept["metrics"]["jobs"] == 24
    assert outcome.last_json["report"]["matrix"]["num_established"] == 1
    (series,) = kept["series"]
    assert series["changes"][0]["effect"] == "regression"
    assert "torch" in series["changes"][0]["cause"]


def test_expected_times_come_from_other_runs_than_the_groups_own(cli, stepped):
    rows = cli("perf", "report", "--format", "json", "--json").last_json["report"]["matrix"]["rows"]
    (row,) = [each for each in rows if each["n"]]
    assert row["expected_from"] in (None, "prior")  # there is but one group


def test_since_leaves_older_jobs_out(cli, stepped):
    found = cli("perf", "report", "--format", "json", "--since", "1h", "--json").last_json
    assert found["report"]["metrics"]["jobs"] == 0
    assert found["report"]["since"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "--since", "soon"), "neither a day nor an age"),
        (("report", "--since", "2999-01-01"), "lies ahead"),
        (("report", "--out", "r.pdf"), "names no format"),
        (("digest", "--at", "2999-01-01"), "lies ahead"),
        (("digest", "--at", "monday"), "is no day"),
        (("digest", "--week", "--month"), "two digests"),
    ],
)
def test_refusals(cli, arguments, said):
    outcome = cli("perf", *arguments)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_digest_of_the_week_that_jobs_ran_in(cli, stepped, tmp_path):
    record = cli("perf", "record", stepped[0], "--json").last_json["record"]
    day = datetime.fromisoformat(record["at"]).astimezone(UTC).date()
    outcome = cli("perf", "digest", "--at", str(day), "--out", str(tmp_path / "d.html"), "--json")
    assert outcome.code == 0
    found = outcome.last_json["report"]
    assert found["metrics"]["jobs"] == 24
    assert found["period"]["kind"] == "weekly"
    assert found["changes"][0]["change"]["effect"] == "regression"
    assert "Weekly digest" in (tmp_path / "d.html").read_text()
    month = cli(
        "perf", "digest", "--month", "--at", str(day), "--format", "json", "--json"
    ).last_json
    assert month["report"]["name"] == f"monthly-{day:%Y-%m}"


def test_help_names_what_each_option_does(cli):
    for command in ("report", "digest"):
        outcome = cli("perf", command, "--help")
        assert outcome.code == 0
        assert "--out" in outcome.out
        assert "stdout" in outcome.out
