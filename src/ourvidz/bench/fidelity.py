"""How far ``high`` and ``draft`` are from ``exact`` on a checkpoint, and whether that is allowed.

Fixed prompts and seeds, the operator's own files, the engine's own networks:

- *operators*: every linear and attention that runs in 8 bits is given what it is given in the
  library's forward, and compared with the result there;
- *blocks and predictions*: both networks are given the states that an ``exact`` job passes through
  (teacher forcing), so that an error is a step's own and no sum of earlier ones; each branch, and
  what guidance makes of both;
- *frames*: whole jobs of the same seeds, PSNR and SSIM;
- *the enhancer*: both are given the tokens that ``exact`` wrote; how often the likeliest next token
  is the same, and how far the distributions are apart.

Errors are relative L2: ||found - exact|| / ||exact||. What random weights show here is mechanics.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ourvidz.bench.ours import drive
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.resolve import resolve
from ourvidz.checkpoints.confirmations import (
    Confirmation,
    Figure,
    folder_of,
    source_of,
    subject_of,
    weights_hash,
)
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.event import FramesReady, JobEvent
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.perf.quality import DRAFT_PSNR_DB, HIGH_PSNR_DB, compare_frames

if TYPE_CHECKING:
    from collections.abc import Generator

    import torch

    from ourvidz.engine.engine import Engine
    from ourvidz.engine.parts import DenoiserParts, Moment, Network

# ------------------------------------------------------------------------------------- the bounds

LINEAR, ATTENTION = "linear_error_worst", "attention_error_worst"
GUIDED, PSNR, PSNR_MIN = "guided_error_worst", "psnr_mean", "psnr_min"
TOP_1, KL = "top_1_agreement", "kl_mean"

HIGH_PSNR_MIN_DB = 30.0  # of the worst prompt; the means' bounds are those of ``perf.quality``
# Rounding of one operator: what e4m3 and int8 rows reach on inputs with outlier channels.
OPERATOR_ERROR = 0.04
# Guidance magnifies what differs between the branches: 2 % of each may be 10 % here.
GUIDED_ERROR = 0.05
# Ours, from no measurement yet: one token in twenty may be another one.
HIGH_TOP_1 = 0.95
HIGH_KL = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a figure has to keep to."""

    limit: float
    is_least: bool = False  # at least; else at most


_ENHANCER_BOUNDS = {TOP_1: Bound(limit=HIGH_TOP_1, is_least=True), KL: Bound(limit=HIGH_KL)}

# By fidelity and metric. ``draft`` leaves steps out, so no step is held to anything: its promise is
# the frames. A metric that a model does not have is not asked for.
BOUNDS: Mapping[Fidelity, Mapping[str, Bound]] = {
    Fidelity.HIGH: {
        LINEAR: Bound(limit=OPERATOR_ERROR),
        ATTENTION: Bound(limit=OPERATOR_ERROR),
        GUIDED: Bound(limit=GUIDED_ERROR),
        PSNR: Bound(limit=HIGH_PSNR_DB, is_least=True),
        PSNR_MIN: Bound(limit=HIGH_PSNR_MIN_DB, is_least=True),
        **_ENHANCER_BOUNDS,
    },
    Fidelity.DRAFT: {PSNR: Bound(limit=DRAFT_PSNR_DB, is_least=True), **_ENHANCER_BOUNDS},
}

# -------------------------------------------------------------------------------------- the plan

SEED = 1000  # of the first prompt; the next one's is one more
_NO_NUMBER = 1e9  # told of an error that is not finite, which JSON has no word for

_JOB_TYPES = {
    Role.VIDEO: "video_fast",
    Role.IMAGE: "sdxl_image_fast",
    Role.ENHANCER: "video7b_fast_enhanced",
}
_POCKET_PROMPTS = (
    "a red circle moving left on a black background",
    "a large blue square moving up on a white background",
    "a small yellow star moving right on a green background",
    "a green triangle on a grey background",
    "an orange circle moving down on a blue background",
    "a large purple square on a black background",
    "a small white star moving left on a red background",
    "a pink triangle moving right on a white background",
)
_FULL_PROMPTS = (
    "a red sailing boat crosses a bay at sunset, seen from a cliff, waves in the wind",
    "an old man with a grey beard laughs, close-up, soft window light",
    "a tabby cat jumps from a kitchen table onto a chair, slow motion",
    "a busy street crossing in the rain at night, neon signs, umbrellas, seen from above",
    "two children build a sandcastle, a wave takes a part of it, handheld camera",
    "steam rises from a cup of coffee on a wooden desk beside an open notebook",
    "a flock of starlings turns over a field of wheat, wide shot, evening",
    "a dancer in a yellow dress spins on an empty stage, one spotlight",
)
MAX_PROMPTS = len(_FULL_PROMPTS)
_DENOISED_PROMPTS = 2  # whose steps are looked into; the frames of all are
_SMALL_TOKENS = 32

