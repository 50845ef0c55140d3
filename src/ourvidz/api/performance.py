"""What the performance routes answer from: records in memory, figures kept until new ones come.

One per application. A dashboard that polls costs a look at the newest record's number; everything
else is computed once for each record, decision or imported history that came.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from fastapi import Depends, Request

from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import UnknownName
from ourvidz.jobs.store import JobStore
from ourvidz.perf.kept import Kept, KeptRecords
from ourvidz.perf.record import Origin

if TYPE_CHECKING:
    from ourvidz.perf.history.schema import NamedHistory
    from ourvidz.perf.matrix import Expect
    from ourvidz.perf.report.expected import Expectations
    from ourvidz.perf.survey import Survey

T = TypeVar("T")

_MOST_KEPT = 64  # answers at a time; each is of one combination of parameters

# An answer that took so long is given again, without the newest records, for so many times as long.
_DEAR_S = 5.0
_REST = 9.0
_LONGEST_REST_S = 60.0

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that is known at one moment."""

    kept: Kept
    survey: Survey
    histories: Sequence[NamedHistory]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What was computed, from which records, and what it cost."""

    value: Any
    newest: int
    cost_s: float
    made_s: float


class PerformanceDesk:
    """Reads what is new and remembers what was computed. For several threads."""

    def __init__(
        self,
        store: JobStore,
        records: KeptRecords,
        *,
        data_dir: Path,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._store = store
        self._records = records
        self._folder = data_dir
        self._lock = threading.RLock()
        self._signature: Signature | None = None
        self._histories: Sequence[NamedHistory] = ()
        self._imported: Sequence[Any] = ()
        self._others: Hashable = None  # what answers depend on beside the records
        self._seen: Seen | None = None
        self._answers: dict[Hashable, _Answer] = {}
        self._expectations: Expectations | None = None

    def look(self) -> Seen:
        """Return what is known now."""
        from ourvidz.perf.decisions import load_decisions
        from ourvidz.perf.survey import Survey, stars_of

        with self._lock:
            kept = self._records.read()
            decided = self._store.decisions()
            stars = stars_of(self._store.ratings())
            self._read_histories()
            others = (kept.epoch, len(decided), tuple(stars.items()), self._signature)
            if others != self._others:
                self._answers = {}
            if self._seen is None or others != self._others or kept is not self._seen.kept:
                own = [each.record for each in kept.records]
                self._seen = Seen(
                    kept=kept,
                    survey=Survey(
                        own=[each for each in own if each.origin is not Origin.IMPORTED],
                        imported=self._imported,
                        decisions=load_decisions(self._store),
                        stars=stars,
                    ),
                    histories=self._histories,
                )
            self._others = others
            return self._seen

    def answer(self, key: Hashable, make: Callable[[Seen], T], *, is_dated: bool = True) -> T:
        """Return what ``make`` gives, computed once for all who ask for ``key`` meanwhile.

        Args:
            key: names the question.
            make: answers it.
            is_dated: the answer tells the newest record that it knows. One that took long to
                compute may then lack the last records for a while, so that a busy installation
                does not spend its time on counting itself. Decisions always show at once.
        """
        with self._lock:
            seen = self.look()
            known = self._answers.get(key)
            if known is not None and (
                known.newest == seen.kept.newest or (is_dated and self._may_rest(known))
            ):
                return cast("T", known.value)
            begin_s = self._clock.monotonic()
            value = make(seen)
            end_s = self._clock.monotonic()
            self._answers.pop(key, None)
            if len(self._answers) >= _MOST_KEPT:
                self._answers.pop(next(iter(self._answers)))
            self._answers[key] = _Answer(
                value=value, newest=seen.kept.newest, cost_s=end_s - begin_s, made_s=end_s
            )
            return value

    def _may_rest(self, known: _Answer) -> bool:
        age_s = self._clock.monotonic() - known.made_s
        return known.cost_s >= _DEAR_S and age_s < min(_LONGEST_REST_S, _REST * known.cost_s)

    def expect(self, survey: Survey) -> Expect:
        """Return what tells what runs should have taken, kept until enough others came."""
        from ourvidz.perf.report.expected import Expectations

        with self._lock:
            self._expectations = self._expectations or Expectations()
            return self._expectations.of(survey.own)

    def history(self, name: str | None) -> NamedHistory:
        """Return a history by its name; the shipped one where none is named.

        Raises:
            UnknownName: There is none of that name.
        """
        from ourvidz.catalog.parameters import suggest

        known = {each.name: each for each in self.look().histories}
        if name is None:
            return next(iter(known.values()))
        if name not in known:
            raise UnknownName(
                f"history {name!r} is unknown.", param="history", hint=suggest(name, tuple(known))
            )
        return known[name]

    def now(self) -> datetime:
        """Return the store's moment."""
        return datetime.fromtimestamp(self._store.now(), UTC)

    def _read_histories(self) -> None:
        from ourvidz.perf.survey import HISTORY_FOLDER, histories_in, imported_records

        folder = self._folder / HISTORY_FOLDER
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        stats = [(path.name, path.stat()) for path in files]
        signature = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
        if signature != self._signature:
            self._histories = histories_in(self._folder)
            self._imported = imported_records(self._histories)
            self._signature = signature


def _desk_of(request: Request) -> PerformanceDesk:
    return cast("PerformanceDesk", request.app.state.performance)


Desk = Annotated[PerformanceDesk, Depends(_desk_of)]
