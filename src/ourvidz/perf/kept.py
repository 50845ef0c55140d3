"""A store's performance records held in memory, read once and then only what is new."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import BodySource, StoredBody, record_from

_PAGE = 500


class HeadedSource(BodySource, Protocol):
    """A source that tells cheaply whether anything is new."""

    def perf_head(self) -> tuple[int, int]:
        """Return the id of the newest record (0: none) and how many there are."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRecord:
    """A record with its place in the store."""

    seq: int  # grows with every record
    record: PerformanceRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """All records at one moment."""

    epoch: int  # another one where records were read anew from the first
    newest: int
    records: Sequence[KeptRecord]  # by ``seq``


class KeptRecords:
    """Reads from a store what it has not read yet. For several threads.

    Two transactions may commit their records in another order than their ids were given: where the
    numbers tell that one was passed over, all are read again.
    """

    def __init__(self, source: HeadedSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._known = Kept(epoch=0, newest=0, records=())

    def read(self) -> Kept:
        """Return all records there are now."""
        with self._lock:
            newest, number = self._source.perf_head()
            known = self._known
            if (newest, number) == (known.newest, len(known.records)):
                return known
            records = [*known.records, *self._after(known.newest)]
            epoch = known.epoch
            if len(records) < number:
                records, epoch = self._after(None), epoch + 1
            last = records[-1].seq if records else 0
            self._known = Kept(epoch=epoch, newest=last, records=tuple(records))
            return self._known

    def _after(self, seq: int | None) -> list[KeptRecord]:
        found: list[KeptRecord] = []
        while True:
            page = self._source.perf_records(after=seq, limit=_PAGE)
            found += map(_kept, page)
            if len(page) < _PAGE:
                return found
            seq = page[-1].id


def _kept(stored: StoredBody) -> KeptRecord:
    return KeptRecord(seq=stored.id, record=record_from(stored))
