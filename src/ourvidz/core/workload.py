"""What a request makes a machine do, without a word of its prompts."""

from __future__ import annotations

from typing import Any

from ourvidz.core.request import GenerationRequest


def workload_facts(request: GenerationRequest) -> dict[str, Any]:
    """Return what makes two jobs cost the same, by name, as JSON values.

    ``request.workload`` is the same as one text, but that an enhancement belongs here too: it adds
    phases.
    """
    return {
        "preset": request.preset,
        "profile": request.profile,
        "model": request.model,
        "family": request.family,
        "width": request.width,
        "height": request.height,
        "num_frames": request.num_frames,
        "num_images": request.num_images,
        "num_inference_steps": request.num_inference_steps,
        "scheduler": request.scheduler,
        "guidance_scale": request.guidance_scale,
        "flow_shift": request.flow_shift,
        "fidelity": request.fidelity.value,
        "enhancer": request.enhancement.model if request.enhancement else None,
    }


def settings_without_words(request: GenerationRequest) -> dict[str, Any]:
    """Return what else a record tells of a request. Records outlive jobs, so no prompt is in it."""
    return {
        "seed": request.seed,
        "fps": request.fps,
        "media_type": request.media_type.value,
        "sigmas": list(request.sigmas),
        "timestep_spacing": request.timestep_spacing,
        "has_negative_prompt": bool(request.negative_prompt),
        "max_new_tokens": request.enhancement.max_new_tokens if request.enhancement else None,
    }
