"""Puts captions together: which attributes to name, in which sentence, how carelessly typed."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from training.pocket.captions import pairs, rich, templates, words
from training.pocket.captions.typing_habits import dress, with_filling
from training.pocket.world import Scene, Thing

Split = Literal["train", "eval"]
T = TypeVar("T")

_NO_SHAPE: Final = ("shape", "shape", "object", "thing", "figure", "form")
_FORMS: Final = ("{size} {colour} {noun}",) * 24 + (
    "{size} {noun} in {colour}",
    "{size} {noun} that is {colour}",
    "{size} {noun} which is {colour}",
    "{size} {colour}-colored {noun}",
    "{size} {colour} coloured {noun}",
    "{size} {colour} colored {noun}",
    "{size} {noun} ({colour})",
    "{colour} {size} {noun}",
)
_DET: Final = ("a",) * 12 + ("one", "the", "the", "a single", "", "", "", "just one")
_TAG_BACKGROUND: Final = ("{} background",) * 4 + ("{} bg", "{} backdrop", "background {}", "bg {}")
_TAG_MARKS: Final = (", ",) * 12 + (" / ", " | ", "; ", " - ")
# Odds that a caption leaves an attribute out.
_OMIT: Final = {
    "size": 0.5,
    "background": 0.2,
    "position": 0.35,
    "motion": 0.08,
    "colour": 0.05,
    "shape": 0.04,
    "still": 0.35,
}
_RICH_SHARE: Final = 0.22
_TAG_SHARE: Final = 0.08
_FIELD_SHARE: Final = 0.02
_SENTENCE_SHARE: Final = 0.12  # of backgrounds: a sentence of their own
_SAME_SHAPE_SHARE: Final = 0.35  # of pairs of one shape: worded with a plural


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A worded scene.

    Attributes:
        text: The wording.
        named: Attributes that it names: of "colour", "shape", "size", "background", "motion",
            "position", "relation".
        first: Index in the scene's things of the one named first.
    """

    text: str
    named: frozenset[str]
    first: int = 0


