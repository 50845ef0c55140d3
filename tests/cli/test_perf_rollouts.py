"""``ourvidz perf rollouts``: both sides as the store has them."""

import pytest

from ourvidz.catalog.config import load_settings
from ourvidz.jobs.open import open_store
from tests.cli.quick import quick_cli
from tests.clocks import ManualClock
from tests.jobs.factory import make_asset, make_job
from tests.perf.simulated import make_runs
from tests.perf.test_rollouts import both, side

TOML = """
[[rollouts]]
name = "fewer"
job_type = "video_fast"
share = 0.5
overrides = { num_inference_steps = 18 }
until = 2020-01-01
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    return quick_cli(tmp_path, monkeypatch, capsys)


def fill(tmp_path, runs):
    """Put records with their settings into the store of a folder."""
    clock = ManualClock()
    store = open_store(load_settings(data_dir=tmp_path / "ourvidz-data"), clock=clock)
    store.migrate()
    for run in runs:
        clock.advance(60.0)
        store.submit((make_job(),))
        job = store.claim("w1", lease_s=20.0, overdue_s=900.0)
        body = {
            "request": dict(run.workload),
            "environment": dict(run.environment),
            "settings": dict(run.settings),
            "state": run.state,
            "compile_state": run.compile_state,
            "total_s": run.total_s,
            "phases_s": dict(run.phases_s),
        }
        assert store.finish(job.id, job.token, result={}, assets=[make_asset(1)], record=body)
    store.close()


def test_none(cli):
    outcome = cli("perf", "rollouts", "--json")
    assert outcome.code == 0
    assert "[[rollouts]]" in outcome.err
    assert outcome.last_json == {"settings": [], "rollouts": []}


def test_the_sides_of_each(cli, tmp_path):
    fill(tmp_path, both(8))
    (tmp_path / "ourvidz.toml").write_text(TOML)
    outcome = cli("perf", "rollouts", "fewer", "--json")
    assert outcome.code == 0
    assert "over" in outcome.err
    assert "improvement" in outcome.err
    assert "says nothing of quality" in outcome.err
    found = outcome.last_json
    assert found["settings"][0]["goes_on"] is False
    assert found["rollouts"][0]["pairs"][0]["verdict"]["outcome"] == "improvement"


def test_names_that_are_none_are_refused(cli, tmp_path):
    fill(tmp_path, side("control", make_runs(1)))
    outcome = cli("perf", "rollouts", "fever")
    assert outcome.code == 2
    assert "fewer" in outcome.err


@pytest.mark.parametrize("change", [("video_fast", "video_fats"), ("0.5", "5")])
def test_broken_settings_are_refused(cli, tmp_path, change):
    (tmp_path / "ourvidz.toml").write_text(TOML.replace(*change))
    outcome = cli("perf", "rollouts")
    assert outcome.code == 2
    assert "rollouts" in outcome.err
