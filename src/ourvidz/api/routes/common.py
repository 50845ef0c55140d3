"""What the native routes share: documented errors, cursors, ids."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query, Request

from ourvidz.api.deps import Deps
from ourvidz.api.events import MAX_SEQ
from ourvidz.api.schemas import ErrorResponse
from ourvidz.api.views import Viewer
from ourvidz.core.errors import InvalidRequest, NotFound

T = TypeVar("T")

_TEXTS: Mapping[int, str] = {
    400: "The request is not valid; the body says what and why.",
    401: "No valid API key.",
    403: "The key lacks a scope, or the host or origin is not allowed.",
    404: "No such thing, or not yours.",
    409: "The state does not allow this, or the Idempotency-Key was used for something else.",
    413: "Larger than allowed.",
    429: "A quota of the key is used up; Retry-After says when to come again.",
    500: "Something unexpected; the log has it under the request's id.",
    502: "Another server did not answer as it should.",
    503: "The store or storage can't be reached; Retry-After says when to come again.",
    507: "The store or the disk is full.",
}
_ALWAYS = (400, 401, 403, 429, 500, 503)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented error responses of a route: those of every route and ``statuses``."""
    return {
        status: {"model": ErrorResponse, "description": _TEXTS[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }


def _viewer(request: Request, deps: Deps) -> Viewer:
    return Viewer(deps=deps, request=request)


View = Annotated[Viewer, Depends(_viewer)]

_ID = re.compile(r"^[a-z]{1,16}_[0-9a-z]{1,64}$")

JobId = Annotated[
    str, Path(description="The job's id.", examples=["job_01k9w8n0c4kq4v7m2x5y6z7a8b"])
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of the page before.")]


After = Annotated[
    int | None,
    Query(ge=0, le=MAX_SEQ, description="Answer at once, as JSON, with what is behind this seq."),
]
MaxS = Annotated[
    float | None, Query(gt=0, le=86400, description="End the stream after so many seconds.")
]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Go on behind this event.")
]


def known_id(value: str) -> str:
    """Return an id that has the form of ours; others can't exist.

    Raises:
        NotFound: it has not.
    """
    if not _ID.match(value):
        raise NotFound
    return value


def to_cursor(last_id: str) -> str:
    """Return an opaque cursor behind ``last_id``."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def from_cursor(cursor: str | None) -> str | None:
    """Return the id that a cursor stands for.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = text.decode("ascii")
    except (binascii.Error, ValueError):
        found = ""
    if not _ID.match(found):
        raise InvalidRequest(
            "The cursor is not valid.", param="cursor", hint="Pass next_cursor as it came."
        )
    return found


def page_of(
    items: Sequence[T], id_of: Callable[[T], str], *, limit: int, cursor: str | None
) -> tuple[Sequence[T], str | None]:
    """Return the items of a list behind a cursor, and the cursor of the next page.

    Raises:
        InvalidRequest: the cursor stands for nothing in the list.
    """
    begin = 0
    if cursor is not None:
        ids = [id_of(each) for each in items]
        try:
            text = base64.b64decode(
                cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
            begin = ids.index(text.decode("ascii")) + 1
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                "The cursor is not valid.",
                param="cursor",
                hint="Pass next_cursor as it came, or begin anew.",
            ) from None
    shown = items[begin : begin + limit]
    if begin + limit >= len(items):
        return shown, None
    return shown, to_cursor(id_of(shown[-1]))
