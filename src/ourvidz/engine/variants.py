"""Models that are another one's files with LoRAs in the denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourvidz.engine.residency import Residency
from ourvidz.models.lora import fused_copy, read_lora


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """What makes such a model."""

    base: str  # catalogue id of the model whose files it uses
    loras: tuple[tuple[Path, float], ...]  # file and strength


def base_of(variants: Mapping[str, Variant], model_id: str) -> str:
    """Return the id under which a model's components are loaded: its base's, or its own."""
    return variants[model_id].base if model_id in variants else model_id


def denoiser_of(
    residency: Residency, variant: Variant | None, model_id: str, name: str, module: Any
) -> Any:
    """Return ``module`` (component ``name`` of the base) with the variant's LoRAs in its weights.

    A copy that shares what they do not touch, made once and kept as long as the base stays and
    its memory is not wanted for something dearer. The base itself is as it was: jobs of both may
    take turns, and neither reloads anything.

    Raises:
        ModelMissing, CheckpointInvalid: as ``models.lora.read_lora``.
    """
    if variant is None:
        return module

    def build() -> Any:
        return fused_copy(
            module, [(read_lora(file, module), strength) for file, strength in variant.loras]
        )

    num_bytes = sum(each.numel() * each.element_size() for each in module.parameters())
    return residency.derive((variant.base, name), f"variant {model_id}", build, num_bytes)
