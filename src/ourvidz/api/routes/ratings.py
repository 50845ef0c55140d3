"""What people say of outputs: stars and defects, and blind votes between two jobs.

A blind test shows two outputs as A and B through addresses of its own. Which is which was drawn by
chance and is told to nobody who has not voted.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from ourvidz.api.auth import JobsReader, JobsWriter, Principal
from ourvidz.api.deps import AppDeps, Deps, absolute_url
from ourvidz.api.files import stream_object
from ourvidz.api.raters import rater_of
from ourvidz.api.rating_schemas import (
    MAX_RATER_CHARS,
    BlindFile,
    BlindTestAnswer,
    BlindTestPage,
    BlindTestRequest,
    Letter,
    Names,
    RatingAnswer,
    RatingGroup,
    RatingGroups,
    RatingList,
    RatingRequest,
    SettingName,
    VoteRequest,
    WinRateAnswer,
    WinRates,
)
from ourvidz.api.routes.assets import BYTES
from ourvidz.api.routes.common import (
    Cursor,
    JobId,
    Limit,
    errors,
    from_cursor,
    known_id,
    to_cursor,
)
from ourvidz.api.schemas import Deleted
from ourvidz.api.views import iso
from ourvidz.core.errors import IllegalState, NotFound
from ourvidz.core.ids import new_id
from ourvidz.core.opinion import Choice, Defect
from ourvidz.jobs.model import StoredAsset
from ourvidz.jobs.ratings import BlindTest, Rating, Vote
from ourvidz.perf.quality.people import (
    BlindVote,
    summarize_ratings,
    win_rates,
)

router = APIRouter(tags=["ratings"])

_GROUPED_BY: list[SettingName] = ["job_type", "preset", "fidelity"]
_MOST_READ = 10_000  # ratings or votes of a summary: the newest

TestId = Annotated[str, Path(description="The blind test's id.")]
Rater = Annotated[
    str | None,
    Query(max_length=MAX_RATER_CHARS, description="Who asks, where one key serves many people."),
]
JobType = Annotated[str | None, Query(max_length=100, description="Of this one alone.")]


# Ratings


@router.put(
    "/jobs/{job_id}/rating",
    operation_id="rate_job",
    response_model=RatingAnswer,
    responses=errors(404, 409, 507),
)
def rate_job(job_id: JobId, body: RatingRequest, deps: Deps, who: JobsWriter) -> RatingAnswer:
    """Say how good a job's output is, from 1 to 5, and what is wrong with it.

    What the same person said before is replaced. It is kept when the job is deleted, with the
    job's settings and without its prompt.
    """
    rating = deps.store.put_rating(
        known_id(job_id),
        rater=rater_of(who, body.rater),
        stars=body.stars,
        tags=[Defect(tag) for tag in body.tags],
        tenant=who.tenant_filter,
    )
    return _rating(rating, who)


@router.get(
    "/jobs/{job_id}/ratings",
    operation_id="list_ratings",
    response_model=RatingList,
    responses=errors(404),
)
def list_ratings(job_id: JobId, deps: Deps, who: JobsReader) -> RatingList:
    """Read what people said of a job, the newest 1,000, oldest of them first."""
    job = deps.store.get(known_id(job_id), tenant=who.tenant_filter)
    return RatingList(data=[_rating(each, who) for each in deps.store.ratings(job_id=job.id)])


@router.delete(
    "/jobs/{job_id}/rating",
    operation_id="delete_rating",
    response_model=Deleted,
    responses=errors(404),
)
def delete_rating(job_id: JobId, deps: Deps, who: JobsWriter, rater: Rater = None) -> Deleted:
    """Take back what you said of a job."""
    deps.store.remove_rating(known_id(job_id), rater=rater_of(who, rater), tenant=who.tenant_filter)
    return Deleted(id=job_id)


def _rating(rating: Rating, who: Principal) -> RatingAnswer:
    return RatingAnswer(
        job_id=rating.job_id,
        stars=rating.stars,
        tags=[tag.value for tag in rating.tags],
        is_own=rating.rater == rater_of(who),
        at=iso(rating.at),
    )


@router.get(
    "/performance/ratings",
    operation_id="summarize_ratings",
    response_model=RatingGroups,
    responses=errors(),
)
def read_rating_groups(
    deps: Deps,
    who: JobsReader,
    job_type: JobType = None,
    by: Annotated[list[SettingName], Query(description="Settings to group by.")] = _GROUPED_BY,
) -> RatingGroups:
    """Read what people said, by settings: stars, and shares with intervals."""
    found = deps.store.ratings(tenant=who.tenant_filter, job_type=job_type, limit=_MOST_READ + 1)
    counted = found[-_MOST_READ:]
    groups = summarize_ratings(counted, by=by)
    return RatingGroups(
        data=[RatingGroup.model_validate(each.to_dict()) for each in groups],
        num_ratings=len(counted),
        is_complete=len(counted) == len(found),
    )


# Blind tests


@router.post(
    "/performance/blind-tests",
    operation_id="create_blind_test",
    status_code=201,
    response_model=BlindTestAnswer,
    responses=errors(404, 409, 507),
)
def create_blind_test(
    body: BlindTestRequest, request: Request, deps: Deps, who: JobsWriter
) -> BlindTestAnswer:
    """Put the outputs of two jobs of one prompt side by side, without their names."""
    first, second = (known_id(job_id) for job_id in body.job_ids)
    test = deps.store.add_blind_test(
        new_id("blind", deps.clock.now()),
        first,
        second,
        is_swapped=bool(secrets.randbits(1)),
        tenant=who.tenant_filter,
    )
    return _blind_test(test, request, deps, rater=rater_of(who))


@router.get(
    "/performance/blind-tests",
    operation_id="list_blind_tests",
    response_model=BlindTestPage,
    responses=errors(),
)
def list_blind_tests(
    request: Request,
    deps: Deps,
    who: JobsReader,
    rater: Rater = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> BlindTestPage:
    """List blind tests, newest first."""
    found = deps.store.blind_tests(
        tenant=who.tenant_filter, limit=limit + 1, after=from_cursor(cursor)
    )
    shown = found[:limit]
    name = rater_of(who, rater)
    return BlindTestPage(
        data=[_blind_test(each, request, deps, rater=name) for each in shown],
        next_cursor=to_cursor(shown[-1].id) if len(found) > limit else None,
    )


@router.get(
    "/performance/win-rates",
    operation_id="read_win_rates",
    response_model=WinRates,
    responses=errors(),
)
def read_win_rates(deps: Deps, who: JobsReader) -> WinRates:
    """Read how often one setting was liked better than another, with intervals.

    Votes count together where the same settings differed by the same values.
    """
    found = deps.store.votes(tenant=who.tenant_filter, limit=_MOST_READ + 1)
    counted = found[-_MOST_READ:]
    return WinRates(
        data=[
            WinRateAnswer.model_validate(each.to_dict())
            for each in win_rates(map(_blind_vote, counted))
        ],
        num_votes=len(counted),
        is_complete=len(counted) == len(found),
    )


def _blind_vote(vote: Vote) -> BlindVote:
    return BlindVote(
        first=vote.test.first_settings,
        second=vote.test.second_settings,
        is_swapped=vote.test.is_swapped,
        choice=vote.choice,
        test_id=vote.test.id,
        rater=vote.rater,
    )


@router.get(
    "/performance/blind-tests/{test_id}",
    operation_id="get_blind_test",
    response_model=BlindTestAnswer,
    responses=errors(404),
)
def get_blind_test(
    test_id: TestId, request: Request, deps: Deps, who: JobsReader, rater: Rater = None
) -> BlindTestAnswer:
    """Read one blind test; with the names once you have voted."""
    test = deps.store.blind_test(known_id(test_id), tenant=who.tenant_filter)
    return _blind_test(test, request, deps, rater=rater_of(who, rater))


@router.post(
    "/performance/blind-tests/{test_id}/vote",
    operation_id="vote_blind_test",
    response_model=BlindTestAnswer,
    responses=errors(404, 409, 507),
)
def vote_blind_test(
    test_id: TestId, body: VoteRequest, request: Request, deps: Deps, who: JobsWriter
) -> BlindTestAnswer:
    """Choose A, B or neither, once; the answer tells which job was which."""
    tenant, rater = who.tenant_filter, rater_of(who, body.rater)
    test = deps.store.blind_test(known_id(test_id), tenant=tenant)
    if not (deps.store.assets(test.first_job) and deps.store.assets(test.second_job)):
        raise IllegalState(
            f"The files of blind test {test.id!r} are gone.", hint="Make a new one of other jobs."
        )
    test = deps.store.vote(test.id, rater=rater, choice=Choice(body.choice), tenant=tenant)
    return _blind_test(test, request, deps, rater=rater)


_FILE_URL = "/performance/blind-tests/{test_id}/files/{side}/{index}"


@router.get(
    _FILE_URL,
    operation_id="read_blind_file",
    response_class=Response,
    responses={**errors(404), **BYTES},
)
@router.head(
    _FILE_URL,
    operation_id="stat_blind_file",
    response_class=Response,
    responses={**errors(404), **BYTES},
)
def read_blind_file(
    test_id: TestId,
    side: Annotated[Letter, Path(description="a or b.")],
    index: Annotated[int, Path(ge=0, le=10_000, description="Which of the side's files.")],
    request: Request,
    deps: Deps,
    who: JobsReader,
) -> Response:
    """Read a file of A or B, under a name that says nothing else. Takes Range."""
    test = deps.store.blind_test(known_id(test_id), tenant=who.tenant_filter)
    assets = _assets(test, side, deps)
    if index >= len(assets):
        raise NotFound
    asset = assets[index]
    suffix = asset.key.rpartition(".")[2]
    return stream_object(
        request,
        deps.storage,
        asset.bucket,
        asset.key,
        media_type=asset.media_type,
        name=f"{side}-{index}.{suffix}",
    )


def _assets(test: BlindTest, side: Letter, deps: AppDeps) -> tuple[StoredAsset, ...]:
    return deps.store.assets(test.job_a if side == "a" else test.job_b)


def _blind_test(test: BlindTest, request: Request, deps: AppDeps, *, rater: str) -> BlindTestAnswer:
    choice = deps.store.vote_of(test.id, rater=rater)
    return BlindTestAnswer(
        id=test.id,
        created_at=iso(test.at),
        a=_files(test, "a", request, deps),
        b=_files(test, "b", request, deps),
        choice=None if choice is None else choice.value,
        names=None if choice is None else _names(test),
    )


def _files(test: BlindTest, side: Letter, request: Request, deps: AppDeps) -> list[BlindFile]:
    files = f"/api/v1/performance/blind-tests/{test.id}/files"
    return [
        BlindFile(
            url=absolute_url(request, deps.settings, f"{files}/{side}/{index}"),
            media_type=asset.media_type,
        )
        for index, asset in enumerate(_assets(test, side, deps))
    ]


def _names(test: BlindTest) -> Names:
    settings = [dict(test.first_settings), dict(test.second_settings)]
    if test.is_swapped:
        settings.reverse()
    return Names(job_a=test.job_a, job_b=test.job_b, settings_a=settings[0], settings_b=settings[1])
