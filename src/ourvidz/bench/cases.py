"""The cases that are measured against the library and against the floor, as data.

A case is what is run, what is told of it, and what it has to reach. Free of torch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ourvidz.bench import floors
from ourvidz.bench.floors import Work
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.parameters import BY_NAME, suggest
from ourvidz.catalog.resolve import resolve
from ourvidz.checkpoints.configs import Family, family_spec
from ourvidz.core.errors import UnknownName
from ourvidz.core.request import Fidelity, GenerationRequest, MediaType
from ourvidz.models.wan.config import WanGeometry

OURS, LIBRARY, LIBRARY_BEST = "ourvidz", "diffusers", "diffusers-best"

SEED = 42
PROMPTS = {
    "pocket": "a red circle moving left on a black background",
    "full": "a red sailing boat crosses a bay at sunset, seen from a cliff, waves in the wind",
}

_NEW_TOKENS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What a figure of ours has to reach, at full size on one data centre GPU."""

    fidelity: Fidelity
    metric: str
    value: float
    is_least: bool = False  # at least; else at most

    def is_met(self, value: float) -> bool:
        """Whether ``value`` reaches it."""
        return value >= self.value if self.is_least else value <= self.value

    @property
    def text(self) -> str:
        """As people read it."""
        return f"{'>=' if self.is_least else '<='} {self.value:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One row of the comparison."""

    name: str
    text: str  # what is run and what the seconds include
    job_type: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])  # in place of the job type's
    fidelities: tuple[Fidelity, ...] = (Fidelity.EXACT,)
    has_peers: bool = False
    roles: tuple[Role, ...] = (Role.VIDEO,)  # whose models it needs
    bars: tuple[Bar, ...] = ()


_BOTH = (Fidelity.EXACT, Fidelity.HIGH)


def _most(metric: str, exact: float | None = None, high: float | None = None) -> tuple[Bar, ...]:
    pairs = ((Fidelity.EXACT, exact), (Fidelity.HIGH, high))
    return tuple(
        Bar(fidelity=fidelity, metric=metric, value=value)
        for fidelity, value in pairs
        if value is not None
    )


def _least(metric: str, exact: float, high: float | None = None) -> tuple[Bar, ...]:
    return tuple(dataclasses.replace(bar, is_least=True) for bar in _most(metric, exact, high))


CASES: tuple[Case, ...] = (
    Case(
        name="video_fast",
        text="Models resident: a new prompt in, MP4 on disk. Text encoding (ours keeps that of the "
        "negative prompt), denoising, decoding and file writing included; ours also writes a "
        "thumbnail and reads the file back.",
        job_type="video_fast",
        fidelities=_BOTH,
        has_peers=True,
        bars=(
            *_most("ratio_to_diffusers", 0.72, 0.50),
            *_most("ratio_to_diffusers_best", 0.85, 0.60),
        ),
    ),
    Case(
        name="wan_forward",
        text="One pass of the video transformer. Ours: half a guided step of a job, solver and "
        "guidance included; the library's: the call alone. Median of a job's passes.",
        job_type="video_fast",
        values={"num_inference_steps": 6},
        fidelities=_BOTH,
        has_peers=True,
        bars=_most("ratio_to_floor", 1.15, 1.15),
    ),
    Case(
        name="vae_decode",
        text="Latents to frames. Ours: a job's decode phase, 8-bit RGB on the host included; the "
        "library's: the call of its decoder alone.",
        job_type="video_fast",
        values={"num_inference_steps": 1, "guidance_scale": 1.0},
        has_peers=True,
        bars=_most("seconds", 0.9),
    ),
    Case(
        name="distilled_4_step",
        text="As video_fast with 4 steps and no guidance, as a distilled model runs; on the same "
        "weights, so the speed alone says something.",
        job_type="video_fast",
        values={"num_inference_steps": 4, "guidance_scale": 1.0},
        fidelities=_BOTH,
        has_peers=True,
        bars=_most("seconds", None, 2.2),
    ),
    Case(
        name="next_job",
        text="Models resident, a new prompt: from before the job is stored until its first step "
        "begins, through the job store.",
        job_type="video_fast",
        values={"num_inference_steps": 2},
        bars=_most("seconds", 0.150),
    ),
    Case(
        name="sdxl_image_fast",
        text="Models resident: a new prompt in, six PNG files on disk, everything included; ours "
        "keeps the negative prompt's encoding, writes thumbnails and reads the files back.",
        job_type="sdxl_image_fast",
        fidelities=_BOTH,
        has_peers=True,
        roles=(Role.IMAGE,),
        bars=(*_most("ratio_to_diffusers", 0.80, 0.65), *_most("seconds", None, 2.1)),
    ),
    Case(
        name="qwen_256",
        text="256 tokens of the enhancer at batch 1, the reading of the prompt included, greedy. "
        "The library's: transformers' generate with as many tokens.",
        job_type="video7b_fast_enhanced",
        fidelities=_BOTH,
        has_peers=True,
        roles=(Role.ENHANCER, Role.VIDEO),  # the video model's tokenizer alone
        bars=_least("tokens_per_s", 180, 350),
    ),
    Case(
        name="load",
        text="All files of the video model from disk to the device, page cache emptied before, "
        "over the disk's own rate measured on the same files in turns.",
        job_type="video_fast",
        bars=_least("share_of_bandwidth", 0.80),
    ),
    Case(
        name="first_job",
        text="`ourvidz generate` in a new process, weights in the page cache, compile cache warm: "
        "from process start until the first step begins.",
        job_type="video_fast",
        values={"num_inference_steps": 2},
        bars=_most("seconds", 12.0),
    ),
    Case(
        name="peak_memory",
        text="Video, images and an enhanced video one after another, twice, on one worker: the "
        "most that was reserved on the device, the second round without reading any disk.",
        job_type="video_fast",
        values={"num_inference_steps": 2},
        roles=(Role.VIDEO, Role.IMAGE, Role.ENHANCER),
        bars=_most("gib", 44.0),
    ),
)

