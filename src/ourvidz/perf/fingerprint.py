"""The environment of a record in full: what decides whether two compare, and what is only told.

Four parts, each a flat mapping of plain values:

``machine``   hardware and its limits, and
``setup``     precision, model files, techniques switched off: these two decide comparability;
``software``  versions of ours, the libraries and the driver. Records across them compare, since
              that is the question ("did the update make it slow?"); a difference is named beside
              every comparison as a candidate cause;
``told``      all else that helps a person: which kernels were chosen, which techniques were on.

No part holds a host's, a person's or a file's name, a path, an address or a serial number.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import psutil

from ourvidz.catalog.techniques import techniques_of
from ourvidz.checkpoints._files import model_files  # pyright: ignore[reportPrivateUsage]
from ourvidz.checkpoints.manifest import FileRecord, read_manifest
from ourvidz.core.errors import OurVidzError
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.perf.environment import cpu_model, environment, usable_cores
from ourvidz.perf.nvml import all_gpus, driver_facts, find_gpu

VERSION = 1
DECIDING = ("machine", "setup")  # parts of a fingerprint that decide comparability

_WEIGHTS = (".safetensors", ".json")  # what decides what a network computes
_WHOLE_BYTES = 2**20  # files up to here are hashed whole, of larger ones samples
_NUM_SAMPLES = 32
_SAMPLE_BYTES = 4096
_HEX_DIGITS = 16
_MOST_CHOICES = 32
_CHOICES_FILE = "kernel-choices.json"  # kernels.probe writes it
_NETWORK_DISKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "fuse.sshfs"})


class Fingerprints:
    """Makes the environment of each job's record. Callable from any thread.

    The first time a model is met its files are looked at; from then on a ``stat`` of each is all,
    well below a millisecond for 20 files.
    """

    def __init__(
        self,
        *,
        device: str,
        precision: str,
        locate: Callable[[str], Path],
        loras: Mapping[str, Sequence[tuple[Path, float]]] | None = None,
        techniques_off: Collection[str] = (),
        high_models: Collection[str] = (),
        runtime: Mapping[str, Any] | None = None,
        cache_dir: Path | None = None,
        group_size: int = 1,
    ) -> None:
        """Take what stays the same over a worker's life.

        Args:
            device: where jobs run, as torch names it.
            precision: the setting ``dtype``: ``auto`` is each family's own.
            locate: catalogue id to the folder of the model's files; raises ``ModelMissing``.
            loras: files and strengths laid over a model, by catalogue id.
            techniques_off: what the operator switched off.
            high_models: catalogue ids of the models that offer ``high``.
            runtime: what only the engine's libraries know, such as the versions of CUDA and cuDNN.
            cache_dir: where the choice of kernels is remembered.
            group_size: GPUs that share a job.
        """
        self._device = device
        self._precision = precision
        self._locate = locate
        self._loras = dict(loras or {})
        self._techniques_off = tuple(sorted(techniques_off))
        self._high_models = frozenset(high_models)
        self._runtime = dict(runtime or {})
        self._cache_dir = cache_dir
        self._group_size = group_size
        self._disks: dict[Path, str | None] = {}

    def of(self, request: GenerationRequest) -> dict[str, Any]:
        """Return the environment of a job's record: JSON values. Never raises."""
        return {
            "version": VERSION,
            "machine": self._machine(request),
            "setup": self._setup(request),
            "software": {**software(), **self._runtime},
            "told": self._told(request),
        }

    def _machine(self, request: GenerationRequest) -> dict[str, Any]:
        gpu = _gpu_limits(self._device)
        return {
            "device": self._device.partition(":")[0],
            **{name: value for name, value in gpu.items() if name != "set_sm_clock_mhz"},
            "cpu": cpu_model(),
            "cpu_cores": usable_cores(),
            "disk": self._disk_of(request.model),
        }

    def _setup(self, request: GenerationRequest) -> dict[str, Any]:
        models = [request.model]
        if request.enhancement is not None:
            models.append(request.enhancement.model)
        setup: dict[str, Any] = {
            "precision": self._precision,
            "techniques_off": list(self._techniques_off),
            "model_files": {model: self._files_of(model) for model in models},
        }
        if request.fidelity is Fidelity.DRAFT:  # which then uses 8 bits too
            setup["offers_high"] = request.model in self._high_models
        if self._group_size > 1:  # records from before there were groups are of one
            setup["group_size"] = self._group_size
        return setup

    def _disk_of(self, model_id: str) -> str | None:
        """Return what kind of disk a model's files are read from."""
        try:
            folder = self._locate(model_id)
        except OurVidzError:
            return None
        if folder not in self._disks:
            self._disks[folder] = disk_kind(folder)
        return self._disks[folder]

    def _files_of(self, model_id: str) -> str | None:
        try:
            folder = self._locate(model_id)
            found = files_hash(folder)
        except (OurVidzError, OSError):
            return None
        for path, strength in self._loras.get(model_id, ()):
            found = f"{found}+{_sampled(path, *_facts(path))[:_HEX_DIGITS]}*{strength:g}"
        return found

    def _told(self, request: GenerationRequest) -> dict[str, Any]:
        on = techniques_of(
            request.fidelity,
            off=self._techniques_off,
            has_high=request.model in self._high_models,
        )
        family = request.family
        return {
            "techniques_on": sorted(
                name for name in on if name.partition(".")[0] in {family, "text", "qwen"}
            ),
            "attention": attention_choices(self._cache_dir, _gpu_limits(self._device).get("gpu")),
            "set_sm_clock_mhz": _gpu_limits(self._device).get("set_sm_clock_mhz"),
            "gpus": len(all_gpus()),
            "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        }


@cache
def software() -> dict[str, Any]:
    """Return versions: ours with the commit, the system, the libraries and the driver."""
    known = environment()
    packages = cast("Mapping[str, str]", known["packages"])
    return {
        "ourvidz": known["ourvidz"],
        "commit": known["commit"],
        "os": platform.system(),
        "kernel": platform.release(),
        "python": known["python"],
        **dict(packages),
        **_gpu_packages(),
        **driver_facts(),
    }


def _gpu_packages() -> dict[str, str]:
    """Return what torch brings with it, from the installed packages' names: no import of torch."""
    found: dict[str, str] = {}
    for package in ("triton", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.setdefault("cudnn" if "cudnn" in package else package, version)
    return found


@cache
def _gpu_limits(device: str) -> dict[str, Any]:
    gpu = find_gpu(device)
    return {} if gpu is None else gpu.limits()


# Model files


def files_hash(folder: Path) -> str:
    """Return what names the content of a model's folder: 16 hex digits.

    From the hashes in its manifest where the files have the lengths that stand there. Else of the
    files themselves, whole up to 1 MiB and 32 samples of what is larger: milliseconds, and other
    weights of the same lengths are told apart, since training moves every tensor.

    Raises:
        CheckpointInvalid: a manifest that can't be read.
        OSError: no such folder, or not readable.
    """
    paths = [path for path in model_files(folder) if path.suffix in _WEIGHTS]
    facts = tuple((path.relative_to(folder).as_posix(), *_facts(path)) for path in paths)
    return _hash_of(folder, facts)


@lru_cache(maxsize=64)
def _hash_of(folder: Path, facts: tuple[tuple[str, int, int], ...]) -> str:
    manifest = read_manifest(folder)
    recorded: Mapping[str, FileRecord] = {} if manifest is None else manifest.files
    digest = hashlib.sha256()
    for name, num_bytes, changed_ns in facts:
        if not name.endswith(_WEIGHTS) or name.startswith("ourvidz-"):
            continue
        record = recorded.get(name)
        is_recorded = record is not None and record.bytes == num_bytes
        found = (
            record.sha256
            if record is not None and is_recorded
            else _sampled(folder / name, num_bytes, changed_ns)
        )
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()[:_HEX_DIGITS]


@lru_cache(maxsize=1024)
def _sampled(path: Path, num_bytes: int, changed_ns: int) -> str:
    del changed_ns  # part of the cache's key alone
    digest = hashlib.sha256(str(num_bytes).encode())
    with path.open("rb") as file:
        if num_bytes <= _WHOLE_BYTES:
            digest.update(file.read())
        else:
            for index in range(_NUM_SAMPLES):
                file.seek(index * (num_bytes - _SAMPLE_BYTES) // (_NUM_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _facts(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


# Kernels


def attention_choices(cache_dir: Path | None, gpu: str | None) -> dict[str, str]:
    """Return which way of attention was fastest here, by dtype and shape; empty if unmeasured."""
    if cache_dir is None:
        return {}
    path = cache_dir / _CHOICES_FILE
    try:
        return _choices_in(path, gpu, *_facts(path))
    except OSError:
        return {}


@lru_cache(maxsize=8)
def _choices_in(path: Path, gpu: str | None, *facts: int) -> dict[str, str]:
    del facts
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found: dict[str, str] = {}
    for text, entry in cast("dict[str, Any]", content if isinstance(content, dict) else {}).items():
        try:
            name, _, key = json.loads(text)
            if name == "attention" and (gpu is None or key["gpu"] == gpu):
                found[f"{key['dtype']} {key['shape']}"] = str(entry["winner"])
        except (ValueError, KeyError, TypeError):
            continue
    return dict(sorted(found.items())[:_MOST_CHOICES])


# Disks


def disk_kind(folder: Path) -> str | None:
    """Return what the folder's disk is: nvme, ssd, hdd, virtual, memory, network; None: unknown."""
    try:
        mount = _mount_of(folder.resolve())
    except (OSError, psutil.Error):
        return None
    return None if mount is None else _kind_of(*mount)


def _mount_of(folder: Path) -> tuple[str, str] | None:
    """Return device and file system of the mount that a folder lies on."""
    mounts = {
        Path(found.mountpoint): (found.device, found.fstype)
        for found in psutil.disk_partitions(all=True)
    }
    return next((mounts[path] for path in (folder, *folder.parents) if path in mounts), None)


@cache
def _kind_of(device: str, file_system: str) -> str | None:
    if file_system in {"tmpfs", "ramfs"}:
        return "memory"
    if file_system in _NETWORK_DISKS or device.startswith("//") or ":/" in device:
        return "network"
    block = _block_device(device)
    if block is None:
        return file_system if file_system in {"overlay", "zfs", "btrfs"} else None
    name = block.name
    if name.startswith("nvme"):
        return "nvme"
    if name.startswith(("vd", "xvd")):
        return "virtual"  # what is below it, the guest can't see
    try:
        is_rotating = (block / "queue" / "rotational").read_text(encoding="ascii").strip() == "1"
    except OSError:
        return None
    return "hdd" if is_rotating else "ssd"


def _block_device(device: str) -> Path | None:
    """Return where Linux tells of the disk that a device is, or is a part of."""
    name = os.path.basename(os.path.realpath(device))
    block = Path("/sys/class/block") / name
    try:
        real = block.resolve(strict=True)
    except OSError:
        return None
    return real.parent if (real / "partition").exists() else real
