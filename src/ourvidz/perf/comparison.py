"""Which records may be compared, and where two differ, in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.fingerprint import DECIDING
from ourvidz.perf.record import PerformanceRecord

_SOFTWARE = "software"
_ABSENT = "not recorded"

# What people call a field; others are called by their name.
_WORDS = {
    "job_type": "job type",
    "state": "state of the weights",
    "compile_state": "compile state",
    "num_frames": "number of frames",
    "num_images": "number of images",
    "num_inference_steps": "number of steps",
    "guidance_scale": "guidance scale",
    "flow_shift": "flow shift",
    "enhancer": "prompt enhancer",
    "device": "kind of device",
    "gpu": "GPU",
    "gpu_memory_gib": "GPU memory (GiB)",
    "power_limit_w": "power limit (W)",
    "max_sm_clock_mhz": "highest GPU clock (MHz)",
    "max_memory_clock_mhz": "highest memory clock (MHz)",
    "mig": "MIG mode",
    "ecc": "ECC",
    "cpu": "CPU",
    "cpu_cores": "CPU cores",
    "disk": "kind of disk",
    "precision": "precision",
    "techniques_off": "techniques switched off",
    "offers_high": "8 bits offered for the model",
    "model_files": "model files",
    "ourvidz": "OurVidz version",
    "commit": "OurVidz commit",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "driver": "GPU driver",
    "driver_cuda": "CUDA of the driver",
    "os": "operating system",
    "kernel": "kernel of the operating system",
    "python": "Python",
}


class Incomparable(InvalidRequest):
    """The records can't be compared."""

    code = "incomparable"

    def __init__(self, differences: Collection[Difference]) -> None:
        """Name what differs."""
        self.differences = tuple(differences)
        listed = "; ".join(str(one) for one in self.differences)
        super().__init__(
            f"These records can't be compared, since they differ in {listed}.",
            hint="Compare records of the same workload, environment and state.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One field in which two records differ. As text: ``GPU (NVIDIA H100, NVIDIA H200)``."""

    part: str  # record, workload, machine, setup or software
    field: str  # with the model's id after a dot for its files
    before: Any  # None: not recorded, or there is none
    after: Any

    @property
    def words(self) -> str:
        """What the field is called."""
        name, _, detail = self.field.partition(".")
        words = _WORDS.get(name, name.replace("_", " "))
        return f"{words} of {detail}" if detail else words

    def __str__(self) -> str:
        return f"{self.words} ({_told(self.before)}, {_told(self.after)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonKey:
    """What comparable records have in common. Hashable; as text, its parts that people know."""

    job_type: str
    workload: tuple[tuple[str, str], ...]  # values as JSON
    environment: tuple[tuple[str, str], ...]
    state: str
    compile_state: str

    @property
    def digest(self) -> str:
        """12 hex digits that name the key in files and addresses."""
        content = [self.job_type, self.workload, self.environment, self.state, self.compile_state]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        workload = {name: json.loads(value) for name, value in self.workload}
        parts = (workload.get("preset"), workload.get("fidelity"), self.state)
        return " ".join([self.job_type, *(str(part) for part in parts if part is not None)])


def key_of(record: PerformanceRecord, *, same_software: bool = False) -> ComparisonKey:
    """Return the key that a record shares with every record that it compares with.

    Args:
        same_software: versions of ours, the libraries and the driver decide too.
    """
    return ComparisonKey(
        job_type=record.job_type,
        workload=_frozen(record.workload),
        environment=_frozen(_deciding(record, same_software=same_software)),
        state=record.state,
        compile_state=record.compile_state,
    )


def difference(
    a: PerformanceRecord,
    b: PerformanceRecord,
    *,
    same_software: bool = False,
    varied: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Return every field that keeps two records from being compared; empty where they may be.

    Exactly the records of one ``key_of`` have none.

    Args:
        a: the earlier, or the one to compare with.
        b: the other.
        same_software: versions of ours, the libraries and the driver decide too.
        varied: names of fields, or of whole parts, that may differ, because they are what is
            compared: of a sweep over solvers, ``scheduler``.
    """
    found = [
        *_of_record(a, b),
        *_differing("workload", a.workload, b.workload),
        *_of_environment(a, b, (*DECIDING, _SOFTWARE) if same_software else DECIDING),
    ]
    return tuple(
        one for one in found if one.field.partition(".")[0] not in varied and one.part not in varied
    )


def environment_difference(a: PerformanceRecord, b: PerformanceRecord) -> tuple[Difference, ...]:
    """Return how machine, setup and software of two records differ: what may explain a change."""
    return tuple(_of_environment(a, b, (*DECIDING, _SOFTWARE)))


def require_comparable(
    a: PerformanceRecord,
    b: PerformanceRecord,
    *,
    same_software: bool = False,
    varied: Collection[str] = (),
) -> None:
    """Refuse to compare what can't be compared; the arguments are those of ``difference``.

    Raises:
        Incomparable: naming every difference.
    """
    found = difference(a, b, same_software=same_software, varied=varied)
    if found:
        raise Incomparable(found)


def _of_record(a: PerformanceRecord, b: PerformanceRecord) -> Iterator[Difference]:
    for name in ("job_type", "state", "compile_state"):
        before, after = getattr(a, name), getattr(b, name)
        if before != after:
            yield Difference(part="record", field=name, before=before, after=after)


def _of_environment(
    a: PerformanceRecord, b: PerformanceRecord, parts: Collection[str]
) -> Iterator[Difference]:
    for part in parts:
        yield from _differing(part, _part(a, part), _part(b, part))


def _differing(part: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    flat_a, flat_b = _flat(a), _flat(b)
    for name in sorted({*flat_a, *flat_b}):
        before, after = flat_a.get(name), flat_b.get(name)
        if _text(before) != _text(after):
            yield Difference(part=part, field=name, before=before, after=after)


def _deciding(record: PerformanceRecord, *, same_software: bool) -> dict[str, Any]:
    parts = (*DECIDING, _SOFTWARE) if same_software else DECIDING
    return {
        f"{part}.{name}": value
        for part in parts
        for name, value in _flat(_part(record, part)).items()
    }


def _part(record: PerformanceRecord, name: str) -> Mapping[str, Any]:
    found = record.environment.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping whose values are plain: of a mapping within it, ``name.inner``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = cast("Mapping[str, Any]", value)
            found.update({f"{name}.{key}": inner[key] for key in inner})
        else:
            found[name] = value
    return found


def _frozen(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    known = {name: _text(value) for name, value in _flat(values).items()}
    # What is not recorded and what is recorded as nothing are the same.
    return tuple(sorted((name, text) for name, text in known.items() if text != "null"))


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return json.dumps(float(value))  # 5 and 5.0 are one guidance scale
    if isinstance(value, str):
        return json.dumps(value)  # without options it is ten times as fast
    return json.dumps(value, sort_keys=True, default=str)


def _told(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in cast("list[Any]", value)) or "none"
    return str(value)
