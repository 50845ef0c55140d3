"""The simulator: by hand where that is possible, by theory where it is known, else by promise."""

from dataclasses import replace

import numpy as np
import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.fleet.policy import PolicyKind
from ourvidz.fleet.simulation import (
    Arrival,
    Foresight,
    JobClass,
    Machine,
    ModelSpec,
    Scenario,
    Stream,
    Times,
    arrivals_of,
    simulate,
)
from ourvidz.fleet.usage import Usage

GB = 10**9
EXACT = Times(handover_s=0.0, notice_s=0.0)
MODELS = tuple(
    ModelSpec(id=name, num_bytes=10 * GB, from_disk_s=5.0, from_page_cache_s=1.0)
    for name in ("a", "b", "c")
)
CLASSES = tuple(
    JobClass(name=f"job-{name}", model=name, services_s=(10.0,), media="video") for name in "abc"
)


def fleet(num_gpus=1, *, room=10 * GB, machines=1, **values):
    one = Machine(num_gpus=num_gpus, room_bytes=room, page_cache_bytes=100 * GB)
    settings = {
        "classes": CLASSES,
        "models": MODELS,
        "times": EXACT,
        "foresight": Foresight.NONE,
        **values,
    }
    return Scenario(machines=[one] * machines, **settings)


def run(scenario, *arrivals, seed=1):
    made = [Arrival(at_s, f"job-{name}") for name, at_s in arrivals]
    return simulate(scenario, lambda: made, seed=seed)


def poisson(per_s, *, duration_s=2e5, seed=3):
    streams = [Stream(job_class="job-a", per_s=per_s)]
    return lambda: arrivals_of(streams, duration_s=duration_s, rng=np.random.default_rng(seed))


# By hand


def test_the_first_comes_from_disk_the_same_again_is_there_and_another_pushes_it_out():
    # a: 5 + 10; a: 10; b: 5 + 10, a leaves; a: from the page cache.
    found = run(fleet(), ("a", 0.0), ("a", 0.0), ("b", 30.0), ("a", 60.0))
    assert found.makespan_s == pytest.approx(71.0)
    assert found.loads == 3
    assert found.load_wait_s == pytest.approx(5.0 + 5.0 + 1.0)
    assert found.waits.mean_s == pytest.approx(15.0 / 4)
    assert found.goodput == pytest.approx(40.0 / 71.0)
    assert found.utilisation == pytest.approx(51.0 / 71.0)
    assert found.starts_by_class["job-b"].mean_s == pytest.approx(5.0)


def test_what_is_resident_goes_before_what_would_have_to_be_loaded_but_overdue_goes_first():
    jobs = [("a", 0.0), ("b", 1.0), ("a", 2.0), ("a", 3.0)]
    kept = run(fleet(), *jobs)
    assert kept.loads == 2
    assert kept.responses_by_class["job-b"].mean_s == pytest.approx(35.0 + 15.0 - 1.0)
    impatient = run(fleet(times=replace(EXACT, overdue_s=20.0)), *jobs)
    assert impatient.loads == 3
    assert impatient.responses_by_class["job-b"].mean_s == pytest.approx(25.0 + 15.0 - 1.0)


def test_a_higher_band_goes_before_a_resident_model():
    urgent = replace(CLASSES[1], priority=5)
    found = run(fleet(classes=(CLASSES[0], urgent)), ("a", 0.0), ("a", 1.0), ("a", 1.0), ("b", 2.0))
    assert found.responses_by_class["job-b"].mean_s == pytest.approx(15.0 + 15.0 - 2.0)


def test_an_idle_worker_that_has_the_model_gets_the_job():
    jobs = [("a", 0.0), ("b", 1.0), *[("a", 100.0 * n) for n in range(1, 20)]]
    assert run(fleet(2), *jobs).loads == 2
    assert run(fleet(2, follows_residency=False), *jobs).loads > 2


def test_a_model_that_is_on_its_way_is_waited_for_and_no_longer():
    usage = Usage()
    usage.add("b", 0.0, uses=100.0)
    knows = fleet(foresight=Foresight.PLACED, usage=usage)
    early, later = run(knows, ("b", 2.0)), run(knows, ("b", 7.0))
    assert (early.loads, early.load_wait_s) == (1, pytest.approx(3.0))
    assert (later.loads, later.loads_ahead, later.load_wait_s) == (0, 1, 0.0)
    other = run(knows, ("c", 2.0))  # what it needs stops what was on its way
    assert other.load_wait_s == pytest.approx(5.0)
    assert other.loads_ahead == 0


def test_a_group_is_as_fast_as_it_was_measured():
    speedups = {"video": {4: 2.5}}
    found = run(fleet(4, policy=PolicyKind.LATENCY, speedups=speedups), ("a", 0.0), ("a", 0.0))
    assert found.makespan_s == pytest.approx(5.0 + 4.0 + 4.0)
    assert found.goodput == pytest.approx(8.0 / 13.0)


