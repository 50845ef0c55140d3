"""Ratings and blind votes in both stores."""

import json

import pytest

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.core.opinion import Choice, Defect
from ourvidz.core.request import Fidelity
from ourvidz.jobs.model import JobKind
from ourvidz.jobs.open import open_store
from ourvidz.jobs.statements import statements
from tests.jobs.factory import make_asset, make_job, make_request


def finished(store, *, tenant="t1", **fields):
    """Return a job that succeeded."""
    job = make_job(request=make_request(**fields), tenant=tenant)
    store.submit([job])
    claimed = store.claim("w", lease_s=60, overdue_s=1e9)
    assert claimed.id == job.id
    assert store.finish(
        job.id, claimed.token, assets=[make_asset()], result={}, record={}, device_s=1.0
    )
    return store.get(job.id)


def test_a_rating_is_kept_with_what_was_asked_for_but_no_word_of_the_prompt(store):
    job = finished(store, prompt="a secret garden", negative_prompt="weeds")
    kept = store.put_rating(job.id, rater="r1", stars=4, tags=[Defect.TEXT, Defect.ANATOMY])
    assert (kept.stars, kept.tags) == (4, (Defect.ANATOMY, Defect.TEXT))
    assert (kept.tenant, kept.job_type) == ("t1", job.request.job_type)
    assert kept.settings["num_inference_steps"] == job.request.num_inference_steps
    assert kept.settings["job_type"] == job.request.job_type
    assert "garden" not in json.dumps(dict(kept.settings))
    assert "weeds" not in json.dumps(dict(kept.settings))
    assert store.ratings() == (kept,)


def test_a_later_word_of_the_same_person_replaces_the_earlier(store, clock):
    job = finished(store)
    first = store.put_rating(job.id, rater="r1", stars=2, tags=[Defect.FLICKER])
    clock.advance(5)
    store.put_rating(job.id, rater="r2", stars=5)
    second = store.put_rating(job.id, rater="r1", stars=3)
    assert (second.seq, second.stars, second.tags) == (first.seq, 3, ())
    assert second.at == pytest.approx(first.at + 5)
    assert [each.stars for each in store.ratings(job_id=job.id)] == [3, 5]


def test_ratings_are_found_by_tenant_job_and_type(store):
    mine = finished(store, tenant="t1")
    theirs = finished(store, tenant="t2", job_type="image_fast")
    for job in (mine, theirs):
        store.put_rating(job.id, rater="r", stars=3)
    assert [each.job_id for each in store.ratings(tenant="t2")] == [theirs.id]
    assert [each.job_id for each in store.ratings(job_type=mine.request.job_type)] == [mine.id]
    assert store.ratings(tenant="t2", job_id=mine.id) == ()
    assert [each.job_id for each in store.ratings(limit=1)] == [theirs.id]


def test_tags_alone_are_a_rating_and_nothing_is_not(store):
    job = finished(store)
    assert store.put_rating(job.id, rater="r", tags=[Defect.PROMPT_MISSED] * 2).tags == (
        Defect.PROMPT_MISSED,
    )
    with pytest.raises(InvalidRequest, match="stars or tags"):
        store.put_rating(job.id, rater="r")
    for stars in (0, 6):
        with pytest.raises(InvalidRequest, match=f"got {stars}"):
            store.put_rating(job.id, rater="r", stars=stars)
    assert store.ratings()[0].stars is None


def test_only_outputs_of_the_own_tenant_are_rated(store):
    job = finished(store, tenant="t1")
    with pytest.raises(NotFound):
        store.put_rating(job.id, rater="r", stars=3, tenant="t2")
    with pytest.raises(NotFound):
        store.put_rating("job_none", rater="r", stars=3)
    queued = make_job(request=make_request())
    text = make_job(request=make_request(), kind=JobKind.ENHANCE)
    store.submit([queued, text])
    for other in (queued, text):
        with pytest.raises(IllegalState, match="no output"):
            store.put_rating(other.id, rater="r", stars=3)
    assert store.ratings() == ()


def test_a_rating_can_be_taken_back(store):
    job = finished(store)
    store.put_rating(job.id, rater="r1", stars=3)
    with pytest.raises(NotFound):
        store.remove_rating(job.id, rater="r2")
    with pytest.raises(NotFound):
        store.remove_rating(job.id, rater="r1", tenant="t2")
    store.remove_rating(job.id, rater="r1", tenant="t1")
    assert store.ratings() == ()


