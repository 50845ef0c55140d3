"""One progress bar a phase, drawn from the job's events."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from ourvidz.cli.output import console
from ourvidz.core.event import (
    JobEvent,
    Note,
    PhaseEnded,
    PhaseStarted,
    PromptEnhanced,
)
from ourvidz.core.event import Progress as UnitsDone


class JobProgress:
    """Shows phases as they come; on a pipe it prints one line a finished phase."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[units]:>9}"),
            TextColumn("{task.fields[time]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, event: JobEvent) -> None:
        """Draw one event."""
        if isinstance(event, PhaseStarted):
            self._task = self._bars.add_task(
                event.phase.value, total=event.num_units, units="", time=""
            )
        elif isinstance(event, UnitsDone) and self._task is not None:
            eta = _left(event)
            units = f"{event.done}/{event.num_units}" if event.num_units else f"{event.done}"
            self._bars.update(self._task, completed=event.done, units=units, time=eta)
        elif isinstance(event, PhaseEnded):
            self._end(event)
        elif isinstance(event, Note):
            console.print(f"[yellow]note[/]  {escape(event.text)}", highlight=False)
        elif isinstance(event, PromptEnhanced) and event.enhancement.enhanced_prompt:
            console.print(
                f"[cyan]enhanced[/]  {escape(event.enhancement.enhanced_prompt)}", highlight=False
            )

    def _end(self, event: PhaseEnded) -> None:
        text = f"{event.duration_s:.2f} s"
        if self._task is not None:
            task = self._bars.tasks[self._bars.task_ids.index(self._task)]
            total = task.total if task.total is not None and task.completed else 1
            completed = task.completed or 1
            self._bars.update(
                self._task, total=min(total, completed), completed=completed, time=text
            )
            self._task = None
        if not console.is_terminal:
            console.print(f"{event.phase.value:<20} {text}", highlight=False)


def _left(event: UnitsDone) -> str:
    """Return the time to the job's end in words, with its interval where that says more."""
    if event.eta_s is None:
        return ""
    text = f"{event.eta_s:.0f} s left"
    if event.eta_low_s is None or event.eta_high_s is None:
        return text
    low, high = f"{event.eta_low_s:.0f}", f"{event.eta_high_s:.0f}"
    return text if low == high else f"{text} ({low} to {high})"