# What a size changes of a job: shares of the model's own, and the most frames and items.
_SMALL = {"share": 0.5, "num_frames": 9, "num_images": 1}
SIZES: dict[str, Mapping[str, float]] = {"native": {}, "small": _SMALL}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is run."""

    num_prompts: int = 4
    size: str = "native"  # of ``SIZES``
    num_inference_steps: int | None = None  # None: the job type's own

    @property
    def is_whole(self) -> bool:
        """Whether its verdict is about what jobs do; else it is a quick look."""
        return (
            self.size == "native"
            and self.num_inference_steps is None
            and self.num_prompts >= Plan().num_prompts
        )

    def check(self) -> None:
        """Raise ``InvalidRequest`` for what can't be run."""
        if not 1 <= self.num_prompts <= MAX_PROMPTS:
            raise InvalidRequest(
                f"{self.num_prompts} prompts; there are 1 to {MAX_PROMPTS}.", param="prompts"
            )
        if self.size not in SIZES:
            raise InvalidRequest(
                f"size {self.size!r} is unknown.", param="size", hint=f"Use {' or '.join(SIZES)}."
            )


# ------------------------------------------------------------------------------------- the report


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorError:
    """One linear or attention, over all states that were looked at."""

    name: str
    kind: str  # linear or attention
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockError:
    """One block of the denoiser, over all states that were looked at."""

    index: int
    output: float
    update: float | None  # of what the block added; None of the first, before which none is seen


@dataclass(frozen=True, kw_only=True, slots=True)
class StepError:
    """One state's prediction."""

    prompt: str
    step: int  # from 0
    branches: tuple[float, ...]  # the prompt's first
    guided: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameError:
    """One job's frames."""

    prompt: str
    psnr_db: float
    ssim: float
    exact_s: float  # denoising, at each fidelity
    other_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenError:
    """One answer of the enhancer."""

    prompt: str
    num_tokens: int
    top_1: float  # share of tokens
    kl: float  # nats, mean over tokens, of the other from exact


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found."""

    model: str
    fidelity: Fidelity
    is_random: bool
    plan: Plan
    told: str  # the plan in words
    figures: tuple[Figure, ...]
    operators: tuple[OperatorError, ...] = ()
    blocks: tuple[BlockError, ...] = ()
    steps: tuple[StepError, ...] = ()
    frames: tuple[FrameError, ...] = ()
    tokens: tuple[TokenError, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether every bound was kept to."""
        return all(figure.is_held for figure in self.figures)

    @property
    def is_confirmed(self) -> bool:
        """Whether the fidelity may be offered for what was looked at."""
        return self.is_held and not self.is_random and self.plan.is_whole


@dataclass(kw_only=True, slots=True)
class _Found:
    operators: list[OperatorError] = field(default_factory=list["OperatorError"])
    blocks: list[BlockError] = field(default_factory=list["BlockError"])
    steps: list[StepError] = field(default_factory=list["StepError"])
    frames: list[FrameError] = field(default_factory=list["FrameError"])
    tokens: list[TokenError] = field(default_factory=list["TokenError"])
    notes: list[str] = field(default_factory=list[str])


Tell = Callable[[str], None]


