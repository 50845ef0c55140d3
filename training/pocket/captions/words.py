"""Words and phrases for each attribute of the drawn world; the canonical ones are most frequent.

No wording may also fit another value of the same attribute ("light blue" could be cyan), and words
of speed, size or place never stand where they are not meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


def lines(text: str) -> tuple[str, ...]:
    """The lines of a block of text that are not empty."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _half(canonical: str, others: str) -> tuple[str, ...]:
    """About half canonical words, half others (both with commas between them)."""
    usual = tuple(w.strip() for w in canonical.split(","))
    rest = tuple(w.strip() for w in others.split(","))
    return usual * max(1, round(len(rest) / len(usual))) + rest


SHAPE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "circle": _half(
        "circle", "disc, disk, ball, round shape, sphere, dot, round disc, filled circle, orb"
    ),
    "square": _half("square", "box, block, square shape, cube, square box, square block"),
    "triangle": _half(
        "triangle", "triangular shape, pyramid, triangle shape, three-sided shape, filled triangle"
    ),
    "star": _half(
        "star", "five-pointed star, star shape, five pointed star, 5-pointed star, filled star"
    ),
    "diamond": _half(
        "diamond", "rhombus, diamond shape, lozenge, diamond-shaped figure, rhombus shape"
    ),
}
COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "red": _half(
        "red",
        "bright red, crimson, scarlet, deep red, cherry red, ruby red, vivid red, blood red",
    ),
    "green": _half(
        "green",
        "bright green, emerald, emerald green, grass green, leaf green, vivid green, kelly green",
    ),
    "blue": _half(
        "blue",
        "bright blue, royal blue, azure, vivid blue, cobalt blue, sapphire blue, electric blue",
    ),
    "yellow": _half(
        "yellow",
        "bright yellow, lemon yellow, golden yellow, golden, sunny yellow, canary yellow, "
        "banana yellow, vivid yellow, lemon-yellow",
    ),
    "orange": _half(
        "orange", "bright orange, tangerine, vivid orange, pumpkin orange, carrot orange"
    ),
    "purple": _half(
        "purple", "violet, deep purple, vivid purple, bright purple, royal purple, dark purple"
    ),
    "pink": _half(
        "pink",
        "bright pink, rose pink, hot pink, light pink, bubblegum pink, pastel pink, candy pink",
    ),
    "cyan": _half("cyan", "bright cyan, turquoise, aqua, light cyan, aquamarine, vivid cyan"),
}
BACKGROUND_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "black": _half(
        "black", "pitch black, pure black, jet black, pitch-black, all black, deep black, jet-black"
    ),
    "white": _half(
        "white", "pure white, clean white, snow white, bright white, all white, snow-white"
    ),
    "gray": _half(
        "gray, grey",
        "neutral gray, neutral grey, mid-gray, mid-grey, pure gray, pure grey, mid gray",
    ),
    "navy": _half(
        "navy, navy blue", "dark blue, dark navy, deep navy, midnight blue, very dark blue"
    ),
    "brown": _half(
        "brown", "dark brown, chocolate brown, earthy brown, coffee brown, deep brown, wood brown"
    ),
}
SIZE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "small": _half(
        "small", "little, tiny, teeny, teeny tiny, small-sized, mini, miniature, very small, wee"
    ),
    "medium": _half(
        "medium, medium-sized",
        "medium sized, mid-sized, mid-size, medium-size, average-sized, normal-sized, mid sized",
    ),
    "large": _half(
        "large, big",
        "huge, giant, enormous, massive, very large, really big, great big, gigantic, oversized",
    ),
}

Forms = tuple[str, str, str]
# Verbs of motion in a straight line: finite, gerund, bare.
_MOVES: Final[tuple[Forms, ...]] = (
    ("slides", "sliding", "slide"),
    ("drifts", "drifting", "drift"),
    ("glides", "gliding", "glide"),
    ("travels", "travelling", "travel"),
    ("travels", "traveling", "travel"),
    ("goes", "going", "go"),
    ("heads", "heading", "head"),
    ("shifts", "shifting", "shift"),
    ("floats", "floating", "float"),
    ("flies", "flying", "fly"),
    ("scrolls", "scrolling", "scroll"),
    ("shoots", "shooting", "shoot"),
)
_MOVE: Final[Forms] = ("moves", "moving", "move")


def _each(verbs: Iterable[Forms], ways: Iterable[str]) -> tuple[Forms, ...]:
    return tuple((f"{f} {w}", f"{g} {w}", f"{b} {w}") for f, g, b in verbs for w in ways)


