"""Which jobs a rollout takes, what they get, and what is noted of both sides."""

from datetime import timedelta

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.rollouts import Arm, arm_of, note_of
from ourvidz.core.errors import ConfigInvalid
from ourvidz.jobs.model import JobKind
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy

KEY = "ourvidz_rollout"
FEWER = {"name": "fewer", "job_type": "video_fast", "share": 1.0,
         "overrides": {"num_inference_steps": 18}}  # fmt: skip


@pytest.fixture
def submit(store, clock, tmp_path):
    """Submit one draft under rollouts; gives the stored job."""

    def run(*rollouts, prompt="a red circle", job_type="video_fast", **draft):
        settings = Settings(data_dir=tmp_path / "data", rollouts=rollouts)
        submitter = Submitter(
            store=store,
            catalogue=catalogue_of(settings),
            settings=settings,
            policy=build_policy(settings.policy),
            clock=clock,
        )
        (job,) = submitter.submit([Draft(prompt=prompt, job_type=job_type, **draft)]).jobs
        return job

    return run


def test_sides_are_certain_and_as_large_as_the_share():
    ids = [f"job_{index}" for index in range(4000)]
    treated = {each for each in ids if arm_of(each, name="a", share=0.3) is Arm.TREATMENT}
    assert treated == {each for each in ids if arm_of(each, name="a", share=0.3) is Arm.TREATMENT}
    assert 0.27 < len(treated) / len(ids) < 0.33
    assert treated < {each for each in ids if arm_of(each, name="a", share=0.6) is Arm.TREATMENT}
    other = {each for each in ids if arm_of(each, name="b", share=0.3) is Arm.TREATMENT}
    assert 0.2 < len(treated & other) / len(treated) < 0.4  # another name divides anew
    assert not any(arm_of(each, name="a", share=0.0) is Arm.TREATMENT for each in ids)
    assert all(arm_of(each, name="a", share=1.0) is Arm.TREATMENT for each in ids)


def test_the_share_gets_it_and_both_sides_are_noted(submit):
    treated = submit(FEWER, metadata={"mine": 1})
    assert treated.request.num_inference_steps == 18
    assert treated.metadata == {
        "mine": 1,
        KEY: {"name": "fewer", "arm": "treatment", "changes": ["num_inference_steps"]},
    }
    assert treated.adjustments == (
        {"code": "rollout", "text": "Rollout 'fewer' chose this job: num_inference_steps 18."},
    )
    control = submit(FEWER | {"share": 0.0})
    assert control.request.num_inference_steps == 25
    assert control.metadata[KEY]["arm"] == "control"
    assert control.adjustments == ()
    assert note_of(control.metadata) == {"rollout": control.metadata[KEY]}


def test_a_preset_is_rolled_out(submit):
    job = submit({"name": "balanced", "job_type": "video_fast", "share": 1, "preset": "balanced"})
    assert job.request.preset == "balanced"
    assert {"preset", "num_inference_steps"} <= set(job.metadata[KEY]["changes"])


@pytest.mark.parametrize(
    "draft",
    [
        {"values": {"num_inference_steps": 25}},  # what a person asked for is never changed
        {"preset": "balanced"},
        {"job_type": "image_fast"},
        {"kind": JobKind.ENHANCE, "job_type": "video7b_fast_enhanced"},
        {"metadata": {"ourvidz_origin": "protocol"}},
    ],
)
def test_who_takes_no_part(submit, draft):
    rollout = FEWER | {"job_type": "video7b_fast_enhanced"} if "kind" in draft else FEWER
    job = submit(rollout, **draft)
    assert KEY not in job.metadata
    assert job.adjustments == ()


def test_other_values_of_a_person_stay(submit):
    job = submit(FEWER, values={"guidance_scale": 3.0, "seed": 7})
    assert job.request.guidance_scale == 3.0
    assert job.request.seed == 7
    assert job.metadata[KEY]["arm"] == "treatment"


def test_a_rollout_ends_and_the_first_that_goes_on_counts(submit, clock):
    today = clock.now().date()
    ended = FEWER | {"until": today - timedelta(days=1)}
    assert KEY not in submit(ended).metadata
    last_day = FEWER | {"until": today}
    second = FEWER | {"name": "second", "overrides": {"num_inference_steps": 20}}
    assert submit(last_day, second).metadata[KEY]["name"] == "fewer"
    assert submit(ended, second).request.num_inference_steps == 20


def test_what_can_not_be_tried_leaves_the_job_as_it_was(submit):
    unoffered = FEWER | {"overrides": {"fidelity": "high"}}
    job = submit(unoffered)
    assert job.request.fidelity.value == "exact"
    assert KEY not in job.metadata


def test_nobody_notes_a_rollout_but_we(submit):
    forged = {KEY: {"name": "fewer", "arm": "treatment", "changes": []}}
    assert submit(metadata=forged).metadata == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"job_type": "video_fats"}, "unknown job type 'video_fats'"),
        ({"preset": "fastest"}, "preset 'fastest' is unknown"),
        ({"overrides": {"steps": 5}}, "'steps' is not a parameter"),
        ({"overrides": {"num_inference_steps": 0}}, "num_inference_steps"),
        ({"overrides": {"seed": 5}}, "a seed is each job's own"),
    ],
)
def test_refused_at_the_edge(change, said, tmp_path):
    settings = Settings(data_dir=tmp_path, rollouts=(FEWER | change,))
    with pytest.raises(Exception, match=said):
        catalogue_of(settings)


@pytest.mark.parametrize(
    "change", [{"share": 1.5}, {"overrides": {}}, {"name": "Not so"}, {"until": "soon"}]
)
def test_refused_as_settings(change, tmp_path):
    with pytest.raises(ValueError, match="rollouts"):
        Settings(data_dir=tmp_path, rollouts=(FEWER | change,))


def test_names_are_told_apart(tmp_path):
    with pytest.raises(ConfigInvalid, match="stands there twice"):
        catalogue_of(Settings(data_dir=tmp_path, rollouts=(FEWER, FEWER)))
