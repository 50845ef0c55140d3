"""Reading performance records: out of whatever keeps them, oldest first.

What a store keeps of a job is a body, a JSON object that a worker composed (``worker.publish``).
Bodies of earlier versions of ours, and bodies that lack something, become records too: a value that
is not there is unknown, never a reason to lose the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast

from ourvidz.core.phase import Phase
from ourvidz.perf.record import Origin, PerformanceRecord

UNKNOWN = "unknown"  # the state of a job of which nobody knows it: one that failed early
_PAGE = 500

T = TypeVar("T")


class RecordReader(Protocol):
    """Gives performance records, wherever they come from."""

    def records(
        self,
        *,
        job_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Iterable[PerformanceRecord]:
        """Return records, oldest first.

        Args:
            job_type: of this one alone.
            since: those of jobs that ended then or later.
            limit: no more than so many, the newest.
        """
        ...


class StoredBody(Protocol):
    """A body as a store keeps it."""

    @property
    def id(self) -> int:
        """Grows with every record."""
        ...

    @property
    def job_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def job_type(self) -> str:
        """Of what job type that is."""
        ...

    @property
    def workload(self) -> str:
        """The request's workload as one text."""
        ...

    @property
    def at(self) -> float:
        """When the job ended, in Unix seconds."""
        ...

    @property
    def body(self) -> Mapping[str, Any]:
        """What the worker composed."""
        ...


class BodySource(Protocol):
    """What keeps bodies: the job store."""

    def perf_records(
        self,
        *,
        job_type: str | None = None,
        since: float | None = None,
        after: int | None = None,
        limit: int = 1000,
        newest: bool = False,
    ) -> Sequence[StoredBody]:
        """Return some, oldest first; with ``newest`` the last that fit the limit."""
        ...


class StoreRecords:
    """A ``RecordReader`` over a job store."""

    def __init__(self, source: BodySource) -> None:
        """Read from ``source``, which stays open."""
        self._source = source

    def records(
        self,
        *,
        job_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[PerformanceRecord]:
        """See ``RecordReader``. Without a limit it reads page by page, and keeps none."""
        since_s = None if since is None else since.timestamp()
        if limit is not None:
            found = self._source.perf_records(
                job_type=job_type, since=since_s, limit=limit, newest=True
            )
            yield from (record_from(stored) for stored in found)
            return
        after: int | None = None
        while True:
            page = self._source.perf_records(
                job_type=job_type, since=since_s, after=after, limit=_PAGE
            )
            yield from (record_from(stored) for stored in page)
            if len(page) < _PAGE:
                return
            after = page[-1].id


class HeldRecords:
    """A ``RecordReader`` over records that were read already, oldest first."""

    def __init__(self, records: Sequence[PerformanceRecord]) -> None:
        """Give those."""
        self._records = records

    def records(
        self,
        *,
        job_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Sequence[PerformanceRecord]:
        """See ``RecordReader``."""
        found = [
            each
            for each in self._records
            if job_type in (None, each.job_type) and (since is None or each.at >= since)
        ]
        return found if limit is None else found[len(found) - min(limit, len(found)) :]


def record_from(stored: StoredBody) -> PerformanceRecord:
    """Return the record that a stored body stands for."""
    body = stored.body
    timing: Mapping[str, Any] = {**_mapping(body.get("timing")), **body}
    phases_s = _numbers(timing.get("phases_s"))
    unattributed_s = _number(timing.get("unattributed_s"))
    if unattributed_s is not None:
        phases_s[Phase.UNATTRIBUTED.value] = unattributed_s
    failure = body.get("failure")
    return PerformanceRecord(
        id=stored.job_id,
        at=datetime.fromtimestamp(stored.at, UTC),
        origin=_origin(body.get("origin")),
        job_type=stored.job_type,
        workload=_mapping(body.get("request")) or _workload_of_text(stored.workload, body),
        environment=_environment(_mapping(body.get("environment"))),
        state=_text(timing.get("state")),
        compile_state=_text(timing.get("compile_state")),
        total_s=_number(timing.get("total_s")),
        phases_s=phases_s,
        step_times_s=tuple(_list(timing.get("step_times_s"), _number)),
        is_success=bool(body.get("is_success", failure is None)),
        failure=None if failure is None else str(failure),
        memory={name: int(value) for name, value in _numbers(body.get("memory")).items()},
        device=_numbers(body.get("device")),
        facts=_mapping(body.get("facts")),
        flags=tuple(_list(body.get("flags"), str)),
        source=None if body.get("source") is None else str(body["source"]),
        host=_numbers(body.get("host")),
        settings=_mapping(body.get("settings")),
        network_calls=_count(body.get("network_calls")),
        image_s=_number(body.get("image_s")),
        device_s=_number(timing.get("device_s")),
        shared_s=_number(timing.get("shared_s")) or 0.0,
        batched_with=_count(timing.get("batched_with")) or 0,
    )


def _environment(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a fingerprint; what was kept before there were any is only told."""
    return found if "machine" in found or not found else {"told": found}


def _workload_of_text(text: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body without its request tells of the workload."""
    names = ("preset", "profile", "model", "fidelity")
    return {"workload": text, **{name: body[name] for name in names if name in body}}


def _origin(value: object) -> Origin:
    try:
        return Origin(str(value)) if value is not None else Origin.LIVE
    except ValueError:
        return Origin.IMPORTED  # what is not known is nobody's baseline


def _text(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): entry for name, entry in cast("Mapping[Any, Any]", value).items()}


def _numbers(value: object) -> dict[str, float]:
    found = {name: _number(entry) for name, entry in _mapping(value).items()}
    return {name: number for name, number in found.items() if number is not None}


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _list(value: object, read: Callable[[Any], T | None]) -> list[T]:
    if not isinstance(value, list | tuple):
        return []
    found = (read(entry) for entry in cast("list[Any]", value))
    return [entry for entry in found if entry is not None]
