"""Readings of a prompt: what a person sees, whatever characters it was written with.

A prompt is read several ways at once (as written, marks stripped, look-alikes and digits taken
for letters, spread letters joined), and a rule holds if any reading meets it. Every step takes
time in proportion to the text's length.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Letters of other alphabets, and other signs, that pass for Latin ones. NFKC has already dealt
# with full-width, mathematical, circled and superscript forms.
_LOOKALIKES = str.maketrans(
    {
        **dict(zip("абвгеёзіїјкмнорстухцчѕԁһӏԛԝүь", "a6breeziijkmhopctyxu4sdhlqwyb", strict=True)),
        **dict(zip("αβγδεζηικμνορστυχω", "abydezniкuvopotuxw", strict=True)),
        **dict(zip("ɑɐəɛɡɩɪıȷʟɴɔʀʏøđħłŧƒþß", "aaeegiiijlncryodhltfpb", strict=True)),
        **dict(zip("ᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍᴏᴘǫꜱᴛᴜᴠᴡᴢ", "abcdefghjkmopqstuvwz", strict=True)),
        "æ": "ae",
        "œ": "oe",
        "к": "k",
    }
)
_LEET = {
    "0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
    "€": "e", "£": "l", "!": "i", "+": "t", "6": "b",
}  # fmt: skip
_LEET_I = str.maketrans({**_LEET, "1": "i", "|": "i"})
_LEET_L = str.maketrans({**_LEET, "1": "l", "|": "l", "6": "g"})

_MASKED = re.compile(r"(?<![\w*#·•])[\w*#·•]{2,24}(?![\w*#·•])")
_MASK = re.compile(r"[*#·•]")
_HAS_LETTER = re.compile(r"[^\W\d_]")
_WRITTEN_WORD = re.compile(r"[\w@$€£!+|]+")
_SPREAD = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_INSIDE_MARK = re.compile(r"(?<=[^\W_])[-._'\u2019`~^/\\|:,;]+(?=[^\W_])")
_NOT_LETTERS = re.compile(r"[\W_]+")
_LONG_RUN = re.compile(r"([^\W\d_])\1{2,}")
_RUN = re.compile(r"([^\W\d_])\1+")
_UNDERSCORE = re.compile(r"_+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """``plain``: as written, with and without marks, where figures are figures. ``texts``: every
    whole reading, those first. ``joined``: letters that were spread out, put together; word ends
    are unknown there. ``masked``: words with letters starred out.
    """

    plain: tuple[str, ...]
    latin: str  # look-alikes replaced
    texts: tuple[str, ...]
    joined: tuple[str, ...]
    masked: tuple[str, ...]


def read(text: str) -> Readings:
    """Return every reading of a text, in lower case."""
    plain = fold(text)
    bare = strip_marks(plain)
    latin = bare.translate(_LOOKALIKES)
    texts = [plain, bare, latin]
    texts += [_unleet(latin, _LEET_I), _unleet(latin, _LEET_L)]
    texts += [_LONG_RUN.sub(r"\1", each) for each in texts[2:]]
    texts += [_LONG_RUN.sub(r"\1\1", each) for each in texts[2:5]]
    texts += [_RUN.sub(r"\1", each) for each in texts[2:5]]
    texts += [_INSIDE_MARK.sub("", each) for each in texts[1:5]]
    spread = _spread_letters(latin) + _spread_letters(bare)
    joined = [_unleet_word(each, table) for each in spread for table in (_LEET_I, _LEET_L)]
    return Readings(
        plain=(plain, bare),
        latin=latin,
        texts=tuple(dict.fromkeys(texts)),
        joined=tuple(dict.fromkeys(spread + joined)),
        masked=tuple(dict.fromkeys(filter(_MASK.search, _MASKED.findall(latin)))),
    )


def fold(text: str) -> str:
    """Return lower case of the compatibility form, without characters that show nothing."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if char.isspace() else char for char in text if not _is_unseen(char))
    text = unicodedata.normalize("NFKC", text.casefold())
    return _UNDERSCORE.sub(" ", text.replace("\u2019", "'"))


def strip_marks(text: str) -> str:
    """Return Latin, Greek and Cyrillic letters without accents and other combining marks."""
    apart = unicodedata.normalize("NFD", text)
    kept = "".join(char for char in apart if not "\u0300" <= char <= "\u036f")
    return unicodedata.normalize("NFC", kept)


def _is_unseen(char: str) -> bool:
    """Zero-width, control and format characters, variation selectors, fillers."""
    if char.isspace():
        return False
    return (
        unicodedata.category(char) in ("Cf", "Cc", "Cn", "Co", "Cs")
        or "\ufe00" <= char <= "\ufe0f"
        or char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"
    )


def _unleet(text: str, table: dict[int, str]) -> str:
    return _WRITTEN_WORD.sub(lambda match: _unleet_word(match[0], table), text)


def _unleet_word(word: str, table: dict[int, str]) -> str:
    """Digits and signs become letters only beside letters: 15 stays fifteen."""
    return word.translate(table) if _HAS_LETTER.search(word) else word


def _spread_letters(text: str) -> list[str]:
    return [_NOT_LETTERS.sub("", match) for match in _SPREAD.findall(text)]