def _canonical_half(canonical: tuple[Forms, ...], others: tuple[Forms, ...]) -> tuple[Forms, ...]:
    return canonical * max(1, len(others) // len(canonical)) + others


def _sideways(side: str, other: str) -> tuple[Forms, ...]:
    ways = (side, f"to the {side}", f"{side}ward", f"{side}wards", f"towards the {side}")
    across = (
        f"from {other} to {side}",
        f"from the {other} to the {side}",
        f"across the screen to the {side}",
        f"across the frame from {other} to {side}",
        f"toward the {side} edge",
        f"over to the {side} side",
    )
    crossing = (("crosses", "crossing", "cross"), ("sweeps", "sweeping", "sweep"))
    others = (
        *_each(_MOVES, ways),
        *_each((("rolls", "rolling", "roll"),), ways[:2]),
        *_each((_MOVE, *_MOVES[:6]), across),
        *_each(crossing, (f"from the {other} side to the {side}", f"from {other} to {side}")),
    )
    return _canonical_half(_each((_MOVE,), ways[:3]), others)


def _upright(way: str, start: str, end: str, own: tuple[Forms, ...]) -> tuple[Forms, ...]:
    ways = (way, f"{way}ward", f"{way}wards")
    across = (
        f"from {start} to {end}",
        f"from the {start} to the {end}",
        f"toward the {end}",
        f"{way} the screen",
        f"{way} towards the {end} edge",
        f"to the {end} of the frame",
    )
    others = (*_each(_MOVES, ways), *_each((_MOVE, *_MOVES[:6]), across), *own * 6)
    return _canonical_half(
        (*_each((_MOVE,), ways), _each((("goes", "going", "go"),), (way,))[0]), others
    )


_RISES: Final[tuple[Forms, ...]] = (
    ("rises", "rising", "rise"),
    ("rises up", "rising up", "rise up"),
    ("climbs up", "climbing up", "climb up"),
    ("ascends", "ascending", "ascend"),
    ("lifts upward", "lifting upward", "lift upward"),
    ("soars upwards", "soaring upwards", "soar upwards"),
)
_FALLS: Final[tuple[Forms, ...]] = (
    ("falls", "falling", "fall"),
    ("falls down", "falling down", "fall down"),
    ("drops", "dropping", "drop"),
    ("drops down", "dropping down", "drop down"),
    ("sinks", "sinking", "sink"),
    ("sinks down", "sinking down", "sink down"),
    ("descends", "descending", "descend"),
)
_STILL: Final[tuple[Forms, ...]] = (
    ("stands still", "standing still", "stand still"),
    ("does not move", "not moving", "not move"),
    ("doesn't move", "not moving", "not move"),
    ("doesn't move at all", "not moving at all", "not move at all"),
    ("stays in place", "staying in place", "stay in place"),
    ("stays where it is", "staying where it is", "stay where it is"),
    ("rests motionless", "resting motionless", "rest motionless"),
    ("stays perfectly still", "staying perfectly still", "stay perfectly still"),
    ("remains stationary", "remaining stationary", "remain stationary"),
    ("stays put", "staying put", "stay put"),
    ("sits still", "sitting still", "sit still"),
    ("keeps still", "keeping still", "keep still"),
    ("remains motionless", "remaining motionless", "remain motionless"),
    ("stays fixed", "staying fixed", "stay fixed"),
    ("stays completely static", "staying completely static", "stay completely static"),
    ("never moves", "never moving", "never move"),
)
_GROWS: Final[tuple[Forms, ...]] = (
    ("gets bigger and bigger", "getting bigger and bigger", "get bigger and bigger"),
    ("gets larger", "getting larger", "get larger"),
    ("expands", "expanding", "expand"),
    ("becomes larger", "becoming larger", "become larger"),
    ("becomes bigger", "becoming bigger", "become bigger"),
    ("increases in size", "increasing in size", "increase in size"),
    ("grows in size", "growing in size", "grow in size"),
    ("swells", "swelling", "swell"),
    ("swells up", "swelling up", "swell up"),
    ("keeps growing", "growing and growing", "keep growing"),
    ("scales up", "scaling up", "scale up"),
    ("inflates", "inflating", "inflate"),
    ("goes from small to big", "going from small to big", "go from small to big"),
    ("gets bigger over time", "getting bigger over time", "get bigger over time"),
    ("enlarges", "enlarging", "enlarge"),
)
_SHRINKS: Final[tuple[Forms, ...]] = (
    ("gets smaller and smaller", "getting smaller and smaller", "get smaller and smaller"),
    ("shrinks down", "shrinking down", "shrink down"),
    ("shrinks in size", "shrinking in size", "shrink in size"),
    ("contracts", "contracting", "contract"),
    ("decreases in size", "decreasing in size", "decrease in size"),
    ("dwindles", "dwindling", "dwindle"),
    ("keeps shrinking", "shrinking and shrinking", "keep shrinking"),
    ("scales down", "scaling down", "scale down"),
    ("goes from big to small", "going from big to small", "go from big to small"),
    ("reduces in size", "reducing in size", "reduce in size"),
    ("gets smaller over time", "getting smaller over time", "get smaller over time"),
    ("deflates", "deflating", "deflate"),
)
# (finite, gerund, bare) wordings of each motion.
MOTION_WORDS: Final[dict[str, tuple[Forms, ...]]] = {
    "left": _sideways("left", "right"),
    "right": _sideways("right", "left"),
    "up": _upright("up", "bottom", "top", _RISES),
    "down": _upright("down", "top", "bottom", _FALLS),
    "still": _canonical_half(
        (
            ("stays still", "staying still", "stay still"),
            ("remains still", "remaining still", "remain still"),
            ("is not moving", "not moving", "not move"),
        ),
        _STILL,
    ),
    "growing": _canonical_half(
        (
            ("grows", "growing", "grow"),
            ("grows larger", "growing larger", "grow larger"),
            ("grows bigger", "growing bigger", "grow bigger"),
            ("gets bigger", "getting bigger", "get bigger"),
        ),
        _GROWS,
    ),
    "shrinking": _canonical_half(
        (
            ("shrinks", "shrinking", "shrink"),
            ("gets smaller", "getting smaller", "get smaller"),
            ("becomes smaller", "becoming smaller", "become smaller"),
        ),
        _SHRINKS,
    ),
}


def _beside(side: str) -> tuple[str, ...]:
    return _half(
        f"on the {side}, on the {side} side",
        f"at the {side}, on the {side}-hand side, near the {side} edge, at the {side} edge, "
        f"in the {side} half, in the {side} part of the picture, on the {side} of the screen, "
        f"to the {side} of the frame, over on the {side}, close to the {side} edge, "
        f"on the {side} side of the frame, in the {side} half of the image",
    )


def _upper(end: str, part: str) -> tuple[str, ...]:
    return _half(
        f"at the {end}, at the {end} of the frame",
        f"in the {part} part, near the {end}, in the {part} half, in the {end} half, "
        f"in the {end} part of the picture, close to the {end} edge, at the {end} of the image, "
        f"near the {end} of the screen, at the very {end}, in the {part} part of the image, "
        f"towards the {end} of the picture, by the {end} edge",
    )


POSITION_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "left": _beside("left"),
    "right": _beside("right"),
    "top": _upper("top", "upper"),
    "bottom": _upper("bottom", "lower"),
    "center": _half(
        "in the center, in the centre, in the middle",
        "at the center, in the middle of the frame, centered, centred, dead centre, dead center, "
        "in the exact center, in the very middle, in the middle of the screen, "
        "in the center of the image, smack in the middle, at the centre of the picture",
    ),
}


