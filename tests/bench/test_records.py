import dataclasses
import getpass
import json
import os
import platform
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ourvidz.bench.records import (
    BenchmarkRecord,
    BenchmarkResult,
    environment,
    new_record,
    read_record,
    record_name,
    write_record,
)
from ourvidz.core.errors import InvalidRequest

COMMITTED = sorted((Path(__file__).parents[2] / "benchmarks" / "records").glob("*.json"))


def make_result(**changes: Any) -> BenchmarkResult:
    fields: dict[str, Any] = {
        "case": "video_fast",
        "system": "ourvidz",
        "fidelity": "exact",
        "metric": "end_to_end_s",
        "value": 24.5,
        "unit": "s",
        "n": 5,
        "low": 24.1,
        "high": 24.9,
    }
    return BenchmarkResult(**(fields | changes))


def make_record(*results: BenchmarkResult, **changes: Any) -> BenchmarkRecord:
    fields: dict[str, Any] = {
        "suite": "peers",
        "created_at": "2026-11-21T08:00:00+00:00",
        "commit": "0123456789ab",
        "environment": {"python": "3.11.7", "gpus": [{"name": "NVIDIA H200", "driver": "580"}]},
        "results": results or (make_result(),),
    }
    return BenchmarkRecord(**(fields | changes))


def test_every_committed_record_is_valid() -> None:
    for path in COMMITTED:
        read_record(path)


def test_a_record_reads_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record = make_record(make_result(low=None, high=None, notes="first run after boot, 2 GiB/s"))
    assert write_record(path, record) == record
    assert read_record(path) == record
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_results_of_the_same_identity_are_appended_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    first, second = make_result(), make_result(metric="peak_memory_gib", value=24.4, unit="GiB")
    write_record(path, make_record(first))
    later = make_record(second, first, created_at="2026-11-22T08:00:00+00:00")
    written = write_record(path, later)
    assert written.results == (first, second, first)
    assert written.created_at == "2026-11-21T08:00:00+00:00"
    assert read_record(path) == written


def test_a_file_of_another_identity_begins_anew_where_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_record(path, make_record(make_result()))
    other = make_record(make_result(value=24.6), suite="sweep")
    assert write_record(path, other, replaces_others=True) == other
    assert read_record(path) == other
    both = write_record(path, other, replaces_others=True)
    assert len(both.results) == 2  # its own are kept


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"suite": "sweep"}, "another suite than"),
        ({"commit": "0123456789ab-dirty"}, "another commit than"),
        ({"environment": {"python": "3.12.1"}}, "another environment than"),
        ({"suite": "sweep", "commit": None}, "another suite and commit than"),
    ],
)
def test_another_identity_belongs_in_another_file(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    write_record(path, make_record())
    before = path.read_bytes()
    other = make_record(**changes)
    with pytest.raises(InvalidRequest, match=named) as caught:
        write_record(path, other)
    assert record_name(other) in (caught.value.hint or "")
    assert record_name(other) != record_name(make_record())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"case": "Video Fast"}, "case"),
        ({"system": ""}, "system"),
        ({"unit": " "}, "unit"),
        ({"n": 0}, "n"),
        ({"value": float("nan")}, "value"),
        ({"value": 30.0}, "value"),
        ({"low": None}, "low"),
        ({"low": float("-inf")}, "high"),
        ({"notes": "weights in /models/wan/base"}, "notes"),
    ],
)
def test_a_wrong_result_names_its_field(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make_result(**changes)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"suite": "a b"}, "suite"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2026-11-21T08:00:00"}, "created_at"),
        ({"created_at": "2026-11-21T08:00:00+01:00"}, "created_at"),
        ({"commit": "main"}, "commit"),
        ({"environment": {}}, "environment"),
        ({"environment": {"cache": "/data/cache/torch"}}, "environment"),
        ({"results": ()}, "results"),
    ],
)
def test_a_wrong_record_names_its_field(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make_record(**changes)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"suite": 5}, r"record\.suite"),
        ({"results": {}}, "results"),
        ({"results": [5]}, r"results\[0\]"),
        ({"results": [{"case": "x"}]}, "absent"),
        ({"environment": []}, "environment"),
    ],
)
def test_a_file_that_is_no_record_is_refused(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(make_record().to_dict() | changes), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=named):
        read_record(path)


@pytest.mark.parametrize(
    ("field", "value"), [("n", True), ("n", 2.5), ("value", "24"), ("notes", None), ("low", "0")]
)
def test_a_result_of_a_wrong_type_is_refused(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = make_record().to_dict()
    content["results"][0][field] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=rf"results\[0\]\.{field}"):
        read_record(path)


def test_absent_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no record"):
        read_record(tmp_path / "absent.json")
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"'a\.json' is no record"):
        read_record(tmp_path / "a.json")


def test_this_machines_record_is_valid_and_names_nobody(tmp_path: Path) -> None:
    now = datetime(2026, 11, 21, 9, 0, tzinfo=timezone(timedelta(hours=1)))
    record = new_record("peers", [make_result()], now=now)
    assert record.created_at == "2026-11-21T08:00:00+00:00"
    path = tmp_path / record_name(record)
    write_record(path, record)
    assert read_record(path) == dataclasses.replace(record, environment=environment())
    values = _strings(record.to_dict())
    for private in {platform.node(), os.environ.get("HOME"), _user()} - {None, ""}:
        assert private not in values


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _strings(value: object) -> set[str]:
    """Every string in a JSON value, whole and by its words."""
    if isinstance(value, str):
        return {value, *value.split()}
    if isinstance(value, dict):
        return {text for item in value.values() for text in _strings(item)}
    if isinstance(value, list):
        return {text for item in value for text in _strings(item)}
    return set()
