"""How people type: filler words, capitals, punctuation, missing articles, typing errors."""

from __future__ import annotations

import random
import re
from typing import Final

from training.pocket.captions import pairs, rich, templates, words

TYPO_SHARE: Final = 0.08
MAX_WORDS: Final = 58
_ARTICLE: Final = re.compile(r"\b(?:an?|the) (?=\w)")
_ENDS: Final = ("!",) * 5 + ("...",) * 3 + ("!!", " ...", "!!!", " !")


def _known_words() -> frozenset[str]:
    """All words that captions use, and a few others that a slip could make."""
    groups: list[str] = [*pairs.BY_RELATION, *pairs.BY_PLACE, *pairs.BESIDE, *templates.MOVING]
    groups += [*templates.STILL, *templates.RESTING, *templates.PLAIN, *templates.TAGS]
    lists = (words.SHAPE_WORDS, words.COLOUR_WORDS, words.BACKGROUND_WORDS, words.SIZE_WORDS)
    groups += [w for table in (*lists, words.POSITION_WORDS) for ws in table.values() for w in ws]
    groups += [f for forms in words.MOTION_WORDS.values() for triple in forms for f in triple]
    groups += [w for table in words.RELATION_WORDS.values() for w, _ in table]
    return frozenset(re.findall(r"[a-z]+", " ".join(groups).lower())) | {
        *("three", "back", "four", "five", "blow", "bow", "crown", "brow", "light", "night"),
    }


KNOWN_WORDS: Final = _known_words()


def slip(word: str, rng: random.Random) -> str:
    """Swaps, drops or doubles a letter; the word stays as it is if another word would come out."""
    at = 1 + int(rng.random() * (len(word) - 2))
    kind = rng.randrange(3)
    if kind == 0:
        made = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        made = word[:at] + word[at + 1 :]
    else:
        made = word[:at] + word[at] + word[at:]
    return word if made.lower() in KNOWN_WORDS else made


def _typo(text: str, rng: random.Random) -> str:
    parts = text.split(" ")
    long = [i for i, w in enumerate(parts) if len(w) >= 5 and w.isalpha()]
    if long:
        i = rng.choice(long)
        parts[i] = slip(parts[i], rng)
    return " ".join(parts)


def _careless(text: str, rng: random.Random, *, is_pair: bool) -> str:
    """Typos, capitals, missing articles and commas (which pairs need to be understood)."""
    if rng.random() < TYPO_SHARE:
        text = _typo(text, rng)
        text = _typo(text, rng) if rng.random() < 0.12 else text
    kind = rng.random()
    if kind < 0.03:
        return text.upper()
    if kind < 0.07:
        return _ARTICLE.sub("", text)
    if kind < 0.10 and not is_pair:
        return text.replace(",", "")
    return text


def dress(text: str, rng: random.Random, *, rough: bool, is_pair: bool) -> str:
    """Filler words, capitals, punctuation and (if `rough`) careless typing."""
    odds = rng.random()
    if odds < 0.09:
        text = f"{rng.choice(templates.BEFORE)} {text}"
    if odds > 0.88 and text[-1].isalnum():
        text += rng.choice(templates.AFTER)
    if rough:
        text = _careless(text, rng, is_pair=is_pair)
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    end = rng.random()
    if end < 0.34 and text[-1].isalnum():
        text += "." if end < 0.3 else rng.choice(_ENDS)
    elif end > 0.9 and text[-1] in ".?":
        text = text[:-1]
    return text


def with_filling(text: str, rng: random.Random) -> str:
    """Adds sentences that change nothing, up to a random length of 25 to 55 words."""
    wanted = rng.randint(24, 46)
    text = text[0].upper() + text[1:]
    text = text if text[-1] in ".?" else text + "."
    before: list[str] = []
    after = [text]
    length = len(text.split())
    for _ in range(9):
        if length >= wanted:
            break
        sentence = rich.RICH_FILL[int(rng.random() * len(rich.RICH_FILL))]
        if sentence in after or sentence in before:
            continue
        length += sentence.count(" ") + 1
        if rng.random() < 0.15 and len(before) < 2:
            before.append(sentence)
        else:
            after.append(sentence)
    return " ".join([*before, *after])
