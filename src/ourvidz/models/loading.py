"""Weights into a module: built empty from its config, then filled from safetensors.

Names, shapes and dtypes of all files are held against the module before a byte of weights is read;
``reading`` then fills all tensors at the storage's speed. Equal, bit for bit, to the library's
``from_pretrained``, but it can be cancelled within a file, says which tensor of which file is
wrong, never opens a pickle, and may run in several threads at once (one component each) beside
threads that execute models.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import CheckpointInvalid, ModelMissing
from ourvidz.models import reading
from ourvidz.models.imports import library_imports
from ourvidz.models.reading import StoredTensor, TensorRead

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)

# What the two libraries call their weights, and the half-precision twin that the hub often has.
_INDEX_NAMES = ("{stem}.safetensors.index.json", "{stem}.safetensors.index.fp16.json")
_SINGLE_NAMES = ("{stem}.safetensors", "{stem}.fp16.safetensors")
_STEMS = ("diffusion_pytorch_model", "model")
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

_HINT_AGAIN = "Fetch the model again: `ourvidz models pull`, then `ourvidz models verify`."
_HINT_CONVERT = "Convert it into safetensors with `ourvidz models convert`."
_HINT_FOLDER = "Check that the folder holds this component of this model family."


def load_module(
    model_class: type[ModuleT],
    folder: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    cancel: CancelToken | None = None,
    optional_prefix: str = "",
) -> ModuleT:
    """Return a diffusers or transformers model with the folder's weights.

    Args:
        model_class: a ``diffusers.ModelMixin`` or ``transformers.PreTrainedModel`` class.
        folder: one component's folder: ``config.json`` and safetensors, in shards or not.
        device: where every tensor ends.
        dtype: of every floating tensor, except those that the class keeps in float32.
        cancel: asked before every tensor and every piece of a file.
        optional_prefix: what tensor names may carry in files and lack in the module, or the
            other way round; it differs between versions of transformers (``text_model.``).

    Returns:
        The module in eval mode, no parameter requiring a gradient.

    Raises:
        ModelMissing: the folder, its config or its weights are not there.
        CheckpointInvalid: a pickle, a truncated file, or tensors that are missing, unexpected or
            of another shape than the architecture's; the message names tensor and file.
        Cancelled: ``cancel`` was set.
    """
    files = find_weight_files(folder)
    reading.read_ahead(files)
    module = _construct(model_class, folder, dtype=dtype)
    filling = _Filling(module, device=torch.device(device), dtype=dtype, prefix=optional_prefix)
    for file in files:
        if cancel is not None:
            cancel.raise_if_cancelled()
        for stored in reading.stored_tensors(file):
            if cancel is not None:
                cancel.raise_if_cancelled()
            filling.expect(stored)
    filling.fill(folder, cancel)
    return module.eval().requires_grad_(False)


def weight_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Return the bytes that a component's weights take once loaded, from its files' headers.

    Tensors that the architecture keeps in float32 are counted as ``dtype``.

    Raises:
        ModelMissing: as ``load_module``.
        CheckpointInvalid: as ``load_module``.
    """
    total = 0
    for file in find_weight_files(folder):
        for stored in reading.stored_tensors(file):
            size = dtype.itemsize if stored.dtype.is_floating_point else stored.dtype.itemsize
            total += stored.num_bytes // stored.dtype.itemsize * size
    return total


class HostCopy:
    """A module's weights in host memory, pinned where the system lets us, to bring back quickly.

    The module is not changed, so that whoever still has it goes on with it. The memory is free once
    nobody has the copy.
    """

    def __init__(self, module: torch.nn.Module, *, is_pinned: bool) -> None:
        """Copy all parameters and buffers; returns when they are copied.

        Raises:
            MemoryError: not enough host memory.
            RuntimeError: the same from torch, or a module that can't be copied.
        """
        tensors = _tensors_of(module)
        begins: list[int] = []
        end = 0
        for tensor in tensors:
            begins.append(end)
            end += -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
        # Not torch's pinned allocator: it rounds up to a power of two.
        self._memory = torch.empty(end, dtype=torch.uint8)
        self._pinned = _pin(self._memory, tensors[0].device) if is_pinned and end else None
        self.num_bytes = end
        copies: list[torch.Tensor] = []
        for tensor, begin in zip(tensors, begins, strict=True):
            raw = self._memory[begin : begin + tensor.numel() * tensor.element_size()]
            copies.append(_laid_out_like(raw.view(tensor.dtype), tensor))
        _copy_all(tensors, copies)
        self._module = _with_tensors(module, tensors, copies)

    @property
    def is_pinned(self) -> bool:
        """Whether copies to a device run at its bus's speed."""
        return self._pinned is not None

    def to_device(self, device: torch.device) -> torch.nn.Module:
        """Return a new module on ``device``, equal to the one that was copied."""
        tensors = _tensors_of(self._module)
        copies = [torch.empty_like(tensor, device=device) for tensor in tensors]
        _copy_all(tensors, copies)
        return _with_tensors(self._module, tensors, copies)


