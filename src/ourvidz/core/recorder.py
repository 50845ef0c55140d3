"""Collects a job's spans. Knows nothing of what they add up to; ``perf.ledger`` does."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from ourvidz.core.clock import Clock
from ourvidz.core.phase import Phase, Span

Fact = str | int | float


class SpanRecorder:
    """Thread-safe list of spans on one clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._lost: list[tuple[float, float]] = []

    def add(self, span: Span) -> None:
        """Append a finished span. Callable from any thread."""
        with self._lock:
            self._spans.append(span)

    @contextmanager
    def span(
        self, phase: Phase, *, is_background: bool = False, facts: Mapping[str, Fact] | None = None
    ) -> Generator[dict[str, Fact]]:
        """Record the time inside the block, also when it raises.

        Yields a dictionary to which the block may add facts; the key ``device_s`` becomes the
        span's device time.
        """
        gathered: dict[str, Fact] = dict(facts or {})
        start_s = self.clock.monotonic()
        try:
            yield gathered
        finally:
            device_s = gathered.pop("device_s", None)
            self.add(
                Span(
                    phase=phase,
                    start_s=start_s,
                    end_s=self.clock.monotonic(),
                    is_background=is_background,
                    device_s=float(device_s) if device_s is not None else None,
                    facts=gathered,
                )
            )

    def spans(self) -> tuple[Span, ...]:
        """Return the spans so far, by start."""
        with self._lock:
            return tuple(sorted(self._spans, key=lambda span: (span.start_s, span.end_s)))

    def lose_turn(self, start_s: float, end_s: float) -> None:
        """Note that another job had the thread that drives this one. Any order, may overlap."""
        with self._lock:
            self._lost.append((start_s, end_s))

    @property
    def num_lost_turns(self) -> int:
        """How often ``lose_turn`` was called: whether something came between two moments."""
        with self._lock:
            return len(self._lost)

    def lost_turns(self) -> tuple[tuple[float, float], ...]:
        """Return when other jobs had the thread: (start, end) by start, none overlapping."""
        with self._lock:
            lost = sorted(self._lost)
        merged: list[tuple[float, float]] = []
        for start_s, end_s in lost:
            if merged and start_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end_s, merged[-1][1]))
            else:
                merged.append((start_s, end_s))
        return tuple(merged)

    def lost_s(self, start_s: float, end_s: float) -> float:
        """Return how much of an interval belonged to other jobs, in seconds."""
        return sum(
            max(0.0, min(end, end_s) - max(start, start_s)) for start, end in self.lost_turns()
        )
