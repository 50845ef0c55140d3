"""From what a person typed to a complete, legal request: the edge where requests are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.few_step import Sampling
from ourvidz.catalog.job_types import BASELINE, JobType, Preset
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.offers import Offers, confirm_command, listed_offers
from ourvidz.catalog.parameters import BY_NAME, check_num_frames, check_prompt, suggest
from ourvidz.catalog.scaling import native_size, scaled_frames
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.request import EnhancementPlan, Fidelity, GenerationRequest, MediaType

DEFAULT_JOB_TYPE = "video_fast"

# Room for an answer that is longer than the target model reads, so that it ends by itself and is
# then cut at a sentence; an answer that has no end even there is a runaway.
_ANSWER_TO_LIMIT = 2


def resolve(
    *,
    catalogue: Catalogue,
    settings: Settings,
    prompt: str,
    seed: int,
    job_type: str = DEFAULT_JOB_TYPE,
    preset: str = BASELINE,
    values: Mapping[str, Any] | None = None,
    offers: Offers = listed_offers,
    unconfirmed: bool = False,
) -> GenerationRequest:
    """Return the complete request for ``prompt``.

    Args:
        seed: used when ``values`` names none; the caller draws it.
        values: parameters that the person set, by name; ``None`` values count as unset.
        offers: which fidelities a model may be asked for; the catalogue's alone by default.
        unconfirmed: allow every fidelity: for benchmarks, which find out whether one may be
            offered. Without one in ``values`` it is ``exact``.

    Raises:
        UnknownName: job type, preset, parameter or choice that does not exist.
        InvalidRequest: any value that is not legal, or that this job type does not read.
    """
    job = catalogue.job_type(job_type)
    chosen = catalogue.preset(job_type, preset)
    model = catalogue.model_for(settings.profile, job.role)
    enhancer = catalogue.model_for(settings.profile, Role.ENHANCER) if job.is_enhanced else None
    given = {name: value for name, value in (values or {}).items() if value is not None}
    _check_given(given, job, model)
    # An endpoint's answers are its own: no fidelity of ours.
    is_ours = settings.enhancer_url is None
    models = (model, enhancer) if enhancer is not None and is_ours else (model,)
    default = Fidelity.EXACT if unconfirmed else _default_fidelity(models, settings, offers)
    sampling = model.sampling
    merged = {
        **_defaults(job, chosen, model, settings, seed),
        "fidelity": default.value,
        **chosen.overrides,
        **_sampled(sampling),
        **given,
    }
    checked = {name: BY_NAME[name].check(value) for name, value in merged.items()}
    if sampling is not None and "scheduler" not in given:
        checked["scheduler"] = sampling.scheduler  # lcm is no choice of a request
    is_video = job.media_type is MediaType.VIDEO
    num_frames = _num_frames(job, chosen, model, given)
    fidelity = Fidelity(str(checked["fidelity"]))
    if not unconfirmed:
        _check_fidelity(models, fidelity, offers)
    negative_prompt = str(checked["negative_prompt"])
    return GenerationRequest(
        job_type=job.name,
        preset=chosen.name,
        profile=settings.profile,
        model=model.id,
        family=model.family,
        media_type=job.media_type,
        prompt=check_prompt(prompt),
        negative_prompt=check_prompt(negative_prompt, name="negative_prompt")
        if negative_prompt.strip()
        else "",
        seed=int(checked["seed"]),
        width=int(checked["width"]),
        height=int(checked["height"]),
        num_frames=num_frames,
        fps=int(checked.get("fps", model.fps)) if is_video else model.fps,
        num_images=int(checked.get("num_images", 1)),
        num_inference_steps=int(checked["num_inference_steps"]),
        guidance_scale=float(checked["guidance_scale"]),
        scheduler=str(checked["scheduler"]),
        flow_shift=float(checked["flow_shift"]) if "flow_shift" in checked else None,
        fidelity=fidelity,
        enhancement=None if enhancer is None else _enhancement(enhancer, settings, model),
        sigmas=sampling.sigmas if sampling is not None else (),
        timestep_spacing=sampling.timestep_spacing if sampling is not None else None,
    )


def _sampled(sampling: Sampling | None) -> dict[str, Any]:
    """Return what few-step weights need in place of a job type's and preset's values."""
    if sampling is None:
        return {}
    values: dict[str, Any] = {
        "num_inference_steps": sampling.num_inference_steps,
        "guidance_scale": sampling.guidance_scale,
    }
    if sampling.flow_shift is not None:
        values["flow_shift"] = sampling.flow_shift
    return values


def _defaults(
    job: JobType, preset: Preset, model: Model, settings: Settings, seed: int
) -> dict[str, Any]:
    width, height = native_size(
        model, job.width_share * preset.width_share, job.height_share * preset.height_share
    )
    negative = settings.negative_prompts.get(job.name, job.negative_prompt)
    values: dict[str, Any] = {
        "negative_prompt": model.default_negative_prompt if negative is None else negative,
        "seed": seed,
        "width": width,
        "height": height,
        "num_inference_steps": job.num_inference_steps,
        "guidance_scale": job.guidance_scale,
        "scheduler": job.scheduler,
    }
    if job.flow_shift is not None:
        values["flow_shift"] = job.flow_shift
    if model.family == "sdxl":
        values["num_images"] = job.num_images
    return values


def _check_given(given: Mapping[str, Any], job: JobType, model: Model) -> None:
    _check_sampled(given, model)
    for name in given:
        if name not in BY_NAME:
            raise UnknownName(
                f"{name!r} is not a parameter.", param=name, hint=suggest(name, tuple(BY_NAME))
            )
        families = BY_NAME[name].applies_to
        video_only = name in {"num_frames", "fps"} and job.media_type is not MediaType.VIDEO
        if video_only or (families and model.family not in families):
            raise InvalidRequest(
                f"{name} does not apply to job type {job.name!r}.",
                param=name,
                hint="Leave it out, or choose another job type.",
            )


def _check_sampled(given: Mapping[str, Any], model: Model) -> None:
    """Refuse values that few-step weights of fixed noise levels can't follow."""
    sampling = model.sampling
    if sampling is None or not sampling.sigmas:
        return
    for name in ("num_inference_steps", "scheduler", "flow_shift"):
        wanted = getattr(sampling, name)
        if name in given and given[name] != wanted:
            raise InvalidRequest(
                f"{name} of {model.id!r} is fixed: {wanted}.",
                param=name,
                hint="Leave it out, or choose another model.",
            )


