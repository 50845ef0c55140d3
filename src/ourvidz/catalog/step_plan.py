"""Which evaluations of a denoiser a `draft` job leaves out, and what stands in for them.

A step under guidance evaluates the network twice: for the prompt, and without it. A plan says how
many evaluations each step makes; where one is missing, the step's guided velocity is a weighted sum
of what is known: latents, velocities of the prompt, and guidance differences (prompt minus negative
prompt) of this step and of earlier ones. The weights were fitted on exact runs
(`ourvidz bench calibrate`), for one sampler, number of steps, shift and guidance scale: at other
noise levels they mean nothing, so a request must match. Free of torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ourvidz.core.errors import CheckpointInvalid, ModelMissing, OutputUnwritable
from ourvidz.core.files import atomic_path, disk_errors_as_ours
from ourvidz.core.request import GenerationRequest

DRAFT_NAME = "draft.json"  # beside a model's other files
_FORMAT = 1
_MAX_BYTES = 8 * 2**20
_MAX_STEPS = 1000
_MAX_WEIGHT = 1e6


class Source(StrEnum):
    """What a term weighs."""

    LATENTS = "latents"  # what the network was given, or would have been
    PROMPT = "prompt"  # the velocity with the prompt
    DIFFERENCE = "difference"  # that minus the velocity without it


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One tensor and its weight."""

    source: Source
    step: int  # from 0
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRule:
    """One step: how many evaluations it makes, and the sum that stands in for the others."""

    num_forwards: int  # 0: none, 1: the prompt alone, 2: both branches
    terms: tuple[Term, ...] = ()  # of the guided velocity; empty where nothing is left out


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """All steps of a job."""

    rules: tuple[StepRule, ...]
    num_branches: int = 2  # evaluations of a whole step: 1 without guidance

    def __post_init__(self) -> None:
        """Check that every sum can be made when its step comes.

        Raises:
            ValueError: saying which step is wrong, and how.
        """
        if not 1 <= len(self.rules) <= _MAX_STEPS or self.num_branches not in (1, 2):
            raise ValueError("a plan has 1 to 1000 steps of 1 or 2 branches")
        for index, rule in enumerate(self.rules):
            if not 0 <= rule.num_forwards <= self.num_branches:
                raise ValueError(f"step {index} can't make {rule.num_forwards} evaluations")
            if (rule.num_forwards < self.num_branches) != bool(rule.terms):
                raise ValueError(f"step {index} has a sum where it leaves something out, else none")
            for term in rule.terms:
                self._check_term(index, term)

    def _check_term(self, index: int, term: Term) -> None:
        if not 0 <= term.step <= index:
            raise ValueError(f"step {index} can't look at step {term.step}")
        if not (math.isfinite(term.weight) and abs(term.weight) <= _MAX_WEIGHT):
            raise ValueError(f"step {index} has the weight {term.weight}")
        needed = {Source.LATENTS: 0, Source.PROMPT: 1, Source.DIFFERENCE: 2}[term.source]
        if self.rules[term.step].num_forwards < needed:
            raise ValueError(f"step {index} needs the {term.source} of step {term.step}")

    @property
    def num_forwards(self) -> int:
        """Evaluations that a job makes."""
        return sum(rule.num_forwards for rule in self.rules)

    @property
    def num_full_forwards(self) -> int:
        """Evaluations of a job that leaves nothing out."""
        return len(self.rules) * self.num_branches


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerKey:
    """What a plan was made for, and holds for alone."""

    scheduler: str
    num_inference_steps: int
    flow_shift: float
    guidance_scale: float
    is_video: bool  # else single frames

    def __str__(self) -> str:
        """Return the settings as a person would name them."""
        what = "videos" if self.is_video else "single frames"
        return (
            f"{what}, {self.scheduler}, {self.num_inference_steps} steps, shift "
            f"{self.flow_shift:g}, guidance {self.guidance_scale:g}"
        )


