"""What ``ourvidz bench confirm`` found, kept beside the data, and when it may be relied on.

One file a model, ``confirmations/<model id>.json`` in the data directory. A verdict is about one
checkpoint, one kind of device, one version of ours and the techniques that were in use: where any
of them has changed it is not relied on, and the reason says which. Free of torch, and a look costs
a ``stat`` of each file of the model.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import ourvidz
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Model, Role
from ourvidz.catalog.offers import Offer, Offers, listed_offers
from ourvidz.catalog.step_plan import DRAFT_NAME
from ourvidz.catalog.techniques import techniques_of
from ourvidz.checkpoints._files import model_files, sha256_of, write_json
from ourvidz.checkpoints.locate import find_model
from ourvidz.checkpoints.manifest import HubSource, SyntheticSource, read_manifest
from ourvidz.core.errors import OurVidzError
from ourvidz.core.files import disk_errors_as_ours
from ourvidz.core.request import Fidelity

FOLDER = "confirmations"
_VERSION = 1
_WEIGHTS = (".safetensors", ".json")  # what decides what a network computes
_NVIDIA_FACTS = Path("/proc/driver/nvidia/gpus")
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_RANDOM = "its weights are random, and random weights prove nothing about 8 bits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number of a verdict."""

    metric: str
    value: float
    limit: float | None  # None: told, not judged
    is_least: bool = False  # the limit is the least; else the most
    unit: str = ""
    text: str = ""  # what it is

    @property
    def is_held(self) -> bool:
        """Whether the value keeps to the limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.is_least else self.value <= self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a verdict is about."""

    model: str  # catalogue id
    files: str  # changes with any file of the checkpoint; says nothing outside this machine
    device: str  # the machine's, as ``machine_of`` has it
    version: str  # ours
    techniques: tuple[str, ...]  # of the model's family, sorted


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """One verdict."""

    subject: Subject
    fidelity: Fidelity
    is_held: bool  # every bound was
    is_random: bool  # of weights that were made up
    created_at: datetime  # UTC
    weights: str  # SHA-256 of the weights' hashes
    revision: str  # where the files came from, as far as is known
    plan: str  # what was run, in words
    figures: tuple[Figure, ...]

    @property
    def counts(self) -> bool:
        """Whether it lets the fidelity be offered, while its subject is as it was."""
        return self.is_held and not self.is_random

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **asdict(self),
            "fidelity": self.fidelity.value,
            "created_at": self.created_at.isoformat(timespec="seconds"),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Confirmation:
        """Read the JSON form.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        subject = dict(content["subject"])
        subject["techniques"] = tuple(subject["techniques"])
        return cls(
            **{
                **content,
                "subject": Subject(**subject),
                "fidelity": Fidelity(content["fidelity"]),
                "created_at": datetime.fromisoformat(content["created_at"]),
                "figures": tuple(Figure(**figure) for figure in content["figures"]),
            }
        )


# ----------------------------------------------------------------------------------------- subject


def subject_of(settings: Settings, model: Model, fidelity: Fidelity) -> Subject:
    """Return what a verdict would be about now.

    Raises:
        ModelMissing: the model's files are not here.
    """
    return Subject(
        model=model.id,
        files=_files_of(settings, model, fidelity),
        device=machine_of(settings.device),
        version=ourvidz.__version__,
        techniques=techniques_for(settings, model, fidelity),
    )


def techniques_for(settings: Settings, model: Model, fidelity: Fidelity) -> tuple[str, ...]:
    """Return the techniques of its family that ``model`` may use under ``fidelity``, sorted."""
    has_high = fidelity is Fidelity.DRAFT and offers_high(settings, model)
    names = techniques_of(fidelity, off=settings.techniques_off, has_high=has_high)
    return tuple(sorted(name for name in names if name.partition(".")[0] == model.family))


def folder_of(settings: Settings, model: Model) -> Path:
    """Return the folder of the files that ``model`` runs on: its own, or its base's.

    Raises:
        ModelMissing: it is not here.
    """
    files_of = model.base or model.id
    return settings.model_paths.get(files_of) or find_model(
        files_of, [settings.resolved_models_dir]
    )


def _files_of(settings: Settings, model: Model, fidelity: Fidelity) -> str:
    folder = folder_of(settings, model)
    paths = [
        path
        for path in model_files(folder)
        if path.suffix in _WEIGHTS and (fidelity is Fidelity.DRAFT or path.name != DRAFT_NAME)
    ]
    paths += _lora_files(settings, model)
    # Names within the folder: a checkpoint that is moved with its times is the same one.
    facts = [(path.name, path.parent.name, *_facts(path)) for path in paths]
    strengths = [lora.strength for lora in model.loras]
    return hashlib.sha256(repr((facts, strengths)).encode()).hexdigest()[:16]


def _lora_files(settings: Settings, model: Model) -> list[Path]:
    return [settings.resolved_models_dir / model.id / lora.file for lora in model.loras]


def _facts(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def weights_hash(settings: Settings, model: Model) -> str:
    """Return the SHA-256 of the names and hashes of a model's weights; reads what is unrecorded.

    Raises:
        ModelMissing, CheckpointInvalid: no files, or a manifest that can't be read.
    """
    folder = folder_of(settings, model)
    manifest = read_manifest(folder)
    recorded = {} if manifest is None else manifest.files
    digest = hashlib.sha256()
    loras = [path for path in _lora_files(settings, model) if path.is_file()]
    for path in [*model_files(folder), *loras]:
        if path.suffix != ".safetensors":
            continue
        name = path.relative_to(folder).as_posix() if path not in loras else path.name
        record = recorded.get(name)
        is_recorded = record is not None and record.bytes == path.stat().st_size
        found = record.sha256 if record is not None and is_recorded else sha256_of(path)
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()


def source_of(settings: Settings, model: Model) -> tuple[str, bool]:
    """Return where a model's files came from, in words, and whether they are random values.

    Raises:
        ModelMissing, CheckpointInvalid: as ``weights_hash``.
    """
    manifest = read_manifest(folder_of(settings, model))
    if manifest is None:
        return "", False
    source = manifest.source
    if isinstance(source, HubSource):
        return f"{source.repo} {source.commit}", False
    return type(source).__name__.removesuffix("Source").lower(), isinstance(source, SyntheticSource)


def machine_of(device: str) -> str:
    """Return the devices that the setting ``device`` may run jobs on, without torch.

    The names of all GPUs of this machine, since a job may come to any; "cpu" where none can be
    named.
    """
    return "cpu" if device == "cpu" else (_gpu_names() or "cpu")


@cache
def _gpu_names() -> str:
    names = sorted(_names_in_proc() or _names_by_nvml() or _names_by_tool())
    return ", ".join(dict.fromkeys(names))


def _names_in_proc() -> list[str]:
    try:
        texts = [path.read_text(encoding="utf-8") for path in _NVIDIA_FACTS.glob("*/information")]
    except OSError:
        return []
    found = [re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE) for text in texts]
    return [match.group(1) for match in found if match is not None]


def _names_by_nvml() -> list[str]:
    if importlib.util.find_spec("pynvml") is None:
        return []
    pynvml: Any = importlib.import_module("pynvml")  # ships no types
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _names_by_tool() -> list[str]:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=10)
        return [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return []


# -------------------------------------------------------------------------------------- the file


def confirmations_path(data_dir: Path, model_id: str) -> Path:
    """Return the file of a model's verdicts."""
    return data_dir / FOLDER / f"{model_id}.json"


