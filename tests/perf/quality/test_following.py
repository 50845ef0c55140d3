"""Plain sentences are read strictly, and drawn files are judged as they were drawn."""

import random

import pytest

from ourvidz.core.errors import InvalidRequest, OutputInvalid
from ourvidz.media.image import write_png
from ourvidz.media.video import VideoWriter
from ourvidz.perf.quality.pocket.following import Following, follow, score
from ourvidz.perf.quality.pocket.prompts import read_prompt
from ourvidz.perf.quality.pocket.world import BACKGROUNDS, Scene, Thing
from ourvidz.perf.stats import wilson_interval
from training.pocket.world import draw_scene, sample_scene

MOTION_WORDS = {
    "left": "moving left",
    "right": "moving to the right",
    "up": "moving up",
    "down": "moving down",
    "still": "standing still",
    "growing": "growing",
    "shrinking": "shrinking",
}
POSITION_WORDS = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "center": "in the center",
}


def words_of(scene):
    first = scene.things[0]
    on = f"on a {scene.background} background"
    if scene.relation:
        other = scene.things[1]
        return (
            f"a {first.colour} {first.shape} {scene.relation} a {other.colour} {other.shape} {on}"
        )
    parts = [first.size, first.colour, first.shape, MOTION_WORDS.get(scene.motion)]
    parts.append(POSITION_WORDS.get(scene.position))
    return " ".join(["a", *(part for part in parts if part), on])


@pytest.mark.parametrize("video", [False, True])
def test_every_scene_of_the_world_is_read_back(video):
    rng = random.Random(3)
    for _ in range(300):
        scene = sample_scene(rng, video=video)
        asked = read_prompt(words_of(scene), is_video=video)
        assert asked.scene == scene, words_of(scene)


def test_what_is_left_open_is_not_named():
    asked = read_prompt("An orange star, growing.", is_video=True)
    assert asked.named == {"colour", "shape", "motion"}
    assert asked.scene == Scene(
        things=(Thing(shape="star", colour="orange"),),
        background=next(iter(BACKGROUNDS)),
        motion="growing",
    )
    assert read_prompt("a red circle on a grey background", is_video=False).scene.background == (
        "gray"
    )


def test_an_image_is_not_asked_for_a_movement():
    asked = read_prompt("a small red circle moving left", is_video=False)
    assert asked.named == {"colour", "shape", "size"}
    assert asked.scene.motion is None


@pytest.mark.parametrize(
    ("prompt", "is_video"),
    [
        ("a tabby cat jumps from a table", True),
        ("a red circle moving left slowly on a black background", True),
        ("a red circle on a green background", False),  # no background of the world
        ("a red circle at the top", True),  # of what moves nobody knows when
        ("a small red circle growing", True),
        ("a red circle left of a red square", False),
        ("a red circle left of a blue square", True),
        ("", False),
    ],
)
def test_what_is_not_understood_word_by_word_is_not_judged(prompt, is_video):
    assert read_prompt(prompt, is_video=is_video) is None


def write(scene, path, *, num_frames=33, height=160, width=96):
    frames = draw_scene(scene, num_frames=num_frames, height=height, width=width, seed=5)
    if num_frames == 1:
        write_png(path, frames[0])
        return path
    with VideoWriter(path, width=width, height=height, fps=16) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_a_drawn_video_follows_its_own_prompt_and_misses_another(tmp_path):
    scene = Scene(
        things=(Thing(shape="circle", colour="red", size="medium"),),
        background="black",
        motion="left",
    )
    path = write(scene, tmp_path / "clip.mp4")
    found = follow("a medium red circle moving left on a black background", path)
    assert found.attributes == dict.fromkeys(
        ("background", "colour", "motion", "shape", "size"), True
    )
    assert found.is_all
    missed = follow("a blue circle moving right on a black background", path)
    assert missed.missed == ("colour", "motion")
    assert follow("a dancer on a stage", path) is None


def test_a_drawn_image_of_two_things_is_judged(tmp_path):
    prompt = "a red circle above a blue square on a white background"
    scene = read_prompt(prompt, is_video=False).scene
    path = write(scene, tmp_path / "pair.png", num_frames=1, height=128, width=128)
    assert follow(prompt, path).is_all
    other = "a blue square above a red circle on a white background"
    assert follow(other, path).missed == ("relation",)


def test_a_score_has_intervals_and_says_what_was_left_out():
    right = Following(attributes={"colour": True, "motion": True})
    half = Following(attributes={"colour": True, "motion": False})
    still = Following(attributes={"colour": False})
    found = score([right, right, half, still, None])
    assert (found.all.hits, found.all.n, found.num_left_out) == (2, 4, 1)
    interval = wilson_interval(2, 4)
    assert (found.all.low, found.all.high) == (interval.low, interval.high)
    assert {n: (s.hits, s.n) for n, s in found.attributes.items()} == {
        "colour": (3, 4),
        "motion": (2, 3),
    }
    assert score([None]).all is None


def test_what_can_not_be_read_is_refused(tmp_path):
    with pytest.raises(OutputInvalid):
        follow("a red circle", tmp_path / "gone.png")
    with pytest.raises(InvalidRequest):
        follow("a red circle", tmp_path / "a.wav")
