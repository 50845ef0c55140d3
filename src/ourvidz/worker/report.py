"""A job as JSON: the line that the CLI prints, the sidecar, and what is embedded in each file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.core.asset import Asset
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import EnhancementFailed, EnhancementRefused, OurVidzError
from ourvidz.core.job import JobResult, Timing
from ourvidz.core.phase import Phase, Span
from ourvidz.core.request import GenerationRequest
from ourvidz.core.workload import settings_without_words, workload_facts

BATCHED = "in one batch with other jobs"
TOOK_TURNS = "took turns with other jobs"

# The enhancer's verdicts on its answer, see ``Enhancement``.
_USABLE = "usable"
_REFUSED = "refused"
_DIGITS = 6  # microseconds: what a host clock resolves
_SHARED_SHARE = 0.01  # of a job's time: below, others' turns are a look at loading weights


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


def record_body(result: JobResult) -> dict[str, Any]:
    """Return the performance record of a finished job, as a store keeps it.

    It outlives the job, so that no word of a prompt and no name of a file is in it.
    """
    request, timing, measured = result.request, result.timing, result.measured
    body = {
        **_asked(request),
        **_timing(timing),
        "step_times_s": [round(step_s, _DIGITS) for step_s in timing.step_times_s],
        "is_success": True,
        "failure": None,
        "memory": _memory(result),
        "device": dict(measured.device),
        "host": dict(measured.host),
        "device_series": {name: list(values) for name, values in measured.device_series.items()},
        "facts": _delivered(result.outputs),
        "network_calls": _network_calls(timing),
        "image_s": _image_s(request, timing),
        "environment": dict(measured.environment) or {"told": dict(result.environment)},
    }
    flags = (*measured.flags, *_enhancement_flags(result.enhancement), *_company_flags(timing))
    return {**_without_empty(body), "flags": list(flags)}


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: readers take it for absent, and a full store counts bytes."""
    return {name: value for name, value in values.items() if value not in (None, {}, [])}


def failure_body(
    request: GenerationRequest,
    error: Exception,
    *,
    environment: Mapping[str, Any],
    total_s: float,
    device_s: float,
) -> dict[str, Any]:
    """Return the record of a job that failed: why, and how long it took until then."""
    return {
        **_asked(request),
        "is_success": False,
        "failure": error.code if isinstance(error, OurVidzError) else OurVidzError.code,
        "total_s": round(total_s, _DIGITS),
        "device_s": round(device_s, _DIGITS),
        "environment": dict(environment),
    }


def _asked(request: GenerationRequest) -> dict[str, Any]:
    """Return what was asked for; job type and workload stand beside the body."""
    return {
        "request": workload_facts(request),
        "settings": _without_empty(settings_without_words(request)),
    }


def _memory(result: JobResult) -> dict[str, int]:
    """Return bytes by name. A device that was not there has no peak, not one of 0."""
    measured = result.measured
    named = {
        **{
            name: value
            for name, value in result.memory.items()
            if value or not name.startswith("device_peak_")
        },
        "device_used_mean_bytes": measured.device.get("memory_used_mean_bytes"),
        "device_used_max_bytes": measured.device.get("memory_used_max_bytes"),
        "host_mean_bytes": measured.host.get("resident_mean_bytes"),
    }
    return {name: int(value) for name, value in named.items() if value is not None}


def _delivered(outputs: Sequence[Asset]) -> dict[str, Any]:
    """Return what was delivered: the first file's facts, the number and bytes of all."""
    if not outputs:
        return {"files": 0, "bytes": 0}
    first = outputs[0]
    delivered = {
        "files": len(outputs),
        "bytes": sum(asset.bytes for asset in outputs),
        "media_type": first.media_type,
        "width": first.width,
        "height": first.height,
        "num_frames": first.num_frames,
        "fps": first.fps,
        "duration_s": first.duration_s,
    }
    return _without_empty(delivered)


def _network_calls(timing: Timing) -> int | None:
    counts = [span.facts["network_calls"] for span in timing.spans if "network_calls" in span.facts]
    return sum(int(count) for count in counts) if counts else None


def _image_s(request: GenerationRequest, timing: Timing) -> float:
    waited_s = timing.phases_s.get(Phase.QUEUE_WAIT.value, 0.0) + timing.shared_s
    items = request.num_frames * request.num_images
    return round((timing.total_s - waited_s) / max(1, items), _DIGITS)


def _enhancement_flags(enhancement: Enhancement | None) -> list[str]:
    """Return why a job that was made from the person's own prompt is no clean run."""
    if enhancement is None or enhancement.verdict == _USABLE:
        return []
    refused = enhancement.verdict == _REFUSED
    return [EnhancementRefused.code if refused else EnhancementFailed.code]


def _company_flags(timing: Timing) -> list[str]:
    """Return why the times are not those of a job that had the device for itself."""
    flags: list[str] = []
    if timing.batched_with:
        flags.append(BATCHED)
    if timing.shared_s > _SHARED_SHARE * timing.total_s:
        flags.append(TOOK_TURNS)
    return flags


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
    told: dict[str, Any] = {
        "phase": span.phase.value,
        "start_s": round(span.start_s - start_s, _DIGITS),
        "end_s": round(span.end_s - start_s, _DIGITS),
    }
    if span.is_background:
        told["is_background"] = True
    if span.device_s is not None:
        told["device_s"] = round(span.device_s, _DIGITS)
    if span.facts:
        told["facts"] = dict(span.facts)
    return told
