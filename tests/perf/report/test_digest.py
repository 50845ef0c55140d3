"""A digest tells of one week or month beside the one before, as it stood when that ended."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.decisions import Verb, decide
from ourvidz.perf.history import shelf
from ourvidz.perf.report import digest_of, render_html, render_markdown
from ourvidz.perf.report.period import Kind, moment_of, period_of, since_of
from ourvidz.perf.trend import trends
from tests.perf.simulated import make_record, make_runs

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)  # when simulated runs begin
NEXT = MONDAY + timedelta(days=7)


def at(records, begin):
    """The same runs, from another moment on."""
    return [
        replace(each, id=f"{each.id}-{begin:%m%d}", at=begin + timedelta(minutes=index))
        for index, each in enumerate(records)
    ]


@pytest.fixture(scope="module")
def records():
    """A week of twelve, and one of fourteen that denoise a fifth faster, one of them failed."""
    first = at(make_runs(12, seed=1), MONDAY + timedelta(hours=9))
    second = at(make_runs(14, seed=2, slower={"denoise": 0.8}), NEXT + timedelta(days=1))
    failed = make_record(50, is_success=False, failure="out_of_memory", at=NEXT, total_s=2.0)
    return sorted([*first, *second, failed], key=lambda each: each.at)


def digest(records, *, day=NEXT, now=NEXT + timedelta(days=9), **given):
    period = period_of(day, Kind.WEEKLY)
    return digest_of(records, period=period, now=now, profile="pocket", **given)


def test_what_ran_beside_the_week_before(records):
    found = digest(records)
    (video,) = found.ran
    assert (video.jobs, video.failed, video.jobs_before) == (15, 1, 12)
    assert [each.jobs for each in found.days] == [1, 14, 0, 0, 0, 0, 0]
    assert found.metrics.failures == {"out_of_memory": 1}
    assert found.is_over


def test_trends_are_verdicts(records):
    (group,) = [each for each in digest(records).compared if each.n]
    assert (group.n_before, group.n) == (12, 14)
    assert group.verdict.improvements
    assert "improvement" in group.text
    first = digest(records, day=MONDAY)
    assert [each.text for each in first.compared] == ["new in this period"]
    quiet = digest(records, day=NEXT + timedelta(days=7))
    assert quiet.compared[0].text == "not run in this period"


def test_it_knows_nothing_that_came_later(records):
    assert digest(records, day=MONDAY) == digest(
        [each for each in records if each.at < NEXT], day=MONDAY
    )
    assert digest(records, day=MONDAY).changes == ()
    assert len(digest(records).changes) == 1


def test_an_accepted_change_is_measured_before_and_since(records):
    (change,) = [each for series in trends(records, measures={"total"}) for each in series.changes]
    accepted = decide(
        change.finding, Verb.ACCEPT, author="ada", note="fused", decision_id="dec_1",
        now=NEXT + timedelta(days=2),
    )  # fmt: skip
    (effect,) = digest(records, decisions=[accepted]).accepted
    assert (effect.n_before, effect.n_after, effect.n_now) == (12, 14, 14)
    assert effect.shift.estimate == pytest.approx(-0.175, abs=0.02)
    assert effect.shift.interval.high < 0
    assert digest(records, day=MONDAY, decisions=[accepted]).accepted == ()


def test_it_is_written_in_each_format(records):
    found = digest(records, histories=[shelf.shipped()])
    text = render_markdown(found)
    assert text.startswith("# Weekly digest")
    for heading in ("What ran", "Trends", "What each optimisation did", "Goals"):
        assert f"## {heading}" in text
    assert "<svg" in render_html(found)
    kept = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert kept["name"] == "weekly-2026-W03"


def test_one_of_a_period_in_which_nothing_ran():
    found = digest([])
    assert "Nothing ran" in render_markdown(found)
    assert render_html(found)


@pytest.mark.parametrize(
    ("day", "kind", "name", "begin", "days"),
    [
        ("2026-01-04", Kind.WEEKLY, "weekly-2026-W01", "2025-12-29", 7),
        ("2026-01-05", Kind.WEEKLY, "weekly-2026-W02", "2026-01-05", 7),
        ("2026-02-28", Kind.MONTHLY, "monthly-2026-02", "2026-02-01", 28),
        ("2026-12-31", Kind.MONTHLY, "monthly-2026-12", "2026-12-01", 31),
    ],
)
def test_weeks_and_months(day, kind, name, begin, days):
    period = period_of(moment_of(day, param="at"), kind)
    assert period.name == name
    assert f"{period.begin:%Y-%m-%d}" == begin
    assert (period.end - period.begin).days == days
    assert period.before.end == period.begin
    assert period.holds(period.begin)
    assert not period.holds(period.end)


def test_since_is_a_day_or_an_age():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert since_of("36h", now=now) == now - timedelta(hours=36)
    assert since_of("2w", now=now) == now - timedelta(weeks=2)
    assert since_of("2026-01-31", now=now) == datetime(2026, 1, 31, tzinfo=UTC)
    assert since_of("2026-01-31T01:00+01:00", now=now) == datetime(2026, 1, 31, tzinfo=UTC)
    for wrong in ("", "7", "d", "0d", "-1d", "7y", "99999w", "yesterday", "2026-13-01"):
        with pytest.raises(InvalidRequest):
            since_of(wrong, now=now)
