"""Proves the judge: what `detector` says of drawn truth, of lies, of damaged truth and of noise.

    python -m training.pocket.detector_truth --count 3000 --clips 600 --record FILE.json

Everything goes through real files, written by the product's own writers (PNG; MP4 with H.264 4:2:0)
and read back. Shares come with 95 % Wilson intervals:

- ``reads_*``: drawn scenes, share of each attribute (and of all at once) that is read rightly;
- ``rejects_*``: the same files held against a scene with this one attribute changed: share of such
  lies that are called false (for pairs of objects also the two exchanged, ``rejects_order``);
- ``catches`` and ``keeps``: scenes with one fault of `FAULTS`: share in which everything that the
  fault spoils is called false, and share in which everything else is still called right;
- ``sees_object``, ``grants_object``, ``grants_background``: noise held against random scenes: share
  with any object, with any attribute of the object called right, with the background called right.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter
from ourvidz.perf.quality.pocket import detector
from ourvidz.perf.quality.pocket.detector import Pixels
from training.pocket.bank import start_workers
from training.pocket.judging import wilson
from training.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Placement,
    Scene,
    draw,
    place,
    sample_scene,
)

FPS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Files of one size; a single frame is a PNG, more are an MP4."""

    num_frames: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """What the record calls it."""
        size = f"{self.height}x{self.width}"
        return f"clip_{self.num_frames}x{size}" if self.num_frames > 1 else f"frame_{size}"


