from dataclasses import replace

import pytest

from ourvidz.core.errors import IllegalState
from ourvidz.perf.protocol.preflight import (
    Facts,
    GpuFacts,
    Level,
    judge_facts,
    require_passed,
)

GPU = GpuFacts(name="NVIDIA H200", utilisation=0.0, num_others=0, slowed_by=())
GOOD = Facts(
    in_process=True,
    num_workers=0,
    num_queued=0,
    num_running=0,
    paused=(),
    missing_models=(),
    unhashed_models=(),
    missing_packages=(),
    broken_packages=(),
    gpu=GPU,
    uses_gpu=True,
    load_a_core=0.1,
    free_disk_bytes=2**40,
)


def levels(facts):
    return {check.name: check.level for check in judge_facts(facts)}


def test_a_quiet_machine_passes_every_check():
    assert set(levels(GOOD).values()) == {Level.OK}
    assert len(levels(GOOD)) == 9
    require_passed(judge_facts(GOOD), is_forced=False)


@pytest.mark.parametrize(
    ("change", "name", "level"),
    [
        ({"missing_packages": ("torch",)}, "dependencies", Level.REFUSE),
        ({"broken_packages": ("torch",)}, "dependencies", Level.REFUSE),
        ({"missing_models": ("wan",)}, "models present", Level.REFUSE),
        ({"unhashed_models": ("wan",)}, "models hashed", Level.WARN),
        ({"num_workers": 1}, "workers", Level.WARN),
        ({"in_process": False, "num_workers": 0}, "workers", Level.REFUSE),
        ({"num_running": 1}, "queue empty", Level.REFUSE),
        ({"num_queued": 1}, "queue empty", Level.WARN),
        ({"in_process": False, "num_workers": 1, "num_queued": 1}, "queue empty", Level.REFUSE),
        ({"paused": ("all",)}, "queue empty", Level.REFUSE),
        ({"gpu": replace(GPU, num_others=1)}, "GPU quiet", Level.REFUSE),
        ({"gpu": replace(GPU, utilisation=0.5)}, "GPU quiet", Level.WARN),
        ({"gpu": None}, "GPU quiet", Level.WARN),
        ({"gpu": replace(GPU, slowed_by=("power brake",))}, "clocks not throttled", Level.REFUSE),
        ({"load_a_core": 2.0}, "processors quiet", Level.WARN),
        ({"free_disk_bytes": 10}, "disk room", Level.REFUSE),
    ],
)
def test_each_check_finds_what_it_is_for(change, name, level):
    found = levels(replace(GOOD, **change))
    assert found[name] is level
    others = {each: found[each] for each in found if each != name}
    assert set(others.values()) <= {Level.OK}


def test_a_machine_without_a_gpu_is_not_asked_about_one():
    assert (
        not {"GPU quiet", "clocks not throttled"}
        & levels(replace(GOOD, gpu=None, uses_gpu=False)).keys()
    )


def test_every_refusal_is_named_at_once_and_can_be_overruled():
    checks = judge_facts(replace(GOOD, missing_models=("wan",), free_disk_bytes=0))
    with pytest.raises(IllegalState, match=r"missing: wan.*free") as error:
        require_passed(checks, is_forced=False)
    assert "models pull wan" in (error.value.hint or "")
    require_passed(checks, is_forced=True)
    assert all(check.reason for check in checks)
