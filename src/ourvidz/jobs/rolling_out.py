"""Puts jobs on a side of their job type's rollout: the share gets what is tried, both are noted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from ourvidz.catalog.config import RolloutEntry
from ourvidz.catalog.job_types import BASELINE
from ourvidz.catalog.rollouts import METADATA_KEY, Arm, arm_of, goes_on
from ourvidz.core.errors import OurVidzError
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.model import JobKind, Json

_log = logging.getLogger("ourvidz.jobs.rollouts")
ORIGIN_KEY = "ourvidz_origin"  # of a benchmark's job, whose settings are nobody's to change

# Of a preset and values, the request.
Resolve = Callable[[str, Mapping[str, Any]], GenerationRequest]


class Asked(Protocol):
    """What decides whether a job takes part."""

    @property
    def job_type(self) -> str:
        """Its job type."""
        ...

    @property
    def preset(self) -> str:
        """``baseline`` where none was asked for."""
        ...

    @property
    def values(self) -> Mapping[str, Any]:
        """What was asked for, by name."""
        ...

    @property
    def kind(self) -> JobKind:
        """Files, or a prompt alone."""
        ...

    @property
    def metadata(self) -> Json:
        """The client's own."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """What becomes of a job: its request, and what is noted on it."""

    request: GenerationRequest
    metadata: Json
    adjustment: Json | None = None


def place(
    asked: Asked,
    request: GenerationRequest,
    *,
    job_id: str,
    rollouts: Sequence[RolloutEntry],
    today: date,
    resolve: Resolve,
) -> Placed:
    """Return a job as its side of a rollout has it; unchanged where it takes part in none.

    A job takes part where it asks for no preset and for no value that the rollout sets: what a
    person asked for is never changed. Of several rollouts the first that goes on counts. What a
    client wrote under our name in the metadata is dropped.

    Args:
        asked: What a surface was asked for.
        request: What that was resolved to.
        job_id: Decides the side.
        rollouts: All, in the operator's order.
        today: UTC.
        resolve: Gives the request of another preset and other values.
    """
    metadata = {name: value for name, value in asked.metadata.items() if name != METADATA_KEY}
    unchanged = Placed(request=request, metadata=metadata)
    rollout = next(
        (each for each in rollouts if each.job_type == asked.job_type and goes_on(each, today)),
        None,
    )
    if rollout is None or not _may_change(asked):
        return unchanged
    given = {name: value for name, value in asked.values.items() if value is not None}
    try:
        # The seed was drawn for this job: both sides keep it.
        seeded = {"seed": request.seed, **given}
        tried = resolve(rollout.preset or BASELINE, {**rollout.overrides, **seeded})
        plain = resolve(BASELINE, {"seed": request.seed})
        whole = resolve(rollout.preset or BASELINE, {**rollout.overrides, "seed": request.seed})
    except OurVidzError as error:
        _log.warning("rollout %s can't be tried: %s", rollout.name, error.message)
        return unchanged
    if set(_changes(plain, whole)) & given.keys():
        return unchanged
    changes = _changes(request, tried)
    if not changes:
        return unchanged
    arm = arm_of(job_id, name=rollout.name, share=rollout.share)
    note = {"name": rollout.name, "arm": arm.value, "changes": changes}
    is_treated = arm is Arm.TREATMENT
    return Placed(
        request=tried if is_treated else request,
        metadata={**metadata, METADATA_KEY: note},
        adjustment={
            "code": "rollout",
            "text": f"Rollout {rollout.name!r} chose this job: "
            + ", ".join(f"{name} {_value(tried, name)}" for name in changes)
            + ".",
        }
        if is_treated
        else None,
    )


def _may_change(asked: Asked) -> bool:
    return (
        asked.kind is JobKind.GENERATE
        and asked.preset == BASELINE
        and ORIGIN_KEY not in asked.metadata
    )


def _facts(request: GenerationRequest) -> dict[str, Any]:
    return {
        **workload_facts(request),
        "fps": request.fps,
        "negative_prompt": request.negative_prompt,
    }


def _changes(before: GenerationRequest, after: GenerationRequest) -> list[str]:
    """Return the names in which two requests differ."""
    first, second = _facts(before), _facts(after)
    return [name for name in first if first[name] != second[name]]


def _value(request: GenerationRequest, name: str) -> str:
    return "changed" if name == "negative_prompt" else str(_facts(request)[name])