def templates_of(templates: Sequence[str], split: Split) -> tuple[str, ...]:
    """The templates of one split: the tenth with the smallest hashes (one at least) is "eval"."""
    distinct = sorted(set(templates), key=lambda t: hashlib.sha256(t.encode()).hexdigest())
    held = set(distinct[: max(1, len(distinct) // 10)])
    return tuple(t for t in templates if (t in held) == (split == "eval"))


TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "moving": templates.MOVING,
    "still": templates.STILL,
    "resting": templates.RESTING,
    "plain": templates.PLAIN,
    "tags": templates.TAGS,
    "fields": templates.FIELDS,
    "rich moving": rich.RICH_MOVING,
    "rich still": rich.RICH_STILL,
    "rich resting": rich.RICH_RESTING,
    "rich plain": rich.RICH_PLAIN,
    "relation": pairs.BY_RELATION,
    "place": pairs.BY_PLACE,
    "beside": pairs.BESIDE,
    "left of": pairs.ONLY_LEFT,
    "above": pairs.ONLY_ABOVE,
    "same shape": pairs.SAME_SHAPE,
    "rich relation": pairs.RICH_RELATION,
    "rich place": pairs.RICH_PLACE,
}
_SPLIT: Final[dict[Split, dict[str, tuple[str, ...]]]] = {
    split: {name: templates_of(core, split) for name, core in TEMPLATES.items()}
    for split in ("train", "eval")
}
_PAIR_KINDS: Final = ("relation",) * 8 + ("place",) * 7 + ("beside",) * 3 + ("only",) * 3


def _with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def _backgrounds(frames: Sequence[str], it: str) -> dict[str, tuple[str, ...]]:
    """All background phrases: made once, as making them anew would take most of the time."""
    return {
        name: tuple(_with_articles(f.format(bg=w, it=it)) for f in frames for w in wordings)
        for name, wordings in words.BACKGROUND_WORDS.items()
    }


_PHRASES: Final = (
    _backgrounds(templates.BACKGROUND + templates.BACKGROUND_ONE, "it"),
    _backgrounds(templates.BACKGROUND, "them"),
)
_SENTENCES: Final = (
    _backgrounds(templates.BACKGROUND_SENTENCE, "it"),
    _backgrounds(templates.BACKGROUND_SENTENCE, "them"),
)
# Whether the first-named thing of a pair's template is its {b}.
_B_FIRST: Final[dict[str, bool]] = {
    template: min(template.find(s) % 999 for s in ("{b}", "{cb}"))
    < min(template.find(s) % 999 for s in ("{a}", "{ca}"))
    for name in ("relation", "place", "beside", "left of", "above", "same shape")
    for template in (*TEMPLATES[name], *pairs.RICH_RELATION, *pairs.RICH_PLACE)
}


def _one(items: Sequence[T], rng: random.Random) -> T:
    return items[int(rng.random() * len(items))]  # twice as fast as rng.choice


def _keep(rng: random.Random, attribute: str, complete: bool) -> bool:
    return complete or rng.random() >= _OMIT[attribute]


def _choose_named(scene: Scene, rng: random.Random, complete: bool) -> set[str]:
    named = {a for a in ("colour", "shape") if _keep(rng, a, complete)}
    named = named or {"colour"}
    if _keep(rng, "background", complete):
        named.add("background")
    if scene.relation:
        return named | {"relation", "colour", "shape"}
    if scene.things[0].size and _keep(rng, "size", complete):
        named.add("size")
    if scene.position and _keep(rng, "position", complete):
        named.add("position")
    if scene.motion and _keep(rng, "still" if scene.motion == "still" else "motion", complete):
        named.add("motion")
    return named


def _noun_phrase(
    thing: Thing, named: set[str], rng: random.Random, det: str, colour: str = ""
) -> str:
    """An object in words; `det` is its article ("a" becomes "an" where it must)."""
    noun = _one(words.SHAPE_WORDS[thing.shape] if "shape" in named else _NO_SHAPE, rng)
    size = _one(words.SIZE_WORDS[thing.size], rng) if "size" in named and thing.size else ""
    if not colour and "colour" in named:
        colour = _one(words.COLOUR_WORDS[thing.colour], rng)
    if colour:
        body = _one(_FORMS, rng).format(size=size, colour=colour, noun=noun).strip()
    else:
        body = f"{size} {noun}" if size else noun
    if rng.random() < 0.05:
        body = f"{_one(templates.DETAIL, rng)} {body}"
    if det == "a":
        det = "an" if body[0] in "aeiou" else "a"
    return f"{det} {body}" if det else body


def _background(scene: Scene, named: set[str], rng: random.Random) -> tuple[str, str]:
    """The background as a phrase inside the sentence or as a sentence of its own."""
    if "background" not in named:
        return "", ""
    two = len(scene.things) - 1
    if rng.random() < _SENTENCE_SHARE:
        return "", _one(_SENTENCES[two][scene.background], rng)
    return _one(_PHRASES[two][scene.background], rng), ""


def _motion(scene: Scene, named: set[str], rng: random.Random) -> tuple[str, str, str]:
    if scene.motion is None or "motion" not in named:
        return "", "", ""
    return _one(words.MOTION_WORDS[scene.motion], rng)


def _position(scene: Scene, named: set[str], rng: random.Random) -> str:
    if scene.position is None or "position" not in named:
        return ""
    return _one(words.POSITION_WORDS[scene.position], rng)


def _tags(scene: Scene, named: set[str], rng: random.Random) -> str:
    apart = "size" in named and rng.random() < 0.25
    parts = [_noun_phrase(scene.things[0], named - {"size"} if apart else named, rng, "")]
    size = scene.things[0].size
    if apart and size:
        parts.append(_one(words.SIZE_WORDS[size], rng))
    parts += [p for p in (_motion(scene, named, rng)[1], _position(scene, named, rng)) if p]
    if "background" in named:
        word = _one(words.BACKGROUND_WORDS[scene.background], rng)
        parts.append(_one(_TAG_BACKGROUND, rng).format(word))
    if rng.random() < 0.6:
        rng.shuffle(parts)
    return _one(_TAG_MARKS, rng).join(parts)


def _fields(scene: Scene, named: set[str], style: str, rng: random.Random) -> str:
    """Labelled attributes: "subject: red star; motion: rising; background: black"."""
    *labels, mark = style.split("|")
    values = [
        _noun_phrase(scene.things[0], named, rng, ""),
        _motion(scene, named, rng)[1],
        _position(scene, named, rng),
        _one(words.BACKGROUND_WORDS[scene.background], rng) if "background" in named else "",
    ]
    return mark.join(la + v.strip(",") for la, v in zip(labels, values, strict=True) if v)


def _pair_template(
    scene: Scene, split: Split, rng: random.Random, *, is_rich: bool
) -> tuple[str, str]:
    """A kind of sentence and one of its templates."""
    lists = _SPLIT[split]
    if is_rich:
        kind = "relation" if rng.random() < 0.55 else "place"
        return kind, _one(lists[f"rich {kind}"], rng)
    if scene.things[0].shape == scene.things[1].shape and rng.random() < _SAME_SHAPE_SHARE:
        return "place", _one(lists["same shape"], rng)
    kind = _one(_PAIR_KINDS, rng)
    return kind, _one(lists[scene.relation or "" if kind == "only" else kind], rng)


def _pair(
    scene: Scene, named: set[str], split: Split, rng: random.Random, *, is_rich: bool
) -> tuple[str, str, int]:
    """A sentence about two objects, a background sentence, and which object comes first."""
    kind, template = _pair_template(scene, split, rng, is_rich=is_rich)
    relation = scene.relation or ""
    bg, sentence = _background(scene, named, rng)
    swapped = kind != "only" and rng.random() < 0.5
    slots = {"bg": bg, "rel": "", "adv": ""}
    if kind == "relation":
        slots["rel"], swapped = _one(words.RELATION_WORDS[relation], rng)
    elif kind == "place":
        places = _one(words.PLACE_WORDS[relation], rng)
        labels = _one(words.LABEL_WORDS[relation], rng)
        slots["pa"], slots["pb"] = places[::-1] if swapped else places
        slots["la"], slots["lb"] = labels[::-1] if swapped else labels
    elif kind == "beside":
        slots["adv"] = _one(words.BESIDE_WORDS[relation][int(swapped)], rng)
    first, second = scene.things[::-1] if swapped else scene.things
    slots["ca"] = _one(words.COLOUR_WORDS[first.colour], rng)
    slots["cb"] = _one(words.COLOUR_WORDS[second.colour], rng)
    slots["ns"] = f"{first.shape}s"
    det = "" if is_rich else _one(_DET, rng)
    if is_rich or template.startswith(("the left", "the right", "the top", "the lower")):
        det = "a"
    slots["a"] = _noun_phrase(first, named, rng, det, slots["ca"])
    slots["b"] = _noun_phrase(second, named, rng, det, slots["cb"])
    return template.format(**slots), sentence, int(swapped != _B_FIRST[template])


def _single(
    scene: Scene, named: set[str], split: Split, rng: random.Random, *, is_rich: bool
) -> tuple[str, str]:
    """A sentence about one object, and a background sentence."""
    bg, sentence = _background(scene, named, rng)
    position = _position(scene, named, rng)
    finite, gerund, bare = _motion(scene, named, rng)
    kind = "resting" if position else "plain"
    if finite:
        kind = "still" if scene.motion == "still" else "moving"
    template = _one(_SPLIT[split][f"rich {kind}" if is_rich else kind], rng)
    det = "a" if is_rich else _one(_DET, rng)
    subject = _noun_phrase(scene.things[0], named, rng, "" if "{t}" in template else det)
    slots = {"s": subject, "t": subject, "bg": bg, "pos": position}
    return template.format(fin=finite, ger=gerund, bare=bare, **slots), sentence


_SPACE_BEFORE: Final = re.compile(r"\s+([,.?:;])")
_MARKS: Final = re.compile(r"[,:;]+(?=[,.?:;])|(?<=[.?:;]),")


def tidy(text: str) -> str:
    """Removes the spaces and marks that left-out parts leave behind."""
    text = _MARKS.sub("", _SPACE_BEFORE.sub(r"\1", " ".join(text.split())))
    return text.replace(",)", ")").replace(" - - ", " - ").strip(" ,:;-")


def _joined(text: str, sentence: str, rng: random.Random) -> str:
    if not sentence:
        return text
    if rng.random() < 0.2 and not text.endswith("?"):
        return f"{sentence}{'' if sentence[-1] == '.' else '.'} {text}"
    return f"{text}{'' if text[-1] in '.?' else '.'} {sentence}"


def caption(
    scene: Scene, rng: random.Random, *, split: Split = "train", complete: bool = False
) -> Caption:
    """Words a scene at random.

    Args:
        scene: What is to be seen; a clip (motion given) or a single frame.
        rng: Source of randomness.
        split: Which templates to use; "eval" templates never occur in training, and "eval"
            captions have no typos.
        complete: Whether to name every attribute that the scene has.

    Returns:
        The wording, the attributes that it names, and which thing it names first.
    """
    named = _choose_named(scene, rng, complete)
    is_rich, first, sentence = rng.random() < _RICH_SHARE, 0, ""
    form = 1.0 if is_rich or scene.relation else rng.random()
    if scene.relation:
        text, sentence, first = _pair(scene, named, split, rng, is_rich=is_rich)
    elif form < _TAG_SHARE:
        text = _one(_SPLIT[split]["tags"], rng).format(tags=_tags(scene, named, rng))
    elif form < _TAG_SHARE + _FIELD_SHARE:
        text = _fields(scene, named, _one(_SPLIT[split]["fields"], rng), rng)
    else:
        text, sentence = _single(scene, named, split, rng, is_rich=is_rich)
    text = _joined(tidy(text), sentence, rng)
    if is_rich:
        text = with_filling(text, rng)
    else:
        text = dress(text, rng, rough=split == "train", is_pair=bool(scene.relation))
    return Caption(text=text, named=frozenset(named), first=first)
