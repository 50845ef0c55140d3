"""Which records compare; what is named where they don't."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.comparison import (
    Incomparable,
    difference,
    environment_difference,
    key_of,
    require_comparable,
)
from ourvidz.perf.record import Origin, PerformanceRecord

RECORD = PerformanceRecord(
    id="a",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    origin=Origin.LIVE,
    job_type="video_fast",
    workload={"preset": "baseline", "num_inference_steps": 25, "guidance_scale": 5.0},
    environment={
        "machine": {"gpu": "NVIDIA H100", "power_limit_w": 700.0, "mig": False},
        "setup": {"precision": "auto", "techniques_off": [], "model_files": {"wan": "12ab"}},
        "software": {"ourvidz": "0.1.0", "driver": "570.1"},
        "told": {"ram_gib": 100.0},
    },
    state="resident",
    compile_state="eager",
    total_s=10.0,
    phases_s={"denoise": 9.0},
)


def changed(part, **values):
    parts = {**RECORD.environment, part: {**RECORD.environment[part], **values}}
    return replace(RECORD, environment=parts)


def test_what_was_measured_decides_nothing():
    other = replace(RECORD, id="b", total_s=20.0, phases_s={}, origin=Origin.PROTOCOL)
    assert difference(RECORD, other) == ()
    assert key_of(RECORD) == key_of(other)
    assert hash(key_of(RECORD)) == hash(key_of(other))
    assert key_of(RECORD).digest == key_of(other).digest
    assert len(key_of(RECORD).digest) == 12
    require_comparable(RECORD, other)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(RECORD, job_type="image_fast"), "job type (video_fast, image_fast)"),
        (replace(RECORD, state="cold"), "state of the weights (resident, cold)"),
        (replace(RECORD, compile_state="compiled"), "compile state (eager, compiled)"),
        (
            replace(RECORD, workload={**RECORD.workload, "num_inference_steps": 18}),
            "number of steps (25, 18)",
        ),
        (changed("machine", gpu="NVIDIA H200"), "GPU (NVIDIA H100, NVIDIA H200)"),
        (changed("machine", power_limit_w=500.0), "power limit (W) (700, 500)"),
        (changed("machine", mig=True), "MIG mode (False, True)"),
        (changed("machine", ecc=True), "ECC (not recorded, True)"),
        (changed("setup", model_files={"wan": "ff"}), "model files of wan (12ab, ff)"),
        (
            changed("setup", techniques_off=["wan.fused"]),
            "techniques switched off (none, wan.fused)",
        ),
    ],
)
def test_each_difference_is_refused_and_named(other, words):
    (found,) = difference(RECORD, other)
    assert str(found) == words
    assert key_of(RECORD) != key_of(other)
    assert key_of(RECORD).digest != key_of(other).digest
    with pytest.raises(Incomparable) as raised:
        require_comparable(RECORD, other)
    assert words in raised.value.message
    assert raised.value.differences == (found,)
    assert isinstance(raised.value, InvalidRequest)
    require_comparable(RECORD, other, varied=[found.field.partition(".")[0]])
    require_comparable(RECORD, other, varied=[found.part])


def test_all_differences_are_named_at_once():
    other = replace(changed("machine", gpu="B", power_limit_w=1.0), state="cold")
    with pytest.raises(Incomparable) as raised:
        require_comparable(RECORD, other)
    for words in ("GPU (", "power limit", "state of the weights"):
        assert words in raised.value.message


def test_versions_are_a_candidate_cause_and_refused_only_on_request():
    other = changed("software", ourvidz="0.2.0", driver="580.2")
    assert difference(RECORD, other) == ()
    assert key_of(RECORD) == key_of(other)
    told = [str(one) for one in environment_difference(RECORD, other)]
    assert told == ["GPU driver (570.1, 580.2)", "OurVidz version (0.1.0, 0.2.0)"]
    assert key_of(RECORD, same_software=True) != key_of(other, same_software=True)
    with pytest.raises(Incomparable, match="GPU driver"):
        require_comparable(RECORD, other, same_software=True)


def test_what_is_only_told_is_not_even_a_difference():
    other = changed("told", ram_gib=1.0)
    assert difference(RECORD, other, same_software=True) == ()
    assert environment_difference(RECORD, other) == ()


def test_equal_values_of_other_types_are_equal():
    other = replace(RECORD, workload={**RECORD.workload, "guidance_scale": 5, "enhancer": None})
    assert difference(RECORD, other) == ()
    assert key_of(RECORD) == key_of(other)


def test_a_record_without_an_environment_compares_with_its_like_alone():
    bare = replace(RECORD, environment={"told": {"gpu": "?"}})
    assert difference(bare, replace(bare, id="b")) == ()
    assert {one.part for one in difference(RECORD, bare)} == {"machine", "setup"}
    assert key_of(bare) != key_of(RECORD)


def test_a_key_says_what_people_know_of_it():
    assert str(key_of(RECORD)) == "video_fast baseline resident"
