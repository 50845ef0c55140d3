"""The bridge as one thing: what moves jobs in, and what tells the site of refusals."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from ourvidz.bridge.lists import names_of
from ourvidz.bridge.mapping import callback_url
from ourvidz.bridge.mover import Mover
from ourvidz.bridge.queues import LegacyQueues, QueueUnavailable, open_queues
from ourvidz.bridge.refusals import Refusals, Site
from ourvidz.jobs.submission import Submitter

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Bridge:
    """One running bridge. Callbacks of jobs in the store go through the outbox, not here."""

    queues: LegacyQueues
    mover: Mover
    refusals: Refusals

    def run(self, stop: threading.Event) -> int | None:
        """Move jobs until ``stop``; the entry at hand is finished first.

        Returns:
            How many refusals the site was not told yet; None if the queues can't be asked.
        """
        sender = threading.Thread(
            target=self.refusals.run, args=(stop,), name="ourvidz-bridge-refusals", daemon=True
        )
        sender.start()
        try:
            self.mover.run(stop)
        finally:
            stop.set()
            self.refusals.wake()
            sender.join()
        try:
            return self.refusals.waiting()
        except QueueUnavailable:
            return None

    def run_once(self) -> int:
        """Move what is on the lists and tell refusals once.

        Returns:
            How many refusals the site was not told yet.

        Raises:
            QueueUnavailable, StoreUnavailable, StoreFull: what was not moved yet stays.
        """
        while self.mover.step():
            pass
        return self.refusals.send()

    def close(self) -> None:
        """Close connections."""
        self.queues.close()


def assemble_bridge(submitter: Submitter, *, name: str) -> Bridge:
    """Return the bridge that the submitter's settings describe. Connects at the first command.

    Args:
        name: see ``lists.stable_name``.

    Raises:
        ConfigInvalid: no Redis or two, no site, or a value that is none.
        MissingDependency: the Redis client's package is not installed.
    """
    settings = submitter.settings
    key = settings.bridge.callback_key
    site = Site(url=callback_url(settings), key=None if key is None else key.get_secret_value())
    queues = open_queues(settings.bridge)
    lists = tuple(names_of(queue, name) for queue in settings.bridge.queues)
    refusals = Refusals(queues=queues, lists=lists, site=site, worker_id=f"bridge-{name}")
    mover = Mover(
        queues=queues,
        lists=lists,
        submitter=submitter,
        refusals=refusals,
        poll_s=settings.bridge.poll_s,
    )
    return Bridge(queues=queues, mover=mover, refusals=refusals)
