"""What of a workload each group of phases costs: the shapes of the phase model.

T = enhance + load(state) + encode + steps x passes x items x (a tokens + b tokens^2)
    + decode(frames x pixels) + save(frames x pixels) + upload
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ourvidz.core.phase import LoadState, Phase
from ourvidz.perf.record import PerformanceRecord

_FRAMES_A_LATENT = 4  # Wan's VAE packs four frames into one latent frame, after the first
_PIXELS_A_TOKEN_SIDE = {"wan": 16, "sdxl": 8}  # Wan: VAE 8 times patch 2; SDXL: latent pixels
_OTHER_FAMILY_SIDE = 16


class Group(StrEnum):
    """Phases that are predicted together, in the order in which they come."""

    LOAD = "load"  # process start, weights, compilation: everything before the first prompt
    ENHANCE = "enhance.run"
    ENCODE = "encode"  # with the preparation of latents
    DENOISE = "denoise"
    DECODE = "decode"
    SAVE = "save"  # with thumbnails and the probe
    UPLOAD = "upload"  # with telling whoever asked for it
    UNATTRIBUTED = "unattributed"


GROUP_OF: Mapping[str, Group] = {
    Phase.STARTUP.value: Group.LOAD,
    Phase.ENHANCE_LOAD.value: Group.LOAD,
    Phase.LOAD_TEXT_ENCODER.value: Group.LOAD,
    Phase.LOAD_TRANSFORMER.value: Group.LOAD,
    Phase.LOAD_UNET.value: Group.LOAD,
    Phase.LOAD_VAE.value: Group.LOAD,
    Phase.COMPILE.value: Group.LOAD,
    Phase.ENHANCE_RUN.value: Group.ENHANCE,
    Phase.ENCODE.value: Group.ENCODE,
    Phase.PREPARE.value: Group.ENCODE,
    Phase.DENOISE.value: Group.DENOISE,
    Phase.DECODE.value: Group.DECODE,
    Phase.SAVE.value: Group.SAVE,
    Phase.THUMBNAIL.value: Group.SAVE,
    Phase.PROBE.value: Group.SAVE,
    Phase.UPLOAD.value: Group.UPLOAD,
    Phase.NOTIFY.value: Group.UPLOAD,
    Phase.UNATTRIBUTED.value: Group.UNATTRIBUTED,
}

# Where a shape may be faster or slower than its size says: kernels are chosen by shape.
SHAPED = frozenset({Group.DENOISE, Group.DECODE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One workload in numbers."""

    model: str
    family: str
    fidelity: str
    enhancer: str | None
    width: int  # pixels
    height: int
    num_frames: int  # 1 for images
    num_images: int
    num_steps: int
    passes: int  # 2 with guidance

    @property
    def tokens(self) -> float:
        """Positions that the denoising network attends to, of one item."""
        side = _PIXELS_A_TOKEN_SIDE.get(self.family, _OTHER_FAMILY_SIDE)
        latent_frames = (self.num_frames - 1) // _FRAMES_A_LATENT + 1
        return latent_frames * (self.width / side) * (self.height / side)

    @property
    def pixels(self) -> float:
        """Pixels of all frames of all items."""
        return float(self.width * self.height * self.num_frames * self.num_images)

    def features(self, group: Group) -> tuple[float, ...]:
        """Return what the group's seconds are a sum of, by coefficients of 0 or more."""
        match group:
            case Group.DENOISE:
                work = self.num_steps * self.passes * self.num_images * self.tokens
                return (float(self.num_steps), work, work * self.tokens)
            case Group.DECODE | Group.SAVE:
                return (1.0, self.pixels)
            case _:
                return (1.0,)

    def shapes(self) -> tuple[str, ...]:
        """Return names of what may make a shape special, from the coarsest to the finest."""
        kind = "video" if self.num_frames > 1 else "image"
        size = f"{self.width}x{self.height}"
        return (
            f"{kind} height {self.height}",
            f"{kind} width {self.width}",
            f"{kind} {size}",
            f"{size}x{self.num_frames}, {self.num_images}, {self.passes}",
        )


def load_of(workload: Mapping[str, Any]) -> Load | None:
    """Return a workload in numbers; None where it lacks one, as records of 2025 do."""
    numbers = {name: workload.get(name) for name in ("width", "height", "num_inference_steps")}
    model = workload.get("model")
    if model is None or any(not _is_positive(value) for value in numbers.values()):
        return None
    guidance = workload.get("guidance_scale")
    enhancer = workload.get("enhancer")
    return Load(
        model=str(model),
        family=str(workload.get("family") or ""),
        fidelity=str(workload.get("fidelity") or "exact"),
        enhancer=None if enhancer is None else str(enhancer),
        width=int(workload["width"]),
        height=int(workload["height"]),
        num_frames=int(workload.get("num_frames") or 1),
        num_images=int(workload.get("num_images") or 1),
        num_steps=int(workload["num_inference_steps"]),
        passes=2 if guidance is None or float(guidance) > 1.0 else 1,
    )


def load_of_record(record: PerformanceRecord) -> Load | None:
    """Return a record's workload in numbers: see ``load_of``."""
    if "load" not in record.derived:
        record.derived["load"] = load_of(record.workload)
    return record.derived["load"]


def seconds_by_group(record: PerformanceRecord) -> dict[Group, float]:
    """Return a record's seconds by group; the wait in the queue belongs to none."""
    found: dict[Group, float] = {}
    for phase, seconds in record.phases_s.items():
        group = GROUP_OF.get(phase)
        if group is not None:
            found[group] = found.get(group, 0.0) + seconds
    return found


def groups_of(load: Load, *, state: str) -> tuple[Group, ...]:
    """Return the groups that a job of this workload passes through."""
    left_out = {
        *((Group.ENHANCE,) if load.enhancer is None else ()),
        *((Group.LOAD,) if state == LoadState.RESIDENT.value else ()),
    }
    return tuple(group for group in Group if group not in left_out)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
