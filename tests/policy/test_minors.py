"""The shipped rule: tables, hiding tricks, several languages, and that it takes linear time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ourvidz.catalog.config import PolicyConfig
from ourvidz.core.errors import PolicyRefused
from ourvidz.policy import words
from ourvidz.policy.build import build_policy
from ourvidz.policy.minors import is_refused
from ourvidz.policy.policy import Stage, require_allowed
from ourvidz.policy.text import read
from tests.policy.tables import ALLOWED, KNOWN_FALSE_ALARMS, KNOWN_MISSES, REFUSED


def test_the_tables_are_as_large_as_they_should_be():
    assert len(set(ALLOWED)) >= 200
    assert len(set(REFUSED)) >= 230
    assert not set(ALLOWED) & set(REFUSED)


@pytest.mark.parametrize("prompt", [prompt for prompt in REFUSED if prompt not in KNOWN_MISSES])
def test_refused(prompt):
    assert is_refused(prompt)


@pytest.mark.parametrize("prompt", [each for each in ALLOWED if each not in KNOWN_FALSE_ALARMS])
def test_allowed(prompt):
    assert not is_refused(prompt)


def test_what_is_known_to_be_wrong_is_still_wrong():
    """If one of these comes right, it leaves the list."""
    assert not any(is_refused(prompt) for prompt in KNOWN_MISSES)
    assert all(is_refused(prompt) for prompt in KNOWN_FALSE_ALARMS)


@pytest.mark.parametrize("age", range(1, 18))
def test_every_age_below_eighteen_in_every_common_wording(age):
    word = words.NUMBERS["en"][age - 1]
    for said in (
        f"{age} years old",
        f"{age}-year-old",
        f"{age}yo",
        f"{age} y/o",
        f"{age} yrs old",
        f"aged {age}",
        f"age {age}",
        f"{word} years old",
        f"{word}-year-old",
        f"{age}歳",
        f"{age}岁",
        f"{age} años",
        f"{age} ans",
        f"{age} лет",
        f"{age}-jährige",
    ):
        assert is_refused(f"nude, {said}"), said
        assert not is_refused(f"portrait, {said}"), said


@pytest.mark.parametrize("age", [18, 19, 20, 21, 25, 31, 47, 60, 99, 112])
def test_no_age_from_eighteen_on(age):
    for said in (
        f"{age} years old",
        f"{age}-year-old",
        f"{age}yo",
        f"{age} y/o",
        f"aged {age}",
        f"age {age}",
        f"{age}歳",
        f"{age}岁",
        f"{age} años",
        f"{age} ans",
        f"{age} лет",
    ):
        assert not is_refused(f"nude woman, {said}"), said


_HIDE = {
    "zero width": lambda text: "\u200b".join(text),
    "soft hyphen": lambda text: "\u00ad".join(text),
    "word joiner": lambda text: "\u2060".join(text),
    "variation selector": lambda text: "\ufe0f".join(text),
    "tag character": lambda text: "\U000e0061".join(text),
    "full width": lambda text: "".join(
        chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text
    ),
    "mathematical": lambda text: "".join(
        chr(0x1D41A + ord(char) - 97) if char.isalpha() else char for char in text
    ),
    "circled": lambda text: "".join(
        chr(0x24D0 + ord(char) - 97) if char.isalpha() else char for char in text
    ),
    "combining marks": lambda text: "".join(
        char + "\u0301" if char.isalpha() else char for char in text
    ),
    "cyrillic": lambda text: text.translate(str.maketrans("aceiopxy", "асеіорху")),
    "small capitals": lambda text: text.translate(str.maketrans("abcdenklmo", "ᴀʙᴄᴅᴇɴᴋʟᴍᴏ")),
    "digits": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "spaces": lambda text: " ".join(text),
    "points": lambda text: ".".join(text.replace(" ", "")),
    "underscores": lambda text: text.replace(" ", "_"),
    "capitals": str.upper,
    "stretched": lambda text: text.replace("i", "iiii").replace("e", "eee"),
    "new lines": lambda text: text.replace(" ", "\r\n\t"),
}


@pytest.mark.parametrize("trick", _HIDE)
@pytest.mark.parametrize(
    "prompt", ["nude child", "naked children", "underage nudity", "porn with a toddler"]
)
def test_hiding_does_not_help(trick, prompt):
    assert is_refused(_HIDE[trick](prompt))


@pytest.mark.parametrize("trick", _HIDE)
@pytest.mark.parametrize("prompt", ["nude woman", "children playing", "a nude adult at the sea"])
def test_hiding_makes_nothing_of_plain_prompts(trick, prompt):
    assert not is_refused(_HIDE[trick](prompt))


def test_the_two_parts_may_stand_far_apart():
    filler = "a quiet street in the evening light, cobblestones, lanterns. " * 100
    assert is_refused(f"a child. {filler} nude.")
    assert not is_refused(f"a child. {filler}")
    assert not is_refused(f"{filler} nude.")


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("mode", ["off", "rules"])
def test_it_holds_at_every_stage_in_every_mode(stage, mode):
    policy = build_policy(PolicyConfig(mode=mode))
    verdict = policy.check("a nude child", stage=stage)
    assert (verdict.is_allowed, verdict.rule) == (False, "sexual_content_with_minors")
    assert policy.check("a child with a kite", stage=stage).is_allowed
    with pytest.raises(PolicyRefused) as refused:
        require_allowed(policy, "zebra nude child", stage=stage)
    assert "zebra" not in str(refused.value.to_dict())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gets_a_verdict(text):
    assert is_refused(text) in (True, False)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_around_it_makes_it_pass(before, after):
    """Words apart by a line of their own count, whatever stands around them."""
    assert is_refused(f"{before}\n\nnude child\n\n{after}")


@pytest.mark.parametrize("unit", ["x", " ", "-", "*a", "12 year "])
def test_no_text_takes_quadratic_time(unit):
    """100,000 characters take a second; in quadratic time the test's own limit would end it."""
    text = unit * (100_000 // len(unit))
    assert is_refused(text) is False
    assert len(read(text).texts) <= 20
