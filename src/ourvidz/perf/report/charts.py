"""Charts as SVG, drawn here: no script, no network, colours by the page's own variables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from ourvidz.perf.report import words
from ourvidz.perf.report.document import (
    Chart,
    Days,
    Line,
    LineChart,
    Stack,
    StackChart,
    Strip,
    StripChart,
)
from ourvidz.perf.stats import median

# Kinds of phases in the order of a job; each has a colour of the page, ``--k0`` and so on.
KINDS: tuple[str, ...] = (
    "start and load",
    "enhance",
    "encode",
    "denoise",
    "decode",
    "files",
    "without a name",
    "other",
)

_WIDTH = 960.0
_LABELS = 262.0  # the column of names
_RIGHT = 24.0
_TICKS = (1.0, 2.0, 5.0)
_LONGEST_LABEL = 28
_LONGEST_DETAIL = 42
_SMALLEST_SHARE_TOLD = 0.06  # of a bar: below, its words would not fit


def svg_of(chart: Chart) -> str:
    """Return a chart as HTML."""
    match chart:
        case StripChart():
            return _strips(chart.strips)
        case StackChart():
            return _legend(chart.stacks) + _stacks(chart.stacks)
        case LineChart():
            return f'<div class="lines">{"".join(map(_line, chart.lines))}</div>'
        case Days():
            return _days(chart.days)


# Runs on an axis


def _strips(strips: Sequence[Strip]) -> str:
    row_px, top = 38.0, 8.0
    known = [v for s in strips for v in (*s.values, s.low, s.high, s.expected) if v and v > 0]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    low, high = low * 0.85, high * 1.18
    height = top + row_px * len(strips) + 30
    span = _WIDTH - _LABELS - _RIGHT

    def x(value: float) -> float:
        return _LABELS + span * math.log(value / low) / math.log(high / low)

    bottom = top + row_px * len(strips)
    parts = [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom:.1f}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 17:.1f}" text-anchor="middle">'
        f"{tick:g} s</text>"
        for tick in _log_ticks(low, high)
    ]
    for index, strip in enumerate(strips):
        y = top + row_px * (index + 0.5)
        parts.append(_label(strip.label, strip.detail, y))
        parts.append(
            f'<line class="base" x1="{_LABELS}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        )
        parts += [
            f'<circle class="dot" cx="{x(value):.1f}" cy="{y + _jitter(place):.1f}" r="3.2"/>'
            for place, value in enumerate(strip.values)
        ]
        if strip.low and strip.high:
            parts.append(
                f'<line class="span" x1="{x(strip.low):.1f}" x2="{x(strip.high):.1f}" '
                f'y1="{y}" y2="{y}"><title>95 %: {words.seconds(strip.low)} to '
                f"{words.seconds(strip.high)}</title></line>"
            )
        if strip.median > 0:
            at = x(strip.median)
            parts.append(
                f'<line class="median" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 11}" y2="{y + 11}">'
                f"<title>median {words.seconds(strip.median)}</title></line>"
            )
        if strip.expected:
            at = x(strip.expected)
            parts.append(
                f'<path class="expected" d="M{at:.1f} {y - 7}l6 7l-6 7l-6 -7z">'
                f"<title>expected {words.seconds(strip.expected)}</title></path>"
            )
    has_expected = any(strip.expected for strip in strips)
    key = (
        '<span class="key"><i class="k-dot"></i>a run</span><span class="key"><i class="k-median">'
    )
    key += '</i>median</span><span class="key"><i class="k-span"></i>its 95 % interval</span>'
    key += '<span class="key"><i class="k-expected"></i>expected</span>' if has_expected else ""
    return f'<div class="legend">{key}</div>' + _svg(height, parts, "Seconds of every run by group")


def _log_ticks(low: float, high: float) -> list[float]:
    found = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in _TICKS
    ]
    inside = [tick for tick in found if low <= tick <= high]
    while len(inside) > 9:
        inside = inside[::2]
    return inside or [low, high]


def _jitter(place: int) -> float:
    """Return a small shift across the axis, so that equal runs are seen as several."""
    return ((place * 7) % 11 - 5) * 1.1


# Shares


def _legend(stacks: Iterable[Stack]) -> str:
    used = {kind for stack in stacks for kind, _ in stack.parts}
    keys = "".join(
        f'<span class="key"><i style="background:var(--k{index})"></i>{escape(kind)}</span>'
        for index, kind in enumerate(KINDS)
        if kind in used
    )
    return f'<div class="legend">{keys}</div>'


def _stacks(stacks: Sequence[Stack]) -> str:
    row_px, bar_px, top = 40.0, 22.0, 4.0
    span = _WIDTH - _LABELS - _RIGHT
    parts: list[str] = []
    for index, stack in enumerate(stacks):
        y = top + row_px * (index + 0.5)
        parts.append(_label(stack.label, stack.detail, y))
        whole = sum(value for _, value in stack.parts) or 1.0
        at = _LABELS
        for kind, share in _by_kind(stack.parts, whole):
            width = span * share
            parts.append(
                f'<rect x="{at:.2f}" y="{y - bar_px / 2:.1f}" width="{max(0.0, width - 1):.2f}" '
                f'height="{bar_px}" rx="2" style="fill:var(--k{KINDS.index(kind)})">'
                f"<title>{escape(kind)}: {words.percent(share)}</title></rect>"
            )
            if share >= _SMALLEST_SHARE_TOLD:
                parts.append(
                    f'<text class="in" x="{at + width / 2:.1f}" y="{y + 4:.1f}" '
                    f'text-anchor="middle">{share:.0%}</text>'
                )
            at += width
    return _svg(top + row_px * len(stacks) + 4, parts, "Shares of each job's time by phase")


def _by_kind(parts: Iterable[tuple[str, float]], whole: float) -> list[tuple[str, float]]:
    found: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for kind, value in parts:
        found[kind] += value / whole
    return [(kind, share) for kind, share in found.items() if share > 0]


# Runs over time


def _line(line: Line) -> str:
    width, height, left, right, top, bottom = 470.0, 190.0, 54.0, 12.0, 14.0, 24.0
    middle = median(line.values)
    # Never closer than a tenth around the middle: a picture of noise would look like news.
    low, high = min(*line.values, middle * 0.9), max(*line.values, middle * 1.1)
    pad = (high - low) * 0.06 or 1e-6
    low, high = max(0.0, low - pad), high + pad
    count = len(line.values)

    def x(index: float) -> float:
        return left + (width - left - right) * (index + 0.5) / count

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - (value - low) / (high - low))

    parts: list[str] = []
    for tick in _even_ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text class="tick" x="{left - 7}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:g} s</text>'
        )
    for index, is_slower, text in line.changes:
        at = x(index - 0.5)
        parts.append(
            f'<line class="{"slower" if is_slower else "faster"}" x1="{at:.1f}" x2="{at:.1f}" '
            f'y1="{top}" y2="{height - bottom}"><title>{escape(text)}</title></line>'
        )
    parts += [
        f'<line class="level" x1="{x(level.first - 0.4):.1f}" x2="{x(level.last + 0.4):.1f}" '
        f'y1="{y(level.value):.1f}" y2="{y(level.value):.1f}">'
        f"<title>median {words.seconds(level.value)}</title></line>"
        for level in line.levels
    ]
    radius = 3.0 if count <= 60 else 2.0
    parts += [
        f'<circle class="{"dot" if is_counted else "dot out"}" cx="{x(index):.1f}" '
        f'cy="{y(value):.1f}" r="{radius}"/>'
        for index, (value, is_counted) in enumerate(zip(line.values, line.is_counted, strict=True))
    ]
    parts.append(
        f'<text class="tick" x="{left}" y="{height - 6}">{escape(line.first)}</text>'
        f'<text class="tick" x="{width - right}" y="{height - 6}" text-anchor="end">'
        f"{escape(line.last)}</text>"
    )
    picture = _svg(height, parts, f"Runs of {line.label}", width=width)
    return (
        f"<figure><figcaption><b>{escape(line.label)}</b> <span>{escape(line.detail)}</span>"
        f"</figcaption>{picture}</figure>"
    )


def _even_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= raw)
    first = math.ceil(low / step)
    return [step * index for index in range(first, math.floor(high / step) + 1)]


def _days(days: Sequence[tuple[str, int, int]]) -> str:
    height, left, bottom, top = 170.0, 40.0, 26.0, 10.0
    most = max((count for _, count, _ in days), default=0) or 1
    step = (_WIDTH - left - _RIGHT) / max(1, len(days))
    every = max(1, math.ceil(len(days) / 16))
    parts: list[str] = []
    for share in (0.5, 1.0):
        y = top + (height - top - bottom) * (1 - share)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">'
            f"{most * share:g}</text>"
        )
    for index, (label, count, failed) in enumerate(days):
        at, wide = left + step * index + step * 0.15, step * 0.7
        whole = (height - top - bottom) * count / most
        bad = (height - top - bottom) * failed / most
        base = height - bottom
        parts.append(
            f'<rect class="day" x="{at:.1f}" y="{base - whole:.1f}" width="{wide:.1f}" '
            f'height="{whole:.1f}" rx="2"><title>{escape(label)}: {count}, {failed} failed</title>'
            f'</rect><rect class="bad" x="{at:.1f}" y="{base - bad:.1f}" width="{wide:.1f}" '
            f'height="{bad:.1f}" rx="2"/>'
        )
        if index % every == 0:
            parts.append(
                f'<text class="tick" x="{at + wide / 2:.1f}" y="{height - 8}" '
                f'text-anchor="middle">{escape(label)}</text>'
            )
    return _svg(height, parts, "Jobs by day")


# Common parts


def _label(label: str, detail: str, y: float) -> str:
    return (
        f'<text class="name" x="0" y="{y - 2:.1f}">{escape(_cut(label, _LONGEST_LABEL))}</text>'
        f'<text class="tick" x="0" y="{y + 12:.1f}">{escape(_cut(detail, _LONGEST_DETAIL))}</text>'
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(height: float, parts: Iterable[str], what: str, *, width: float = _WIDTH) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(what)}" style="min-width:{min(width, 640) * 0.62:.0f}px">'
        f"{''.join(parts)}</svg></div>"
    )
