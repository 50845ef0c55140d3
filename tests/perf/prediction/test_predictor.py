import statistics
from dataclasses import replace

import numpy as np
import pytest

from ourvidz.perf.prediction import environment_key, fit, rates_of
from ourvidz.perf.record import Origin
from tests.perf.prediction.simulated import ENVIRONMENT, drawn, run, runs, truth, workload

KEY = environment_key(ENVIRONMENT)


def predicted(predictor, asked, *, state="resident", key=KEY, **options):
    return predictor.predict(asked, environment_key=key, state=state, **options)


def calibration(records, *, first=20, every=4):
    """Share of intervals that held and relative errors, each job predicted from those before."""
    held, errors, predictor = [], [], None
    for index in range(first, len(records)):
        if predictor is None or index % every == 0:
            predictor = fit(records[:index])
        found = predicted(predictor, records[index].workload)
        held.append(found.low_s <= records[index].total_s <= found.high_s)
        errors.append(abs(found.total_s / records[index].total_s - 1.0))
    return statistics.mean(held), errors


def test_after_twenty_jobs_others_are_known_within_a_few_per_cent():
    records = runs(60, seed=5)
    held, errors = calibration(records, every=20)
    assert statistics.median(errors) < 0.05
    assert held > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"noise": 0.01}, {"noise": 0.15}, {"tall": 0.3}])
def test_ninety_per_cent_intervals_hold_that_many(options):
    found = [calibration(runs(160, seed=seed, **options)) for seed in (11, 12, 13)]
    assert 0.85 <= statistics.mean(held for held, _ in found) <= 0.95
    assert statistics.median(error for _, errors in found for error in errors) <= 0.10


def test_phases_are_told_apart():
    found = predicted(fit(runs(60, seed=2, noise=0.01)), workload())
    expected = truth(workload())
    for phase in ("denoise", "decode"):
        assert found.phases_s[phase] == pytest.approx(expected[phase], rel=0.05)
    assert sum(found.phases_s.values()) == pytest.approx(found.total_s)


def test_steps_that_never_ran_are_extrapolated():
    rng = np.random.default_rng(0)
    short = [
        run(index, workload(num_inference_steps=5 + index % 6), rng=rng) for index in range(20)
    ]
    asked = workload(num_inference_steps=50)
    found = predicted(fit(short), asked)
    assert found.total_s == pytest.approx(sum(truth(asked).values()), rel=0.15)


def test_a_shape_that_is_special_is_learned():
    records = runs(80, seed=4, tall=0.3)
    asked = workload(guidance_scale=1.0, num_inference_steps=4)
    found = predicted(fit(records), asked)
    assert found.phases_s["decode"] == pytest.approx(
        truth(asked, tall_factor=0.3)["decode"], rel=0.25
    )


def test_a_machine_that_became_slower_is_followed():
    rng = np.random.default_rng(9)
    records = [
        *runs(60, seed=1),
        *(run(60 + index, drawn(rng), rng=rng, level=1.5) for index in range(10)),
    ]
    other = workload(num_inference_steps=40, num_frames=41)
    now_s = 1.5 * sum(truth(other).values())
    assert predicted(fit(records), other).total_s == pytest.approx(now_s, rel=0.15)


def test_loading_counts_where_the_models_are_not_resident():
    rng = np.random.default_rng(7)
    records = [
        run(index, workload(), rng=rng, state="cold" if index % 2 else "resident")
        for index in range(20)
    ]
    predictor = fit(records)
    resident, cold = (predicted(predictor, workload(), state=s) for s in ("resident", "cold"))
    assert "load" not in resident.phases_s
    assert cold.phases_s["load"] == pytest.approx(9.0, rel=0.1)
    assert cold.total_s - resident.total_s == pytest.approx(cold.phases_s["load"], rel=0.05)