def key_of(request: GenerationRequest) -> SamplerKey:
    """Return what a plan must have been made for to serve ``request``, one of the Wan family."""
    assert request.flow_shift is not None, request.job_type
    return SamplerKey(
        scheduler=request.scheduler,
        num_inference_steps=request.num_inference_steps,
        flow_shift=request.flow_shift,
        guidance_scale=request.guidance_scale,
        is_video=request.num_frames > 1,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """One plan, and what was measured of it."""

    key: SamplerKey
    plan: StepPlan
    is_confirmed: bool  # frames were near enough to `exact`, on weights that were trained
    verdict: str  # that in words
    # Width, height and frames that it was made at; PSNR, prompts, device, versions.
    measured: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationFile:
    """All plans of one model."""

    model: str  # catalogue id
    weights: str  # identity of the denoiser's files: another one's plans are not used
    calibrations: tuple[Calibration, ...]

    def find(self, key: SamplerKey) -> Calibration | None:
        """Return the plan for these settings."""
        return next((each for each in self.calibrations if each.key == key), None)

    def with_calibration(self, made: Calibration) -> CalibrationFile:
        """Return the file with ``made`` in place of an older one for the same settings."""
        kept = (each for each in self.calibrations if each.key != made.key)
        return replace(self, calibrations=(*kept, made))


def read_calibrations(path: Path) -> CalibrationFile:
    """Return what ``bench calibrate`` wrote.

    Raises:
        ModelMissing: no such file.
        CheckpointInvalid: the file can't be used; the message says why.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelMissing(
            f"There is no {path.name} in {str(path.parent)!r}.",
            hint="Make it with `ourvidz bench calibrate MODEL_ID`.",
        ) from None
    except OSError as error:
        raise _invalid(path, str(error)) from None
    if len(content) > _MAX_BYTES:
        raise _invalid(path, f"longer than {_MAX_BYTES} bytes")
    try:
        return _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _invalid(path, f"{type(error).__name__}: {error}") from None


def write_calibrations(path: Path, content: CalibrationFile) -> None:
    """Write the file whole or not at all.

    Raises:
        OutputUnwritable, DiskFull: the folder.
    """
    text = json.dumps({"format": _FORMAT, **_plain(content)}, indent=1, ensure_ascii=False)
    if not path.parent.is_dir():
        raise OutputUnwritable(f"{str(path.parent)!r} is not a folder.")
    with disk_errors_as_ours(path), atomic_path(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _invalid(path: Path, why: str) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"{str(path)!r} can't be used: {why}.",
        hint="Make it again with `ourvidz bench calibrate MODEL_ID`.",
    )


def _plain(content: CalibrationFile) -> dict[str, Any]:
    """Return JSON values; a term is short ("prompt 3": 0.5), because there are many."""
    calibrations: list[dict[str, Any]] = []
    for each in content.calibrations:
        rules = [
            {
                "num_forwards": rule.num_forwards,
                "terms": {f"{term.source} {term.step}": term.weight for term in rule.terms},
            }
            for rule in each.plan.rules
        ]
        calibrations.append(
            {
                "key": asdict(each.key),
                "is_confirmed": each.is_confirmed,
                "verdict": each.verdict,
                "measured": dict(each.measured),
                "plan": {"num_branches": each.plan.num_branches, "rules": rules},
            }
        )
    return {"model": content.model, "weights": content.weights, "calibrations": calibrations}


def _parse(content: Any) -> CalibrationFile:
    if content["format"] != _FORMAT:
        raise ValueError(f"format {content['format']!r}, this version reads {_FORMAT}")
    return CalibrationFile(
        model=_typed(content["model"], str),
        weights=_typed(content["weights"], str),
        calibrations=tuple(_calibration(each) for each in content["calibrations"]),
    )


def _calibration(content: Any) -> Calibration:
    key = content["key"]
    made = Calibration(
        key=SamplerKey(
            scheduler=_typed(key["scheduler"], str),
            num_inference_steps=_typed(key["num_inference_steps"], int),
            flow_shift=float(_typed(key["flow_shift"], (int, float))),
            guidance_scale=float(_typed(key["guidance_scale"], (int, float))),
            is_video=_typed(key["is_video"], bool),
        ),
        plan=StepPlan(
            rules=tuple(_rule(rule) for rule in content["plan"]["rules"]),
            num_branches=_typed(content["plan"]["num_branches"], int),
        ),
        is_confirmed=_typed(content["is_confirmed"], bool),
        verdict=_typed(content["verdict"], str),
        measured={
            _typed(name, str): _typed(value, (str, int, float))
            for name, value in content["measured"].items()
        },
    )
    if len(made.plan.rules) != made.key.num_inference_steps:
        raise ValueError(f"{len(made.plan.rules)} rules for {made.key.num_inference_steps} steps")
    if made.plan.num_branches != (2 if made.key.guidance_scale > 1 else 1):
        raise ValueError(f"{made.plan.num_branches} branches at {made.key}")
    return made


def _rule(content: Any) -> StepRule:
    return StepRule(
        num_forwards=_typed(content["num_forwards"], int),
        terms=tuple(_term(name, weight) for name, weight in content["terms"].items()),
    )


def _term(name: str, weight: Any) -> Term:
    source, _, step = name.partition(" ")
    return Term(source=Source(source), step=int(step), weight=float(_typed(weight, (int, float))))


def _typed(value: Any, wanted: type | Sequence[type]) -> Any:
    kinds = wanted if isinstance(wanted, type) else tuple(wanted)
    if not isinstance(value, kinds) or (isinstance(value, bool) and wanted is not bool):
        raise TypeError(f"{value!r} is of the wrong kind")
    return value
