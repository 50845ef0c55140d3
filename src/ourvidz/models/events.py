"""What a driven generator yields: one small frozen value a step or token, never a tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEvent:
    """One denoising step has been issued to the device (it may still be running there)."""

    step: int  # 1 .. num_inference_steps
    num_inference_steps: int
    timestep: float  # what the network was given, 0 .. 1000
    sigma: float  # noise level before the step; a flow's runs in (0, 1]
    num_forwards: int  # network calls in the step: 2 with sequential guidance, otherwise 1
    num_skipped: int = 0  # evaluations of a branch that `draft` left out


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEvent:
    """One token was chosen; its id has reached the host."""

    token_id: int
    num_new_tokens: int  # so far, this one included
    is_last: bool
