"""What a job asks for, after the catalogue has filled in and checked every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Fidelity(StrEnum):
    """The promise on a request: which techniques may be used, within which bound."""

    EXACT = "exact"  # within bf16 rounding of the library's reference
    HIGH = "high"  # 8-bit linears and attention, within a stated error bound
    DRAFT = "draft"  # caching and skipping, at a stated quality score


class MediaType(StrEnum):
    """What a job delivers."""

    VIDEO = "video/mp4"
    IMAGE = "image/png"


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhancementPlan:
    """How the prompt is enriched before it is generated."""

    model: str  # catalogue id of the enhancer
    template: str  # system text
    max_new_tokens: int
    on_failure: str  # "fallback" to the user's prompt, or "fail" the job
    languages: tuple[str, ...]  # what the target model reads: "en", "zh"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One resolved request. Every value is legal; nothing downstream corrects it."""

    job_type: str
    preset: str
    profile: str
    model: str  # catalogue id
    family: str  # "wan" or "sdxl"
    media_type: MediaType
    prompt: str
    negative_prompt: str
    seed: int  # item i of a batch uses (seed + i) modulo 2**32
    width: int
    height: int
    num_frames: int  # 1 for images
    fps: int
    num_images: int  # 1 for videos
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    flow_shift: float | None  # None where the family has no flow shift
    fidelity: Fidelity
    enhancement: EnhancementPlan | None = None
    sigmas: tuple[float, ...] = ()  # noise levels that few-step weights were trained for
    timestep_spacing: str | None = None  # in place of the checkpoint's

    @property
    def item_seeds(self) -> tuple[int, ...]:
        """The seed of each image of the batch."""
        return tuple((self.seed + index) % 2**32 for index in range(self.num_images))

    @property
    def uses_guidance(self) -> bool:
        """Whether each step runs the network twice; a scale of 1 or less means it does not."""
        return self.guidance_scale > 1.0

    @property
    def workload(self) -> str:
        """What makes two jobs cost the same: everything but prompts and seed.

        Records are compared, and durations predicted, within one workload.
        """
        parts = (
            self.job_type,
            self.preset,
            self.model,
            f"{self.width}x{self.height}x{self.num_frames}",
            f"{self.num_images}i",
            f"{self.num_inference_steps}s",
            self.scheduler,
            f"g{self.guidance_scale:g}",
            "-" if self.flow_shift is None else f"f{self.flow_shift:g}",
            self.fidelity.value,
        )
        return "/".join(parts)

    @property
    def batch_shape(self) -> str | None:
        """Jobs of one shape can run as one batch; ``None`` where the family has no batches."""
        if self.family != "sdxl":
            return None
        return "/".join(
            (
                self.model,
                f"{self.width}x{self.height}",
                f"{self.num_inference_steps}s",
                self.scheduler,
                f"g{self.guidance_scale:g}",
                self.fidelity.value,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which ``from_dict`` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> GenerationRequest:
        """Return what ``to_dict`` wrote. The values are trusted: they were checked before."""
        plan = value.get("enhancement")
        fields: dict[str, Any] = {
            **value,
            "media_type": MediaType(value["media_type"]),
            "fidelity": Fidelity(value["fidelity"]),
            "sigmas": tuple(value.get("sigmas", ())),
        }
        if plan:
            plan_fields: dict[str, Any] = {**plan, "languages": tuple(plan["languages"])}
            fields["enhancement"] = EnhancementPlan(**plan_fields)
        return cls(**fields)
