"""Keys in a browser. None of these routes needs a key: they say whether one is there."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import Headers

from ourvidz.api.auth import Principal, authenticate, is_open_to, principal_of, valid_key
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.routes.common import errors
from ourvidz.api.session import (
    AttemptLimiter,
    authorization_of,
    forget_key,
    is_forwarded,
    keep_key,
)
from ourvidz.api.session_schemas import SessionAnswer, SessionRequest
from ourvidz.core.errors import Unauthorized

router = APIRouter(tags=["session"])


def _attempts(request: Request) -> AttemptLimiter:
    return cast("AttemptLimiter", request.app.state.attempts)


Attempts = Annotated[AttemptLimiter, Depends(_attempts)]


@router.get(
    "/session", operation_id="get_session", response_model=SessionAnswer, responses=errors()
)
def get_session(request: Request, deps: Deps) -> SessionAnswer:
    """Read whether a key is needed, and what the one that was sent may do.

    It is answered without a key too.
    """
    return _answer(request, deps, authorization=authorization_of(request.headers))


@router.post(
    "/session",
    operation_id="start_session",
    response_model=SessionAnswer,
    responses=errors(413),
)
def start_session(
    body: SessionRequest, request: Request, response: Response, deps: Deps, attempts: Attempts
) -> SessionAnswer:
    """Hand in a key: the answer sets a cookie that stands for it from then on.

    Scripts can't read the cookie and other sites can't send it. It ends with the key, or after
    180 days. A wrong key sets none.
    """
    secret = body.key.strip()
    address = request.client.host if request.client else None
    attempts.begin(address)
    key = valid_key(deps.store, secret)
    attempts.forgive(address)
    settings = deps.settings
    keep_key(response, request, key=key, secret=secret, now=deps.store.now(), settings=settings)
    return _of(principal_of(key, settings.quotas), needs_key=True)


@router.delete(
    "/session", operation_id="end_session", response_model=SessionAnswer, responses=errors()
)
def end_session(request: Request, response: Response, deps: Deps) -> SessionAnswer:
    """Forget the key in this browser. The key itself stays valid."""
    forget_key(response, request, deps.settings)
    return _answer(request, deps, authorization=request.headers.get("authorization"))


def _answer(request: Request, deps: AppDeps, *, authorization: str | None) -> SessionAnswer:
    headers: Headers = request.headers
    client_host = request.client.host if request.client else None
    is_by_proxy = is_forwarded(headers)
    try:
        principal = authenticate(
            store=deps.store,
            quotas=deps.settings.quotas,
            authorization=authorization,
            client_host=client_host,
            is_forwarded=is_by_proxy,
        )
    except Unauthorized:
        return SessionAnswer(
            is_authenticated=False, needs_key=True, tenant=None, scopes=[], key_name=None
        )
    is_open = is_open_to(store=deps.store, client_host=client_host, is_forwarded=is_by_proxy)
    return _of(principal, needs_key=not is_open)


def _of(principal: Principal, *, needs_key: bool) -> SessionAnswer:
    return SessionAnswer(
        is_authenticated=True,
        needs_key=needs_key,
        tenant=principal.tenant,
        scopes=sorted(principal.scopes),
        key_name=principal.key_name,
    )
