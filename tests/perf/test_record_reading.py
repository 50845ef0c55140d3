"""From what a store keeps to records: everything, and what is broken, old or incomplete."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from ourvidz.perf.record import Origin
from ourvidz.perf.records import StoreRecords, record_from

BODY = {
    "workload": "sdxl_image_fast/baseline/...",
    "job_type": "sdxl_image_fast",
    "request": {"preset": "baseline", "model": "pocket-image", "width": 64},
    "settings": {"seed": 7},
    "source": "api",
    "origin": "live",
    "is_success": True,
    "failure": None,
    "total_s": 5.0,
    "phases_s": {"queue_wait": 1.0, "denoise": 3.0},
    "unattributed_s": 0.25,
    "shared_s": 0.75,
    "device_s": 3.0,
    "batched_with": 2,
    "step_s": 0.5,
    "state": "warm",
    "compile_state": "eager",
    "step_times_s": [0.5, 0.5],
    "memory": {"host_peak_bytes": 100, "limit_bytes": None},
    "device": {"utilisation_mean": 0.5},
    "host": {"cpu_s": 1.0},
    "facts": {"files": 1},
    "network_calls": 40,
    "image_s": 3.25,
    "environment": {"machine": {"gpu": "A"}},
    "flags": ["throttled"],
}


@dataclass
class Stored:
    body: dict
    id: int = 1
    job_id: str = "job_1"
    job_type: str = "sdxl_image_fast"
    workload: str = "sdxl_image_fast/baseline/..."
    at: float = 1_700_000_000.0


@dataclass
class Source:
    """Bodies in a list, given out as a store does."""

    rows: list
    asked: list = field(default_factory=list)

    def perf_records(self, *, job_type=None, since=None, after=None, limit=1000, newest=False):
        self.asked.append(limit)
        found = [
            row
            for row in self.rows
            if (job_type is None or row.job_type == job_type)
            and (since is None or row.at >= since)
            and (after is None or row.id > after)
        ]
        return found[-limit:] if newest else found[:limit]


def test_every_value_arrives():
    found = record_from(Stored(BODY))
    assert (found.id, found.job_type, found.origin) == ("job_1", "sdxl_image_fast", Origin.LIVE)
    assert found.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.workload == BODY["request"]
    assert found.environment == BODY["environment"]
    assert (found.state, found.compile_state) == ("warm", "eager")
    assert found.phases_s == {"queue_wait": 1.0, "denoise": 3.0, "unattributed": 0.25}
    assert (found.total_s, found.shared_s, found.device_s) == (5.0, 0.75, 3.0)
    assert found.run_s == 3.25
    assert found.step_times_s == (0.5, 0.5)
    assert (found.is_success, found.failure) == (True, None)
    assert found.memory == {"host_peak_bytes": 100}
    assert found.device == {"utilisation_mean": 0.5}
    assert found.host == {"cpu_s": 1.0}
    assert found.facts == {"files": 1}
    assert found.flags == ("throttled",)
    assert (found.source, found.settings) == ("api", {"seed": 7})
    assert (found.network_calls, found.image_s, found.batched_with) == (40, 3.25, 2)


def test_a_failure_has_a_class_and_no_phases():
    found = record_from(Stored({"is_success": False, "failure": "out_of_memory", "total_s": 1}))
    assert (found.is_success, found.failure, found.phases_s) == (False, "out_of_memory", {})
    assert (found.state, found.compile_state) == ("unknown", "unknown")
    assert not record_from(Stored({"failure": "crashed"})).is_success


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"timing": {"phases_s": {"denoise": 3.0}, "total_s": 4.0, "state": "cold"}},
        {"phases_s": [1], "step_times_s": "x", "memory": {"a": "b"}, "flags": {"a": 1}},
        {"total_s": True, "environment": "H100", "request": [], "device": None},
    ],
)
def test_what_is_missing_or_odd_is_unknown(body):
    found = record_from(Stored(body))
    assert found.is_success
    assert found.workload == {"workload": "sdxl_image_fast/baseline/..."}
    assert found.environment == {}
    assert found.step_times_s == ()
    assert found.phases_s == body.get("timing", {}).get("phases_s", {})
    assert found.total_s == body.get("timing", {}).get("total_s")


def test_a_body_from_before_fingerprints_is_only_told():
    body = {"preset": "baseline", "model": "m", "environment": {"gpus": [], "cpu": "X"}}
    found = record_from(Stored(body))
    assert found.environment == {"told": {"gpus": [], "cpu": "X"}}
    assert found.workload["preset"] == "baseline"


def test_an_unknown_origin_is_nobodys_baseline():
    assert record_from(Stored({"origin": "protocol"})).origin is Origin.PROTOCOL
    assert record_from(Stored({"origin": "moon"})).origin is Origin.IMPORTED


def rows(count, **fields):
    return [
        Stored(BODY, id=index, job_id=f"job_{index}", at=1000.0 + index, **fields)
        for index in range(count)
    ]


def test_all_are_read_oldest_first_page_by_page():
    source = Source(rows(1203))
    found = [record.id for record in StoreRecords(source).records()]
    assert found == [f"job_{index}" for index in range(1203)]
    assert source.asked == [500, 500, 500]


def test_an_exact_page_ends():
    assert len(list(StoreRecords(Source(rows(500))).records())) == 500
    assert list(StoreRecords(Source([])).records()) == []


def test_a_limit_means_the_newest_oldest_first():
    reader = StoreRecords(Source(rows(9) + rows(2, job_type="video_fast")))
    assert [r.id for r in reader.records(limit=2, job_type="sdxl_image_fast")] == ["job_7", "job_8"]
    since = datetime.fromtimestamp(1007.0, UTC)
    assert [record.id for record in reader.records(since=since)] == ["job_7", "job_8"]
    assert [record.id for record in reader.records(job_type="video_fast")] == ["job_0", "job_1"]
