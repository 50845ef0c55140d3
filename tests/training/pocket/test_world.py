"""The renderer draws what its scenes say, and the held-out split is stable."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import torch

from ourvidz.perf.quality.pocket.detector import components
from training.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Scene,
    Thing,
    draw,
    draw_scene,
    is_held_out,
    place,
    sample_scene,
    scene_key,
    signed_distance,
)


def _scene(shape: str = "circle", *, motion: str | None = None, position: str = "center") -> Scene:
    thing = Thing(shape=shape, colour="red", size="medium")
    return Scene(things=(thing,), background="black", motion=motion, position=position)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_one_radius_has_the_same_area(shape: str) -> None:
    line = (torch.arange(400) + 0.5) / 100 - 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    inside = signed_distance(torch.tensor(SHAPES.index(shape)), x, y) < 0

    assert float(inside.sum()) / 100**2 == pytest.approx(math.pi, rel=0.01)


def test_frames_hold_the_named_colours() -> None:
    frames = draw_scene(_scene(), num_frames=1, height=160, width=96)

    assert frames.shape == (1, 160, 96, 3)
    assert tuple(frames[0, 80, 48]) == COLOURS["red"]
    assert tuple(frames[0, 0, 0]) == BACKGROUNDS["black"]


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("left", 1, -1), ("up", 0, -1), ("down", 0, 1)]
)
def test_motion_moves_the_object_over_the_clip(motion: str, axis: int, sign: int) -> None:
    frames = draw_scene(_scene(motion=motion), num_frames=5, height=160, width=96)
    centres = [np.argwhere(f[..., 0] > 120).mean(0)[axis] for f in frames]

    assert np.all(np.diff(centres) * sign > 4)


def test_a_batch_draws_what_single_scenes_draw() -> None:
    scenes = [sample_scene(random.Random(i), video=False) for i in range(6)]
    placed = place(scenes, random.Random(0))
    together = draw(placed, num_frames=1, height=64, width=48)
    alone = torch.cat(
        [
            draw(placed.take(slice(i, i + 1)), num_frames=1, height=64, width=48)
            for i in range(len(scenes))
        ]
    )

    assert torch.equal(together, alone)
    assert together.shape == (6, 3, 1, 64, 48)


def test_times_choose_the_moments_that_are_drawn() -> None:
    placed = place([_scene(motion="right")], random.Random(0))
    whole = draw(placed, num_frames=5, height=64, width=48)
    last = draw(placed, num_frames=1, height=64, width=48, times=torch.ones(1))

    assert torch.allclose(whole[:, :, -1:], last)


def test_splits_do_not_share_combinations() -> None:
    rng = random.Random(1)
    kept = {scene_key(sample_scene(rng, video=True, held_out=True)) for _ in range(300)}
    trained = {scene_key(sample_scene(rng, video=True)) for _ in range(3000)}

    assert kept.isdisjoint(trained)
    assert is_held_out(sample_scene(rng, video=False, held_out=True))


@pytest.mark.parametrize("relation", ["left of", "above"])
@pytest.mark.parametrize(("height", "width"), [(160, 96), (128, 128), (96, 160)])
def test_two_objects_never_touch(relation: str, height: int, width: int) -> None:
    for first, second in itertools.product(SHAPES, SHAPES):
        pair = (Thing(shape=first, colour="red"), Thing(shape=second, colour="cyan"))
        scene = Scene(things=pair, background="black", relation=relation)
        for seed in range(4):
            frame = draw_scene(scene, num_frames=1, height=height, width=width, seed=seed)[0]
            regions = components(frame.max(axis=2) > 60)

            large = np.bincount(regions.ravel())[1:] > 20  # a star's tips may stand alone

            assert large.sum() == 2, (first, second, seed)
