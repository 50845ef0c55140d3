"""From records to expected times with intervals: ``fit`` and ``Predictor``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ourvidz.core.phase import LoadState
from ourvidz.perf.plain import digest
from ourvidz.perf.prediction.features import (
    Group,
    Load,
    groups_of,
    load_of,
    load_of_record,
    seconds_by_group,
)
from ourvidz.perf.prediction.groups import Example, GroupModel, Seconds
from ourvidz.perf.prediction.prior import PRIOR_SD, Rates, coefficients, cpu_rates, rates_of
from ourvidz.perf.record import Origin, PerformanceRecord
from ourvidz.perf.stats.distributions import t_quantile

LEVEL = 0.9  # what the intervals hold

_MOST_EXAMPLES = 80  # of one model's group: the newest
_OTHER_MODEL_SD = 0.5  # of a model's level, known from others on this machine alone
_PRIOR_FREEDOM = 4
_MOST_SCORES = 50  # the newest: early ones were of a model that knew less
_FEWEST_SCORES = 9  # the fewest whose greatest bounds 90 %
_NORMAL_95 = 1.6449  # quantile of the normal
_SHIFT_KEEP = 0.9  # of a record's weight in the level of the hour, after one more record
_SHIFT_HOLD = 1.0  # as firmly as one precise record, the level is held to what was fitted
_SHIFT_SD = 0.1  # more precise than this counts as this
_FAR = 2.0  # standard deviations; beyond, a record counts less for the level of the hour

Basis = Literal["history", "prior"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a job is expected to take from its claim to its end, waiting for its turn left out."""

    total_s: float
    low_s: float  # of the 90 % interval
    high_s: float
    phases_s: Mapping[str, float]  # by group, in their order; they add up to ``total_s``
    sds: Mapping[str, float]  # relative standard deviation of each
    width: float  # standard deviations from the middle to either end
    n: int  # records of this model on this machine
    basis: Basis

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, without what only an ETA needs."""
        return {
            "total_s": self.total_s,
            "low_s": self.low_s,
            "high_s": self.high_s,
            "phases_s": dict(self.phases_s),
            "num_records": self.n,
            "basis": self.basis,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    """Records that share the coefficients of a group."""

    group: Group
    model: str
    variant: str  # fidelity of networks; state and door of loading


@dataclass(kw_only=True, slots=True)
class _Machine:
    """What is known of one environment."""

    rates: Rates
    models: dict[_Key, GroupModel] = field(default_factory=dict[_Key, GroupModel])
    levels: dict[Group, float] = field(default_factory=dict[Group, float])
    width: float = _NORMAL_95
    shift: float = 0.0  # logarithm: how much slower than fitted the last jobs ran
    num_records: int = 0


def environment_key(environment: Mapping[str, Any]) -> str:
    """Return what records of one machine and set-up share: 12 hex digits.

    Machine, precision and techniques; not the files of models, whose content costs no time.
    """
    machine = environment.get("machine", {})
    setup = environment.get("setup", {})
    return digest([machine, setup.get("precision"), setup.get("techniques_off")])


def _machine_key(record: PerformanceRecord) -> str:
    found: str | None = record.derived.get("machine")
    if found is None:
        found = record.derived["machine"] = environment_key(record.environment)
    return found


def fit(records: Iterable[PerformanceRecord], *, rates: Rates | None = None) -> Predictor:
    """Return a predictor from records, whatever their order.

    Failed, imported and disturbed runs (any flag) teach nothing; nor do records without sizes.

    Args:
        records: Of any machines, job types and states.
        rates: Of this machine, for what has no history; by default the data sheet of the machine
            that a record names, else one CPU core's.
    """
    usable = [record for record in records if _is_usable(record)]
    usable.sort(key=lambda record: (record.at, record.id))
    return Predictor(usable, rates=rates)


def _is_usable(record: PerformanceRecord) -> bool:
    return (
        record.is_success
        and record.origin is not Origin.IMPORTED
        and not record.flags
        and record.batched_with == 0
        and record.total_s is not None
        and load_of_record(record) is not None
    )


class Predictor:
    """Expected times of jobs, on each machine that records tell of."""

    def __init__(self, records: Sequence[PerformanceRecord], *, rates: Rates | None = None) -> None:
        """Fit to usable records, oldest first; ``fit`` chooses and sorts them."""
        self._rates = rates
        self._machines: dict[str, _Machine] = {}
        self._newest_of_model: dict[str, str] = {}
        self._newest: str | None = None
        self.num_records = len(records)
        by_machine: dict[str, list[PerformanceRecord]] = {}
        for record in records:
            key = _machine_key(record)
            by_machine.setdefault(key, []).append(record)
            self._newest = self._newest_of_model[str(record.workload["model"])] = key
        for key, own in by_machine.items():
            self._machines[key] = _machine_of(own, rates=rates)

    def predict(
        self,
        workload: Mapping[str, Any],
        *,
        environment_key: str | None,
        state: str,
        source: str | None = None,
    ) -> Prediction | None:
        """Return what a job is expected to take; None for a workload without sizes.

        Args:
            workload: as ``core.workload.workload_facts`` gives it.
            environment_key: of the machine that will run it; None: the one that ran its model
                last, else any job last.
            state: cold, warm or resident: where the coldest weights will come from.
            source: the door, where it is known: from the command line, a job that is not
                resident begins with the process.
        """
        load = load_of(workload)
        if load is None:
            return None
        key = environment_key
        if key is None:
            key = self._newest_of_model.get(load.model, self._newest)
        machine = self._machines.get(key) if key is not None else None
        if machine is None:
            machine = _Machine(rates=self._rates or cpu_rates(1))
        parts = {
            group: _expected(machine, load, group, state=state, source=source)
            for group in groups_of(load, state=state)
        }
        return _prediction(machine, load, parts)


def _machine_of(records: Sequence[PerformanceRecord], *, rates: Rates | None) -> _Machine:
    machine = _Machine(
        rates=rates or rates_of(records[-1].environment.get("machine", {})),
        num_records=len(records),
    )
    examples: dict[_Key, list[Example]] = {}
    for place, record in enumerate(records):
        load = load_of_record(record)
        assert load is not None
        for key, seconds in _keyed_seconds(record):
            if key.group is Group.LOAD and record.state == LoadState.RESIDENT.value:
                continue
            examples.setdefault(key, []).append(Example(record=place, load=load, seconds=seconds))
    for key, found in examples.items():
        newest = found[-_MOST_EXAMPLES:]
        state = key.variant.partition(" ")[0]
        prior = coefficients(newest[-1].load, key.group, machine.rates, state=state)
        machine.models[key] = GroupModel(key.group, newest, prior)
    by_group: dict[Group, list[float]] = {}
    for key, model in machine.models.items():
        by_group.setdefault(key.group, []).append(model.level)
    machine.levels = {group: float(np.median(found)) for group, found in by_group.items()}
    _calibrate(machine, records)
    return machine


def _key_of(load: Load, group: Group, *, state: str, source: str | None) -> _Key:
    variant = ""
    model = load.model
    if group in {Group.DENOISE, Group.DECODE}:
        variant = load.fidelity
    elif group is Group.LOAD:
        variant = f"{state} {'process' if source == 'cli' else 'service'}"
    elif group is Group.ENHANCE:
        model = f"{load.enhancer} for {load.model}"
    return _Key(group=group, model=model, variant=variant)


def _keyed_seconds(record: PerformanceRecord) -> Sequence[tuple[_Key, float]]:
    """Return a usable record's seconds by what they teach something of."""
    found: list[tuple[_Key, float]] | None = record.derived.get("keyed_seconds")
    if found is None:
        load = load_of_record(record)
        assert load is not None
        found = record.derived["keyed_seconds"] = [
            (_key_of(load, group, state=record.state, source=record.source), seconds)
            for group, seconds in seconds_by_group(record).items()
        ]
    return found


