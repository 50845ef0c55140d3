"""The store against a plain model of it, in random histories of people, workers and time."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import IllegalState
from ourvidz.jobs.model import PRIORITY_FRONT, TERMINAL_STATES, Beat
from ourvidz.jobs.open import open_store
from tests.clocks import ManualClock
from tests.jobs.checker import check_job
from tests.jobs.factory import make_asset, make_job, make_request

LEASE_S = 20.0
OVERDUE_S = 1e9  # creation order within bands is what is modelled
MAX_CRASHES = 2
MAX_ERRORS = 2
MODELS = ("image-model", "other-model")
ERROR = {"code": "x", "message": "x", "param": None, "hint": None}


@dataclass
class Plain:
    """One job as it should be."""

    id: str
    job_type: str
    model: str
    priority: int
    place: float
    run_at: float
    state: str = "queued"
    token: int = 0
    errors: int = 0
    crashes: int = 0
    cancel: bool = False
    lease_until: float = 0.0
    published: int = 0

    def queue(self, run_at=None):
        self.state = "queued"
        self.run_at = self.run_at if run_at is None else run_at


class StoreMachine(RuleBasedStateMachine):
    database_url = None

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        if self.database_url:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self.store = open_store(
            Settings(data_dir=Path(self.folder.name), database_url=self.database_url),
            clock=self.clock,
        )
        self.store.migrate()
        self.jobs: list[Plain] = []
        self.paused: set[str] = set()

    def teardown(self):
        for job in self.jobs:
            assert check_job(self.store, job.id, must_be_terminal=False) == []
        self.store.close()
        self.folder.cleanup()

    @property
    def now(self):
        return self.clock.now().timestamp()

    def pick(self, index, *states):
        found = [job for job in self.jobs if job.state in states]
        return found[index % len(found)] if found else None

    def read_places(self):
        for job in self.jobs:
            job.place = self.store.get(job.id).position

    def band(self, priority):
        waiting = [job for job in self.jobs if job.state == "queued" and job.priority == priority]
        return sorted(waiting, key=lambda job: (job.place, job.id))

    def require_last(self, job):
        job.place = self.store.get(job.id).position
        assert self.band(job.priority)[-1] is job

    def claimable(self, models):
        return [
            job
            for job in self.jobs
            if job.state == "queued"
            and job.run_at <= self.now
            and not self.paused & {"all", job.job_type}
            and (not models or job.model in models)
        ]

    @rule(
        count=st.integers(1, 3),
        video=st.booleans(),
        model=st.sampled_from(MODELS),
        priority=st.sampled_from((-5, 0, 5)),
        delay_s=st.sampled_from((0.0, 0.0, 15.0)),
    )
    def submit(self, count, video, model, priority, delay_s):
        job_type = "video_fast" if video else "sdxl_image_fast"
        new = [
            make_job(
                request=make_request(job_type=job_type, model=model),
                priority=priority,
                delay_s=delay_s,
                max_errors=MAX_ERRORS,
            )
            for _ in range(count)
        ]
        self.store.submit(new)
        for job in new:
            run_at = self.now + delay_s
            self.jobs.append(Plain(job.id, job_type, model, priority, 0.0, run_at))
            self.require_last(self.jobs[-1])

    @rule(resident=st.sets(st.sampled_from(MODELS)), models=st.sets(st.sampled_from(MODELS)))
    def claim(self, resident, models):
        ready = self.claimable(models)
        expected = min(
            ready,
            key=lambda job: (-job.priority, job.model not in resident, job.place, job.id),
            default=None,
        )
        options = {"resident": sorted(resident), "models": sorted(models)}
        peeked = self.store.peek(**options)
        claimed = self.store.claim("w", lease_s=LEASE_S, overdue_s=OVERDUE_S, **options)
        assert (peeked and peeked.id) == (claimed and claimed.id) == (expected and expected.id)
        if expected:
            expected.state, expected.token = "running", expected.token + 1
            expected.lease_until = self.now + LEASE_S
            assert claimed.token == expected.token

    @rule(index=st.integers(0, 20), old=st.booleans(), progress=st.booleans())
    def beat(self, index, old, progress):
        job = self.pick(index, "running")
        if job:
            token = job.token - old
            beat = Beat(job_id=job.id, token=token, progress={"n": 1} if progress else None)
            reply = self.store.beat("w", [beat], lease_s=LEASE_S)[job.id]
            assert reply.is_alive is not old
            assert reply.cancel_requested is (job.cancel and not old)
            if not old:
                job.lease_until = self.now + LEASE_S

    @rule(index=st.integers(0, 20), old=st.booleans())
    def finish(self, index, old):
        job = self.pick(index, "running")
        if job:
            token = job.token - old
            done = self.store.finish(
                job.id, token, result={}, assets=[make_asset(token)], device_s=1.0
            )
            assert done is not (old or job.cancel)
            if not old:
                job.state = "cancelled" if job.cancel else "succeeded"
                job.published += not job.cancel

    @rule(index=st.integers(0, 20), old=st.booleans(), wait_s=st.sampled_from((None, 0.0, 5.0)))
    def fail(self, index, old, wait_s):
        job = self.pick(index, "running")
        if job:
            token = job.token - old
            assert self.store.fail(job.id, token, error=ERROR, retry_in_s=wait_s) is not old
            if old:
                return
            if job.cancel:
                job.state = "cancelled"
                return
            job.errors += 1
            if wait_s is None or job.errors >= MAX_ERRORS:
                job.state = "failed"
            else:
                job.queue(self.now + wait_s if wait_s else None)

    @rule(index=st.integers(0, 20), old=st.booleans())
    def release(self, index, old):
        job = self.pick(index, "running")
        if job:
            assert self.store.release(job.id, job.token - old, reason="drain") is not old
            if not old:
                job.state = "cancelled" if job.cancel else "queued"

    @rule(index=st.integers(0, 20))
    def confirm_cancel(self, index):
        job = self.pick(index, "running")
        if job:
            assert self.store.confirm_cancel(job.id, job.token) is job.cancel
            if job.cancel:
                job.state = "cancelled"

    @rule(index=st.integers(0, 20))
    def cancel(self, index):
        job = self.pick(index, "queued", "running", "succeeded", "failed", "cancelled")
        if job:
            if job.state == "queued":
                job.state, job.cancel = "cancelled", True
            elif job.state == "running":
                job.cancel = True
            assert self.store.cancel(job.id).state == job.state

    @rule(index=st.integers(0, 20))
    def retry(self, index):
        job = self.pick(index, "failed", "cancelled", "succeeded")
        if job and job.state == "succeeded":
            with pytest.raises(IllegalState):
                self.store.retry(job.id)
        elif job:
            self.store.retry(job.id)
            job.queue(self.now)
            job.errors, job.crashes, job.cancel = 0, 0, False
            self.require_last(job)

    @rule(seconds=st.sampled_from((1.0, 6.0, 16.0, 25.0)))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def reap(self):
        lapsed = [job for job in self.jobs if job.state == "running" and job.lease_until < self.now]
        assert set(self.store.reap(max_crashes=MAX_CRASHES)) == {job.id for job in lapsed}
        for job in lapsed:
            job.crashes += 1
            if job.cancel:
                job.state = "cancelled"
            else:
                job.state = "failed" if job.crashes >= MAX_CRASHES else "queued"

    @rule(scope=st.sampled_from(("all", "video_fast")))
    def pause(self, scope):
        self.store.pause(scope)
        self.paused.add(scope)

    @precondition(lambda self: self.paused)
    @rule(scope=st.sampled_from(("all", "video_fast")))
    def resume(self, scope):
        self.store.resume(scope)
        self.paused.discard(scope)

    @rule(index=st.integers(0, 20))
    def move_to_front(self, index):
        job = self.pick(index, "queued")
        if job:
            self.store.move(job.id, front=True)
            job.priority = PRIORITY_FRONT
            self.read_places()
            assert self.band(PRIORITY_FRONT)[0] is job

    @rule(index=st.integers(0, 20), other=st.integers(0, 20), is_after=st.booleans())
    def move_beside(self, index, other, is_after):
        job, beside = self.pick(index, "queued"), self.pick(other, "queued")
        if job is None or job is beside:
            return
        expected = [each for each in self.band(beside.priority) if each is not job]
        expected.insert(expected.index(beside) + is_after, job)
        self.store.move(job.id, **{"after" if is_after else "before": beside.id})
        job.priority = beside.priority
        self.read_places()
        assert self.band(beside.priority) == expected

    @invariant()
    def states_agree(self):
        for job in self.jobs:
            found = self.store.get(job.id)
            state = (found.state, found.token, found.errors, found.crashes, found.priority)
            assert state == (job.state, job.token, job.errors, job.crashes, job.priority)
            assert len(self.store.assets(job.id)) == job.published <= 1
            assert found.is_terminal == (found.state in TERMINAL_STATES)
            if job.state == "queued":
                assert found.is_held is bool(self.paused & {"all", job.job_type})


QUICK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
THOROUGH = settings(QUICK, max_examples=200, stateful_step_count=60, derandomize=False)

TestQuick = StoreMachine.TestCase
TestQuick.settings = QUICK


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestThorough(StoreMachine.TestCase):
    settings = THOROUGH


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_postgres_against_the_plain_model(postgres_url):
    from hypothesis.stateful import run_state_machine_as_test

    class PostgresMachine(StoreMachine):
        database_url = postgres_url

    run_state_machine_as_test(
        PostgresMachine, settings=settings(THOROUGH, max_examples=40, stateful_step_count=40)
    )
