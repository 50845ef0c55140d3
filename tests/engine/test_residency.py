"""Loading and unloading by hand, loads that several jobs share, and who leaves a full device."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, IllegalState
from ourvidz.core.phase import LoadState, Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine import residency as residency_module
from ourvidz.engine.memory_plan import ActivationPeaks, DeviceView, Place
from ourvidz.engine.residency import ComponentSpec, Residency
from ourvidz.models import reading
from tests.clocks import ManualClock

LAYER_BYTES = 64  # of one Linear(4, 4) in float32


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


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    """A full collection takes a third of a second beside the libraries, and nothing here waits."""
    monkeypatch.setattr(residency_module, "release_unused", lambda device: None)


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


# ---- A device of few bytes


class Device:
    """Memory for some layers beside the activations that are always kept free."""

    def __init__(self, num_layers):
        self.total_bytes = ActivationPeaks().floor_bytes + num_layers * LAYER_BYTES

    def __call__(self):
        return DeviceView(
            total_bytes=self.total_bytes,
            free_bytes=self.total_bytes,
            reserved_bytes=0,
            allocated_bytes=0,
        )


class Layers:
    """Makes models of one layer each, whose weights say which load made them."""

    def __init__(self, root):
        self.root = root
        self.loads = []

    def spec(self, model, name="unet", load=None):
        folder = self.root / model / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "model.safetensors").exists():
            (folder / "model.safetensors").write_bytes(bytes(LAYER_BYTES))

        def count(folder, *, device, dtype, cancel):
            self.loads.append((model, name))
            layer = torch.nn.Linear(4, 4, bias=False, device=device, dtype=dtype)
            torch.nn.init.constant_(layer.weight, len(self.loads))
            return layer.requires_grad_(False)

        return ComponentSpec(
            model_id=model,
            family="sdxl",
            name=name,
            folder=folder,
            phase=Phase.LOAD_UNET,
            load=load or count,
        )


@pytest.fixture
def layers(tmp_path):
    return Layers(tmp_path)


@pytest.fixture
def make_residency():
    made = []

    def make(num_layers, **values):
        residency = Residency(
            device=torch.device("cpu"),
            dtype="float32",
            view=Device(num_layers),
            clock=ManualClock(),
            **values,
        )
        made.append(residency)
        return residency

    yield make
    for residency in made:
        residency.close()


@pytest.fixture
def cold_files(monkeypatch):
    """The page cache keeps nothing; a test can't make the system drop files everywhere."""
    monkeypatch.setattr(residency_module, "load_state_of", lambda files: LoadState.COLD)


def load(residency, spec):
    recorder = SpanRecorder(ManualClock())
    return residency.request(spec, recorder, CancelToken()).result(timeout=30)


def test_the_least_used_leaves_when_another_needs_the_room(make_residency, layers):
    residency = make_residency(2)
    load(residency, layers.spec("often"))
    load(residency, layers.spec("often"))
    load(residency, layers.spec("once"))
    load(residency, layers.spec("new"))
    assert residency.bytes_by_model().keys() == {"often", "new"}


def test_old_uses_count_less(layers):
    clock = ManualClock()
    residency = Residency(device=torch.device("cpu"), dtype="float32", view=Device(2), clock=clock)
    for _ in range(3):
        load(residency, layers.spec("long ago"))
    clock.advance(3600)
    load(residency, layers.spec("now"))
    load(residency, layers.spec("new"))
    assert residency.bytes_by_model().keys() == {"now", "new"}
    residency.close()


def test_what_the_queue_announces_stays(make_residency, layers):
    residency = make_residency(2)
    for model in ("a", "a", "b"):
        load(residency, layers.spec(model))
    residency.hint(["b", "b", "b"])
    load(residency, layers.spec("new"))
    assert residency.bytes_by_model().keys() == {"b", "new"}


def test_what_jobs_hold_stays_even_when_nothing_else_is_left(make_residency, layers):
    residency = make_residency(1)
    residency.hold("a")
    load(residency, layers.spec("a"))
    load(residency, layers.spec("b"))  # it may try: the device will tell if it is too much
    assert residency.bytes_by_model().keys() == {"a", "b"}
    assert residency.pressure().level == "full"
    assert residency.pressure().free_bytes == -LAYER_BYTES
    residency.release("a")
    assert residency.shrink(1) == LAYER_BYTES
    assert residency.pressure().level != "full"


def test_components_of_a_model_that_is_loading_do_not_push_each_other_out(make_residency, layers):
    residency = make_residency(1)
    other = layers.spec("a", "vae")
    spec = layers.spec("a", load=lambda *_, **__: load(residency, other).module)
    load(residency, spec)
    assert residency.find("a", "unet") is not None
    assert residency.find("a", "vae") is not None


