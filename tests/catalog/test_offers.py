"""Which fidelities a request may ask for, and what it promises when it asks for none."""

import dataclasses

import pytest

from ourvidz.catalog.catalogue import build_catalogue
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.offers import Offer, listed_offers
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import ConfigInvalid, InvalidRequest
from ourvidz.core.request import Fidelity

HIGH, EXACT, DRAFT = Fidelity.HIGH, Fidelity.EXACT, Fidelity.DRAFT
CATALOGUE = build_catalogue()


def confirmed(*pairs):
    """Return offers that add these pairs of a model's id and a fidelity to the catalogue's."""

    def offers(model):
        return {
            fidelity: Offer(
                fidelity=fidelity,
                is_offered=offer.is_offered or (model.id, fidelity) in pairs,
                reason=offer.reason and "the model's files have changed",
            )
            for fidelity, offer in listed_offers(model).items()
        }

    return offers


def ask(fidelity=None, *, default=None, catalogue=CATALOGUE, **arguments):
    settings = Settings(default_fidelity=default or {})
    values = {} if fidelity is None else {"fidelity": fidelity.value}
    return resolve(
        catalogue=catalogue, settings=settings, prompt="x", seed=1, values=values, **arguments
    )


def test_what_is_confirmed_may_be_asked_for():
    offers = confirmed(("pocket-image", HIGH))
    assert ask(HIGH, offers=offers, job_type="sdxl_image_fast").fidelity is HIGH
    with pytest.raises(InvalidRequest):
        ask(DRAFT, offers=offers, job_type="sdxl_image_fast")


def test_what_is_not_names_why_and_the_command():
    with pytest.raises(InvalidRequest) as raised:
        ask(HIGH, offers=confirmed())
    assert raised.value.param == "fidelity"
    assert "the model's files have changed" in raised.value.message
    assert "ourvidz bench confirm pocket-video --fidelity high" in raised.value.hint


def test_exact_needs_nobodys_word():
    assert ask(EXACT, offers=lambda model: {}).fidelity is EXACT
    assert ask(offers=lambda model: {}).fidelity is EXACT


def test_what_the_catalogue_lists_needs_no_confirmation():
    model = dataclasses.replace(CATALOGUE.models["pocket-video"], fidelities=(EXACT, HIGH))
    catalogue = dataclasses.replace(CATALOGUE, models={**CATALOGUE.models, "pocket-video": model})
    assert ask(HIGH, catalogue=catalogue).fidelity is HIGH


def test_an_enhanced_job_needs_its_enhancer_confirmed_too():
    job = {"job_type": "video7b_fast_enhanced"}
    with pytest.raises(InvalidRequest, match="pocket-enhancer"):
        ask(HIGH, offers=confirmed(("pocket-video", HIGH)), **job)
    both = confirmed(("pocket-video", HIGH), ("pocket-enhancer", HIGH))
    assert ask(HIGH, offers=both, **job).fidelity is HIGH


def test_an_endpoint_in_the_enhancers_place_needs_no_confirmation():
    settings = Settings(enhancer_url="http://127.0.0.1:1/v1", enhancer_model="m")
    request = resolve(
        catalogue=CATALOGUE,
        settings=settings,
        prompt="x",
        seed=1,
        job_type="video7b_fast_enhanced",
        values={"fidelity": "high"},
        offers=confirmed(("pocket-video", HIGH)),
    )
    assert request.fidelity is HIGH


def test_a_benchmark_may_ask_for_what_is_not_confirmed():
    assert ask(DRAFT, unconfirmed=True).fidelity is DRAFT
    assert ask(unconfirmed=True, default={"pocket-video": HIGH}).fidelity is EXACT


def test_the_operators_default_holds_while_it_is_offered():
    default = {"pocket-video": HIGH}
    offers = confirmed(("pocket-video", HIGH))
    assert ask(default=default, offers=offers).fidelity is HIGH
    assert ask(EXACT, default=default, offers=offers).fidelity is EXACT
    assert ask(default=default, offers=confirmed()).fidelity is EXACT
    assert ask(default=default, offers=offers, job_type="sdxl_image_fast").fidelity is EXACT
    # Its enhancer is not confirmed, and nobody asked for anything.
    enhanced = ask(default=default, offers=offers, job_type="video7b_fast_enhanced")
    assert enhanced.fidelity is EXACT


def test_a_default_of_no_model_is_a_mistake():
    with pytest.raises(ConfigInvalid, match="pocket-vidoe") as raised:
        catalogue_of(Settings(default_fidelity={"pocket-vidoe": HIGH}))
    assert "pocket-video" in raised.value.hint
