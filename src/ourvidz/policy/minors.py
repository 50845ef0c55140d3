# ruff: noqa: RUF001
"""The shipped rule: sexual content with minors is refused. Nothing switches it off.

Two parts, anywhere in one text: something that names a minor (a word, or an age below 18), and
something that makes the text sexual. A few terms say both. The rule knows words, not pictures: it
is one layer, and errs on the careful side where a word has two readings (a nude statue *and*
schoolchildren in one prompt is refused). What is deliberately let through: nursing and nappies,
sex education, bathing suits, "girl" and "young woman" without an age.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from ourvidz.policy import words
from ourvidz.policy.text import Readings, fold, read, strip_marks

RULE = "sexual_content_with_minors"

_LETTER = r"0-9a-z\u00c0-\u024f\u0370-\u052f"
_LETTER_AFTER = r"a-z\u00c0-\u024f\u0370-\u052f"
_GAP = r"[\s\-\u2010-\u2015]{1,3}"
_GAP_OR_NOT = r"[\s\-\u2010-\u2015]{0,3}"
_MIN_SPLIT_CHARS = 5
_MIN_KNOWN_CHARS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Patterns:
    harmless: re.Pattern[str]
    alone: re.Pattern[str]
    minor: re.Pattern[str]
    sexual: re.Pattern[str]
    age: re.Pattern[str]
    not_age: re.Pattern[str]
    compound: re.Pattern[str]
    spread_minor: re.Pattern[str]
    spread_sexual: re.Pattern[str]


def is_refused(prompt: str) -> bool:
    """Whether the shipped rule refuses a text, in whatever letters it is written."""
    patterns = _patterns()
    readings = read(patterns.harmless.sub(" . ", fold(prompt)))
    texts = readings.texts
    if any(patterns.alone.search(text) or patterns.compound.search(text) for text in texts):
        return True
    return _names_minor(readings, patterns) and _is_sexual(readings, patterns)


def _names_minor(readings: Readings, patterns: _Patterns) -> bool:
    plain = [patterns.not_age.sub(" . ", text) for text in readings.plain]
    return (
        any(patterns.minor.search(text) for text in readings.texts)
        or any(patterns.age.search(text) for text in (*plain, *readings.joined))
        or any(patterns.spread_minor.search(text) for text in readings.joined)
        or _is_hidden(readings, words.PLAIN_MINOR)
    )


def _is_sexual(readings: Readings, patterns: _Patterns) -> bool:
    return (
        any(patterns.sexual.search(text) for text in readings.texts)
        or any(patterns.spread_sexual.search(text) for text in readings.joined)
        or _is_hidden(readings, words.PLAIN_SEXUAL)
    )


def _is_hidden(readings: Readings, known: tuple[str, ...]) -> bool:
    """Whether a known word was starred out (n*de) or cut in two (chi ld)."""
    if any(_fits_mask(mask, known) for mask in readings.masked):
        return True
    long_words = {word for word in known if len(word) >= _MIN_SPLIT_CHARS}
    tokens = re.findall(rf"[{_LETTER_AFTER}]+", readings.latin)
    plain = re.findall(rf"[{_LETTER_AFTER}]+", readings.plain[0])
    return any(
        first + second in long_words
        for each in (tokens, plain)
        for first, second in itertools.pairwise(each)
    )


def _fits_mask(mask: str, known: tuple[str, ...]) -> bool:
    letters = [char for char in mask if char.isalpha()]
    if len(letters) < _MIN_KNOWN_CHARS:
        return False
    pattern = "".join(re.escape(char) if char.isalnum() else "." for char in mask)
    return any(re.fullmatch(pattern, word) for word in known)


@cache
def _patterns() -> _Patterns:
    return _Patterns(
        harmless=_words(words.HARMLESS),
        alone=_words(words.ALONE, words.ALONE_UNSPACED),
        minor=_words(words.MINOR, words.MINOR_UNSPACED),
        sexual=_words(words.SEXUAL, words.SEXUAL_UNSPACED),
        age=_ages(),
        not_age=_not_ages(),
        compound=_compounds(),
        spread_minor=_anywhere(words.PLAIN_MINOR),
        spread_sexual=_anywhere(words.PLAIN_SEXUAL),
    )


def _words(spaced: Iterable[str], unspaced: Iterable[str] = ()) -> re.Pattern[str]:
    """Match whole words, with and without their accents, and unspaced ones anywhere."""
    written = [fold(term) if term.isalpha() else term for term in spaced]
    every = "|".join(_gaps(term) for term in dict.fromkeys(written))
    parts = [rf"(?<![{_LETTER}])(?:{every})(?![{_LETTER_AFTER}])"]
    parts += [
        re.escape(form) for term in unspaced for form in {fold(term), strip_marks(fold(term))}
    ]
    return re.compile("|".join(parts))


def _gaps(term: str) -> str:
    return term.replace("~?", _GAP_OR_NOT).replace("~", _GAP)


def _anywhere(plain: Iterable[str]) -> re.Pattern[str]:
    """Match inside joined letters; eighteen and nineteen hold a word that they do not mean."""
    terms = "|".join(sorted((re.escape(word) for word in plain), key=len, reverse=True))
    return re.compile(rf"(?<!eigh)(?<!nine)(?:{terms})")


def _compounds() -> re.Pattern[str]:
    """Match one written together: both words in one, in either order."""
    minor = "(?:" + "|".join(words.PLAIN_MINOR) + ")"
    sexual = "(?:" + "|".join(words.PLAIN_SEXUAL) + ")"
    either = rf"{minor}(?:s|ish)?{sexual}|{sexual}{minor}"
    return re.compile(rf"(?<![{_LETTER_AFTER}])(?:{either})(?:s|es)?(?![{_LETTER_AFTER}])")


# Ages. Figures stand for themselves only: no digit, point or weight before them, no unit after.

_FIGURES = r"(?<![0-9.,:/$#])(?:1[0-7]|[1-9])(?![0-9])"
_WORDS_EN = rf"(?<![{_LETTER}])(?:{'|'.join(words.NUMBERS['en'])})(?![{_LETTER_AFTER}])"
_AGE = rf"(?:{_FIGURES}|{_WORDS_EN})(?:[.,][0-9])?(?:{_GAP}and{_GAP}a{_GAP}half)?"
_END = rf"(?![{_LETTER_AFTER}])"
_THEN = (
    r"(?=\s*(?:$|[.;,!?)\]]|(?:and|but|years?|yrs?|yo|with|when|nude|naked|girls?|boys?|females?"
    rf"|males?|models?|teens?|posing|wearing){_END}))"
)
_WHO = (
    r"(?:girls?|boys?|daughters?|sons?|sisters?|brothers?|nieces?|nephews?|students?|pupils?|females?"
    r"|males?|wom[ae]n|m[ae]n|models?|persons?|people|she|he|lad(?:y|ies)|guys?|they|cousins?|twins?"
    r"|actress|actor|virgin|bride|princess|character|friends?|girlfriend|boyfriend|who)"
)
_OTHER_NUMBERS = "|".join(
    number for language, numbers in words.NUMBERS.items() if language != "en" for number in numbers
)
_OTHER_AGE = rf"(?:{_FIGURES}|(?<![{_LETTER}])(?:{_OTHER_NUMBERS}))"
_NOT_A_SPAN = (
    r"(?!\s*(?:de\s+(?:experien|garant|carr)|despues|depois|dopo|apres|plus\s+tard|spater))"
)
_HAN = (
    r"(?<![一二三四五六七八九十百0-9])(?:1[0-7]|[1-9]|十[一二三四五六七]?|[一二三四五六七八九])\s*"
)


def _ages() -> re.Pattern[str]:
    years = r"(?:years?|yrs?|yr|y)"
    parts = (
        rf"{_AGE}[\s\-\u2010-\u2015]*{years}[.\s\-\u2010-\u2015]*(?:olds?|of{_GAP}age|young){_END}",
        rf"{_AGE}[\s\-\u2010-\u2015]*y\s?[./]?\s?o\.?{_END}",
        rf"{_FIGURES}[\s\-]?(?:yrs?|y){_END}(?!\s*(?:experience|ago|later|warranty|of))",
        rf"{_AGE}\s*(?:-|\u2013|\u2014|to|or|and|/)[\s\-]*(?:[0-9]{{1,2}}|[a-z]{{3,9}})"
        rf"[\s\-]*{years}[\s\-]*olds?{_END}",
        rf"(?<![{_LETTER}])age[sd]?{_END}\s*[:=(]?\s*(?:(?:of|between|from|about|around|only|just|is|at)"
        rf"\s+){{0,2}}{_age_here()}(?![0-9]|\s*(?:mm|cm|percent|%|[{_LETTER_AFTER}]{{1,2}}{_END}))",
        rf"(?:[0-9]{{1,3}}|{_WORDS_EN}|few|several)[\s\-]*(?:months?|weeks?|days?)[\s\-]*old{_END}",
        rf"(?<![{_LETTER}]){_WHO}(?:\s*,\s*|\s*\(\s*)(?:(?:aged?|only|just|about|barely)\s+){{0,2}}"
        rf"(?:1[0-7]|[5-9]|{_teens_in_words()})(?![0-9.]){_THEN}",
        rf"(?<![{_LETTER}])(?:{_WHO}|it)(?:'s|'re|\s+(?:is|was|are|were|looks?|turn(?:s|ed|ing)?|of))\s+"
        rf"(?:(?:just|only|about|almost|barely|nearly|turned|turning|like|around)\s+){{0,3}}"
        rf"{_age_here()}(?![0-9.]){_THEN}",
        rf"(?<![{_LETTER}])(?:just\s+turned|turning|turned){_GAP}{_age_here()}(?![0-9.]){_THEN}",
        rf"(?:(?<![{_LETTER}])(?:under|below|less{_GAP}than|younger{_GAP}than|not{_GAP}yet|not{_GAP}even"
        rf"|before|u)|<)[\s\-]*(?:the{_GAP}age{_GAP}of{_GAP}|turning{_GAP})?"
        rf"(?:1[0-8]|eighteen|{_teens_in_words()})(?![0-9.]){_THEN}",
        rf"(?<![{_LETTER}])(?:[1-9]|1[0-7])(?:st|nd|rd|th){_GAP}birthday{_END}",
        rf"(?<![{_LETTER}])(?:fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
        rf"|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth){_GAP}birthday{_END}",
        rf"{_OTHER_AGE}[\s\-]*(?:ans|años|anos|añitos|anitos|anni|aninhos|jahren?){_END}{_NOT_A_SPAN}",
        rf"{_OTHER_AGE}[\s\-]*(?:jährig|jahrig|jaehrig)[a-z]{{0,2}}{_END}",
        rf"{_OTHER_AGE}[\s\-]*(?:лет|года?|летн[а-я]{{2,3}}){_END}(?!\s*назад)",
        r"(?:двена|три|четыр|пят|шест|сем|де)[а-я]{0,3}(?:надцати|дцати|сяти)летн",
        rf"{_HAN}(?:周)?(?:岁|歲|歳|才)",
        r"未[满滿](?:18|十八)|不[满滿](?:18|十八)|(?:18|十八)\s*(?:歳|岁|歲)\s*(?:未満|未满|以下)",
    )  # fmt: skip
    return re.compile("|".join(f"(?:{part})" for part in parts))


def _age_here() -> str:
    """An age whose place says that it is one, so that nothing before it need be looked at."""
    return rf"(?:(?:1[0-7]|[1-9])(?![0-9])|{'|'.join(words.NUMBERS['en'])}){_END}"


def _teens_in_words() -> str:
    return "|".join(words.NUMBERS["en"][7:])


def _not_ages() -> re.Pattern[str]:
    """Match what looks like an age and is a thing's, or a stretch of time."""
    things = "|".join(_gaps(term) for term in words.OLD_THINGS)
    number = rf"(?:[0-9]{{1,2}}|{'|'.join(words.NUMBERS['en'])}|few)"
    span = r"(?:il\s+y\s+a|depuis|pendant|hace|desde\s+hace|durante|ha|há|vor|seit|da|per|por)"
    return re.compile(
        rf"(?<![{_LETTER}])(?:"
        rf"{number}{_GAP}(?:years?|months?|weeks?|days?){_GAP}old{_GAP}(?:{things}){_END}"
        rf"|aged{_GAP}(?:for{_GAP})?{number}{_GAP}years?{_GAP}in{_GAP}(?:oak|casks?|barrels?|wood)"
        rf"|{span}\s+[0-9a-z]{{1,12}}\s+(?:ans|anos|años|anni|jahren?){_END})"
    )
