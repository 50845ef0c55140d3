"""The content policy of a configuration: the shipped rule first, then what the operator chose."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from ourvidz.catalog.config import PolicyConfig
from ourvidz.core.errors import ConfigInvalid, MissingDependency
from ourvidz.policy import minors
from ourvidz.policy.policy import ContentPolicy, Stage, Verdict
from ourvidz.policy.rules import Rules

_log = logging.getLogger("ourvidz.policy")


class _ShippedRule:
    def check(self, prompt: str, *, stage: Stage) -> Verdict:
        del stage
        if minors.is_refused(prompt):
            return Verdict(
                is_allowed=False,
                rule=minors.RULE,
                reason="sexual content with minors is refused, always.",
            )
        return Verdict(is_allowed=True)


class _Policy:
    """Asks its parts in turn; the first refusal is the verdict, and is logged without the text."""

    def __init__(self, parts: Sequence[ContentPolicy]) -> None:
        self._parts = tuple(parts)

    def check(self, prompt: str, *, stage: Stage) -> Verdict:
        for part in self._parts:
            verdict = part.check(prompt, stage=stage)
            if not verdict.is_allowed:
                digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
                _log.warning(
                    "refused by %s, stage %s, prompt sha256 %s", verdict.rule, stage.value, digest
                )
                return verdict
        return Verdict(is_allowed=True)


def build_policy(config: PolicyConfig) -> ContentPolicy:
    """Return the policy of a configuration. The shipped rule about minors is always in it.

    ``off`` adds nothing; ``rules`` adds the operator's regular expressions; ``model`` adds both
    them and a language model's verdict, which fails closed (rule ``model_unavailable``).

    Raises:
        ConfigInvalid: a pattern that can't be used, or a model without an endpoint.
        MissingDependency: ``model`` without the service's packages.
    """
    parts: list[ContentPolicy] = [_ShippedRule()]
    if config.mode != "off":
        parts.append(Rules.compile(config.deny))
    if config.mode == "model":
        parts.append(_judge(config))
    return _Policy(parts)


def _judge(config: PolicyConfig) -> ContentPolicy:
    if not config.model_url or not config.model_url.startswith(("http://", "https://")):
        raise ConfigInvalid(
            "policy.mode is model, and policy.model_url names no endpoint.",
            param="policy.model_url",
            hint="Give the whole URL: https://.../v1/chat/completions.",
        )
    try:
        from ourvidz.policy.judge import Judge
    except ImportError as error:
        raise MissingDependency(
            "policy.mode model needs httpx.", hint="Install ourvidz[serve]."
        ) from error
    key = config.model_key.get_secret_value() if config.model_key else None
    return Judge(url=config.model_url, model=config.model_name, key=key)
