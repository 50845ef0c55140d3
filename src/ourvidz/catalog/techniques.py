"""What makes jobs faster, each with the fidelity that it belongs to. Free of torch.

A technique of one fidelity serves the looser ones too, but that `draft` takes those of `high` only
for a model that offers `high`: leaving out evaluations says nothing of 8 bits. Each has its
reference, the library's own path, which runs where the technique is switched off (setting
``techniques_off``), and a test that runs both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ourvidz.core.errors import UnknownName
from ourvidz.core.request import Fidelity

_LOOSER = {
    Fidelity.EXACT: (Fidelity.EXACT,),
    Fidelity.HIGH: (Fidelity.EXACT, Fidelity.HIGH),
    Fidelity.DRAFT: (Fidelity.EXACT, Fidelity.HIGH, Fidelity.DRAFT),
}
_DRAFT_ALONE = (Fidelity.EXACT, Fidelity.DRAFT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Technique:
    """One way to be faster."""

    name: str  # family.what
    fidelity: Fidelity  # the tightest promise that it keeps
    text: str  # what it does, one sentence


FUSED_WAN = "wan.fused"
STREAMED_WAN = "wan.streamed_decode"
WAN_ATTENTION_8BIT = "wan.attention_8bit"
WAN_LINEARS_8BIT = "wan.linears_8bit"
WAN_STEP_CACHE = "wan.step_cache"
FUSED_SDXL = "sdxl.fused"
SDXL_LINEARS_8BIT = "sdxl.linears_8bit"
FAST_SDXL_VAE = "sdxl.vae"
STATIC_QWEN = "qwen.static"
QWEN_WEIGHTS_8BIT = "qwen.weights_8bit"
CACHED_TEXT = "text.cache"

TECHNIQUES = (
    Technique(
        name=FUSED_WAN,
        fidelity=Fidelity.EXACT,
        text="Wan's forward with fused norms, one product for queries, keys and values, the text's "
        "keys once a job, and the fastest exact attention of this GPU.",
    ),
    Technique(
        name=STREAMED_WAN,
        fidelity=Fidelity.EXACT,
        text="Wan's decoder with its memory of past frames laid out beforehand, channels last.",
    ),
    Technique(
        name=WAN_ATTENTION_8BIT,
        fidelity=Fidelity.HIGH,
        text="Wan's attention in 8 bits, keys smoothed.",
    ),
    Technique(
        name=WAN_LINEARS_8BIT,
        fidelity=Fidelity.HIGH,
        text="Wan's linears after a norm on 8-bit integers, which the norm makes; of guidance's "
        "branches the one and the difference, so that both are rounded alike.",
    ),
    Technique(
        name=WAN_STEP_CACHE,
        fidelity=Fidelity.DRAFT,
        text="Evaluations of Wan's network left out by a calibrated plan, and made up from earlier "
        "ones.",
    ),
    Technique(
        name=FUSED_SDXL,
        fidelity=Fidelity.EXACT,
        text="SDXL's UNet channels last with fused norms, replayed as one graph.",
    ),
    Technique(
        name=SDXL_LINEARS_8BIT,
        fidelity=Fidelity.HIGH,
        text="The linears of SDXL's UNet in 8 bits, a scale a row.",
    ),
    Technique(
        name=FAST_SDXL_VAE,
        fidelity=Fidelity.EXACT,
        text="SDXL's decoder channels last, in bfloat16 on a GPU.",
    ),
    Technique(
        name=STATIC_QWEN,
        fidelity=Fidelity.EXACT,
        text="Qwen's tokens from a cache of fixed size, a step replayed as one graph.",
    ),
    Technique(
        name=QWEN_WEIGHTS_8BIT,
        fidelity=Fidelity.HIGH,
        text="Qwen's weights in 8 bits, a scale a row.",
    ),
    Technique(
        name=CACHED_TEXT,
        fidelity=Fidelity.EXACT,
        text="Embeddings of texts seen before come from memory or disk, without the text encoder.",
    ),
)
_NAMES = tuple(technique.name for technique in TECHNIQUES)


def techniques_of(
    fidelity: Fidelity, *, off: Collection[str] = (), has_high: bool = True
) -> frozenset[str]:
    """Return the names of the techniques that a request may use.

    Args:
        fidelity: what the request promises.
        off: techniques that the operator switched off.
        has_high: whether the model offers `high`; `draft` leaves out 8 bits where it does not.

    Raises:
        UnknownName: ``off`` names none of ``TECHNIQUES``.
    """
    for name in off:
        if name not in _NAMES:
            raise UnknownName(
                f"No technique is called {name!r}. Known: {', '.join(_NAMES)}.",
                param="techniques_off",
            )
    is_draft_alone = fidelity is Fidelity.DRAFT and not has_high
    allowed = _DRAFT_ALONE if is_draft_alone else _LOOSER[fidelity]
    return frozenset(
        technique.name
        for technique in TECHNIQUES
        if technique.fidelity in allowed and technique.name not in off
    )
