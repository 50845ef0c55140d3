"""A request's body as plain fields, whether it came as JSON or as a form.

The official client always sends videos as ``multipart/form-data``: every value is text, a nested
value is a field ``name[key]``, a list is ``name[]`` repeated. Both ways end in the same fields.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ourvidz.core.errors import InvalidRequest

MAX_FIELDS = 64
MAX_FILES = 1

_NESTED = re.compile(r"([A-Za-z0-9_]+)\[([A-Za-z0-9_]*)\]")
_FORM_TYPES = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})

Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that came inside a form. Its name is the client's: never a path for us."""

    data: bytes


async def read_fields(request: Request, *, max_bytes: int) -> Fields:
    """Return the fields of a form or of a JSON object; files as ``Upload``.

    Args:
        max_bytes: the most that one text field of a form may hold; the whole body is bounded
            before it comes here.

    Raises:
        InvalidRequest: neither a form nor a JSON object, or malformed.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type in _FORM_TYPES:
        return await _read_form(request, max_bytes)
    if content_type in {"", "application/json"} or content_type.endswith("+json"):
        return await read_json(request)
    raise InvalidRequest(
        f"Content-Type {content_type!r} can't be read here.",
        hint="Send multipart/form-data or application/json.",
    )


async def read_json(request: Request) -> Fields:
    """Return the fields of a JSON object.

    Raises:
        InvalidRequest: not JSON, not an object, or text that UTF-8 can't say.
    """
    try:
        value = json.loads(await request.body() or b"{}", parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no UTF-8
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "The body is not valid JSON.", hint='Send an object: {"prompt": "..."}.'
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest(
            "The body is not a JSON object.", hint='Send an object: {"prompt": "..."}.'
        )
    return cast("Fields", value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


async def _read_form(request: Request, max_bytes: int) -> Fields:
    form = request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=max_bytes)
    try:
        async with form as data:
            return await _fields_of_form(data)
    except HTTPException as error:  # what Starlette makes of a malformed form
        raise InvalidRequest(f"The form can't be read: {error.detail}") from None


async def _fields_of_form(data: FormData) -> Fields:
    fields: Fields = {}
    for name, value in data.multi_items():
        plain = Upload(data=await value.read()) if isinstance(value, UploadFile) else value
        nested = _NESTED.fullmatch(name)
        if nested is None:
            _put_once(fields, name, plain, name)
        elif nested[2]:
            _put_once(_group(fields, nested[1], dict), nested[2], plain, name)
        else:
            _group(fields, nested[1], list).append(plain)
    return fields


def _group(fields: Fields, name: str, kind: type[Any]) -> Any:
    group = fields.setdefault(name, kind())
    if not isinstance(group, kind):
        raise InvalidRequest(f"{name} is given in two ways.", param=name, hint="Send it once.")
    return group


def _put_once(fields: Fields, name: str, value: object, full_name: str) -> None:
    if name in fields:
        raise InvalidRequest(f"{full_name} is given twice.", param=full_name, hint="Send it once.")
    fields[name] = value


def canonical(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields in a form that is equal for equal requests.

    A form's raw bytes are not: each try of the official client draws a new boundary. A file
    stands as its hash.
    """
    return {name: _plain(value) for name, value in sorted(fields.items())}


def _plain(value: object) -> object:
    if isinstance(value, Upload):
        return {"sha256": hashlib.sha256(value.data).hexdigest()}
    if isinstance(value, dict):
        return canonical(cast("Mapping[str, Any]", value))
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    return value