BY_CASE: dict[str, Case] = {case.name: case for case in CASES}


def find_case(name: str) -> Case:
    """Return a case.

    Raises:
        UnknownName: there is none of this name.
    """
    if name not in BY_CASE:
        raise UnknownName(
            f"the case {name!r} is unknown.", param="case", hint=suggest(name, tuple(BY_CASE))
        )
    return BY_CASE[name]


def bar_of(case: str, fidelity: str, metric: str) -> Bar | None:
    """Return what one of our figures has to reach, if anything."""
    bars = BY_CASE[case].bars if case in BY_CASE else ()
    found = (bar for bar in bars if bar.fidelity == fidelity and bar.metric == metric)
    return next(found, None)


def request_of(
    case: Case,
    *,
    catalogue: Catalogue,
    settings: Settings,
    fidelity: Fidelity = Fidelity.EXACT,
    values: Mapping[str, Any] | None = None,
    job_type: str | None = None,
    prompt: str | None = None,
) -> GenerationRequest:
    """Return the request that a case runs.

    Any fidelity, offered or not: a benchmark is what decides whether one will be.

    Args:
        fidelity: what our side may use.
        values: parameters in place of the case's own, for a quick look; those that the job type
            does not read are left out.
        job_type: in place of the case's.
        prompt: in place of the profile's.
    """
    job = catalogue.job_type(job_type or case.job_type)
    model = catalogue.model_for(settings.profile, job.role)
    merged = {**case.values, **(values or {})}
    legal = {
        name: value
        for name, value in merged.items()
        if not BY_NAME[name].applies_to or model.family in BY_NAME[name].applies_to
        if job.media_type is MediaType.VIDEO or name not in {"num_frames", "fps"}
    }
    request = resolve(
        catalogue=catalogue,
        settings=settings,
        prompt=prompt or PROMPTS[settings.profile],
        seed=SEED,
        job_type=job.name,
        values={**legal, "fidelity": fidelity.value},
        unconfirmed=True,
    )
    plan = request.enhancement
    if plan is not None:
        plan = dataclasses.replace(plan, max_new_tokens=_NEW_TOKENS, on_failure="fallback")
    return dataclasses.replace(request, enhancement=plan)


# ------------------------------------------------------------------------------------- the floors

Configs = Mapping[str, Mapping[str, Any]]  # by component, "" for a model at its folder's root


def configs_of(model: Model, folder: Path | None = None) -> Configs:
    """Return a model's configurations: of its folder, or as published where it is not here."""
    spec = family_spec(cast("Family", model.family), "full")
    if folder is None:
        return {item.name: item.config for item in spec.components}
    return {
        item.name: json.loads((folder / item.name / "config.json").read_text(encoding="utf-8"))
        for item in spec.components
    }


def work_of(
    case: Case, request: GenerationRequest, configs: Configs, *, text_tokens: int = 512
) -> Work | None:
    """Return the arithmetic and bytes of one run of a case; ``None`` where a floor says nothing.

    Args:
        request: what is run; its size and steps count.
        configs: of the request's model; for ``qwen_256``, of the enhancer.
        text_tokens: that the video model's text is padded to.
    """
    match case.name:
        case "video_fast" | "distilled_4_step":
            passes = (2 if request.uses_guidance else 1) * request.num_inference_steps
            forward = _wan_forward(request, configs, text_tokens)
            return forward.times(passes) + _wan_decode(request, configs)
        case "wan_forward":
            return _wan_forward(request, configs, text_tokens)
        case "vae_decode":
            return _wan_decode(request, configs)
        case "sdxl_image_fast":
            return _sdxl(request, configs)
        case "qwen_256":
            plan = request.enhancement
            tokens = plan.max_new_tokens if plan else _NEW_TOKENS
            return floors.qwen_generate(configs[""], prompt_tokens=0, new_tokens=tokens)
        case _:
            return None


def _wan_forward(request: GenerationRequest, configs: Configs, text_tokens: int) -> Work:
    transformer = configs["transformer"]
    return floors.wan_forward(
        transformer,
        WanGeometry.from_configs(transformer=transformer, vae=configs["vae"]),
        num_frames=request.num_frames,
        height=request.height,
        width=request.width,
        text_tokens=text_tokens,
        has_text=False,  # once a job is enough
    )


def _wan_decode(request: GenerationRequest, configs: Configs) -> Work:
    geometry = WanGeometry.from_configs(transformer=configs["transformer"], vae=configs["vae"])
    _, frames, height, width = geometry.latent_shape(
        num_frames=request.num_frames, height=request.height, width=request.width
    )
    return floors.wan_vae_decode(
        configs["vae"], num_latent_frames=frames, latent_height=height, latent_width=width
    )


def _sdxl(request: GenerationRequest, configs: Configs) -> Work:
    scale = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    size = {"latent_height": request.height // scale, "latent_width": request.width // scale}
    items = request.num_images
    unet = floors.sdxl_unet(
        configs["unet"], batch=items * (2 if request.uses_guidance else 1), **size
    )
    decode = floors.sdxl_vae_decode(configs["vae"], batch=items, **size)
    return unet.times(request.num_inference_steps) + decode
