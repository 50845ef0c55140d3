"""Moves jobs from the old lists into the store; each job is always in at least one of the two.

An entry goes atomically from the queue to this bridge's processing list, then into the store
under its legacy id, then off the processing list. Whatever stops the bridge in between, the entry
is found on the processing list afterwards, and the store knows an id that it has seen.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from ourvidz.bridge.lists import ListNames
from ourvidz.bridge.mapping import draft_of, style_of
from ourvidz.bridge.payload import LegacyPayload, PoisonPayloadError, parse_payload
from ourvidz.bridge.queues import LegacyQueues
from ourvidz.bridge.refusals import Refusals
from ourvidz.core.errors import IdempotencyConflict, InvalidRequest, OurVidzError
from ourvidz.jobs.model import Dedup
from ourvidz.jobs.submission import Submitter

# Another process of this bridge's name may leave entries too, in a rolling restart say.
RECOUNT_S = 60.0

_LONGEST_WAIT_S = 60.0
_MAX_DOUBLINGS = 6

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Tally:
    """What became of the entries so far."""

    stored: int = 0
    known: int = 0  # delivered again: stored before
    refused: int = 0
    dead: int = 0


@dataclass(kw_only=True, slots=True)
class Mover:
    """Takes entries one by one, the queues in turn."""

    queues: LegacyQueues
    lists: tuple[ListNames, ...]
    submitter: Submitter
    refusals: Refusals
    poll_s: float = 1.0
    tally: Tally = field(default_factory=Tally)
    # Entries of each processing list that are to be looked at first; absent: not counted yet.
    _held: dict[str, int] = field(default_factory=dict[str, int])
    _counted_s: float = float("-inf")

    def step(self) -> bool:
        """Handle one entry of each queue; False where there was none.

        Raises:
            QueueUnavailable: the old queues can't be reached.
            StoreUnavailable, StoreFull: the entry stays on the processing list.
        """
        now_s = self.submitter.clock.monotonic()
        if now_s - self._counted_s >= RECOUNT_S:
            self._held.clear()
            self._counted_s = now_s
        try:
            handled = [self._step(names) for names in self.lists]
        except BaseException:
            self._held.clear()  # who knows what was moved: count again
            raise
        return any(handled)

    def run(self, stop: threading.Event) -> None:
        """Move entries until ``stop``; what can't be reached is tried again with growing waits."""
        failures = 0
        while not stop.is_set():
            try:
                was_busy = self.step()
            except Exception as error:  # noqa: BLE001 - logged; the other queues go on
                wait_s = min(self.poll_s * 2 ** min(failures, _MAX_DOUBLINGS), _LONGEST_WAIT_S)
                failures += 1
                if isinstance(error, OurVidzError):
                    _log.warning("the bridge waits %.1f s: %s", wait_s, error.message)
                else:
                    _log.exception("the bridge waits %.1f s", wait_s)
                stop.wait(wait_s)
                continue
            if failures:
                _log.info("the bridge goes on after %d failures", failures)
                failures = 0
            if not was_busy:
                stop.wait(self.poll_s)

    def _step(self, names: ListNames) -> bool:
        raw = self._take(names)
        if raw is None:
            return False
        self._handle(names, raw)
        return True

    def _take(self, names: ListNames) -> bytes | None:
        """Return an entry that now is on the processing list, those left there before first."""
        if names.queue not in self._held:
            self._held[names.queue] = self.queues.length(names.processing)
        if self._held[names.queue]:
            self._held[names.queue] -= 1
            raw = self.queues.move(names.processing, names.processing)
            if raw is not None:
                return raw
        return self.queues.move(names.queue, names.processing)

    def _handle(self, names: ListNames, raw: bytes) -> None:
        try:
            payload = parse_payload(raw)
        except PoisonPayloadError as poison:
            _log.error(
                "entry of %d bytes of %s put on %s: %s", len(raw), names.queue, names.dead, poison
            )
            self.queues.push(names.dead, raw)
            self.tally.dead += 1
        else:
            self._submit(names, payload)
        self.queues.remove(names.processing, raw)

    def _submit(self, names: ListNames, payload: LegacyPayload) -> None:
        submitter = self.submitter
        try:
            draft = draft_of(payload, settings=submitter.settings, catalogue=submitter.catalogue)
            made = submitter.submit([draft], dedup=Dedup(key=f"legacy:{payload.id}"))
        except (InvalidRequest, IdempotencyConflict) as error:
            _log.warning("legacy job %r refused (%s): %s", payload.id, error.code, error.message)
            style = style_of(payload, submitter.settings)
            self.refusals.add(names, payload, error, style=style)
            self.tally.refused += 1
            return
        job_id = made.jobs[0].id
        if made.is_replay:
            _log.info("legacy job %r came again; it is %s", payload.id, job_id)
            self.tally.known += 1
        else:
            _log.info("legacy job %r stored as %s", payload.id, job_id)
            self.tally.stored += 1
