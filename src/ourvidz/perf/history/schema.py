"""The file of a history: what it may hold, and clear refusals of what it may not.

Nothing is mended on reading. What contradicts itself but can be read (phases that sum past the
total) is kept; ``records`` flags it.
"""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.optimisations import Measure

# Histories are typed by people; a file beyond this is something else.
MAX_BYTES = 8 * 2**20

State: TypeAlias = Literal["cold", "warm", "resident", "unknown"]


def _readable(text: str) -> str:
    if any(unicodedata.category(mark) == "Cc" for mark in text):
        raise ValueError("it holds a control character")
    return text


Text: TypeAlias = Annotated[str, Field(max_length=2000), AfterValidator(_readable)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.+-]*$", max_length=100)]
Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_readable)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]
Number: TypeAlias = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(ge=1e-9, le=1e8, allow_inf_nan=False)]
Amount: TypeAlias = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=10**9)]
Value: TypeAlias = Text | bool | Number | None


class Part(BaseModel):
    """Anything in the file: no other fields than these, no other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Output(Part):
    """What was delivered, as written down."""

    bytes_mb: Amount | None = None
    size: Annotated[str, Field(pattern=r"^\d{1,5}x\d{1,5}$")] | None = None  # width x height
    frames_requested: Count | None = None
    seconds: Seconds | None = None


class Entry(Part):
    """One job."""

    job_type: Name
    label: Label  # unique in the file
    date: dt.date
    state: State
    total_s: Seconds | None
    ok: bool
    phases_s: dict[Name, Seconds] = Field(default_factory=dict[str, float])
    num_inference_steps: Count | None = None
    step_s: Positive | None = None  # seconds a step, a mean that somebody read off
    output: Output | None = None
    batch: Count | None = None
    prompt_chars: tuple[Count, Count] | None = None  # as given, as enhanced
    peak_vram_gb: Amount | None = None
    doubt: Text | None = None  # what the record's keeper didn't believe
    failure: Name | None = None  # class of a failure that ``ok`` doesn't tell


# ----------------------------------------------------------------------------------------- recipes


class MeanRecipe(Part):
    """Each stated value is the mean of these records."""

    kind: Literal["mean"]
    of: tuple[Annotated[tuple[Label, ...], Field(min_length=1)], ...] = Field(min_length=1)


class Sides(Part):
    """Two groups of records."""

    after: tuple[Label, ...] = Field(min_length=1)
    before: tuple[Label, ...] = Field(min_length=1)


class ChangeRecipe(Part):
    """Each stated value is the change from one group to another, in percent."""

    kind: Literal["change"]
    of: tuple[Sides, ...] = Field(min_length=1)
    phases: tuple[Name, ...] = ()  # of the job's time, these and what is below them; else all
    misnamed_phases: tuple[Name, ...] = ()  # called free of these, so none of ``before`` may hold
    is_saving: bool = False  # stated as "x % faster"


class SharePart(Part):
    """One share of a job."""

    name: Name
    phases: tuple[Name, ...] = Field(min_length=1)


class SharesRecipe(Part):
    """The stated values are shares of one job's total, in percent."""

    kind: Literal["shares"]
    label: Label
    parts: tuple[SharePart, ...] = Field(min_length=1)


class TargetStep(Part):
    """From what was recorded to what the roadmap or a goal promises."""

    labels: tuple[Label, ...] = Field(min_length=1)
    phases: tuple[Name, ...] = ()
    priority: int | None = None  # of the roadmap
    goal: Text | None = None  # ``by`` of a goal


class TargetRecipe(Part):
    """Each stated value is the saving that a target means, in percent."""

    kind: Literal["target"]
    of: tuple[TargetStep, ...] = Field(min_length=1)


class EstimateRecipe(Part):
    """The stated values by job type are real against estimated seconds, in percent."""

    kind: Literal["against_estimate"]


class CoverageRecipe(Part):
    """The stated values are the share of the shipped job types that have a record."""

    kind: Literal["coverage"]


class TradeoffRecipe(Part):
    """The stated value is what one setting saves, in percent; it takes a sweep to know."""

    kind: Literal["tradeoff"]
    job_type: Name
    factor: Name
    before: Name
    after: Name
    is_cost: bool = False  # stated as "x % more"


class OptionsRecipe(Part):
    """The stated values by preset: the expected seconds, and the promise beside them."""

    kind: Literal["options"]
    job_type: Name


class UnmeasurableRecipe(Part):
    """Nothing was recorded that it could be computed from."""

    kind: Literal["unmeasurable"]
    reason: Text


Recipe: TypeAlias = Annotated[
    MeanRecipe
    | ChangeRecipe
    | SharesRecipe
    | TargetRecipe
    | EstimateRecipe
    | CoverageRecipe
    | TradeoffRecipe
    | OptionsRecipe
    | UnmeasurableRecipe,
    Field(discriminator="kind"),
]

# ------------------------------------------------------------------------------------ what is said

Stated: TypeAlias = Number | Text


class Claim(Part):
    """What a document stated."""

    id: Name
    stated: (
        Annotated[tuple[Stated, ...], Field(min_length=1)]
        | Annotated[dict[Name, Stated | tuple[Stated, ...]], Field(min_length=1)]
    )
    unit: Text = ""
    about: Text = ""
    recompute: Text = ""  # in words; ``recipe`` is what is computed
    quality: Text = ""
    advice: Text = ""
    recipe: Recipe | None = None


