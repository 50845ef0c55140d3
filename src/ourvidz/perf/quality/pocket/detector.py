"""Reads from finished frames what they show, without any network: the judge of the pocket models.

The background is the colour of the frame's rim, objects are connected regions of one other colour,
a shape is the drawn shape that covers such a region best, motion is how the fitted centre and size
change. Whatever is not clear is None, so that noise and blurred mixtures report nothing. Works on
frames read back from PNG and MP4 (whose 4:2:0 chroma blurs colours at edges). numpy only.

What it says of a model's typical faults (`training.pocket.detector_truth` draws
each and measures the shares):

==================================  ==============================================================
fault                               verdict
==================================  ==============================================================
blur under 1 px, edges that wobble  right: coding and decoding do as much
by 1 to 2 px (slow waves)
blur by 0.4 radii and more          no object: it is not flat or has no sharp edge
object half of another colour       no object
shape between two of the drawn      no shape, unless it covers one clearly better than the other
second object (ghost), also faint   not one object: nothing of it counts; the background does
colour between two palette colours  no colour
clip: colour or shape changes       not that colour or shape, at whatever moment
clip: object vanishes or appears    no object, if it misses in the first or last frame or in more
                                    than an eighth of the frames looked at
clip: object jumps                  no motion (neither drift nor "still")
clip: stands still for a good part  no motion; the object itself counts
clip: turns back                    no motion
clip: background changes            no background
==================================  ==============================================================

Of a clip, 17 frames are looked at, so what happens in one frame between two of them goes unseen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from ourvidz.perf.quality.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    SHAPES,
    SIZES,
    Scene,
)

Pixels = NDArray[np.uint8]
Reals = NDArray[np.float64]

# Limits in 8-bit RGB distance. Palette colours are at least 90 apart, backgrounds 77, a colour and
# a background 104; product coding (H.264 4:2:0, crf 16) moves a flat colour by less than 5.
_COLOUR_LIMIT: Final = 40.0  # less than half of 90: what lies between two colours is neither
_BACKGROUND_LIMIT: Final = 36.0  # less than half of 77
_FLAT_LIMIT: Final = 28.0  # further than this from the background is not background
_OBJECT_CONTRAST: Final = 46.0  # less than half of 104
# Measured on drawn files (`detector_truth`): truth has at least 0.94 and 0.64, with blur of up to
# 1 px 0.67 and 0.56; half-coloured objects have a flat share of about 0.5.
_FLAT_SHARE: Final = 0.65  # of a region's core that must be near its median colour
_SHARP_SHARE: Final = 0.55  # area of three quarters of the contrast, over that of one quarter
_MIN_AREA: Final = 0.012  # of the shorter side squared: a third of the smallest drawn object
_MIN_BACKGROUND: Final = 0.5  # of the frame; drawn objects cover at most 0.4
_MAX_STRAY: Final = 0.1  # of the frame: pixels that are neither background nor near a region
_MAX_REGIONS: Final = 4  # a frame with more is a pattern
_GROWN: Final = 3  # pixels around a region that coding and decoding may blur
_MIN_COVER: Final = 0.76  # intersection over union with the best shape
_MIN_LEAD: Final = 0.02  # of the best shape before the second best
# Two different shapes cover each other by at most 0.85 however they are placed. Jaccard distance
# is a metric, so at a distance of less than half of 0.15 no other shape can be nearer.
_SURE_COVER: Final = 0.925
_STILL_LIMIT: Final = 0.07  # of the shorter side; drawn motion is at least 0.36
_MOVING_LIMIT: Final = 0.18
_GROWTH_LIMIT: Final = 1.5  # drawn growth is a factor of about three
_STEADY_SIZE: Final = 1.25  # largest over smallest radius of what keeps its size
_EVEN_LIMIT: Final = 0.25  # of the way, from even progress: catches a rest of a quarter of a clip
_BACK_LIMIT: Final = 0.08  # of the way, backwards in one step
_JUMP: Final = 3.0  # mean steps in one step, and 0.05 of the way
_POSITION_LIMIT: Final = 0.085  # of width or height; drawn offsets are at least 0.14
_CLIP_SAMPLES: Final = 17  # frames of a clip that are looked at
_MISSING: Final = 8  # one in so many of them may show no object
_UNCLEAR: Final = 4  # one in so many may be unclear about an attribute, none may say another
_TABLE_RADII, _TABLE_SCALE = 2, 128  # reach of a shape's table, cells a radius


@dataclass(frozen=True, kw_only=True)
class Found:
    """One object of one frame.

    Attributes:
        colour: Key of `COLOURS`, or None if no palette colour is near.
        shape: One of `SHAPES`, or None if none covers the region well.
        x: Centre, fraction of the width.
        y: Centre, fraction of the height.
        radius: Radius of the circle of equal area, fraction of the shorter side.
        cover: Intersection over union with the best shape, 0..1.
    """

    colour: str | None
    shape: str | None
    x: float
    y: float
    radius: float
    cover: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a file shows; None or an empty tuple where it is not clear.

    Attributes:
        background: Key of `BACKGROUNDS`.
        things: Objects, largest first; of a clip, one, as seen over all frames.
        motion: One of `MOTIONS`; None for a single frame.
        size: Key of `SIZES` of the first object.
        position: One of `world.POSITIONS` of the first object (its mean over a clip).
    """

    background: str | None
    things: tuple[Found, ...]
    motion: str | None = None
    size: str | None = None
    position: str | None = None


