"""Components that stay loaded between jobs, and the threads that load them side by side.

Weights are on the device, in a host copy, or in their files, which the page cache may hold.
``memory_plan`` decides what leaves the device; this carries it out.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import psutil
import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import IllegalState, OurVidzError
from ourvidz.core.phase import LoadState, Phase, Span
from ourvidz.core.recorder import Fact, SpanRecorder
from ourvidz.engine.device import component_dtype, release_unused
from ourvidz.engine.memory_plan import (
    ActivationPeaks,
    Derived,
    DeviceView,
    HostCache,
    HostCopy,
    Key,
    MemoryPressure,
    Place,
    Plan,
    Speeds,
    Weights,
    budget_of,
    decayed,
    host_value,
    plan_evictions,
)
from ourvidz.engine.page_cache import load_state_of
from ourvidz.models import loading, reading

Loader = Callable[..., Any]
T = TypeVar("T")

_NUM_THREADS = 4  # one a component: text encoders, transformer or UNet, VAE
_HOST_CACHE_SHARE = 0.25  # of the host's free memory, where the operator says nothing
_MIN_MEASURED_BYTES = 256 * 2**20  # a shorter load tells of building the module, not of the disk
_PREFETCH_SHARE = 0.5  # of free memory on a CPU, for what no job has asked for
_NEWEST_SHARE = 0.5  # of a new measurement in a running mean


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentSpec:
    """How to load one component of one model."""

    model_id: str
    family: str
    name: str  # as the phase and precision tables call it: text_encoder, transformer, vae...
    folder: Path
    phase: Phase
    load: Loader  # (folder, *, device, dtype, cancel) -> module

    @property
    def key(self) -> Key:
        """Model and component."""
        return (self.model_id, self.name)

    @property
    def files(self) -> list[Path]:
        """The files of its weights."""
        return sorted(self.folder.glob("*.safetensors"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A loaded module and where its weights were when the job asked."""

    module: Any
    state: LoadState
    identity: str  # of the files it came from: equal for equal weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where one component is, and what it takes there with all that is derived from it."""

    key: Key
    place: Place
    num_bytes: int


@runtime_checkable
class Growing(Protocol):
    """Something derived that takes more of the device as it is used: captured graphs, caches.

    What it holds so is given up before any weights are, while no job uses its model.
    """

    @property
    def idle_bytes(self) -> int:
        """What ``drop_idle`` would free, in bytes. Any thread."""
        ...

    def drop_idle(self) -> None:
        """Free what the next use makes again. Any thread, also while it is being used."""
        ...


@dataclass(kw_only=True, slots=True)
class _Made:
    """Something derived from a component."""

    value: Any
    built_bytes: int
    build_s: float
    growing: Growing | None = None  # the value again, where it is one

    @property
    def num_bytes(self) -> int:
        """What it takes now."""
        return self.built_bytes + (0 if self.growing is None else self.growing.idle_bytes)


@dataclass(kw_only=True, slots=True)
class _Resident:
    spec: ComponentSpec
    module: Any
    identity: str
    num_bytes: int
    file_bytes: int
    is_whole: bool = True  # False: something derived took weights of it away
    derived: dict[str, _Made] = field(default_factory=dict[str, _Made])


@dataclass(frozen=True, kw_only=True, slots=True)
class _OnHost:
    copy: loading.HostCopy
    spec: ComponentSpec
    identity: str
    file_bytes: int


@dataclass(kw_only=True, slots=True)
class _Use:
    count: float = 0.0
    at_s: float = 0.0


