"""Captions say what the scene is, and evaluation's wordings never occur in training."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from training.pocket import captions
from training.pocket.captions import (
    caption,
    pairs,
    templates_of,
    typing_habits,
    unconditional,
    words,
)
from training.pocket.world import Scene, Thing, sample_scene


def test_complete_captions_name_every_attribute() -> None:
    thing = Thing(shape="star", colour="cyan", size="large")
    scene = Scene(things=(thing,), background="gray", motion="left")
    worded = caption(scene, random.Random(3), complete=True)

    assert worded.named == {"colour", "shape", "size", "background", "motion"}


def _says(text: str, wordings: Iterable[str]) -> bool:
    return any(re.search(rf"(?<![a-z]){re.escape(w)}(?![a-z])", text) for w in wordings)


def _places(name: str) -> set[str]:
    return set(captions.POSITION_WORDS[name])


@pytest.mark.parametrize("video", [True, False])
def test_what_is_named_is_worded_and_nothing_else(video: bool) -> None:
    rng = random.Random(0)
    for _ in range(400):
        scene = sample_scene(rng, video=video)
        worded = caption(scene, rng, split="eval")
        text, named = worded.text.lower(), worded.named
        for attribute, table, values in (
            ("colour", captions.COLOUR_WORDS, {t.colour for t in scene.things}),
            ("shape", captions.SHAPE_WORDS, {t.shape for t in scene.things}),
            ("size", captions.SIZE_WORDS, {t.size for t in scene.things}),
            ("background", captions.BACKGROUND_WORDS, {scene.background}),
        ):
            if scene.motion in ("growing", "shrinking") and attribute == "size":
                continue  # "from small to big" is their motion
            plain = text
            if attribute == "colour":  # "dark blue" is a background
                plain = re.sub("(very )?dark blue|navy blue|midnight blue", "", text)
            for value, wordings in table.items():
                plural = [f"{value}s"] if attribute == "shape" else []
                wanted = attribute in named and value in values
                assert _says(plain, [*wordings, *plural]) == wanted, (worded, value)
        motions = captions.MOTION_WORDS.get(scene.motion or "", ())
        said = any(_says(text, forms) for forms in motions)
        assert said == ("motion" in named), worded
        if scene.position:
            said = _says(text, _places(scene.position))
            assert said == ("position" in named), worded


@pytest.mark.parametrize(
    "table", [captions.COLOUR_WORDS, captions.BACKGROUND_WORDS, captions.SHAPE_WORDS]
)
def test_no_wording_means_two_values(table) -> None:
    for value, wordings in table.items():
        for other in table:
            if other != value:
                assert not any(_says(w, table[other]) for w in wordings), (value, other)


@pytest.mark.slow
def test_no_motion_holds_the_wording_of_another() -> None:
    table = captions.MOTION_WORDS
    for motion, forms in table.items():
        for other in set(table) - {motion, "still"}:
            if motion == "still":
                continue
            wordings = {f for triple in table[other] for f in triple}
            assert not any(_says(f, wordings) for triple in forms for f in triple), (motion, other)


@pytest.mark.parametrize("split", ["train", "eval"])
def test_the_thing_named_first_is_known(split) -> None:
    rng = random.Random(6)
    turned = 0
    for _ in range(3000):
        scene = replace(sample_scene(rng, video=False), background="black")
        if not scene.relation:
            continue
        worded = caption(scene, rng, split=split)
        at = []
        for thing in scene.things:
            wordings = "|".join(re.escape(w) for w in captions.COLOUR_WORDS[thing.colour])
            found = re.search(rf"\b({wordings})\b", worded.text.lower())
            at.append(found.start() if found else -1)
        if min(at) >= 0:  # no slip of the finger
            assert worded.first == int(at[1] < at[0]), (worded, scene)
            turned += worded.first
    assert 300 < turned < 700


def test_pairs_say_truly_who_is_where() -> None:
    for template in (*pairs.BY_PLACE, *pairs.SAME_SHAPE, *pairs.RICH_PLACE):
        slots = "".join(re.findall(r"\{[pcl]?([ab])\}", template))
        usual = ("aabb", "bbaa", "aaabb", "aabab", "abab", "abaa")
        assert slots in usual, template
    for relation, wordings in captions.RELATION_WORDS.items():
        for word, swapped in wordings:
            turned = any(w in word for w in ("right", "below", "under", "beneath", "lower"))
            assert turned == swapped, (relation, word)
    for first, second in words.BESIDE_WORDS.values():
        assert not any(w in " ".join(first) for w in ("right", "below", "under", "beneath"))
        assert not any(w in " ".join(second) for w in ("left", "above", "top"))


def test_template_splits_are_disjoint_and_neither_is_empty() -> None:
    for core in captions.TEMPLATES.values():
        train, kept = templates_of(core, "train"), templates_of(core, "eval")
        assert train
        assert kept
        assert set(train).isdisjoint(kept)
    counts = {name: len(set(core)) for name, core in captions.TEMPLATES.items()}
    pairs = ("relation", "place", "beside", "left of", "above", "same shape")
    assert sum(counts[p] for p in pairs) > 150
    assert sum(counts.values()) > 400


def test_slips_never_make_another_word_of_the_world() -> None:
    rng = random.Random(7)
    for word in sorted(typing_habits.KNOWN_WORDS):
        if len(word) >= 5:
            for _ in range(10):
                made = typing_habits.slip(word, rng)
                assert made == word or made not in typing_habits.KNOWN_WORDS


def test_captions_are_the_same_for_the_same_seed() -> None:
    scene = sample_scene(random.Random(5), video=True)

    assert caption(scene, random.Random(9)) == caption(scene, random.Random(9))


def test_wordings_are_many_and_not_too_long() -> None:
    rng = random.Random(2)
    texts = [caption(sample_scene(rng, video=i % 2 == 0), rng).text for i in range(3000)]
    lengths = [len(t.split()) for t in texts]

    assert len(set(texts)) > 0.95 * len(texts)
    assert 40 <= max(lengths) <= 60
    assert sum(n <= 25 for n in lengths) > 0.7 * len(lengths)


def test_canonical_words_are_about_half() -> None:
    tables = (captions.COLOUR_WORDS, captions.SHAPE_WORDS, captions.BACKGROUND_WORDS)
    for table in tables:
        for value, wordings in table.items():
            share = sum(w in (value, "grey", "navy blue") for w in wordings) / len(wordings)
            assert 0.4 < share < 0.6, value


def test_no_prompt_is_often_empty_and_never_about_the_world() -> None:
    rng = random.Random(4)
    texts = [unconditional(rng) for _ in range(500)]

    assert 0.3 < texts.count("") / len(texts) < 0.5
    assert not any("circle" in t or "moving" in t for t in texts)
