"""The old lists, over the Redis protocol or Upstash's REST.

Both clients are told not to repeat a command by themselves: an ``LMOVE`` whose answer was lost may
have moved an entry, and that entry waits in the processing list until it is looked for there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ourvidz.catalog.config import BridgeConfig
from ourvidz.core.errors import ConfigInvalid, MissingDependency, OurVidzError

if TYPE_CHECKING:
    from redis import Redis
    from upstash_redis import Redis as UpstashRedis

_CONNECT_S = 10.0
_ANSWER_S = 30.0


class QueueUnavailable(OurVidzError):
    """The Redis server of the old queues can't be reached, or refuses."""

    code: ClassVar[str] = "queue_unavailable"
    is_retryable: ClassVar[bool] = True


class LegacyQueues(Protocol):
    """Lists of byte strings. Old entries are at the right, new ones are pushed at the left.

    Raises, from every method: QueueUnavailable.
    """

    def move(self, source: str, target: str) -> bytes | None:
        """Move the oldest entry of ``source`` to the left of ``target``, in one atomic step."""
        ...

    def push(self, name: str, raw: bytes) -> None:
        """Add an entry at the left."""
        ...

    def remove(self, name: str, raw: bytes) -> None:
        """Remove one entry of this content, the leftmost; none is no error."""
        ...

    def length(self, name: str) -> int:
        """Return the number of entries."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


def open_queues(config: BridgeConfig) -> LegacyQueues:
    """Return the queues that the settings name. Connects at the first command.

    Raises:
        ConfigInvalid: neither or both kinds are set, or Upstash's token is missing.
        MissingDependency: the client's package is not installed.
    """
    if (config.redis_url is None) == (config.upstash_url is None):
        raise ConfigInvalid(
            "The bridge needs exactly one of bridge.redis_url and bridge.upstash_url.",
            param="bridge",
            hint="Set OURVIDZ_BRIDGE__REDIS_URL, or OURVIDZ_BRIDGE__UPSTASH_URL and its token.",
        )
    if config.redis_url is not None:
        return RedisQueues(_redis_client(config.redis_url))
    if config.upstash_token is None:
        raise ConfigInvalid(
            "bridge.upstash_url is set without bridge.upstash_token.",
            param="bridge.upstash_token",
            hint="Set OURVIDZ_BRIDGE__UPSTASH_TOKEN.",
        )
    assert config.upstash_url is not None
    return UpstashQueues(
        _upstash_client(config.upstash_url, config.upstash_token.get_secret_value())
    )


class RedisQueues:
    """Lists of a Redis server."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # the package's types say "awaitable or not" everywhere

    def move(self, source: str, target: str) -> bytes | None:
        """Move the oldest entry of ``source`` to the left of ``target``."""
        with _redis_errors():
            return self._client.lmove(source, target, "RIGHT", "LEFT")

    def push(self, name: str, raw: bytes) -> None:
        """Add an entry at the left."""
        with _redis_errors():
            self._client.lpush(name, raw)

    def remove(self, name: str, raw: bytes) -> None:
        """Remove the leftmost entry of this content."""
        with _redis_errors():
            self._client.lrem(name, 1, raw)

    def length(self, name: str) -> int:
        """Return the number of entries."""
        with _redis_errors():
            return self._client.llen(name)

    def close(self) -> None:
        """Close connections."""
        self._client.close()


class UpstashQueues:
    """Lists behind Upstash's REST.

    Its answers are JSON, so bytes that are no UTF-8 arrive with replacement characters and can't
    be named in a command. Such an entry is moved by its place instead, to the list of the dead.
    """

    def __init__(self, client: UpstashRedis) -> None:
        self._client: Any = client

    def move(self, source: str, target: str) -> bytes | None:
        """Move the oldest entry of ``source`` to the left of ``target``."""
        with _upstash_errors():
            moved = self._client.lmove(source, target, "RIGHT", "LEFT")
        return None if moved is None else _bytes(moved)

    def push(self, name: str, raw: bytes) -> None:
        """Add an entry at the left."""
        with _upstash_errors():
            self._client.lpush(name, raw.decode(errors="replace"))

    def remove(self, name: str, raw: bytes) -> None:
        """Remove the leftmost entry of this content."""
        with _upstash_errors():
            if self._client.lrem(name, 1, raw.decode(errors="replace")):
                return
            leftmost = self._client.lindex(name, 0)
            if leftmost is not None and _bytes(leftmost) == raw:
                self._client.lmove(name, f"{name}:unreadable", "LEFT", "LEFT")

    def length(self, name: str) -> int:
        """Return the number of entries."""
        with _upstash_errors():
            return self._client.llen(name)

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def _redis_client(url: str) -> Redis:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise _missing("redis") from error
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ConfigInvalid(
            "bridge.redis_url is not a Redis address.",
            param="bridge.redis_url",
            hint="Such as redis://user:password@host:6379/0, rediss:// or unix://.",
        ) from error


def _upstash_client(url: str, token: str) -> UpstashRedis:
    try:
        from upstash_redis import Redis as UpstashRedis
    except ImportError as error:
        raise _missing("upstash-redis") from error
    client = UpstashRedis(
        url=url, token=token, rest_encoding=None, rest_retries=0, allow_telemetry=False
    )
    # The package waits for ever for an answer and has no option for it; a test holds this line.
    client._http._client.timeout = _ANSWER_S
    return client


def _missing(package: str) -> MissingDependency:
    return MissingDependency(
        f"The bridge needs the package {package!r}.", hint="pip install 'ourvidz[bridge]'"
    )


def _bytes(value: str) -> bytes:
    return value.encode(errors="replace")


@contextlib.contextmanager
def _redis_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise _unavailable(error) from error


@contextlib.contextmanager
def _upstash_errors() -> Iterator[None]:
    import httpx
    from upstash_redis.errors import UpstashError

    try:
        yield
    # The last two: an answer that is no JSON, or not Upstash's (a proxy's error page).
    except (httpx.HTTPError, httpx.InvalidURL, UpstashError, ValueError, KeyError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> QueueUnavailable:
    return QueueUnavailable(
        f"The old queues can't be used: {type(error).__name__}: {str(error)[:200]}",
        hint="The bridge goes on trying; check address, token and server.",
    )