def _expected(
    machine: _Machine, load: Load, group: Group, *, state: str, source: str | None
) -> Seconds:
    key = _key_of(load, group, state=state, source=source)
    model = machine.models.get(key)
    if model is not None:
        return model.at(load, record=machine.num_records)
    others = [
        other
        for name, other in machine.models.items()
        if name.group is group and name.model == key.model
    ]
    if others:  # of another fidelity; loading from elsewhere or by another door
        near = max(others, key=lambda other: other.n).at(load, record=machine.num_records)
        return Seconds(value=near.value, sd=math.hypot(near.sd, _OTHER_MODEL_SD))
    prior = coefficients(load, group, machine.rates, state=state)
    value = float(np.dot(load.features(group), prior))
    level = machine.levels.get(group)
    if group is Group.UPLOAD and machine.models and level is None:
        return Seconds(value=0.0, sd=0.0)  # no job here was ever uploaded
    if level is None:
        return Seconds(value=value, sd=PRIOR_SD)
    return Seconds(value=value * level, sd=_OTHER_MODEL_SD)


def _prediction(machine: _Machine, load: Load, parts: Mapping[Group, Seconds]) -> Prediction:
    level = math.exp(machine.shift)
    parts = {group: Seconds(value=part.value * level, sd=part.sd) for group, part in parts.items()}
    total_s = sum(part.value for part in parts.values())
    sd = _relative_sd(parts)
    own = [
        model.n
        for key, model in machine.models.items()
        if key.group is Group.DENOISE and key.model == load.model
    ]
    factor = math.exp(machine.width * sd)
    return Prediction(
        total_s=total_s,
        low_s=total_s / factor,
        high_s=total_s * factor,
        phases_s={group.value: part.value for group, part in parts.items()},
        sds={group.value: part.sd for group, part in parts.items()},
        width=machine.width,
        n=sum(own),
        basis="history" if own else "prior",
    )


