"""A fleet on paper: events in a heap, with the real one's claim order, policy and placement."""

from ourvidz.fleet.simulation.arrivals import Arrival, Stream, arrivals_of
from ourvidz.fleet.simulation.report import Outcome
from ourvidz.fleet.simulation.scenario import (
    Foresight,
    JobClass,
    Machine,
    ModelSpec,
    Scenario,
    Times,
)
from ourvidz.fleet.simulation.simulator import simulate

__all__ = [
    "Arrival",
    "Foresight",
    "JobClass",
    "Machine",
    "ModelSpec",
    "Outcome",
    "Scenario",
    "Stream",
    "Times",
    "arrivals_of",
    "simulate",
]
