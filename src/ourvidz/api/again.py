"""From the settings that a file was made with to a job that makes it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ourvidz.api.deps import AppDeps
from ourvidz.api.prompt_schemas import SettingsAnswer
from ourvidz.api.schemas import PARAMETER_NAMES
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE, resolve
from ourvidz.checkpoints.confirmations import offers_of
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import GenerationRequest, MediaType

_WORDS = ("prompt", "job_type", "preset")
_OF_VIDEOS = ("num_frames", "fps")
_ANY_PROMPT = "a circle"  # the other values are checked without the prompt, too
_MAX_TEXT_CHARS = 20_000


def request_again(settings: Mapping[str, object], deps: AppDeps) -> SettingsAnswer:
    """Return a job of these settings; what is not legal here is left out of it, with a note."""
    plain = {_text(name): _plain(value) for name, value in settings.items()}
    told = {name: value for name, value in plain.items() if value is not None}
    given = {name: told[name] for name in (*_WORDS, *PARAMETER_NAMES) if name in told}
    notes: list[str] = []
    dropped: dict[str, Any] = {}
    for name in _WORDS:
        if name in given and not isinstance(given[name], str):
            dropped[name] = given.pop(name)
            notes.append(f"{name} {dropped[name]!r} is no text.")
    if not _is_video(str(given.get("job_type", DEFAULT_JOB_TYPE)), deps):
        for name in _OF_VIDEOS:  # images carry them too, and no job type of theirs reads them
            given.pop(name, None)
    resolved = _resolved(given, deps)
    while isinstance(resolved, InvalidRequest):
        name = resolved.param if resolved.param in given else next(reversed(given))
        dropped[name] = given.pop(name)
        notes.append(resolved.message)
        resolved = _resolved(given, deps)
    others = {name: value for name, value in told.items() if name not in given}
    model = told.get("model")
    if model is not None and model != resolved.model:
        notes.append(f"It was made with the model {model!r}; here it would be {resolved.model!r}.")
    values = resolved.to_dict()
    return SettingsAnswer(
        request={name: _json(values[name]) for name in given},
        unknown={**others, **dropped},
        notes=notes,
    )


def _is_video(job_type: str, deps: AppDeps) -> bool:
    found = deps.catalogue.job_types.get(job_type)
    return found is None or found.media_type is MediaType.VIDEO


def _resolved(given: Mapping[str, Any], deps: AppDeps) -> GenerationRequest | InvalidRequest:
    words = {name: given[name] for name in ("job_type", "preset") if name in given}
    try:
        return resolve(
            catalogue=deps.catalogue,
            settings=deps.settings,
            prompt=given.get("prompt", _ANY_PROMPT),
            seed=0,
            values={name: value for name, value in given.items() if name not in _WORDS},
            offers=offers_of(deps.settings),
            **words,
        )
    except InvalidRequest as error:
        return error


def _json(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value


def _text(text: str) -> str:
    return text[:_MAX_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")


def _plain(value: object) -> str | int | float | bool | None:
    """Return a value that any JSON can say; None for others, which settings have none of."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | bool) else None
