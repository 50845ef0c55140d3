"""Decisions in both stores: appended, read in order, never changed."""

import re

import pytest

from ourvidz.core.errors import IllegalState
from ourvidz.jobs.open import open_store
from ourvidz.jobs.statements import statements
from ourvidz.perf.decisions import Effect, Finding, Verb, decide, keep, load_decisions, undo
from tests.perf.simulated import BEGIN

FINDING = Finding(
    id="c-1",
    series="s-1",
    effect=Effect.IMPROVEMENT,
    from_at=BEGIN,
    from_record="job_1",
    text="step -12.0 %",
)


def test_decisions_are_appended_and_come_back_in_order(store):
    assert store.decisions() == ()
    for number in (3, 1, 2):
        store.add_decision({"id": f"d{number}", "note": "ü\n%'"})
    assert [each["id"] for each in store.decisions()] == ["d3", "d1", "d2"]
    assert store.decisions()[0] == {"id": "d3", "note": "ü\n%'"}
    with pytest.raises(IllegalState):
        store.add_decision({"id": "d1", "note": "another"})
    assert len(store.decisions()) == 3


def test_they_survive_a_restart(store, store_settings, clock):
    store.add_decision({"id": "d1"})
    again = open_store(store_settings, clock=clock)
    again.migrate()
    assert again.decisions() == ({"id": "d1"},)
    again.close()


def test_the_store_keeps_what_perf_decides(store):
    first = decide(FINDING, Verb.ACCEPT, author="ada", note="new fan", decision_id="d1", now=BEGIN)
    keep(store, first)
    second = undo("d1", author="bob", note="not so", decision_id="d2", now=BEGIN, before=[first])
    keep(store, second)
    assert load_decisions(store) == (first, second)


def test_no_statement_changes_or_removes_a_decision():
    writing = re.compile(r"\b(UPDATE|DELETE\s+FROM|REPLACE|TRUNCATE)\b[^;]*perf_decision")
    assert not [name for name, text in statements().items() if writing.search(text)]
    assert "perf_decision" in statements()["add_decision"]
