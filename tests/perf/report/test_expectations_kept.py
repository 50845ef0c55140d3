"""What groups should take is worked out once for each twenty runs, and kept meanwhile."""

from ourvidz.perf.prediction import MOST_RECORDS
from ourvidz.perf.report.expected import Expectations, expectations, telling
from tests.perf.prediction.simulated import runs as simulated


def test_the_runs_that_tell():
    runs = simulated(250, seed=1)
    assert telling(runs[:1]) == runs[:1]
    assert telling(runs[:100]) == runs[:100]
    assert telling(runs[:101]) == runs[:100]
    assert telling(runs[:119]) == runs[:100]
    assert telling(runs[:120]) == runs[:120]
    many = [*runs, *runs]
    assert len(telling(many)) == MOST_RECORDS
    assert telling(many)[-1] is many[-1]


def test_what_is_kept_is_what_would_be_worked_out():
    runs = simulated(139, seed=2)
    kept = Expectations()
    first = kept.of(runs[:121])
    assert kept.of(runs[:139]) is first
    assert first(runs[3]) == expectations(telling(runs[:121]))(runs[3])
    assert kept.of(runs[:119]) is not first
    assert kept.of(runs[1:121]) is not first