def _relation(words: str, turned: str) -> tuple[tuple[str, bool], ...]:
    straight = tuple((w.strip(), False) for w in words.split(","))
    return straight + tuple((w.strip(), True) for w in turned.split(","))


def _side_of(side: str) -> str:
    usual = f"left of, to the {side} of, to the {side} of".replace("left", side)
    return (
        f"{usual}, on the {side} of, on the {side} side of, just to the {side} of, "
        f"directly {side} of, just {side} of"
    )


# (first to second, wording with the two swapped): "a X left of a Y" is "a Y right of a X".
RELATION_WORDS: Final[dict[str, tuple[tuple[str, bool], ...]]] = {
    "left of": _relation(_side_of("left"), _side_of("right")),
    "above": _relation(
        "above, above, above, over, on top of, higher than, directly above, just above",
        "below, below, under, beneath, underneath, directly below, just below, lower than",
    ),
}
# Places of the first and of the second thing of a pair, as phrases and as labels.
PLACE_WORDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "left of": (
        *(("on the left", "on the right"),) * 5,
        *(("on the left side", "on the right side"),) * 2,
        ("on the left-hand side", "on the right-hand side"),
        ("at the left", "at the right"),
        ("in the left half", "in the right half"),
        ("to the left", "to the right"),
    ),
    "above": (
        *(("at the top", "at the bottom"),) * 5,
        ("on top", "at the bottom"),
        ("in the upper half", "in the lower half"),
        ("in the top half", "in the bottom half"),
        ("up top", "at the bottom"),
        ("in the upper part", "in the lower part"),
    ),
}
LABEL_WORDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "left of": (("left", "right"),),
    "above": (("top", "bottom"), ("top", "bottom"), ("upper", "lower")),
}
# Where a thing is beside another that was named before ("it"): first thing, second thing.
BESIDE_WORDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "left of": (
        lines("to its left\nto the left of it\non its left\non its left side\njust left of it"),
        lines(
            "to its right\nto the right of it\non its right\non its right side\njust right of it"
        ),
    ),
    "above": (
        lines("above it\nabove it\ndirectly above it\njust above it\non top of it"),
        lines("below it\nbelow it\nunder it\nbeneath it\nunderneath it\ndirectly below it"),
    ),
}
