"""A session over a runner that runs nothing: order, warm-ups, budget, failures, resuming."""

import itertools
import time

import pytest

from ourvidz.bench.protocol.outputs import check_outputs
from ourvidz.bench.protocol.runner import Ran
from ourvidz.bench.protocol.session import Session, require_same_machine
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import InvalidRequest
from ourvidz.media.image import write_png
from ourvidz.perf.protocol.results import COMPLETE, INTERRUPTED, RunFolder, counted
from tests.perf.protocol.runs import ENVIRONMENT, make_plan, make_run, np


class Scripted:
    """Ends every job at once, but those that fail; it may cancel after so many."""

    def __init__(self, *, failing=(), cancel=None, cancel_after=None, wall_s=1.0):
        self.keys = []
        self._failing = failing
        self._cancel = cancel
        self._cancel_after = cancel_after
        self._wall_s = wall_s
        self._numbers = itertools.count()
        self._rng = np.random.default_rng(1)

    def run(self, planned, *, plan_id, cancel):
        cancel.raise_if_cancelled()
        self.keys.append(planned.key)
        made = make_run(planned, index=next(self._numbers), rng=self._rng, slower={})
        if len(self.keys) == self._cancel_after:
            self._cancel.cancel()
        error = "no memory" if planned.key in self._failing else None
        body = {} if error else made.body
        return Ran(job_id=made.job_id, at=made.at, wall_s=self._wall_s, body=body, error=error)


@pytest.fixture
def plan():
    return make_plan("video_fast", "image_fast", repeats=3)


@pytest.fixture
def folder(tmp_path, plan):
    folder = RunFolder(path=tmp_path / plan.id)
    folder.begin(plan)
    return folder


def session(plan, folder, runner, **fields):
    return Session(plan=plan, folder=folder, runner=runner, tell=lambda _: None, **fields)


def test_warm_ups_come_first_and_count_for_nothing(plan, folder):
    runner = Scripted()
    assert session(plan, folder, runner).execute() == COMPLETE
    assert runner.keys == ["video_fast/0", "image_fast/0", *(run.key for run in plan.runs())]
    assert len(counted(folder.runs())) == 6


def test_what_was_stopped_goes_on_where_it_was(plan, folder):
    cancel = CancelToken()
    runner = Scripted(cancel=cancel, cancel_after=5)
    assert session(plan, folder, runner, cancel=cancel).execute() == INTERRUPTED
    assert len(counted(folder.runs())) == 3
    again = Scripted()
    assert session(plan, folder, again).execute() == COMPLETE
    assert again.keys[2:] == [run.key for run in plan.runs()[3:]]
    assert [run.key for run in counted(folder.runs())] == [run.key for run in plan.runs()]


def test_no_run_begins_that_would_end_too_late(plan, folder):
    runner = Scripted(wall_s=1000.0)
    end_s = time.monotonic() + 100.0
    assert session(plan, folder, runner, end_s=end_s).execute() == INTERRUPTED
    # One of each was run before it was known how long they take.
    assert len(counted(folder.runs())) <= 2


def test_a_case_that_can_not_warm_up_is_left_out_and_told(plan, folder):
    runner = Scripted(failing={"video_fast/0"})
    assert session(plan, folder, runner).execute() == INTERRUPTED
    assert {run.case for run in counted(folder.runs())} == {"image_fast"}
    assert [run.error for run in folder.runs() if run.error] == ["no memory"]


def test_a_run_that_fails_is_told_and_the_others_go_on(plan, folder):
    assert session(plan, folder, Scripted(failing={"video_fast/2"})).execute() == COMPLETE
    (failed,) = [run for run in folder.runs() if run.error]
    assert (failed.key, failed.record.total_s) == ("video_fast/2", None)


def test_another_machine_or_program_may_not_go_on(plan):
    require_same_machine(plan, ENVIRONMENT)
    with pytest.raises(InvalidRequest, match=r"commit \(c0ffee, decaf\)"):
        require_same_machine(plan, ENVIRONMENT | {"commit": "decaf"})


@pytest.mark.parametrize(
    ("picture", "expected", "faults"),
    [
        (128, {"files": 1}, ()),
        (0, {"files": 1}, ("nothing but black",)),
        (128, {"files": 2}, ("1 files where 2 were asked for",)),
        (128, {"width": 64}, ("32x32 in place of 64x32",)),
        (128, {"num_frames": 5}, ("1 frames in place of 5",)),
    ],
)
def test_outputs_are_checked(tmp_path, picture, expected, faults):
    path = tmp_path / "a.png"
    pixels = np.full((32, 32, 3), picture, dtype=np.uint8)
    write_png(path, pixels, settings={})
    ran = Ran(
        job_id="job",
        at=0.0,
        wall_s=1.0,
        body={},
        files=(path,),
        facts=({"width": 32, "height": 32},),
        expected={"files": 1, "width": 32, "height": 32, "num_frames": 1} | expected,
    )
    quality, found = check_outputs(ran)
    assert found == faults
    assert quality[0]["num_frames"] == 1


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    ran = Ran(job_id="job", at=0.0, wall_s=1.0, body={}, files=(tmp_path / "a.png",), facts=({},))
    quality, faults = check_outputs(ran)
    assert quality == ()
    assert len(faults) == 1
