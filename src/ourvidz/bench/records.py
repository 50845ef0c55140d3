"""Benchmark records: what was measured, on what, from which commit, as committed JSON files.

A file holds the results of one suite on one environment and commit; more results of the same three
are appended, anything else belongs in another file. Every figure in the documentation comes from
such a file. It must not name a person, a machine or a path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.files import atomic_path
from ourvidz.media.settings import dump_json
from ourvidz.perf.environment import environment, git_commit

__all__ = [
    "BenchmarkRecord",
    "BenchmarkResult",
    "environment",
    "git_commit",
    "new_record",
    "read_record",
    "record_name",
    "write_record",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.+@-]*")  # @N: on N GPUs
_COMMIT = re.compile(r"[0-9a-f]{7,40}(-dirty)?")
# Two or more components from the root, or a drive: "GiB/s" and "s/it" are no paths.
_ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+|\b[A-Za-z]:\\")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkResult:
    """One figure."""

    case: str  # what was run: a job type, a preset, a kernel and its size
    system: str  # who ran it: "ourvidz", "diffusers"
    fidelity: str  # "exact", "high" or "draft"; a peer's own word for a peer
    metric: str  # "end_to_end_s", "vae_decode_s", "peak_memory_gib"
    value: float  # the median where n is above 1
    unit: str  # "s", "GiB", "tokens/s"
    n: int  # measured runs behind the value, warm-ups not counted; 1 or more
    low: float | None = None  # bounds of the interval of the value; None for none
    high: float | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InvalidRequest: Names the field that is wrong, and its value.
        """
        for field in ("case", "system", "fidelity", "metric"):
            _require_name(field, getattr(self, field))
        _require(bool(self.unit.strip()), "unit", self.unit, "a unit, '1' for a ratio")
        _require(self.n >= 1, "n", self.n, "1 or more")
        _require(math.isfinite(self.value), "value", self.value, "a finite number")
        _require((self.low is None) == (self.high is None), "low", self.low, "given with high")
        if self.low is not None and self.high is not None:
            inside = self.low <= self.value <= self.high
            _require(inside, "value", self.value, f"in [{self.low!r}, {self.high!r}]")
            _require(math.isfinite(self.high - self.low), "high", self.high, "a finite number")
        _require_anonymous("notes", self.notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkRecord:
    """The results of one suite on one environment and commit."""

    suite: str
    created_at: str  # ISO 8601, UTC; of the first result
    commit: str | None  # with "-dirty" for local changes; None outside a checkout
    environment: Mapping[str, Any]  # JSON values, as ``environment()`` gives
    results: tuple[BenchmarkResult, ...]

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InvalidRequest: Names the field that is wrong, and its value.
        """
        _require_name("suite", self.suite)
        _require(_is_utc(self.created_at), "created_at", self.created_at, "an ISO 8601 UTC time")
        commit_ok = self.commit is None or _COMMIT.fullmatch(self.commit) is not None
        _require(commit_ok, "commit", self.commit, "a git hash, '-dirty' after it if so, or None")
        _require(bool(self.environment), "environment", self.environment, "facts of the machine")
        _require_anonymous("environment", dump_json(self.environment))
        _require(bool(self.results), "results", self.results, "at least one result")

    @property
    def identity(self) -> tuple[str, str | None, str]:
        """What two records must share to stand in one file."""
        return self.suite, self.commit, dump_json(self.environment)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "suite": self.suite,
            "created_at": self.created_at,
            "commit": self.commit,
            "environment": dict(self.environment),
            "results": [dataclasses.asdict(result) for result in self.results],
        }


def new_record(suite: str, results: Sequence[BenchmarkResult], *, now: datetime) -> BenchmarkRecord:
    """Return a record of this machine, this checkout and this moment.

    Args:
        suite: The suite's name.
        results: One or more figures.
        now: Current time, aware, from the caller's clock.

    Raises:
        InvalidRequest: A field is not valid.
    """
    return BenchmarkRecord(
        suite=suite,
        created_at=now.astimezone(UTC).isoformat(timespec="seconds"),
        commit=git_commit(),
        environment=environment(),
        results=tuple(results),
    )


def record_name(record: BenchmarkRecord) -> str:
    """Return a file name that no record of another suite, day, commit or environment has."""
    facts = hashlib.sha256(dump_json(record.environment).encode()).hexdigest()[:8]
    return f"{record.suite}-{record.created_at[:10]}-{record.commit or 'release'}-{facts}.json"


def write_record(
    path: Path, record: BenchmarkRecord, *, replaces_others: bool = False
) -> BenchmarkRecord:
    """Write ``record``, after the results already there if the file is of the same identity.

    The file is replaced as a whole, so a killed process leaves the old one. Results are never
    removed: one measured twice stands there twice, the later one last. One writer at a time.

    Args:
        path: A ``.json`` file in a folder that exists.
        record: What to add.
        replaces_others: A file of another suite, commit or environment begins anew.

    Returns:
        What the file now holds.

    Raises:
        InvalidRequest: The file is of another suite, commit or environment, or is no record.
        DiskFull: The disk is full.
        OutputUnwritable: The folder can't be written.
    """
    if path.exists():
        there = read_record(path)
        if there.identity == record.identity:
            record = dataclasses.replace(there, results=(*there.results, *record.results))
        elif not replaces_others:
            raise InvalidRequest(
                f"{path.name!r} holds another {_difference(there, record)} than this record",
                param="path",
                hint=f"write to a file of its own, such as {record_name(record)!r}",
            )
    text = dump_json(record.to_dict(), indent=2) + "\n"
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return record


def read_record(path: Path) -> BenchmarkRecord:
    """Read and check a record file.

    Raises:
        InvalidRequest: There is no such file, or it is no valid record; the message names the
            file, the field and its value.
    """
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
        return _record_of(found)
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no record {path.name!r}", param="path") from error
    except (ValueError, InvalidRequest) as error:
        raise InvalidRequest(f"{path.name!r} is no record: {error}", param="path") from error


def _record_of(found: object) -> BenchmarkRecord:
    fields = _fields(found, BenchmarkRecord, place="record")
    results = fields["results"]
    _require(isinstance(results, list), "results", results, "a list")
    _require(isinstance(fields["environment"], dict), "environment", fields["environment"], "facts")
    items = enumerate(cast("list[object]", results))
    checked: dict[str, Any] = dict(fields)
    checked["results"] = tuple(
        BenchmarkResult(**_fields(item, BenchmarkResult, place=f"results[{index}]"))
        for index, item in items
    )
    return BenchmarkRecord(**checked)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "str | None": (str, type(None)),
    "float | None": (int, float, type(None)),
}


def _fields(
    found: object, kind: type[BenchmarkRecord] | type[BenchmarkResult], *, place: str
) -> dict[str, Any]:
    """Return the JSON object's items; refuse absent, unknown and wrongly typed ones."""
    _require(isinstance(found, dict), place, found, "a JSON object")
    items = cast("dict[str, Any]", found)
    expected = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    absent, unknown = sorted(expected.keys() - items), sorted(items.keys() - expected)
    _require(not absent, place, absent, "complete: these fields are absent")
    _require(not unknown, place, unknown, "free of unknown fields")
    for name, value in items.items():
        types = _TYPES.get(expected[name])
        if types is not None:
            is_right = isinstance(value, types) and not isinstance(value, bool)
            _require(is_right, f"{place}.{name}", value, expected[name])
    return items


def _difference(there: BenchmarkRecord, record: BenchmarkRecord) -> str:
    names = ("suite", "commit", "environment")
    pairs = zip(names, there.identity, record.identity, strict=True)
    return " and ".join(name for name, old, new in pairs if old != new)


def _is_utc(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment.utcoffset() == UTC.utcoffset(None)


def _require_name(field: str, value: str) -> None:
    _require(_NAME.fullmatch(value) is not None, field, value, "lower case, digits and _ . + @ -")


def _require_anonymous(field: str, text: str) -> None:
    path = _ABSOLUTE_PATH.search(text)
    _require(path is None, field, path and path.group(), "free of paths")


def _require(condition: bool, field: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidRequest(f"{field} must be {expected}, got {value!r}", param=field)
