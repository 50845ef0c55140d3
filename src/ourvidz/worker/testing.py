"""An engine without models, with which queue, leases and recovery are tested and measured.

It takes a device's place behind ``ports.Runner``: its jobs take as many steps of as many
milliseconds as their prompt says, and write one small real PNG an image. It is no feature: only
``ourvidz worker --test-engine`` (an option that help does not show) and tests select it.

A prompt holds words ``name=value``, any others are ignored:

``steps=3``       units of work
``step_ms=5``     how long each takes
``fail=2``        that many attempts in this process end with an unexpected error
``refuse=1``      ends as an invalid request, which is not tried again
``crash=1``       the process kills itself in the middle
``hang=1``        a unit in the middle never ends
``alloc_mb=64``   memory that is allocated and touched in the middle
``px=1800``       side of its images; above 16 they are noise, so that their files are large
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ourvidz.core.asset import Asset
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import Cancelled, InvalidRequest, OurVidzError
from ourvidz.core.event import JobEvent, PhaseStarted, Progress, PromptEnhanced
from ourvidz.core.job import JobResult, JobState, Measured, Timing
from ourvidz.core.phase import CompileState, LoadState, Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.media.image import write_png
from ourvidz.media.thumbnail import write_thumbnail
from ourvidz.perf.ledger import exclusive_phases_s
from ourvidz.worker.ports import Order, Turn

_WORD = re.compile(r"\b(steps|step_ms|fail|refuse|crash|hang|alloc_mb|px)=(\d+)\b")
_PX = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What a prompt asks for."""

    steps: int = 3
    step_ms: int = 1
    fail: int = 0
    refuse: int = 0
    crash: int = 0
    hang: int = 0
    alloc_mb: int = 0
    px: int = _PX

    @classmethod
    def of(cls, prompt: str) -> Script:
        """Read it from a prompt."""
        return cls(**{name: int(value) for name, value in _WORD.findall(prompt)})


class TestRunner:
    """The stand-in for an engine. Keeps the worker's rules: one thread drives it."""

    __test__ = False  # not a test case, whatever its name says

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._attempts: dict[str, int] = {}
        self._resident: dict[str, int] = {}
        self.encoded: list[str] = []  # prompts encoded ahead
        self.expected: list[tuple[tuple[str, ...], bool]] = []  # models, whether it was idle

    @property
    def device(self) -> str:
        """No device at all."""
        return "test"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}

    def fingerprint(self, request: GenerationRequest) -> Mapping[str, Any]:
        """Return the environment of a machine that is none."""
        return {"machine": {"device": "test"}, "setup": {"model_files": {request.model: None}}}

    def start(self, orders: Sequence[Order]) -> TestRun:
        """Begin the jobs; each unit does one step of all."""
        for order in orders:
            self._attempts[order.job_id] = self._attempts.get(order.job_id, 0) + 1
            self._resident[order.request.model] = 2**20
        return TestRun(
            members=[_Member(order=order, clock=self._clock) for order in orders],
            attempts=self._attempts,
        )

    def start_enhance(self, order: Order) -> TestRun:
        """Begin a job that only enhances."""
        member = _Member(order=order, clock=self._clock, only_enhances=True)
        return TestRun(members=[member], attempts=self._attempts)

    def advance(self, run: TestRun, *, block_s: float) -> Turn | None:
        """Do one unit."""
        del block_s
        return run.advance()

    def batch_room(self, request: GenerationRequest) -> int:
        """Return the items of a batch."""
        del request
        return 8

    def can_join(self, model_id: str) -> bool:
        """Everything fits."""
        del model_id
        return True

    def encode_ahead(self, request: GenerationRequest, enhancement: Enhancement | None) -> bool:
        """Note that it was asked."""
        del enhancement
        self.encoded.append(request.prompt)
        return True

    def expect(self, models: Sequence[str], *, is_idle: bool) -> None:
        """Note what was announced."""
        self.expected.append((tuple(models), is_idle))

    def use_idle_time(self) -> bool:
        """There is nothing to do."""
        return False

    def memory(self) -> Mapping[str, Any]:
        """Return what a device of one resident component would tell."""
        return {
            "level": "ok",
            "budget_bytes": 2**30,
            "weights_bytes": sum(self._resident.values()),
            "components": [
                {"model": model, "name": "all", "place": "device", "bytes": num_bytes}
                for model, num_bytes in sorted(self._resident.items())
            ],
        }

    def resident(self) -> Mapping[str, int]:
        """Models of the jobs so far."""
        return dict(self._resident)

    def load(self, model_id: str) -> None:
        """Count it as resident."""
        self._resident[model_id] = 2**20

    def unload(self, model_id: str) -> None:
        """Forget it."""
        self._resident.pop(model_id, None)

    def close(self) -> None:
        """Nothing to free."""


