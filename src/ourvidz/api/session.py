"""A key in a browser: handed in once, then sent along in a cookie that no script can read.

Other sites can't use it: browsers leave a strict cookie out of requests that another site makes,
and what changes something must besides say that a page of this very service sent it.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from ourvidz.catalog.config import Settings
from ourvidz.core.clock import Clock
from ourvidz.core.errors import Forbidden, QuotaExceeded
from ourvidz.jobs.model import ApiKey

SESSION_PATH = "/api/v1/session"
COOKIE = "ourvidz_key"

_LONGEST_S = 180 * 24 * 3600
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_WEB = frozenset({"http", "https"})
_WINDOW_S = 60.0
_MAX_ATTEMPTS = 10
_MAX_ADDRESSES = 10_000
_NETWORK_V6 = 64  # what one customer has at least


def cookie_key(headers: Headers) -> str | None:
    """Return the key in a request's cookie."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE) or None


def is_by_cookie(headers: Headers) -> bool:
    """Whether the cookie says who asks; a header of the request's own goes first."""
    return "authorization" not in headers and cookie_key(headers) is not None


def authorization_of(headers: Headers) -> str | None:
    """Return the Authorization header, or what stands for it."""
    header = headers.get("authorization")
    if header is not None:
        return header
    key = cookie_key(headers)
    return None if key is None else f"Bearer {key}"


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy says that it speaks for somebody else."""
    return "forwarded" in headers or "x-forwarded-for" in headers


def check_own_page(method: str, headers: Headers) -> None:
    """Check that what a cookie allows was asked for by a page of this service.

    Raises:
        Forbidden: it would change something, and nothing says so, or something else.
    """
    if method in _READS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_own_site = site in (None, "same-origin")
    is_own_origin = origin is None or _is_own(origin, headers.get("host"))
    if is_own_site and is_own_origin and (site or origin):
        return
    raise Forbidden(
        "A key in a cookie changes things only from the service's own page.",
        param="Origin",
        hint="Programs send the header 'Authorization: Bearer ov_live_...'.",
    )


def _is_own(origin: str, host: str | None) -> bool:
    place = urlsplit(origin)
    return place.scheme in _WEB and bool(host) and place.netloc == host


def keep_key(
    response: Response,
    request: Request,
    *,
    key: ApiKey,
    secret: str,
    now: float,
    settings: Settings,
) -> None:
    """Have the browser keep a key, no longer than it is valid."""
    left_s = _LONGEST_S if key.expires_at is None else int(key.expires_at - now)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=max(0, min(left_s, _LONGEST_S)),
        path="/",
        secure=is_secure(request, settings),
        httponly=True,
        samesite="strict",
    )


def forget_key(response: Response, request: Request, settings: Settings) -> None:
    """Have the browser forget it."""
    response.delete_cookie(
        COOKIE,
        path="/",
        secure=is_secure(request, settings),
        httponly=True,
        samesite="strict",
    )


def is_secure(request: Request, settings: Settings) -> bool:
    """Whether the browser speaks TLS, with this server or with the proxy before it."""
    if request.url.scheme == "https":
        return True
    public = urlsplit(settings.server.public_url or "")
    return public.scheme == "https" and public.netloc == request.headers.get("host")


@dataclass(kw_only=True, slots=True)
class AttemptLimiter:
    """Counts wrong keys of each address over the last minute, within this process."""

    clock: Clock
    _times_s: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, address: str | None) -> None:
        """Count an attempt before it is known how it ends.

        Raises:
            QuotaExceeded: there were too many; says when to come again.
        """
        now_s = self.clock.monotonic()
        name = network_of(address)
        with self._lock:
            times_s = self._times_s.setdefault(name, deque())
            _drop_before(times_s, now_s - _WINDOW_S)
            if len(times_s) >= _MAX_ATTEMPTS:
                raise QuotaExceeded(
                    "Too many wrong keys came from this address.",
                    hint="Wait a minute, then copy the key whole.",
                    retry_after_s=times_s[0] + _WINDOW_S - now_s,
                )
            times_s.append(now_s)
            if len(self._times_s) > _MAX_ADDRESSES:
                self._forget_old(now_s)

    def forgive(self, address: str | None) -> None:
        """Take the last attempt back: the key was right."""
        with self._lock:
            times_s = self._times_s.get(network_of(address))
            if times_s:
                times_s.pop()

    def _forget_old(self, now_s: float) -> None:
        for name, times_s in list(self._times_s.items()):
            _drop_before(times_s, now_s - _WINDOW_S)
            if not times_s:
                del self._times_s[name]


def _drop_before(times_s: deque[float], until_s: float) -> None:
    while times_s and times_s[0] <= until_s:
        times_s.popleft()


def network_of(address: str | None) -> str:
    """Return what one client can't leave: its address, or of version 6 its network."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if found.version == 6:
        return str(ipaddress.ip_network((found, _NETWORK_V6), strict=False))
    return str(found)