def read_frames(path: Path) -> Pixels:
    """Reads all frames of an image or video file: uint8 [F, H, W, 3]."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(frames).astype(np.uint8, copy=False)  # for the type; they are bytes


def _nearest(rgb: Reals, palette: dict[str, tuple[int, int, int]], limit: float) -> str | None:
    names = list(palette)
    distance = np.linalg.norm(np.asarray([palette[n] for n in names]) - rgb, axis=1)
    best = int(distance.argmin())
    return names[best] if distance[best] <= limit else None


def _rim(frame: Pixels) -> Reals:
    """Median colour of the outermost two rows and columns, [3]."""
    sides = (frame[:2], frame[-2:], frame[2:-2, :2], frame[2:-2, -2:])
    return np.median(np.concatenate([s.reshape(-1, 3) for s in sides]), axis=0)


def _distance(frame: Pixels, colour: Reals) -> NDArray[np.float32]:
    """RGB distance of every pixel from a colour, [H, W]."""
    apart = frame.astype(np.float32) - colour.astype(np.float32)
    return np.sqrt(np.einsum("...c,...c->...", apart, apart))


def components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels 4-connected regions of a mask: int64 [H, W], 0 outside, 1.. by region."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)  # runs of the mask, row by row
    end = np.nonzero(change == -1)[1]
    parent = _join_runs(row.tolist(), start.tolist(), end.tolist())
    _, packed = np.unique(np.asarray(parent, np.int64), return_inverse=True)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.repeat(packed + 1, end - start)
    return labels


def _join_runs(row: list[int], start: list[int], end: list[int]) -> list[int]:
    """Gives every run the number of its region's first run."""
    parent = list(range(len(row)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    above = 0  # first run that may still touch this one from the row above
    for run in range(len(row)):
        while row[above] < row[run] - 1 or (row[above] < row[run] and end[above] <= start[run]):
            above += 1
        other = above
        while row[other] < row[run] and start[other] < end[run]:
            first, second = sorted((root(other), root(run)))
            parent[second] = first
            other += 1
    return [root(run) for run in range(len(row))]


def _inside(shape: str, x: Reals, y: Reals) -> NDArray[np.bool_]:
    """Whether points (in radii) lie inside a shape of radius 1; as `world.signed_distance`."""
    if shape == "circle":
        return x * x + y * y < 1
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) < math.sqrt(math.pi) / 2
    if shape == "triangle":
        outer = math.sqrt(math.pi / (3 * math.sqrt(3) / 4))
        side = math.cos(math.pi / 6) * np.abs(x) - 0.5 * y
        return np.maximum(side, y) < outer / 2
    if shape == "diamond":
        ratio = 0.72
        half = math.sqrt(math.pi / (2 * ratio))
        return np.abs(x) / (ratio * half) + np.abs(y) / half < 1
    sector, inner = 2 * math.pi / 5, 0.46
    outer = math.sqrt(math.pi / (5 * inner * math.sin(math.pi / 5)))
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - sector * np.round(angle / sector))
    reach = np.hypot(x, y)
    along, across = reach * np.cos(angle), reach * np.sin(angle)
    ex = inner * outer * math.cos(sector / 2) - outer
    ey = inner * outer * math.sin(sector / 2)
    return (along - outer) * ey - across * ex < 0


@cache
def _table(shape: str) -> NDArray[np.bool_]:
    """`_inside` on a grid over both coordinates, whose outermost cells are all outside."""
    reach = np.arange(2 * _TABLE_RADII * _TABLE_SCALE + 1) / _TABLE_SCALE - _TABLE_RADII
    return _inside(shape, reach[None], reach[:, None])


