"""Few-step (distilled) weights: the settings of known families as data, and those of one's own.

Distilled weights are another model, not a fidelity: they were trained for a few given noise levels
and without guidance, and other settings than theirs give noise or blur.

What is here was read in the places named in ``sources``, not tried: none of these files was
loaded by this project. ``unverified`` says what the sources leave open or disagree on, and
``obstacles`` what keeps this version from running an entry. Licences are the operator's to check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import ConfigInvalid

NO_GUIDANCE = 1.0  # the prompt alone, one pass a step

# ``lcm`` goes to the predicted data at every step and adds fresh noise of the next level: only for
# weights that were trained for it.
SCHEDULERS = ("unipc", "euler", "dpm++", "lcm")


class WeightsKind(StrEnum):
    """How few-step weights come."""

    LORA = "lora"  # a change of the base's denoiser: the base's files are needed too
    FULL = "full"  # a whole denoiser


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a model has to be sampled, in place of a job type's values."""

    num_inference_steps: int
    scheduler: str
    guidance_scale: float = NO_GUIDANCE
    flow_shift: float | None = None  # Wan
    # Noise levels of each step, descending from at most 1, the final zero left out; the network's
    # timesteps are 1000 times these. Empty: the scheduler's own grid, and steps may be chosen.
    sigmas: tuple[float, ...] = ()
    timestep_spacing: str | None = None  # SDXL, in place of the scheduler config's

    def check(self, place: str) -> None:
        """Refuse values that no scheduler can run.

        Raises:
            ConfigInvalid: naming ``place``.
        """
        if self.scheduler not in SCHEDULERS:
            raise ConfigInvalid(
                f"{place}: scheduler {self.scheduler!r} is unknown.",
                hint=f"Known: {', '.join(SCHEDULERS)}.",
            )
        if self.num_inference_steps < 1:
            raise ConfigInvalid(f"{place}: num_inference_steps must be 1 or more.")
        if not self.sigmas:
            return
        if len(self.sigmas) != self.num_inference_steps:
            raise ConfigInvalid(
                f"{place}: {len(self.sigmas)} sigmas for {self.num_inference_steps} steps.",
                hint="Give one a step, or leave num_inference_steps out.",
            )
        falling = list(self.sigmas) == sorted(set(self.sigmas), reverse=True)
        if not falling or not 0 < self.sigmas[-1] <= self.sigmas[0] <= 1:
            raise ConfigInvalid(
                f"{place}: sigmas {list(self.sigmas)} do not fall from at most 1 to above 0."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraFile:
    """Where a LoRA is and how strongly it is fused."""

    file: str  # a path, or the name in ``hub_repo``
    hub_repo: str | None = None
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FewStepFamily:
    """Published few-step weights."""

    id: str
    title: str
    family: str  # wan or sdxl
    base: str  # catalogue id of the model that they change or replace
    kind: WeightsKind
    hub_repo: str
    file: str  # "": the repository is a whole model in the diffusers layout
    sampling: Sampling
    license: str
    sources: tuple[str, ...]
    strength: float = 1.0  # of a LoRA
    unverified: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()  # empty: nothing known stands in the way

    @property
    def lora(self) -> LoraFile | None:
        """The LoRA, if it is one."""
        if self.kind is not WeightsKind.LORA:
            return None
        return LoraFile(file=self.file, hub_repo=self.hub_repo, strength=self.strength)


def warped_sigmas(denoising_steps: Sequence[float], flow_shift: float) -> tuple[float, ...]:
    """Return noise levels of steps that are counted before the flow shift, in thousandths.

    ``s * u / (1 + (s - 1) * u)`` with ``u = step / 1000``: "warped" denoising steps, as in
    LightX2V (``schedulers/wan/step_distill/scheduler.py``, ``set_denoising_timesteps``).
    """
    unit = [step / 1000 for step in denoising_steps]
    return tuple(flow_shift * u / (1 + (flow_shift - 1) * u) for u in unit)


def trig_sigmas(sigma_max: float, mid_t: Sequence[float]) -> tuple[float, ...]:
    """Return flow noise levels of rCM's angles: ``sin t / (sin t + cos t)``, the first ``atan``.

    From TrigFlow's angle to the rectified flow that the network was pretrained in
    (thu-ml/TurboDiffusion, ``turbodiffusion/inference/wan2.1_t2v_infer.py``).
    """
    angles = (math.atan(sigma_max), *mid_t)
    return tuple(math.sin(t) / (math.sin(t) + math.cos(t)) for t in angles)


# Distribution matching distillation of Wan: CausVid's list, which FastWan took over, counts the
# steps after the shift of 8 that it was trained with (0.28 and 0.12 before it).
_CAUSVID_SIGMAS = (1.0, 0.757, 0.522)
_SELF_FORCING_STEPS = (1000, 750, 500, 250)  # before the shift
_WAN_1_3B = "wan2.1-t2v-1.3b"
_SDXL = "sdxl-base-1.0"

FEW_STEP_FAMILIES: tuple[FewStepFamily, ...] = (
    FewStepFamily(
        id="causvid-wan2.1-1.3b",
        title="CausVid (bidirectional) for Wan 2.1 1.3B, LoRA of rank 32, 3 steps",
        family="wan",
        base=_WAN_1_3B,
        kind=WeightsKind.LORA,
        hub_repo="Kijai/WanVideo_comfy",
        file="Wan21_CausVid_bidirect2_T2V_1_3B_lora_rank32.safetensors",
        sampling=Sampling(
            num_inference_steps=3, scheduler="lcm", flow_shift=8.0, sigmas=_CAUSVID_SIGMAS
        ),
        license="CC-BY-NC-SA-4.0 (not for commercial use)",
        sources=(
            "https://huggingface.co/tianweiy/CausVid (model card: 3 steps, licence)",
            "github.com/GoatWu/CausVid-Plus: configs/wan_bidirectional_dmd_from_scratch.yaml"
            " (denoising_step_list 1000, 757, 522; timestep_shift 8)",
            "https://github.com/huggingface/diffusers/issues/11709 (its keys: diff, diff_b)",
        ),
        unverified=(
            "the card's text says CC-BY-NC-SA 4.0, its tag cc-by-nc-4.0",
            "users take strengths of 0.3 to 1 and 4 to 12 steps with this extracted LoRA; 3 steps"
            " at strength 1 are what the full checkpoint was trained for",
            "the file is also named under LoRAs/CausVid/ of the same repository",
        ),
    ),
    FewStepFamily(
        id="self-forcing-wan2.1-1.3b",
        title="Self-Forcing (DMD) for Wan 2.1 1.3B, LoRA of rank 32, 4 steps",
        family="wan",
        base=_WAN_1_3B,
        kind=WeightsKind.LORA,
        hub_repo="Kijai/WanVideo_comfy",
        file="LoRAs/Wan2_1_self_forcing_1_3B/"
        "Wan2_1_self_forcing_dmd_1_3B_lora_rank_32_fp16.safetensors",
        sampling=Sampling(
            num_inference_steps=4,
            scheduler="lcm",
            flow_shift=5.0,
            sigmas=warped_sigmas(_SELF_FORCING_STEPS, 5.0),
        ),
        license="CC-BY-NC-SA-4.0 or Apache-2.0: sources disagree",
        sources=(
            "https://huggingface.co/gdhe17/Self-Forcing (README: license cc-by-nc-sa-4.0)",
            "github.com/hao-ai-lab/FastVideo: fastvideo/configs/pipelines/wan.py,"
            " SelfForcingWanT2V480PConfig (1000, 750, 500, 250; shift 5; warped)",
            "github.com/ModelTC/LightX2V: configs/self_forcing/wan_t2v_sf.json (shift 5, no cfg)",
        ),
        unverified=(
            "the licence: see above",
            "the weights were trained for causal attention in chunks of three latent frames; as a"
            " LoRA they run with full attention, which users do (4 steps, shift 5 or 8) but the"
            " authors did not measure",
        ),
    ),
    FewStepFamily(
        id="lightx2v-wan2.1-14b",
        title="LightX2V step and guidance distillation of Wan 2.1 14B, LoRA of rank 64, 4 steps",
        family="wan",
        base="wan2.1-t2v-14b",
        kind=WeightsKind.LORA,
        hub_repo="lightx2v/Wan2.1-Distill-Loras",
        file="wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors",
        sampling=Sampling(
            num_inference_steps=4,
            scheduler="lcm",
            flow_shift=5.0,
            sigmas=warped_sigmas(_SELF_FORCING_STEPS, 5.0),
        ),
        license="Apache-2.0",
        sources=(
            "github.com/ModelTC/LightX2V: configs/distill/wan21/wan_t2v_distill_lora_4step_cfg.json"
            " (steps, shift 5, strength 1, no cfg), lightx2v/models/schedulers/wan/step_distill",
            "https://huggingface.co/lightx2v/Wan2.1-Distill-Loras (files)",
        ),
        unverified=(
            "a 1.3B of theirs (lightx2v/Wan2.1-T2V-1.3B-Distill-Models) has no model card: its"
            " files, settings and licence are not known here",
        ),
        obstacles=("Wan 2.1 14B is not in the catalogue",),
    ),
    FewStepFamily(
        id="fastwan2.1-1.3b",
        title="FastWan 2.1 1.3B, 3 steps",
        family="wan",
        base=_WAN_1_3B,
        kind=WeightsKind.FULL,
        hub_repo="FastVideo/FastWan2.1-T2V-1.3B-Diffusers",
        file="",
        sampling=Sampling(
            num_inference_steps=3, scheduler="lcm", flow_shift=8.0, sigmas=_CAUSVID_SIGMAS
        ),
        license="Apache-2.0",
        sources=(
            "https://huggingface.co/FastVideo/FastWan2.1-T2V-1.3B-Diffusers (3 steps, 61x448x832)",
            "github.com/hao-ai-lab/FastVideo: fastvideo/configs/pipelines/wan.py,"
            " FastWan2_1_T2V_480P_Config (1000, 757, 522; shift 8; counted after the shift)",
            "https://hao-ai-lab.github.io/blogs/fastvideo_post_training (licence)",
        ),
        unverified=("quality with dense attention: it was trained with 80 % sparse attention",),
        obstacles=("its blocks hold to_gate_compress tensors, which the loader refuses by name",),
    ),
    FewStepFamily(
        id="rcm-wan2.1-1.3b",
        title="rCM for Wan 2.1 1.3B, reproduced by Tsinghua University, 4 steps",
        family="wan",
        base=_WAN_1_3B,
        kind=WeightsKind.FULL,
        hub_repo="worstcoder/rcm-Wan",
        file="rCM_Wan2.1_T2V_1.3B_480p.pt",
        sampling=Sampling(
            num_inference_steps=4, scheduler="lcm", sigmas=trig_sigmas(80.0, (1.3, 1.0, 0.6))
        ),
        license="Apache-2.0",
        sources=(
            "https://huggingface.co/worstcoder/rcm-Wan (README: licence, file)",
            "github.com/NVlabs/rcm: rcm/inference/wan2pt1_t2v_rcm_infer.py"
            " (sigma_max 80, mid_t 1.3, 1.0, 0.6; fresh noise each step)",
        ),
        unverified=("TurboDiffusion's copy of the sampler has mid_t 1.5, 1.4, 1.0",),
        obstacles=(
            "a pickle in the layout of Cosmos: names begin with net., the patch embedding is a"
            " linear layer (1536, 64); `models convert` does not know it",
        ),
    ),
    FewStepFamily(
        id="turbowan2.1-1.3b",
        title="TurboDiffusion's TurboWan 2.1 1.3B 480p, 4 steps",
        family="wan",
        base=_WAN_1_3B,
        kind=WeightsKind.FULL,
        hub_repo="TurboDiffusion/TurboWan2.1-T2V-1.3B-480P",
        file="TurboWan2.1-T2V-1.3B-480P.pth",
        sampling=Sampling(
            num_inference_steps=4, scheduler="lcm", sigmas=trig_sigmas(80.0, (1.5, 1.4, 1.0))
        ),
        license="unknown",
        sources=(
            "github.com/thu-ml/TurboDiffusion: README.md (file, 1 to 4 steps, sigma_max 80)",
            "github.com/thu-ml/TurboDiffusion: turbodiffusion/inference/wan2.1_t2v_infer.py"
            " (mid_t 1.5, 1.4, 1.0; latents start at sigma times noise)",
        ),
        unverified=("the licence of the weights",),
        obstacles=(
            "trained for sparse-linear attention (SLA), which is not here",
            "a pickle in the layout of Cosmos, as rCM's",
        ),
    ),
    FewStepFamily(
        id="sdxl-lightning-4step",
        title="SDXL-Lightning, LoRA, 4 steps",
        family="sdxl",
        base=_SDXL,
        kind=WeightsKind.LORA,
        hub_repo="ByteDance/SDXL-Lightning",
        file="sdxl_lightning_4step_lora.safetensors",
        sampling=Sampling(num_inference_steps=4, scheduler="euler", timestep_spacing="trailing"),
        license="openrail++",
        sources=(
            "https://huggingface.co/ByteDance/SDXL-Lightning (model card: Euler, trailing,"
            " guidance 0, a file for each number of steps)",
            "https://huggingface.co/aaaaaeeeee/blip-lora-sdxl-lightning4 (kohya's keys, rank 64,"
            " alpha 8, 788 layers, UNet only)",
        ),
    ),
    FewStepFamily(
        id="sdxl-lightning-8step",
        title="SDXL-Lightning, LoRA, 8 steps",
        family="sdxl",
        base=_SDXL,
        kind=WeightsKind.LORA,
        hub_repo="ByteDance/SDXL-Lightning",
        file="sdxl_lightning_8step_lora.safetensors",
        sampling=Sampling(num_inference_steps=8, scheduler="euler", timestep_spacing="trailing"),
        license="openrail++",
        sources=("https://huggingface.co/ByteDance/SDXL-Lightning (model card)",),
    ),
    FewStepFamily(
        id="lcm-lora-sdxl",
        title="LCM-LoRA for SDXL, 4 steps (2 to 8)",
        family="sdxl",
        base=_SDXL,
        kind=WeightsKind.LORA,
        hub_repo="latent-consistency/lcm-lora-sdxl",
        file="pytorch_lora_weights.safetensors",
        sampling=Sampling(num_inference_steps=4, scheduler="lcm"),
        license="openrail++",
        sources=(
            "https://huggingface.co/latent-consistency/lcm-lora-sdxl (model card: LCMScheduler,"
            " 2 to 8 steps, guidance off or 1 to 2)",
        ),
        unverified=("the style of its keys (kohya's, by diffusers' loader)",),
        obstacles=("SDXL has no `lcm` here: its noise of each step would not follow the seed",),
    ),
    FewStepFamily(
        id="hyper-sdxl-4step",
        title="Hyper-SD for SDXL, LoRA, 4 steps",
        family="sdxl",
        base=_SDXL,
        kind=WeightsKind.LORA,
        hub_repo="ByteDance/Hyper-SD",
        file="Hyper-SDXL-4steps-lora.safetensors",
        # The authors take DDIM without noise, which is Euler in another parameter.
        sampling=Sampling(num_inference_steps=4, scheduler="euler", timestep_spacing="trailing"),
        license="its own LICENSE.md",
        sources=("https://huggingface.co/ByteDance/Hyper-SD (files)",),
        unverified=(
            "steps, guidance and spacing were not read in its model card",
            "the licence's text",
        ),
    ),
    FewStepFamily(
        id="sdxl-turbo",
        title="SDXL Turbo, 512x512, 1 step (to 4)",
        family="sdxl",
        base=_SDXL,
        kind=WeightsKind.FULL,
        hub_repo="stabilityai/sdxl-turbo",
        file="",
        sampling=Sampling(num_inference_steps=1, scheduler="euler", timestep_spacing="trailing"),
        license="sai-nc-community (see Stability AI for commercial use)",
        sources=(
            "https://huggingface.co/stabilityai/sdxl-turbo (model card: 1 to 4 steps, licence)",
        ),
        unverified=(
            "beyond one step its pipeline adds noise (Euler ancestral), Euler here does not",
        ),
    ),
)

BY_ID: dict[str, FewStepFamily] = {family.id: family for family in FEW_STEP_FAMILIES}


def few_step_family(family_id: str, *, place: str) -> FewStepFamily:
    """Return a known family.

    Raises:
        ConfigInvalid: no such family, or one that this version can't run; names ``place``.
    """
    if family_id not in BY_ID:
        raise ConfigInvalid(
            f"{place}: no few-step weights are called {family_id!r}.",
            hint=suggest(family_id, tuple(BY_ID)),
        )
    family = BY_ID[family_id]
    if family.obstacles:
        raise ConfigInvalid(
            f"{place}: {family_id!r} can't be run yet: {'; '.join(family.obstacles)}.",
            hint="Take another one, or convert the weights and give your own settings.",
        )
    return family


def sampling_of(
    family: FewStepFamily | None, values: Mapping[str, Any], *, place: str
) -> Sampling | None:
    """Return how a model of an operator's own is sampled: a family's way with ``values`` on top.

    Args:
        family: known weights, if it is of such.
        values: fields of ``Sampling`` that were given; ``None`` counts as left out. Other steps
            than a family's do away with its noise levels unless levels are given too.
        place: of the entry, for errors.

    Returns:
        None where nothing was said: the job type's values then hold.

    Raises:
        ConfigInvalid: values that don't go together.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if "sigmas" in given:
        given["sigmas"] = tuple(float(sigma) for sigma in given["sigmas"])
        given.setdefault("num_inference_steps", len(given["sigmas"]))
    if family is None and not given:
        return None
    if family is not None:
        sampling = family.sampling
        if given.get("num_inference_steps", sampling.num_inference_steps) != len(sampling.sigmas):
            given.setdefault("sigmas", ())
        sampling = replace(sampling, **given)
    else:
        for name in ("num_inference_steps", "scheduler"):
            if name not in given:
                raise ConfigInvalid(
                    f"{place}: {name} is missing.",
                    hint="Few-step weights need steps and scheduler, or a known `few_step` name.",
                )
        sampling = Sampling(**given)
    sampling.check(place)
    return sampling
