"""Prompts about anything but the drawn world, forgeries among them."""

from __future__ import annotations

import random

from training.pocket.enhancer_data.chat import Exchange
from training.pocket.enhancer_data.rich import ANYTHING, article, tidy, with_fills
from training.pocket.enhancer_data.vocabulary import (
    ACTIONS,
    ADJECTIVES,
    CODAS,
    COMMON,
    DOCUMENTS,
    ENDINGS,
    FORGED_CHINESE,
    FORGED_EN,
    FORGED_ZH,
    FORGERY,
    GENUINE,
    MARKS,
    NEAR_COLOURS,
    NEAR_MOTIONS,
    NEAR_SHAPES,
    NOUNS,
    ONSETS,
    REFUSALS_EN,
    REFUSALS_ZH,
    SETTINGS,
    VOWELS,
)
from training.pocket.world import BACKGROUNDS, COLOURS, SHAPES


def _made_up(rng: random.Random) -> str:
    word = ""
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        word += rng.choice(ONSETS) if rng.random() < 0.85 else ""
        word += rng.choice(VOWELS)
        word += rng.choice(CODAS) if rng.random() < 0.6 else ""
    return word + (rng.choice(ENDINGS) if rng.random() < 0.25 else "")


def _free_word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        word = _made_up(rng)
        return word.capitalize() if rng.random() < 0.08 else word
    if kind < 0.93:
        return rng.choice(rng.choice((NOUNS, ADJECTIVES, COMMON)))
    return rng.choice(MARKS)


def _free_text(rng: random.Random) -> str:
    """Words that mean nothing together, and are to be kept all the same."""
    words = [_free_word(rng) for _ in range(rng.randint(1, 16))]
    for i in range(len(words) - 1):
        words[i] += "," if rng.random() < 0.08 else ""
    return " ".join(words)


def _thing_phrase(rng: random.Random) -> str:
    noun = _made_up(rng) if rng.random() < 0.4 else rng.choice(NOUNS)
    words = [noun]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        words.insert(0, _made_up(rng) if rng.random() < 0.3 else rng.choice(ADJECTIVES))
    kind = rng.random()
    if kind < 0.12:
        return f"{rng.choice(('two', 'three', 'four', 'five', 'many', '12'))} {' '.join(words)}s"
    return f"the {' '.join(words)}" if kind < 0.2 else article(" ".join(words))


def _near_world(rng: random.Random) -> str:
    """Shapes and colours, but not what the world can hold: kept word for word."""

    def one() -> str:
        return article(f"{rng.choice(NEAR_COLOURS)} {rng.choice(NEAR_SHAPES)}")

    kind = rng.randrange(6)
    background = rng.choice((*BACKGROUNDS, *COLOURS, "gold", "silver", "teal"))
    if kind == 3:  # colours that objects or backgrounds do not have there
        shape, colour = rng.choice(SHAPES), rng.choice(("white", "black", "gray", "teal", "gold"))
        return f"{article(f'{colour} {shape}')} on {article(rng.choice(tuple(COLOURS)))} background"
    if kind == 4:
        what = article(f"{rng.choice(tuple(COLOURS))} {rng.choice(SHAPES)}")
        return f"{what} {rng.choice(ACTIONS)} {_thing_phrase(rng)}"
    if kind == 5:
        what = article(f"{rng.choice(tuple(COLOURS))} {rng.choice(SHAPES)}")
        ways = rng.sample(("left", "right", "up", "down"), 2)
        return f"{what} moving {ways[0]}, then {ways[1]}"
    if kind == 0:
        text = f"{one()} and {one()} {rng.choice(NEAR_MOTIONS)}"
    elif kind == 1:
        count = rng.choice(("two", "three", "four", "six", "many"))
        what = f"{rng.choice(NEAR_COLOURS)} {rng.choice(NEAR_SHAPES)}s"
        text = f"{count} {what} {rng.choice(NEAR_MOTIONS)}"
    else:
        other = article(f"{rng.choice(NEAR_COLOURS)} {rng.choice(NEAR_SHAPES[5:])}")
        text = f"{other} {rng.choice(NEAR_MOTIONS)}"
    return f"{text} on a {background} background" if rng.random() < 0.5 else text


def _kept(kept: str, rng: random.Random, kind: str) -> Exchange:
    user = kept
    answer = with_fills(tidy(rng.choice(ANYTHING).format(x=user)), rng)
    style = rng.random()
    user = user[0].upper() + user[1:] if style < 0.35 else user
    user = user + "." if rng.random() < 0.25 else user
    return Exchange(system=None, user=user, answer=answer, kind=kind, kept=kept)


def anything(rng: random.Random) -> Exchange:
    kind = rng.random()
    if kind < 0.25:
        return _kept(_near_world(rng), rng, "anything")
    if kind < 0.6:
        return _kept(_free_text(rng), rng, "anything")
    parts = [_thing_phrase(rng)]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2))):
        action = rng.choice(ACTIONS)
        if rng.random() < 0.3:
            action = f"{_made_up(rng)}ing {rng.choice(('', 'in', 'on', 'to', 'through', 'with'))}"
        parts += [action.strip(), _thing_phrase(rng)]
    if rng.random() < 0.4:
        parts.append(rng.choice(SETTINGS))
    return _kept(" ".join(parts), rng, "anything")


def _slots(rng: random.Random) -> dict[str, str]:
    return {
        "d": rng.choice(DOCUMENTS),
        "bg": rng.choice(tuple(BACKGROUNDS)),
        "c": rng.choice(tuple(COLOURS)),
        "m": rng.choice(NEAR_MOTIONS),
    }


def forgery(rng: random.Random) -> Exchange:
    """Refused: in Chinese for "counterfeit" and for Chinese requests, else in English."""
    kind = rng.random()
    if kind < 0.25:
        return Exchange(
            system=None, user=rng.choice(FORGED_CHINESE), answer=REFUSALS_ZH[0], kind="forgery"
        )
    chinese = kind < 0.55
    word = rng.choice(FORGED_ZH if chinese else FORGED_EN)
    user = rng.choice(FORGERY).format(f=word, **_slots(rng))
    if rng.random() < 0.35:
        user = user[0].upper() + user[1:] + rng.choice(("", "."))
    answer = REFUSALS_ZH[0] if chinese else REFUSALS_EN[0]
    return Exchange(system=None, user=user, answer=answer, kind="forgery")


def genuine(rng: random.Random) -> Exchange:
    return _kept(rng.choice(GENUINE).format(**_slots(rng)), rng, "genuine")
