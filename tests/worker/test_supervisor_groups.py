"""Groups of GPUs and how they are re-formed, with real worker processes and GPUs by name only.

The engine without models never touches a device, so these GPUs need not be there.
"""

import os
import signal
import threading
from contextlib import ExitStack

import psutil
import pytest

from ourvidz.catalog.config import FleetConfig
from ourvidz.cli.serve import _keep_reforming
from ourvidz.core.job import JobState
from ourvidz.fleet.policy import PolicyKind
from ourvidz.fleet.shape import cut
from ourvidz.worker.reforming import Reformer
from ourvidz.worker.supervisor import Supervisor, plan_slots, slots_of
from tests.faults.harness import Site, check_history

GPUS = ("0", "1", "2", "3")
LONG = "steps=100 step_ms=20"  # 2 s


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def with_policy(site, policy, **values):
    return site.settings.model_copy(update={"fleet": FleetConfig(policy=policy, **values)})


@pytest.fixture
def supervisor(site):
    slots = plan_slots(site.settings, gpus=GPUS)
    made = Supervisor(settings=site.settings, slots=slots, arguments=["--test-engine"])
    yield made
    made.stop(drain_s=0.0)


def by_name(supervisor):
    return {status.name: status for status in supervisor.status()}


def wait_running(site, supervisor, names):
    def are_running():
        found = by_name(supervisor)
        return set(found) == set(names) and all(each.is_running for each in found.values())

    site.wait_until(are_running, timeout_s=40, what=f"workers {names}")


def test_slots_are_groups_of_gpus_and_workers_learn_their_size(site):
    (whole,) = plan_slots(with_policy(site, "latency"), gpus=GPUS)
    assert (whole.name, whole.device, whole.gpus) == ("gpu0-3", "cuda:0", GPUS)
    assert whole.environment["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
    assert whole.environment["OURVIDZ_GROUP_SIZE"] == "4"
    alone = plan_slots(site.settings, gpus=["7", "GPU-abc"])
    assert [(slot.name, slot.gpus) for slot in alone] == [("gpu0", ("7",)), ("gpu1", ("GPU-abc",))]
    assert {slot.environment["OURVIDZ_GROUP_SIZE"] for slot in alone} == {"1"}
    assert plan_slots(site.settings, gpus=())[0].gpus == ()


@pytest.mark.slow
def test_re_forming_drains_only_who_changes_and_loses_no_job(site, supervisor):
    supervisor.start()
    site.wait_ready(4)
    before = by_name(supervisor)
    running = site.submit(*[LONG] * 4, job_type="video_fast")
    site.wait_until(
        lambda: all(site.store.get(each).state is JobState.RUNNING for each in running),
        timeout_s=20,
        what="four running jobs",
    )
    pair = cut(GPUS, [2, 1, 1], current=cut(GPUS, [1] * 4))
    supervisor.reform(slots_of(site.settings, pair, gpus=GPUS))
    leaving = {name for name, each in by_name(supervisor).items() if each.is_leaving}
    assert leaving == {"gpu0", "gpu1"}
    assert by_name(supervisor)["gpu0-1"].pid is None  # its GPUs are not free yet
    waiting = site.submit(*["steps=2"] * 4, job_type="video_fast")
    wait_running(site, supervisor, ["gpu0-1", "gpu2", "gpu3"])
    after = by_name(supervisor)
    assert {after[name].pid for name in ("gpu2", "gpu3")} == {
        before[name].pid for name in ("gpu2", "gpu3")
    }
    environment = psutil.Process(after["gpu0-1"].pid).environ()
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert environment["OURVIDZ_GROUP_SIZE"] == "2"
    jobs = site.wait_done([*running, *waiting])
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {job.token for job in jobs[:4]} == {1}  # who was drained has finished its job
    check_history(site)


@pytest.mark.slow
def test_a_plan_that_changes_again_while_workers_leave_is_followed(site, supervisor):
    supervisor.start()
    site.wait_ready(4)
    site.submit(*[LONG] * 4, job_type="video_fast")
    alone = plan_slots(site.settings, gpus=GPUS)
    supervisor.reform(slots_of(site.settings, cut(GPUS, [4]), gpus=GPUS))
    supervisor.reform(alone)  # before anybody of the four has left
    wait_running(site, supervisor, [slot.name for slot in alone])
    assert all(each.starts == 1 for each in by_name(supervisor).values())
    site.wait_done([job.id for job in site.jobs()])
    check_history(site)


@pytest.mark.slow
def test_a_killed_worker_that_was_leaving_does_not_come_back(site, supervisor):
    supervisor.start()
    site.wait_ready(4)
    victim = by_name(supervisor)["gpu0"].pid
    (job_id,) = site.submit("steps=2")
    supervisor.reform(slots_of(site.settings, cut(GPUS, [4]), gpus=GPUS))
    os.kill(victim, signal.SIGKILL)
    wait_running(site, supervisor, ["gpu0-3"])
    (job,) = site.wait_done([job_id])
    assert job.state is JobState.SUCCEEDED


@pytest.mark.slow
def test_the_reformer_follows_the_queue_there_and_back(site):
    now_s = [0.0]
    settings = with_policy(site, "mixed", min_stay_s=60.0)
    supervisor = Supervisor(
        settings=settings,
        slots=plan_slots(settings, gpus=GPUS),
        arguments=["--test-engine"],
    )
    reformer = Reformer(
        settings=settings,
        store=site.store,
        supervisor=supervisor,
        gpus=GPUS,
        monotonic_s=lambda: now_s[0],
    )
    supervisor.start()
    try:
        site.wait_ready(4)
        assert reformer.step().reason.startswith("nothing waits")
        site.store.pause("all")  # held jobs ask for nothing
        (first,) = site.submit("steps=2", job_type="video_fast")
        site.store.resume("all")
        site.wait_done([first])
        decision = reformer.step()  # one came lately, and all four were free
        assert decision.is_change
        assert reformer.shape.sizes == (4,)
        wait_running(site, supervisor, ["gpu0-3"])
        many = site.submit(*["steps=20 step_ms=20"] * 60, job_type="video_fast")
        assert not reformer.step().is_change  # it was re-formed just now
        now_s[0] += 60.0
        later = reformer.step()
        assert later.shape.sizes != (4,), later.reason
        site.wait_done(many, timeout_s=90)
        check_history(site)
    finally:
        supervisor.stop(drain_s=0.0)


def test_who_has_one_policy_only_never_re_forms(site):
    settings = with_policy(site, "throughput")
    supervisor = Supervisor(settings=settings, slots=plan_slots(settings, gpus=GPUS))
    reformer = Reformer(settings=settings, store=site.store, supervisor=supervisor, gpus=GPUS)
    site.submit("steps=2", job_type="video_fast")
    assert not reformer.step().is_change
    assert PolicyKind(settings.fleet.policy) is PolicyKind.THROUGHPUT
    assert [status.name for status in supervisor.status()] == ["gpu0", "gpu1", "gpu2", "gpu3"]


@pytest.mark.parametrize(("policy", "is_kept"), [("mixed", True), ("latency", False)])
def test_the_service_keeps_re_forming_where_that_is_the_policy(site, policy, is_kept):
    settings = with_policy(site, policy)
    slots = plan_slots(settings, gpus=GPUS)
    supervisor = Supervisor(settings=settings, slots=slots)  # never started
    with ExitStack() as stack:
        _keep_reforming(settings, site.store, supervisor, slots, stack)
        names = [thread.name for thread in threading.enumerate()]
        assert ("reformer" in names) is is_kept
    assert "reformer" not in [thread.name for thread in threading.enumerate()]