def _cover(
    mask: NDArray[np.bool_], area: int, shape: str, x: float, y: float, radius: float
) -> float:
    """Intersection over union of a mask of known area with a shape placed on it (pixels)."""
    table = _table(shape)
    scale, middle, last = _TABLE_SCALE / radius, _TABLE_RADII * _TABLE_SCALE, len(table) - 1
    cells: list[NDArray[np.intp]] = []
    for length, at in zip(mask.shape, (y, x), strict=True):
        cell = (np.arange(length, dtype=np.float64) + (0.5 - at)) * scale + (middle + 0.5)
        cells.append(np.clip(cell, 0, last).astype(np.intp))
    drawn = table.take(cells[0], axis=0).take(cells[1], axis=1)
    both = np.count_nonzero(drawn & mask)
    return both / max(np.count_nonzero(drawn) + area - both, 1)


Fit = tuple[float, float, float, float]  # cover, x, y, radius (pixels)


def _fits(mask: NDArray[np.bool_]) -> dict[str, Fit]:
    """Places the drawn shapes on a mask as well as they can; without those that cannot be best.

    Centroid and area place a shape that lies within the frame. Where no shape then surely covers
    best, or the frame's edge cuts the region, each climbs by shrinking steps from there, so a shape
    that is cut is found where its hidden part would be.
    """
    rows, columns = np.nonzero(mask)
    x, y = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    radius = math.sqrt(len(rows) / math.pi)
    start = {s: (_cover(mask, len(rows), s, x, y, radius), x, y, radius) for s in SHAPES}
    edge = rows.min() == 0 or columns.min() == 0
    edge = edge or rows.max() == mask.shape[0] - 1 or columns.max() == mask.shape[1] - 1
    best = max(start, key=lambda s: start[s][0])
    if not edge and start[best][0] >= _SURE_COVER:
        return {best: start[best]}
    step = radius * (0.32 if edge else 0.08)
    return {s: _climb(mask, len(rows), s, fit, step) for s, fit in start.items()}


# In steps: to the right, down, and in radius.
_MOVES: Final = (
    (1, 0, 0),
    (-1, 0, 0),
    (0, 1, 0),
    (0, -1, 0),
    (0, 0, 0.5),
    (0, 0, -0.5),
    (1, 0, 0.5),
    (-1, 0, 0.5),
    (0, 1, 0.5),
    (0, -1, 0.5),
)


