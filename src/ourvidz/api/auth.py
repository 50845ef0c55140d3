"""Who is asking, what he may do, and how a repeated request is recognised.

The middleware names the principal before a body is read; routes ask for a scope.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from ourvidz.catalog.config import QuotaConfig
from ourvidz.core.clock import Clock
from ourvidz.core.errors import Forbidden, InvalidRequest, QuotaExceeded, Unauthorized
from ourvidz.jobs.model import DEFAULT_TENANT, ApiKey, Dedup, Quotas
from ourvidz.jobs.store import JobStore

KEY_PREFIX = "ov_live_"
SHOWN_CHARS = len(KEY_PREFIX) + 6  # enough to recognise a key by
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BITS = 256
_SECRET_CHARS = 43  # ceil(256 / log2(62))
_CHECK_CHARS = 6  # ceil(32 / log2(62)): a CRC-32, which tells a typo from a wrong key

ADMIN = "admin"
SCOPES: Mapping[str, str] = {
    "jobs:read": "Read jobs, assets, events and the catalogue.",
    "jobs:write": "Submit, cancel, retry and delete jobs.",
    "queue:write": "Move jobs, raise priorities, pause and resume the queue.",
    "models:write": "Load and unload models.",
    "keys:write": "Create, list and revoke keys of the own tenant.",
    "metrics:read": "Read metrics and performance.",
    "performance:write": "Decide about changes of speed, keep goals, run benchmarks.",
    ADMIN: "Everything, in every tenant.",
}
DEFAULT_SCOPES = ("jobs:read", "jobs:write")

_RETRY_WINDOW_S = 600.0
_MAX_IDEMPOTENCY_CHARS = 255
_MINUTE_S = 60.0

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking."""

    tenant: str
    key_id: str | None  # None: a client on this machine, while no key exists
    scopes: frozenset[str]
    quotas: Quotas
    key_name: str | None = None

    def may(self, scope: str) -> bool:
        """Whether ``scope`` is granted; ``admin`` grants all."""
        return scope in self.scopes or ADMIN in self.scopes

    @property
    def tenant_filter(self) -> str | None:
        """What to pass as ``tenant`` to the store: None (all) for operators."""
        return None if ADMIN in self.scopes else self.tenant


LOCAL = Principal(tenant=DEFAULT_TENANT, key_id=None, scopes=frozenset(SCOPES), quotas=Quotas())


# Keys


def new_secret() -> str:
    """Return a new API key: prefix, 256 random bits, checksum."""
    body = _base62(secrets.randbits(_SECRET_BITS), _SECRET_CHARS)
    return f"{KEY_PREFIX}{body}{_checksum(body)}"


def is_well_formed(secret: str) -> bool:
    """Whether ``secret`` is a key of ours by its shape and checksum."""
    if len(secret) != len(KEY_PREFIX) + _SECRET_CHARS + _CHECK_CHARS:
        return False
    body, check = secret[len(KEY_PREFIX) : -_CHECK_CHARS], secret[-_CHECK_CHARS:]
    return (
        secret.isascii()
        and secret.startswith(KEY_PREFIX)
        and hmac.compare_digest(_checksum(body), check)
    )


