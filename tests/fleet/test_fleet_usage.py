"""Uses by hour of the week."""

import pytest

from ourvidz.fleet.usage import Usage

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
