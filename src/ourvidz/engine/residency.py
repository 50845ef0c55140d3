"""Components that stay loaded between jobs, and the threads that load them side by side."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, IllegalState
from ourvidz.core.phase import LoadState, Phase, Span
from ourvidz.core.recorder import Fact, SpanRecorder
from ourvidz.engine.device import component_dtype, device_memory, release_unused
from ourvidz.engine.page_cache import load_state_of

Loader = Callable[..., Any]

_NUM_THREADS = 4  # one a component: text encoders, transformer or UNet, VAE
# Weights are not all: leave room for activations before a new component is let in.
_HEADROOM_BYTES = 2 * 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentSpec:
    """How to load one component of one model."""

    model_id: str
    family: str
    name: str  # as the phase and precision tables call it: text_encoder, transformer, vae...
    folder: Path
    phase: Phase
    load: Loader  # (folder, *, device, dtype, cancel) -> module


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A loaded module and where its weights were when the job asked."""

    module: Any
    state: LoadState
    identity: str  # of the files it came from: equal for equal weights


@dataclass(kw_only=True, slots=True)
class _Resident:
    module: Any
    identity: str
    num_bytes: int
    last_use: int  # counts jobs; the smallest is evicted first


_Key = tuple[str, str]  # model, component


class Residency:
    """Keeps modules by (model, component). One engine owns one. Callable from any thread."""

    def __init__(self, *, device: torch.device, dtype: str) -> None:
        self._device = device
        self._dtype = dtype
        self._lock = threading.Lock()
        self._resident: dict[_Key, _Resident] = {}
        self._loading: dict[_Key, tuple[_SharedLoad, Future[Component]]] = {}
        self._held: Counter[str] = Counter()  # models that running jobs use
        self._use_count = 0
        self._pool = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="load")

    def close(self) -> None:
        """Forget every module and end the threads. Idempotent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._resident.clear()
        release_unused(self._device)

    @property
    def resident_bytes(self) -> int:
        """Bytes of all weights kept."""
        return sum(self.bytes_by_model().values())

    def bytes_by_model(self) -> dict[str, int]:
        """Return the bytes of the weights kept, by model."""
        totals: Counter[str] = Counter()
        with self._lock:
            for (model_id, _), entry in self._resident.items():
                totals[model_id] += entry.num_bytes
        return dict(totals)

    def hold(self, model_id: str) -> None:
        """Keep a model from being evicted or unloaded until ``release``, once for each call."""
        with self._lock:
            self._held[model_id] += 1

    def release(self, model_id: str) -> None:
        """Undo one ``hold``."""
        with self._lock:
            self._held[model_id] -= 1

    def find(self, model_id: str, name: str) -> Component | None:
        """Return a component if it is resident; loads nothing, counts as no use."""
        with self._lock:
            entry = self._resident.get((model_id, name))
            return None if entry is None else _ready(entry)

    def request(
        self, spec: ComponentSpec, recorder: SpanRecorder, cancel: CancelToken
    ) -> Future[Component]:
        """Return the component, at once if it is resident, else when a thread has loaded it.

        Two jobs that ask for one component while it loads share the load, which stops once both
        are cancelled.
        """
        key = (spec.model_id, spec.name)
        with self._lock:
            self._use_count += 1
            entry = self._resident.get(key)
            if entry is not None:
                entry.last_use = self._use_count
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
        key = (spec.model_id, spec.name)
        try:
            component = self._read(spec, load)
        except BaseException:
            with self._lock:
                if self._loading.get(key, (None,))[0] is load:
                    del self._loading[key]
            raise
        with self._lock:
            self._resident[key] = _Resident(
                module=component.module,
                identity=component.identity,
                num_bytes=_module_bytes(component.module),
                last_use=self._use_count,
            )
            if self._loading.get(key, (None,))[0] is load:
                del self._loading[key]
        return component

    def _read(self, spec: ComponentSpec, load: _SharedLoad) -> Component:
        files = sorted(spec.folder.glob("*.safetensors"))
        num_file_bytes = sum(path.stat().st_size for path in files)
        state = load_state_of(files)
        identity = _identity(spec.folder)
        with load.span(
            spec.phase, {"component": spec.name, "bytes": num_file_bytes, "state": state.value}
        ):
            self._make_room(num_file_bytes, spec.model_id)
            module = spec.load(
                spec.folder,
                device=self._device,
                dtype=component_dtype(
                    self._dtype, family=spec.family, component=spec.name, device=self._device
                ),
                cancel=load,
            )
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
        return Component(module=module, state=state, identity=identity)

    def _make_room(self, num_bytes: int, model_id: str) -> None:
        """Evict components that no job uses, least recently used first, until this one fits."""
        if self._device.type != "cuda":
            return
        with self._lock:
            while device_memory(self._device).free_bytes < num_bytes + _HEADROOM_BYTES:
                others = [key for key in self._unused() if key[0] != model_id]
                if not others:
                    return
                oldest = min(others, key=lambda key: self._resident[key].last_use)
                del self._resident[oldest]
                release_unused(self._device)

    def _unused(self) -> list[_Key]:
        return [key for key in self._resident if self._held[key[0]] <= 0]

    def evict_all(self) -> None:
        """Forget every module that no job uses: the answer to running out of memory."""
        with self._lock:
            for key in self._unused():
                del self._resident[key]
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
        release_unused(self._device)
        return num_bytes


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

    def raise_if_cancelled(self) -> None:
        """Raise ``Cancelled`` once no job waits for it any more."""
        if self.is_cancelled:
            raise Cancelled()

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