def _relative_sd(parts: Mapping[Group, Seconds]) -> float:
    total_s = sum(part.value for part in parts.values())
    return math.sqrt(sum((part.value * part.sd) ** 2 for part in parts.values())) / total_s


def _calibrate(machine: _Machine, records: Sequence[PerformanceRecord]) -> None:
    """Set the machine's shift and width from what its records would have been expected as.

    The shift is the level of the hour: the mean deviation (as a logarithm) of the records before,
    weighed by their precision and by how recent they are. The width is split conformal: the scores
    are what each record then still deviates, in its own standard deviations; their
    ``ceil((n + 1) 0.9)``-th smallest is the width (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman,
    "Distribution-free predictive inference for regression", JASA 2018, section 5.2;
    each record against those before it in place of a split, so that what drifts is scored as it
    will be met: Dawid, "The prequential approach", JRSS A 1984). Of fewer than 9 scores no quantile
    holds 90 %: Student's t with as many degrees of freedom, plus four, since the scales of the
    noise have a prior.
    """
    scores: list[float] = []
    weighed, weight = 0.0, _SHIFT_HOLD
    for place, record in enumerate(records):
        found = _deviation(machine, record, place)
        if found is None:
            continue
        deviation, sd = found
        scores.append(abs(deviation - weighed / weight) / sd)
        precision = (_SHIFT_SD / max(sd, _SHIFT_SD)) ** 2
        far = max(1.0, abs(deviation - weighed / weight) / (_FAR * sd))
        weighed = weighed * _SHIFT_KEEP + deviation * precision / far
        weight = (weight - _SHIFT_HOLD) * _SHIFT_KEEP + precision / far + _SHIFT_HOLD
    machine.shift = weighed / weight
    scores = scores[-_MOST_SCORES:]
    n = len(scores)
    if n < _FEWEST_SCORES:
        machine.width = t_quantile(0.5 + LEVEL / 2.0, n + _PRIOR_FREEDOM)
    else:
        machine.width = sorted(scores)[math.ceil((n + 1) * LEVEL) - 1]


def _deviation(
    machine: _Machine, record: PerformanceRecord, place: int
) -> tuple[float, float] | None:
    """Return the logarithm of a record's seconds over those expected, and what sd that has."""
    parts: dict[Group, Seconds] = {}
    total_s = 0.0
    for key, seconds in _keyed_seconds(record):
        model = machine.models.get(key)
        if model is None:
            continue
        before = model.before(place)
        if before is None:
            return None
        parts[key.group] = before
        total_s += seconds
    if not parts or total_s <= 0.0:
        return None
    expected_s = sum(part.value for part in parts.values())
    return math.log(total_s / expected_s), _relative_sd(parts)
