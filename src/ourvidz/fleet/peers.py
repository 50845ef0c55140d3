"""A fleet's workers as their rows in the store tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ourvidz.fleet.placement import WorkerPlace
from ourvidz.jobs.model import WorkerInfo

_ACTIVE = frozenset({"idle", "busy"})


def held_by_idle(workers: Sequence[WorkerInfo], *, but: str) -> frozenset[str]:
    """Return the models that are resident on an idle worker.

    Args:
        workers: the fleet's.
        but: the worker that is left out.
    """
    return frozenset(
        model
        for worker in workers
        if worker.id != but and worker.state == "idle"
        for model in worker.resident
        if not worker.models or model in worker.models
    )


def places_of(workers: Sequence[WorkerInfo]) -> list[WorkerPlace]:
    """Return the workers that claim jobs and tell their room, for ``placement.place``.

    Those on a CPU tell none, and nobody does before its first look at its memory: what they could
    hold is anybody's guess, and a plan that counts on it leaves out what others need.
    """
    return [
        WorkerPlace(
            id=worker.id,
            room_bytes=room_bytes,
            resident=frozenset(worker.resident),
            models=frozenset(worker.models),
        )
        for worker in workers
        if worker.state in _ACTIVE and (room_bytes := _room_bytes(worker)) is not None
    ]


def bytes_of(workers: Sequence[WorkerInfo], known: Mapping[str, int]) -> dict[str, int]:
    """Return models' bytes on a device: as workers tell, else as ``known``."""
    found = {model: num_bytes for model, num_bytes in known.items() if num_bytes > 0}
    for worker in workers:
        for model, num_bytes in worker.resident.items():
            found[model] = max(int(num_bytes), found.get(model, 0))
    return found


def _room_bytes(worker: WorkerInfo) -> int | None:
    """Return the room for weights: what the job itself takes is not theirs. None: not known."""
    memory: object = worker.facts.get("memory")
    if not isinstance(memory, Mapping):
        return None
    told = cast("Mapping[str, Any]", memory)
    budget = int(told.get("budget_bytes") or 0)
    return max(0, budget - int(told.get("activations_bytes") or 0)) if budget > 0 else None