class Residency:
    """Keeps modules by (model, component). One engine owns one. Callable from any thread."""

    def __init__(
        self,
        *,
        device: torch.device,
        dtype: str,
        vram_bytes: int | None = None,
        host_cache_bytes: int | None = None,
        view: Callable[[], DeviceView] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Set the budgets; nothing is loaded yet.

        Args:
            device: where modules are to be.
            dtype: auto, float32, bfloat16 or float16.
            vram_bytes: pretend that the device has so much memory; torch's allocator is held to
                it too. More than it has changes nothing.
            host_cache_bytes: what copies in host memory may take; left out, a quarter of what is
                free now, and none on a CPU, where they would be the same memory again.
            view: how the device's memory is; left out, a CUDA device is asked, and a CPU has no
                budget.
            clock: times loads and ages uses.
        """
        self._device = device
        self._dtype = dtype
        self._vram_bytes = vram_bytes
        self._clock = clock or SystemClock()
        self._view = view
        if view is None and device.type == "cuda":
            self._view = lambda: _cuda_view(device)
        if host_cache_bytes is None:
            is_useful = device.type == "cuda"
            free_bytes = psutil.virtual_memory().available
            host_cache_bytes = int(free_bytes * _HOST_CACHE_SHARE) if is_useful else 0
        self._host_budget = host_cache_bytes
        self._room_lock = threading.Lock()  # one thread makes room at a time; taken before _lock
        self._build_lock = threading.RLock()  # one thing is derived at a time; taken before both
        self._lock = threading.Lock()
        self._resident: dict[Key, _Resident] = {}
        self._on_host: dict[Key, _OnHost] = {}
        self._loading: dict[Key, tuple[_SharedLoad, Future[Component]]] = {}
        self._arriving: dict[Key, int] = {}  # bytes that room was made for
        self._held: Counter[str] = Counter()  # models that running jobs use
        self._uses: dict[Key, _Use] = {}
        self._queued: Counter[str] = Counter()  # uses that the queue announced, by model
        self._specs: dict[Key, ComponentSpec] = {}  # all that was ever asked for
        self._prefetches: dict[str, CancelToken] = {}  # by model
        self._speeds = Speeds()
        self._activations = ActivationPeaks()
        self._pool = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="load")
        self._prefetcher = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        if vram_bytes is not None and device.type == "cuda":
            _limit_allocator(device, vram_bytes)

    def close(self) -> None:
        """Forget every module and end the threads. Idempotent."""
        with self._lock:
            for cancel in self._prefetches.values():
                cancel.cancel()
        self._prefetcher.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._resident.clear()
        self._on_host.clear()
        release_unused(self._device)

    # ---- What is here

    @property
    def resident_bytes(self) -> int:
        """Bytes of all weights on the device."""
        return sum(self.bytes_by_model().values())

    def bytes_by_model(self) -> dict[str, int]:
        """Return the bytes of the weights on the device, by model."""
        totals: Counter[str] = Counter()
        with self._lock:
            for (model_id, _), entry in self._resident.items():
                totals[model_id] += entry.num_bytes
        return dict(totals)

    @property
    def idle_bytes(self) -> int:
        """Bytes of graphs and caches, which are counted as derived."""
        with self._lock:
            return sum(
                made.num_bytes - made.built_bytes
                for entry in self._resident.values()
                for made in entry.derived.values()
            )

    def places(self) -> dict[Key, Place]:
        """Return where each component is that was ever asked for."""
        with self._lock:
            resident, on_host = set(self._resident), set(self._on_host)
            specs = dict(self._specs)
        places: dict[Key, Place] = {}
        for key, spec in sorted(specs.items()):
            if key in resident:
                places[key] = Place.DEVICE
            elif key in on_host:
                places[key] = Place.HOST
            else:
                places[key] = Place.PAGE_CACHE if _is_cached(spec) else Place.DISK
        return places

    def components(self) -> tuple[Placed, ...]:
        """Return where each component is that was ever asked for, and its bytes there."""
        with self._lock:
            on_device = {
                key: entry.num_bytes + sum(made.num_bytes for made in entry.derived.values())
                for key, entry in self._resident.items()
            }
            on_host = {key: entry.copy.num_bytes for key, entry in self._on_host.items()}
            specs = dict(self._specs)
        found: list[Placed] = []
        for key, place in self.places().items():
            num_bytes = {Place.DEVICE: on_device, Place.HOST: on_host}.get(place, {}).get(key)
            if num_bytes is None:
                num_bytes = _file_bytes(specs[key]) if key in specs else 0
            found.append(Placed(key=key, place=place, num_bytes=num_bytes))
        return tuple(found)

    def pressure(self) -> MemoryPressure:
        """Return how full the device is, as the plan counts it."""
        with self._lock:
            return self._pressure()

    def find(self, model_id: str, name: str) -> Component | None:
        """Return a component if it is resident; loads nothing, counts as no use."""
        with self._lock:
            entry = self._resident.get((model_id, name))
            return None if entry is None else _ready(entry)

    # ---- What jobs need

    def hold(self, model_id: str) -> None:
        """Keep a model from being evicted or unloaded until ``release``, once for each call."""
        with self._lock:
            self._held[model_id] += 1

    def release(self, model_id: str) -> None:
        """Undo one ``hold``."""
        with self._lock:
            self._held[model_id] -= 1

    def request(
        self, spec: ComponentSpec, recorder: SpanRecorder, cancel: CancelToken
    ) -> Future[Component]:
        """Return the component, at once if it is resident, else when a thread has loaded it.

        Two jobs that ask for one component while it loads share the load, which stops once both
        are cancelled.
        """
        with self._lock:
            now_s = self._clock.monotonic()
            self._uses[spec.key] = _Use(count=self._use(spec.key, now_s) + 1.0, at_s=now_s)
            # What a job waits for must not share the disk with what nobody waits for.
            for model_id, prefetch in self._prefetches.items():
                if model_id != spec.model_id:
                    prefetch.cancel()
            return self._start(spec, recorder, cancel)

    def derive(self, key: Key, name: str, build: Callable[[], T], num_bytes: int) -> T:
        """Return what ``build`` makes of a resident component, made once and kept with it.

        It goes when its component goes, or earlier, when it is the cheapest thing to make again.
        A running job must hold the model. Where ``build`` takes weights away from the module, the
        two go together from then on, and only a reload makes the module whole. Builds run one at
        a time; one may derive others.

        Args:
            key: model and component.
            name: of the derived thing, for this component.
            build: makes it; called in this thread.
            num_bytes: of the device's memory that it adds; room is made for it. What it takes
                later on is asked of it, where it is ``Growing``.

        Returns:
            The same object each time while it is kept. Where the component is not resident
            (any more), a new one that is not kept.
        """
        with self._build_lock:
            with self._lock:
                entry = self._resident.get(key)
                made = entry.derived.get(name) if entry is not None else None
            if made is not None:
                return made.value
            place = (key[0], f"{key[1]}/{name}")
            self._make_room(place, num_bytes)
            start_s = self._clock.monotonic()
            try:
                value = build()
                build_s = self._clock.monotonic() - start_s
            finally:
                with self._lock:
                    self._arriving.pop(place, None)
            with self._lock:
                if entry is not None and self._resident.get(key) is entry:
                    entry.derived[name] = _Made(
                        value=value,
                        built_bytes=num_bytes,
                        build_s=build_s,
                        growing=value if isinstance(value, Growing) else None,
                    )
                    left_bytes = _module_bytes(entry.module)
                    entry.is_whole = entry.is_whole and left_bytes >= entry.num_bytes
                    entry.num_bytes = left_bytes
            return value

    def learn_activations(self, workload: str, num_bytes: int) -> None:
        """Keep what a job of this shape took beside weights and derived things, at its peak."""
        with self._lock:
            self._activations.learn(workload, num_bytes)

    def expect_activations(self, workload: str, num_bytes: int) -> None:
        """Make room for what a job will take beside weights, known before its first run.

        Of what no job uses only, and as far as that goes.
        """
        with self._lock:
            self._activations.learn(workload, num_bytes)
        self._free(self._lacking_bytes)

    def activation_bytes(self, workload: str) -> int | None:
        """Return what a job of this shape takes beside the weights, None if not known."""
        with self._lock:
            return self._activations.of(workload)

    def hint(
        self,
        models: Sequence[str],
        *,
        specs: Sequence[ComponentSpec] = (),
        may_load: bool = True,
    ) -> None:
        """Say which models the queue's jobs will use, the next one first, one entry a job.

        They are the last to be evicted, and come in the background where there is room beside all
        that is here; else their files are brought into the page cache. A request for another model
        stops that. Each call replaces the last.

        Args:
            models: of the jobs.
            specs: how to load their components, where no job may have asked for them yet.
            may_load: False brings files into the page cache only.
        """
        with self._lock:
            self._queued = Counter(models)
            for spec in specs:
                self._specs.setdefault(spec.key, spec)
            if self._prefetches or self._loading:
                return
            wanted = [
                spec
                for model_id in dict.fromkeys(models)
                for key, spec in self._specs.items()
                if key[0] == model_id and key not in self._resident
            ]
            if not wanted:
                return
            self._prefetches = {spec.model_id: CancelToken() for spec in wanted}
            try:
                self._prefetcher.submit(self._prefetch, wanted, dict(self._prefetches), may_load)
            except RuntimeError:  # closed meanwhile
                self._prefetches = {}

    # ---- What leaves

    def shrink(self, needed_bytes: int) -> int:
        """Move or forget what no job uses, the cheapest first, until so much is free.

        The answer to running out of memory, before another try.

        Returns:
            Bytes freed, by our own count: 0 where nothing may go.
        """
        return self._free(lambda: needed_bytes)

    def evict_all(self) -> None:
        """Forget every module that no job uses."""
        with self._lock:
            for key in [key for key in self._resident if self._held[key[0]] <= 0]:
                del self._resident[key]
            if self._device.type == "cpu":
                self._on_host.clear()  # of the memory that ran out
        release_unused(self._device)

    def unload(self, model_id: str) -> int:
        """Forget a model's modules and return their bytes, 0 where none was resident.

        Raises:
            IllegalState: a job uses it.
        """
        with self._lock:
            if self._held[model_id] > 0:
                raise IllegalState(
                    f"{model_id} is in use by a job.",
                    param="model",
                    hint="Wait until its jobs have finished, or cancel them.",
                )
            keys = [key for key in self._resident if key[0] == model_id]
            num_bytes = sum(self._resident.pop(key).num_bytes for key in keys)
            for key in [key for key in self._on_host if key[0] == model_id]:
                del self._on_host[key]
        release_unused(self._device)
        return num_bytes

    # ---- Loading

    def _start(
        self, spec: ComponentSpec, recorder: SpanRecorder, cancel: CancelToken
    ) -> Future[Component]:
        """Return a resident component, join its load or begin one. Hold the lock."""
        key = spec.key
        self._specs[key] = spec
        entry = self._resident.get(key)
        if entry is not None:
            ready: Future[Component] = Future()
            ready.set_result(_ready(entry))
            return ready
        load, future = self._loading.get(key, (None, None))
        if load is not None and future is not None and load.join(recorder, cancel):
            return future
        load = _SharedLoad(recorder, cancel)
        future = self._pool.submit(self._load, spec, load)
        self._loading[key] = (load, future)
        return future

    def _load(self, spec: ComponentSpec, load: _SharedLoad) -> Component:
        try:
            return self._bring(spec, load)
        finally:
            with self._lock:
                if self._loading.get(spec.key, (None,))[0] is load:
                    del self._loading[spec.key]
                    self._arriving.pop(spec.key, None)

    def _bring(self, spec: ComponentSpec, load: _SharedLoad) -> Component:
        files = spec.files
        file_bytes = sum(path.stat().st_size for path in files)
        identity = _identity(spec.folder)
        with self._lock:
            on_host = self._on_host.get(spec.key)
            if on_host is not None and on_host.identity != identity:
                del self._on_host[spec.key]  # of files that are no more
                on_host = None
        state = load_state_of(files) if on_host is None else LoadState.WARM
        facts: dict[str, Fact] = {
            "component": spec.name,
            "bytes": file_bytes if on_host is None else on_host.copy.num_bytes,
            "state": state.value,
        }
        if on_host is not None:
            facts["from"] = Place.HOST.value
        with load.span(spec.phase, facts):
            self._make_room(
                spec.key,
                self._device_bytes(spec, file_bytes) if on_host is None else on_host.copy.num_bytes,
            )
            start_s = self._clock.monotonic()
            if on_host is not None:
                load.raise_if_cancelled()
                module: Any = on_host.copy.to_device(self._device)
            else:
                module = spec.load(
                    spec.folder, device=self._device, dtype=self._dtype_of(spec), cancel=load
                )
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            duration_s = self._clock.monotonic() - start_s
        place = _place_of(state) if on_host is None else Place.HOST
        with self._lock:
            self._measure(place, int(facts["bytes"]), duration_s)
            # Room was made for an estimate: now it is counted as what it is.
            self._arriving.pop(spec.key, None)
            self._resident[spec.key] = _Resident(
                spec=spec,
                module=module,
                identity=identity,
                num_bytes=_module_bytes(module),
                file_bytes=file_bytes,
            )
        return Component(module=module, state=state, identity=identity)

    def _dtype_of(self, spec: ComponentSpec) -> torch.dtype:
        return component_dtype(
            self._dtype, family=spec.family, component=spec.name, device=self._device
        )

    def _device_bytes(self, spec: ComponentSpec, file_bytes: int) -> int:
        """Return what a component will take, about; its files' bytes where they can't be read."""
        try:
            return loading.weight_bytes(spec.folder, self._dtype_of(spec))
        except OurVidzError:
            return file_bytes  # loading it will tell what is wrong

    def _measure(self, place: Place, num_bytes: int, duration_s: float) -> None:
        """Learn how fast weights come from a place. Hold the lock."""
        if num_bytes < _MIN_MEASURED_BYTES or duration_s <= 0:
            return
        name = f"from_{place.value}"
        speed = _NEWEST_SHARE * num_bytes / duration_s
        speed += (1 - _NEWEST_SHARE) * getattr(self._speeds, name)
        self._speeds = replace(self._speeds, **{name: speed})

    def _prefetch(
        self, specs: Sequence[ComponentSpec], cancels: Mapping[str, CancelToken], may_load: bool
    ) -> None:
        try:
            for spec in specs:
                if not cancels[spec.model_id].is_cancelled:
                    self._prefetch_one(spec, cancels[spec.model_id], may_load=may_load)
        finally:
            with self._lock:
                self._prefetches = {}

    def _prefetch_one(self, spec: ComponentSpec, cancel: CancelToken, *, may_load: bool) -> None:
        try:
            file_bytes = _file_bytes(spec)
            num_bytes = self._device_bytes(spec, file_bytes)
            with self._lock:
                may_load = may_load and self._has_room(num_bytes)
                future = self._start(spec, SpanRecorder(self._clock), cancel) if may_load else None
            if future is not None:
                future.result()
            else:
                reading.read_ahead(spec.files, max_bytes=file_bytes)
        except (OurVidzError, OSError, RuntimeError):
            return  # the job that needs it meets the same error and reports it

    def _has_room(self, num_bytes: int) -> bool:
        """Whether something fits beside all that is here. Hold the lock."""
        if self._view is None:  # the host's memory is the device's, and others' too
            return num_bytes <= _PREFETCH_SHARE * psutil.virtual_memory().available
        return self._lacking_bytes() + num_bytes <= 0

    # ---- Making room

    def _make_room(self, key: Key, num_bytes: int) -> None:
        """Evict until ``num_bytes`` for ``key`` fit beside the activations, if that can be."""
        with self._lock:
            self._arriving[key] = num_bytes
        self._free(self._lacking_bytes)

    def _free(self, lacking: Callable[[], int]) -> int:
        """Free what is lacking as far as that goes; idle memory goes before weights.

        Args:
            lacking: bytes, asked under the lock, before anything has gone.

        Returns:
            Bytes freed.
        """
        with self._lock:
            if lacking() <= 0:  # a job must not wait for weights that leave for another
                return 0
        with self._room_lock:
            with self._lock:
                lacking_bytes = lacking()
            if lacking_bytes <= 0:
                return 0
            freed_bytes = self._drop_idle(lacking_bytes)
            if freed_bytes < lacking_bytes:
                freed_bytes += self._evict(lacking_bytes - freed_bytes)
            release_unused(self._device)
            return freed_bytes

    def _drop_idle(self, lacking_bytes: int) -> int:
        """Have things that grew give back what they need not keep; the least used first."""
        with self._lock:
            now_s = self._clock.monotonic()
            idle = [
                (self._use(key, now_s) + self._queued[key[0]], key, made.growing)
                for key, entry in self._resident.items()
                for made in entry.derived.values()
                if made.growing is not None and self._held[key[0]] <= 0
            ]
        freed_bytes = 0
        for _, key, growing in sorted(idle, key=lambda each: each[:2]):
            if freed_bytes >= lacking_bytes:
                break
            before_bytes = growing.idle_bytes
            if before_bytes > 0:
                growing.drop_idle()
                dropped_bytes = before_bytes - growing.idle_bytes
                freed_bytes += dropped_bytes
                with self._lock:  # its next use takes as much again, as activations
                    self._activations.learn(f"again {'/'.join(key)}", dropped_bytes)
        return freed_bytes

    def _evict(self, needed_bytes: int) -> int:
        """Carry out one plan. Hold the room lock."""
        with self._lock:
            specs = [entry.spec for entry in (*self._resident.values(), *self._on_host.values())]
        is_cached = {spec.key: _is_cached(spec) for spec in specs}  # asks the disk: no lock
        with self._lock:
            plan = plan_evictions(
                self._weights(is_cached),
                needed_bytes=needed_bytes,
                host=self._host_cache(is_cached),
                speeds=self._speeds,
            )
            leaving = self._take_out(plan)
        while leaving:  # one after another, so that no two are in both places
            self._move_to_host(leaving.pop())
        return plan.freed_bytes

    def _take_out(self, plan: Plan) -> list[_Resident]:
        """Forget what the plan evicts; return what is to move into host memory. Hold the lock."""
        for key in plan.dropped_copies:
            del self._on_host[key]
        moving: list[_Resident] = []
        for eviction in plan.evictions:
            if eviction.derived is not None:
                del self._resident[eviction.key].derived[eviction.derived]
                continue
            entry = self._resident.pop(eviction.key)
            entry.derived.clear()
            if eviction.to is Place.HOST and eviction.key not in self._on_host:
                moving.append(entry)
        return moving

    def _move_to_host(self, entry: _Resident) -> None:
        start_s = self._clock.monotonic()
        try:
            copied = loading.HostCopy(entry.module, is_pinned=self._device.type == "cuda")
        except (MemoryError, RuntimeError, TypeError):
            return  # the files are still there
        on_host = _OnHost(
            copy=copied, spec=entry.spec, identity=entry.identity, file_bytes=entry.file_bytes
        )
        with self._lock:
            self._measure_to_host(copied.num_bytes, self._clock.monotonic() - start_s)
            self._on_host[entry.spec.key] = on_host

    def _measure_to_host(self, num_bytes: int, duration_s: float) -> None:
        if num_bytes >= _MIN_MEASURED_BYTES and duration_s > 0:
            mean = _NEWEST_SHARE * num_bytes / duration_s
            mean += (1 - _NEWEST_SHARE) * self._speeds.to_host
            self._speeds = replace(self._speeds, to_host=mean)

    def _weights(self, is_cached: Mapping[Key, bool]) -> list[Weights]:
        """Return what is on the device, for the plan. Hold the lock."""
        now_s = self._clock.monotonic()
        arriving = {model_id for model_id, _ in self._arriving}
        return [
            Weights(
                key=key,
                num_bytes=entry.num_bytes,
                file_bytes=entry.file_bytes,
                use=self._use(key, now_s) + self._queued[key[0]],
                # A model that is loading has a job that needs what is there of it.
                is_held=self._held[key[0]] > 0 or key[0] in arriving,
                is_in_page_cache=is_cached.get(key, False),
                has_host_copy=key in self._on_host,
                is_whole=entry.is_whole,
                derived=tuple(
                    Derived(name=name, num_bytes=made.num_bytes, build_s=made.build_s)
                    for name, made in entry.derived.items()
                ),
            )
            for key, entry in self._resident.items()
        ]

    def _host_cache(self, is_cached: Mapping[Key, bool]) -> HostCache:
        """Return the copies in host memory, for the plan. Hold the lock."""
        now_s = self._clock.monotonic()
        copies: list[HostCopy] = []
        for key, entry in self._on_host.items():
            weights = Weights(
                key=key,
                num_bytes=entry.copy.num_bytes,
                file_bytes=entry.file_bytes,
                use=self._use(key, now_s) + self._queued[key[0]],
                is_in_page_cache=is_cached.get(key, False),
            )
            copies.append(
                HostCopy(
                    key=key,
                    num_bytes=entry.copy.num_bytes,
                    value=host_value(weights, self._speeds),
                    is_on_device=key in self._resident,
                )
            )
        return HostCache(budget_bytes=self._host_budget, copies=tuple(copies))

    def _use(self, key: Key, now_s: float) -> float:
        use = self._uses.get(key)
        return 0.0 if use is None else decayed(use.count, now_s - use.at_s)

    def _lacking_bytes(self) -> int:
        """Return what all that is here or coming lacks; negative is free. Hold the lock."""
        if self._view is None:
            return 0
        view = self._view()
        numbers = self._pressure(view)
        ours = numbers.weights_bytes + numbers.derived_bytes + numbers.arriving_bytes
        others = max(numbers.activations_bytes, view.allocated_bytes - ours)
        return ours + others - numbers.budget_bytes

    def _pressure(self, view: DeviceView | None = None) -> MemoryPressure:
        if view is None and self._view is not None:
            view = self._view()
        entries = self._resident.values()
        return MemoryPressure(
            budget_bytes=budget_of(view, vram_bytes=self._vram_bytes) if view is not None else 0,
            weights_bytes=sum(entry.num_bytes for entry in entries),
            derived_bytes=sum(
                made.num_bytes for entry in entries for made in entry.derived.values()
            ),
            arriving_bytes=sum(self._arriving.values()),
            activations_bytes=self._activations.expected_bytes,
            host_bytes=sum(entry.copy.num_bytes for entry in self._on_host.values()),
            host_budget_bytes=self._host_budget,
        )


class _SharedLoad(CancelToken):
    """One load for several jobs: each has it in its ledger, and it stops when none wants it."""

    def __init__(self, recorder: SpanRecorder, cancel: CancelToken) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._is_given_up = False
        self._jobs = [(recorder, cancel, recorder.clock.monotonic())]

    def join(self, recorder: SpanRecorder, cancel: CancelToken) -> bool:
        """Wait for it too; False once it was given up, because then it ends in ``Cancelled``."""
        with self._lock:
            if self._is_given_up:
                return False
            self._jobs.append((recorder, cancel, recorder.clock.monotonic()))
            return True

    @property
    def is_cancelled(self) -> bool:
        """Whether every job that waits for it was cancelled."""
        with self._lock:
            if all(cancel.is_cancelled for _, cancel, _ in self._jobs):
                self._is_given_up = True
            return self._is_given_up

    @contextmanager
    def span(self, phase: Phase, facts: Mapping[str, Fact]) -> Generator[None]:
        """Record the load for each job, from when it asked, also when it fails."""
        try:
            yield
        finally:
            with self._lock:
                jobs = tuple(self._jobs)
            for recorder, _, asked_s in jobs:
                recorder.add(
                    Span(
                        phase=phase,
                        start_s=asked_s,
                        end_s=recorder.clock.monotonic(),
                        is_background=True,
                        facts=facts,
                    )
                )


def _ready(entry: _Resident) -> Component:
    return Component(module=entry.module, state=LoadState.RESIDENT, identity=entry.identity)


def _identity(folder: Path) -> str:
    """Return a text that changes with the files of a component."""
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.json")))
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return f"{folder.resolve()} {facts}"


def _module_bytes(module: Any) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _file_bytes(spec: ComponentSpec) -> int:
    try:
        return sum(path.stat().st_size for path in spec.files)
    except OSError:
        return 0


def _is_cached(spec: ComponentSpec) -> bool:
    try:
        return load_state_of(spec.files) is LoadState.WARM
    except OSError:
        return False


def _place_of(state: LoadState) -> Place:
    return Place.PAGE_CACHE if state is LoadState.WARM else Place.DISK


def _cuda_view(device: torch.device) -> DeviceView:
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return DeviceView(
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        reserved_bytes=torch.cuda.memory_reserved(device),
        allocated_bytes=torch.cuda.memory_allocated(device),
    )


def _limit_allocator(device: torch.device, vram_bytes: int) -> None:
    """Make torch run out of memory where a device of ``vram_bytes`` would."""
    view = _cuda_view(device)
    share = budget_of(view, vram_bytes=vram_bytes) / view.total_bytes
    torch.cuda.set_per_process_memory_fraction(min(1.0, share), device)
