"""The file of plans beside a model: written, read, and refused where it can't be trusted."""

import dataclasses
import json

import pytest

from ourvidz.catalog.catalogue import build_catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.resolve import resolve
from ourvidz.catalog.step_plan import (
    DRAFT_NAME,
    Calibration,
    CalibrationFile,
    SamplerKey,
    Source,
    StepPlan,
    StepRule,
    Term,
    key_of,
    read_calibrations,
    write_calibrations,
)
from ourvidz.checkpoints.locate import find_model
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, ModelMissing
from ourvidz.core.request import Fidelity

KEY = SamplerKey(
    scheduler="unipc", num_inference_steps=3, flow_shift=5.0, guidance_scale=6.5, is_video=True
)
HELD = StepRule(
    num_forwards=1,
    terms=(
        Term(source=Source.PROMPT, step=2, weight=1.0),
        Term(source=Source.DIFFERENCE, step=1, weight=5.5),
    ),
)
PLAN = StepPlan(rules=(StepRule(num_forwards=2), StepRule(num_forwards=2), HELD))
MADE = Calibration(
    key=KEY, plan=PLAN, is_confirmed=True, verdict="near", measured={"psnr_mean_db": 30.5}
)
FILE = CalibrationFile(model="pocket-video", weights="abc", calibrations=(MADE,))


@pytest.fixture
def path(tmp_path):
    write_calibrations(tmp_path / DRAFT_NAME, FILE)
    return tmp_path / DRAFT_NAME


def test_what_is_written_is_read(path):
    assert read_calibrations(path) == FILE


def test_a_newer_plan_of_the_same_settings_takes_the_older_ones_place():
    newer = dataclasses.replace(MADE, verdict="nearer")
    other = dataclasses.replace(MADE, key=dataclasses.replace(KEY, guidance_scale=7.5))
    both = FILE.with_calibration(other).with_calibration(newer)
    assert [each.verdict for each in both.calibrations] == ["near", "nearer"]
    assert both.find(KEY) == newer
    assert both.find(dataclasses.replace(KEY, flow_shift=3.0)) is None


def test_no_file_is_said_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(ModelMissing) as error:
        read_calibrations(tmp_path / DRAFT_NAME)
    assert "bench calibrate" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("model",), 3),
        (("calibrations",), {"a": 1}),
        (("calibrations", 0, "key", "num_inference_steps"), 4),
        (("calibrations", 0, "key", "guidance_scale"), 1.0),
        (("calibrations", 0, "key", "is_video"), 1),
        (("calibrations", 0, "plan", "num_branches"), True),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {}),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {"prompt 2": "1"}),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {"prompt 2": float("inf")}),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {"prompt -1": 1.0}),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {"difference 2": 1.0}),
        (("calibrations", 0, "plan", "rules", 2, "terms"), {"exec 2": 1.0}),
        (("calibrations", 0, "plan", "rules", 2, "num_forwards"), -1),
    ],
)
def test_a_damaged_file_is_refused(path, place, value):
    content = json.loads(path.read_text(encoding="utf-8"))
    holder = content
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=DRAFT_NAME):
        read_calibrations(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_such_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointInvalid):
        read_calibrations(path)


# ---------------------------------------------------------------------------------- the shipped one


def requested(**values):
    return resolve(
        catalogue=build_catalogue(),
        settings=Settings(profile="pocket"),
        prompt="a red circle",
        seed=1,
        **values,
    )


@pytest.mark.parametrize("job_type", ["video_fast", "video_high", "image_fast", "image_high"])
def test_the_pocket_video_model_ships_a_plan_of_each_job_type(job_type):
    request = requested(job_type=job_type, values={"fidelity": "draft"})
    shipped = read_calibrations(find_model(request.model, []) / DRAFT_NAME)
    found = shipped.find(key_of(request))
    assert found is not None
    assert found.is_confirmed, found.verdict
    assert found.measured["psnr_mean_db"] >= 25
    assert found.plan.num_forwards <= 0.6 * found.plan.num_full_forwards


def test_draft_is_offered_where_there_are_plans():
    models = build_catalogue().models.values()
    offering = [model.id for model in models if Fidelity.DRAFT in model.fidelities]
    assert offering == ["pocket-video"]
    with pytest.raises(InvalidRequest, match="draft"):
        requested(job_type="sdxl_image_fast", values={"fidelity": "draft"})
