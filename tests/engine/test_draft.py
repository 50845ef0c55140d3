"""``draft`` through the engine: its plan is found, followed, refused and told."""

import dataclasses

import numpy as np
import pytest

from ourvidz.catalog.config import catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.catalog.step_plan import (
    DRAFT_NAME,
    Calibration,
    CalibrationFile,
    Source,
    StepPlan,
    StepRule,
    Term,
    key_of,
    write_calibrations,
)
from ourvidz.catalog.techniques import WAN_ATTENTION_8BIT, WAN_STEP_CACHE
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest
from ourvidz.core.event import FramesReady, Note, Progress
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import Fidelity
from ourvidz.engine.embed_files import encoder_identity
from ourvidz.worker.assemble import assemble_worker

VALUES = {"num_inference_steps": 4, "width": 64, "height": 96, "num_frames": 5}
HELD = StepRule(
    num_forwards=0,
    terms=(
        Term(source=Source.PROMPT, step=1, weight=1.0),
        Term(source=Source.DIFFERENCE, step=1, weight=5.5),
    ),
)
WHOLE = StepRule(num_forwards=2)
PLAN = StepPlan(rules=(WHOLE, WHOLE, HELD, WHOLE))


def requested(settings, fidelity="draft", **values):
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt="a red circle",
        seed=1,
        values={**VALUES, **values, "fidelity": fidelity},
        unconfirmed=True,
    )


@pytest.fixture
def folder(tiny_settings):
    """The model's folder; its plans go with the test."""
    found = tiny_settings.models_dir / "wan2.1-t2v-1.3b"
    yield found
    (found / DRAFT_NAME).unlink(missing_ok=True)


@pytest.fixture
def calibrated(folder, tiny_settings):
    def write(**changes):
        made = Calibration(
            key=key_of(requested(tiny_settings)),
            plan=PLAN,
            is_confirmed=changes.pop("is_confirmed", True),
            verdict="quality unconfirmed: a test",
            measured={"width": 64, "height": 96, "num_frames": 5},
        )
        content = CalibrationFile(
            model="wan2.1-t2v-1.3b",
            weights=encoder_identity(folder, ("transformer",)),
            calibrations=(made,),
        )
        write_calibrations(folder / DRAFT_NAME, dataclasses.replace(content, **changes))

    return write


@pytest.fixture
def engine(tiny_settings):
    made = started(tiny_settings)
    yield made
    made.close()


def started(settings):
    return assemble_worker(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    ).engine


def generate(engine, request):
    recorder = SpanRecorder(SystemClock())
    events = list(engine.generate(request, recorder=recorder, cancel=CancelToken()))
    frames = np.concatenate([e.frames for e in events if isinstance(e, FramesReady)])
    (facts,) = (span.facts for span in recorder.spans() if span.phase is Phase.DENOISE)
    return events, frames, facts


def test_a_draft_leaves_out_what_its_plan_says_and_tells_it(engine, tiny_settings, calibrated):
    calibrated()
    events, frames, facts = generate(engine, requested(tiny_settings))
    steps = [e for e in events if isinstance(e, Progress) and e.phase is Phase.DENOISE]
    assert [step.done for step in steps] == [1, 2, 3, 4]
    assert (facts["network_calls"], facts["network_calls_skipped"]) == (6, 2)
    assert not any(isinstance(event, Note) for event in events)
    _, exact, facts = generate(engine, requested(tiny_settings, "exact"))
    assert facts["network_calls"] == 8
    assert "network_calls_skipped" not in facts
    assert (frames != exact).any()


def test_a_plan_that_is_not_confirmed_is_told(engine, tiny_settings, calibrated):
    calibrated(is_confirmed=False)
    events, _, _ = generate(engine, requested(tiny_settings))
    (note,) = (event for event in events if isinstance(event, Note))
    assert note.code == "draft_unconfirmed"
    assert "quality unconfirmed" in note.text


def test_switched_off_a_draft_is_exact(tiny_settings, calibrated):
    calibrated()
    engine = started(tiny_settings.model_copy(update={"techniques_off": (WAN_STEP_CACHE,)}))
    try:
        _, draft, facts = generate(engine, requested(tiny_settings))
        _, exact, _ = generate(engine, requested(tiny_settings, "exact"))
    finally:
        engine.close()
    assert facts["network_calls"] == 8
    assert (draft == exact).all()


@pytest.mark.parametrize(
    "values",
    [
        {"num_inference_steps": 5},
        {"guidance_scale": 6.0},
        {"flow_shift": 3.0},
        {"scheduler": "euler"},
    ],
)
def test_settings_without_a_plan_are_refused_before_anything_loads(
    engine, tiny_settings, calibrated, values
):
    calibrated()
    with pytest.raises(InvalidRequest, match="not calibrated") as error:
        generate(engine, requested(tiny_settings, **values))
    assert error.value.param == "fidelity"
    assert "4 steps, shift 5, guidance 6.5" in (error.value.hint or "")
    assert not engine.resident()


def test_another_size_is_served_and_called_unconfirmed(engine, tiny_settings, calibrated):
    calibrated()
    events, frames, facts = generate(engine, requested(tiny_settings, width=96, num_frames=9))
    assert frames.shape == (9, 96, 96, 3)
    (note,) = (event for event in events if isinstance(event, Note))
    assert note.text.startswith("draft: quality unconfirmed at 96x96, 9 frames")
    assert "64x96, 5 frames" in note.text
    assert facts["network_calls"] == 6


def test_a_model_without_plans_is_refused(engine, tiny_settings, folder):
    assert not (folder / DRAFT_NAME).exists()
    with pytest.raises(InvalidRequest, match="not calibrated"):
        generate(engine, requested(tiny_settings))


@pytest.mark.parametrize("change", [{"weights": "of others"}, {"model": "another"}])
def test_plans_of_other_weights_are_refused(engine, tiny_settings, calibrated, change):
    calibrated(**change)
    with pytest.raises(CheckpointInvalid, match="other weights"):
        generate(engine, requested(tiny_settings))


def test_a_draft_runs_in_8_bits_only_where_high_is_offered(engine):
    def techniques(fidelity):
        context = engine._context(
            SpanRecorder(SystemClock()), CancelToken(), None, fidelity, "wan2.1-t2v-1.3b"
        )
        return context.techniques

    assert WAN_STEP_CACHE in techniques(Fidelity.DRAFT)
    assert WAN_ATTENTION_8BIT not in techniques(Fidelity.DRAFT)
    assert WAN_ATTENTION_8BIT in techniques(Fidelity.HIGH)
    assert WAN_STEP_CACHE not in techniques(Fidelity.HIGH)
