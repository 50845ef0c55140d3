"""What every request passes, outermost first: log, guard, body limit, authentication.

Plain ASGI, so that streamed answers stream and a refused request's body is never read.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ourvidz.api.auth import Principal, RateLimiter, authenticate, is_loopback
from ourvidz.api.deps import AppDeps
from ourvidz.api.errors import (
    ErrorAnswer,
    ErrorRenderer,
    answer_of,
    answer_of_http,
    internal_answer,
    render,
)
from ourvidz.api.metrics import Metrics
from ourvidz.api.session import (
    SESSION_PATH,
    authorization_of,
    check_own_page,
    is_by_cookie,
    is_forwarded,
)
from ourvidz.api.studio import is_studio
from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.core.clock import Clock
from ourvidz.core.errors import Forbidden, OurVidzError
from ourvidz.core.ids import new_id

ACCESS_LOG = logging.getLogger("ourvidz.access")
ERROR_LOG = logging.getLogger("ourvidz.error")

API_PREFIX = "/api/v1"
OPENAI_PREFIX = "/v1"

Renderers = Mapping[str, ErrorRenderer]

# What needs no key: signs of life, the documentation, the studio's page, where a browser hands in
# its key, and files, whose addresses are signed.
_PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", SESSION_PATH})
_PUBLIC_PREFIXES = ("/files/", "/docs/")


def is_public(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in _PUBLIC or path.startswith(_PUBLIC_PREFIXES) or is_studio(path)


def middleware_of(*, deps: AppDeps, metrics: Metrics, renderers: Renderers) -> Sequence[Middleware]:
    """Return the list, outermost first."""
    settings = deps.settings
    cors = [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.server.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After", "X-Request-Id", "openai-poll-after-ms"],
        )
    ]
    return [
        Middleware(Outermost, clock=deps.clock, metrics=metrics, renderers=renderers,
                   headers=security_headers(settings.storage)),
        Middleware(Guard, settings=settings, renderers=renderers),
        *(cors if settings.server.allowed_origins else []),
        Middleware(BodyLimit, max_bytes=settings.server.max_body_bytes, renderers=renderers),
        Middleware(Authenticate, deps=deps, limiter=RateLimiter(clock=deps.clock),
                   renderers=renderers),
    ]  # fmt: skip


def security_headers(storage: StorageConfig) -> dict[str, str]:
    """Return the headers of every answer; an answer's own take precedence."""
    sources = "'self' blob:"
    if storage.endpoint:
        place = urlsplit(storage.endpoint)
        sources += f" {place.scheme}://{place.netloc}"
    return {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; "
            f"frame-ancestors 'none'; img-src {sources}; media-src {sources}"
        ),
    }


