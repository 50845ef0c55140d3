"""Ratings and votes put together, on known answers."""

import json
from dataclasses import dataclass, field

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.opinion import Choice, Defect
from ourvidz.perf.quality.people import (
    BlindVote,
    Preference,
    share_of,
    summarize_ratings,
    win_rates,
)
from ourvidz.perf.stats import wilson_interval

EXACT = {"job_type": "video_fast", "preset": "baseline", "fidelity": "exact", "width": 480}
HIGH = {**EXACT, "fidelity": "high"}


@dataclass(frozen=True, kw_only=True)
class Rated:
    stars: int | None = None
    tags: tuple[Defect, ...] = ()
    rater: str = "r"
    settings: dict = field(default_factory=lambda: EXACT)


def vote(choice, *, is_swapped=False, first=EXACT, second=HIGH, test_id="t", rater="r"):
    return BlindVote(
        first=first,
        second=second,
        is_swapped=is_swapped,
        choice=choice,
        test_id=test_id,
        rater=rater,
    )


def test_ratings_come_together_by_settings():
    found = summarize_ratings(
        [
            Rated(stars=5, rater="a"),
            Rated(stars=4, tags=(Defect.TEXT,), rater="b"),
            Rated(stars=1, tags=(Defect.TEXT, Defect.FLICKER), rater="a"),
            Rated(tags=(Defect.FLICKER,), rater="c"),
            Rated(stars=2, settings=HIGH),
        ]
    )
    exact, high = found
    assert exact.group == {"job_type": "video_fast", "preset": "baseline", "fidelity": "exact"}
    assert (exact.num_ratings, exact.num_raters) == (4, 3)
    assert exact.stars == {1: 1, 2: 0, 3: 0, 4: 1, 5: 1}
    assert exact.mean_stars == pytest.approx(10 / 3)
    assert (exact.good.hits, exact.good.n) == (2, 3)
    interval = wilson_interval(2, 3)
    assert (exact.good.low, exact.good.high) == (interval.low, interval.high)
    assert {name: (s.hits, s.n) for name, s in exact.tags.items()} == {
        "anatomy": (0, 4),
        "flicker": (2, 4),
        "artefact": (0, 4),
        "text": (2, 4),
        "prompt_missed": (0, 4),
    }
    assert high.group["fidelity"] == "high"
    json.dumps([each.to_dict() for each in found], allow_nan=False)


def test_tags_alone_have_no_stars_to_speak_of():
    (found,) = summarize_ratings([Rated(tags=(Defect.ANATOMY,))])
    assert (found.mean_stars, found.good) == (None, None)


def test_grouping_by_what_ratings_do_not_know_is_refused():
    assert summarize_ratings([Rated(stars=3)], by=["width"])[0].group == {"width": 480}
    with pytest.raises(InvalidRequest, match="'prompt'"):
        summarize_ratings([Rated(stars=3)], by=["prompt"])
    assert summarize_ratings([]) == ()


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_win_is_the_job_s_and_not_the_letter_s(is_swapped):
    letter = Choice.A if is_swapped else Choice.B
    (found,) = win_rates([vote(letter, is_swapped=is_swapped)] * 3)
    assert found.differs == {"fidelity": ("exact", "high")}
    assert (found.wins_first, found.wins_second, found.ties) == (0, 3, 0)


def test_the_order_of_the_jobs_does_not_matter():
    (found,) = win_rates([vote(Choice.B), vote(Choice.A, first=HIGH, second=EXACT)])
    assert (found.wins_first, found.wins_second) == (0, 2)


def test_ties_are_told_and_count_for_nobody():
    votes = [vote(Choice.B, test_id=f"t{i}") for i in range(7)]
    votes += [vote(Choice.A, rater="s"), vote(Choice.TIE), vote(Choice.TIE)]
    (found,) = win_rates(votes)
    assert (found.num_votes, found.num_tests, found.num_raters, found.ties) == (10, 8, 2, 2)
    assert (found.second_wins.hits, found.second_wins.n) == (7, 8)
    assert found.preference is Preference.SECOND
    assert "fidelity high is preferred" in found.text


@pytest.mark.parametrize(
    ("choices", "preference"),
    [
        ("bbbbb", Preference.TOO_FEW),
        ("bbbbbb", Preference.SECOND),
        ("aaaaaa", Preference.FIRST),
        ("bbbbaa", Preference.NONE),
        ("======", Preference.TOO_FEW),
    ],
)
def test_a_preference_needs_votes_and_an_interval(choices, preference):
    letters = {"a": Choice.A, "b": Choice.B, "=": Choice.TIE}
    (found,) = win_rates([vote(letters[each]) for each in choices])
    assert found.preference is preference
    json.dumps(found.to_dict(), allow_nan=False)


def test_groups_are_by_what_differs_alone():
    wide = [{**each, "width": 832} for each in (EXACT, HIGH)]
    other = {**EXACT, "preset": "balanced"}
    found = win_rates(
        [
            vote(Choice.B, second=other),
            vote(Choice.B),
            vote(Choice.B, first=wide[0], second=wide[1]),
            vote(Choice.A, second=EXACT),  # nothing but the seed
        ]
    )
    assert [(dict(each.differs), each.num_votes) for each in found] == [
        ({"fidelity": ("exact", "high")}, 2),
        ({"preset": ("balanced", "baseline")}, 1),
    ]
    assert found[1].wins_first == 1


def test_a_share_of_nothing_is_none():
    assert share_of(0, 0) is None
    with pytest.raises(InvalidRequest):
        share_of(3, 2)
