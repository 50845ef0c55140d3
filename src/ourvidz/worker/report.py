"""A job as JSON: the line that the CLI prints, the sidecar, and what is embedded in each file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ourvidz.core.enhancement import Enhancement
from ourvidz.core.job import JobResult, Timing
from ourvidz.core.phase import Span
from ourvidz.core.request import GenerationRequest

_DIGITS = 6  # microseconds: what a host clock resolves


def settings_of(
    request: GenerationRequest, enhancement: Enhancement | None, environment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what made a file, enough to make it again."""
    return {
        "prompt": request.prompt,
        "enhanced_prompt": enhancement.enhanced_prompt if enhancement else None,
        "negative_prompt": request.negative_prompt,
        "job_type": request.job_type,
        "preset": request.preset,
        "profile": request.profile,
        "model": request.model,
        "seed": request.seed,
        "width": request.width,
        "height": request.height,
        "num_frames": request.num_frames,
        "fps": request.fps,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "scheduler": request.scheduler,
        "flow_shift": request.flow_shift,
        "fidelity": request.fidelity.value,
        "ourvidz_version": environment.get("ourvidz"),
    }


def summary_of(result: JobResult) -> dict[str, Any]:
    """Return the one-line form: documented for programs, stable."""
    enhancement = result.enhancement
    return {
        "job_id": result.job_id,
        "job_type": result.request.job_type,
        "preset": result.request.preset,
        "state": result.state.value,
        "prompt": result.request.prompt,
        "enhanced_prompt": enhancement.enhanced_prompt if enhancement else None,
        "seed": result.request.seed,
        "model": result.request.model,
        "fidelity": result.request.fidelity.value,
        "outputs": [asset.to_dict() for asset in result.outputs],
        "timing": _timing(result.timing),
        "memory": dict(result.memory),
        "adjustments": [{"code": note.code, "text": note.text} for note in result.adjustments],
        "environment": dict(result.environment),
    }


def result_to_dict(result: JobResult) -> dict[str, Any]:
    """Return everything, as the sidecar holds it: the summary, all settings, steps and spans."""
    start_s = min((span.start_s for span in result.timing.spans), default=0.0)
    return {
        **summary_of(result),
        "settings": settings_of(result.request, result.enhancement, result.environment),
        "enhancement": result.enhancement.to_dict() if result.enhancement else None,
        "step_times_s": [round(step_s, _DIGITS) for step_s in result.timing.step_times_s],
        "spans": [_span(span, start_s) for span in result.timing.spans],
    }


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "total_s": round(timing.total_s, _DIGITS),
        "phases_s": {phase: round(s, _DIGITS) for phase, s in timing.phases_s.items()},
        "unattributed_s": round(timing.unattributed_s, _DIGITS),
        "shared_s": round(timing.shared_s, _DIGITS),
        "device_s": round(timing.device_s, _DIGITS),
        "batched_with": timing.batched_with,
        "step_s": None if timing.step_s is None else round(timing.step_s, _DIGITS),
        "state": timing.state.value,
        "compile_state": timing.compile_state.value,
    }


def _span(span: Span, start_s: float) -> dict[str, Any]:
    return {
        "phase": span.phase.value,
        "start_s": round(span.start_s - start_s, _DIGITS),
        "end_s": round(span.end_s - start_s, _DIGITS),
        "is_background": span.is_background,
        "device_s": None if span.device_s is None else round(span.device_s, _DIGITS),
        "facts": dict(span.facts),
    }