def measure(
    model_id: str,
    fidelity: Fidelity,
    *,
    settings: Settings,
    plan: Plan | None = None,
    tell: Tell = lambda text: None,
) -> Report:
    """Run a model at ``exact`` and at ``fidelity`` and report what differs.

    Args:
        model_id: catalogue id; its files are here.
        fidelity: ``high`` or ``draft``.
        settings: the operator's; the profile does not matter.
        plan: how much is run.
        tell: hears what is being done.

    Raises:
        UnknownName: no such model.
        InvalidRequest: ``exact``, or a plan that can't be run.
        ModelMissing, CheckpointInvalid: files that are not here or can't be used.
        MissingDependency: the ``engine`` extra is not installed.
    """
    from ourvidz.worker.assemble import assemble_worker

    plan = plan or Plan()
    plan.check()
    if fidelity is Fidelity.EXACT:
        raise InvalidRequest(
            "exact is what the others are compared with.",
            param="fidelity",
            hint="Use high or draft.",
        )
    model = catalogue_of(settings).model(model_id)
    folder_of(settings, model)  # before anything is loaded
    _, is_random = source_of(settings, model)
    settings, catalogue = _settings_for(settings, model)
    requests = _requests(model, settings, catalogue, plan)
    engine = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    found = _Found()
    try:
        if model.role is Role.ENHANCER:
            _compare_answers(engine, requests, fidelity, found, tell)
        else:
            for request in requests:  # first, since a job may be refused: draft without a plan
                _compare_frames(engine, request, fidelity, found, tell)
            for request in requests[:_DENOISED_PROMPTS]:
                _compare_steps(engine, request, fidelity, found, tell)
    finally:
        engine.close()
    return Report(
        model=model.id,
        fidelity=fidelity,
        is_random=is_random,
        plan=plan,
        told=_told(requests, plan, model),
        figures=_figures(found, BOUNDS[fidelity]),
        operators=tuple(_pooled(found.operators)),
        blocks=tuple(found.blocks),
        steps=tuple(found.steps),
        frames=tuple(found.frames),
        tokens=tuple(found.tokens),
        notes=tuple(dict.fromkeys(found.notes)),
    )


def confirmation_of(report: Report, settings: Settings) -> Confirmation:
    """Return the verdict that is kept of a report; reads the weights where no record names them.

    Raises:
        UnknownName, ModelMissing, CheckpointInvalid: as ``measure``.
    """
    model = catalogue_of(settings).model(report.model)
    revision, _ = source_of(settings, model)
    return Confirmation(
        subject=subject_of(settings, model, report.fidelity),
        fidelity=report.fidelity,
        is_held=report.is_held,
        is_random=report.is_random,
        created_at=datetime.now(UTC),
        weights=weights_hash(settings, model),
        revision=revision,
        plan=report.told,
        figures=report.figures,
    )


# ----------------------------------------------------------------------------------- the requests


def _settings_for(settings: Settings, model: Model) -> tuple[Settings, Catalogue]:
    """Return settings and catalogue under which jobs run on ``model``."""
    settings = settings.model_copy(update={"profile": model.profile})
    catalogue = catalogue_of(settings)
    if catalogue.model_for(model.profile, model.role).id != model.id:
        roles = {**settings.use_models, model.role: model.id}
        settings = settings.model_copy(update={"profile": "full", "use_models": roles})
        catalogue = catalogue_of(settings)
    return settings, catalogue


def _requests(
    model: Model, settings: Settings, catalogue: Catalogue, plan: Plan
) -> list[GenerationRequest]:
    job_type = _JOB_TYPES[model.role]
    is_pocket = model.id.startswith("pocket-")
    prompts = (_POCKET_PROMPTS if is_pocket else _FULL_PROMPTS)[: plan.num_prompts]
    values = _values(model, plan)
    return [
        _shortened(
            resolve(
                catalogue=catalogue,
                settings=settings,
                prompt=prompt,
                seed=SEED + index,
                job_type=job_type,
                values=values,
                unconfirmed=True,
            ),
            plan,
        )
        for index, prompt in enumerate(prompts)
    ]


def _values(model: Model, plan: Plan) -> dict[str, Any]:
    """Return what a plan sets of a job's parameters."""
    if model.role is Role.ENHANCER:
        if plan.num_inference_steps is not None:
            raise InvalidRequest("an enhancer has no steps.", param="steps")
        return {}
    size = SIZES[plan.size]
    values: dict[str, Any] = {}
    if plan.num_inference_steps is not None:
        values["num_inference_steps"] = plan.num_inference_steps
    if "share" in size:
        for name, pixels in (("width", model.width), ("height", model.height)):
            values[name] = max(64, round(pixels * size["share"] / 16) * 16)
    if "num_frames" in size and model.role is Role.VIDEO:
        values["num_frames"] = int(min(size["num_frames"], model.num_frames))
    if "num_images" in size and model.role is Role.IMAGE:
        values["num_images"] = int(size["num_images"])
    return values


def _shortened(request: GenerationRequest, plan: Plan) -> GenerationRequest:
    from dataclasses import replace

    answer = request.enhancement
    if answer is None or plan.size == "native":
        return request
    return replace(request, enhancement=replace(answer, max_new_tokens=_SMALL_TOKENS))


