"""Loading and unloading by hand, and loads that several jobs share."""

import threading

import pytest
import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, IllegalState
from ourvidz.core.phase import LoadState, Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.residency import ComponentSpec, Residency
from tests.clocks import ManualClock


class Gate:
    """A loader that makes a real module once it is let through."""

    def __init__(self):
        self.calls = 0
        self.is_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, folder, *, device, dtype, cancel):
        self.calls += 1
        self.is_begun.set()
        while not self.may_end.wait(0.005):
            cancel.raise_if_cancelled()
        return torch.nn.Linear(4, 4, bias=False, device=device, dtype=dtype)


@pytest.fixture
def residency():
    made = Residency(device=torch.device("cpu"), dtype="float32")
    yield made
    made.close()


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    gate = Gate()
    made = ComponentSpec(
        model_id="m",
        family="sdxl",
        name="unet",
        folder=tmp_path,
        phase=Phase.LOAD_UNET,
        load=gate,
    )
    yield made
    gate.may_end.set()


def test_two_jobs_share_one_load_and_both_account_for_it(residency, spec):
    recorders = [SpanRecorder(ManualClock()) for _ in range(2)]
    futures = [residency.request(spec, recorder, CancelToken()) for recorder in recorders]
    spec.load.may_end.set()
    first, second = (future.result(timeout=30) for future in futures)
    assert spec.load.calls == 1
    assert first.module is second.module
    for recorder in recorders:
        (span,) = recorder.spans()
        assert (span.phase, span.is_background) == (Phase.LOAD_UNET, True)
    third = residency.request(spec, recorders[0], CancelToken()).result(timeout=30)
    assert (third.module, third.state) == (first.module, LoadState.RESIDENT)
    assert residency.bytes_by_model() == {"m": 64}
    assert residency.resident_bytes == 64


def test_a_shared_load_goes_on_until_nobody_wants_it(residency, spec):
    recorder, cancels = SpanRecorder(ManualClock()), [CancelToken(), CancelToken()]
    futures = [residency.request(spec, recorder, cancel) for cancel in cancels]
    assert spec.load.is_begun.wait(30)
    cancels[0].cancel()
    assert not futures[1].done()
    cancels[1].cancel()
    with pytest.raises(Cancelled):
        futures[1].result(timeout=30)
    # Whoever comes after that gets a load of his own, never the dead one's error.
    later = residency.request(spec, recorder, CancelToken())
    spec.load.may_end.set()
    assert later.result(timeout=30).module is not None
    assert spec.load.calls == 2


def test_a_failed_load_is_tried_again(residency, spec, tmp_path):
    def fail(folder, **_):
        raise ValueError(folder)

    broken = ComponentSpec(
        model_id="m", family="sdxl", name="vae", folder=tmp_path, phase=Phase.LOAD_VAE, load=fail
    )
    for _ in range(2):
        future = residency.request(broken, SpanRecorder(ManualClock()), CancelToken())
        with pytest.raises(ValueError, match=str(tmp_path)):
            future.result(timeout=30)


def test_a_model_in_use_is_neither_unloaded_nor_evicted(residency, spec):
    spec.load.may_end.set()
    residency.hold("m")
    residency.hold("m")
    residency.request(spec, SpanRecorder(ManualClock()), CancelToken()).result(timeout=30)
    residency.release("m")
    with pytest.raises(IllegalState, match="m is in use"):
        residency.unload("m")
    residency.evict_all()
    assert residency.bytes_by_model() == {"m": 64}
    residency.release("m")
    assert residency.unload("m") == 64
    assert residency.unload("m") == 0
    assert residency.find("m", "unet") is None


def test_the_identity_changes_with_the_files(residency, spec, tmp_path):
    spec.load.may_end.set()

    def load():
        recorder = SpanRecorder(ManualClock())
        return residency.request(spec, recorder, CancelToken()).result(timeout=30)

    first = load()
    residency.unload("m")
    assert load().identity == first.identity
    residency.unload("m")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert load().identity != first.identity