_ALIGNMENT = 512  # of tensors in one block of memory; more than any kernel asks for


def _tensors_of(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]  # tied ones once


def _laid_out_like(flat: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return ``flat`` in the shape of ``like``, and in its strides (channels last) if dense."""
    extent = 1 + sum((n - 1) * s for n, s in zip(like.shape, like.stride(), strict=True))
    if extent == like.numel():
        return flat.as_strided(like.shape, like.stride())
    return flat.view(like.shape)


def _with_tensors(
    module: ModuleT, tensors: list[torch.Tensor], copies: list[torch.Tensor]
) -> ModuleT:
    """Return a module of the same structure that has the copies in place of the tensors."""
    memo: dict[int, Any] = {
        id(tensor): torch.nn.Parameter(made, requires_grad=False)
        if isinstance(tensor, torch.nn.Parameter)
        else made
        for tensor, made in zip(tensors, copies, strict=True)
    }
    return copy.deepcopy(module, memo)


def _copy_all(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> None:
    """Copy between host and device beside what runs there; returns when it is done."""
    devices = {tensor.device for tensor in (*sources, *targets) if tensor.device.type == "cuda"}
    if not devices:
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)
        return
    (device,) = devices
    stream = reading.copy_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # targets may be freed memory in use
    try:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            for source, target in zip(sources, targets, strict=True):
                target.copy_(source, non_blocking=True)
    finally:
        stream.synchronize()


def _pin(memory: torch.Tensor, device: torch.device) -> Any:
    """Pin memory that is there, as long as the tensor lives; None where the system refuses."""
    runtime: Any = torch.cuda.cudart()
    with torch.cuda.device(device):
        if int(runtime.cudaHostRegister(memory.data_ptr(), memory.numel(), 0)) != 0:
            # CUDA remembers the refusal and tells it at the next call: let it be this one.
            with suppress(RuntimeError):
                torch.zeros(1, device=device)
            return None
    unpin = weakref.finalize(memory, runtime.cudaHostUnregister, memory.data_ptr())
    unpin.atexit = False  # the process's end unpins everything, and CUDA may be gone before
    return unpin


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return the JSON object in ``folder / name``.

    Raises:
        ModelMissing: no such file.
        CheckpointInvalid: not a JSON object.
    """
    path = folder / name
    if not path.is_file():
        raise ModelMissing(f"{path} is not there.", hint=_HINT_AGAIN)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointInvalid(f"{path} is not JSON: {error}", hint=_HINT_AGAIN) from error
    if not isinstance(value, dict):
        raise CheckpointInvalid(f"{path} is not a JSON object.", hint=_HINT_AGAIN)
    return value


def find_weight_files(folder: Path) -> list[Path]:
    """Return the safetensors of a component's folder, in shard order.

    Raises:
        ModelMissing: none, or a shard named by the index is not there.
        CheckpointInvalid: there are only pickles, or the index is broken.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for stem in _STEMS:
        for index in (pattern.format(stem=stem) for pattern in _INDEX_NAMES):
            if index in names:
                return _shards(folder, index)
        for single in (pattern.format(stem=stem) for pattern in _SINGLE_NAMES):
            if single in names:
                return [folder / single]
    pickles = sorted(name for name in names if name.endswith(_PICKLE_SUFFIXES))
    if pickles:
        raise CheckpointInvalid(
            f"{folder / pickles[0]} is a pickle, which can run code; only safetensors are read.",
            hint=_HINT_CONVERT,
        )
    raise ModelMissing(f"No weights (safetensors) in {folder}.", hint=_HINT_AGAIN)


def _shards(folder: Path, index: str) -> list[Path]:
    weight_map = read_config(folder, index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointInvalid(f"{folder / index} has no weight_map.", hint=_HINT_AGAIN)
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        # An index comes from outside: it may name no file but its neighbours.
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointInvalid(
                f"{folder / index} names {name!r}, which is no safetensors file beside it.",
                hint=_HINT_AGAIN,
            )
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder / name} is not there.", hint=_HINT_AGAIN)
    return [folder / name for name in names]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slot:
    """Where one tensor of the module lives."""

    owner: torch.nn.Module
    attribute: str
    shape: torch.Size
    is_parameter: bool


class _Filling:
    """One module on its way from empty to full."""

    def __init__(
        self, module: torch.nn.Module, *, device: torch.device, dtype: torch.dtype, prefix: str
    ) -> None:
        self._module = module
        self._device = device
        self._dtype = dtype
        self._prefix = prefix
        self._slots = dict(_slots(module))
        self._missing = set(self._slots)
        self._expected: dict[str, StoredTensor] = {}
        self._fp32_parts = _fp32_parts(module, dtype)
        self._ignored = _ignored_names(module)

    def expect(self, stored: StoredTensor) -> None:
        """Find the place of one tensor of a file.

        Raises:
            CheckpointInvalid: the module has none of this name and shape.
        """
        name = self._resolve(stored.name)
        if name is None:
            if any(pattern.search(stored.name) for pattern in self._ignored):
                return
            raise CheckpointInvalid(
                f"{stored.file} holds {stored.name!r}, which a {type(self._module).__name__} of"
                " this config does not have.",
                hint=_HINT_FOLDER,
            )
        slot = self._slots[name]
        if torch.Size(stored.shape) != slot.shape:
            raise CheckpointInvalid(
                f"{stored.file} holds {stored.name!r} of shape {stored.shape}; the config makes it"
                f" {tuple(slot.shape)}.",
                hint=_HINT_FOLDER,
            )
        self._expected[name] = stored  # one that two files hold is the later one's
        self._missing.discard(name)

    def fill(self, folder: Path, cancel: CancelToken | None) -> None:
        """Read all that is expected; the module is whole afterwards.

        Raises:
            CheckpointInvalid: tensors are missing; then nothing was read.
        """
        ties = self._ties()
        if self._missing:
            names = sorted(self._missing)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointInvalid(
                f"The weights in {folder} lack {', '.join(map(repr, names[:3]))}{more}.",
                hint=_HINT_FOLDER,
            )
        # Each tensor is an allocation of its own, so that a fast path may free single ones.
        reads = {
            name: TensorRead(
                stored=stored,
                target=torch.empty(
                    stored.shape, dtype=self._dtype_of(name, stored.dtype), device=self._device
                ),
            )
            for name, stored in self._expected.items()
        }
        reading.read_tensors(list(reads.values()), device=self._device, cancel=cancel)
        for name, read in reads.items():
            _assign(self._slots[name], read.target)
        self._tie(ties)
        for module in self._module.modules():
            for key, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[key] = buffer.to(self._device)

    def _resolve(self, file_name: str) -> str | None:
        candidates = [file_name]
        if self._prefix:
            candidates += [file_name.removeprefix(self._prefix), self._prefix + file_name]
        return next((name for name in candidates if name in self._slots), None)

    def _dtype_of(self, name: str, stored: torch.dtype) -> torch.dtype:
        if not stored.is_floating_point:
            return stored
        kept = not self._fp32_parts.isdisjoint(name.split("."))
        return torch.float32 if kept else self._dtype

    def _ties(self) -> list[tuple[str, str]]:
        """Return which name takes which one's tensor, and cross those off that were missing."""
        tied: Mapping[str, str] = getattr(self._module, "all_tied_weights_keys", None) or {}
        ties: list[tuple[str, str]] = []
        for target, source in tied.items():
            here, there = (target, source) if source not in self._missing else (source, target)
            if there in self._missing:
                continue  # neither is in the files: both are reported
            ties.append((here, there))
            self._missing.discard(here)
        return ties

    def _tie(self, ties: list[tuple[str, str]]) -> None:
        """Share one tensor between names that the architecture ties, as from_pretrained does."""
        for here, there in ties:
            kept = _current(self._slots[there])
            if here in self._expected and not torch.equal(kept, _current(self._slots[here])):
                continue  # both were there and differ: the config is wrong, the files are right
            setattr(self._slots[here].owner, self._slots[here].attribute, kept)


def _slots(module: torch.nn.Module) -> Iterator[tuple[str, _Slot]]:
    for prefix, owner in module.named_modules():
        dot = f"{prefix}." if prefix else ""
        for key, parameter in owner._parameters.items():
            if parameter is not None:
                yield (
                    dot + key,
                    _Slot(owner=owner, attribute=key, shape=parameter.shape, is_parameter=True),
                )
        for key, buffer in owner._buffers.items():
            if buffer is not None and key not in owner._non_persistent_buffers_set:
                yield (
                    dot + key,
                    _Slot(owner=owner, attribute=key, shape=buffer.shape, is_parameter=False),
                )


def _assign(slot: _Slot, tensor: torch.Tensor) -> None:
    if slot.is_parameter:
        slot.owner._parameters[slot.attribute] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        slot.owner._buffers[slot.attribute] = tensor


def _current(slot: _Slot) -> torch.Tensor:
    tensors = slot.owner._parameters if slot.is_parameter else slot.owner._buffers
    tensor = tensors[slot.attribute]
    assert tensor is not None
    return tensor


def _fp32_parts(module: torch.nn.Module, dtype: torch.dtype) -> frozenset[str]:
    """Return the parts of dotted names whose tensors stay float32.

    diffusers keeps its list in any dtype (0.42.1, ``load_model_dict_into_meta``); transformers
    keeps ``_keep_in_fp32_modules`` under float16 only and the strict list under both half
    precisions (5.23, ``PreTrainedModel._get_dtype_plan``).
    """
    always = set(getattr(module, "_keep_in_fp32_modules_strict", None) or ())
    plain = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    is_transformers = hasattr(module, "_keep_in_fp32_modules_strict")
    return frozenset(always | (plain if dtype == torch.float16 or not is_transformers else set()))


def _ignored_names(module: torch.nn.Module) -> list[re.Pattern[str]]:
    """Return patterns of tensors that files may hold and modules no longer store.

    The class's own list, and buffers that became non-persistent (``position_ids``, ``inv_freq``).
    """
    patterns = set(getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ())
    for owner in module.modules():
        patterns |= {rf"(^|\.){re.escape(name)}$" for name in owner._non_persistent_buffers_set}
    return [re.compile(pattern) for pattern in sorted(patterns)]


def _construct(model_class: type[ModuleT], folder: Path, *, dtype: torch.dtype) -> ModuleT:
    with library_imports:
        from huggingface_hub.errors import StrictDataclassError  # transformers' check of types

    config = read_config(folder)
    _check_class(model_class, config, folder)
    try:
        with library_imports, _parameters_on_meta():
            return _from_config(model_class, config, dtype=dtype)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        StrictDataclassError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointInvalid(
            f"{folder / 'config.json'} describes no {model_class.__name__}: {error}",
            hint=_HINT_FOLDER,
        ) from error


def _check_class(model_class: type[torch.nn.Module], config: dict[str, Any], folder: Path) -> None:
    wanted, found = model_class.__name__, config.get("_class_name")
    config_class = getattr(model_class, "config_class", None)
    if config_class is not None:
        wanted, found = config_class.model_type, config.get("model_type")
    if found != wanted:
        raise CheckpointInvalid(
            f"{folder / 'config.json'} is of {found!r}; {wanted!r} is needed here.",
            hint=_HINT_FOLDER,
        )


def _from_config(
    model_class: type[ModuleT], config: dict[str, Any], *, dtype: torch.dtype
) -> ModuleT:
    config_class = getattr(model_class, "config_class", None)
    if config_class is None:
        from_config: Any = getattr(model_class, "from_config")  # noqa: B009 (diffusers' own)
        return from_config(config)
    model_config = config_class.from_dict(config)
    # transformers builds some submodules under the config's dtype by setting torch's default one,
    # which is the whole process's: a model running in another thread must not see that.
    model_config.dtype = torch.float32
    module = model_class(model_config)
    for owner in module.modules():
        if (owner_config := getattr(owner, "config", None)) is not None:
            owner_config.dtype = dtype
    return module


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Put the parameters that this thread makes on the meta device; buffers stay real.

    What ``accelerate.init_empty_weights(include_buffers=False)`` does by replacing
    ``Module.register_parameter``, but other threads that build modules meanwhile are left alone.
    Hold ``library_imports``.
    """
    original = torch.nn.Module.register_parameter
    thread = threading.get_ident()

    def register_parameter(
        self: torch.nn.Module, name: str, param: torch.nn.Parameter | None
    ) -> None:
        original(self, name, param)
        made = self._parameters[name]
        if made is not None and threading.get_ident() == thread:
            self._parameters[name] = torch.nn.Parameter(made.to("meta"), made.requires_grad)

    torch.nn.Module.register_parameter = register_parameter
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = original
