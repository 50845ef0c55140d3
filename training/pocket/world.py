"""The drawn world of the pocket models: coloured shapes that move over plain backgrounds.

A :class:`Scene` says in words what is to be seen. :func:`place` turns scenes into numbers (where,
how large, from when to when), :func:`draw` turns those numbers into pixels. Drawing is vectorised
torch code over analytic signed distance functions, so any batch can be drawn on any device.

Units: centres are fractions of the frame's width and height, radii are fractions of the frame's
shorter side, times run from 0 (first frame) to 1 (last frame). All shapes of one radius have the
same area, that of the circle of this radius, so size is one number whatever the shape.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ourvidz.perf.quality.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
)

HELD_OUT_SHARE: Final = 0.10  # of attribute combinations; these are drawn for evaluation only
PAIR_SHARE: Final = 0.30  # of single frames that show two objects
PAIR_RADIUS: Final = (0.145, 0.185)
GROWTH_RADII: Final = (0.11, 0.33)  # a growing object's first and last radius
_DRIFT: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_POSITION: Final = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}

# Shape constants, for the shape whose area is that of the unit circle (pi).
_SQUARE_HALF: Final = math.sqrt(math.pi) / 2
_TRIANGLE_R: Final = math.sqrt(math.pi / (3 * math.sqrt(3) / 4))
_DIAMOND_RATIO: Final = 0.72  # half width / half height: visibly taller than a turned square
_DIAMOND_HALF_H: Final = math.sqrt(math.pi / (2 * _DIAMOND_RATIO))
_DIAMOND_HALF_W: Final = _DIAMOND_RATIO * _DIAMOND_HALF_H
_STAR_INNER: Final = 0.46  # inner radius / outer radius
_STAR_R: Final = math.sqrt(math.pi / (5 * _STAR_INNER * math.sin(math.pi / 5)))
# Half width of each shape's bounding box, in radii: keeps sideways shapes mostly within the frame.
EXTENT_X: Final[dict[str, float]] = {
    "circle": 1.0,
    "square": _SQUARE_HALF,
    "triangle": _TRIANGLE_R * math.cos(math.pi / 6),
    "star": _STAR_R * math.cos(math.pi / 10),
    "diamond": _DIAMOND_HALF_W,
}
# How far each shape reaches above and below its centre, in radii.
_EXTENT_Y: Final[dict[str, tuple[float, float]]] = {
    "circle": (1.0, 1.0),
    "square": (_SQUARE_HALF, _SQUARE_HALF),
    "triangle": (_TRIANGLE_R, _TRIANGLE_R / 2),
    "star": (_STAR_R, _STAR_R * math.cos(math.pi / 5)),
    "diamond": (_DIAMOND_HALF_H, _DIAMOND_HALF_H),
}
PAIR_GAP: Final = 0.06  # at least this much background between two objects, of the shorter side


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Numbers of a batch of scenes: B scenes of O objects each (radius 0: no such object).

    Attributes:
        shape: int64 [B, O], indices into `SHAPES`.
        colour: float32 [B, O, 3], 0..1.
        background: float32 [B, 3], 0..1.
        centre: float32 [B, O, 2, 2], (start, end) x (x, y), fractions of width and height.
        radius: float32 [B, O, 2], start and end, fractions of the shorter side.
    """

    shape: Tensor
    colour: Tensor
    background: Tensor
    centre: Tensor
    radius: Tensor

    def to(self, device: torch.device | str) -> Placement:
        """Returns the same numbers on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return Placement(**moved)

    def take(self, index: Tensor | slice) -> Placement:
        """Returns the scenes at `index` (int64 [N] or a slice)."""
        return Placement(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def scene_key(scene: Scene) -> str:
    """The combination of attributes that the held-out split is made of."""
    names = [f"{t.colour} {t.shape}" for t in scene.things]
    moves = scene.motion not in (None, "still")
    how = scene.relation or (scene.motion if moves else scene.position)
    kind = "image" if scene.motion is None else "video"
    if len(names) == 1:
        return f"{kind}|{names[0]}|{how}|{scene.background}"
    return f"{kind}|{names[0]}|{how}|{names[1]}"


def is_held_out(scene: Scene) -> bool:
    """Whether this combination of attributes belongs to evaluation (stable over runs)."""
    digest = hashlib.sha256(scene_key(scene).encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _any_scene(rng: random.Random, *, video: bool, pair_share: float) -> Scene:
    background = rng.choice(tuple(BACKGROUNDS))
    shape, colour = rng.choice(SHAPES), rng.choice(tuple(COLOURS))
    size: str | None = rng.choice(tuple(SIZES))
    if video:
        motion = rng.choice(MOTIONS)
        if motion in ("growing", "shrinking"):
            size = None
        position = rng.choice(POSITIONS) if motion == "still" else None
        thing = Thing(shape=shape, colour=colour, size=size)
        return Scene(things=(thing,), background=background, motion=motion, position=position)
    if rng.random() >= pair_share:
        thing = Thing(shape=shape, colour=colour, size=size)
        return Scene(things=(thing,), background=background, position=rng.choice(POSITIONS))
    other = rng.choice([c for c in COLOURS if c != colour])
    pair = (Thing(shape=shape, colour=colour), Thing(shape=rng.choice(SHAPES), colour=other))
    return Scene(things=pair, background=background, relation=rng.choice(RELATIONS))


def sample_scene(
    rng: random.Random, *, video: bool, held_out: bool = False, pair_share: float = PAIR_SHARE
) -> Scene:
    """Draws a random scene of one split.

    Args:
        rng: Source of randomness.
        video: Whether to draw a clip's scene (else a single frame's).
        held_out: Whether to draw from the combinations kept for evaluation.
        pair_share: Share of single frames that show two objects, 0..1.
    """
    while True:
        scene = _any_scene(rng, video=video, pair_share=pair_share)
        if is_held_out(scene) == held_out:
            return scene


def _aside(thing: Thing, radius: float, rng: random.Random) -> float:
    """Distance of a sideways object's centre from the frame's edge, as a fraction of width."""
    inside = EXTENT_X[thing.shape] * radius - 0.04
    return max(rng.uniform(0.22, 0.27), min(inside, 0.36))


def _resting(scene: Scene, radius: float, rng: random.Random) -> tuple[float, float]:
    x, y = 0.5 + rng.uniform(-0.03, 0.03), 0.5 + rng.uniform(-0.03, 0.03)
    dx, dy = _POSITION.get(scene.position or "center", (0, 0))
    if dx:
        x = 0.5 + dx * (0.5 - _aside(scene.things[0], radius, rng))
    if dy:
        y = 0.5 + dy * (0.5 - max(rng.uniform(0.2, 0.26), min(radius, 0.32)))
    return x, y


def _moving(scene: Scene, radius: float, rng: random.Random) -> tuple[float, float, float, float]:
    dx, dy = _DRIFT[scene.motion or ""]
    x, y = 0.5 + rng.uniform(-0.06, 0.06), 0.5 + rng.uniform(-0.08, 0.08)
    if dx:
        reach = 0.5 - _aside(scene.things[0], radius, rng)
        reach = max(reach, 0.18)
        return 0.5 - dx * reach, y, 0.5 + dx * reach, y
    reach = rng.uniform(0.22, 0.30)
    return x, 0.5 - dy * reach, x, 0.5 + dy * reach


def _one(scene: Scene, rng: random.Random) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Start and end centre (x0, y0, x1, y1) and radii of a scene's only object."""
    if scene.motion in ("growing", "shrinking"):
        x, y = 0.5 + rng.uniform(-0.05, 0.05), 0.5 + rng.uniform(-0.08, 0.08)
        small, big = (r * rng.uniform(0.94, 1.06) for r in GROWTH_RADII)
        return (x, y, x, y), (small, big) if scene.motion == "growing" else (big, small)
    radius = SIZES[scene.things[0].size or "medium"] * rng.uniform(0.95, 1.05)
    if scene.motion in _DRIFT:
        return _moving(scene, radius, rng), (radius, radius)
    x, y = _resting(scene, radius, rng)
    return (x, y, x, y), (radius, radius)


