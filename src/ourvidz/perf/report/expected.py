"""What a group's jobs should take, predicted from all other groups: its own runs don't vouch."""

from __future__ import annotations

from collections.abc import Sequence

from ourvidz.perf.grouping import group_id
from ourvidz.perf.matrix import Expect, Expected
from ourvidz.perf.prediction import LEVEL, Prediction, environment_key, fit
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.stats import Interval


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
