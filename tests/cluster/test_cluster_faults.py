"""A small run of the benchmark in benchmarks/cluster_faults.py, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_job_is_lost_while_groups_roll_and_drain_and_actors_node_and_head_die(tmp_path):
    record = tmp_path / "record.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.cluster_faults", "--test-jobs", "80",
            "--pocket-jobs", "3", "--test-groups", "3", "--record", str(record),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=880,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        (each["case"], each["metric"]): each["value"]
        for each in json.loads(record.read_text(encoding="utf-8"))["results"]
    }
    accepted = found["all", "accepted"]
    assert accepted == 83
    assert found["all", "lost_or_illegal"] == 0
    assert found["all", "succeeded"] == found["all", "one_output"] == accepted
    for fault in ("roll", "drain", "actors", "controller", "node", "head"):
        assert (fault, "capacity_back_s") in found