def _two(scene: Scene, rng: random.Random) -> list[tuple[tuple[float, ...], tuple[float, float]]]:
    shift = rng.uniform(0.235, 0.255)
    across = 0.5 + rng.uniform(-0.05, 0.05)
    spots, radii = [], []
    for side in (-1, 1):
        radii.append(rng.uniform(*PAIR_RADIUS))
        x, y = across, 0.5 + side * shift
        if scene.relation == "left of":
            x, y = 0.5 + side * shift, 0.5 + rng.uniform(-0.04, 0.04)
        spots.append((x, y, x, y))
    fit = _apart(scene, radii, 2 * shift)
    return [(spot, (r * fit, r * fit)) for spot, r in zip(spots, radii, strict=True)]


def _apart(scene: Scene, radii: list[float], distance: float) -> float:
    """Factor (at most 1) of both radii that leaves a gap between the two objects.

    Args:
        scene: With two things.
        radii: Of both.
        distance: Between their centres; taken as a fraction of the shorter side, which is the
            closest case of all frame shapes.
    """
    first, second = (t.shape for t in scene.things)
    reach = EXTENT_X[first] * radii[0], EXTENT_X[second] * radii[1]
    if scene.relation == "above":
        reach = _EXTENT_Y[first][1] * radii[0], _EXTENT_Y[second][0] * radii[1]
    return min(1.0, (distance - PAIR_GAP) / sum(reach))