def _told(requests: Sequence[GenerationRequest], plan: Plan, model: Model) -> str:
    first = requests[0]
    parts = [f"prompts 1 to {len(requests)}", f"seeds from {SEED}"]
    if model.role is Role.ENHANCER:
        assert first.enhancement is not None
        parts.append(f"{first.enhancement.max_new_tokens} tokens at most")
    else:
        frames = f"x{first.num_frames}" if first.num_frames > 1 else ""
        items = f", {first.num_images} images" if first.num_images > 1 else ""
        parts += [
            f"{plan.size} size ({first.width}x{first.height}{frames}{items})",
            f"{first.num_inference_steps} steps",
            f"guidance {first.guidance_scale:g}",
        ]
    return ", ".join(parts)


# ----------------------------------------------------------------------------- steps and operators


def steps_looked_at(num_steps: int) -> tuple[int, ...]:
    """Return first, last and what lies a quarter, a half and three quarters on the way."""
    last = num_steps - 1
    return tuple(sorted({round(last * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)}))


def _compare_steps(
    engine: Engine,
    request: GenerationRequest,
    fidelity: Fidelity,
    found: _Found,
    tell: Tell,
) -> None:
    from ourvidz.engine.parts import open_denoiser

    tell(f"steps and operators: {request.prompt}")
    with open_denoiser(engine, request, fidelity) as parts:
        moments = parts.moments(steps_looked_at(request.num_inference_steps))
        blocks = _Blocks()
        operators = _Operators(parts)
        for moment in moments:
            exact = blocks.watch_exact(parts.exact, moment)
            other = blocks.compare(parts.other, moment)
            found.steps.append(
                StepError(
                    prompt=request.prompt,
                    step=moment.step,
                    branches=tuple(map(relative_error, other, exact)),
                    guided=relative_error(parts.guided(other), parts.guided(exact)),
                )
            )
            operators.compare(moment)
        if not found.blocks:  # of the first prompt: the next one's tell the same
            found.blocks += blocks.errors()
        found.operators += operators.errors()
        if not blocks.errors():
            found.notes.append("blocks can't be looked into here: predictions only")
        if not found.operators:
            found.notes.append("no operator of this model runs in 8 bits here")
        if all(step.guided == 0 for step in found.steps):
            found.notes.append(f"a step of {fidelity.value} is the same as one of exact here")


def relative_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Return ||found - exact|| / ||exact||; 0 where both are nothing."""
    return _share(*_energies(found, exact))


def _energies(found: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    """Return the squared norms of the difference and of ``exact``."""
    exact = exact.float()
    error = (found.float() - exact).square().sum().item()
    return float(error), float(exact.square().sum().item())


def _share(error: float, energy: float) -> float:
    if energy > 0:
        return math.sqrt(error / energy)
    return 0.0 if error == 0 else math.inf


@dataclass(kw_only=True, slots=True)
class _Energy:
    error: float = 0.0
    energy: float = 0.0

    def add(self, found: torch.Tensor, exact: torch.Tensor) -> None:
        error, energy = _energies(found, exact)
        self.error += error
        self.energy += energy

    @property
    def relative(self) -> float:
        return _share(self.error, self.energy)


class _Blocks:
    """Outputs of the blocks of two networks that are given the same."""

    def __init__(self) -> None:
        self._exact: list[tuple[int, torch.Tensor]] = []
        self._outputs: dict[int, _Energy] = {}
        self._updates: dict[int, _Energy] = {}

    def watch_exact(self, network: Network, moment: Moment) -> tuple[torch.Tensor, ...]:
        self._exact = []
        keep = self._exact

        def observe(index: int, output: torch.Tensor) -> None:
            keep.append((index, output.clone()))

        with network.observed(observe):
            return network.predict(moment)

    def compare(self, network: Network, moment: Moment) -> tuple[torch.Tensor, ...]:
        """Run the other network and compare each block as it comes."""
        count = 0
        before: torch.Tensor | None = None

        def observe(index: int, output: torch.Tensor) -> None:
            nonlocal count, before
            if count >= len(self._exact) or self._exact[count][0] != index:
                return  # it goes through the blocks in another order
            exact = self._exact[count][1]
            self._outputs.setdefault(index, _Energy()).add(output, exact)
            if before is not None and index > 0:
                self._updates.setdefault(index, _Energy()).add(
                    output - before, exact - self._exact[count - 1][1]
                )
            before = output.clone()
            count += 1

        with network.observed(observe):
            return network.predict(moment)

    def errors(self) -> list[BlockError]:
        return [
            BlockError(
                index=index,
                output=output.relative,
                update=self._updates[index].relative if index in self._updates else None,
            )
            for index, output in sorted(self._outputs.items())
        ]


class _Operators:
    """Compares linears and attention in place, while the library's forward runs."""

    def __init__(self, parts: DenoiserParts) -> None:
        self._parts = parts
        in_8bit = {id(linear) for linear in parts.other.linears_8bit}
        self._names = {
            id(part.weight): name
            for name, part in parts.module.named_modules()
            if id(part) in in_8bit
        }
        self._found: dict[tuple[str, str], _Energy] = {}

    def compare(self, moment: Moment) -> None:
        """Look into the library's forward at one state."""
        other = self._parts.other
        if not self._names and other.attention_8bit is None:
            return
        with _calls_watched(self._linear, self._attention):
            self._attentions = 0
            self._parts.library.predict(moment)

    _attentions = 0

    def _linear(self, out: Any, x: Any, weight: Any, bias: Any = None) -> None:
        name = self._names.get(id(weight))
        if name is not None:
            self._add("linear", name, self._parts.other.linear_8bit(x, weight, bias), out)

    def _attention(self, out: Any, query: Any, key: Any, value: Any) -> None:
        attend = self._parts.other.attention_8bit
        if attend is None:
            return
        name = f"attention.{self._attentions}"
        self._attentions += 1
        q, k, v = (each.transpose(1, 2) for each in (query, key, value))
        found = attend(q, k, v)
        self._add("attention", name, found, out.transpose(1, 2))

    def _add(self, kind: str, name: str, found: torch.Tensor, exact: torch.Tensor) -> None:
        self._found.setdefault((kind, name), _Energy()).add(found, exact)

    def errors(self) -> list[OperatorError]:
        """Return those that differ: a short attention, for one, is left in its precision."""
        return [
            OperatorError(name=name, kind=kind, error=energy.relative)
            for (kind, name), energy in self._found.items()
            if energy.error > 0
        ]


