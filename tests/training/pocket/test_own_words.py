"""The prompts in people's own words load, cover the drawn world and can be met."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from ourvidz.perf.quality.pocket import detector
from training.pocket import own_words
from training.pocket.world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    draw_scene,
)

_HEIGHT, _WIDTH = 160, 96


def _entry(**changes: Any) -> dict[str, Any]:
    entry = {
        "prompt": "red circle going left",
        "kind": "video",
        "style": "plain",
        "things": [{"shape": "circle", "colour": "red", "size": None}],
        "background": None,
        "motion": "left",
        "position": None,
        "relation": None,
    }
    return entry | changes


def test_counts() -> None:
    assert Counter(w.kind for w in own_words.load()) == {"video": 160, "image": 120, "pair": 120}
    for kind in own_words.KINDS:
        styles = Counter(w.style for w in own_words.load(kind))
        assert styles["plain"] == styles["loose"]


def test_no_prompt_twice() -> None:
    prompts = [" ".join(w.prompt.lower().split()) for w in own_words.load()]
    assert len(set(prompts)) == len(prompts)
    assert all(2 <= len(p.split()) <= 60 for p in prompts)


def test_every_value_occurs() -> None:
    said: dict[str, set[str | None]] = {}
    for words in own_words.load():
        for field in words.named & {"background", "motion", "position", "relation"}:
            said.setdefault(f"{words.kind} {field}", set()).add(getattr(words.scene, field))
        for field in words.named & {"shape", "colour", "size"}:
            values = {getattr(t, field) for t in words.scene.things}
            said.setdefault(f"{words.kind} {field}", set()).update(values)
    for kind in own_words.KINDS:
        assert said[f"{kind} shape"] == set(SHAPES)
        assert said[f"{kind} colour"] == set(COLOURS)
        assert said[f"{kind} background"] == set(BACKGROUNDS)
    for kind in ("video", "image"):
        assert said[f"{kind} size"] == set(SIZES)
        assert said[f"{kind} position"] == set(POSITIONS)
    assert said["video motion"] == set(MOTIONS)
    assert said["pair relation"] == set(RELATIONS)


def test_drawn_truth_is_judged_right() -> None:
    sample = random.Random(0).sample(own_words.load(), 40)
    assert {w.kind for w in sample} == set(own_words.KINDS)
    for words in sample:
        frames = 9 if words.kind == "video" else 1
        drawn = draw_scene(words.scene, num_frames=frames, height=_HEIGHT, width=_WIDTH, seed=1)
        seen = detector.see(drawn)
        verdict = detector.judge(words.scene, seen, named=words.named, height=_HEIGHT, width=_WIDTH)
        assert set(verdict) == words.named
        assert all(verdict.values()), (words.prompt, verdict)


def test_what_is_not_said_is_filled_in_and_not_judged() -> None:
    words = own_words.parse(_entry(motion=None))
    assert words.named == {"colour", "shape"}
    assert words.scene.motion == "still"
    pair = [{"shape": "star", "colour": None}, {"shape": "star", "colour": "red"}]
    words = own_words.parse(_entry(kind="pair", motion=None, relation="above", things=pair))
    assert words.named == {"shape", "relation"}
    assert len({t.colour for t in words.scene.things}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "film"},
        {"style": None},
        {"background": "teal"},
        {"motion": "sideways"},
        {"position": "left"},
        {"relation": "above"},
        {"things": []},
        {"things": [{"shape": "blob", "colour": "red", "size": None}]},
        {"motion": "growing", "things": [{"shape": "star", "colour": "red", "size": "small"}]},
    ],
)
def test_faults_name_the_prompt(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="red circle going left"):
        own_words.parse(_entry(**changes))


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="film"):
        own_words.load("film")
