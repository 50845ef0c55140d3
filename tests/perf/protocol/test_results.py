import json

import pytest

from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.perf.protocol.results import (
    COMPLETE,
    RunFolder,
    counted,
    empty_report,
    list_runs,
    read_run,
    report_from,
    run_folder,
)
from ourvidz.perf.record import Origin
from tests.perf.protocol.runs import make_plan, make_runs


@pytest.fixture
def plan():
    return make_plan("video_fast", "image_fast", repeats=3)


@pytest.fixture
def folder(tmp_path, plan):
    folder = RunFolder(path=tmp_path / plan.id)
    folder.begin(plan)
    return folder


def test_runs_are_read_as_they_were_written(folder, plan):
    runs = make_runs(plan)
    for run in runs:
        folder.add(run)
    assert folder.plan() == plan
    assert [run.key for run in folder.runs()] == [run.key for run in runs]
    record = folder.runs()[0].record
    assert record.origin is Origin.PROTOCOL
    assert record.total_s == runs[0].body["total_s"]
    assert len(record.step_times_s) == 25


def test_a_torn_last_line_counts_for_nothing_and_is_mended(folder, plan):
    first, second = make_runs(plan)[:2]
    folder.add(first)
    path = folder.path / "runs.jsonl"
    path.write_text(path.read_text() + '{"schema": 1, "key": "vid')
    assert [run.key for run in folder.runs()] == [first.key]
    folder.mend()
    folder.add(second)
    assert [run.key for run in folder.runs()] == [first.key, second.key]


@pytest.mark.parametrize("line", ["{}", "no json", "[]", '{"schema": 1}', '{"schema": 9}'])
def test_a_broken_line_is_refused_with_its_number(folder, plan, line):
    folder.add(make_runs(plan)[0])
    path = folder.path / "runs.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InvalidRequest, match=r"Line 2 of runs\.jsonl"):
        folder.runs()


def test_output_faults_flag_a_record(plan):
    (run,) = make_runs(make_plan(repeats=1), faults=("nothing but black",))
    assert run.record.flags == ("nothing but black",)


def test_a_run_under_way_is_read_without_verdicts(tmp_path, folder, plan):
    for run in make_runs(plan)[:4]:
        folder.add(run)
    report = read_run(tmp_path, plan.id)
    assert (report.status, report.num_done, report.num_planned) == ("running", 4, 6)
    assert {group["case"] for group in report.groups} == {"video_fast", "image_fast"}
    assert report.verdicts == ()
    (summary,) = list_runs(tmp_path)
    assert (summary.num_done, summary.outcome) == (4, None)


def test_a_report_survives_being_written_and_read(tmp_path, folder, plan):
    from dataclasses import replace

    report = replace(empty_report(plan), status=COMPLETE, outcome="regression")
    folder.write_report(report, text="# text\n")
    assert read_run(tmp_path, plan.id) == report_from(json.loads(json.dumps(report.to_dict())))
    (summary,) = list_runs(tmp_path)
    assert (summary.status, summary.outcome) == (COMPLETE, "regression")
    assert (folder.path / "report.md").read_text() == "# text\n"


@pytest.mark.parametrize("name", ["bench_x", "../etc", "bench_" + "1" * 26, ""])
def test_an_unknown_run_is_refused(tmp_path, folder, name):
    with pytest.raises(NotFound):
        run_folder(tmp_path, name)


def test_broken_files_are_refused_and_left_out_of_the_list(tmp_path, folder, plan):
    (folder.path / "report.json").write_text("{")
    with pytest.raises(InvalidRequest, match=r"report\.json"):
        read_run(tmp_path, plan.id)
    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "absent") == []


def test_of_a_key_that_ran_twice_the_later_counts(plan):
    runs = make_runs(plan)
    again = make_runs(plan, seed=2, first=100)
    assert next(run.job_id for run in counted([*runs, again[0]])) == again[0].job_id
