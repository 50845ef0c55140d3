"""Rollouts: a preset or values that a share of a job type's jobs get.

Which jobs those are is decided by a hash of the job's id and the rollout's name: the same job is
always on the same side, and every rollout divides jobs anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any, Protocol, cast

METADATA_KEY = "ourvidz_rollout"  # of a job: {"name", "arm", "changes"}
SETTING = "rollout"  # the same in a record's settings


class Arm(StrEnum):
    """On which side of a rollout a job is."""

    CONTROL = "control"
    TREATMENT = "treatment"


class Rollout(Protocol):
    """What decides whether one goes on."""

    @property
    def until(self) -> date | None:
        """Its last day, UTC."""
        ...


def arm_of(job_id: str, *, name: str, share: float) -> Arm:
    """Return the side of a job. One that is treated at some share is treated at all larger ones.

    Args:
        job_id: Of the job.
        name: Of the rollout.
        share: Of jobs that are treated, 0 to 1.
    """
    digest = hashlib.sha256(f"{name}\0{job_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return Arm.TREATMENT if place < share else Arm.CONTROL


def goes_on(rollout: Rollout, today: date) -> bool:
    """Whether a rollout still takes jobs."""
    return rollout.until is None or today <= rollout.until


def note_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record's settings tell of a job's rollout; empty where it was in none."""
    note = metadata.get(METADATA_KEY)
    if not isinstance(note, Mapping):
        return {}
    return {SETTING: dict(cast("Mapping[str, Any]", note))}
