"""Finds the plan by which a `draft` job leaves out evaluations, or says why there is none."""

from __future__ import annotations

from ourvidz.catalog.step_plan import (
    DRAFT_NAME,
    Calibration,
    CalibrationFile,
    SamplerKey,
    key_of,
    read_calibrations,
)
from ourvidz.catalog.techniques import WAN_STEP_CACHE
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, ModelMissing
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.engine.context import JobContext
from ourvidz.engine.embed_files import encoder_identity


def calibration_of(context: JobContext, request: GenerationRequest) -> Calibration | None:
    """Return what a job leaves out, or None for a job that evaluates everything.

    A plan holds at the noise levels and the guidance that it was made for. A request of others is
    refused, never served by a plan that was not measured there. Of another size it is served, with
    ``doubt_of``.

    Raises:
        InvalidRequest: a `draft` job for which there is no plan; the hint says for what there is.
        CheckpointInvalid: the model's plans can't be read, or were made on other weights.
    """
    is_draft = request.fidelity is Fidelity.DRAFT and request.family == "wan"
    if not is_draft or WAN_STEP_CACHE not in context.techniques:
        return None
    folder = context.locate(request.model)
    key = key_of(request)
    try:
        content = read_calibrations(folder / DRAFT_NAME)
    except ModelMissing:
        raise _refusal(request.model, key, ()) from None
    _check_weights(content, request.model, encoder_identity(folder, ("transformer",)))
    found = content.find(key)
    if found is None:
        raise _refusal(request.model, key, tuple(each.key for each in content.calibrations))
    return found


def doubt_of(draft: Calibration, request: GenerationRequest) -> str:
    """Return why a job's quality is not what was measured, or "" where it is.

    A plan serves any size, but larger pictures were measured to be 10 dB further from `exact`.
    """
    if not draft.is_confirmed:
        return draft.verdict
    measured = [draft.measured.get(name) for name in ("width", "height", "num_frames")]
    if measured == [request.width, request.height, request.num_frames]:
        return ""
    here = f"{request.width}x{request.height}, {request.num_frames} frames"
    made = "{}x{}, {} frames".format(*measured)
    return f"quality unconfirmed at {here}: what is left out was measured at {made}"


def _check_weights(content: CalibrationFile, model_id: str, weights: str) -> None:
    if content.model != model_id or content.weights != weights:
        raise CheckpointInvalid(
            f"The {DRAFT_NAME} of {model_id!r} was made on other weights, of {content.model!r}.",
            hint=f"Make it again: `ourvidz bench calibrate {model_id}`.",
        )


def _refusal(model_id: str, key: SamplerKey, known: tuple[SamplerKey, ...]) -> InvalidRequest:
    offered = "; ".join(str(each) for each in known) or "nothing"
    return InvalidRequest(
        f"fidelity 'draft' of {model_id!r} is not calibrated for {key}.",
        param="fidelity",
        hint=f"Calibrated: {offered}. Take these values, or `exact`.",
    )