def _calls_watched(linear: Callable[..., None], attention: Callable[..., None]) -> Any:
    """Return the context in which torch's linears and attentions are told of, result first."""
    import torch.nn.functional as F
    from torch.overrides import TorchFunctionMode

    names = ("query", "key", "value")

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Any,
            types: Any,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            kwargs = kwargs or {}
            out = func(*args, **kwargs)
            if func is F.linear:
                linear(out, *args, **kwargs)
            elif func is F.scaled_dot_product_attention and kwargs.get("attn_mask") is None:
                given = [*args[:3], *(kwargs[name] for name in names[len(args[:3]) :])]
                attention(out, *given)
            return out

    return Watch()


def _pooled(operators: Sequence[OperatorError]) -> list[OperatorError]:
    """Return one entry an operator: its worst over the prompts."""
    worst: dict[tuple[str, str], OperatorError] = {}
    for each in operators:
        key = (each.kind, each.name)
        if key not in worst or each.error > worst[key].error:
            worst[key] = each
    return list(worst.values())


# ------------------------------------------------------------------------------------------ frames


def _compare_frames(
    engine: Engine,
    request: GenerationRequest,
    fidelity: Fidelity,
    found: _Found,
    tell: Tell,
) -> None:
    from dataclasses import replace

    tell(f"frames: {request.prompt}")
    exact, exact_s = _frames(engine, request)
    other, other_s = _frames(engine, replace(request, fidelity=fidelity))
    difference = compare_frames(other.numpy(), exact.numpy())
    found.frames.append(
        FrameError(
            prompt=request.prompt,
            psnr_db=difference.finite_psnr_db,
            ssim=difference.ssim,
            exact_s=exact_s,
            other_s=other_s,
        )
    )


def _frames(engine: Engine, request: GenerationRequest) -> tuple[torch.Tensor, float]:
    """Return a job's frames, (n, H, W, 3) uint8, and the seconds of its denoising."""
    import torch

    recorder = SpanRecorder(SystemClock())
    chunks: list[Any] = []

    def kept() -> Generator[JobEvent, None, object]:
        events = engine.generate(request, recorder=recorder, cancel=CancelToken())
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return stop.value
            if isinstance(event, FramesReady):
                chunks.append(torch.as_tensor(event.frames))
            yield event

    drive(kept())
    seconds = sum(
        span.duration_s if span.device_s is None else span.device_s
        for span in recorder.spans()
        if span.phase is Phase.DENOISE
    )
    return torch.cat(chunks), seconds


