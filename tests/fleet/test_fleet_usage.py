"""Uses by hour of the week, and what each takes."""

from datetime import UTC, datetime

import pytest

from ourvidz.fleet.usage import Usage, work_by_model
from ourvidz.perf.record import Origin, PerformanceRecord

HOUR_S, DAY_S, WEEK_S = 3600.0, 86400.0, 7 * 86400.0
MONDAY_S = 4 * DAY_S  # 1970-01-05 00:00 UTC


def at(*, week=0, day=0, hour=0.0):
    return MONDAY_S + week * WEEK_S + day * DAY_S + hour * HOUR_S


def test_an_hour_expects_what_it_had_on_this_weekday():
    usage = Usage()
    usage.add("a", at(hour=9.2), uses=6)
    usage.add("b", at(hour=15), uses=2)
    assert usage.expected(at(week=1, hour=9), within_s=HOUR_S) == pytest.approx({"a": 6})
    assert usage.expected(at(week=1, hour=9), within_s=HOUR_S / 2) == pytest.approx({"a": 3})
    assert usage.expected(at(week=1, hour=14.5), within_s=HOUR_S) == pytest.approx({"b": 1})


def test_two_weeks_are_a_mean_in_which_the_later_one_counts_more():
    usage = Usage(half_life_s=WEEK_S)
    usage.add("a", at(hour=9), uses=1)
    usage.add("a", at(week=1, hour=9), uses=4)
    (expected,) = usage.expected(at(week=2, hour=9), within_s=HOUR_S).values()
    assert expected == pytest.approx((1 * 1 + 4 * 2) / 3)


def test_an_hour_in_which_another_model_was_used_is_an_hour_without_this_one():
    usage = Usage()
    usage.add("a", at(hour=9), uses=4)
    usage.add("b", at(week=1, hour=9), uses=1)
    assert usage.expected(at(week=2, hour=9), within_s=HOUR_S)["a"] < 4


def test_a_weekday_that_was_never_seen_is_taken_to_be_like_others():
    usage = Usage()
    usage.add("a", at(hour=9), uses=6)
    assert usage.expected(at(day=2, hour=9), within_s=HOUR_S) == pytest.approx({"a": 6})
    assert usage.expected(at(day=2, hour=20), within_s=HOUR_S) == {}


def test_order_does_not_matter_and_nothing_is_expected_of_nothing():
    uses = [(at(week=week, hour=hour), week + 1) for week in range(3) for hour in (8, 9)]
    one, two = Usage(), Usage()
    for moment, count in uses:
        one.add("a", moment, count)
    for moment, count in reversed(uses):
        two.add("a", moment, count)
    when = at(week=3, hour=8.5)
    assert one.expected(when, within_s=HOUR_S) == pytest.approx(two.expected(when, within_s=HOUR_S))
    assert Usage().expected(when, within_s=HOUR_S) == {}


def record(*, total_s, phases_s=None, batched_with=0, shared_s=0.0, **workload):
    return PerformanceRecord(
        id="job_x",
        at=datetime.fromtimestamp(MONDAY_S, UTC),
        origin=Origin.LIVE,
        job_type="t",
        workload=workload,
        environment={},
        state="warm",
        compile_state="eager",
        total_s=total_s,
        phases_s=phases_s or {},
        batched_with=batched_with,
        shared_s=shared_s,
    )


def test_work_is_what_a_warm_worker_does_for_each_model():
    phases_s = {"queue_wait": 100.0, "load.unet": 5.0, "compile": 60.0, "denoise": 8.0}
    assert work_by_model(record(total_s=178.0, phases_s=phases_s, shared_s=3.0, model="m")) == {
        "m": pytest.approx(10.0)
    }
    shared = {"enhance.load": 7.0, "enhance.run": 2.0, "denoise": 8.0}
    found = work_by_model(
        record(total_s=17.0, phases_s=shared, batched_with=3, model="m", enhancer="e")
    )
    assert found == {"m": pytest.approx(2.0), "e": pytest.approx(2.0)}
    assert work_by_model(record(total_s=None, model="m", enhancer=None)) == {"m": None}


def test_work_is_a_mean_of_the_last_uses_that_told_it():
    usage = Usage()
    assert usage.work_s("a") == 0.0
    for work_s in (1.0, None, 3.0):
        usage.add("a", at(), work_s=work_s)
    assert usage.work_s("a") == pytest.approx(2.0)
    for _ in range(500):  # on another machine
        usage.add("a", at(), work_s=10.0)
    assert usage.work_s("a") == pytest.approx(10.0, rel=0.01)