def _num_frames(job: JobType, preset: Preset, model: Model, given: Mapping[str, Any]) -> int:
    if job.media_type is not MediaType.VIDEO:
        return 1
    if "num_frames" in given:
        return check_num_frames(int(BY_NAME["num_frames"].check(given["num_frames"])))
    if "num_frames" in preset.overrides:
        return check_num_frames(int(preset.overrides["num_frames"]))
    return scaled_frames(model.num_frames, job.frames_share * preset.frames_share)


def _default_fidelity(models: Sequence[Model], settings: Settings, offers: Offers) -> Fidelity:
    """Return what a job promises that was asked for nothing: the operator's default of its model.

    One that is not offered (any more) gives way to ``exact``, which keeps the looser promise too.
    """
    default = settings.default_fidelity.get(models[0].id, Fidelity.EXACT)
    if default is Fidelity.EXACT:
        return default
    is_offered = all(offers(model)[default].is_offered for model in models)
    return default if is_offered else Fidelity.EXACT


def _check_fidelity(models: Sequence[Model], fidelity: Fidelity, offers: Offers) -> None:
    for model in models if fidelity is not Fidelity.EXACT else ():
        offer = offers(model)[fidelity]
        if not offer.is_offered:
            raise InvalidRequest(
                f"fidelity {fidelity.value!r} is not offered for {model.id!r}: {offer.reason}.",
                param="fidelity",
                hint=f"Ask for exact, or let it be confirmed where jobs run: "
                f"`{confirm_command(model.id, fidelity)}`.",
            )


def _enhancement(enhancer: Model, settings: Settings, target: Model) -> EnhancementPlan:
    return EnhancementPlan(
        model=enhancer.id,
        template=target.enhancement_template,
        max_new_tokens=min(enhancer.max_new_tokens, _ANSWER_TO_LIMIT * target.prompt_token_limit),
        on_failure=settings.enhancement.on_failure,
        languages=target.languages,
    )
