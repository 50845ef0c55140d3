"""The heartbeat: who is renewed, who is not, and what comes back."""

import pytest

from ourvidz.jobs.model import BeatReply
from ourvidz.perf.nvml import GpuReading
from ourvidz.worker.heartbeat_process import GpuWatch, HeartbeatState, gpu_facts

LEASE_S, BEAT_S, HANG_S = 20.0, 5.0, 300.0


@pytest.fixture
def state():
    made = HeartbeatState(lease_s=LEASE_S, beat_s=BEAT_S, hang_s=HANG_S)
    made.hear({"hold": [hold("a", 1), hold("b", 7)]})
    return made


def hold(job_id, token, at_s=1000.0):
    return {
        "key": f"{job_id}/{token}",
        "job_id": job_id,
        "token": token,
        "renewed_s": at_s,
        "moved_s": at_s,
    }


def test_a_job_that_moves_is_renewed_and_one_that_hangs_is_not(state):
    state.hear({"moved": {"b/7": 1000.0 + HANG_S}})
    beats = state.due(1000.0 + HANG_S + 1)
    assert [(beat.job_id, beat.token) for beat in beats.values()] == [("b", 7)]


def test_a_hang_is_only_one_after_its_lease_and_a_beat(state):
    state.hear({"drop": ["b/7"]})
    beats = state.due(1000.0 + HANG_S - 1)
    state.settle(beats, alive("a"), 1000.0 + HANG_S - 1)
    lease_over_s = 1000.0 + HANG_S - 1 + LEASE_S + BEAT_S
    assert not state.is_hung(lease_over_s - 0.1)
    assert state.is_hung(lease_over_s + 0.1)
    state.hear({"moved": {"a/1": lease_over_s}})
    assert not state.is_hung(lease_over_s + 0.1)


def test_progress_is_written_once(state):
    state.hear({"progress": {"a/1": {"done": 1}}})
    state.hear({"progress": {"a/1": {"done": 2}}})
    first, second = state.due(1001.0), state.due(1002.0)
    assert first["a/1"].progress == {"done": 2}
    assert second["a/1"].progress is None
    assert second["b/7"].progress is None


def test_replies_say_who_lost_and_whom_to_cancel(state):
    beats = state.due(1001.0)
    message = state.settle(
        beats,
        {
            "a": BeatReply(is_alive=True, cancel_requested=True),
            "b": BeatReply(is_alive=False, cancel_requested=False),
        },
        1001.0,
    )
    assert message["renewed"] == ["a/1"]
    assert message["cancel"] == ["a/1"]
    assert message["lost"] == ["b/7"]
    assert list(state.due(1002.0)) == ["a/1"]  # who lost is not asked for again


def test_a_new_attempt_of_the_same_job_is_its_own(state):
    state.hear({"drop": ["a/1"], "hold": [hold("a", 2, 1005.0)]})
    assert {beat.token for beat in state.due(1006.0).values()} == {2, 7}


def alive(*job_ids):
    return {job_id: BeatReply(is_alive=True, cancel_requested=False) for job_id in job_ids}


def test_a_workers_row_tells_its_gpu_and_nothing_on_a_cpu():
    watch = GpuWatch()
    assert watch.facts("cpu") == {}
    reading = GpuReading(
        utilisation=0.97,
        memory_used_bytes=2**30,
        sm_clock_mhz=1980.0,
        power_w=612.5,
        temperature_c=None,
        is_power_capped=False,
        slowed_by=(),
    )
    assert gpu_facts(reading) == {
        "utilisation": 0.97,
        "memory_used_bytes": 2**30,
        "power_w": 612.5,
        "temperature_c": None,
    }
