"""What people say of outputs: ratings of jobs, and votes between two jobs without their names.

Ratings and votes outlive their jobs, as performance records do, so they hold no word of a prompt:
``settings`` is what was asked for besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.core.job import JobState
from ourvidz.core.opinion import MAX_STARS, MIN_STARS, Choice, Defect
from ourvidz.core.workload import workload_facts
from ourvidz.jobs.database import Row, Transaction
from ourvidz.jobs.model import Job, JobKind, Json
from ourvidz.jobs.people import visible
from ourvidz.jobs.rows import from_json, job_of, to_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """What one person said of one job's output."""

    seq: int  # grows with every job rated; a later word of the same person keeps it
    job_id: str
    rater: str
    tenant: str
    job_type: str
    settings: Json  # job type and workload, as a performance record has them
    stars: int | None  # 1 to 5
    tags: tuple[Defect, ...]
    at: float  # Unix seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class BlindTest:
    """Two jobs of one prompt, shown as A and B."""

    id: str
    tenant: str
    first_job: str
    second_job: str
    first_settings: Json
    second_settings: Json
    is_swapped: bool  # A is the second job
    at: float

    @property
    def job_a(self) -> str:
        """The id of the job that is shown as A."""
        return self.second_job if self.is_swapped else self.first_job

    @property
    def job_b(self) -> str:
        """The id of the job that is shown as B."""
        return self.first_job if self.is_swapped else self.second_job


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """What one person chose in one test."""

    seq: int
    test: BlindTest
    rater: str
    choice: Choice

    @property
    def winner(self) -> str | None:
        """The job that was liked better; None for a tie."""
        if self.choice is Choice.TIE:
            return None
        return self.test.job_a if self.choice is Choice.A else self.test.job_b


def put_rating(
    tx: Transaction,
    job_id: str,
    *,
    rater: str,
    stars: int | None,
    tags: Sequence[Defect],
    tenant: str | None,
) -> Rating:
    """See ``JobStore.put_rating``."""
    if stars is None and not tags:
        raise InvalidRequest(
            "A rating needs stars or tags.", param="stars", hint='{"stars": 4}, say.'
        )
    if stars is not None and not MIN_STARS <= stars <= MAX_STARS:
        raise InvalidRequest(
            f"stars must be {MIN_STARS} to {MAX_STARS}, got {stars!r}.", param="stars"
        )
    job = _shown(tx, job_id, tenant)
    row = tx.row(
        "put_rating",
        job_id=job.id,
        rater=rater,
        tenant=job.tenant,
        job_type=job.request.job_type,
        settings=to_json(_settings_of(job)),
        stars=stars,
        tags=to_json(sorted(set(tags))),
        now=tx.now,
    )
    assert row is not None
    tx.run("touch_job", id=job.id, now=tx.now)  # who watches the job learns of it
    return rating_of(row)


def remove_rating(tx: Transaction, job_id: str, *, rater: str, tenant: str | None) -> None:
    """See ``JobStore.remove_rating``."""
    visible(tx.row("get_job", id=job_id), "job", job_id, tenant)
    if tx.row("remove_rating", job_id=job_id, rater=rater) is None:
        raise NotFound(f"You did not rate job {job_id!r}.", param="job_id")
    tx.run("touch_job", id=job_id, now=tx.now)


def add_blind_test(
    tx: Transaction,
    test_id: str,
    first_job: str,
    second_job: str,
    *,
    is_swapped: bool,
    tenant: str | None,
) -> BlindTest:
    """See ``JobStore.add_blind_test``."""
    if first_job == second_job:
        raise InvalidRequest("A job can't be compared with itself.", param="second_job")
    first, second = (_shown(tx, job_id, tenant) for job_id in (first_job, second_job))
    alike = {
        "tenant": first.tenant == second.tenant,
        "media type": first.request.media_type is second.request.media_type,
        "prompt": first.request.prompt == second.request.prompt,
    }
    for name, is_alike in alike.items():
        if not is_alike:
            raise InvalidRequest(
                f"Jobs {first.id!r} and {second.id!r} are not of one {name}.",
                param="second_job",
                hint="Compare outputs of the same prompt: POST /api/v1/jobs/grid makes them.",
            )
    row = tx.row(
        "add_blind_test",
        id=test_id,
        tenant=first.tenant,
        first_job=first.id,
        second_job=second.id,
        first_settings=to_json(_settings_of(first)),
        second_settings=to_json(_settings_of(second)),
        is_swapped=int(is_swapped),
        now=tx.now,
    )
    assert row is not None
    return blind_test_of(row)


def blind_test(tx: Transaction, test_id: str, *, tenant: str | None) -> BlindTest:
    """See ``JobStore.blind_test``."""
    return blind_test_of(visible(tx.row("blind_test", id=test_id), "blind_test", test_id, tenant))


def vote(
    tx: Transaction, test_id: str, *, rater: str, choice: Choice, tenant: str | None
) -> BlindTest:
    """See ``JobStore.vote``."""
    found = blind_test(tx, test_id, tenant=tenant)
    if tx.row("vote", test_id=test_id, rater=rater) is not None:
        raise IllegalState(
            f"You voted in blind test {test_id!r} already.",
            hint="A vote is given once, before the names are shown.",
        )
    tx.run("add_vote", test_id=test_id, rater=rater, choice=choice.value, now=tx.now)
    return found


def rating_of(row: Row) -> Rating:
    """Return a row of ``rating``."""
    return Rating(
        seq=row["seq"],
        job_id=row["job_id"],
        rater=row["rater"],
        tenant=row["tenant"],
        job_type=row["job_type"],
        settings=from_json(row["settings"]),
        stars=row["stars"],
        tags=tuple(Defect(tag) for tag in from_json(row["tags"])),
        at=row["at"],
    )


def blind_test_of(row: Row) -> BlindTest:
    """Return a row of ``blind_test``."""
    return BlindTest(
        id=row["id"],
        tenant=row["tenant"],
        first_job=row["first_job"],
        second_job=row["second_job"],
        first_settings=from_json(row["first_settings"]),
        second_settings=from_json(row["second_settings"]),
        is_swapped=bool(row["is_swapped"]),
        at=row["at"],
    )


def vote_of(row: Row) -> Vote:
    """Return a row of the statement ``votes``."""
    return Vote(
        seq=row["seq"], test=blind_test_of(row), rater=row["rater"], choice=Choice(row["choice"])
    )


def _shown(tx: Transaction, job_id: str, tenant: str | None) -> Job:
    """Return a job that has an output to look at.

    Raises:
        NotFound: no such job, or another tenant's.
        IllegalState: it made none, or not yet.
    """
    job = job_of(visible(tx.row("get_job", id=job_id), "job", job_id, tenant))
    if job.kind is not JobKind.GENERATE or job.state is not JobState.SUCCEEDED:
        raise IllegalState(
            f"Job {job_id!r} has no output to judge: it is {job.state.value}"
            f"{'' if job.kind is JobKind.GENERATE else ' and made text alone'}."
        )
    return job


def _settings_of(job: Job) -> Json:
    return {"job_type": job.request.job_type, **workload_facts(job.request)}
