"""What is seen of GPU and process, from sequences of samples and from a real thread."""

import threading
import time

import pytest

from ourvidz.core.clock import SystemClock
from ourvidz.perf.nvml import Gpu, GpuReading, find_gpu, num_others, slowed_by, visible_name
from ourvidz.perf.sampling import (
    OTHER_PROCESS,
    THROTTLED,
    Sample,
    Sampler,
    device_series,
    device_summary,
    flags_of,
    host_summary,
    open_sampler,
)
from tests.clocks import ManualClock


def reading(**values):
    known = {
        "utilisation": 1.0,
        "memory_used_bytes": 2 * 2**30,
        "sm_clock_mhz": 1980.0,
        "power_w": 600.0,
        "temperature_c": 50.0,
        "is_power_capped": False,
        "slowed_by": (),
    }
    return GpuReading(**{**known, **values})


def samples(*readings, period_s=0.5, others=0, cores=2.0):
    return [
        Sample(
            at_s=100 + index * period_s,
            cpu_s=7 + index * period_s * cores,
            resident_bytes=(index + 1) * 1000,
            gpu=one,
            others=others,
        )
        for index, one in enumerate(readings)
    ]


def test_means_and_extremes_of_a_job():
    found = device_summary(
        samples(
            reading(utilisation=0.0, sm_clock_mhz=345.0, power_w=100.0, temperature_c=40.0),
            reading(utilisation=0.9, memory_used_bytes=6 * 2**30, power_w=700.0),
            reading(utilisation=0.6, sm_clock_mhz=1500.0, power_w=500.0, temperature_c=60.0),
        )
    )
    assert found["samples"] == 3
    assert found["utilisation_mean"] == pytest.approx(0.5)
    assert found["utilisation_max"] == 0.9
    assert found["memory_used_mean_bytes"] == pytest.approx(10 / 3 * 2**30)
    assert found["memory_used_max_bytes"] == 6 * 2**30
    assert found["sm_clock_min_mhz"] == 1500.0  # the idle one is no evidence
    assert found["sm_clock_max_mhz"] == 1980.0
    assert found["power_mean_w"] == pytest.approx(1300 / 3)
    assert found["energy_j"] == pytest.approx(0.5 * 400 + 0.5 * 600)
    assert (found["temperature_mean_c"], found["temperature_max_c"]) == (50.0, 60.0)
    assert (found["throttled_share"], found["power_capped_share"]) == (0.0, 0.0)
    assert flags_of(found) == ()


def test_a_hot_gpu_is_flagged_with_its_reasons():
    hot = reading(slowed_by=("thermal (hardware)", "hardware slowdown"))
    found = device_summary(samples(hot, hot, reading(), reading()))
    assert found["throttled_share"] == 0.5
    assert found["throttled.thermal (hardware)"] == 0.5
    assert flags_of(found) == (THROTTLED,)
    once = device_summary(samples(hot, *[reading()] * 19))
    assert once["throttled_share"] == pytest.approx(0.05)
    assert flags_of(once) == ()


def test_the_power_limit_is_told_and_is_no_defect():
    found = device_summary(samples(*[reading(is_power_capped=True)] * 4))
    assert found["power_capped_share"] == 1.0
    assert flags_of(found) == ()


def test_another_process_is_flagged():
    found = device_summary(samples(reading(), reading(), others=1))
    assert found["other_processes_max"] == 1
    assert flags_of(found) == (OTHER_PROCESS,)


def test_what_the_driver_does_not_tell_is_not_there():
    found = device_summary(samples(reading(power_w=None, utilisation=None), reading(power_w=None)))
    assert not [name for name in found if name.startswith(("power_mean", "energy"))]
    assert found["utilisation_mean"] == 1.0
    assert device_summary(samples(None, None)) == {}
    assert device_summary([]) == {}