# ------------------------------------------------------------------------------------ the enhancer


def _compare_answers(
    engine: Engine,
    requests: Sequence[GenerationRequest],
    fidelity: Fidelity,
    found: _Found,
    tell: Tell,
) -> None:
    import torch

    from ourvidz.engine.parts import open_enhancer

    for request in requests:
        tell(f"answer: {request.prompt}")
        with open_enhancer(engine, request, fidelity) as parts:
            answer = parts.answer()
            if parts.is_same:
                found.notes.append("nothing of the enhancer runs in 8 bits here")
            if not answer:
                found.notes.append(f"no answer to {request.prompt!r}")
                continue
            given = torch.tensor([answer], device=parts.input_ids.device)
            ids = torch.cat([parts.input_ids, given], dim=1)[:, :-1]
            # What follows the prompt's last token, and each of the answer's but the last.
            exact, other = (each(ids)[-len(answer) :] for each in (parts.exact, parts.other))
            top_1, kl = token_errors(other, exact)
        found.tokens.append(
            TokenError(prompt=request.prompt, num_tokens=len(answer), top_1=top_1, kl=kl)
        )


def token_errors(found: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    """Return the share of rows with the same likeliest token, and the mean KL divergence in nats.

    Args:
        found: (T, V) logits.
        exact: (T, V) logits, whose distribution the other is measured from.
    """
    log_found, log_exact = found.float().log_softmax(1), exact.float().log_softmax(1)
    same = (log_found.argmax(1) == log_exact.argmax(1)).float().mean()
    kl = (log_exact.exp() * (log_exact - log_found)).sum(1).mean()
    return float(same), max(0.0, float(kl))


# --------------------------------------------------------------------------------------- figures


def _figures(found: _Found, bounds: Mapping[str, Bound]) -> tuple[Figure, ...]:
    values: dict[str, tuple[float, str, str]] = {}
    for kind in ("linear", "attention"):
        errors = [each.error for each in found.operators if each.kind == kind]
        if errors:
            values[f"{kind}_error_worst"] = (max(errors), "", f"{kind}s, the worst one")
            values[f"{kind}_error_mean"] = (statistics.fmean(errors), "", f"{kind}s, mean")
    if found.blocks:
        outputs = [each.output for each in found.blocks]
        values["block_error_worst"] = (max(outputs), "", "outputs of blocks, the worst one")
    if found.steps:
        branches = [error for each in found.steps for error in each.branches]
        guided = [each.guided for each in found.steps]
        values["branch_error_worst"] = (max(branches), "", "a branch's prediction, worst")
        values[GUIDED] = (max(guided), "", "what guidance makes of both, worst")
        values["guided_error_mean"] = (statistics.fmean(guided), "", "the same, mean")
    if found.frames:
        dbs = [each.psnr_db for each in found.frames]
        similar = [each.ssim for each in found.frames]
        values[PSNR] = (statistics.fmean(dbs), "dB", "frames, mean over prompts")
        values[PSNR_MIN] = (min(dbs), "dB", "frames, the worst prompt")
        values["ssim_mean"] = (statistics.fmean(similar), "", "frames, mean over prompts")
        values["ssim_min"] = (min(similar), "", "frames, the worst prompt")
        # The first job of each also compiles and measures.
        for name, times in (
            ("denoise_s_exact", [each.exact_s for each in found.frames]),
            ("denoise_s", [each.other_s for each in found.frames]),
        ):
            values[name] = (min(times), "s", "denoising, the quickest job")
    if found.tokens:
        count = sum(each.num_tokens for each in found.tokens)
        values[TOP_1] = (
            sum(each.top_1 * each.num_tokens for each in found.tokens) / count,
            "",
            "tokens whose likeliest next one is the same",
        )
        values[KL] = (
            sum(each.kl * each.num_tokens for each in found.tokens) / count,
            "nats",
            "divergence of the next token's distribution, mean",
        )
    return tuple(
        _figure(name, value, unit, text, bounds.get(name))
        for name, (value, unit, text) in values.items()
    )


def _figure(name: str, value: float, unit: str, text: str, bound: Bound | None) -> Figure:
    return Figure(
        metric=name,
        value=float(f"{value:.6g}") if math.isfinite(value) else _NO_NUMBER,
        limit=None if bound is None else bound.limit,
        is_least=bound is not None and bound.is_least,
        unit=unit,
        text=text,
    )
