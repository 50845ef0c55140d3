"""Making API keys, for the HTTP API and the command line alike."""

from __future__ import annotations

from collections.abc import Sequence

from ourvidz.api.auth import SCOPES, SHOWN_CHARS, hash_secret, new_secret
from ourvidz.catalog.parameters import suggest
from ourvidz.core.clock import Clock
from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.ids import new_id
from ourvidz.jobs.model import ApiKey, Quotas
from ourvidz.jobs.store import JobStore

_DAY_S = 86400.0


def create_key(
    *,
    store: JobStore,
    clock: Clock,
    name: str,
    tenant: str,
    scopes: Sequence[str],
    quotas: Quotas | None = None,
    expires_in_days: float | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key and return it with its secret, which nothing keeps.

    Raises:
        UnknownName: a scope that does not exist.
        InvalidRequest: no scope, or an empty name.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise UnknownName(
                f"scope {scope!r} is unknown.", param="scopes", hint=suggest(scope, tuple(SCOPES))
            )
    if not scopes or not name.strip() or not name.isprintable():
        raise InvalidRequest("A key needs a name and a scope.", param="name")
    secret = new_secret()
    now = store.now()
    key = ApiKey(
        id=new_id("key", clock.now()),
        tenant=tenant,
        name=name.strip(),
        prefix=secret[:SHOWN_CHARS],
        scopes=tuple(dict.fromkeys(scopes)),
        quotas=quotas or Quotas(),
        created_at=now,
        expires_at=None if expires_in_days is None else now + expires_in_days * _DAY_S,
        revoked_at=None,
        last_used_at=None,
    )
    store.add_key(key, sha256=hash_secret(secret))
    return key, secret