def write_confirmation(data_dir: Path, confirmation: Confirmation) -> Path:
    """Keep a verdict in place of the model's last one of that fidelity; return the file.

    Raises:
        DiskFull, OutputUnwritable: the data directory can't be written.
    """
    path = confirmations_path(data_dir, confirmation.subject.model)
    kept = {**read_confirmations(data_dir, confirmation.subject.model)}
    kept[confirmation.fidelity] = confirmation
    content = {each.value: kept[each].to_dict() for each in Fidelity if each in kept}
    with disk_errors_as_ours(path):
        write_json(path, {"version": _VERSION, "confirmations": content})
    return path


def read_confirmations(data_dir: Path, model_id: str) -> Mapping[Fidelity, Confirmation]:
    """Return a model's verdicts; none where there is no file that can be read as ours.

    Read again only when the file has changed.
    """
    path = confirmations_path(data_dir, model_id)
    try:
        found = path.stat()
    except OSError:
        return {}
    return _read(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=256)
def _read(path: Path, *facts: int) -> Mapping[Fidelity, Confirmation]:
    del facts
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return {}
        return {
            Fidelity(name): Confirmation.from_dict(each)
            for name, each in content["confirmations"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # as if nobody had confirmed anything: the safe side


# ---------------------------------------------------------------------------------------- standing


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A fidelity of a model here and now."""

    offer: Offer
    confirmation: Confirmation | None  # the last verdict, whether it counts or not


def standings(settings: Settings, model: Model) -> tuple[Standing, ...]:
    """Return how each fidelity of ``model`` stands, in the order of the enum."""
    return tuple(_standing(settings, model, fidelity) for fidelity in Fidelity)


def offers_of(settings: Settings) -> Offers:
    """Return what answers which fidelities a model may be asked for, looking anew each time."""
    return lambda model: {
        standing.offer.fidelity: standing.offer for standing in standings(settings, model)
    }


def offers_high(settings: Settings, model: Model) -> bool:
    """Whether ``high`` is offered for ``model``; its ``draft`` then uses 8 bits too."""
    return _standing(settings, model, Fidelity.HIGH).offer.is_offered


def _standing(settings: Settings, model: Model, fidelity: Fidelity) -> Standing:
    offer = listed_offers(model)[fidelity]
    kept = read_confirmations(settings.data_dir, model.id)
    confirmation = kept.get(fidelity)
    if not offer.is_offered and fidelity is Fidelity.DRAFT and model.role is Role.ENHANCER:
        return _enhancer_draft(settings, model, kept)
    if confirmation is not None and not offer.is_offered:
        reason = _why_not(settings, model, fidelity, confirmation)
        offer = Offer(fidelity=fidelity, is_offered=not reason, reason=reason)
    return Standing(offer=offer, confirmation=confirmation)


def _enhancer_draft(
    settings: Settings, model: Model, kept: Mapping[Fidelity, Confirmation]
) -> Standing:
    """Return how ``draft`` stands for an enhancer, which has nothing to leave out.

    It is ``high`` where that is offered and ``exact`` else: jobs at ``draft`` may use it.
    """
    is_high = offers_high(settings, model)
    return Standing(
        offer=Offer(fidelity=Fidelity.DRAFT, is_offered=True, reason=""),
        confirmation=kept.get(Fidelity.HIGH) if is_high else None,
    )


def _why_not(
    settings: Settings, model: Model, fidelity: Fidelity, confirmation: Confirmation
) -> str:
    """Return why a verdict does not let ``fidelity`` be offered; "" where it does."""
    if confirmation.is_random:
        return _RANDOM
    if not confirmation.is_held:
        broken = [figure for figure in confirmation.figures if not figure.is_held]
        return "`bench confirm` found that it does not keep to its bounds" + _told(broken)
    try:
        now = subject_of(settings, model, fidelity)
    except OurVidzError:  # whose message names folders of this machine
        return "its files are not here"
    return _what_changed(confirmation.subject, now)


def _told(figures: list[Figure]) -> str:
    told = [
        f"{figure.metric} {figure.value:.3g}{figure.unit}, "
        f"at {'least' if figure.is_least else 'most'} {figure.limit:g}{figure.unit}"
        for figure in figures
    ]
    return f" ({'; '.join(told)})" if told else ""


def _what_changed(then: Subject, now: Subject) -> str:
    if then.files != now.files:
        return "the model's files have changed since it was confirmed"
    if then.device != now.device:
        return f"it was confirmed on {then.device}, and this is {now.device}"
    if then.techniques != now.techniques:
        changed = sorted({*then.techniques} ^ {*now.techniques})
        return f"it was confirmed with other techniques (differing: {', '.join(changed)})"
    if then.version != now.version:
        return f"it was confirmed with version {then.version}, and this is {now.version}"
    return ""
