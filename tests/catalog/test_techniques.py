"""Which techniques a promise allows."""

import pytest

from ourvidz.catalog.techniques import TECHNIQUES, techniques_of
from ourvidz.core.errors import UnknownName
from ourvidz.core.request import Fidelity


def test_a_looser_promise_allows_what_a_tighter_one_does_and_more():
    exact, high, draft = (techniques_of(fidelity) for fidelity in Fidelity)
    assert exact < high <= draft
    assert exact == {each.name for each in TECHNIQUES if each.fidelity is Fidelity.EXACT}


def test_each_can_be_switched_off():
    for technique in TECHNIQUES:
        left = techniques_of(Fidelity.DRAFT, off=[technique.name])
        assert left == techniques_of(Fidelity.DRAFT) - {technique.name}


def test_a_switch_of_nothing_is_refused():
    with pytest.raises(UnknownName, match=r"wan\.fused"):
        techniques_of(Fidelity.EXACT, off=["wan.fast"])


def test_names_are_unique_and_name_their_family():
    names = [technique.name for technique in TECHNIQUES]
    assert len(set(names)) == len(names)
    assert {name.partition(".")[0] for name in names} == {"wan", "sdxl", "qwen", "text"}


def test_a_draft_takes_8_bits_only_where_the_model_offers_high():
    high = {each.name for each in TECHNIQUES if each.fidelity is Fidelity.HIGH}
    assert high < techniques_of(Fidelity.DRAFT, has_high=True)
    alone = techniques_of(Fidelity.DRAFT, has_high=False)
    assert not high & alone
    assert techniques_of(Fidelity.EXACT) < alone
    assert techniques_of(Fidelity.HIGH, has_high=False) == techniques_of(Fidelity.HIGH)
