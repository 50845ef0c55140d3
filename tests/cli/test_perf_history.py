import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.cli import perf_history_view
from ourvidz.cli.main import main
from ourvidz.perf.history import case_of
from ourvidz.perf.record import Origin, PerformanceRecord

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "performance-history.md"


@pytest.fixture
def perf(tmp_path, monkeypatch, capsys):
    """Run ``ourvidz perf`` in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ourvidz", "perf", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.json"
    record = {"job_type": "video_fast", "date": "2026-01-02", "state": "cold", "ok": True}
    records = [
        {**record, "label": "a", "total_s": 10.0, "phases_s": {"load": 8, "denoise": 4}},
        {**record, "label": "b", "total_s": 20.0},
    ]
    recipe = {"kind": "mean", "of": [["a", "b"]]}
    content = {
        "about": "my own",
        "environment": {"gpu": "a card"},
        "records": records,
        "claims": [{"id": "mean", "stated": [15.0], "unit": "s", "recipe": recipe}],
        "goals": [
            {
                "by": "2020-01-01",
                "what": "video_fast in 5 s",
                "measures": [{"kind": "total_s", "job_types": ["video_fast"]}],
            }
        ],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_sweep(folder):
    values = {"scheduler": ("unipc", "euler"), "flow_shift": ("5.0", "3.0")}
    results = [
        BenchmarkResult(
            case=case_of(job_type="video_fast", factor=factor, before=before, after=after),
            system="ourvidz", fidelity="exact", metric="end_to_end_change",
            value=0.0, low=-0.5, high=0.5, unit="%", n=7,
        )
        for factor, (before, after) in values.items()
    ]  # fmt: skip
    folder.mkdir(parents=True)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    write_record(folder / "sweep-cpu.json", new_record("sweep", results, now=now))


def test_claims_as_json(perf):
    code, out, _ = perf("claims", "--json")
    assert code == 0
    report = json.loads(out.strip().splitlines()[-1])
    claims = {claim["id"]: claim for claim in report["claims"]}
    first = claims["video_fast_mean"]["figures"][0]
    assert first["recomputed"] == pytest.approx(241.475)
    assert (first["stated"], first["n"], first["mixes_states"]) == (241.4, 4, True)
    assert set(first["interval"]) == {"low", "high", "level"}
    assert claims["job9_improvement"]["verdict"] == "refused"
    assert claims["tradeoff_solver_unipc_euler"]["verdict"] == "not measured yet"
    assert report["success"]["refusals"] == ["5"]
    assert report["candidates"][0]["day_after"] == "2025-07-07"
    assert sum(report["verdicts"].values()) == len(claims) == 19


@pytest.mark.parametrize("columns", ["80", "120"])
def test_claims_fit_the_terminal(perf, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    for command in ("claims", "goals"):
        code, out, err = perf(command)
        assert (code, out) == (0, "")
        assert max(len(line.rstrip()) for line in err.splitlines()) <= int(columns)
        assert "…" not in err
    assert "241.475 s" in perf("claims")[2]


def test_a_committed_sweep_is_picked_up(perf, tmp_path):
    write_sweep(tmp_path / "benchmarks" / "records")
    (tmp_path / "benchmarks" / "records" / "other.json").write_text("{}", encoding="utf-8")
    code, out, _ = perf("claims", "--json")
    assert code == 0
    claims = {c["id"]: c for c in json.loads(out.strip().splitlines()[-1])["claims"]}
    for name in ("tradeoff_solver_unipc_euler", "tradeoff_shift_5_3"):
        assert claims[name]["verdict"] == "wrong"
        figure = claims[name]["figures"][0]
        assert (figure["recomputed"], figure["n"]) == (0.0, 7)
        assert "sweep-cpu.json" in figure["note"]
    code, _, err = perf("claims", "--records", "benchmarks/records/other.json")
    assert code == 2
    assert "other.json" in err


def test_import_keeps_a_file_as_history(perf, mine):
    code, out, err = perf("import", "mine.json", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["records"], found["origin"], found["result"]) == (2, "imported", "imported")
    assert found["flagged"] == {"mine:a": ["phases_exceed_total"]}
    assert "by 2 s" in err
    assert json.loads(perf("import", "mine.json", "--json")[1])["result"] == "already here"
    mine.unlink()
    _, out, _ = perf("claims", "mine", "--json")
    (claim,) = json.loads(out.strip().splitlines()[-1])["claims"]
    assert (claim["verdict"], claim["figures"][0]["recomputed"]) == ("confirmed", 15.0)


def test_import_refuses_clearly_and_check_keeps_nothing(perf, mine, tmp_path):
    assert perf("import", "mine.json", "--check")[0] == 0
    assert not (tmp_path / "ourvidz-data").exists()
    mine.write_text(mine.read_text().replace('"total_s": 10.0', '"total_s": -10.0'))
    code, out, err = perf("import", "mine.json", "--json")
    assert code == 2
    assert json.loads(out)["error"]["param"] == "records[0].total_s"
    assert "performance-history.md" in err
    assert perf("import", "absent.json")[0] == 2
    code, _, err = perf("claims", "history-2025-08")
    assert code == 2
    assert "history-2025-07" in err


def test_goals_are_read_from_history_and_settings(perf, mine, tmp_path):
    (tmp_path / "ourvidz.toml").write_text(
        '[[performance.goals]]\njob_type = "video_fast"\nseconds = 20\nby = 2020-01-01\n'
        '[[performance.goals]]\njob_type = "image_fast"\nsuccess_percent = 99\n',
        encoding="utf-8",
    )
    code, out, err = perf("goals", "mine.json", "--json")
    assert code == 0, err
    found = json.loads(out.strip().splitlines()[-1])
    first, second = found["own_goals"]
    assert (first["target_value"], first["due"], first["status"]) == (20.0, "2020-01-01", "missed")
    assert (second["unit"], second["status"], second["progress"]) == ("%", "no data", None)
    (goal,) = found["goals"]
    assert (goal["before"]["value"], goal["before"]["n"]) == (15.0, 2)
    assert (goal["target_value"], goal["status"]) == (5.0, "missed")


def test_the_roadmap_is_measured_in_the_records(perf):
    _, out, _ = perf("goals", "--json")
    found = json.loads(out.strip().splitlines()[-1])
    roadmap = {item["what"]: item for item in found["roadmap"]}
    assert len(roadmap) == 9
    loading = roadmap["model pre-loading"]
    assert (loading["before"]["value"], loading["before"]["states"]) == (130.0, ["cold"])
    assert (loading["target_value"], loading["after"], loading["progress"]) == (30.0, None, None)
    assert roadmap["advanced caching"]["status"] == "no measure"
    goals = {goal["what"]: goal for goal in found["goals"]}
    assert goals["video_fast in 150 s"]["target_value"] == 150.0
    assert goals["over 99 % of jobs succeed"]["before"]["value"] == pytest.approx(93.75)


@pytest.mark.parametrize(
    "goal",
    ['job_type = "video_fats"\nseconds = 1', 'job_type = "video_fast"', 'job_type = "video_fast"\n'
     "seconds = 1\nsuccess_percent = 99", 'job_type = "video_fast"\nseconds = -1'],
)  # fmt: skip
def test_a_goal_that_says_nothing_is_refused(perf, tmp_path, goal):
    (tmp_path / "ourvidz.toml").write_text(f"[[performance.goals]]\n{goal}\n", encoding="utf-8")
    code, _, err = perf("goals")
    assert code == 2
    assert "performance" in err


def test_the_guide_says_what_the_command_computes(perf):
    records = GUIDE.parents[2] / "benchmarks" / "records"
    code, out, _ = perf("claims", "--markdown", "--records", str(records))
    assert code == 0
    begin, end = "<!-- ourvidz perf claims --markdown -->\n", "<!-- end -->"
    guide = GUIDE.read_text(encoding="utf-8")
    found = guide.partition(begin)[2].partition(end)[0].strip()
    assert found == out.strip(), "put `ourvidz perf claims --markdown` into the guide again"


def test_own_goals_are_measured_in_this_machines_jobs(monkeypatch, perf, tmp_path):
    started = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        PerformanceRecord(
            id=str(index),
            at=started + timedelta(hours=index),
            origin=Origin.LIVE,
            job_type="video_fast",
            workload={},
            environment={"machine": {"gpu": "a card"}},
            state="resident",
            compile_state="eager",
            total_s=seconds,
            phases_s={"denoise": seconds},
        )
        for index, seconds in enumerate([30.0] * 5 + [24.0] * 5)
    ]
    monkeypatch.setattr(perf_history_view, "machine_records", lambda settings: records)
    (tmp_path / "ourvidz.toml").write_text(
        '[[performance.goals]]\njob_type = "video_fast"\nseconds = 20\n', encoding="utf-8"
    )
    code, out, err = perf("goals", "--json")
    assert code == 0, err
    found = json.loads(out.strip().splitlines()[-1])
    (goal,) = found["own_goals"]
    assert (goal["before"]["value"], goal["after"]["value"]) == (30.0, 24.0)
    assert goal["progress"] == pytest.approx(0.6)
    assert (goal["status"], goal["is_same_machine"]) == ("in progress", True)
    assert "60%" in err
    roadmap = {item["what"]: item for item in found["roadmap"]}
    loading = roadmap["model pre-loading"]
    assert (loading["after"]["value"], loading["status"]) == (0.0, "reached")
    assert loading["is_same_machine"] is False
    assert roadmap["memory"]["after"]["value"] == 100.0


def test_pocket_jobs_reach_no_goal_of_full_size_models(monkeypatch, perf):
    record = PerformanceRecord(
        id="a",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        origin=Origin.LIVE,
        job_type="video_fast",
        workload={"profile": "pocket"},
        environment={},
        state="warm",
        compile_state="eager",
        total_s=2.0,
        phases_s={},
    )
    monkeypatch.setattr(perf_history_view, "machine_records", lambda settings: [record] * 5)
    _, out, _ = perf("goals", "--json")
    found = json.loads(out.strip().splitlines()[-1])
    assert (found["jobs"], found["full_size_jobs"]) == (5, 0)
    assert {goal["after"] and goal["after"]["value"] for goal in found["goals"]} == {None}
