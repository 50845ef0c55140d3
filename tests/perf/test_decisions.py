"""Decisions: kept for ever, taken back by adding, and what holds now is computed."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.perf.decisions import (
    Effect,
    Finding,
    JsonLinesDecisions,
    Verb,
    accepted_since,
    decide,
    from_json,
    keep,
    load_decisions,
    standing_decisions,
    to_json,
    undo,
)
from tests.perf.simulated import BEGIN

FINDING = Finding(
    id="c-1",
    series="s-1",
    effect=Effect.IMPROVEMENT,
    from_at=BEGIN,
    from_record="job_1",
    text="step -12.0 %",
)


def made(verb, number, *, finding=FINDING, before=(), **fields):
    values = {"author": "ada", "note": "because", "decision_id": f"d{number}", "now": BEGIN}
    return decide(finding, verb, before=before, **(values | fields))


def taken_back(target, number, before):
    return undo(
        target, author="bob", note="wrong", decision_id=f"d{number}", now=BEGIN, before=before
    )


def test_the_last_decision_holds_and_all_stay():
    first = made(Verb.INVESTIGATE, 1)
    second = made(Verb.ACCEPT, 2, before=[first])
    other = made(Verb.IGNORE, 3, finding=replace(FINDING, id="c-2"))
    assert standing_decisions([first, second, other]) == {"c-1": second, "c-2": other}


def test_undone_is_as_if_it_had_never_been_decided():
    first = made(Verb.INVESTIGATE, 1)
    second = made(Verb.ACCEPT, 2, before=[first])
    listed = [first, second]
    listed.append(taken_back("d2", 3, listed))
    assert standing_decisions(listed) == {"c-1": first}
    listed.append(taken_back("d1", 4, listed))
    assert standing_decisions(listed) == {}
    listed.append(made(Verb.ACCEPT, 5, before=listed))
    assert standing_decisions(listed) == {"c-1": listed[-1]}
    assert len(listed) == 5


def test_a_baseline_begins_with_the_latest_accepted_change():
    later = replace(FINDING, id="c-2", from_at=BEGIN + timedelta(days=1))
    listed = [made(Verb.ACCEPT, 1, finding=later), made(Verb.ACCEPT, 2)]
    assert accepted_since(listed, "s-1").finding == later
    assert accepted_since(listed, "s-1", until=later.from_at).finding == later
    assert accepted_since(listed, "s-1", until=FINDING.from_at).finding == FINDING
    assert accepted_since(listed, "s-1", until=FINDING.from_at - timedelta(seconds=1)) is None
    assert accepted_since(listed, "s-2") is None
    assert accepted_since([made(Verb.IGNORE, 1)], "s-1") is None
    listed.append(taken_back("d1", 3, listed))
    assert accepted_since(listed, "s-1").finding == FINDING


@pytest.mark.parametrize("field", ["author", "note"])
@pytest.mark.parametrize("text", ["", "  ", "\0", "x" * 5000])
def test_author_and_note_are_needed(field, text):
    with pytest.raises(InvalidRequest) as caught:
        made(Verb.ACCEPT, 1, **{field: text})
    assert caught.value.param == field


def test_what_makes_no_sense_is_refused():
    first = made(Verb.ACCEPT, 1)
    with pytest.raises(IllegalState, match="decided so already"):
        made(Verb.ACCEPT, 2, before=[first])
    with pytest.raises(InvalidRequest):
        made(Verb.UNDO, 2)
    with pytest.raises(NotFound):
        taken_back("d9", 2, [first])
    second = taken_back("d1", 2, [first])
    with pytest.raises(IllegalState, match="already"):
        taken_back("d1", 3, [first, second])
    with pytest.raises(IllegalState, match="undo"):
        taken_back("d2", 3, [first, second])


def test_json_and_back():
    first = made(Verb.ACCEPT, 1, note="schneller: ü")
    second = taken_back("d1", 2, [first])
    for decision in (first, second):
        assert from_json(json.loads(json.dumps(to_json(decision)))) == decision
    for broken in ({}, {**to_json(first), "verb": "maybe"}, {**to_json(first), "finding": None}):
        with pytest.raises(InvalidRequest, match="no decision"):
            from_json(broken)


def test_a_file_keeps_them(tmp_path):
    store = JsonLinesDecisions(tmp_path / "deep" / "decisions.jsonl")
    assert load_decisions(store) == ()
    first = made(Verb.ACCEPT, 1, note="two\nlines")
    second = taken_back("d1", 2, [first])
    keep(store, first)
    begin = store.path.read_bytes()
    keep(store, second)
    assert load_decisions(store) == (first, second)
    assert store.path.read_bytes().startswith(begin)  # appended to, never rewritten
    with pytest.raises(IllegalState):
        keep(store, first)


def test_a_line_that_a_crash_cut_off_is_nobodys_decision(tmp_path):
    store = JsonLinesDecisions(tmp_path / "decisions.jsonl")
    first, second = made(Verb.ACCEPT, 1), made(Verb.IGNORE, 2)
    keep(store, first)
    with store.path.open("a") as file:
        file.write('{"id": "d9", "ver')
    assert load_decisions(store) == (first,)
    keep(store, second)
    assert load_decisions(store) == (first, second)
    store.path.write_text("nonsense\n" + store.path.read_text())
    with pytest.raises(InvalidRequest, match="Line 1"):
        store.decisions()
