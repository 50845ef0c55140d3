"""``ourvidz bench calibrate``: which evaluations a `draft` of a Wan model leaves out.

Exact jobs of fixed prompts and seeds are recorded on the operator's own weights; a plan is made of
most of them (``bench.plan_search``) and run, closed-loop, on the others, whose frames are compared
with theirs at ``exact``. Nothing of a plan depends on the prompts that it is checked with.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ourvidz.bench.plan_search import WARM_STEPS, Floats, PlanSearch
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.resolve import resolve
from ourvidz.catalog.step_plan import (
    DRAFT_NAME,
    Calibration,
    CalibrationFile,
    StepPlan,
    key_of,
    read_calibrations,
)
from ourvidz.checkpoints.confirmations import folder_of, source_of
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, ModelMissing
from ourvidz.core.request import GenerationRequest
from ourvidz.perf.environment import environment
from ourvidz.perf.quality import DRAFT_PSNR_DB, compare_frames

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ourvidz.engine.engine import Engine
    from ourvidz.engine.recording import Trajectory

MIN_PSNR_DB = DRAFT_PSNR_DB  # mean over the prompts that a plan is checked with
DEFAULT_TARGET = 0.6  # of an exact job's evaluations
DEFAULT_PROMPTS = 12
SEED = 20_000
_CHECKED_SHARE = 3  # one prompt of so many is kept for the check
_WEIGHT_DIGITS = 7  # of a weight as it is written: single precision
_CHUNK = 2**20  # numbers of a tensor that are multiplied at once, in float64

POCKET_PROMPTS = (
    "a small red circle moving right on a blue background",
    "a large green square moving down on a black background",
    "a yellow triangle moving left on a grey background",
    "a blue star on a white background",
    "a white circle moving up on a red background",
    "a large orange star moving right on a purple background",
    "a small purple square moving left on a yellow background",
    "a pink triangle moving down on a green background",
    "a black circle on an orange background",
    "a large yellow square moving up on a blue background",
    "a small green star moving down on a white background",
    "a red triangle moving right on a black background",
)
FULL_PROMPTS = (
    "a fishing boat leaves a harbour at dawn, gulls above it, seen from the pier",
    "close-up of a woman who turns her head and smiles, evening light through blinds",
    "a brown dog runs along a beach towards the camera, spray, slow motion",
    "a tram crosses a bridge in heavy snow at night, warm windows, seen from the side",
    "a potter shapes a clay bowl on a turning wheel, hands in focus",
    "an empty office at sunset, blinds move in the wind, dust in the light, still camera",
    "a waterfall in a pine forest, the camera rises slowly along it",
    "two cyclists ride down a mountain road, seen from a drone that follows them",
    "a candle burns on a wooden table, its flame bends, dark room",
    "a street market with red lanterns, people pass in front of the camera",
    "an astronaut walks over grey dunes under a black sky, wide shot",
    "a goldfish swims among green plants in a round bowl, close-up",
)

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is calibrated, and how much is run."""

    job_type: str = "video_fast"
    preset: str = "baseline"
    target_calls: float = DEFAULT_TARGET
    num_prompts: int = DEFAULT_PROMPTS
    num_inference_steps: int | None = None  # None: the job type's
    width: int | None = None  # px; None: the job type's
    height: int | None = None
    num_frames: int | None = None

    def check(self) -> None:
        """Refuse what can't be run.

        Raises:
            InvalidRequest: a share or a number out of range.
        """
        if not 0.1 <= self.target_calls < 1:
            raise InvalidRequest("a share of the calls is 0.1 or more, below 1.", param="target")
        if not 2 <= self.num_prompts <= len(POCKET_PROMPTS):
            raise InvalidRequest(f"prompts: 2 to {len(POCKET_PROMPTS)}.", param="prompts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A plan's run on one prompt."""

    prompt: str
    psnr_db: float


def calibrate(
    model_id: str, *, settings: Settings, options: Options, tell: Tell = lambda text: None
) -> tuple[Calibration, list[Checked]]:
    """Return a plan for one job type, and its check.

    Args:
        model_id: catalogue id of a Wan model whose files are here.
        settings: the operator's; the profile does not matter.
        options: how much is run.
        tell: hears what is being done.

    Raises:
        UnknownName: no such model or job type.
        InvalidRequest: a model without steps to leave out, or options that can't be run.
        ModelMissing, CheckpointInvalid: files that are not here or can't be used.
        MissingDependency: the ``engine`` extra is not installed.
    """
    from ourvidz.worker.assemble import assemble_worker

    options.check()
    model = catalogue_of(settings).model(model_id)
    if model.role is not Role.VIDEO:
        raise InvalidRequest(f"{model_id!r} is no Wan model.", param="model_id")
    _, is_random = source_of(settings, model)
    settings, catalogue = _settings_for(settings, model)
    requests = _requests(model, settings, catalogue, options)
    engine = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    try:
        plan = _plan_of(engine, requests, options, tell)
        checked = [_check(engine, plan, each, tell) for each in _kept(requests)]
    finally:
        engine.close()
    measured = _measured(requests, checked, device=str(engine.device.type))
    mean_db = float(measured["psnr_mean_db"])
    is_confirmed = mean_db >= MIN_PSNR_DB and not is_random
    return (
        Calibration(
            key=key_of(requests[0]),
            plan=plan,
            is_confirmed=is_confirmed,
            verdict=_verdict(mean_db, is_random=is_random, num_checked=len(checked)),
            measured=measured,
        ),
        checked,
    )


def add_to_file(path: Path, made: Calibration, *, model_id: str, folder: Path) -> CalibrationFile:
    """Return the content of ``path`` with ``made`` in it; what belongs to other weights goes.

    Args:
        path: need not exist.
        made: from ``calibrate``.
        model_id: catalogue id.
        folder: of the model's files.
    """
    from ourvidz.engine.embed_files import encoder_identity

    new = CalibrationFile(
        model=model_id, weights=encoder_identity(folder, ("transformer",)), calibrations=()
    )
    try:
        old = read_calibrations(path)
    except (ModelMissing, CheckpointInvalid):
        old = new
    if (old.model, old.weights) != (new.model, new.weights):
        old = new
    return old.with_calibration(made)


def default_path(settings: Settings, model_id: str) -> tuple[Path, Path]:
    """Return where jobs look for a model's plans, and the model's folder.

    Raises:
        UnknownName, ModelMissing: no such model, or not here.
    """
    folder = folder_of(settings, catalogue_of(settings).model(model_id))
    return folder / DRAFT_NAME, folder


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
    model: Model, settings: Settings, catalogue: Catalogue, options: Options
) -> list[GenerationRequest]:
    prompts = POCKET_PROMPTS if model.profile == "pocket" else FULL_PROMPTS
    names = ("num_inference_steps", "width", "height", "num_frames")
    requests = [
        resolve(
            catalogue=catalogue,
            settings=settings,
            prompt=prompt,
            seed=SEED + index,
            job_type=options.job_type,
            preset=options.preset,
            values={"fidelity": "exact", **{name: getattr(options, name) for name in names}},
        )
        for index, prompt in enumerate(prompts[: options.num_prompts])
    ]
    if requests[0].family != "wan" or requests[0].sigmas or requests[0].scheduler == "lcm":
        raise InvalidRequest(
            f"{options.job_type!r} on {model.id!r} has no steps to leave out.", param="job_type"
        )
    _budget(requests[0], options)  # refused before anything runs
    return requests


