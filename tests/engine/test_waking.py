"""Waking a device without torch: a driver of our own making stands in for NVIDIA's."""

import ctypes
import subprocess
import sys

import pytest

from ourvidz.engine import waking


class Driver:
    """Answers as libcuda would; ``missing`` devices are no ordinal."""

    def __init__(self, *, num_devices=2, init=0):
        self.calls = []
        self._num_devices = num_devices
        self._init = init

    def cuInit(self, flags):
        self.calls.append(("init", flags.value))
        return self._init

    def cuDeviceGet(self, device, ordinal):
        if ordinal.value >= self._num_devices:
            return 101  # CUDA_ERROR_INVALID_DEVICE
        device._obj.value = 10 + ordinal.value
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device):
        context._obj.value = 1
        self.calls.append(("retain", device.value))
        return 0


@pytest.fixture
def driver(monkeypatch):
    """Put a driver of two devices in the real one's place, before torch began."""
    found = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: found)
    monkeypatch.setattr(waking, "_has_torch_begun", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")
    return found


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("auto", [("init", 0), ("retain", 10)]),
        ("cuda", [("init", 0), ("retain", 10)]),
        ("cuda:1", [("init", 0), ("retain", 11)]),
        ("cuda:2", [("init", 0)]),  # is not there: `select_device` says so
    ],
)
def test_the_device_that_is_asked_for_is_woken(driver, setting, expected):
    thread = waking.wake_device(setting)
    assert thread is not None
    thread.join()
    assert driver.calls == expected


@pytest.mark.parametrize("setting", ["cpu", "nonsense", "cuda:x"])
def test_nothing_else_is_woken(driver, setting):
    assert waking.wake_device(setting) is None
    assert driver.calls == []


def test_a_driver_that_does_not_start_is_left_alone(monkeypatch, driver):
    monkeypatch.setattr(driver, "_init", 100)  # CUDA_ERROR_NO_DEVICE
    assert not waking._make_context(0)
    assert driver.calls == [("init", 0)]


def test_without_a_driver_nothing_happens(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not waking._make_context(0)


def test_torch_is_not_imported_for_it():
    code = "from ourvidz.engine.waking import wake_device\nthread = wake_device('auto')\n"
    code += "thread.join() if thread else None\nimport sys\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.gpu
def test_torch_takes_the_device_that_was_woken():
    code = """
from ourvidz.engine.waking import _make_context
assert _make_context(0)
import torch
x = torch.arange(1024, device="cuda:0", dtype=torch.float32)
assert (x @ x).item() == torch.arange(1024, dtype=torch.float64).square().sum().item()
torch.cuda.synchronize()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["done"], done.stderr