def test_room_for_measured_activations_is_kept(make_residency, layers):
    residency = make_residency(3)
    floor = ActivationPeaks().floor_bytes
    for model in ("a", "b"):
        load(residency, layers.spec(model))
    assert residency.activation_bytes("clip") is None
    residency.learn_activations("clip", floor + 2 * LAYER_BYTES)
    assert residency.activation_bytes("clip") == floor + 2 * LAYER_BYTES
    load(residency, layers.spec("c"))
    assert residency.bytes_by_model().keys() == {"c"}


def test_it_comes_back_from_its_host_copy_without_its_files(make_residency, layers, cold_files):
    residency = make_residency(1, host_cache_bytes=10**6)
    spec = layers.spec("a")
    first = load(residency, spec)
    load(residency, layers.spec("b"))
    assert residency.places() == {("a", "unet"): Place.HOST, ("b", "unet"): Place.DEVICE}
    assert residency.pressure().host_bytes >= LAYER_BYTES
    recorder = SpanRecorder(ManualClock())
    back = residency.request(spec, recorder, CancelToken()).result(timeout=30)
    assert layers.loads == [("a", "unet"), ("b", "unet")]
    assert (back.state, back.identity) == (LoadState.WARM, first.identity)
    assert back.module is not first.module
    assert torch.equal(back.module.weight, first.module.weight)
    (span,) = recorder.spans()
    assert (span.phase, span.facts["from"]) == (Phase.LOAD_UNET, "host")
    assert residency.places() == {("a", "unet"): Place.DEVICE, ("b", "unet"): Place.HOST}
    load(residency, layers.spec("b"))
    load(residency, spec)
    assert len(layers.loads) == 2  # the copies are kept: turns cost no reading


def test_a_host_copy_of_other_files_is_forgotten(make_residency, layers, cold_files):
    residency = make_residency(1, host_cache_bytes=10**6)
    spec = layers.spec("a")
    load(residency, spec)
    load(residency, layers.spec("b"))
    (spec.folder / "model.safetensors").write_bytes(bytes(LAYER_BYTES + 4))
    assert load(residency, spec).module.weight[0, 0] == 3  # made by the third load


def test_without_a_host_budget_or_from_the_page_cache_nothing_is_copied(make_residency, layers):
    for host_cache_bytes in (0, 10**6):  # the files were just written: they are in the cache
        residency = make_residency(1, host_cache_bytes=host_cache_bytes)
        load(residency, layers.spec("a"))
        residency.shrink(1)
        assert residency.pressure().host_bytes == 0


def test_a_module_that_can_not_be_copied_is_read_again(make_residency, layers, cold_files):
    residency = make_residency(1, host_cache_bytes=10**6)

    def make(folder, **_):
        layer = torch.nn.Linear(4, 4, bias=False)
        layer.lock = threading.Lock()
        return layer

    spec = layers.spec("a", load=make)
    load(residency, spec)
    assert residency.shrink(1) == LAYER_BYTES
    assert residency.places() == {("a", "unet"): Place.DISK}
    load(residency, spec)


# ---- Derived things


def test_a_derived_thing_is_made_once_and_counted(make_residency, layers):
    residency = make_residency(3)
    load(residency, layers.spec("a"))
    builds = []
    start = threading.Barrier(4)

    def derive():
        start.wait(30)
        return residency.derive(
            ("a", "unet"), "fp8", lambda: builds.append(1) or object(), LAYER_BYTES
        )

    with ThreadPoolExecutor(4) as pool:
        made = {future.result(30) for future in [pool.submit(derive) for _ in range(4)]}
    assert len(made) == len(builds) == 1
    pressure = residency.pressure()
    assert (pressure.weights_bytes, pressure.derived_bytes) == (LAYER_BYTES, LAYER_BYTES)
    assert pressure.arriving_bytes == 0


def test_a_derived_thing_goes_before_its_component_and_with_it(make_residency, layers):
    residency = make_residency(3)
    load(residency, layers.spec("a"))
    values = iter(range(10))

    def derive():
        return residency.derive(("a", "unet"), "fp8", lambda: next(values), LAYER_BYTES)

    assert [derive(), derive()] == [0, 0]
    residency.hold("b")
    load(residency, layers.spec("b"))
    load(residency, layers.spec("b", "vae"))
    assert residency.bytes_by_model()["a"] == LAYER_BYTES
    assert residency.pressure().derived_bytes == 0
    assert derive() == 1
    residency.unload("a")
    load(residency, layers.spec("a"))
    assert derive() == 2
    residency.unload("a")
    assert [derive(), derive()] == [3, 4]  # nothing to keep it with