def hash_secret(secret: str) -> str:
    """Return what the store keeps of a key. Its 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_CHARS)


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


# From a request to a principal


def authenticate(
    *,
    store: JobStore,
    quotas: QuotaConfig,
    authorization: str | None,
    client_host: str | None,
    is_forwarded: bool,
) -> Principal:
    """Return who is asking.

    Args:
        quotas: limits of keys without their own.
        authorization: the header, as it came.
        client_host: the address of the other end; None over a Unix socket.
        is_forwarded: a proxy says that it speaks for somebody else.

    Raises:
        Unauthorized: no key where one is needed, or one that is unknown, expired or revoked.
    """
    if authorization is None:
        if is_open_to(store=store, client_host=client_host, is_forwarded=is_forwarded):
            return LOCAL
        raise Unauthorized(
            hint="Send the header 'Authorization: Bearer ov_live_...'. "
            "The operator makes a key with: ourvidz keys create"
        )
    kind, _, secret = authorization.partition(" ")
    try:
        key = valid_key(store, secret if kind.lower() == "bearer" else "")
    except Unauthorized:
        # The official clients always send a key; without any in the store it means nothing.
        if is_open_to(store=store, client_host=client_host, is_forwarded=is_forwarded):
            return LOCAL
        raise
    return principal_of(key, quotas)


def is_open_to(*, store: JobStore, client_host: str | None, is_forwarded: bool) -> bool:
    """Whether a client needs no key: one on this machine, while no key exists."""
    return is_loopback(client_host) and not is_forwarded and not store.keys()


def valid_key(store: JobStore, secret: str) -> ApiKey:
    """Return the key of a secret.

    Raises:
        Unauthorized: it is unknown, expired or revoked.
    """
    secret = secret.strip()
    key = store.find_key(hash_secret(secret)) if is_well_formed(secret) else None
    if key is None:
        raise Unauthorized("The API key is not known.", hint="Check that it was copied whole.")
    if key.revoked_at is not None:
        raise Unauthorized("The API key was revoked.", hint="Ask the operator for another.")
    if key.expires_at is not None and key.expires_at <= store.now():
        raise Unauthorized("The API key has expired.", hint="Ask the operator for another.")
    return key


def principal_of(key: ApiKey, quotas: QuotaConfig) -> Principal:
    """Return the principal of a valid key; limits that it lacks come from ``quotas``."""
    own = key.quotas
    return Principal(
        tenant=key.tenant,
        key_id=key.id,
        key_name=key.name,
        scopes=frozenset(key.scopes),
        quotas=Quotas(
            requests_per_minute=_first(own.requests_per_minute, quotas.requests_per_minute),
            queued_jobs=_first(own.queued_jobs, quotas.queued_jobs),
            device_seconds_per_day=_first(
                own.device_seconds_per_day, quotas.device_seconds_per_day
            ),
        ),
    )


def _first(own: _Number | None, default: _Number | None) -> _Number | None:
    return default if own is None else own


def is_loopback(host: str | None) -> bool:
    """Whether an address or host name means this machine alone; None is a Unix socket."""
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def principal_from(request: Request) -> Principal:
    """Return whom the middleware named.

    Raises:
        Unauthorized: the path was reached without authentication.
    """
    principal = getattr(request.state, "principal", None)
    if principal is None:
        raise Unauthorized
    return principal


def require(scope: str) -> Callable[[Request], Principal]:
    """Return a dependency that gives the principal, or raises Forbidden without ``scope``."""
    assert scope in SCOPES, scope

    def check(request: Request) -> Principal:
        principal = principal_from(request)
        if not principal.may(scope):
            raise Forbidden(
                f"The API key lacks the scope {scope!r}.",
                hint=f"Ask for a key that may: {SCOPES[scope]}",
            )
        return principal

    return check


Anyone = Annotated[Principal, Depends(principal_from)]
JobsReader = Annotated[Principal, Depends(require("jobs:read"))]
JobsWriter = Annotated[Principal, Depends(require("jobs:write"))]
QueueWriter = Annotated[Principal, Depends(require("queue:write"))]
ModelsWriter = Annotated[Principal, Depends(require("models:write"))]
KeysWriter = Annotated[Principal, Depends(require("keys:write"))]
MetricsReader = Annotated[Principal, Depends(require("metrics:read"))]
PerformanceWriter = Annotated[Principal, Depends(require("performance:write"))]


# Repeated requests


def dedup_of(request: Request, principal: Principal, body: bytes) -> Dedup:
    """Return how to recognise a repetition of this submit.

    Two submits are the same if principal, address and ``body`` are: pass the raw body, or, where
    its encoding varies from one try to the next (multipart), the fields in a canonical form.

    Raises:
        InvalidRequest: an Idempotency-Key that is empty, too long or not printable ASCII.
    """
    owner = f"{principal.tenant}\n{principal.key_id}\n{request.method}\n{request.url.path}\n"
    key = request.headers.get("idempotency-key")
    if key is not None and not (
        1 <= len(key) <= _MAX_IDEMPOTENCY_CHARS and key.isascii() and key.isprintable()
    ):
        raise InvalidRequest(
            "The Idempotency-Key is not valid.",
            param="Idempotency-Key",
            hint=f"Send 1 to {_MAX_IDEMPOTENCY_CHARS} printable ASCII characters, a UUID for one.",
        )
    retries = request.headers.get("x-stainless-retry-count", "0")
    is_retry = retries.isdecimal() and int(retries) >= 1
    return Dedup(
        key=key,
        body_hash=hashlib.sha256(owner.encode() + body).hexdigest(),
        retried_within_s=_RETRY_WINDOW_S if is_retry else None,
    )


# Requests a minute


@dataclass(kw_only=True, slots=True)
class RateLimiter:
    """Counts requests of each key over the last minute, within this process."""

    clock: Clock
    _times_s: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, principal: Principal) -> None:
        """Count one request.

        Raises:
            QuotaExceeded: the key has used up its minute; says when to come again.
        """
        limit = principal.quotas.requests_per_minute
        if limit is None or principal.key_id is None:
            return
        now_s = self.clock.monotonic()
        with self._lock:
            times_s = self._times_s.setdefault(principal.key_id, deque())
            while times_s and times_s[0] <= now_s - _MINUTE_S:
                times_s.popleft()
            if len(times_s) >= limit:
                raise QuotaExceeded(
                    f"The API key may make {limit} requests a minute.",
                    hint="Send fewer requests; submit many jobs as one batch.",
                    retry_after_s=times_s[0] + _MINUTE_S - now_s,
                )
            times_s.append(now_s)
