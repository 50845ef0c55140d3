"""Changes of the whole service as they happen."""

from __future__ import annotations

from typing import Any, cast, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from ourvidz.api.auth import JobsReader
from ourvidz.api.deps import Deps
from ourvidz.api.events import MEDIA_TYPE
from ourvidz.api.live import LiveDesk, live_response
from ourvidz.api.live_schemas import LiveEvent
from ourvidz.api.routes.common import MaxS, View, errors
from ourvidz.api.views import iso

router = APIRouter(tags=["live"])

# As it goes over the wire; LiveEvent in the document says what data holds once it is read.
_EVENT: dict[str, Any] = {
    "title": "LiveServerSentEvent",
    "type": "object",
    "properties": {
        "event": {
            "type": "string",
            "enum": list(get_args(LiveEvent.model_fields["event"].annotation)),
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": f"#/components/schemas/{model.__name__}"}
                    for model in get_args(LiveEvent.model_fields["data"].annotation)
                ]
            },
        },
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The events.", "content": {MEDIA_TYPE: {"schema": _EVENT}}}
}


@router.get(
    "/events",
    operation_id="live_events",
    response_model=LiveEvent,
    response_class=Response,  # without a media type of its own: what it holds is said below
    responses={**errors(), **_STREAM},
)
def live_events(
    request: Request, deps: Deps, who: JobsReader, view: View, max_s: MaxS = None
) -> Response:
    """Follow everything that changes, as server-sent events.

    `hello` comes first: read what you show then. After it come `jobs` (those that changed, and ids
    of deleted ones), `queue` and `workers`, each when it is another one than before, at most four
    times a second; to who may read metrics also `figures` (which performance figures are new) and
    `benchmark` (how a run of the protocol goes on). No change is left out while the connection
    stands; where too much has changed at once to be told, `hello` comes again. Nothing is kept
    between two connections. The stream ends within half a minute once its key is valid no more.
    """
    return live_response(
        deps,
        cast("LiveDesk", request.app.state.live),
        view,
        who,
        started_at=iso(request.app.state.started_at.timestamp()),
        max_s=max_s,
    )