FRAMES: Final = tuple(
    Kind(num_frames=1, height=h, width=w) for h, w in ((160, 96), (128, 80), (128, 128), (96, 160))
)
CLIPS: Final = tuple(
    Kind(num_frames=n, height=h, width=w) for h, w in ((160, 96), (128, 80)) for n in (33, 17)
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One yes or no (1.0 or 0.0), or one time in ms."""

    case: str
    metric: str
    value: float


# Real files.


def through_file(frames: Pixels, folder: Path) -> Pixels:
    """Writes frames uint8 [F, H, W, 3] as the product does, and reads them back."""
    if len(frames) == 1:
        path = folder / "frame.png"
        write_png(path, frames[0])
        return detector.read_frames(path)
    path = folder / "clip.mp4"
    height, width = frames.shape[1:3]
    with VideoWriter(path, width=width, height=height, fps=FPS, num_threads=1) as writer:
        for frame in frames:
            writer.write(frame)
    return detector.read_frames(path)


def see_file(frames: Pixels) -> tuple[detector.Seen, float]:
    """What the judge sees in frames after a file, and the processor time of seeing in ms."""
    with tempfile.TemporaryDirectory() as folder:
        read = through_file(frames, Path(folder))
    begin = time.process_time()
    seen = detector.see(read)
    return seen, 1000 * (time.process_time() - begin)


# Truth and lies.


def all_named(scene: Scene) -> frozenset[str]:
    """Every attribute that a scene has."""
    named = {"colour", "shape", "background"}
    named |= {name for name in ("relation", "position", "motion") if getattr(scene, name)}
    return frozenset(named | ({"size"} if scene.things[0].size else set()))


def random_scene(rng: random.Random, *, video: bool) -> Scene:
    """A scene of either split."""
    return sample_scene(rng, video=video, held_out=rng.random() < 0.5)


def _other(rng: random.Random, values: Sequence[str], *taken: str | None) -> str:
    return rng.choice([v for v in values if v not in taken])


def lies(scene: Scene, rng: random.Random) -> Iterator[tuple[str, str, Scene]]:
    """Changes each attribute in turn: (lie, attribute that must be called false, changed scene)."""
    yield (
        "background",
        "background",
        replace(scene, background=_other(rng, tuple(BACKGROUNDS), scene.background)),
    )
    colours = [t.colour for t in scene.things]
    for i, thing in enumerate(scene.things):
        for name, value in (
            ("colour", _other(rng, tuple(COLOURS), *colours)),
            ("shape", _other(rng, SHAPES, thing.shape)),
        ):
            things = list(scene.things)
            things[i] = replace(thing, **{name: value})
            yield name, name, replace(scene, things=tuple(things))
    if scene.things[0].size:
        size = _other(rng, tuple(SIZES), scene.things[0].size)
        yield "size", "size", replace(scene, things=(replace(scene.things[0], size=size),))
    for name, values in (("position", POSITIONS), ("motion", MOTIONS), ("relation", RELATIONS)):
        value = getattr(scene, name)
        if value:
            yield name, name, replace(scene, **{name: _other(rng, values, value)})
    if scene.relation:
        yield "order", "relation", replace(scene, things=scene.things[::-1])


def judge(
    scene: Scene, seen: detector.Seen, kind: Kind, named: frozenset[str] | None = None
) -> dict[str, bool]:
    """The judge's verdict on a scene's attributes (all of them if None)."""
    named = all_named(scene) if named is None else named
    return detector.judge(scene, seen, named=named, height=kind.height, width=kind.width)


def truth_answers(kind: Kind, seed: str) -> list[Answer]:
    """Draws one scene, and asks the judge about it and about lies."""
    rng = random.Random(seed)
    scene = random_scene(rng, video=kind.num_frames > 1)
    seen, spent_ms = see_file(drawn(place([scene], rng), kind))
    verdict = judge(scene, seen, kind)
    answers = {f"reads_{name}": right for name, right in verdict.items()}
    answers["reads_all"] = all(verdict.values())
    told = [Answer(case=kind.name, metric=m, value=float(v)) for m, v in answers.items()]
    for lie, attribute, changed in lies(scene, rng):
        fooled = judge(changed, seen, kind, frozenset({attribute}))[attribute]
        told.append(Answer(case=kind.name, metric=f"rejects_{lie}", value=float(not fooled)))
    return [*told, Answer(case=kind.name, metric="see_ms", value=spent_ms)]


# Damaged truth.


def drawn(placement: Placement, kind: Kind, times: Tensor | None = None) -> Pixels:
    """Draws one placed scene as uint8 [F, H, W, 3]."""
    frames, height, width = kind.num_frames, kind.height, kind.width
    pixels = draw(placement, num_frames=frames, height=height, width=width, times=times)[0]
    return ((pixels + 1) * 127.5).round().byte().permute(1, 2, 3, 0).contiguous().numpy()


def _drawn_twice(
    scene: Scene, other: Scene, kind: Kind, rng: random.Random
) -> tuple[Pixels, Pixels]:
    """Two scenes drawn at the same place."""
    seed = rng.random()
    first, second = (drawn(place([s], random.Random(seed)), kind) for s in (scene, other))
    return first, second


def _recoloured(scene: Scene, rng: random.Random) -> Scene:
    colour = _other(rng, tuple(COLOURS), scene.things[0].colour)
    return replace(scene, things=(replace(scene.things[0], colour=colour),))


def _blurred(frames: Pixels, sigma: float) -> Pixels:
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    out = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    batch, _, height, width = out.shape
    out = out.reshape(-1, 1, height, width)
    out = functional.conv2d(functional.pad(out, (reach, reach, 0, 0), "replicate"), kernel)
    out = functional.pad(out, (0, 0, reach, reach), "replicate")
    out = functional.conv2d(out, kernel.transpose(2, 3)).reshape(batch, 3, height, width)
    return out.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def slightly_blurred(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """Blur with a standard deviation of 0.5 to 1 px."""
    return _blurred(drawn(place([scene], rng), kind), rng.uniform(0.5, 1.0))


def heavily_blurred(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """Blur with a standard deviation of 0.4 to 0.6 radii."""
    placed = place([scene], rng)
    radius = float(placed.radius[0, 0].mean()) * min(kind.height, kind.width)
    return _blurred(drawn(placed, kind), rng.uniform(0.4, 0.6) * radius)


def wobbling(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """Smooth random displacement of at most 1 to 2 px, new in every frame."""
    frames = torch.from_numpy(drawn(place([scene], rng), kind)).permute(0, 3, 1, 2).float()
    count, _, height, width = frames.shape
    source = torch.Generator().manual_seed(rng.getrandbits(32))
    coarse = torch.randn((count, 2, height // 12, width // 12), generator=source)
    shift = functional.interpolate(coarse, (height, width), mode="bicubic")
    shift = shift / shift.abs().amax((1, 2, 3), keepdim=True) * rng.uniform(1.0, 2.0)
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack(
        (
            (xs + shift[:, 0] + 0.5) / width * 2 - 1,
            (ys + shift[:, 1] + 0.5) / height * 2 - 1,
        ),
        dim=-1,
    )
    moved = functional.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    return moved.round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def merged(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """One half of the object, left or lower, in another colour."""
    seed = rng.random()
    other = _recoloured(scene, rng)
    placed = [place([s], random.Random(seed)) for s in (scene, other)]
    first, second = (drawn(p, kind) for p in placed)
    x, y = placed[0].centre[0, 0, 0].tolist()
    if rng.random() < 0.5:
        at = round(x * kind.width)
        return np.concatenate([second[:, :, :at], first[:, :, at:]], axis=2)
    at = round(y * kind.height)
    return np.concatenate([first[:, :at], second[:, at:]], axis=1)


def _with_ghost(scene: Scene, kind: Kind, rng: random.Random, opacity: float) -> Pixels:
    """A second small object in the corner that is furthest from the first."""
    placed = place([scene], rng)
    x, y = placed.centre[0, 0].mean(dim=0).tolist()
    corner = torch.tensor([0.84 if x < 0.5 else 0.16, 0.86 if y < 0.5 else 0.14])
    colour = COLOURS[_other(rng, tuple(COLOURS), scene.things[0].colour)]
    placed.centre[0, 1] = corner
    placed.radius[0, 1] = rng.uniform(0.1, 0.13)
    placed.colour[0, 1] = torch.lerp(placed.background[0], torch.tensor(colour) / 255, opacity)
    return drawn(placed, kind)


def with_ghost(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """A second object in a corner; in a clip, in half of the frames."""
    seed = rng.random()
    frames = _with_ghost(scene, kind, random.Random(seed), 1.0)
    if kind.num_frames > 1:
        clean = drawn(place([scene], random.Random(seed)), kind)
        begin = rng.randrange(kind.num_frames // 2)
        end = begin + kind.num_frames // 2
        frames = np.concatenate([clean[:begin], frames[begin:end], clean[end:]])
    return frames


def with_faint_ghost(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """A second object in a corner, of 35 to 60 % opacity."""
    return _with_ghost(scene, kind, rng, rng.uniform(0.35, 0.6))


def between_colours(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The colour lies half way (40 to 60 %) between two of the palette."""
    first, second = _drawn_twice(scene, _recoloured(scene, rng), kind, rng)
    return _mixed(first, second, np.full(len(first), rng.uniform(0.4, 0.6)))


def _mixed(first: Pixels, second: Pixels, share: np.ndarray) -> Pixels:
    """Blends two clips, frame by frame, with these shares [F] of the second."""
    weight = share[:, None, None, None]
    return (first * (1 - weight) + second * weight).round().astype(np.uint8)


def _cut(first: Pixels, second: Pixels, rng: random.Random) -> Pixels:
    """The first clip up to a moment between 25 and 75 %, then the second."""
    at = round(rng.uniform(0.25, 0.75) * len(first))
    return np.concatenate([first[:at], second[at:]])


def changing_colour(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object takes another colour at once."""
    return _cut(*_drawn_twice(scene, _recoloured(scene, rng), kind, rng), rng)


def drifting_colour(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object's colour goes evenly to another of the palette."""
    first, second = _drawn_twice(scene, _recoloured(scene, rng), kind, rng)
    return _mixed(first, second, np.linspace(0, 1, len(first)))


def changing_shape(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object takes another shape at once."""
    shape = _other(rng, SHAPES, scene.things[0].shape)
    other = replace(scene, things=(replace(scene.things[0], shape=shape),))
    return _cut(*_drawn_twice(scene, other, kind, rng), rng)


def morphing_shape(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object's shape fades evenly into another."""
    shape = _other(rng, SHAPES, scene.things[0].shape)
    other = replace(scene, things=(replace(scene.things[0], shape=shape),))
    first, second = _drawn_twice(scene, other, kind, rng)
    return _mixed(first, second, np.linspace(0, 1, len(first)))


def changing_background(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The background takes another colour at once."""
    other = replace(scene, background=_other(rng, tuple(BACKGROUNDS), scene.background))
    return _cut(*_drawn_twice(scene, other, kind, rng), rng)


def vanishing(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object is gone in the last 10 to 30 % of the clip."""
    frames = drawn(place([scene], rng), kind)
    gone = max(1, round(rng.uniform(0.1, 0.3) * len(frames)))
    frames[-gone:] = BACKGROUNDS[scene.background]
    return frames


def teleporting(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object jumps by 0.25 to 0.35 of the shorter side between 25 and 75 % of the clip."""
    placed = place([scene], rng)
    first = drawn(placed, kind)
    axis = rng.randrange(2)
    length = (kind.width, kind.height)[axis]
    jump = rng.uniform(0.25, 0.35) * min(kind.height, kind.width) / length
    end = float(placed.centre[0, 0, 1, axis])  # away from there, so that it stays in the frame
    placed.centre[0, 0, :, axis] += jump if end < 0.5 else -jump
    return _cut(first, drawn(placed, kind), rng)


def _warped(
    warp: Callable[[Tensor], Tensor], scene: Scene, kind: Kind, rng: random.Random
) -> Pixels:
    return drawn(place([scene], rng), kind, times=warp(torch.linspace(0, 1, kind.num_frames)))


def skipping(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object leaps over 40 % of its way at a moment between 25 and 75 %."""
    at = rng.uniform(0.25, 0.75)
    return _warped(lambda t: torch.where(t < at, 0.6 * t, 0.4 + 0.6 * t), scene, kind, rng)


def freezing(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object stops for good at a moment between 30 and 60 %."""
    at = rng.uniform(0.3, 0.6)
    return _warped(lambda t: t.clamp(max=at), scene, kind, rng)


def arriving_early(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object goes all its way in the first 30 to 60 % and stays."""
    at = rng.uniform(0.3, 0.6)
    return _warped(lambda t: (t / at).clamp(max=1), scene, kind, rng)


def turning_back(scene: Scene, kind: Kind, rng: random.Random) -> Pixels:
    """The object goes its way and turns back at a moment between 50 and 75 %."""
    at = rng.uniform(0.5, 0.75)
    return _warped(lambda t: 1 - (t / at - 1).abs(), scene, kind, rng)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        make: Draws a scene of one object with this fault.
        spoils: Attributes that the judge must call false.
        frames: Whether single frames have it.
        clips: Whether clips have it.
        moving: Whether only clips have it in which something moves.
        free: Attributes about which the judge may say either.
    """

    make: Callable[[Scene, Kind, random.Random], Pixels]
    spoils: frozenset[str]
    frames: bool = False
    clips: bool = False
    moving: bool = False
    free: frozenset[str] = frozenset()


_OBJECT: Final = frozenset({"colour", "shape", "size", "position", "motion"})
_GROUND: Final = frozenset({"background"})
_COLOUR, _SHAPE, _MOTION = (frozenset({name}) for name in ("colour", "shape", "motion"))
# A place and size are read only of what is seen to rest or to drift.
_REST: Final = frozenset({"size", "position"})
_GROWS: Final = frozenset({"size", "position", "motion"})
FAULTS: Final[dict[str, Fault]] = {
    "slight_blur": Fault(make=slightly_blurred, spoils=frozenset(), frames=True, clips=True),
    "wobble": Fault(make=wobbling, spoils=frozenset(), frames=True, clips=True),
    "heavy_blur": Fault(make=heavily_blurred, spoils=_OBJECT, frames=True, free=_GROUND),
    "merged": Fault(make=merged, spoils=_OBJECT, frames=True),
    "ghost": Fault(make=with_ghost, spoils=_OBJECT, frames=True, clips=True),
    "faint_ghost": Fault(make=with_faint_ghost, spoils=_OBJECT, frames=True),
    # What is no palette colour may be too close to the background to be an object.
    "between_colours": Fault(
        make=between_colours, spoils=_COLOUR, free=_GROWS | _SHAPE, frames=True
    ),
    "colour_change": Fault(make=changing_colour, spoils=_COLOUR, clips=True),
    "colour_drift": Fault(make=drifting_colour, spoils=_COLOUR, free=_GROWS | _SHAPE, clips=True),
    "shape_change": Fault(make=changing_shape, spoils=_SHAPE, free=_GROWS, clips=True),
    "shape_morph": Fault(make=morphing_shape, spoils=_SHAPE, free=_OBJECT, clips=True),
    "background_change": Fault(make=changing_background, spoils=_GROUND, clips=True),
    "vanish": Fault(make=vanishing, spoils=_OBJECT, clips=True),
    "teleport": Fault(make=teleporting, spoils=_MOTION, free=_REST, clips=True),
    "skip": Fault(make=skipping, spoils=_MOTION, free=_REST, moving=True),
    "freeze": Fault(make=freezing, spoils=_MOTION, free=_REST, moving=True),
    "early_arrival": Fault(make=arriving_early, spoils=_MOTION, free=_REST, moving=True),
    "turn": Fault(make=turning_back, spoils=_MOTION, free=_REST, moving=True),
}


def fault_answers(name: str, kind: Kind, seed: str) -> list[Answer]:
    """Draws one scene with a fault, and asks the judge about it."""
    rng, fault = random.Random(seed), FAULTS[name]
    scene = random_scene(rng, video=kind.num_frames > 1)
    while len(scene.things) > 1 or (fault.moving and scene.motion == "still"):
        scene = random_scene(rng, video=kind.num_frames > 1)
    verdict = judge(scene, see_file(fault.make(scene, kind, rng))[0], kind)
    case = f"{name}_{'clip' if kind.num_frames > 1 else 'frame'}"
    told = []
    if fault.spoils:
        caught = not any(right for k, right in verdict.items() if k in fault.spoils)
        told.append(Answer(case=case, metric="catches", value=float(caught)))
    kept = [right for k, right in verdict.items() if k not in fault.spoils | fault.free]
    return [*told, Answer(case=case, metric="keeps", value=float(all(kept)))] if kept else told


# Noise.


def _uniform(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    return source.integers(0, 256, (height, width, 3))


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(height)[:, None, None] / height, np.arange(width)[None, :, None] / width


def _blobs(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    """One to four soft spots of random colours on a random plain ground."""
    y, x = _grid(height, width)
    out = source.uniform(0, 255, 3) * np.ones((height, width, 1))
    for _ in range(source.integers(1, 5)):
        at, sigma = source.uniform(0, 1, 2), source.uniform(0.05, 0.25)
        spot = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * sigma**2))
        out = out + (source.uniform(0, 255, 3) - out) * spot
    return out


def _gradient(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    """From one random colour to another along a random direction."""
    y, x = _grid(height, width)
    angle = source.uniform(0, 2 * np.pi)
    way = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    way = (way - way.min()) / np.ptp(way)
    first, second = source.uniform(0, 255, (2, 3))
    return first + (second - first) * way


def _checkers(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    """Two random colours in squares of 2 to 40 px."""
    size, shift = source.integers(2, 41), source.integers(0, 40, 2)
    rows, columns = (np.arange(height) + shift[0]) // size, (np.arange(width) + shift[1]) // size
    odd = ((rows[:, None] + columns[None]) % 2)[..., None]
    first, second = source.uniform(0, 255, (2, 3))
    return first + (second - first) * odd


def _constant(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    return source.uniform(0, 255, 3) * np.ones((height, width, 1))


def _one_over_f(height: int, width: int, source: np.random.Generator) -> np.ndarray:
    """Amplitude falls with frequency, as in photographs; random mean and contrast."""
    reach = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    reach[0, 0] = np.inf
    phase = np.exp(2j * np.pi * source.uniform(size=(3, *reach.shape)))
    waves = np.fft.irfft2(phase / reach, (height, width)).transpose(1, 2, 0)
    waves = waves / waves.std() * source.uniform(10, 80)
    mixed = waves @ source.normal(size=(3, 3)) / 2 + waves.mean(axis=2, keepdims=True)
    return source.uniform(40, 215, 3) + mixed


NOISE: Final[dict[str, Callable[[int, int, np.random.Generator], np.ndarray]]] = {
    "uniform": _uniform,
    "blobs": _blobs,
    "gradient": _gradient,
    "checkers": _checkers,
    "constant": _constant,
    "one_over_f": _one_over_f,
}


def noise_answers(name: str, kind: Kind, seed: str) -> list[Answer]:
    """Makes one frame of noise, and asks the judge about a random scene."""
    rng = random.Random(seed)
    source = np.random.default_rng(rng.getrandbits(32))
    frame = np.clip(np.rint(NOISE[name](kind.height, kind.width, source)), 0, 255)
    scene = random_scene(rng, video=False)
    seen, _ = see_file(frame.astype(np.uint8)[None])
    verdict = judge(scene, seen, kind)
    told = {
        "sees_object": bool(seen.things),
        "grants_object": any(right for k, right in verdict.items() if k != "background"),
        "grants_background": verdict["background"],
    }
    case = f"noise_{name}"
    return [Answer(case=case, metric=m, value=float(v)) for m, v in told.items()]


# The command.


def tasks(*, frames: int, clips: int, faults: int, noise: int, seed: int) -> list[Task]:
    """Everything to be asked: `frames` and `clips` of each kind, `faults` and `noise` of each."""
    todo: list[Task] = []
    for kinds, count in ((FRAMES, frames), (CLIPS, clips)):
        for kind in kinds:
            todo += [partial(truth_answers, kind, f"{seed}/{kind.name}/{i}") for i in range(count)]
    for name, fault in FAULTS.items():
        for kinds, has in ((FRAMES, fault.frames), (CLIPS, fault.clips or fault.moving)):
            for i in range(faults if has else 0):
                kind = kinds[i % len(kinds)]
                todo.append(partial(fault_answers, name, kind, f"{seed}/{name}/{kind.name}/{i}"))
    for name in NOISE:
        for i in range(noise):
            kind = FRAMES[i % len(FRAMES)]
            todo.append(partial(noise_answers, name, kind, f"{seed}/{name}/{i}"))
    return todo


Task = Callable[[], list[Answer]]


def _ask(task: Task) -> list[Answer]:
    return task()


def results(answers: Sequence[Answer]) -> list[BenchmarkResult]:
    """One figure for each case and metric; truth also over all frames and over all clips."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for answer in answers:
        found[answer.case, answer.metric].append(answer.value)
        if answer.metric.startswith(("reads_", "rejects_")):
            found[answer.case.split("_")[0] + "s", answer.metric].append(answer.value)
    return [_result(case, metric, values) for (case, metric), values in sorted(found.items())]


def _result(case: str, metric: str, values: Sequence[float]) -> BenchmarkResult:
    result = partial(
        BenchmarkResult, case=case, system="pocket-detector", fidelity="exact", metric=metric
    )
    if metric == "see_ms":
        value = round(float(np.median(values)), 2)
        notes = "median processor time of one file, decoding not counted"
        return result(value=value, unit="ms", n=len(values), notes=notes)
    share = sum(values) / len(values)
    low, high = wilson(round(sum(values)), len(values))
    return result(
        value=round(share, 5),
        unit="share",
        n=len(values),
        low=min(round(low, 5), round(share, 5)),
        high=max(round(high, 5), round(share, 5)),
        notes="low and high are the 95 % Wilson interval",
    )


def table(rows: Sequence[BenchmarkResult]) -> str:
    """The figures as text, one line each."""
    lines = []
    for row in rows:
        text = f"{row.case:24s} {row.metric:20s} n={row.n:<6d}"
        if row.low is None or row.high is None:
            lines.append(f"{text} {row.value:8.2f} {row.unit}")
        else:
            lines.append(
                f"{text} {100 * row.value:7.2f} % [{100 * row.low:.2f}-{100 * row.high:.2f}]"
            )
    return "\n".join(lines)


def main() -> None:
    """Asks, prints and records."""
    parser = argparse.ArgumentParser(description="Prove the judge on truth, lies and noise.")
    parser.add_argument("--count", type=int, default=200, help="single frames of each size")
    parser.add_argument("--clips", type=int, help="clips of each kind; a fifth of --count")
    parser.add_argument("--faults", type=int, help="files of each fault; a fifth of --count")
    parser.add_argument("--noise", type=int, help="files of each noise; a fifth of --count")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--record", type=Path, help="benchmark record to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    fifth = max(1, options.count // 5)
    todo = tasks(
        frames=options.count,
        clips=fifth if options.clips is None else options.clips,
        faults=fifth if options.faults is None else options.faults,
        noise=fifth if options.noise is None else options.noise,
        seed=options.seed,
    )
    pool = start_workers(options.workers)
    told = map(_ask, todo) if pool is None else pool.imap_unordered(_ask, todo, chunksize=8)
    rows = results([answer for answers in told for answer in answers])
    print(table(rows))
    if options.record:
        write_record(options.record, new_record("pocket-detector", rows, now=datetime.now(UTC)))


if __name__ == "__main__":
    main()
