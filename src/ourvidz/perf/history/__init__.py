"""History of other machines: read with care, recomputed, never a baseline of this one.

``schema`` reads and checks a file, ``records`` makes performance records of it and says what its
seconds contradict, ``claims`` recomputes what its document stated, ``candidates`` lists changes
between days, ``shelf`` keeps imported files. ``docs/guides/performance-history.md`` has the schema.
"""

from ourvidz.perf.history.candidates import Candidate, day_changes
from ourvidz.perf.history.claims import (
    Figure,
    Judgement,
    Verdict,
    judge_claims,
)
from ourvidz.perf.history.evidence import Effect, case_of, effect_of
from ourvidz.perf.history.records import RecordCheck, check_records, performance_records
from ourvidz.perf.history.schema import History, parse_history, read_history
from ourvidz.perf.history.shelf import HistoryReader, import_history, load_histories, shipped

__all__ = [
    "Candidate",
    "Effect",
    "Figure",
    "History",
    "HistoryReader",
    "Judgement",
    "RecordCheck",
    "Verdict",
    "case_of",
    "check_records",
    "day_changes",
    "effect_of",
    "import_history",
    "judge_claims",
    "load_histories",
    "parse_history",
    "performance_records",
    "read_history",
    "shipped",
]