def _climb(mask: NDArray[np.bool_], area: int, shape: str, fit: Fit, step: float) -> Fit:
    while step > 0.25:
        _, x, y, radius = fit
        spots = [
            (x + step * dx, y + step * dy, max(radius + step * dr, 2.0)) for dx, dy, dr in _MOVES
        ]
        top = max((_cover(mask, area, shape, *spot), *spot) for spot in spots)
        if top[0] > fit[0] + 1e-6:
            fit = top
        else:
            step /= 2
    return fit


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    out = mask.copy()
    out[1:] &= mask[:-1]
    out[:-1] &= mask[1:]
    out[:, 1:] &= mask[:, :-1]
    out[:, :-1] &= mask[:, 1:]
    return out


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its rim of two pixels, or as it is where nothing would be left."""
    inner = _shrunk(_shrunk(mask))
    return inner if np.count_nonzero(inner) > 12 else mask


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    out = ~mask
    for _ in range(_GROWN):
        out = _shrunk(out)
    return ~out


def _object(frame: Pixels, apart: NDArray[np.float32], region: NDArray[np.bool_]) -> Found | None:
    """Names one region, or returns None where it is not of one colour or has no sharp edge.

    Args:
        frame: uint8 [H, W, 3].
        apart: Distance of every pixel from the background.
        region: Pixels that differ from the background.
    """
    height, width = region.shape
    # Half of the way from background to object is where its edge was drawn; a margin around the
    # region leaves room to place shapes.
    inside = frame[_core(region)].astype(np.float64)
    colour = np.median(inside, axis=0)
    near = np.linalg.norm(inside - colour, axis=1) <= _FLAT_LIMIT
    if near.mean() < _FLAT_SHARE:
        return None
    contrast = float(np.median(apart[_core(region)]))
    around = apart[_grown(region)]
    wide = np.count_nonzero(around > contrast / 4)
    if np.count_nonzero(around > contrast * 3 / 4) < _SHARP_SHARE * wide:
        return None
    mask = region & (apart > max(contrast / 2, _OBJECT_CONTRAST))
    rows, columns = np.nonzero(mask)
    pad = 4 + int(0.6 * max(np.ptp(rows), np.ptp(columns)))
    top, left = max(rows.min() - pad, 0), max(columns.min() - pad, 0)
    fits = _fits(mask[top : rows.max() + pad + 1, left : columns.max() + pad + 1])
    shape, *others = sorted(fits, key=lambda s: -fits[s][0])
    cover, x, y, radius = fits[shape]
    clear = cover >= _MIN_COVER and all(cover - fits[s][0] >= _MIN_LEAD for s in others)
    return Found(
        colour=_nearest(colour, COLOURS, _COLOUR_LIMIT),
        shape=shape if clear else None,
        x=float(x + left) / width,
        y=float(y + top) / height,
        radius=radius / min(height, width),
        cover=cover,
    )


def look(frame: Pixels, *, limit: int = 2) -> tuple[str | None, tuple[Found, ...]]:
    """Background and objects of one frame.

    Args:
        frame: uint8 [H, W, 3].
        limit: Objects wanted at most; a frame with more regions of a noticeable size shows none,
            as does one with a region that is not clear.
    """
    rim = _rim(frame)
    apart = _distance(frame, rim)
    other = apart > _FLAT_LIMIT
    if np.count_nonzero(other) > (1 - _MIN_BACKGROUND) * other.size:
        return None, ()
    background = _nearest(rim, BACKGROUNDS, _BACKGROUND_LIMIT)
    labels = components(apart > _OBJECT_CONTRAST)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    least = _MIN_AREA * min(other.shape) ** 2
    order = [int(i) for i in np.argsort(-areas) if areas[i] >= least]
    stray = np.count_nonzero(other & ~_grown(np.isin(labels, order)))
    if len(order) > _MAX_REGIONS or stray > _MAX_STRAY * other.size:
        return None, ()
    if not order or len(order) > limit or stray >= least:
        return background, ()
    found = [_object(frame, apart, labels == i) for i in order]
    things = tuple(f for f in found if f is not None)
    return background, things if len(things) == len(order) else ()


def _steady(values: Sequence[str | None]) -> str | None:
    """The one value of a clip's frames, if none says another and few are unclear."""
    named = {v for v in values if v is not None}
    clear = sum(v is not None for v in values)
    few = (len(values) - clear) * _UNCLEAR <= len(values)
    return named.pop() if len(named) == 1 and few else None


def _even(values: Reals, times: Reals) -> bool:
    """Whether values go from the first to the last at an even pace, without jump or return."""
    way = (values - values[0]) / (values[-1] - values[0])
    ideal = (times - times[0]) / (times[-1] - times[0])
    steps, ideal_steps = np.diff(way), np.diff(ideal)
    return (
        float(np.abs(way - ideal).max()) <= _EVEN_LIMIT
        and float(steps.min()) >= -_BACK_LIMIT
        and bool((steps <= _JUMP * ideal_steps + 0.05).all())
    )


def _motion(track: Sequence[tuple[int, Found]], height: int, width: int) -> str | None:
    """Names a movement from a clip's (frame number, object) pairs, in time order."""
    if len(track) < 4:
        return None
    short = min(height, width)
    times = np.asarray([at for at, _ in track], np.float64)
    radius = np.asarray([f.radius for _, f in track])
    path = np.asarray([(f.x * width / short, f.y * height / short) for _, f in track])
    ends = np.mean(path[-2:], axis=0) - np.mean(path[:2], axis=0)
    growth = float(np.mean(radius[-2:]) / np.mean(radius[:2]))
    strays = float(np.abs(path - np.median(path, axis=0)).max())
    if growth > _GROWTH_LIMIT or growth < 1 / _GROWTH_LIMIT:
        if strays > 2 * _STILL_LIMIT or not _even(radius, times):
            return None
        return "growing" if growth > 1 else "shrinking"
    if float(np.ptp(radius)) > (_GROWTH_LIMIT - 1) * radius.min():
        return None
    if strays < _STILL_LIMIT:
        return "still" if radius.max() < _STEADY_SIZE * radius.min() else None
    main = int(np.abs(ends).argmax())
    aside = path[:, 1 - main]
    if abs(ends[main]) < _MOVING_LIMIT:
        return None
    if np.ptp(aside) > min(0.5 * abs(ends[main]), _MOVING_LIMIT):
        return None
    if not _even(path[:, main], times):
        return None
    names = (("left", "right"), ("up", "down"))
    return names[main][int(ends[main] > 0)]


