"""Which fidelities a model may be asked for, and why the others not.

``exact`` always. ``high`` and ``draft`` once ``ourvidz bench confirm`` has held their bounds on
this checkpoint and this machine (``checkpoints.confirmations`` reads what it wrote), or where the
catalogue lists them for the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ourvidz.catalog.models import Model
from ourvidz.core.request import Fidelity


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One fidelity of one model."""

    fidelity: Fidelity
    is_offered: bool
    reason: str  # why it is not offered; "" where it is


Offers = Callable[[Model], Mapping[Fidelity, Offer]]  # every fidelity, in the order of the enum


def listed_offers(model: Model) -> Mapping[Fidelity, Offer]:
    """Return what the catalogue alone offers, which no confirmation is needed for."""
    return {
        fidelity: Offer(
            fidelity=fidelity,
            is_offered=fidelity in model.fidelities,
            reason="" if fidelity in model.fidelities else "nobody has confirmed it here",
        )
        for fidelity in Fidelity
    }


def confirm_command(model_id: str, fidelity: Fidelity) -> str:
    """Return the command that may make a fidelity offered."""
    return f"ourvidz bench confirm {model_id} --fidelity {fidelity.value}"
