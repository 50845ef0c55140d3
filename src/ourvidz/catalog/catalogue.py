"""The catalogue as one value: what ships, and what an operator added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ourvidz.catalog.job_types import BASELINE, JOB_TYPES, PRESETS, JobType, Preset
from ourvidz.catalog.models import MODELS, Model, Role
from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import ConfigInvalid, UnknownName

PROFILES = ("pocket", "full")


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Models, job types and presets by name. Look-ups of unknown names say the nearest known."""

    models: Mapping[str, Model]
    job_types: Mapping[str, JobType]
    presets: Mapping[tuple[str, str], Preset]
    roles: Mapping[tuple[str, Role], str]  # (profile, role) -> model id

    def model(self, model_id: str) -> Model:
        """Return the model of that id, or raise ``UnknownName``."""
        return _look_up(self.models, model_id, "model")

    def job_type(self, name: str) -> JobType:
        """Return the job type of that name, or raise ``UnknownName``."""
        return _look_up(self.job_types, name, "job_type")

    def preset(self, job_type: str, name: str) -> Preset:
        """Return a preset of ``job_type``; ``baseline`` always exists and changes nothing."""
        if name == BASELINE:
            return Preset(name=BASELINE, job_type=job_type, text="The job type as it is")
        known = {preset: self.presets[job, preset] for job, preset in self.presets
                 if job == job_type}  # fmt: skip
        if name not in known:
            names = (BASELINE, *known)
            raise UnknownName(
                f"preset {name!r} is unknown for job type {job_type!r}.",
                param="preset",
                hint=suggest(name, names),
            )
        return known[name]

    def presets_of(self, job_type: str) -> tuple[str, ...]:
        """Return the preset names of ``job_type``, ``baseline`` first."""
        return (BASELINE, *(preset for job, preset in self.presets if job == job_type))

    def negative_prompts(self, model: Model, overrides: Mapping[str, str]) -> tuple[str, ...]:
        """Return the negative prompts that jobs of ``model`` take when told nothing.

        ``overrides`` are the operator's, by job type.
        """
        if not model.prompt_token_limit:
            return ()
        jobs = [job for job in self.job_types.values() if job.role is model.role]
        given = [overrides.get(job.name, job.negative_prompt) for job in jobs]
        texts = [model.default_negative_prompt if text is None else text for text in given]
        return tuple(dict.fromkeys(texts))

    def model_for(self, profile: str, role: Role) -> Model:
        """Return the model that ``profile`` uses for ``role``."""
        if profile not in PROFILES:
            raise UnknownName(
                f"profile {profile!r} is unknown.", param="profile", hint=suggest(profile, PROFILES)
            )
        return self.models[self.roles[profile, role]]


_T = TypeVar("_T")


def _look_up(entries: Mapping[str, _T], name: str, what: str) -> _T:
    if name not in entries:
        raise UnknownName(
            f"{what} {name!r} is unknown.", param=what, hint=suggest(name, tuple(entries))
        )
    return entries[name]


def build_catalogue(
    *,
    extra_models: Iterable[Model] = (),
    extra_job_types: Iterable[JobType] = (),
    extra_presets: Iterable[Preset] = (),
    roles: Mapping[Role, str] | None = None,
) -> Catalogue:
    """Return the shipped catalogue with an operator's entries added.

    ``roles`` replaces the full profile's model of a role (an SDXL checkpoint of one's own, say).

    Raises:
        ConfigInvalid: an entry repeats a shipped name or refers to an unknown one.
    """
    models = _by_name(((model.id, model) for model in (*MODELS, *extra_models)), "model")
    job_types = _by_name(((job.name, job) for job in (*JOB_TYPES, *extra_job_types)), "job type")
    presets = _by_name(
        (((preset.job_type, preset.name), preset) for preset in (*PRESETS, *extra_presets)),
        "preset",
    )
    for job_type, preset in presets:
        if job_type not in job_types:
            raise ConfigInvalid(
                f"Preset {preset!r} is for the unknown job type {job_type!r}.",
                hint=suggest(job_type, tuple(job_types)),
            )
    by_role = {(model.profile, model.role): model.id for model in MODELS}
    for role, model_id in (roles or {}).items():
        if model_id not in models or models[model_id].role is not role:
            raise ConfigInvalid(
                f"{model_id!r} can't be the {role} model.",
                hint="Name a model of the catalogue that has this role.",
            )
        by_role["full", role] = model_id
    return Catalogue(models=models, job_types=job_types, presets=presets, roles=by_role)


_K = TypeVar("_K")


def _by_name(entries: Iterable[tuple[_K, _T]], what: str) -> dict[_K, _T]:
    found: dict[_K, _T] = {}
    for name, entry in entries:
        if name in found:
            raise ConfigInvalid(
                f"The {what} {name!r} exists already.", hint="Give yours another name."
            )
        found[name] = entry
    return found
