"""API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ourvidz.api.auth import KeysWriter
from ourvidz.api.deps import Deps
from ourvidz.api.keys import create_key
from ourvidz.api.routes.common import errors, known_id
from ourvidz.api.schemas import KeyAnswer, KeyCreated, KeyList, KeyRequest
from ourvidz.api.views import key_answer, key_values
from ourvidz.core.errors import Forbidden
from ourvidz.jobs.model import Quotas

router = APIRouter(tags=["keys"])

KeyId = Annotated[str, Path(description="The key's id.")]


@router.post(
    "/keys",
    operation_id="create_key",
    status_code=201,
    response_model=KeyCreated,
    responses=errors(507),
)
def create_api_key(body: KeyRequest, deps: Deps, who: KeysWriter) -> KeyCreated:
    """Make a key. Its secret is in this answer and nowhere else.

    Nobody can grant a scope that he lacks. Once a key exists, every request needs one: make the
    first with the scope `admin`.
    """
    lacking = [scope for scope in body.scopes if not who.may(scope)]
    if lacking:
        raise Forbidden(f"You lack the scope {lacking[0]!r} yourself.", param="scopes")
    tenant = body.tenant or who.tenant
    if tenant != who.tenant and not who.may("admin"):
        raise Forbidden("A key of another tenant needs the scope 'admin'.", param="tenant")
    key, secret = create_key(
        store=deps.store,
        clock=deps.clock,
        name=body.name,
        tenant=tenant,
        scopes=body.scopes,
        quotas=Quotas(**body.quotas.model_dump()),
        expires_in_days=body.expires_in_days,
    )
    return KeyCreated(**key_values(key), secret=secret)


@router.get("/keys", operation_id="list_keys", response_model=KeyList, responses=errors())
def list_keys(deps: Deps, who: KeysWriter) -> KeyList:
    """List keys, newest first, revoked and expired ones too."""
    return KeyList(data=[key_answer(key) for key in deps.store.keys(tenant=who.tenant_filter)])


@router.delete(
    "/keys/{key_id}", operation_id="revoke_key", response_model=KeyAnswer, responses=errors(404)
)
def revoke_key(key_id: KeyId, deps: Deps, who: KeysWriter) -> KeyAnswer:
    """Revoke a key; it works from the next request on no more."""
    return key_answer(deps.store.revoke_key(known_id(key_id), tenant=who.tenant_filter))
