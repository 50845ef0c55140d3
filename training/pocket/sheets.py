"""Contact sheets of an evaluation, from its files and verdicts: what a person looks at.

    python -m training.pocket.sheets --run FOLDER... --out FOLDER

A sweep becomes one sheet: a row for each setting, the same prompts and seeds in its columns. Any
other case becomes a grid of its first files with their prompts. What the judge missed is in red.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageDraw, ImageFont

from ourvidz.perf.quality.pocket import detector
from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket import judging
from training.pocket.judging import Judged
from training.pocket.sampling import PRECISIONS

COLUMNS: Final = 6  # prompts of a sweep's sheet
_GRID_FILES: Final = {True: 12, False: 24}  # by whether they are clips
_MOMENTS: Final = 3
_PAPER, _INK, _QUIET, _RED, _GREEN = (
    "white",
    (31, 35, 40),
    (110, 116, 124),
    (205, 32, 38),
    (26, 127, 55),
)
_MARGIN, _GAP, _LINE, _TEXT, _TITLE = 28, 14, 19, 14, 22
_ROW_LABEL: Final = 150
_PICTURE_HEIGHT: Final = 160


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def picture(path: Path, height: int) -> Image.Image:
    """A file as one picture: the image itself, or some moments of a clip side by side."""
    try:
        frames: Pixels = detector.read_frames(path)
    except (OSError, ValueError, FFmpegError):
        return Image.new("RGB", (height, height), (235, 235, 235))
    count = _MOMENTS if len(frames) > 1 else 1
    shown = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
    scale = height / frames.shape[1]
    size = (max(1, round(frames.shape[2] * scale)), height)
    parts = [Image.fromarray(f).resize(size, Image.Resampling.LANCZOS) for f in shown]
    joined = Image.new("RGB", (sum(p.width for p in parts) + 2 * (count - 1), height), _PAPER)
    for i, part in enumerate(parts):
        joined.paste(part, (i * (part.width + 2), 0))
    return joined


def _wrapped(text: str, width: int, lines: int) -> list[str]:
    """Text in lines that fit a width in pixels, cut with dots after so many lines."""
    per_line = max(10, int(width / (_TEXT * 0.52)))
    return textwrap.wrap(text, per_line, max_lines=lines, placeholder=" ...") or [""]


def _verdict(pen: ImageDraw.ImageDraw, at: tuple[int, int], line: Judged, width: int) -> int:
    """Writes what was missed, or that nothing was; returns how many lines that took."""
    missed = ", ".join(line.missed)
    words = _wrapped(f"not: {missed}", width, 2) if missed else ["all seen"]
    for i, part in enumerate(words):
        where = (at[0], at[1] + i * _LINE)
        pen.text(where, part, fill=_RED if missed else _GREEN, font=_font(_TEXT))
    return len(words)


def _canvas(width: int, height: int, title: str) -> Image.Image:
    """Paper that holds at least its title."""
    needed = 2 * _MARGIN + int(_font(_TITLE).getlength(title)) + 1
    return Image.new("RGB", (max(width, needed), height), _PAPER)


def sweep_sheet(rows: Sequence[tuple[Path, Sequence[Judged]]], title: str, path: Path) -> None:
    """Draws a sweep.

    Args:
        rows: One for each setting: the folder of its verdicts and its lines, whose first prompts
            are the same in every row.
        title: The heading.
        path: Of the sheet.
    """
    every, rows = rows, [(folder, row[:COLUMNS]) for folder, row in rows]
    pictures = [
        [picture(folder / one.file, _PICTURE_HEIGHT) for one in row] for folder, row in rows
    ]
    columns = max(len(row) for row in pictures)
    width = max(max(p.width for row in pictures for p in row), 190)
    head = max(len(_wrapped(one.prompt, width, 8)) for one in rows[0][1])
    top = _MARGIN + _TITLE + _GAP + head * _LINE + _GAP
    cell = _PICTURE_HEIGHT + 2 * _LINE + _GAP
    wide = 2 * _MARGIN + _ROW_LABEL + columns * (width + _GAP) - _GAP
    canvas = _canvas(wide, top + len(rows) * cell + _GAP, title)
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, _MARGIN - 6), title, fill=_INK, font=_font(_TITLE))
    for c, one in enumerate(rows[0][1]):
        left = _MARGIN + _ROW_LABEL + c * (width + _GAP)
        for i, words in enumerate(_wrapped(one.prompt, width, 8)):
            at = (left, _MARGIN + _TITLE + _GAP + i * _LINE)
            pen.text(at, words, fill=_INK, font=_font(_TEXT))
    for r, ((_, row), made) in enumerate(zip(rows, pictures, strict=True)):
        y = top + r * cell
        label = [*_wrapped(row[0].setting, _ROW_LABEL - 30, 3), f"{_share(every[r][1])} right"]
        for i, words in enumerate(label):
            fill = _QUIET if i == len(label) - 1 else _INK
            pen.text((_MARGIN, y + 4 + i * 23), words, fill=fill, font=_font(16))
        for c, (one, shown) in enumerate(zip(row, made, strict=True)):
            left = _MARGIN + _ROW_LABEL + c * (width + _GAP)
            canvas.paste(shown, (left, y))
            _verdict(pen, (left, y + _PICTURE_HEIGHT + 1), one, width)
    _save(canvas, path)


def case_sheet(folder: Path, lines: Sequence[Judged], title: str, path: Path) -> None:
    """Draws the first files of one case with their prompts.

    Args:
        folder: Of the verdicts.
        lines: What to show.
        title: The heading.
        path: Of the sheet.
    """
    pictures = [picture(folder / one.file, _PICTURE_HEIGHT) for one in lines]
    width = max(max(p.width for p in pictures), 190)
    columns = min(3 if width > 250 else COLUMNS, len(lines))
    words = [_wrapped(one.prompt, width, 6) for one in lines]
    deep = max(len(w) for w in words)
    cell = _PICTURE_HEIGHT + (deep + 2) * _LINE + _GAP
    count = -(-len(lines) // columns)
    top = _MARGIN + _TITLE + _GAP
    wide = 2 * _MARGIN + columns * (width + _GAP) - _GAP
    canvas = _canvas(wide, top + count * cell + _GAP, title)
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, _MARGIN - 6), title, fill=_INK, font=_font(_TITLE))
    for i, (one, shown, text) in enumerate(zip(lines, pictures, words, strict=True)):
        x, y = _MARGIN + (i % columns) * (width + _GAP), top + (i // columns) * cell
        canvas.paste(shown, (x, y))
        used = _verdict(pen, (x, y + _PICTURE_HEIGHT + 1), one, width)
        for n, part in enumerate(text):
            at = (x, y + _PICTURE_HEIGHT + (n + used) * _LINE + 1)
            pen.text(at, part, fill=_QUIET, font=_font(_TEXT))
    _save(canvas, path)


def _save(canvas: Image.Image, path: Path) -> None:
    canvas.save(path, quality=90, subsampling=0)


def _title(system: str, name: str, lines: Sequence[Judged]) -> str:
    return f"{system}, {name}: {_share(lines)} show all"


def _share(lines: Sequence[Judged]) -> str:
    right = sum(not line.missed for line in lines)
    return f"{right} of {len(lines)}"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One sheet to draw.

    Attributes:
        system: Whose files.
        name: Of the family or the case.
        rows: Folder of the verdicts and lines of each setting; a single case has one row.
        is_sweep: Whether the rows are settings.
        path: Of the sheet.
    """

    system: str
    name: str
    rows: list[tuple[Path, list[Judged]]]
    is_sweep: bool
    path: Path