class RoadmapItem(Part):
    """One optimisation that was planned."""

    priority: int
    what: Text
    target: Text
    current: Text | None = None
    method: Text | None = None
    horizon: Text | None = None
    measure: Measure | None = None


class Goal(Part):
    """What was to be reached; several, parted by semicolons, are measured one by one."""

    by: Text  # a date (2026-12-31) or in words
    what: Text
    measures: tuple[Measure | None, ...] = ()


class History(Part):
    """A file of job timings that were recorded elsewhere."""

    about: Text
    environment: dict[Name, Value]
    records: tuple[Entry, ...] = Field(min_length=1)
    estimates_s: dict[Name, Seconds | None] = Field(default_factory=dict[str, float | None])
    claims: tuple[Claim, ...] = ()
    roadmap: tuple[RoadmapItem, ...] = ()
    goals: tuple[Goal, ...] = ()

    @field_validator("records")
    @classmethod
    def _labels_differ(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        _require_unique([entry.label for entry in entries], "label")
        return entries

    @field_validator("claims")
    @classmethod
    def _claims_differ(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        _require_unique([claim.id for claim in claims], "claim")
        return claims

    @field_validator("roadmap")
    @classmethod
    def _priorities_differ(cls, items: tuple[RoadmapItem, ...]) -> tuple[RoadmapItem, ...]:
        _require_unique([item.priority for item in items], "priority")
        return items


class Recipes(Part):
    """Recipes beside a file that has none of its own, such as one kept as it was found."""

    about: Text
    claims: dict[Name, Recipe]
    roadmap: dict[str, Measure | None]  # by priority
    goals: dict[str, tuple[Measure | None, ...]]  # by ``by``


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedHistory:
    """A history under the name by which its records are known."""

    name: str
    history: History


def read_history(path: Path) -> History:
    """Read and check a file.

    Raises:
        InvalidRequest: There is no such file, it can't be read, or ``parse_history`` refuses it.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidRequest(
                f"{path.name!r} has {size} bytes: a history has at most {MAX_BYTES}.", param="file"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"{path.name!r} can't be read: {error.strerror or error}.", param="file"
        ) from error
    return parse_history(content, name=path.name)


def parse_history(content: bytes | str, *, name: str) -> History:
    """Check a file's content.

    Args:
        content: JSON in UTF-8.
        name: What messages call the file.

    Raises:
        InvalidRequest: It is no JSON, a field is unknown, absent, twice there or of a wrong type,
            a time is negative or not finite, or two records share a label. The message names the
            file and the place, such as ``records[3].total_s``, and how many problems there are.
    """
    text = _checked_text(content, name=name)
    try:
        return History.model_validate_json(text)
    except ValidationError as error:
        raise _refusal(error, name=name) from None


def parse_recipes(content: bytes) -> Recipes:
    """Check the recipes that ship beside a history."""
    return Recipes.model_validate_json(content)


def with_recipes(history: History, recipes: Recipes) -> History:
    """Return the history with a recipe for each claim, item and goal that has none of its own."""
    return history.model_copy(
        update={
            "claims": tuple(
                claim.model_copy(
                    update={"recipe": claim.recipe or recipes.claims.get(claim.id)},
                )
                for claim in history.claims
            ),
            "roadmap": tuple(
                item.model_copy(
                    update={"measure": item.measure or recipes.roadmap.get(str(item.priority))}
                )
                for item in history.roadmap
            ),
            "goals": tuple(
                goal.model_copy(
                    update={"measures": goal.measures or recipes.goals.get(goal.by, ())}
                )
                for goal in history.goals
            ),
        }
    )


def _checked_text(content: bytes | str, *, name: str) -> str:
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{name!r} is no UTF-8 text: byte {error.start}.", param="file"
        ) from None
    try:
        json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{name!r} is no JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            param="file",
        ) from None
    except RecursionError:
        raise InvalidRequest(f"{name!r} is nested too deeply.", param="file") from None
    except ValueError as error:  # ours, from below
        raise InvalidRequest(f"{name!r} is refused: {error}.", param="file") from None
    return text


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the field {twice!r} stands there twice")
    return items


def _no_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _refusal(error: ValidationError, *, name: str) -> InvalidRequest:
    # A list of which one item is refused counts as too short as well: that is no second problem.
    found = error.errors(include_url=False)
    problems = [each for each in found if each["type"] != "too_short"] or found
    first = problems[0]
    place = _place(first["loc"])
    match first["type"]:
        case "extra_forbidden":
            text = f"the field {place!r} is unknown"
        case "missing":
            text = f"the field {place!r} is absent"
        case _:
            shown = repr(first["input"])
            shown = shown if len(shown) <= 60 else shown[:59] + "…"
            text = f"{place!r} is {shown}: {first['msg'].removeprefix('Value error, ')}"
    more = f" Problems in all: {len(problems)}." if len(problems) > 1 else ""
    return InvalidRequest(
        f"{name!r} is no history: {text}.{more}",
        param=place,
        hint="docs/guides/performance-history.md lists the fields.",
    )


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place or "the file"


def _require_unique(values: list[Any], what: str) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"the {what} {twice!r} stands there twice")
