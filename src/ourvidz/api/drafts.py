"""From request bodies to drafts for the submitter."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ourvidz.api.auth import Principal
from ourvidz.api.deps import AppDeps
from ourvidz.api.schemas import (
    MAX_METADATA_BYTES,
    PARAMETER_NAMES,
    GridRequest,
    JobRequest,
)
from ourvidz.catalog.parameters import suggest
from ourvidz.core.errors import Forbidden, InvalidRequest, TooLarge, UnknownName
from ourvidz.jobs.model import Callback, JobKind
from ourvidz.jobs.submission import MAX_JOBS_A_SUBMIT, Draft

_AXES = ("prompt", "job_type", "preset", *PARAMETER_NAMES)


def draft_of(body: JobRequest, *, who: Principal, deps: AppDeps) -> Draft:
    """Return the draft of one job.

    Raises:
        Forbidden: a raised priority without the scope for it.
        InvalidRequest, TooLarge, UrlRefused: metadata or a webhook address that is not legal.
    """
    if body.priority > 0 and not who.may("queue:write"):
        raise Forbidden(
            "A priority above 0 needs the scope 'queue:write'.",
            param="priority",
            hint="Leave it out, or ask for a key with that scope.",
        )
    check_metadata(body.metadata)
    return Draft(
        prompt=body.prompt,
        job_type=body.job_type,
        preset=body.preset,
        values={name: getattr(body, name) for name in PARAMETER_NAMES},
        kind=JobKind.GENERATE,
        tenant=who.tenant,
        key_id=who.key_id,
        priority=body.priority,
        delay_s=body.delay_s,
        metadata=body.metadata,
        callbacks=_callbacks(body, deps),
    )


def grid_of(body: GridRequest, *, draw_seed: Any) -> list[JobRequest]:
    """Return one job for every combination of the axes' values.

    Raises:
        UnknownName: an axis that is no parameter.
        InvalidRequest: no values, too many combinations, or a value that is not legal.
    """
    for name, values in body.axes.items():
        if name not in _AXES:
            raise UnknownName(
                f"axis {name!r} is not a parameter.", param="axes", hint=suggest(name, _AXES)
            )
        if not values:
            raise InvalidRequest(f"axis {name!r} has no values.", param=f"axes.{name}")
    number = math.prod(len(values) for values in body.axes.values())
    if number > MAX_JOBS_A_SUBMIT:
        raise InvalidRequest(
            f"The axes have {number} combinations; {MAX_JOBS_A_SUBMIT} are the most.",
            param="axes",
            hint="Split the grid over several requests.",
        )
    base = body.base.model_dump(exclude_unset=True)
    if base.get("seed") is None and "seed" not in body.axes:
        base["seed"] = draw_seed()
    names = list(body.axes)
    return [
        _varied(base, dict(zip(names, values, strict=True)))
        for values in itertools.product(*body.axes.values())
    ]


def _varied(base: Mapping[str, Any], point: Mapping[str, Any]) -> JobRequest:
    metadata = {**base.get("metadata", {}), "grid": dict(point)}
    try:
        return JobRequest.model_validate({**base, **point, "metadata": metadata})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InvalidRequest(f"axis {name!r}: {first['msg']}.", param=f"axes.{name}") from None


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Check what a client wants to have kept.

    Raises:
        InvalidRequest: a text that no database takes.
        TooLarge: more than ``MAX_METADATA_BYTES`` as JSON.
    """
    try:
        text = json.dumps(metadata, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest("metadata holds text that is not Unicode.", param="metadata") from None
    if len(text) > MAX_METADATA_BYTES:
        raise TooLarge(
            f"metadata has {len(text)} bytes as JSON; {MAX_METADATA_BYTES} are the most.",
            param="metadata",
            hint="Keep it elsewhere, and its id here.",
        )
    if b"\\u0000" in text:
        raise InvalidRequest("metadata holds a NUL character.", param="metadata")


def _callbacks(body: JobRequest, deps: AppDeps) -> tuple[Callback, ...]:
    if body.webhook_url is None:
        return ()
    deps.client.check_url(body.webhook_url, is_post=True)
    if not body.webhook_events:
        raise InvalidRequest("webhook_events is empty.", param="webhook_events")
    events = tuple(dict.fromkeys(body.webhook_events))
    return (Callback(kind="webhook", url=body.webhook_url, events=events),)