# By theory


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_gpu_waits_as_long_as_pollaczek_and_khinchin_say(load):
    found = simulate(fleet(), poisson(load / 10.0, duration_s=1e6), seed=1)
    assert found.waits.mean_s == pytest.approx(10.0 * load / (2 * (1 - load)), rel=0.06)
    assert found.utilisation == pytest.approx(load, rel=0.02)


def test_four_gpus_with_exponential_times_wait_as_long_as_erlang_says():
    rng = np.random.default_rng(7)
    times = tuple(rng.exponential(10.0, 20_000).tolist())
    load = 0.8
    scenario = fleet(4, classes=(replace(CLASSES[0], services_s=times),))
    found = simulate(scenario, poisson(4 * load / 10.0, duration_s=5e5), seed=1)
    offered = 4 * load
    terms = [offered**n / np.prod(range(1, n + 1)) for n in range(4)]
    last = offered**4 / 24 / (1 - load)
    expected_s = last / (sum(terms) + last) * np.mean(times) / (4 * (1 - load))
    assert found.waits.mean_s == pytest.approx(expected_s, rel=0.08)


def test_streams_keep_their_mean_rate_in_bursts_and_over_days():
    day_s, rng = 86400.0, np.random.default_rng(5)
    streams = [
        Stream(job_class="even", per_s=0.1),
        Stream(job_class="bursts", per_s=0.1, burst_every_s=3600.0),
        Stream(job_class="days", per_s=0.1, peak_hour=12.0),
    ]
    found = list(arrivals_of(streams, duration_s=10 * day_s, rng=rng))
    assert found == sorted(found)
    counts, noons = {}, []
    for each in found:
        counts[each.job_class] = counts.get(each.job_class, 0) + 1
        if each.job_class == "days":
            noons.append(each.at_s % day_s)
    for name, count in counts.items():
        assert count == pytest.approx(0.1 * 10 * day_s, rel=0.1), name
    share = np.mean([0.25 * day_s < at < 0.75 * day_s for at in noons])
    assert share == pytest.approx(0.5 + 0.8 / np.pi, abs=0.01)


# By promise


def busy(num_gpus, load, *, seed=2, duration_s=20_000.0):
    streams = [
        Stream(job_class=f"job-{name}", per_s=load * num_gpus / 30.0, burst_every_s=2000.0)
        for name in "abc"
    ]
    return lambda: arrivals_of(streams, duration_s=duration_s, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("foresight", list(Foresight))
@pytest.mark.parametrize("policy", list(PolicyKind))
def test_every_job_ends_and_the_same_seed_is_the_same_day(foresight, policy):
    arrivals = busy(10, 0.4)
    scenario = fleet(
        5,
        machines=2,
        room=25 * GB,
        foresight=foresight,
        policy=policy,
        speedups={"video": {2: 1.8, 4: 3.0}},
    )
    first, again = (simulate(scenario, arrivals, seed=4) for _ in range(2))
    assert first == again
    assert first.num_jobs == len(list(arrivals()))
    assert 0 < first.goodput <= first.utilisation <= 1
    assert simulate(scenario, arrivals, seed=5) != first


def test_groups_are_re_formed_with_the_load_and_a_drain_gives_long_jobs_back():
    quiet_then_busy = [
        *[("a", 400.0 * n) for n in range(10)],
        *[("a", 5000.0 + 5.0 * n) for n in range(500)],
    ]
    long = (replace(CLASSES[0], services_s=(300.0,)),)
    speedups = {"video": {2: 1.5, 4: 2.0}}
    found = run(
        fleet(4, policy=PolicyKind.MIXED, speedups=speedups, classes=long), *quiet_then_busy
    )
    assert found.num_jobs == len(quiet_then_busy)
    assert found.re_formings >= 2
    assert found.given_back >= 1
    fixed = run(
        fleet(4, policy=PolicyKind.LATENCY, speedups=speedups, classes=long), *quiet_then_busy
    )
    assert fixed.re_formings == 0
    assert found.makespan_s < fixed.makespan_s


def test_who_knows_more_waits_less_for_loading():
    hours = [
        Stream(job_class=f"job-{name}", per_s=0.02, peak_hour=hour, swing=1.0)
        for name, hour in (("a", 4.0), ("b", 12.0), ("c", 20.0))
    ]

    def day():
        return arrivals_of(hours, duration_s=86400.0, rng=np.random.default_rng(1))

    waits = {}
    for foresight in Foresight:
        scenario = fleet(3, room=15 * GB, foresight=foresight)
        waits[foresight] = simulate(scenario, day, seed=1).load_wait_s
    assert waits[Foresight.CLAIRVOYANT] <= waits[Foresight.PLACED] < waits[Foresight.NONE]


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(InvalidRequest, match="unknown model 'x'"):
        fleet(classes=[JobClass(name="j", model="x", services_s=(1.0,))])
    with pytest.raises(InvalidRequest, match="service times"):
        fleet(classes=[JobClass(name="j", model="a", services_s=())])
    with pytest.raises(InvalidRequest, match="room for"):
        fleet(room=9 * GB)
