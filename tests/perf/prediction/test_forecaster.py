import threading

from ourvidz.core.errors import StoreUnavailable
from ourvidz.perf.prediction import Forecaster
from ourvidz.perf.prediction import forecaster as module
from tests.perf.prediction.simulated import run, runs, workload


class Reader:
    """Gives what it was made with; tells when it was asked."""

    def __init__(self, records=(), error=None):
        self.kept, self.error = list(records), error
        self.limits, self.asked = [], threading.Event()

    def records(self, *, job_type=None, since=None, limit=None):
        self.limits.append(limit)
        self.asked.set()
        if self.error is not None:
            raise self.error
        return self.kept[-limit:]


class HandClock:
    """Stands still until it is moved."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


def expected(forecaster):
    return forecaster.expect(workload(), state="resident")


def test_records_are_read_when_asked_to():
    reader = Reader(runs(10, seed=1))
    forecaster = Forecaster(reader)
    assert forecaster.refresh().num_records == 10
    assert reader.limits == [module.MOST_RECORDS]
    assert expected(forecaster).n == 10


def test_the_first_question_begins_a_reading_and_does_not_wait():
    reader = Reader(runs(10, seed=1))
    forecaster = Forecaster(reader)
    assert expected(forecaster).basis in {"prior", "history"}
    assert reader.asked.wait(5.0)


def test_what_was_read_just_now_is_not_read_again():
    reader, clock = Reader(runs(3, seed=1)), HandClock()
    forecaster = Forecaster(reader, clock=clock)
    forecaster.refresh()
    expected(forecaster)
    assert len(reader.limits) == 1
    reader.asked.clear()
    clock.seconds = 60.0
    expected(forecaster)
    assert reader.asked.wait(5.0)


def test_a_job_is_added_once():
    reader = Reader(runs(10, seed=1))
    forecaster = Forecaster(reader)
    forecaster.refresh()
    forecaster.add(reader.kept[3])
    forecaster.add(run(10, workload()))
    assert forecaster.refresh().num_records == 11


def test_only_the_newest_are_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_RECORDS", 5)
    forecaster = Forecaster()
    for record in runs(12, seed=1):
        forecaster.add(record)
    assert forecaster.refresh().num_records == 5


def test_a_store_that_is_away_costs_nobody_an_answer():
    reader = Reader(error=StoreUnavailable("gone"))
    forecaster = Forecaster(reader)
    assert expected(forecaster).basis == "prior"
    assert reader.asked.wait(5.0)
    assert expected(forecaster).basis == "prior"


def test_blank_until_there_is_something_to_know():
    forecaster = Forecaster()
    assert forecaster.is_blank
    forecaster.add(run(0, workload()))
    assert not forecaster.is_blank
    assert not Forecaster(Reader()).is_blank