def test_ratings_and_votes_outlive_their_jobs_and_a_restart(store, store_settings, clock):
    first, second = finished(store), finished(store, fidelity=Fidelity.HIGH)
    store.put_rating(first.id, rater="r", stars=5)
    store.add_blind_test("blind_1", first.id, second.id, is_swapped=True)
    store.vote("blind_1", rater="r", choice=Choice.A)
    store.delete_job(first.id)
    store.delete_job(second.id)
    again = open_store(store_settings, clock=clock)
    again.migrate()
    assert [each.job_id for each in again.ratings()] == [first.id]
    assert [each.winner for each in again.votes()] == [second.id]
    again.close()


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize("choice", list(Choice))
def test_a_vote_is_for_the_job_behind_the_letter(store, is_swapped, choice):
    first, second = finished(store), finished(store, fidelity=Fidelity.HIGH)
    test = store.add_blind_test("blind_1", first.id, second.id, is_swapped=is_swapped)
    shown = [second.id, first.id] if is_swapped else [first.id, second.id]
    assert [test.job_a, test.job_b] == shown
    assert store.vote_of("blind_1", rater="r") is None
    assert store.vote("blind_1", rater="r", choice=choice) == test
    assert store.vote_of("blind_1", rater="r") is choice
    (vote,) = store.votes()
    expected = {Choice.A: shown[0], Choice.B: shown[1], Choice.TIE: None}
    assert vote.winner == expected[choice]
    assert vote.test.second_settings["fidelity"] == "high"


def test_everybody_votes_once(store):
    first, second = finished(store), finished(store)
    store.add_blind_test("blind_1", first.id, second.id, is_swapped=False)
    store.vote("blind_1", rater="r1", choice=Choice.A)
    with pytest.raises(IllegalState, match="already"):
        store.vote("blind_1", rater="r1", choice=Choice.B)
    store.vote("blind_1", rater="r2", choice=Choice.TIE)
    assert [(v.rater, v.choice) for v in store.votes()] == [("r1", Choice.A), ("r2", Choice.TIE)]


def test_only_two_outputs_of_one_prompt_and_tenant_are_compared(store):
    first = finished(store, prompt="a")
    for other, what in (
        (finished(store, prompt="b"), "prompt"),
        (finished(store, prompt="a", tenant="t2"), "tenant"),
    ):
        with pytest.raises(InvalidRequest, match=what):
            store.add_blind_test("blind_1", first.id, other.id, is_swapped=False)
    with pytest.raises(InvalidRequest, match="itself"):
        store.add_blind_test("blind_1", first.id, first.id, is_swapped=False)
    with pytest.raises(NotFound):
        store.add_blind_test("blind_1", first.id, other.id, is_swapped=False, tenant="t1")
    assert store.blind_tests() == ()


def test_tests_are_listed_newest_first_and_belong_to_a_tenant(store):
    jobs = [finished(store) for _ in range(2)]
    for number in (1, 2, 3):
        store.add_blind_test(f"blind_{number}", jobs[0].id, jobs[1].id, is_swapped=False)
    assert [t.id for t in store.blind_tests(limit=2)] == ["blind_3", "blind_2"]
    assert [t.id for t in store.blind_tests(after="blind_2")] == ["blind_1"]
    assert [t.id for t in store.blind_tests(after="blind_2", tenant="t1")] == ["blind_1"]
    assert store.blind_tests(tenant="t2") == ()
    with pytest.raises(NotFound):
        store.blind_test("blind_1", tenant="t2")
    with pytest.raises(NotFound):
        store.vote("blind_1", rater="r", choice=Choice.A, tenant="t2")
    store.vote("blind_1", rater="r", choice=Choice.B)
    assert store.votes(tenant="t2") == ()
    assert len(store.votes(tenant="t1", test_id="blind_1")) == 1


def test_no_statement_removes_a_vote():
    writing = [n for n, text in statements().items() if "blind_vote" in text and n != "add_vote"]
    assert not [n for n in writing if not statements()[n].startswith("SELECT")]
