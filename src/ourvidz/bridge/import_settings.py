"""An old settings dictionary, job type by job type, as presets of ``ourvidz.toml``.

What has a meaning today becomes a preset value; what the service now decides by itself (expected
times, file endings) is left out and said so; what has no meaning is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourvidz.bridge.mapping import floored_frames, parse_number, parse_size
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import PresetEntry
from ourvidz.catalog.job_types import BASELINE, JobType
from ourvidz.catalog.models import Model
from ourvidz.catalog.parameters import BY_NAME, check_num_frames, check_prompt, suggest
from ourvidz.core.errors import ConfigInvalid, InvalidRequest
from ourvidz.core.files import atomic_path
from ourvidz.core.request import MediaType

DEFAULT_PRESET = "legacy"

_MAX_SHARE = 2  # of PresetEntry
_PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_SIMPLE = {
    "sample_steps": "num_inference_steps",
    "steps": "num_inference_steps",
    "sample_guide_scale": "guidance_scale",
    "guidance_scale": "guidance_scale",
    "sample_solver": "scheduler",
    "sample_shift": "flow_shift",
    "num_images": "num_images",
    "negative_prompt": "negative_prompt",
    "fps": "fps",
}
_SIZES = ("size", "resolution")
_FRAMES = ("frame_num", "frames")
_REFERENCES = (
    "image",
    "first_frame",
    "last_frame",
    "reference_image_url",
    "start_reference_url",
    "end_reference_url",
)
# Old settings that the service decides by itself, and why.
_DECIDED = {
    "expected_time": "expected times are computed from measured runs",
    "expected_generation_time": "expected times are computed from measured runs",
    "content_type": "the job type decides what is delivered",
    "file_extension": "the job type decides what is delivered",
    "task": "the model decides what it can do",
    "model_variant": "the profile names the model, `use_models` another one",
    "bucket": "buckets are named after the job type",
    "queue": "there is one queue",
    "seed": "a seed belongs to a job; it is drawn where none is given",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedPreset:
    """One preset and what was adjusted. ``entry`` None: the job type does this already."""

    job_type: str
    name: str
    entry: PresetEntry | None
    adjustments: tuple[str, ...]


def read_settings_file(path: Path) -> Mapping[str, Any]:
    """Return an old settings dictionary from a JSON file.

    Raises:
        InvalidRequest: no such file, not JSON, or not an object of objects.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(
            f"{str(path)!r} can't be read: {error.strerror}.", param="file", hint="Check the path."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{str(path)!r} is not JSON.", param="file", hint="Export the old dictionary as JSON."
        ) from error
    if not isinstance(value, dict) or not value:
        raise InvalidRequest(
            f"{str(path)!r} holds no job types.",
            param="file",
            hint='Expected {"video_fast": {"sample_steps": 25, ...}, ...}.',
        )
    return value


def import_presets(
    old: Mapping[str, Any], *, catalogue: Catalogue, name: str = DEFAULT_PRESET
) -> tuple[ImportedPreset, ...]:
    """Return one preset of that ``name`` for each job type of ``old``.

    Raises:
        UnknownName: a job type that does not exist, or a solver.
        InvalidRequest: a setting without meaning, or an illegal value; the job type is named.
    """
    if not _PRESET_NAME.fullmatch(name) or name == BASELINE:
        raise InvalidRequest(
            f"{name!r} can't be a preset's name.",
            param="name",
            hint="Use letters, digits, _ and -; 'baseline' is the job type itself.",
        )
    return tuple(
        _preset(catalogue.job_type(job_type), settings, catalogue=catalogue, name=name)
        for job_type, settings in old.items()
    )


