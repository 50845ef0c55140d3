"""The policy's interface; rules beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ourvidz.core.errors import PolicyRefused


class Stage(StrEnum):
    """Which text is looked at."""

    GIVEN = "given"  # the prompt as a person gave it
    ENHANCED = "enhanced"  # as the enhancer made it
    BRIDGE = "bridge"  # as it came over the legacy bridge


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the policy says of one text. ``rule`` names what refused it."""

    is_allowed: bool
    rule: str | None = None
    reason: str | None = None


class ContentPolicy(Protocol):
    """Looks at prompts, never at who sends them. Every refusal is logged."""

    def check(self, prompt: str, *, stage: Stage) -> Verdict:
        """Return the verdict on one prompt."""
        ...


def require_allowed(policy: ContentPolicy, prompt: str, *, stage: Stage) -> None:
    """Raise what every surface shows for a refused prompt.

    Raises:
        PolicyRefused: naming the rule, never repeating the prompt.
    """
    verdict = policy.check(prompt, stage=stage)
    if not verdict.is_allowed:
        raise PolicyRefused(
            f"The content policy refuses this prompt ({verdict.rule}): {verdict.reason}",
            param="prompt",
            hint="Change what is asked for. The operator decides on all rules but the shipped one.",
        )
