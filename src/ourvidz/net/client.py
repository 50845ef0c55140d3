"""HTTP to addresses that strangers name: every connection goes to an address that was checked.

The name is resolved once and the connection made to that very answer, so a name that changes
between check and use gains nothing; TLS and the Host header keep the name. No redirects, no
proxies from the environment, no compressed answers, and one time limit over everything.
"""

from __future__ import annotations

import email.utils
import math
import re
import ssl
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import httpcore
import httpx

from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import FetchFailed, TooLarge, UrlRefused
from ourvidz.net.addresses import Resolve, checked_addresses, system_resolve

MAX_URL_CHARS = 2048
MAX_RETRY_AFTER_S = 24 * 3600.0

_PUBLIC_PORTS = frozenset({80, 443})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_USER_AGENT = "ourvidz"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name (IDNA by now) or an address


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What a GET brought. ``media_type`` is lower case, without parameters; empty if not told."""

    content: bytes
    media_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """How a POST was answered, body included."""

    status: int
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PostResult:
    """How a POST was answered. ``retry_after_s`` is what the other side asked for, in seconds."""

    status: int
    retry_after_s: float | None


class GuardedClient:
    """Fetches from and posts to checked addresses. Callable from any thread; keeps no connection.

    Args:
        allow_private: Also private addresses, any port, and plain HTTP for posts: for tests and
            closed networks.
        resolve: Name resolution.
        ssl_context: What certificates are checked against; the bundled authorities, or those of
            ``SSL_CERT_FILE``, unless given.
        clock: Turns a Retry-After date into seconds.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolve = system_resolve,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._ssl_context = ssl_context or httpx.create_ssl_context()
        self._clock = clock or SystemClock()

    def check_url(self, url: str, *, is_post: bool) -> None:
        """Check what can be told without asking the network: to refuse a bad URL at submit.

        Raises:
            UrlRefused: scheme, user name, port, length or form.
        """
        self._parse(url, is_post=is_post)

    def fetch(
        self, url: str, *, max_bytes: int, timeout_s: float, accept: Sequence[str] = ()
    ) -> Fetched:
        """GET a URL.

        Args:
            max_bytes: Largest body.
            timeout_s: For everything together, from resolving to the last byte.
            accept: Media types; empty takes any.

        Raises:
            UrlRefused: the URL or its address may not be fetched.
            TooLarge: the body has more than ``max_bytes``.
            FetchFailed: unreachable, too slow, a status other than 200 (redirects too), another
                media type, or a compressed body.
        """
        parsed = self._parse(url, is_post=False)
        headers = {"accept": ", ".join(accept) or "*/*"}
        with self._exchange("GET", parsed, b"", headers, timeout_s) as response:
            if response.status != 200:
                raise FetchFailed(f"{parsed.host!r} answered {response.status}, not 200.")
            media_type = _header(response, b"content-type").split(";")[0].strip().lower()
            if accept and media_type not in accept:
                raise FetchFailed(
                    f"{parsed.host!r} sent a media type that is not accepted.",
                    hint=f"Accepted are {', '.join(accept)}.",
                )
            if _header(response, b"content-encoding").strip().lower() not in ("", "identity"):
                raise FetchFailed(f"{parsed.host!r} sent a compressed body.")
            return Fetched(content=_read(response, max_bytes), media_type=media_type)

    def post(
        self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> PostResult:
        """POST a body; the answer's body is never read.

        Raises:
            UrlRefused: the URL or its address may not be posted to.
            FetchFailed: unreachable, or no answer in time. Any status is a result, not an error.
        """
        parsed = self._parse(url, is_post=True)
        with self._exchange("POST", parsed, content, headers, timeout_s) as response:
            return PostResult(
                status=response.status,
                retry_after_s=self._retry_after_s(_header(response, b"retry-after")),
            )

    def ask(
        self,
        url: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        max_bytes: int,
        timeout_s: float,
    ) -> Answered:
        """POST a body and read the answer's, of a server that is trusted to be asked.

        Raises:
            UrlRefused: the URL or its address may not be posted to.
            TooLarge: the answer's body has more than ``max_bytes``.
            FetchFailed: unreachable, or no whole answer in time. Any status is a result.
        """
        parsed = self._parse(url, is_post=True)
        with self._exchange("POST", parsed, content, headers, timeout_s) as response:
            return Answered(status=response.status, content=_read(response, max_bytes))

    def _parse(self, url: str, *, is_post: bool) -> httpx.URL:
        if len(url) > MAX_URL_CHARS:
            raise UrlRefused(f"The URL has more than {MAX_URL_CHARS} characters.", param="url")
        try:
            parsed = httpx.URL(url)
            host = parsed.raw_host.decode("ascii")
        except (httpx.InvalidURL, ValueError, TypeError):
            raise UrlRefused("The URL is not well formed.", param="url") from None
        schemes = ("https",) if is_post and not self._allow_private else ("https", "http")
        if not _HOST.fullmatch(host):
            raise UrlRefused("The URL's host is not well formed.", param="url")
        if parsed.scheme not in schemes:
            raise UrlRefused(
                "The URL's scheme is not allowed.",
                param="url",
                hint=f"Use {' or '.join(schemes)}.",
            )
        if parsed.userinfo:
            raise UrlRefused("The URL may not carry a user name or password.", param="url")
        port = parsed.port or _DEFAULT_PORTS[parsed.scheme]
        if not self._allow_private and port not in _PUBLIC_PORTS:
            raise UrlRefused("The URL's port is not allowed.", param="url", hint="Use 80 or 443.")
        return parsed

    @contextmanager
    def _exchange(
        self,
        method: str,
        url: httpx.URL,
        content: bytes,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Generator[httpcore.Response]:
        deadline = _Deadline(timeout_s)
        backend = _CheckedBackend(deadline, self._resolve, allow_private=self._allow_private)
        with httpcore.ConnectionPool(
            ssl_context=self._ssl_context, network_backend=backend, max_keepalive_connections=0
        ) as pool:
            try:
                with pool.stream(
                    method,
                    httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=_headers(url, headers, content if method == "POST" else None),
                    content=content if method == "POST" else None,
                ) as response:
                    yield response
            except (httpcore.TimeoutException, TimeoutError):
                raise FetchFailed(f"{url.host!r} did not answer in time.") from None
            except (
                httpcore.NetworkError,
                httpcore.ProtocolError,
                httpcore.ConnectionNotAvailable,
                OSError,
            ):
                raise FetchFailed(f"{url.host!r} could not be reached.") from None

    def _retry_after_s(self, value: str) -> float | None:
        value = value.strip()
        if not value:
            return None
        try:
            seconds = float(value)
        except ValueError:
            try:
                at = email.utils.parsedate_to_datetime(value)
            except ValueError:
                return None
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            seconds = (at - self._clock.now()).total_seconds()
        return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else None


class _Deadline:
    """One limit over many operations; a peer that drips bytes does not win time."""

    def __init__(self, timeout_s: float) -> None:
        self._end_s = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Return the seconds left; raises the library's timeout when there are none."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout
        return left_s


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, deadline: _Deadline, resolve: Resolve, *, allow_private: bool) -> None:
        self._deadline = deadline
        self._resolve = resolve
        self._allow_private = allow_private
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        addresses = checked_addresses(
            host,
            port,
            resolve=self._resolve,
            allow_private=self._allow_private,
            timeout_s=self._deadline.left_s(),
        )
        failure: Exception = httpcore.ConnectError()
        for index, address in enumerate(addresses):
            # One that swallows packets must leave time for those after it.
            share_s = self._deadline.left_s() / (len(addresses) - index)
            try:
                stream = self._inner.connect_tcp(
                    address, port, share_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _TimedStream(stream, self._deadline)
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every operation ends by the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self._inner.read(max_bytes, self._deadline.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self._inner.write(buffer, self._deadline.left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        stream = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left_s())
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _headers(
    url: httpx.URL, given: Mapping[str, str], content: bytes | None
) -> list[tuple[bytes, bytes]]:
    ours = {"host": url.netloc.decode("ascii"), "accept-encoding": "identity"}
    if content is not None:
        ours["content-length"] = str(len(content))
    headers = {"user-agent": _USER_AGENT} | {name.lower(): value for name, value in given.items()}
    try:
        return [(name.encode(), value.encode()) for name, value in (headers | ours).items()]
    except UnicodeError:
        raise FetchFailed("A header can't be sent.") from None


def _header(response: httpcore.Response, name: bytes) -> str:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return ""


def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    announced = _header(response, b"content-length")
    if announced.isascii() and announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    for part in response.iter_stream():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"What the URL leads to has more than {max_bytes} bytes.", param="url")
