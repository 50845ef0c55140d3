"""What people's ratings and blind votes say together, with intervals."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.opinion import MAX_STARS, MIN_STARS, Choice, Defect
from ourvidz.perf.plain import plain
from ourvidz.perf.stats import wilson_interval

GOOD_STARS = 4  # from here on a rating counts as good
GROUPED_BY = ("job_type", "preset", "fidelity")
# Six votes of one mind are the first that an exact two-sided sign test finds at 5 %.
SMALLEST_N = 6


class RatingLike(Protocol):
    """A rating, wherever it is kept."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Job type and workload of what was rated."""
        ...

    @property
    def rater(self) -> str:
        """Who rated."""
        ...

    @property
    def stars(self) -> int | None:
        """1 to 5."""
        ...

    @property
    def tags(self) -> Sequence[Defect]:
        """What is wrong."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BlindVote:
    """One vote between two settings."""

    first: Mapping[str, Any]  # settings
    second: Mapping[str, Any]
    is_swapped: bool  # A was the second
    choice: Choice
    test_id: str
    rater: str

    @property
    def winner(self) -> int | None:
        """0 for the first, 1 for the second, None for a tie."""
        if self.choice is Choice.TIE:
            return None
        return int((self.choice is Choice.B) != self.is_swapped)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share with Wilson's 95 % interval."""

    hits: int
    n: int
    share: float
    low: float
    high: float


def share_of(hits: int, n: int) -> Share | None:
    """Return a share with its interval; None of nothing.

    Raises:
        InvalidRequest: ``hits`` outside [0, n].
    """
    if n == 0:
        return None
    interval = wilson_interval(hits, n)
    return Share(hits=hits, n=n, share=hits / n, low=interval.low, high=interval.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class RatingSummary:
    """The ratings of one group of settings."""

    group: Mapping[str, Any]  # the settings that they have in common
    num_ratings: int
    num_raters: int
    stars: Mapping[int, int]  # how many gave so many
    mean_stars: float | None
    good: Share | None  # four stars or five, of those who gave stars
    tags: Mapping[str, Share]  # of all ratings; each tag that exists

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def summarize_ratings(
    ratings: Iterable[RatingLike], *, by: Sequence[str] = GROUPED_BY
) -> tuple[RatingSummary, ...]:
    """Return the ratings put together by settings.

    The intervals take ratings for independent: many of one rater, or of one prompt, are less.

    Args:
        ratings: in any order.
        by: names of settings.

    Raises:
        InvalidRequest: a rating that has no such setting.
    """
    groups: dict[str, list[RatingLike]] = {}
    for rating in ratings:
        missing = [name for name in by if name not in rating.settings]
        if missing:
            raise InvalidRequest(
                f"{missing[0]!r} is no setting that ratings know.",
                param="by",
                hint=f"Use {', '.join(sorted(rating.settings))}.",
            )
        groups.setdefault(_text({name: rating.settings[name] for name in by}), []).append(rating)
    return tuple(_summary(json.loads(key), found) for key, found in sorted(groups.items()))


def _summary(group: Mapping[str, Any], ratings: Sequence[RatingLike]) -> RatingSummary:
    stars = [each.stars for each in ratings if each.stars is not None]
    tags = {
        defect.value: share_of(sum(defect in each.tags for each in ratings), len(ratings))
        for defect in Defect
    }
    return RatingSummary(
        group=group,
        num_ratings=len(ratings),
        num_raters=len({each.rater for each in ratings}),
        stars={level: stars.count(level) for level in range(MIN_STARS, MAX_STARS + 1)},
        mean_stars=statistics.fmean(stars) if stars else None,
        good=share_of(sum(each >= GOOD_STARS for each in stars), len(stars)),
        tags={name: share for name, share in tags.items() if share is not None},
    )


class Preference(StrEnum):
    """What the votes say."""

    FIRST = "first"
    SECOND = "second"
    NONE = "no preference found"
    TOO_FEW = "too few votes"


@dataclass(frozen=True, kw_only=True, slots=True)
class WinRate:
    """All votes between two settings."""

    # By setting, the values of the first and the second: what the voters could have seen.
    differs: Mapping[str, tuple[Any, Any]]
    num_votes: int
    num_tests: int
    num_raters: int
    wins_first: int
    wins_second: int
    ties: int
    second_wins: Share | None  # of the votes that were no ties
    preference: Preference
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return plain(self)


def win_rates(votes: Iterable[BlindVote]) -> tuple[WinRate, ...]:
    """Return how often each setting won against another, the pairs with most votes first.

    Votes belong together where the same settings differed by the same values, whatever else both
    had in common. Jobs that differ in nothing but the seed compare no settings and are left out.
    The win rate is of the votes that were no ties, with Wilson's interval; a side is preferred
    where that leaves out one half and there are six such votes or more.
    """
    groups: dict[str, list[tuple[BlindVote, bool]]] = {}
    for vote in votes:
        names = sorted({*vote.first, *vote.second})
        pairs = {name: (vote.first.get(name), vote.second.get(name)) for name in names}
        differs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if not differs:
            continue
        forth = _text(differs)
        back = _text({name: (pair[1], pair[0]) for name, pair in differs.items()})
        groups.setdefault(min(forth, back), []).append((vote, back < forth))
    found = [_win_rate(json.loads(key), cast) for key, cast in sorted(groups.items())]
    return tuple(sorted(found, key=lambda each: -each.num_votes))


def _win_rate(
    differs: Mapping[str, Sequence[Any]], votes: Sequence[tuple[BlindVote, bool]]
) -> WinRate:
    winners = [
        None if vote.winner is None else vote.winner ^ is_turned for vote, is_turned in votes
    ]
    first, second, ties = (winners.count(side) for side in (0, 1, None))
    share = share_of(second, first + second)
    preference = _preference(share)
    sides = [
        ", ".join(f"{name} {values[side]}" for name, values in differs.items()) for side in (0, 1)
    ]
    interval = f" [{share.low:.0%}, {share.high:.0%}]" if share else ""
    text = (
        f"{sides[1]} won {second} of {first + second} votes{interval} against {sides[0]}, "
        f"{ties} ties: {_TEXTS[preference].format(*sides)}"
    )
    return WinRate(
        differs={name: (values[0], values[1]) for name, values in differs.items()},
        num_votes=len(votes),
        num_tests=len({vote.test_id for vote, _ in votes}),
        num_raters=len({vote.rater for vote, _ in votes}),
        wins_first=first,
        wins_second=second,
        ties=ties,
        second_wins=share,
        preference=preference,
        text=text,
    )


_TEXTS = {
    Preference.FIRST: "{0} is preferred",
    Preference.SECOND: "{1} is preferred",
    Preference.NONE: "no preference found",
    Preference.TOO_FEW: f"too few votes, {SMALLEST_N} that are no ties are needed",
}


def _preference(second: Share | None) -> Preference:
    if second is None or second.n < SMALLEST_N:
        return Preference.TOO_FEW
    if second.low > 0.5:
        return Preference.SECOND
    if second.high < 0.5:
        return Preference.FIRST
    return Preference.NONE


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(plain(value), sort_keys=True)
