"""The operator's own rules: regular expressions by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ourvidz.core.errors import ConfigInvalid
from ourvidz.policy.policy import Stage, Verdict
from ourvidz.policy.text import fold

MAX_PATTERN_CHARS = 1000
MAX_TEXT_CHARS = 20_000

# A repeat of a group that itself ends in a repeat: what takes exponential time.
_NESTED_REPEAT = re.compile(r"(?:[+*]|\{\d*,\d*\})\??\)(?:[+*]|\{\d*,)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Searched in the prompt as written and in its folded form, any case, in the order given.

    Python's regular expressions know no time limit. So patterns are bounded in length, those with
    a repeat right inside a repeat are refused, and a prompt longer than ``MAX_TEXT_CHARS`` is
    refused unread (rule ``too_long``). This does not catch every slow pattern: an operator tries
    his own.
    """

    patterns: Mapping[str, re.Pattern[str]]

    @classmethod
    def compile(cls, deny: Mapping[str, str]) -> Rules:
        """Compile an operator's rules, once.

        Raises:
            ConfigInvalid: a pattern that is empty, too long, not a regular expression, matches
                the empty text, or repeats a repeat.
        """
        return cls(patterns={name: _compile(name, pattern) for name, pattern in deny.items()})

    def check(self, prompt: str, *, stage: Stage) -> Verdict:
        """Return the first rule that matches, or allowed."""
        del stage
        if len(prompt) > MAX_TEXT_CHARS:
            return Verdict(
                is_allowed=False,
                rule="too_long",
                reason=f"it has more than {MAX_TEXT_CHARS} characters.",
            )
        folded = fold(prompt)
        for name, pattern in self.patterns.items():
            if pattern.search(prompt) or pattern.search(folded):
                return Verdict(
                    is_allowed=False, rule=name, reason="a rule of this service's operator."
                )
        return Verdict(is_allowed=True)


def _compile(name: str, pattern: str) -> re.Pattern[str]:
    param = f"policy.deny.{name}"
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARS:
        raise ConfigInvalid(
            f"{param} has {len(pattern)} characters.",
            param=param,
            hint=f"Use 1 to {MAX_PATTERN_CHARS}; split a longer one into several rules.",
        )
    if _NESTED_REPEAT.search(pattern):
        raise ConfigInvalid(
            f"{param} repeats a repeat, which can take for ever.",
            param=param,
            hint="Write (a+)+ as a+.",
        )
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigInvalid(
            f"{param} is not a regular expression: {error}.", param=param
        ) from error
    if compiled.search(""):
        raise ConfigInvalid(f"{param} matches every prompt.", param=param)
    return compiled