def _kept(requests: Sequence[GenerationRequest]) -> Sequence[GenerationRequest]:
    """Return those that a plan is checked with: the last third."""
    return requests[-max(1, len(requests) // _CHECKED_SHARE) :]


def _plan_of(
    engine: Engine, requests: Sequence[GenerationRequest], options: Options, tell: Tell
) -> StepPlan:
    from ourvidz.engine.recording import open_wan_job

    gram, sigmas = None, ()
    for request in requests[: len(requests) - len(_kept(requests))]:
        tell(f"exact run for the plan: {request.prompt}")
        with open_wan_job(engine, request) as job:
            found, sigmas = gram_of(job.record()), job.sigmas
        gram = found if gram is None else gram + found
    assert gram is not None, "at least one request makes the plan"
    first = requests[0]
    search = PlanSearch(
        gram=gram,
        sigmas=sigmas,
        guidance_scale=first.guidance_scale,
        num_branches=_num_branches(first),
    )
    tell("looking for the evaluations that cost least")
    return rounded(search.plan(search.search(_budget(first, options))))


def _num_branches(request: GenerationRequest) -> int:
    return 2 if request.uses_guidance else 1


def _budget(request: GenerationRequest, options: Options) -> int:
    """Return how many evaluations a plan may make.

    Raises:
        InvalidRequest: fewer than the first steps need, which are evaluated whole.
    """
    num_branches = _num_branches(request)
    whole = num_branches * request.num_inference_steps
    budget = math.floor(options.target_calls * whole + 1e-9)
    if budget < num_branches * min(WARM_STEPS, request.num_inference_steps):
        raise InvalidRequest(
            f"{request.num_inference_steps} steps can't do with {budget} evaluations.",
            param="target",
            hint="Ask for a larger share, or calibrate more steps.",
        )
    return budget


def _check(engine: Engine, plan: StepPlan, request: GenerationRequest, tell: Tell) -> Checked:
    from ourvidz.engine.recording import open_wan_job
    from ourvidz.models.wan.step_cache import StepCache

    with open_wan_job(engine, request) as job:
        exact = job.frames(job.denoise())
        draft = job.frames(job.denoise(StepCache(plan)))
    difference = compare_frames(draft.numpy(), exact.numpy())
    found = Checked(prompt=request.prompt, psnr_db=difference.finite_psnr_db)
    tell(f"{found.psnr_db:.1f} dB of exact: {request.prompt}")
    return found


def gram_of(run: Trajectory) -> Floats:
    """Return the inner products of a run's tensors, in the order of ``plan_search``."""
    import torch

    prompts = [found[0] for found in run.velocities]
    differences = [found[0] - found[1] for found in run.velocities if len(found) == 2]
    rows = [each.reshape(-1) for each in (*run.latents, *prompts, *differences)]
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows[0].device)
    for start in range(0, len(rows[0]), _CHUNK):
        part = torch.stack([row[start : start + _CHUNK] for row in rows]).double()
        gram += part @ part.T
    return _array(gram)


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.cpu().numpy()


def rounded(plan: StepPlan) -> StepPlan:
    """Return the plan as its file will have it: what is checked must be what jobs run."""
    rules = tuple(
        dataclasses.replace(
            rule,
            terms=tuple(
                dataclasses.replace(term, weight=float(f"{term.weight:.{_WEIGHT_DIGITS}g}"))
                for term in rule.terms
            ),
        )
        for rule in plan.rules
    )
    return dataclasses.replace(plan, rules=rules)


def _measured(
    requests: Sequence[GenerationRequest], checked: Sequence[Checked], *, device: str
) -> dict[str, str | int | float]:
    first, values = requests[0], [each.psnr_db for each in checked]
    return {
        "job_type": first.job_type,
        "width": first.width,
        "height": first.height,
        "num_frames": first.num_frames,
        "psnr_mean_db": round(statistics.fmean(values), 2),
        "psnr_min_db": round(min(values), 2),
        "checked_prompts": len(checked),
        "fitted_prompts": len(requests) - len(checked),
        "device": device,
        "ourvidz": str(environment().get("ourvidz")),
    }


def _verdict(mean_db: float, *, is_random: bool, num_checked: int) -> str:
    told = f"frames {mean_db:.1f} dB of exact in the mean of {num_checked} prompts"
    if is_random:
        return f"quality unconfirmed: random weights show mechanics alone ({told})"
    if mean_db < MIN_PSNR_DB:
        return f"quality unconfirmed: {told}, under the bound of {MIN_PSNR_DB:g} dB"
    return f"{told}; how well prompts are followed was not judged here"
