"""The models that ship in the catalogue, with their native values and texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ourvidz.catalog.few_step import LoraFile, Sampling
from ourvidz.core.request import Fidelity


class Role(StrEnum):
    """What a job needs a model for. A profile names one model a role."""

    VIDEO = "video"  # Wan: videos and single frames
    IMAGE = "image"  # SDXL
    ENHANCER = "enhancer"  # Qwen


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One model of the catalogue.

    Sizes are the model's native values: a job type's or preset's size scales from them.
    """

    id: str
    title: str
    role: Role
    family: str  # wan, sdxl or qwen
    profile: str  # pocket or full
    hub_repo: str | None  # where `models pull` finds it; None when it ships with the package
    license: str
    hub_variant: str | None = None  # which of several published precisions; None: the plain files
    width: int = 0  # px; 0 where it makes no pictures
    height: int = 0
    num_frames: int = 1
    fps: int = 16
    prompt_token_limit: int = 0  # tokens that its text encoder reads
    languages: tuple[str, ...] = ("en",)
    default_negative_prompt: str = ""
    enhancement_template: str = ""  # what the enhancer is told for this model
    max_new_tokens: int = 0  # longest answer of an enhancer; 0 for other roles
    fidelities: tuple[Fidelity, ...] = (Fidelity.EXACT,)
    size_gib: float = 0.0  # download, about
    base: str | None = None  # whose files it uses, with ``loras`` in the denoiser
    loras: tuple[LoraFile, ...] = ()
    sampling: Sampling | None = None  # in place of a job type's values


# What the pocket models were trained to take for "nothing in particular".
_POCKET_NEGATIVE = "blurry, low quality, flicker, artefacts, distorted, text, watermark"

# Wording ours. Themes (anatomy, artefacts, flicker, text) as mission asks; Wan reads English and
# Chinese, and follows comma-separated lists in either.
_WAN_NEGATIVE = (
    "flickering, jitter, frozen frame, ghosting, overexposed, washed out, low quality, "
    "compression artifacts, blurry details, subtitles, text, watermark, logo, deformed hands, "
    "extra fingers, fused fingers, malformed limbs, disfigured face, extra legs, crowded "
    "background, walking backwards"
)
_SDXL_NEGATIVE = (
    "blurry, low quality, jpeg artifacts, bad anatomy, deformed hands, extra fingers, extra "
    "limbs, disfigured face, cropped, text, watermark, signature"
)

_WAN_TEMPLATE = (
    "You write prompts for a text-to-video model. Rewrite the user's idea as one rich English "
    "paragraph of 60 to 120 words that keeps every subject, colour, number and action the user "
    "named. Say what is seen: subject, what it does over time, setting, light, mood, camera "
    "position and movement. Add nothing that contradicts the idea. Answer with the paragraph "
    "alone: no title, no list, no quotation marks, no remarks."
)
_SDXL_TEMPLATE = (
    "You write prompts for a text-to-image model that reads at most 77 tokens. Rewrite the "
    "user's idea as one English line of at most 45 words that keeps every subject, colour and "
    "number: subject first, then setting, light, style. Answer with the line alone."
)
_POCKET_TEMPLATE = (
    "You write prompts for a small model that draws coloured shapes on coloured backgrounds. "
    "Rewrite the user's idea as one rich English description of 30 to 60 words that keeps its "
    "shape, colour, size, position, motion and background. Answer with the description alone."
)

MODELS: tuple[Model, ...] = (
    Model(
        id="pocket-video",
        title="Pocket video: coloured shapes that move, trained by this project",
        role=Role.VIDEO,
        family="wan",
        profile="pocket",
        hub_repo=None,
        license="Apache-2.0",
        width=96,
        height=160,
        num_frames=33,
        prompt_token_limit=96,
        default_negative_prompt=_POCKET_NEGATIVE,
        enhancement_template=_POCKET_TEMPLATE,
        fidelities=(Fidelity.EXACT, Fidelity.DRAFT),  # see its draft.json
    ),
    Model(
        id="pocket-image",
        title="Pocket image: coloured shapes on coloured backgrounds, trained by this project",
        role=Role.IMAGE,
        family="sdxl",
        profile="pocket",
        hub_repo=None,
        license="Apache-2.0",
        width=128,
        height=128,
        prompt_token_limit=77,
        default_negative_prompt=_POCKET_NEGATIVE,
        enhancement_template=_POCKET_TEMPLATE,
    ),
    Model(
        id="pocket-enhancer",
        title="Pocket enhancer: rewrites prompts for the pocket models",
        role=Role.ENHANCER,
        family="qwen",
        profile="pocket",
        hub_repo=None,
        license="Apache-2.0",
        max_new_tokens=160,
    ),
    Model(
        id="wan2.1-t2v-1.3b",
        title="Wan 2.1 text-to-video 1.3B",
        role=Role.VIDEO,
        family="wan",
        profile="full",
        hub_repo="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        license="Apache-2.0",
        width=480,
        height=832,
        num_frames=81,
        prompt_token_limit=512,
        languages=("en", "zh"),
        default_negative_prompt=_WAN_NEGATIVE,
        enhancement_template=_WAN_TEMPLATE,
        size_gib=27.0,
    ),
    Model(
        id="sdxl-base-1.0",
        title="Stable Diffusion XL base 1.0",
        role=Role.IMAGE,
        family="sdxl",
        profile="full",
        hub_repo="stabilityai/stable-diffusion-xl-base-1.0",
        hub_variant="fp16",  # what jobs run in; the plain files are float32, twice the size
        license="openrail++",
        width=1024,
        height=1024,
        prompt_token_limit=77,
        default_negative_prompt=_SDXL_NEGATIVE,
        enhancement_template=_SDXL_TEMPLATE,
        size_gib=6.5,
    ),
    Model(
        id="qwen2.5-7b-instruct",
        title="Qwen 2.5 7B Instruct",
        role=Role.ENHANCER,
        family="qwen",
        profile="full",
        hub_repo="Qwen/Qwen2.5-7B-Instruct",
        license="Apache-2.0",
        languages=("en", "zh"),
        max_new_tokens=512,
        size_gib=14.2,
    ),
)