def test_the_process_is_summed_up_without_a_gpu():
    found = host_summary(samples(None, None, None))
    assert found["resident_mean_bytes"] == 2000
    assert found["resident_max_bytes"] == 3000
    assert found["cpu_s"] == pytest.approx(2.0)
    assert found["cpu_cores_mean"] == pytest.approx(2.0)
    assert found["cpu_cores_max"] == pytest.approx(2.0)
    assert host_summary(samples(None)) == {
        "samples": 1,
        "resident_mean_bytes": 1000,
        "resident_max_bytes": 1000,
    }
    assert host_summary([]) == {}


def test_the_most_cores_are_those_of_a_stretch():
    rows = [(0.0, 0.0), (0.2, 0.1), (0.4, 0.9), (0.6, 1.0)]
    found = host_summary([Sample(at_s=at, cpu_s=cpu, resident_bytes=1) for at, cpu in rows])
    assert found["cpu_cores_max"] == pytest.approx(4.0)


def test_a_job_between_two_looks_has_both_its_ends():
    clock = ManualClock()
    sampler = Sampler(clock=clock, period_s=3600.0)
    start_s = clock.monotonic()
    sampler.begin("a")
    clock.advance(0.1)
    sampler.end("a")
    sampler.end("a")
    seen = sampler.between(start_s, clock.monotonic())
    assert [one.at_s - start_s for one in seen] == [0.0, pytest.approx(0.1)]
    assert all(one.resident_bytes > 2**20 for one in seen)
    sampler.close()


def test_an_interval_takes_one_look_before_and_one_after():
    clock = ManualClock()
    sampler = Sampler(clock=clock, period_s=0.5)
    for _ in range(10):
        sampler.look()
        clock.advance(0.5)  # 100.0 to 104.5
    times = [one.at_s for one in sampler.between(101.2, 102.6)]
    assert times == [101.0, 101.5, 102.0, 102.5, 103.0]
    assert [one.at_s for one in sampler.between(101.1, 101.2)] == [101.0, 101.5]
    assert [one.at_s for one in sampler.between(105.0, 105.1)] == [104.5]
    assert sampler.between(105.6, 107.0) == ()


def test_the_thread_looks_while_a_job_runs():
    clock = SystemClock()
    before = set(threading.enumerate())
    sampler = Sampler(clock=clock, period_s=0.001)
    start_s = clock.monotonic()
    sampler.begin("a")
    give_up_s = time.monotonic() + 30
    while len(sampler.between(start_s, clock.monotonic())) < 5:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)
    sampler.end("a")
    sampler.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
    times = [one.at_s for one in sampler.between(start_s, clock.monotonic())]
    assert times == sorted(times)


def test_without_a_gpu_there_is_nothing_of_one():
    assert find_gpu("cpu") is None
    sampler = open_sampler("cpu", clock=SystemClock())
    sampler.begin("a")
    sampler.end("a")
    seen = sampler.between(0.0, float("inf"))
    assert seen
    assert device_summary(seen) == {}
    sampler.close()


@pytest.mark.gpu
def test_a_gpu_is_seen_with_its_limits():
    gpu = find_gpu("cuda:0")
    assert gpu is not None
    limits = gpu.limits()
    assert limits["gpu"]
    assert limits["power_limit_w"] > 50
    assert limits["max_sm_clock_mhz"] > 500
    sampler = open_sampler("cuda:0", clock=SystemClock())
    sampler.begin("a")
    sampler.end("a")
    found = device_summary(sampler.between(0.0, float("inf")))
    assert found["samples"] >= 2
    assert 0 < found["memory_used_max_bytes"] <= limits["gpu_memory_gib"] * 2**30 * 1.01
    assert found["power_mean_w"] > 10
    assert found["temperature_max_c"] > 10
    sampler.close()


