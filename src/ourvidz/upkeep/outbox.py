"""Sends what the outbox holds: at least once, in no order, on a schedule of ten tries.

A message is taken with a lease, so a sender that dies leaves it to the next one. What is sent is
up to the renderer of the message's kind.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import NotFound, OurVidzError
from ourvidz.jobs.model import Job, OutboxItem, StoredAsset
from ourvidz.jobs.store import JobStore
from ourvidz.net.client import PostResult

_log = logging.getLogger("ourvidz.upkeep.outbox")

# Seconds before each try, counted from the end of the one before it.
SCHEDULE_S: tuple[float, ...] = (
    0.0,
    5.0,
    5 * 60.0,
    30 * 60.0,
    2 * 3600.0,
    5 * 3600.0,
    10 * 3600.0,
    14 * 3600.0,
    20 * 3600.0,
    24 * 3600.0,
)
_JITTER = 0.2  # up to so much longer, never shorter
_GONE = 410


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """One HTTP request that a message consists of."""

    url: str
    content: bytes
    headers: Mapping[str, str]


class Renderer(Protocol):
    """Turns a message into requests.

    It runs again at every try, so whatever else it does (copying files, say) must be harmless
    when repeated. It may raise any OurVidzError; the message is then tried again later. No
    requests means that there is nothing to tell.
    """

    def __call__(
        self, item: OutboxItem, job: Job, assets: tuple[StoredAsset, ...]
    ) -> Sequence[Post]:
        """Return the requests, in the order in which they are sent."""
        ...


class Poster(Protocol):
    """What sends: ``net.GuardedClient``."""

    def post(
        self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> PostResult:
        """Send one request and return its status, whatever it is."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fate:
    """What became of one try. ``error`` None: delivered."""

    error: str | None = None
    is_final: bool = False
    retry_after_s: float | None = None


class OutboxSender:
    """Delivers due messages, a few at a time.

    Args:
        store: Whose outbox.
        client: What posts.
        renderers: By the kind of message.
        clock: For the time that one message may take.
        draw: Random numbers from 0 to 1, for the jitter.
        timeout_s: Of one request.
        parallel: Messages under way at once, so that one slow receiver does not hold up all.
    """

    def __init__(
        self,
        store: JobStore,
        client: Poster,
        renderers: Mapping[str, Renderer],
        clock: Clock | None = None,
        *,
        draw: Callable[[], float] = random.random,
        timeout_s: float = 20.0,
        parallel: int = 4,
    ) -> None:
        self._store = store
        self._client = client
        self._renderers = dict(renderers)
        self._clock = clock or SystemClock()
        self._draw = draw
        self._timeout_s = timeout_s
        self._parallel = parallel
        self._lease_s = 60.0 + 12 * timeout_s
        self._stopping = threading.Event()

    def send_due(self) -> int:
        """Send what is due and return how many messages were tried.

        Raises:
            StoreUnavailable: the store can't be asked; what was taken comes up after its lease.
        """
        tried = 0
        while not self._stopping.is_set():
            items = self._store.claim_outbox(limit=self._parallel, lease_s=self._lease_s)
            tried += len(items)
            if len(items) == 1:
                self._send(items[0])
            elif items:
                with ThreadPoolExecutor(len(items), thread_name_prefix="ourvidz-outbox") as pool:
                    list(pool.map(self._send, items))
            if len(items) < self._parallel:
                break
        return tried

    def stop(self) -> None:
        """Let ``send_due`` end after the messages that it is sending now."""
        self._stopping.set()

    def _send(self, item: OutboxItem) -> None:
        fate = self._try(item)
        if fate.error is None:
            self._store.settle_outbox(item.id, retry_in_s=None)
            return
        retry_in_s = None if fate.is_final else self._delay_s(item.tries + 1, fate.retry_after_s)
        _log.warning(
            "message %d (%s) about %s: %s; %s",
            item.id,
            item.kind,
            item.job_id,
            fate.error,
            "given up" if retry_in_s is None else f"again in {retry_in_s:.0f} s",
        )
        self._store.settle_outbox(item.id, retry_in_s=retry_in_s, error=fate.error)

    def _try(self, item: OutboxItem) -> _Fate:
        renderer = self._renderers.get(item.kind)
        if renderer is None:
            return _Fate(error=f"nothing here sends messages of kind {item.kind!r}")
        try:
            job = self._store.get(item.job_id)
            assets = self._store.assets(item.job_id)
        except NotFound:
            return _Fate(error="the job was deleted", is_final=True)
        try:
            return self._post_all(renderer(item, job, assets))
        except OurVidzError as error:
            return _Fate(error=f"{error.code}: {error.message}")
        except Exception as error:  # noqa: BLE001
            # One message that can't be rendered must not keep the others from being sent.
            _log.exception("message %d (%s) about %s", item.id, item.kind, item.job_id)
            return _Fate(error=f"internal_error: {type(error).__name__}")

    def _post_all(self, posts: Sequence[Post]) -> _Fate:
        end_s = self._clock.monotonic() + self._lease_s - 2 * self._timeout_s
        for post in posts:
            if self._clock.monotonic() > end_s:
                return _Fate(error="too many requests for one message")
            answer = self._client.post(
                post.url, content=post.content, headers=post.headers, timeout_s=self._timeout_s
            )
            if not 200 <= answer.status < 300:
                return _Fate(
                    error=f"answered {answer.status}",
                    is_final=answer.status == _GONE,
                    retry_after_s=answer.retry_after_s,
                )
        return _Fate()

    def _delay_s(self, tries: int, retry_after_s: float | None) -> float | None:
        """Return seconds until the next try, or None after the last one.

        Args:
            tries: How many were made, this one included.
            retry_after_s: What the receiver asked for; waiting less would be rude.
        """
        if tries >= len(SCHEDULE_S):
            return None
        planned_s = SCHEDULE_S[tries] * (1 + _JITTER * self._draw())
        return max(planned_s, retry_after_s or 0.0)