def test_without_history_there_is_a_prior_within_a_factor_of_three():
    found = predicted(fit((), rates=rates_of({"gpu": "NVIDIA H200"})), workload(), key=None)
    assert (found.basis, found.n) == ("prior", 0)
    assert found.low_s < 34.0 < found.high_s  # a resident video_fast of the first H200 record
    assert found.low_s * 2 < found.total_s < found.high_s / 2


def test_one_record_moves_the_prior_to_its_level():
    slow = run(0, workload(), level=3.0)
    found = predicted(fit([slow], rates=rates_of({"gpu": "NVIDIA H200"})), workload())
    assert (found.basis, found.n) == ("history", 1)
    assert found.total_s == pytest.approx(slow.total_s, rel=0.1)
    assert found.low_s < slow.total_s < found.high_s


def test_another_model_takes_the_level_of_the_machine():
    rates = rates_of({"gpu": "NVIDIA H200"})
    image = workload(model="sdxl-base-1.0", family="sdxl", width=1024, height=1024, num_frames=1)
    before = predicted(fit((), rates=rates), image, key=None)
    slow = [
        replace(each, phases_s={n: 4 * s for n, s in each.phases_s.items()})
        for each in runs(20, seed=1)
    ]
    found = predicted(fit(slow, rates=rates), image)
    assert found.basis == "prior"
    assert found.phases_s["denoise"] > 2 * before.phases_s["denoise"]
    assert found.high_s / found.low_s < before.high_s / before.low_s


def test_an_enhancer_adds_its_phase():
    predictor = fit(runs(60, seed=3))
    plain = predicted(predictor, workload())
    enhanced = predicted(predictor, workload(enhancer="qwen2.5-7b-instruct"))
    assert "enhance.run" not in plain.phases_s
    assert enhanced.phases_s["enhance.run"] == pytest.approx(1.5, rel=0.1)


def test_machines_are_kept_apart():
    other = ENVIRONMENT | {"machine": ENVIRONMENT["machine"] | {"gpu": "NVIDIA L40S"}}
    records = [
        *runs(30, seed=1),
        *(
            replace(each, environment=other, id=f"other_{each.id}")
            for each in runs(30, seed=2, level=5.0)
        ),
    ]
    predictor = fit(records)
    here = predicted(predictor, workload())
    there = predicted(predictor, workload(), key=environment_key(other))
    assert there.total_s == pytest.approx(5 * here.total_s, rel=0.1)
    assert predicted(predictor, workload(), key=None).total_s == there.total_s  # ran last


def test_other_files_of_a_model_are_the_same_machine():
    other = ENVIRONMENT | {"setup": ENVIRONMENT["setup"] | {"model_files": {"wan2.1": "bbbb"}}}
    assert environment_key(other) == KEY
    techniques = ENVIRONMENT | {"setup": ENVIRONMENT["setup"] | {"techniques_off": ["wan.fast"]}}
    assert environment_key(techniques) != KEY


@pytest.mark.parametrize(
    "fields",
    [
        {"is_success": False},
        {"origin": Origin.IMPORTED},
        {"flags": ("throttled",)},
        {"batched_with": 2},
        {"total_s": None},
        {"workload": {"preset": "baseline", "model": "wan2.1-t2v-1.3b"}},
    ],
)
def test_runs_that_say_nothing_are_left_out(fields):
    clean = runs(20, seed=1)
    spoiled = [replace(run(20 + index, workload(), level=50.0), **fields) for index in range(20)]
    assert predicted(fit([*clean, *spoiled]), workload()) == predicted(fit(clean), workload())


def test_the_order_of_records_does_not_matter():
    records = runs(30, seed=1)
    assert predicted(fit(records[::-1]), workload()) == predicted(fit(records), workload())


def test_a_workload_without_a_size_is_not_predicted():
    assert predicted(fit(runs(5, seed=1)), {"model": "wan2.1-t2v-1.3b"}) is None


def test_json_has_no_more_than_a_person_reads():
    found = predicted(fit(runs(20, seed=1)), workload()).to_dict()
    assert set(found) == {"total_s", "low_s", "high_s", "phases_s", "num_records", "basis"}