@dataclass(kw_only=True, slots=True)
class _Member:
    order: Order
    clock: Clock
    only_enhances: bool = False
    is_done: bool = False
    steps_s: list[float] = field(default_factory=list[float])
    recorder: SpanRecorder = field(init=False)
    script: Script = field(init=False)
    start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = SpanRecorder(self.clock)
        self.script = Script.of(self.order.request.prompt)
        self.start_s = self.clock.monotonic() - self.order.queued_s


@dataclass(kw_only=True, slots=True)
class TestRun:
    """One job or a batch of them: each ``advance`` brings one report."""

    __test__ = False

    members: list[_Member]
    attempts: Mapping[str, int]
    _reports: list[Turn] = field(default_factory=list[Turn])
    _has_begun: bool = False
    _steps_done: int = 0

    @property
    def is_done(self) -> bool:
        """Whether every member has ended, and said so."""
        return not self._reports and all(member.is_done for member in self.members)

    @property
    def is_blocked(self) -> bool:
        """It never waits for weights."""
        return False

    def close(self) -> None:
        """Nothing was written yet."""
        self._reports.clear()
        for member in self.members:
            member.is_done = True

    def advance(self) -> Turn | None:
        """Do one unit and report it."""
        if self.is_done:
            return None
        for member in self.members:
            if not member.is_done and member.order.cancel.is_cancelled:
                return self._ended(member, Cancelled())
        if not self._has_begun:
            self._begin()
        if not self._reports:
            self._step()
        return self._reports.pop(0) if self._reports else None

    def _begin(self) -> None:
        self._has_begun = True
        for member in self.members:
            order = member.order
            if order.request.enhancement is not None and order.enhancement is None:
                enhancement = _enhancement(order.request)
                self._tell(member, PromptEnhanced(enhancement=enhancement))
                try:
                    order.check_prompt(enhancement.enhanced_prompt or "")
                except OurVidzError as error:
                    self._reports.append(self._ended(member, error))
                    continue
            if not member.only_enhances:
                self._tell(member, PhaseStarted(phase=Phase.DENOISE, num_units=self._num_steps))

    @property
    def _num_steps(self) -> int:
        return max(member.script.steps for member in self.members)

    def _tell(self, member: _Member, event: JobEvent) -> None:
        self._reports.append(Turn(job_id=member.order.job_id, event=event))

    def _step(self) -> None:
        alive = [member for member in self.members if not member.is_done]
        if not alive:
            return
        if self._steps_done >= self._num_steps or alive[0].only_enhances:
            self._reports += [self._delivered(member) for member in alive]
            return
        start_s = alive[0].clock.monotonic()
        time.sleep(max(member.script.step_ms for member in alive) / 1000)
        step_s = alive[0].clock.monotonic() - start_s
        self._steps_done += 1
        if self._steps_done == (self._num_steps + 1) // 2:
            for member in alive:
                self._misbehave(member)
        for member in alive:
            member.steps_s.append(step_s)
            if not member.is_done:
                progress = Progress(
                    phase=Phase.DENOISE, done=self._steps_done, num_units=self._num_steps
                )
                self._tell(member, progress)

    def _misbehave(self, member: _Member) -> None:
        script = member.script
        if script.crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if script.hang:
            threading.Event().wait()
        if script.alloc_mb:
            np.zeros(script.alloc_mb * 2**20, dtype=np.uint8)[:: 2**12] = 1
        if script.refuse:
            self._reports.append(
                self._ended(member, InvalidRequest("The test asked to be refused.", param="prompt"))
            )
        elif script.fail >= self.attempts[member.order.job_id]:
            self._reports.append(self._ended(member, RuntimeError("the test asked for an error")))

    def _ended(self, member: _Member, error: Exception) -> Turn:
        member.is_done = True
        return Turn(job_id=member.order.job_id, error=error, device_s=sum(member.steps_s))

    def _delivered(self, member: _Member) -> Turn:
        member.is_done = True
        return Turn(job_id=member.order.job_id, finishing=TestFinishing(member=member))