@pytest.mark.parametrize(
    ("index", "visible", "name"),
    [
        (0, None, "0"),
        (3, None, "3"),
        (1, "2,5", "5"),
        (0, " GPU-8f1c , 1", "GPU-8f1c"),
        (2, "2,5", None),
        (1, "0,-1,1", None),
        (0, "", None),
    ],
)
def test_the_gpu_that_torch_means(index, visible, name):
    assert visible_name(index, visible) == name


def test_reasons_by_bit():
    assert slowed_by(0x01 | 0x02 | 0x04 | 0x100) == ()
    assert slowed_by(0x08 | 0x80) == ("hardware slowdown", "power brake")
    assert slowed_by(0x20 | 0x40) == ("thermal (software)", "thermal (hardware)")


def test_others_on_the_gpu():
    assert num_others([10, 20], own={10}) == 1
    assert num_others([10], own={10, 11}) == 0
    assert num_others([], own={10}) == 0
    # Numbers of the host's, seen from a container: one of them is ours.
    assert num_others([4711], own={10}) == 0
    assert num_others([4711, 4712], own={10}) == 1


class OtherDriver:
    """What a library looks like whose driver knows less: functions that are missing or refuse."""

    class NVMLError(Exception):
        pass

    @staticmethod
    def nvmlDeviceGetUtilizationRates(handle):
        raise OtherDriver.NVMLError

    @staticmethod
    def nvmlDeviceGetPowerUsage(handle):
        return 123_456

    @staticmethod
    def nvmlDeviceGetTemperatureV(handle, sensor):
        raise RuntimeError("another version")

    @staticmethod
    def nvmlDeviceGetTemperature(handle, sensor):
        return 41

    @staticmethod
    def nvmlDeviceGetCurrentClocksThrottleReasons(handle):
        return 0x44

    @staticmethod
    def nvmlDeviceGetName(handle):
        return b"GPU"

    @staticmethod
    def nvmlDeviceGetMigMode(handle):
        return [1, 0]


def test_a_driver_that_knows_less_costs_values_not_jobs():
    gpu = Gpu(OtherDriver, None)
    found = gpu.read()
    assert (found.utilisation, found.memory_used_bytes, found.sm_clock_mhz) == (None, None, None)
    assert (found.power_w, found.temperature_c) == (123.456, 41.0)
    assert found.is_power_capped
    assert found.slowed_by == ("thermal (hardware)",)
    assert gpu.process_ids() is None
    limits = gpu.limits()
    assert (limits["gpu"], limits["mig"], limits["ecc"]) == ("GPU", True, None)
    assert limits["power_limit_w"] is None


def test_a_series_holds_means_of_120_stretches_at_most():
    few = samples(reading(utilisation=0.5), reading(power_w=None), reading(utilisation=0.25))
    assert device_series(few, zero_s=99.0) == {
        "at_s": [1.0, 1.5, 2.0],
        "utilisation": [0.5, 1.0, 0.25],
        "memory_used_bytes": [2 * 2**30] * 3,
        "power_w": [600.0, None, 600.0],
    }
    many = samples(*(reading(power_w=float(n)) for n in range(1000)), period_s=0.1)
    found = device_series(many, zero_s=100.0)
    assert {len(values) for values in found.values()} == {120}
    assert found["at_s"] == sorted(found["at_s"])
    assert (found["at_s"][0], found["at_s"][-1]) == (pytest.approx(0.35), pytest.approx(99.5))
    assert sum(found["power_w"]) / 120 == pytest.approx(499.5, rel=0.01)
    assert found["power_w"][0] == pytest.approx(3.5)


def test_what_nobody_told_is_left_out_and_a_cpu_has_no_series():
    silent = samples(reading(power_w=None, memory_used_bytes=None))
    assert device_series(silent, zero_s=100.0) == {"at_s": [0.0], "utilisation": [1.0]}
    assert device_series(samples(None, None), zero_s=100.0) == {}
    assert device_series(samples(reading()), zero_s=200.0) == {}
    assert device_series((), zero_s=0.0) == {}
