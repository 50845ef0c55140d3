"""Callbacks of jobs that were refused before they got into the store.

A refusal is put on a list of its own beside the old queue, with its reason, before the entry
leaves the processing list; it stays there until the site has taken the callback. So it outlives a
crash of the bridge, and the reason stays the one of the day it was refused.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from dataclasses import dataclass, field

from ourvidz.bridge.bodies import error_text, failed_body
from ourvidz.bridge.lists import ListNames
from ourvidz.bridge.payload import LegacyPayload, Style
from ourvidz.bridge.queues import LegacyQueues
from ourvidz.core.errors import FetchFailed, OurVidzError, UrlRefused
from ourvidz.net.client import GuardedClient

TIMEOUT_S = 30.0
MAX_REJECTIONS = 10  # answers of 4xx in one run of the bridge, until a callback is given up

_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 300.0
_TOO_EARLY = frozenset({408, 425, 429})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where callbacks go, and the bearer key."""

    url: str
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Return the request's headers."""
        headers = {"content-type": "application/json"}
        return headers if self.key is None else {**headers, "authorization": f"Bearer {self.key}"}


class Refusals:
    """Keeps refusals until the site was told. ``add`` and ``send`` may run in two threads."""

    def __init__(
        self, *, queues: LegacyQueues, lists: tuple[ListNames, ...], site: Site, worker_id: str
    ) -> None:
        self._queues = queues
        self._lists = lists
        self._site = site
        self._worker_id = worker_id
        self._rejections: Counter[bytes] = Counter()
        self._wake = threading.Event()
        # The operator's own address, so a private one is as good as any.
        self._client = GuardedClient(allow_private=True)

    def add(
        self, names: ListNames, payload: LegacyPayload, error: OurVidzError, *, style: Style
    ) -> None:
        """Keep a refusal durably.

        Raises:
            QueueUnavailable: it was perhaps not kept; refuse the entry again later.
        """
        body = failed_body(
            style,
            raw_id=payload.raw_id,
            worker_id=self._worker_id,
            message=error_text(error.to_dict()),
        )
        self._queues.push(names.refused, json.dumps(body, ensure_ascii=False).encode())
        self._wake.set()

    def send(self) -> int:
        """Post what waits, oldest first; return how many still wait.

        Raises:
            QueueUnavailable: the lists can't be read.
        """
        is_site_up = True
        for names in self._lists:
            for _ in range(self._queues.length(names.refused) if is_site_up else 0):
                is_site_up = self._send_oldest(names)
                if not is_site_up:
                    break
        return self.waiting()

    def waiting(self) -> int:
        """Return how many refusals the site was not told yet. Raises QueueUnavailable."""
        return sum(self._queues.length(names.refused) for names in self._lists)

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop``, at once when a refusal comes, else with growing waits."""
        wait_s = _FIRST_WAIT_S
        while not stop.is_set():
            self._wake.clear()
            try:
                left = self.send()
            except OurVidzError as error:
                _log.warning("refusals wait: %s", error.message)
                left = 1
            if stop.is_set():
                break
            self._wake.wait(wait_s if left else None)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S) if left else _FIRST_WAIT_S

    def wake(self) -> None:
        """Let ``run`` look again now: after setting its ``stop``."""
        self._wake.set()

    def _send_oldest(self, names: ListNames) -> bool:
        """Post the oldest refusal of a list; False where trying the next is pointless now."""
        raw = self._queues.move(names.refused, names.refused)
        if raw is None:
            return True
        status = self._post(raw)
        if status is not None and 200 <= status < 300:
            self._queues.remove(names.refused, raw)
            return True
        if status is None or status >= 500 or status in _TOO_EARLY:
            return False
        self._rejections[raw] += 1
        _log.warning("the site answered %d to the callback of a refused job", status)
        if self._rejections[raw] >= MAX_REJECTIONS:
            _log.error("callback of a refused job given up, kept on %s", names.dead)
            self._queues.push(names.dead, raw)
            self._queues.remove(names.refused, raw)
            del self._rejections[raw]
        return True

    def _post(self, content: bytes) -> int | None:
        try:
            answer = self._client.post(
                self._site.url, content=content, headers=self._site.headers, timeout_s=TIMEOUT_S
            )
        except (FetchFailed, UrlRefused) as error:
            _log.warning("the site can't be told: %s", error.message)
            return None
        return answer.status