class TestFinishing:
    """Writes the files and closes the account."""

    __test__ = False

    def __init__(self, *, member: _Member) -> None:
        self._member = member
        self._assets: tuple[Asset, ...] | None = None
        self.job_id = member.order.job_id

    @property
    def device_s(self) -> float:
        """The steps' time."""
        return sum(self._member.steps_s)

    def files(self) -> tuple[Asset, ...]:
        """Write one PNG an image, of the colour that its seed gives."""
        if self._assets is None:
            count = 0 if self._member.only_enhances else self._member.order.request.num_images
            with self._member.recorder.span(Phase.SAVE):
                self._assets = tuple(self._write(index) for index in range(count))
        return self._assets

    def span(self, phase: Phase) -> AbstractContextManager[object]:
        """Account to ``phase``."""
        return self._member.recorder.span(phase)

    def wait(self) -> JobResult:
        """Return the result."""
        member, order = self._member, self._member.order
        end_s = member.clock.monotonic()
        phases_s = exclusive_phases_s(member.recorder.spans(), start_s=member.start_s, end_s=end_s)
        unattributed_s = phases_s.pop(Phase.UNATTRIBUTED.value)
        enhancement = order.enhancement
        if enhancement is None and order.request.enhancement is not None:
            enhancement = _enhancement(order.request)
        return JobResult(
            job_id=order.job_id,
            request=order.request,
            state=JobState.SUCCEEDED,
            outputs=self.files(),
            enhancement=enhancement,
            timing=Timing(
                total_s=end_s - member.start_s,
                phases_s=phases_s,
                unattributed_s=unattributed_s,
                step_s=None,
                step_times_s=tuple(member.steps_s),
                state=LoadState.RESIDENT,
                compile_state=CompileState.EAGER,
                spans=member.recorder.spans(),
                device_s=self.device_s,
            ),
            adjustments=(),
            environment={"engine": "test"},
            memory={},
            measured=Measured(
                environment={
                    "machine": {"device": "test"},
                    "setup": {"model_files": {order.request.model: None}},
                }
            ),
        )

    def abandon(self) -> None:
        """The worker removes the attempt's folder itself."""

    def _write(self, index: int) -> Asset:
        order = self._member.order
        order.folder.mkdir(parents=True, exist_ok=True)
        seed = order.request.item_seeds[index]
        image = _image(seed, index, side=self._member.script.px)
        path = order.folder / f"{order.job_id}-{index + 1}.png"
        thumbnail = path.with_suffix(".thumb.webp")
        write_png(path, image, settings={"seed": seed})
        write_thumbnail(thumbnail, image)
        return Asset(
            path=str(path),
            media_type="image/png",
            width=image.shape[1],
            height=image.shape[0],
            num_frames=1,
            fps=None,
            duration_s=None,
            bytes=path.stat().st_size,
            thumbnail_path=str(thumbnail),
            seed=seed,
        )


def _image(seed: int, index: int, *, side: int) -> NDArray[np.uint8]:
    if side > _PX:
        return np.random.default_rng([seed, index]).integers(256, size=(side, side, 3), dtype="u1")
    return np.full((side, side, 3), [seed & 255, (seed >> 8) & 255, index], dtype=np.uint8)


def _enhancement(request: GenerationRequest) -> Enhancement:
    assert request.enhancement is not None
    return Enhancement(
        original_prompt=request.prompt,
        enhanced_prompt=f"{request.prompt}, enhanced",
        answer=f"{request.prompt}, enhanced",
        verdict="usable",
        model=request.enhancement.model,
        num_tokens_in=1,
        num_tokens_out=1,
        num_tokens_prompt=1,
        num_tokens_truncated=0,
    )
