"""Errors in OpenAI's shape, and the refusals that only these routes make."""

from __future__ import annotations

from typing import Any

from ourvidz.api.errors import ErrorAnswer
from ourvidz.core.errors import InvalidRequest

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# What clients look for by OpenAI's own word.
_CODES = {("unknown_name", "model"): "model_not_found"}


def error_body(answer: ErrorAnswer) -> dict[str, Any]:
    """Return OpenAI's body, whose message also holds the hint: there is no other place for it."""
    default = "server_error" if answer.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": f"{answer.message} {answer.hint}" if answer.hint else answer.message,
            "type": _TYPES.get(answer.status, default),
            "param": answer.param,
            "code": _CODES.get((answer.code, answer.param or ""), answer.code),
        }
    }


class ReferenceUnsupported(InvalidRequest):
    """No model of this service takes a reference image."""

    code = "reference_unsupported"


class OperationUnsupported(InvalidRequest):
    """This service does not do that."""

    code = "unsupported"
