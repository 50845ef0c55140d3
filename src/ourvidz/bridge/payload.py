"""What the old service put on its lists, read without trusting any of it.

Two generations of payloads exist (July and August 2025) and mixtures of both. A payload that can
be answered has an id; without one there is nobody to tell, and it is poison.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from ourvidz.core.errors import InvalidRequest

Style = Literal["july", "august"]

MAX_PAYLOAD_BYTES = 1 << 20
MAX_ID_CHARS = 200

_JULY_CONFIG = frozenset(
    {
        "size",
        "sample_steps",
        "sample_guide_scale",
        "sample_solver",
        "sample_shift",
        "frame_num",
        "enhance_prompt",
        "expected_time",
        "content_type",
        "file_extension",
        "task",
    }
)
_JULY_TOP = frozenset({"video_id", "image_id", "character_id", "model_variant", "bucket"})
_AUGUST_CONFIG = frozenset(
    {"steps", "guidance_scale", "resolution", "width", "height", "frames", "fps", "reference_mode"}
)

# What Postgres can't hold in a text: NUL and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PoisonPayloadError(Exception):
    """A list entry that nobody can be told about: not JSON, not an object, no id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LegacyPayload:
    """One entry of an old list.

    ``raw_id`` is the id as it came (text or number) and goes back so in callbacks; ``id`` is its
    text. ``config`` and ``metadata`` are empty where the payload has none.
    """

    id: str
    raw_id: str | int
    fields: Mapping[str, Any]  # the whole payload
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    style: Style

    def first(self, *places: str) -> Any:
        """Return the first value that is there and not null.

        Args:
            places: dotted names, such as ``config.seed``; July's names come first.
        """
        for place in places:
            section, _, name = place.rpartition(".")
            source = {"": self.fields, "config": self.config, "metadata": self.metadata}[section]
            value = source.get(name)
            if value is not None:
                return value
        return None


def parse_payload(raw: bytes) -> LegacyPayload:
    """Read one list entry.

    Raises:
        PoisonPayloadError: it is not a JSON object with an id.
    """
    fields = _parse_object(raw)
    raw_id = fields.get("id")
    if isinstance(raw_id, bool) or not isinstance(raw_id, str | int) or not str(raw_id).strip():
        raise PoisonPayloadError("it has no id")
    if len(str(raw_id)) > MAX_ID_CHARS:
        raise PoisonPayloadError(f"its id has more than {MAX_ID_CHARS} characters")
    config, metadata = (_section(fields, name) for name in ("config", "metadata"))
    return LegacyPayload(
        id=str(raw_id).strip(),
        raw_id=raw_id,
        fields=fields,
        config=config,
        metadata=metadata,
        style=_style(fields, config),
    )


def check_sections(payload: LegacyPayload) -> None:
    """Raise InvalidRequest where ``config`` or ``metadata`` is there but not an object."""
    for name in ("config", "metadata"):
        value = payload.fields.get(name)
        if value is not None and not isinstance(value, dict):
            raise InvalidRequest(
                f"{name} is not an object.", param=name, hint="Send a JSON object, or leave it out."
            )


def _parse_object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_PAYLOAD_BYTES:
        raise PoisonPayloadError(f"it has more than {MAX_PAYLOAD_BYTES} bytes")
    try:
        value = _storable(
            json.loads(raw.decode(), parse_constant=_refuse_number, parse_float=_finite)
        )
    except (ValueError, RecursionError):
        raise PoisonPayloadError("it is not JSON") from None
    if not isinstance(value, dict):
        raise PoisonPayloadError("it is not a JSON object")
    return value


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(text)  # NaN and Infinity, which Python reads and no database keeps


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _section(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _style(fields: Mapping[str, Any], config: Mapping[str, Any]) -> Style:
    """July if anything of July is there: its names win in a mixture too."""
    if _JULY_CONFIG & config.keys() or _JULY_TOP & fields.keys():
        return "july"
    return "august" if _AUGUST_CONFIG & config.keys() else "july"
