"""Frozen dataclasses to JSON values, and a digest of JSON values that never depends on order."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, cast


def plain(value: Any, *, without: AbstractSet[str] = frozenset()) -> Any:
    """Return JSON values of a dataclass and what it holds.

    Enums become their values, moments ISO text, what is not finite None.

    Args:
        value: A dataclass, mapping, sequence, set or a single value.
        without: Names of dataclass fields that are left out, at any depth.
    """
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case float():
            return float(value) if math.isfinite(value) else None
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case Mapping():
            items = cast("Mapping[Any, Any]", value).items()
            return {str(plain(key)): plain(item, without=without) for key, item in items}
        case _ if is_dataclass(value):
            names = [each.name for each in fields(value) if each.name not in without]
            return {name: plain(getattr(value, name), without=without) for name in names}
        case set() | frozenset():
            return sorted((plain(item) for item in cast("AbstractSet[Any]", value)), key=repr)
        case list() | tuple():
            return [plain(item, without=without) for item in cast("Sequence[Any]", value)]
        case _:
            return str(value)


def digest(value: Any, *, length: int = 12) -> str:
    """Return hexadecimal digits that are equal for equal values, whatever their order of keys."""
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]


def flatten(value: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, names joined by dots; lists stay single values of text."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        path = f"{prefix}{name}"
        if isinstance(item, Mapping):
            found |= flatten(cast("Mapping[str, Any]", item), prefix=f"{path}.")
        elif isinstance(item, (list, tuple)):
            for index, each in enumerate(cast("Sequence[Any]", item)):
                if isinstance(each, Mapping):
                    found |= flatten(cast("Mapping[str, Any]", each), prefix=f"{path}.{index}.")
                else:
                    found[f"{path}.{index}"] = each
        else:
            found[path] = item
    return found
