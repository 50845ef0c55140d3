from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ourvidz.perf.optimisations import (
    Measure,
    Status,
    due_of,
    first_runs,
    measure_records,
    parts_of,
    roadmap_optimisation,
)
from ourvidz.perf.record import Origin, PerformanceRecord

START = datetime(2026, 1, 1, tzinfo=UTC)
TODAY = date(2026, 6, 1)
TOTAL = Measure(kind="total_s", job_types=("video_fast",))


def run(seconds, *, index=0, **changes):
    record = PerformanceRecord(
        id=f"r{index}-{seconds}",
        at=START + timedelta(hours=index),
        origin=Origin.LIVE,
        job_type="video_fast",
        workload={"num_inference_steps": 25},
        environment={"machine": {"gpu": "a card"}, "setup": {"gpus": 1}},
        state="warm",
        compile_state="eager",
        total_s=seconds,
        phases_s={"denoise": seconds},
    )
    return replace(record, **changes)


def runs(*seconds, **changes):
    return [run(value, index=index, **changes) for index, value in enumerate(seconds)]


def plan(before, after, *, measure=TOTAL, target="in 150 s", **changes):
    values = {
        "id": "p",
        "what": "faster",
        "target": target,
        "source": "test",
        "measure": measure,
        "before": before,
        "after": after,
        "now": TODAY,
    }
    return roadmap_optimisation(**(values | changes))


def test_seconds_are_of_clean_runs_in_one_state():
    records = [
        *runs(100, 110, 120),
        run(400, state="cold"),
        run(1, is_success=False, failure="out_of_memory"),
        run(900, flags=("throttled",)),
    ]
    found = measure_records(records, TOTAL)
    assert found is not None
    assert (found.value, found.n, found.states, found.num_left_out) == (110, 3, ("warm",), 3)
    assert found.interval is not None
    cold = measure_records(records, TOTAL.model_copy(update={"state": "cold"}))
    assert cold is not None
    assert (cold.value, cold.n, cold.interval) == (400, 1, None)


def test_of_as_many_runs_the_colder_state_counts():
    found = measure_records([run(100), run(300, state="cold")], TOTAL)
    assert found is not None
    assert found.value == 300


def test_runs_that_cannot_be_compared_have_no_common_median():
    small = {"num_inference_steps": 25, "width": 96}
    records = [*runs(100, 110, 120), *runs(1, 2, workload=small)]
    found = measure_records(records, TOTAL)
    assert found is not None
    assert (found.value, found.n, found.num_left_out) == (110, 3, 2)
    others = [
        run(1, workload={"num_inference_steps": 4}),
        run(1, workload={"preset": "aggressive"}),
        run(1, workload={"guidance_scale": 1.0}),
    ]
    assert measure_records(others, TOTAL) is None
    told = measure_records([run(1, workload={"guidance_scale": 6.5})], TOTAL)
    assert told is not None


def test_only_the_newest_are_now():
    found = measure_records(runs(*[100] * 5, *[50] * 20), TOTAL, latest=20)
    assert found is not None
    assert (found.value, found.n) == (50, 20)


def test_a_phase_that_is_not_there_took_no_time_unless_nobody_wrote_it_down():
    load = Measure(kind="phases_s", job_types=("video_fast",), phases=("load",))
    loaded = run(10, phases_s={"load.vae": 2.0, "load.transformer": 3.0, "loading": 9.0})
    found = measure_records([loaded], load)
    assert found is not None
    assert found.value == 5.0
    resident = measure_records([run(10)], load)
    assert resident is not None
    assert resident.value == 0.0
    assert measure_records([run(10, origin=Origin.IMPORTED)], load) is None


def test_shares_have_wilsons_interval():
    records = [*runs(1, 2, 3), run(4, is_success=False, failure="x", state="cold")]
    rate = measure_records(records, Measure(kind="success_rate"))
    assert rate is not None
    assert (rate.value, rate.n) == (75.0, 4)
    assert rate.interval is not None
    assert 0 < rate.interval.low < 75 < rate.interval.high < 100
    cold = measure_records(records, Measure(kind="state_share", state="cold"))
    assert cold is not None
    assert cold.value == 25.0


def test_job_types_are_counted():
    records = [*runs(1, 2, 3, 4, 5), run(9, job_type="image_fast"), run(9, job_type="elsewhere")]

    def count(kind, **fields):
        found = measure_records(records, Measure(kind=kind, **fields))
        return None if found is None else found.value

    assert count("job_types_measured") == 2
    assert count("job_types_established") == 1
    assert count("job_types_recorded") == 2
    assert count("job_types_measured", role="video", is_enhanced=True) is None
    assert count("devices") == 1
    mixed = [*runs(1, 2, 3), *runs(4, 5, state="cold")]
    found = measure_records(mixed, Measure(kind="job_types_established"))
    assert found is not None
    assert found.value == 0


def test_progress_is_the_share_of_the_way():
    found = plan(runs(*[200] * 5), runs(*[175] * 5))
    assert (found.progress, found.target_value, found.unit) == (0.5, 150.0, "s")
    assert found.status is Status.IN_PROGRESS
    assert found.is_same_machine is True
    assert plan(runs(200), runs(230)).progress == 0.0
    assert plan(runs(200), []).progress is None


def test_a_target_is_reached_by_five_runs():
    assert plan(runs(200), runs(*[140] * 5)).status is Status.REACHED
    few = plan(runs(200), runs(*[140] * 4))
    assert (few.status, few.progress) == (Status.IN_PROGRESS, 1.0)
    assert "five" in few.reason


def test_another_machine_is_said():
    elsewhere = {"machine": {"gpu": "another"}}
    found = plan(runs(200, environment=elsewhere), runs(175))
    assert found.is_same_machine is False
    assert "different machines" in found.reason


def test_what_cannot_be_said():
    assert plan([], runs(1), measure=None).status is Status.NO_MEASURE
    assert plan(runs(200), []).status is Status.NO_DATA
    assert plan(runs(200), runs(100), target="faster").status is Status.MEASURED
    late = date(2026, 5, 31)
    assert plan(runs(200), [], due=late).status is Status.MISSED
    assert plan(runs(200), runs(170), due=late).status is Status.MISSED
    assert plan(runs(200), runs(170), due=TODAY).status is Status.IN_PROGRESS
    assert plan(runs(200), runs(*[100] * 5), due=late).status is Status.REACHED


def test_counts_of_job_types_aim_at_all_of_them():
    measure = Measure(kind="job_types_established")
    found = plan([], runs(1, 2, 3, 4, 5), measure=measure, target="all ten baselines")
    assert (found.target_value, found.progress) == (10.0, 0.1)


def test_the_first_runs_stand_for_before():
    assert first_runs(runs(*range(1, 10)), TOTAL) == ([], runs(*range(1, 10)))
    before, after = first_runs(runs(*range(1, 13)), TOTAL)
    assert ([r.total_s for r in before], len(after)) == ([1, 2, 3, 4, 5], 7)


def test_words_of_plans():
    assert parts_of("a; b ;") == ("a", "b")
    assert due_of("2026-12-31") == date(2026, 12, 31)
    assert due_of("1 month") is None


@pytest.mark.parametrize("values", [{"kind": "vibes"}, {"kind": "total_s", "target": -1}])
def test_measures_are_checked(values):
    with pytest.raises(ValueError, match="validation error"):
        Measure(**values)
