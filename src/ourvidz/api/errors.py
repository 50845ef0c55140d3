"""Every error as one body: ``{"error": {"code", "message", "param", "hint"}}``.

What a client may read is decided here. Messages about this machine (paths, configuration) are
replaced by what the code means; anything unexpected becomes ``internal_error`` with the request's
id, and its trace goes to the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ourvidz.catalog.parameters import BY_NAME, suggest
from ourvidz.core import errors
from ourvidz.core.errors import OurVidzError, QuotaExceeded
from ourvidz.core.redact import without_paths

STATUS_BY_CODE: Mapping[str, int] = {
    "invalid_request": 400,
    "unknown_name": 400,
    "policy_refused": 400,
    "url_refused": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "illegal_state": 409,
    "idempotency_conflict": 409,
    "too_large": 413,
    "quota_exceeded": 429,
    "internal_error": 500,
    "fetch_failed": 502,
    "store_unavailable": 503,
    "storage_failed": 503,
    "model_missing": 503,
    "store_full": 507,
    "disk_full": 507,
}

# Their messages name places on this machine: clients read what the code means instead.
_ABOUT_THIS_MACHINE = frozenset(
    {
        "config_invalid",
        "checkpoint_invalid",
        "output_unwritable",
        "disk_full",
        "output_invalid",
        "missing_dependency",
        "store_unavailable",
        "storage_failed",
        "store_full",
        "internal_error",
    }
)
_MEANINGS: Mapping[str, str] = {
    cls.code: (cls.__doc__ or "").strip().splitlines()[0]
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, OurVidzError)
} | {"internal_error": "Something went wrong on the server."}

_RETRY_AFTER_S = 2
_LONGEST_RETRY_S = 120  # longer waits are not for a client library to sit out


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorAnswer:
    """An error as a client sees it, before it is put into a surface's own shape."""

    status: int
    code: str
    message: str
    param: str | None = None
    hint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


ErrorRenderer = Callable[[ErrorAnswer], Mapping[str, Any]]


def error_body(answer: ErrorAnswer) -> dict[str, Any]:
    """Return the native body."""
    return {
        "error": {
            "code": answer.code,
            "message": answer.message,
            "param": answer.param,
            "hint": answer.hint,
        }
    }


def answer_of(error: OurVidzError) -> ErrorAnswer:
    """Return what a client is told of one of our errors: status, texts, retry headers."""
    status = status_of(error)
    message = public_message(error.code, error.message)
    hint = None if error.code in _ABOUT_THIS_MACHINE else error.hint
    return ErrorAnswer(
        status=status,
        code=error.code,
        message=message,
        param=error.param,
        hint=without_paths(hint) if hint else None,
        headers=_headers(error, status),
    )


def status_of(error: OurVidzError) -> int:
    """Return the HTTP status of an error.

    Its class's own ``http_status`` if it has one, else that of its code, else its parent's.
    """
    own = getattr(error, "http_status", None)
    if own is not None:
        return int(own)
    codes = [str(getattr(cls, "code", "")) for cls in type(error).__mro__]
    return next((STATUS_BY_CODE[code] for code in codes if code in STATUS_BY_CODE), 500)


def public_message(code: str, message: str) -> str:
    """Return ``message`` as a client may read it."""
    if code in _ABOUT_THIS_MACHINE:
        return _MEANINGS.get(code, _MEANINGS["internal_error"])
    return without_paths(message)


def public_job_error(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored job's error as a client may read it."""
    if error is None:
        return None
    code = str(error.get("code") or "internal_error")
    hint = error.get("hint")
    return {
        "code": code,
        "message": public_message(code, str(error.get("message") or "")),
        "param": error.get("param"),
        "hint": without_paths(str(hint)) if hint and code not in _ABOUT_THIS_MACHINE else None,
    }


def _headers(error: OurVidzError, status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status == 409:  # the official client would try again, which mends nothing
        return {"x-should-retry": "false"}
    if status == 429:
        wait_s = error.retry_after_s if isinstance(error, QuotaExceeded) else None
        wait = max(1, round(wait_s if wait_s is not None else 60))
        should = "true" if wait <= _LONGEST_RETRY_S else "false"
        return {"Retry-After": str(wait), "x-should-retry": should}
    if status == 503:
        return {"Retry-After": str(_RETRY_AFTER_S)}
    if status == 507:
        return {"x-should-retry": "false"}
    return {}


def answer_of_http(error: HTTPException) -> ErrorAnswer:
    """Return the answer for what the framework raises: unknown routes, wrong methods."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    texts = {
        404: "There is nothing at this address.",
        405: "The method is not allowed here.",
        413: "The body is larger than allowed.",
    }
    default = "invalid_request" if error.status_code < 500 else "internal_error"
    return ErrorAnswer(
        status=error.status_code,
        code=codes.get(error.status_code, default),
        message=texts.get(error.status_code, without_paths(str(error.detail))),
        headers=dict(error.headers or {}),
    )


def answer_of_validation(error: RequestValidationError) -> ErrorAnswer:
    """Return the first thing that is wrong with a request, with its place as ``param``."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][1:]]  # without "body", "query"...
    if first["type"] == "json_invalid":
        return ErrorAnswer(status=400, code="invalid_request", message="The body is no valid JSON.")
    if not place:
        return ErrorAnswer(
            status=400,
            code="invalid_request",
            message=f"The {first['loc'][0]} is missing or has another form than this route takes.",
            param=str(first["loc"][0]),
            hint="Send JSON, with the header 'Content-Type: application/json'.",
        )
    param = ".".join(place)
    if first["type"] == "extra_forbidden":
        return ErrorAnswer(
            status=400,
            code="unknown_name",
            message=f"{param} is not a field of this request.",
            param=param,
            hint=suggest(place[-1], ("prompt", "job_type", "preset", *BY_NAME)),
        )
    more = len(error.errors()) - 1
    return ErrorAnswer(
        status=400,
        code="invalid_request",
        message=f"{param}: {first['msg']}.",
        param=param,
        hint=f"{more} more {'values are' if more > 1 else 'value is'} not valid either."
        if more
        else None,
    )


def internal_answer(request_id: str) -> ErrorAnswer:
    """Return the answer to what nobody expected; the log has the rest under the same id."""
    return ErrorAnswer(
        status=500,
        code="internal_error",
        message=f"Something went wrong on the server (request {request_id}).",
        hint="Try again; if it stays, give the request id to the operator.",
    )


def render(answer: ErrorAnswer, *, path: str, renderers: Mapping[str, ErrorRenderer]) -> Response:
    """Return ``answer`` in the shape of the surface that ``path`` belongs to.

    Args:
        renderers: body makers by path prefix, for surfaces with a shape of their own.
    """
    make = next((make for prefix, make in renderers.items() if path.startswith(prefix)), error_body)
    return JSONResponse(dict(make(answer)), answer.status, headers=dict(answer.headers))


def respond(request: Request, answer: ErrorAnswer) -> Response:
    """Return ``answer`` as the response to ``request``."""
    return render(answer, path=request.url.path, renderers=request.app.state.error_renderers)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, OurVidzError)
    return respond(request, answer_of(error))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return respond(request, answer_of_http(error))


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond(request, answer_of_validation(error))


# What is not listed is caught by the outermost middleware, which logs it and answers 500.
EXCEPTION_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
    OurVidzError: _ours,
    HTTPException: _http,
    RequestValidationError: _validation,
}
