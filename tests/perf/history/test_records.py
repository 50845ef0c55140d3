import pytest

from ourvidz.perf.comparison import key_of
from ourvidz.perf.history import check_records, performance_records
from ourvidz.perf.record import Origin


@pytest.fixture(scope="module")
def records(history):
    return {r.facts["label"]: r for r in performance_records(history, name="history-2025-07")}


@pytest.fixture(scope="module")
def checks(history):
    return {check.label: check for check in check_records(history)}


def test_all_are_imported_history(records, history):
    assert len(records) == len(history.records) == 16
    assert {record.origin for record in records.values()} == {Origin.IMPORTED}
    assert len({record.id for record in records.values()}) == 16


def test_values_are_kept_and_what_is_left_has_no_name(records):
    first = records["1"]
    assert first.id == "history-2025-07:1"
    assert first.at.isoformat() == "2025-07-06T00:00:00+00:00"
    assert (first.state, first.total_s, first.step_times_s) == ("cold", 297.3, (5.3,))
    assert first.phases_s["generation"] == 151
    assert first.phases_s["unattributed"] == pytest.approx(12.3)
    assert sum(first.phases_s.values()) == pytest.approx(297.3)
    assert first.workload == {
        "num_inference_steps": 25,
        "num_frames_requested": 83,
        "width": 480,
        "height": 832,
    }
    assert first.facts["bytes"] == 5_280_000
    assert records["152ea5fd"].memory == {"peak_bytes": 14_190_000_000}
    assert records["2"].phases_s == {}
    assert records["2025-08-20"].state == "unknown"


def test_phases_beyond_the_total_are_kept_and_flagged_with_the_excess(records, checks):
    assert {label for label, r in records.items() if "phases_exceed_total" in r.flags} == {
        "3",
        "10",
    }
    tenth = records["10"]
    assert sum(tenth.phases_s.values()) == pytest.approx(321.3)
    assert tenth.facts["phases_excess_s"] == pytest.approx(48.4)
    assert checks["10"].share == pytest.approx(321.3 / 272.9)
    # The note's own figure does not hold.
    assert (checks["10"].doubt_stated, checks["10"].doubt_unit) == (119, "%")
    assert checks["10"].doubt_recomputed == pytest.approx(117.735, abs=1e-3)


def test_a_refusal_is_no_success(records, checks):
    refused = [label for label, record in records.items() if not record.is_success]
    assert refused == ["5"]
    assert records["5"].failure == "enhancement_refused"
    assert "counted_as_success" in records["5"].flags
    assert checks["5"].is_refusal_as_success


def test_notes_that_can_be_recomputed_hold(checks):
    assert checks["1"].doubt_recomputed == checks["1"].doubt_stated == 285
    assert checks["9"].doubt_recomputed == pytest.approx(200.2)
    assert checks["4b"].doubt_recomputed == pytest.approx(26.5)
    assert checks["1"].beyond_steps_s == pytest.approx(18.5)
    assert checks["3"].beyond_steps_s == pytest.approx(19.75)
    assert checks["sdxl-high-2"].doubt_recomputed is None


def test_imported_records_compare_with_each_other_by_machine(records, history):
    other = performance_records(
        history.model_copy(update={"environment": {"gpu": "another", "software": "1.0"}}), name="x"
    )
    assert key_of(records["1"]) != key_of(other[0])
    assert key_of(records["1"]).environment


def test_rounding_is_no_excess(parse, content):
    record = next(r for r in content["records"] if r["label"] == "4")
    record["phases_s"]["generation"] += 0.04
    assert {c.label for c in check_records(parse(content)) if c.excess_s} == {"3", "10"}
    record["phases_s"]["generation"] += 0.1
    assert {c.label for c in check_records(parse(content)) if c.excess_s} == {"3", "10", "4"}