def plan(runs: Sequence[Path], out: Path) -> list[Sheet]:
    """All sheets of one or more evaluations.

    Args:
        runs: Folders with verdicts and files; a sweep's cases may lie in several.
        out: Where the sheets go.
    """
    found: dict[tuple[str, str, bool], dict[str, tuple[Path, list[Judged]]]] = {}
    for folder in runs:
        file = folder / judging.VERDICTS_FILE
        for line in judging.read([file] if file.exists() else []):
            if line.file:
                is_exact = line.fidelity == "exact"
                case = line.case if is_exact else f"{line.case}-{line.fidelity}"
                key = (line.system, line.family or case, bool(line.family))
                rows = found.setdefault(key, {})
                rows.setdefault(line.setting, (folder, []))[1].append(line)
    return [
        Sheet(
            system=system,
            name=name,
            rows=[rows[setting] for setting in sorted(rows, key=_order)],
            is_sweep=is_sweep,
            path=out / f"sheet-{system}-{name}.jpg",
        )
        for (system, name, is_sweep), rows in found.items()
    ]


def draw(sheet: Sheet) -> Path | None:
    """Draws one sheet; one that can't be drawn is told of and left out."""
    try:
        if sheet.is_sweep:
            title = f"{sheet.system}, {sheet.name}"
            sweep_sheet(sheet.rows, title, sheet.path)
        else:
            folder, lines = sheet.rows[0]
            top = _GRID_FILES[lines[0].file.endswith(".mp4")]
            title = _title(sheet.system, sheet.name, lines)
            case_sheet(folder, lines[:top], title, sheet.path)
    except Exception as error:  # noqa: BLE001 (one sheet less; the others are worth having)
        print(f"{sheet.path.name}: not drawn: {error}", flush=True)
        return None
    return sheet.path


def draw_all(runs: Sequence[Path], out: Path) -> list[Path]:
    """Draws every sheet of one or more evaluations and returns their paths."""
    return [path for path in map(draw, plan(runs, out)) if path is not None]


def _order(setting: str) -> tuple[int, str, list[float]]:
    """Sorts settings by words, then numbers: several processes meet them in another order."""
    parts = setting.split()
    numbers = [float(p) for p in parts if p.replace(".", "", 1).isdigit()]
    words = " ".join(p for p in parts if not p.replace(".", "", 1).isdigit())
    rank = PRECISIONS.index(setting) if setting in PRECISIONS else 0
    return rank, words, numbers


def main() -> None:
    """Draws the sheets of finished evaluations."""
    parser = argparse.ArgumentParser(description="Draw contact sheets of evaluations.")
    parser.add_argument("--run", type=Path, nargs="+", required=True, help="evaluation folders")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in draw_all(options.run, options.out):
        print(path)


if __name__ == "__main__":
    main()
