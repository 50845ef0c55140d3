"""What a group's jobs should take, predicted from all other groups: its own runs don't vouch."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ourvidz.perf.grouping import group_id
from ourvidz.perf.matrix import Expect, Expected
from ourvidz.perf.prediction import LEVEL, MOST_RECORDS, Prediction, environment_key, fit
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import Interval

# Beyond so many runs, what is expected of others is worked out anew for each twenty more.
_FEW = 100
_STEP = 20
_MOST_KEPT = 4


class Expectations:
    """Keeps what was predicted as long as the runs that tell it are the same. For threads."""

    def __init__(self) -> None:
        """Know nothing."""
        self._lock = threading.Lock()
        # By the records' identities, which can't be another's while they are kept here.
        self._kept: dict[tuple[int, ...], tuple[Sequence[PerformanceRecord], Expect]] = {}

    def of(self, records: Sequence[PerformanceRecord]) -> Expect:
        """Return what ``expectations`` gives of an installation's runs."""
        told = telling(records)
        key = tuple(map(id, told))
        with self._lock:
            _, expect = self._kept.pop(key, (told, None))
            expect = expect or expectations(told)
            self._kept[key] = (told, expect)
            if len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            return expect


def telling(records: Sequence[PerformanceRecord]) -> Sequence[PerformanceRecord]:
    """Return the runs, of an installation's in order, that tell what others should take.

    The newest 400; of more than a hundred, as they were when the last twenty were complete, so
    that not every run makes all of them be worked out anew.
    """
    end = len(records) if len(records) <= _FEW else len(records) - len(records) % _STEP
    return records[max(0, end - MOST_RECORDS) : end]


def expectations(records: Sequence[PerformanceRecord]) -> Expect:
    """Return what predicts a record's time from records of other groups.

    Were a group's own runs among them, real and expected would agree by construction. Where no
    other group says anything, the machine's measured ceilings do: ``prior``.
    """
    groups = [(group_id(each), each) for each in records]
    predicted: dict[str, Expected | None] = {}

    def expect(record: PerformanceRecord) -> Expected | None:
        group = group_id(record)
        if group not in predicted:
            found = fit(each for other, each in groups if other != group).predict(
                record.workload,
                environment_key=environment_key(record.environment),
                state=record.state,
                source=record.source,
            )
            predicted[group] = None if found is None else _expected(found)
        return predicted[group]

    return expect


def _expected(found: Prediction) -> Expected:
    return Expected(
        seconds=found.total_s,
        source="other runs" if found.basis == "history" else "prior",
        interval=Interval(low=found.low_s, high=found.high_s, level=LEVEL),
    )
