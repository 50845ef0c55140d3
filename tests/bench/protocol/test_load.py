"""A load test against a real server and a worker of the test engine."""

import pytest

from ourvidz.bench.protocol.load import LoadTest
from ourvidz.core.cancel import CancelToken
from ourvidz.perf.protocol.load import SKIPPED, SUCCEEDED, LoadPlan, arrivals_of
from tests.api.conftest import deps, guarded_client, make_app_deps, server, settings
from tests.bench.protocol.test_via_api import service, working

__all__ = ["deps", "guarded_client", "make_app_deps", "server", "service", "settings", "working"]

PROMPTS = ("steps=2",)


def load_test(service, *, job_type="image_fast", cancel=None, patience_s=20.0, **fields):
    plan = LoadPlan(
        **{"rate_s": 20.0, "duration_s": 0.5, "deadline_s": 5.0, "job_types": (job_type,)} | fields
    )
    test = LoadTest(
        service=service,
        plan=plan,
        values={},
        run_id="bench_x",
        patience_s=patience_s,
        look_s=0.05,
        cancel=cancel or CancelToken(),
        tell=lambda _: None,
    )
    return test, arrivals_of(plan, PROMPTS)


@pytest.mark.usefixtures("working")
def test_every_arrival_is_sent_and_followed(service):
    test, arrivals = load_test(service)
    served, elapsed_s = test.run(arrivals)
    assert [one.index for one in served] == [one.index for one in arrivals]
    assert {one.outcome for one in served} == {SUCCEEDED}
    assert all(0 < one.latency_s < elapsed_s + 1 for one in served)
    assert all(one.wait_s <= one.latency_s for one in served)


def test_beyond_the_cap_nothing_is_sent_and_what_does_not_end_is_given_up(service, deps):
    test, arrivals = load_test(service, concurrency=1, patience_s=0.1)
    served, _ = test.run(arrivals)
    outcomes = [one.outcome for one in served]
    assert outcomes == ["unended"] + [SKIPPED] * (len(arrivals) - 1)
    assert deps.store.get(served[0].job_id).state.value == "cancelled"


def test_what_the_service_refuses_is_a_class_of_failure(service):
    test, arrivals = load_test(service, job_type="none")
    served, _ = test.run(arrivals)
    assert {one.outcome for one in served} == {"refused:unknown_name"}