def _size(radius: float) -> str | None:
    names = list(SIZES)
    bounds = [0.08, math.sqrt(0.13 * 0.20), math.sqrt(0.20 * 0.29), 0.42]
    for name, low, high in zip(names, bounds[:-1], bounds[1:], strict=True):
        if low <= radius < high:
            return name
    return None


def _position(x: float, y: float) -> str | None:
    dx, dy = x - 0.5, y - 0.5
    if max(abs(dx), abs(dy)) < _POSITION_LIMIT:
        return "center"
    if min(abs(dx), abs(dy)) > 0.6 * max(abs(dx), abs(dy)):  # a corner; drawn: at most 0.25
        return None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "bottom" if dy > 0 else "top"


def _see_clip(frames: Pixels) -> Seen:
    count, height, width = frames.shape[:3]
    moments = np.linspace(0, count - 1, min(_CLIP_SAMPLES, count), dtype=np.float64)
    shown = sorted({round(i) for i in moments.tolist()})
    looks = [look(frames[i], limit=1) for i in shown]
    background = _steady([b for b, _ in looks])
    track = [(i, things[0]) for i, (_, things) in zip(shown, looks, strict=True) if things]
    few = (len(shown) - len(track)) * _MISSING <= len(shown)
    if not (few and looks[0][1] and looks[-1][1]):
        return Seen(background=background, things=())
    found = [f for _, f in track]
    thing = Found(
        colour=_steady([f.colour for f in found]),
        shape=_steady([f.shape for f in found]),
        x=float(np.median([f.x for f in found])),
        y=float(np.median([f.y for f in found])),
        radius=float(np.median([f.radius for f in found])),
        cover=float(np.median([f.cover for f in found])),
    )
    motion = _motion(track, height, width)
    size = _size(thing.radius) if motion not in ("growing", "shrinking", None) else None
    position = _position(thing.x, thing.y) if motion == "still" else None
    return Seen(background=background, things=(thing,), motion=motion, size=size, position=position)


def see(frames: Pixels) -> Seen:
    """Reads what frames show.

    Args:
        frames: uint8 [F, H, W, 3]; F = 1 is a single frame.
    """
    if len(frames) > 1:
        return _see_clip(frames)
    background, things = look(frames[0])
    if len(things) != 1:
        return Seen(background=background, things=things)
    one = things[0]
    return Seen(
        background=background,
        things=things,
        size=_size(one.radius),
        position=_position(one.x, one.y),
    )


def _relation(first: Found, second: Found, height: int, width: int) -> str | None:
    dx, dy = (second.x - first.x) * width, (second.y - first.y) * height
    if abs(dx) > 2 * abs(dy):
        return "left of" if dx > 0 else None
    if abs(dy) > 2 * abs(dx):
        return "above" if dy > 0 else None
    return None


def _judge_pair(scene: Scene, seen: Seen, height: int, width: int) -> dict[str, bool]:
    asked = scene.things
    by_colour = {t.colour: t for t in seen.things}
    pair = [by_colour.get(t.colour) for t in asked]
    first, second = pair
    placed = first is not None and second is not None and len(seen.things) == 2
    relation = _relation(first, second, height, width) if placed and first and second else None
    return {
        "colour": placed,
        "shape": all(
            f is not None and f.shape == t.shape for f, t in zip(pair, asked, strict=True)
        ),
        "relation": relation == scene.relation,
    }


def judge(
    scene: Scene, seen: Seen, *, named: frozenset[str], height: int, width: int
) -> dict[str, bool]:
    """Whether each attribute that was asked for is what the file shows.

    Args:
        scene: What was asked for.
        seen: What the file shows.
        named: Attributes that the prompt names; others are free and not judged.
        height: Of the frames, in pixels.
        width: Of the frames, in pixels.

    Returns:
        One truth value for each named attribute.
    """
    verdict = {"background": seen.background == scene.background}
    if scene.relation:
        verdict |= _judge_pair(scene, seen, height, width)
    else:
        one = seen.things[0] if len(seen.things) == 1 else None
        verdict |= {
            "colour": one is not None and one.colour == scene.things[0].colour,
            "shape": one is not None and one.shape == scene.things[0].shape,
            "size": seen.size == scene.things[0].size and seen.size is not None,
            "position": seen.position == scene.position and seen.position is not None,
            "motion": seen.motion == scene.motion and seen.motion in MOTIONS,
        }
    return {name: verdict[name] for name in sorted(named)}