class Outermost:
    """Names each request, logs it, and turns what nobody expected into an error body."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Clock,
        metrics: Metrics,
        renderers: Renderers,
        headers: Mapping[str, str],
    ) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._renderers = renderers
        self._headers = dict(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._clock.monotonic()
        request_id = new_id("req", self._clock.now())
        scope.setdefault("state", {})["request_id"] = request_id
        answered: list[tuple[int, float]] = []

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                answered.append((message["status"], self._clock.monotonic() - started_s))
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception:
            self._metrics.errors.inc()
            ERROR_LOG.exception("unexpected error", extra={"request_id": request_id})
            if answered:
                raise
            await _send_error(
                internal_answer(request_id), self._renderers, scope, receive, send_named
            )
        finally:
            if answered:
                self._note(scope, request_id, *answered[0], started_s)

    def _note(
        self, scope: Scope, request_id: str, status: int, latency_s: float, started_s: float
    ) -> None:
        method = scope["method"]
        self._metrics.observe(
            method=method if method in _METHODS else "other",
            route=_route_of(scope),
            status=status,
            duration_s=latency_s,
        )
        state: Mapping[str, Any] = scope["state"]
        principal: Principal | None = state.get("principal")
        ACCESS_LOG.info(
            "%s %s %d",
            method,
            scope["path"],
            status,
            extra={
                "request_id": request_id,
                "job_id": state.get("job_id") or _job_of(scope),
                "method": method,
                "path": scope["path"],
                "status": status,
                "latency_ms": round(latency_s * 1000, 2),
                "total_ms": round((self._clock.monotonic() - started_s) * 1000, 2),
                "client": scope["client"][0] if scope.get("client") else None,
                "key_id": principal.key_id if principal else None,
                "tenant": principal.tenant if principal else None,
            },
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route_of(scope: Scope) -> str:
    """Return the template of the path. A route knows its own part alone, not its prefix."""
    template = getattr(scope.get("route"), "path_format", None)
    if template is None:
        return "unmatched"
    path = scope["path"]
    prefix = next((p for p in (API_PREFIX, OPENAI_PREFIX) if path.startswith(f"{p}/")), "")
    return prefix + template


def _job_of(scope: Scope) -> str | None:
    parameters = scope.get("path_params") or {}
    return parameters.get("job_id") or parameters.get("video_id")


class Guard:
    """Refuses foreign hosts (DNS rebinding) and foreign origins (other sites' pages)."""

    def __init__(self, app: ASGIApp, *, settings: Settings, renderers: Renderers) -> None:
        self._app = app
        self._settings = settings
        self._renderers = renderers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                check_host(headers.get("host"), self._settings)
                check_origin(headers.get("origin"), headers.get("host"), self._settings)
            except OurVidzError as error:
                await _send_error(answer_of(error), self._renderers, scope, receive, send)
                return
        await self._app(scope, receive, send)


def check_host(host: str | None, settings: Settings) -> None:
    """Check the Host header.

    Loopback's names, the operator's names and, where the server listens beyond loopback, plain
    addresses pass: a page that rebinds DNS carries a name.

    Raises:
        Forbidden: any other.
    """
    server = settings.server
    name = _host_name(host)
    known = set(server.allowed_hosts) - {""}
    if server.host not in _EVERYWHERE:
        known.add(server.host)
    if server.public_url:
        known.add(urlsplit(server.public_url).hostname or "")
    if name and (is_loopback(name) or name in {entry.lower() for entry in known}):
        return
    if name and not is_loopback(server.host) and _is_address(name):
        return
    raise Forbidden(
        "The Host header names a host that this server does not answer for.",
        param="Host",
        hint="The operator adds names to server.allowed_hosts.",
    )


def check_origin(origin: str | None, host: str | None, settings: Settings) -> None:
    """Check the Origin header, which browsers send: none, the server's own, or an allowed one.

    Raises:
        Forbidden: any other.
    """
    if origin is None or origin in settings.server.allowed_origins:
        return
    place = urlsplit(origin)
    if place.scheme in {"http", "https"} and place.netloc and place.netloc == (host or ""):
        return
    raise Forbidden(
        "Pages of this origin may not call the service.",
        param="Origin",
        hint="The operator adds origins to server.allowed_origins.",
    )


_EVERYWHERE = ("0.0.0.0", "::")  # where to listen; nobody's name


def _host_name(host: str | None) -> str:
    try:
        return urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:  # a broken IPv6 address
        return ""


def _is_address(name: str) -> bool:
    try:
        return not ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


@dataclass(slots=True)
class _Count:
    num_bytes: int = 0


class BodyLimit:
    """Counts a body while it comes in, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, renderers: Renderers) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._renderers = renderers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; reading more than allowed ends it with 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            answer = answer_of_http(HTTPException(413))
            await _send_error(answer, self._renderers, scope, receive, send)
            return
        count = _Count()

        async def receive_counted() -> Message:
            message = await receive()
            count.num_bytes += len(message.get("body", b""))
            if count.num_bytes > self._max_bytes:
                raise HTTPException(413)  # passes the framework's parsers unchanged
            return message

        await self._app(scope, receive_counted, send)


class Authenticate:
    """Names the principal of each request, and counts his requests."""

    def __init__(
        self, app: ASGIApp, *, deps: AppDeps, limiter: RateLimiter, renderers: Renderers
    ) -> None:
        self._app = app
        self._deps = deps
        self._limiter = limiter
        self._renderers = renderers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 401 or 429."""
        if scope["type"] == "http" and not is_public(scope["path"]):
            try:
                principal = await run_in_threadpool(self._authenticate, scope)
                scope.setdefault("state", {})["principal"] = principal
                self._limiter.check(principal)
            except OurVidzError as error:
                await _send_error(answer_of(error), self._renderers, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _authenticate(self, scope: Scope) -> Principal:
        headers = Headers(scope=scope)
        client = scope.get("client")
        principal = authenticate(
            store=self._deps.store,
            quotas=self._deps.settings.quotas,
            authorization=authorization_of(headers),
            client_host=client[0] if client else None,
            is_forwarded=is_forwarded(headers),
        )
        if principal.key_id is not None and is_by_cookie(headers):
            check_own_page(scope["method"], headers)
        return principal


async def _send_error(
    answer: ErrorAnswer, renderers: Renderers, scope: Scope, receive: Receive, send: Send
) -> None:
    response = render(answer, path=scope["path"], renderers=renderers)
    await response(scope, receive, send)