def test_one_that_took_weights_away_goes_with_its_component(make_residency, layers, cold_files):
    residency = make_residency(3, host_cache_bytes=10**6)
    spec = layers.spec("a")
    module = load(residency, spec).module

    def take_over():
        taken = module.weight
        module.weight = None
        return taken

    residency.derive(("a", "unet"), "fp8", take_over, LAYER_BYTES // 2)
    assert residency.bytes_by_model() == {"a": 0}
    assert residency.shrink(1) == LAYER_BYTES // 2
    assert residency.find("a", "unet") is None
    assert load(residency, spec).module.weight is not None  # from its files: a copy had been broken
    assert len(layers.loads) == 2


def test_a_build_that_fails_leaves_no_trace(make_residency, layers):
    residency = make_residency(3)
    load(residency, layers.spec("a"))
    with pytest.raises(ZeroDivisionError):
        residency.derive(("a", "unet"), "fp8", lambda: 1 // 0, LAYER_BYTES)
    assert residency.pressure().arriving_bytes == 0
    assert residency.derive(("a", "unet"), "fp8", lambda: "made", LAYER_BYTES) == "made"


def test_room_is_made_for_a_derived_thing_but_not_by_its_own_component(make_residency, layers):
    residency = make_residency(2)
    for model in ("a", "b", "b"):
        load(residency, layers.spec(model))
    residency.derive(("a", "unet"), "fp8", object, LAYER_BYTES)
    assert residency.bytes_by_model().keys() == {"a"}


# ---- Running out


def test_shrink_frees_what_is_cheapest_and_says_how_much(make_residency, layers):
    residency = make_residency(9)
    for model in ("a", "a", "b"):
        load(residency, layers.spec(model))
    residency.hold("b")
    assert residency.shrink(10**9) == LAYER_BYTES
    assert residency.bytes_by_model().keys() == {"b"}
    assert residency.shrink(1) == 0


# ---- What comes before it is asked for


def test_the_queue_brings_a_model_back_where_there_is_room(make_residency, layers):
    residency = make_residency(2)
    gate = Gate()
    gate.may_end.set()
    spec = layers.spec("a", load=gate)
    load(residency, spec)
    residency.unload("a")
    gate.is_begun.clear()
    residency.hint(["never asked for", "a"])
    assert gate.is_begun.wait(30)
    assert load(residency, spec).module is not None
    assert gate.calls == 2  # the job took what was on its way


def test_the_queue_pushes_nothing_out(make_residency, layers, monkeypatch):
    read = threading.Event()
    monkeypatch.setattr(reading, "read_ahead", lambda files, max_bytes: read.set())
    residency = make_residency(1)
    load(residency, layers.spec("a"))
    load(residency, layers.spec("b"))
    residency.hint(["a"])
    assert read.wait(30)  # but into the page cache it may come
    assert residency.bytes_by_model().keys() == {"b"}


def test_what_no_job_has_asked_for_comes_too_if_one_says_how(make_residency, layers):
    residency = make_residency(2)
    gate = Gate()
    gate.may_end.set()
    residency.hint(["a"], specs=[layers.spec("a", load=gate)])
    assert gate.is_begun.wait(30)
    assert residency.components()[0].key == ("a", "unet")


def test_files_are_read_ahead_alone_where_loading_would_disturb(
    make_residency, layers, monkeypatch
):
    read = threading.Event()
    monkeypatch.setattr(reading, "read_ahead", lambda files, max_bytes: read.set())
    residency = make_residency(2)
    residency.hint(["a"], specs=[layers.spec("a")], may_load=False)
    assert read.wait(30)
    assert layers.loads == []


def test_on_a_cpu_nothing_comes_unasked_that_the_host_has_no_room_for(
    residency, layers, monkeypatch
):
    read = threading.Event()
    monkeypatch.setattr(reading, "read_ahead", lambda files, max_bytes: read.set())
    monkeypatch.setattr(residency_module, "_PREFETCH_SHARE", 0.0)
    residency.hint(["a"], specs=[layers.spec("a")])
    assert read.wait(30)
    assert layers.loads == []
    (placed,) = residency.components()
    assert placed.place in {Place.PAGE_CACHE, Place.DISK}
    assert placed.num_bytes == LAYER_BYTES
    load(residency, layers.spec("a"))  # asked for, it does
    assert layers.loads == [("a", "unet")]


class Hoard:
    """Something derived whose caches grow."""

    def __init__(self):
        self.idle_bytes = 0

    def drop_idle(self):
        self.idle_bytes = 0


def test_what_grew_gives_back_before_weights_leave_and_the_least_used_first(make_residency, layers):
    residency = make_residency(5)
    hoards = {}
    for model in ("a", "b", "b"):
        load(residency, layers.spec(model))
        hoards[model] = residency.derive((model, "unet"), "graphs", Hoard, 0)
        hoards[model].idle_bytes = LAYER_BYTES
    load(residency, layers.spec("c"))
    assert residency.pressure().free_bytes == 0
    load(residency, layers.spec("d"))
    assert (hoards["a"].idle_bytes, hoards["b"].idle_bytes) == (0, LAYER_BYTES)
    residency.hold("b")
    load(residency, layers.spec("e"))  # b's job may be using it: weights leave
    assert hoards["b"].idle_bytes == LAYER_BYTES
    assert len(residency.bytes_by_model()) == 4
    assert {"b", "e"} <= residency.bytes_by_model().keys()


def test_a_job_stops_what_nobody_waits_for(make_residency, layers):
    residency = make_residency(9)
    cancelled = threading.Event()

    class Stopped(Gate):
        def __call__(self, folder, *, cancel, **values):
            try:
                return super().__call__(folder, cancel=cancel, **values)
            except Cancelled:
                cancelled.set()
                raise

    gate = Stopped()
    spec = layers.spec("a", load=gate)
    gate.may_end.set()
    load(residency, spec)
    residency.unload("a")
    gate.may_end.clear()
    gate.is_begun.clear()
    residency.hint(["a"])
    assert gate.is_begun.wait(30)
    load(residency, layers.spec("b"))
    assert cancelled.wait(30)
    gate.may_end.set()
    assert load(residency, spec).module is not None


def test_jobs_in_many_threads_always_have_what_they_hold(make_residency, layers):
    residency = make_residency(2, host_cache_bytes=4 * 512)

    def work(number):
        for turn in range(50):
            spec = layers.spec("abcd"[(number + turn * 3) % 4])
            residency.hold(spec.model_id)
            try:
                module = load(residency, spec).module
                residency.derive(spec.key, "double", module.weight.clone, LAYER_BYTES)
                assert residency.find(*spec.key) is not None
            finally:
                residency.release(spec.model_id)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, number) for number in range(4)]:
            future.result(60)
    residency.shrink(10**9)
    pressure = residency.pressure()
    assert (pressure.weights_bytes, pressure.derived_bytes, pressure.arriving_bytes) == (0, 0, 0)
    assert pressure.host_bytes <= pressure.host_budget_bytes