def presets_toml(presets: tuple[ImportedPreset, ...]) -> str:
    """Return presets as TOML, their adjustments as comments."""
    blocks: list[str] = []
    for preset in presets:
        lines = [f"# {preset.job_type}: {text}" for text in preset.adjustments]
        if preset.entry is None:
            lines.append(f"# {preset.job_type}: no preset, the job type has these values already")
        else:
            lines += _table(preset, preset.entry)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def append_to_config(
    path: Path, presets: tuple[ImportedPreset, ...], *, check: Callable[[Mapping[str, Any]], None]
) -> None:
    """Append presets to a configuration file, which appears whole or stays as it was.

    Args:
        check: raises where the whole file's content would not be valid settings.

    Raises:
        ConfigInvalid: the file is not valid, before or after; or has such a preset already.
        OutputUnwritable, DiskFull: it can't be written.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    existing = _parse(path, before).get("presets", {})
    for preset in presets:
        if preset.name in existing.get(preset.job_type, {}):
            raise ConfigInvalid(
                f"{path.name} has a preset {preset.name!r} of {preset.job_type} already.",
                param="name",
                hint="Choose another with --name, or remove that one first.",
            )
    after = before + ("" if before.endswith("\n") or not before else "\n")
    after += ("\n" if before else "") + presets_toml(presets)
    check(_parse(path, after))
    with atomic_path(path) as partial:
        partial.write_text(after, encoding="utf-8")


def _preset(job: JobType, settings: Any, *, catalogue: Catalogue, name: str) -> ImportedPreset:
    if not isinstance(settings, dict):
        raise InvalidRequest(
            f"{job.name}: its settings are not an object.",
            param=job.name,
            hint='Expected {"sample_steps": 25, ...}.',
        )
    reader = _Reader(job=job, model=catalogue.model_for("full", job.role))
    for key, value in settings.items():
        if value is not None:
            try:
                reader.read(key, value)
            except InvalidRequest as error:
                raise type(error)(
                    f"{job.name}.{key}: {error.message}", param=key, hint=error.hint
                ) from error
    return ImportedPreset(
        job_type=job.name, name=name, entry=reader.entry(), adjustments=tuple(reader.adjustments)
    )


class _Reader:
    """Collects one preset."""

    def __init__(self, *, job: JobType, model: Model) -> None:
        self._job = job
        self._model = model
        self._values: dict[str, int | float | str] = {}
        self._shares: dict[str, float] = {}
        self.adjustments: list[str] = []

    def read(self, key: str, value: Any) -> None:
        """Take one old setting, or raise InvalidRequest."""
        if key in _DECIDED:
            self.adjustments.append(f"{key} left out: {_DECIDED[key]}")
        elif key in _SIZES:
            self._read_size(*parse_size(value))
        elif key in ("width", "height"):
            self._read_side(key, parse_number(key, value))
        elif key in _FRAMES:
            self._read_frames(parse_number(key, value))
        elif key == "enhance_prompt":
            self._read_enhance(value)
        elif key in _SIMPLE:
            self._read_value(key, _SIMPLE[key], value)
        elif key in _REFERENCES:
            raise InvalidRequest(
                "a reference image has no meaning for this model.", hint="Remove the setting."
            )
        else:
            known = (*_SIMPLE, *_SIZES, *_FRAMES, "enhance_prompt", *_DECIDED)
            raise InvalidRequest(
                "this setting has no meaning.", hint=f"Remove it. {suggest(key, known)}"
            )

    def entry(self) -> PresetEntry | None:
        """Return the preset, or None where it would change nothing."""
        own = {name: getattr(self._job, name, None) for name in self._values}
        values = {name: value for name, value in self._values.items() if value != own[name]}
        shares = {name: share for name, share in self._shares.items() if share != 1.0}
        if not values and not shares:
            return None
        return PresetEntry(text="Imported from the old service", overrides=values, **shares)

    def _read_value(self, key: str, name: str, value: Any) -> None:
        parameter = BY_NAME[name]
        if not self._is_read(key, name):
            self._drop_unread(key, value)
        elif parameter.kind == "str":
            text = parameter.check(value)
            self._values[name] = check_prompt(str(text), name=key) if str(text).strip() else ""
        elif parameter.kind == "choice":
            self._values[name] = parameter.check(value)
        else:
            self._values[name] = parameter.check(parse_number(key, value))

    def _is_read(self, key: str, name: str) -> bool:
        families = ("wan",) if key == "sample_solver" else BY_NAME[name].applies_to
        is_video_only = name == "fps" and self._job.media_type is not MediaType.VIDEO
        return not is_video_only and (not families or self._model.family in families)

    def _drop_unread(self, key: str, value: Any) -> None:
        if value != 1:  # one image, one frame: what the model makes anyway
            self.adjustments.append(f"{key} left out: {self._job.name} never read it")

    def _read_size(self, width: int, height: int) -> None:
        self._read_side("width", width)
        self._read_side("height", height)

    def _read_side(self, side: str, px: int | float) -> None:
        native = self._model.width if side == "width" else self._model.height
        self._share(f"{side}_share", int(BY_NAME[side].check(px)) / native)

    def _read_frames(self, given: int | float) -> None:
        if self._job.media_type is not MediaType.VIDEO:
            self._drop_unread("frame_num", given)
            return
        frames = int(BY_NAME["num_frames"].check(given))
        floored = check_num_frames(floored_frames(frames))
        if floored != frames:
            self.adjustments.append(
                f"frame_num {frames} became {floored}: the model makes 4n+1 frames, and the old "
                "engine floored to them"
            )
        self._share("frames_share", (floored - 1) / (self._model.num_frames - 1))

    def _share(self, name: str, share: float) -> None:
        if share > _MAX_SHARE:
            raise InvalidRequest(
                f"{share:.3g} times what {self._model.id} was made for.",
                hint=f"Presets go to {_MAX_SHARE} times the model's native size and clip.",
            )
        self._shares[name] = share

    def _read_enhance(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise InvalidRequest("not true or false.", hint="Send a JSON boolean.")
        if value is not self._job.is_enhanced:
            does = "always enhances" if self._job.is_enhanced else "never enhances"
            self.adjustments.append(f"enhance_prompt left out: {self._job.name} {does}")


def _table(preset: ImportedPreset, entry: PresetEntry) -> list[str]:
    lines = [
        f"[presets.{_key(preset.job_type)}.{_key(preset.name)}]",
        f"text = {_toml(entry.text)}",
    ]
    for name in ("width_share", "height_share", "frames_share"):
        if getattr(entry, name) != 1.0:
            lines.append(f"{name} = {_toml(getattr(entry, name))}")
    if entry.overrides:
        values = ", ".join(f"{_key(name)} = {_toml(v)}" for name, v in entry.overrides.items())
        lines.append(f"overrides = {{ {values} }}")
    return lines


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: int | float | str) -> str:
    if isinstance(value, str):  # a TOML string is a JSON string, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(
            f"{path.name}: {error}", hint="Mend the file, or add the printed presets by hand."
        ) from error
