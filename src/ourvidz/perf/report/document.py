"""A report before it is written: sections of tables and charts, the same for every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ourvidz.perf.report.words import NOTHING


class Tone(StrEnum):
    """What a figure means to its reader."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    QUIET = "quiet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell."""

    text: str
    tone: Tone = Tone.PLAIN
    share: float | None = None  # drawn as a bar, 0 to 1
    note: str = ""  # a second line, smaller


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column's head."""

    title: str
    is_number: bool = False
    is_code: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under a head. Without rows, ``empty`` is said in its place."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    empty: str = "Nothing yet."


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """The runs of one group on a common axis of seconds."""

    label: str
    detail: str
    values: tuple[float, ...]
    median: float
    low: float | None = None  # of the median's interval
    high: float | None = None
    expected: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StripChart:
    """Every run as a dot, medians with their intervals, on a logarithmic axis of seconds."""

    title: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """One bar of parts in seconds."""

    label: str
    detail: str
    parts: tuple[tuple[str, float], ...]  # (kind of phase, seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackChart:
    """What a job's time goes to, one bar a group, each as long as the others."""

    title: str
    stacks: tuple[Stack, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Runs between two changes."""

    first: int  # index of the first run
    last: int
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One series of runs over time."""

    label: str
    detail: str
    values: tuple[float, ...]  # seconds, oldest first
    is_counted: tuple[bool, ...]
    levels: tuple[Level, ...]
    changes: tuple[tuple[int, bool, str], ...]  # index, whether slower, what
    first: str
    last: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LineChart:
    """Small pictures of how each series went, side by side."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """How many jobs ended on each day, and how many of them failed."""

    title: str
    days: tuple[tuple[str, int, int], ...]  # label, all, failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """A list, a line each."""

    lines: tuple[Text, ...]


Chart: TypeAlias = StripChart | StackChart | LineChart | Days
Block: TypeAlias = Table | Text | Points | Chart


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One figure of the summary."""

    label: str
    value: str
    detail: str = ""
    tone: Tone = Tone.PLAIN
    share: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part with its own heading."""

    id: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """All of it."""

    title: str
    subtitle: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str
    facts: tuple[str, ...] = field(default=())


def cell(text: str | None, tone: Tone = Tone.PLAIN, *, note: str = "") -> Cell:
    """Return a cell; what is not known is quiet."""
    if text is None or text in {"", NOTHING}:
        return Cell(text=NOTHING, tone=Tone.QUIET, note=note)
    return Cell(text=text, tone=tone, note=note)


def columns(
    *names: str, numbers: Sequence[str] = (), code: Sequence[str] = ()
) -> tuple[Column, ...]:
    """Return heads; those named in ``numbers`` stand to the right."""
    return tuple(
        Column(title=name, is_number=name in numbers, is_code=name in code) for name in names
    )


def row(*cells: Cell | str | None) -> tuple[Cell, ...]:
    """Return a row of cells or texts."""
    return tuple(each if isinstance(each, Cell) else cell(each) for each in cells)