def place(scenes: Sequence[Scene], rng: random.Random, *, objects: int = 2) -> Placement:
    """Chooses exact positions, sizes and paths for scenes.

    Args:
        scenes: What to show; B of them.
        rng: Source of randomness (small free variation within what the words allow).
        objects: Object slots in the result, 1 or 2; 1 only if no scene has two things.

    Returns:
        Placement of B scenes on the CPU.
    """
    shape, colour, centre, radius = [], [], [], []
    for scene in scenes:
        spots = [_one(scene, rng)] if len(scene.things) == 1 else _two(scene, rng)
        things = list(scene.things)
        while len(spots) < objects:  # an absent object: radius 0 draws nothing
            spots.append(((0.5, 0.5, 0.5, 0.5), (0.0, 0.0)))
            things.append(scene.things[0])
        shape.append([SHAPES.index(t.shape) for t in things])
        colour.append([COLOURS[t.colour] for t in things])
        centre.append([[s[0][:2], s[0][2:]] for s in spots])
        radius.append([s[1] for s in spots])
    return Placement(
        shape=torch.tensor(shape),
        colour=torch.tensor(colour, dtype=torch.float32) / 255,
        background=torch.tensor([BACKGROUNDS[s.background] for s in scenes]).float() / 255,
        centre=torch.tensor(centre, dtype=torch.float32),
        radius=torch.tensor(radius, dtype=torch.float32),
    )


def _star_distance(x: Tensor, y: Tensor) -> Tensor:
    sector = 2 * math.pi / 5
    angle = torch.atan2(x, -y)  # 0 points up
    angle = (angle - sector * torch.round(angle / sector)).abs()
    reach = torch.sqrt(x * x + y * y)
    along, across = reach * torch.cos(angle), reach * torch.sin(angle)
    inner = _STAR_INNER * _STAR_R
    ex = inner * math.cos(sector / 2) - _STAR_R
    ey = inner * math.sin(sector / 2)
    return ((along - _STAR_R) * ey - across * ex) / math.hypot(ex, ey)


def signed_distance(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to a shape of radius 1 centred at the origin, negative inside.

    Args:
        shape: int64, indices into `SHAPES`, broadcastable to `x`.
        x: Points, rightwards, in radii.
        y: Points, downwards, in radii.

    Returns:
        Distances in radii, of the broadcast shape; exact at edges, a bound beyond corners.
    """
    circle = torch.sqrt(x * x + y * y) - 1
    square = torch.maximum(x.abs(), y.abs()) - _SQUARE_HALF
    side = math.cos(math.pi / 6) * x.abs() - 0.5 * y
    triangle = torch.maximum(side, y) - _TRIANGLE_R / 2
    norm = math.hypot(1 / _DIAMOND_HALF_W, 1 / _DIAMOND_HALF_H)
    diamond = (x.abs() / _DIAMOND_HALF_W + y.abs() / _DIAMOND_HALF_H - 1) / norm
    out = torch.where(shape == 1, square, circle)
    out = torch.where(shape == 2, triangle, out)
    out = torch.where(shape == 3, _star_distance(x, y), out)
    return torch.where(shape == 4, diamond, out)


def draw(
    placement: Placement,
    *,
    num_frames: int,
    height: int,
    width: int,
    times: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draws a batch with anti-aliased edges, on the placement's device.

    Args:
        placement: B scenes.
        num_frames: Frames F to draw (ignored if `times` is given).
        height: Pixels.
        width: Pixels.
        times: float32 [F] or [B, F], moments 0..1 to draw; evenly over the clip if None.
        dtype: Type of the result; coordinates are float32 in any case.

    Returns:
        Pixels [B, 3, F, height, width] in -1..1.
    """
    device = placement.centre.device
    if times is None:
        times = torch.linspace(0, 1, num_frames, device=device) if num_frames > 1 else None
    if times is None:
        times = torch.zeros(1, device=device)
    t = times.expand(placement.shape.shape[0], times.shape[-1])  # [B, F]
    short = float(min(height, width))
    xs = (torch.arange(width, device=device) + 0.5).view(1, 1, 1, width)
    ys = (torch.arange(height, device=device) + 0.5).view(1, 1, height, 1)
    frame = placement.background[:, :, None, None, None].to(dtype)
    frame = frame.expand(-1, -1, t.shape[1], height, width)
    for o in range(placement.shape.shape[1]):
        start, end = placement.centre[:, o, 0, :, None], placement.centre[:, o, 1, :, None]
        centre = start + (end - start) * t[:, None]  # [B, 2, F]
        size = placement.radius[:, o]
        radius = (size[:, :1] + (size[:, 1:] - size[:, :1]) * t) * short  # [B, F] in pixels
        scale = radius.clamp_min(1e-3)[:, :, None, None]
        x = (xs - centre[:, 0, :, None, None] * width) / scale
        y = (ys - centre[:, 1, :, None, None] * height) / scale
        distance = signed_distance(placement.shape[:, o, None, None, None], x, y) * scale
        present = (radius > 0)[:, :, None, None]
        cover = ((0.5 - distance).clamp(0, 1) * present).to(dtype)[:, None]
        colour = placement.colour[:, o, :, None, None, None].to(dtype)
        frame = frame + (colour - frame) * cover
    return frame * 2 - 1


def draw_scene(
    scene: Scene, *, num_frames: int, height: int, width: int, seed: int = 0
) -> np.ndarray:
    """Draws one scene as ordinary frames.

    Returns:
        uint8 [num_frames, height, width, 3].
    """
    placed = place([scene], random.Random(seed))
    pixels = draw(placed, num_frames=num_frames, height=height, width=width)[0]
    return ((pixels + 1) * 127.5).round().byte().permute(1, 2, 3, 0).contiguous().numpy()