# ---- On a CUDA device


@pytest.fixture
def whole_device():
    yield torch.device("cuda", 0)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0, 0)


@pytest.mark.gpu
def test_a_pretended_device_runs_out_like_a_real_one(whole_device):
    residency = Residency(device=whole_device, dtype="float32", vram_bytes=3 * 2**30)
    budget_bytes = residency.pressure().budget_bytes
    assert 2 * 2**30 <= budget_bytes <= 3 * 2**30
    kept = torch.empty(budget_bytes - 2**28, dtype=torch.uint8, device=whole_device)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**29, dtype=torch.uint8, device=whole_device)
    del kept
    residency.close()


@pytest.mark.gpu
def test_weights_leave_a_device_for_pinned_memory_and_come_back(whole_device, layers, cold_files):
    num_bytes, clock = 2**28, ManualClock()

    def make(folder, *, device, dtype, cancel):
        clock.advance(1.0)  # a disk of 0.27 GB/s: coming back from memory is worth its copy
        layer = torch.nn.Linear(2**13, 2**13, bias=False, device=device, dtype=dtype)
        return layer.requires_grad_(False)

    residency = Residency(
        device=whole_device,
        dtype="float32",
        vram_bytes=3 * 2**30,
        host_cache_bytes=2**30,
        clock=clock,
    )
    spec = layers.spec("a", load=make)
    (file,) = spec.folder.glob("*.safetensors")
    os.truncate(file, num_bytes)  # as long as its weights: reading it again would take longer
    first = load(residency, spec)
    weight = first.module.weight.cpu()
    del first
    before = torch.cuda.memory_allocated(whole_device)
    assert residency.shrink(1) == num_bytes
    assert torch.cuda.memory_allocated(whole_device) == before - num_bytes
    assert residency.places() == {("a", "unet"): Place.HOST}
    assert residency._on_host["a", "unet"].copy.is_pinned
    back = load(residency, spec)
    assert back.state is LoadState.WARM
    assert back.module.weight.device == whole_device
    assert torch.equal(back.module.weight.cpu(), weight)
    residency.close()
