import pytest

from ourvidz.bench.protocol.baseline import earlier_records, reference_of
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.perf.protocol.plan import API, IN_PROCESS, RunKind
from ourvidz.perf.protocol.results import RunFolder, empty_report
from tests.perf.protocol.runs import make_plan, make_runs


def keep(directory, number, **fields):
    plan = make_plan(id="bench_" + str(number) * 26, repeats=3, **fields)
    folder = RunFolder(path=directory / plan.id)
    folder.begin(plan)
    for run in make_runs(plan, first=100 * number):
        folder.add(run)
    return folder


def test_a_baseline_is_named_by_id_folder_or_file(tmp_path):
    folder = keep(tmp_path, 1)
    folder.write_report(empty_report(folder.plan()), text="")
    ids = [run.job_id for run in folder.runs()]
    names = [folder.path.name, *(str(folder.path / name) for name in ("", "runs.jsonl"))]
    for name in (*names, str(folder.path / "report.json")):
        found = reference_of(name, tmp_path)
        assert [record.id for record in found.records] == ids
        assert found.root == folder.path
    assert reference_of(folder.path.name, tmp_path).kind == "protocol"
    assert reference_of(names[1], tmp_path).kind == "record"


def test_what_is_no_baseline_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.jsonl").write_text("")
    with pytest.raises(NotFound):
        reference_of("bench_1", tmp_path)
    with pytest.raises(InvalidRequest, match=r"'runs\.jsonl' is not there"):
        reference_of(str(tmp_path / "empty"), tmp_path)
    with pytest.raises(InvalidRequest, match="holds no run that counts"):
        reference_of(str(tmp_path / "no.jsonl"), tmp_path)


def test_earlier_runs_are_those_of_the_same_door_and_kind(tmp_path):
    keep(tmp_path, 1, door=API)
    keep(tmp_path, 2, door=IN_PROCESS)
    keep(tmp_path, 3, door=API, kind=RunKind.SWEEP)
    (keep(tmp_path, 4, door=API).path / "runs.jsonl").write_text("{}\n")  # broken
    assert [record.id for record in earlier_records(tmp_path, door=API)] == [
        "job_0100",
        "job_0101",
        "job_0102",
    ]
