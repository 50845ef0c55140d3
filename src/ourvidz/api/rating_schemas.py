"""What goes over the wire of ratings and blind tests, as types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ourvidz.api.schemas import Answer, Strict
from ourvidz.core.opinion import MAX_STARS, MIN_STARS, Defect

Tag = Literal["anatomy", "flicker", "artefact", "text", "prompt_missed"]
Letter = Literal["a", "b"]
BlindChoice = Literal["a", "b", "tie"]
SettingName = Literal[
    "job_type",
    "preset",
    "profile",
    "model",
    "family",
    "width",
    "height",
    "num_frames",
    "num_images",
    "num_inference_steps",
    "scheduler",
    "guidance_scale",
    "flow_shift",
    "fidelity",
    "enhancer",
]

MAX_RATER_CHARS = 200

RaterName = Annotated[
    str | None,
    Field(
        max_length=MAX_RATER_CHARS,
        description="Who says it, where one key serves many people: an id of your own. "
        "Only a digest is kept.",
    ),
]


class RatingRequest(Strict):
    """What a person says of a job's output; at least one of the two."""

    stars: int | None = Field(default=None, ge=MIN_STARS, le=MAX_STARS, description="1 to 5.")
    tags: list[Tag] = Field(
        default_factory=list[Tag], max_length=len(Defect), description="What is wrong with it."
    )
    rater: RaterName = None


class RatingAnswer(Answer):
    """What one person said of one job."""

    job_id: str
    stars: int | None
    tags: list[Tag]
    is_own: bool = Field(description="You said it (this key, without a rater's name).")
    at: str = Field(description="ISO 8601, UTC.")


class RatingList(Answer):
    """What people said of one job."""

    data: list[RatingAnswer]


class ShareAnswer(Answer):
    """A share with Wilson's 95 % interval."""

    hits: int
    n: int
    share: float
    low: float
    high: float


class RatingGroup(Answer):
    """The ratings of outputs that have some settings in common."""

    group: dict[str, Any]
    num_ratings: int
    num_raters: int
    stars: dict[int, int] = Field(description="How many gave so many stars.")
    mean_stars: float | None
    good: ShareAnswer | None = Field(description="Four stars or five, of those who gave stars.")
    tags: dict[str, ShareAnswer] = Field(description="Of all ratings.")


class RatingGroups(Answer):
    """Ratings put together by settings."""

    data: list[RatingGroup]
    num_ratings: int = Field(description="How many were read: the newest ones.")
    is_complete: bool = Field(description="No older ones were left out.")


class BlindTestRequest(Strict):
    """Two jobs of one prompt, to be shown without their names."""

    job_ids: list[str] = Field(min_length=2, max_length=2, description="In any order.")


class BlindFile(Answer):
    """A file of a side, to be read with the key."""

    url: str
    media_type: str


class Names(Answer):
    """Which job was which."""

    job_a: str
    job_b: str
    settings_a: dict[str, Any]
    settings_b: dict[str, Any]


class BlindTestAnswer(Answer):
    """A blind test. Who has not voted in it sees the two outputs and nothing else."""

    id: str
    created_at: str
    a: list[BlindFile] = Field(description="Files of A; empty once they are deleted.")
    b: list[BlindFile]
    choice: BlindChoice | None = Field(description="What you chose; null: you have not voted.")
    names: Names | None = Field(description="Shown once you have voted.")


class BlindTestPage(Answer):
    """Blind tests, newest first."""

    data: list[BlindTestAnswer]
    next_cursor: str | None


class VoteRequest(Strict):
    """Which of the two is better."""

    choice: BlindChoice
    rater: RaterName = None


class WinRateAnswer(Answer):
    """All votes between two settings."""

    differs: dict[str, list[Any]] = Field(
        description="By setting, the first's and the second's value."
    )
    num_votes: int
    num_tests: int
    num_raters: int
    wins_first: int
    wins_second: int
    ties: int
    second_wins: ShareAnswer | None = Field(description="Of the votes that were no ties.")
    preference: Literal["first", "second", "no preference found", "too few votes"]
    text: str


class WinRates(Answer):
    """Win rates, the pairs of settings with most votes first."""

    data: list[WinRateAnswer]
    num_votes: int = Field(description="How many were read: the newest ones.")
    is_complete: bool = Field(description="No older ones were left out.")
