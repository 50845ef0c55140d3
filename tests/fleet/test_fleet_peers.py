"""What workers' rows tell of a fleet."""

from ourvidz.fleet.peers import bytes_of, held_by_idle, places_of
from ourvidz.fleet.placement import ModelDemand, place
from ourvidz.jobs.model import WorkerInfo


def worker(name, *, state="idle", models=(), resident=None, memory=None):
    return WorkerInfo(
        id=name,
        host="h",
        pid=1,
        device="cuda:0",
        state=state,
        started_at=0.0,
        seen_at=0.0,
        models=models,
        resident=resident or {},
        jobs=(),
        facts={} if memory is None else {"memory": memory},
    )


def test_only_idle_others_that_run_a_model_hold_it_for_us():
    workers = [
        worker("me", resident={"mine": 1}),
        worker("idle", resident={"a": 1}),
        worker("busy", state="busy", resident={"b": 1}),
        worker("leaving", state="draining", resident={"c": 1}),
        worker("bound", models=("e",), resident={"d": 1, "e": 1}),
    ]
    assert held_by_idle(workers, but="me") == {"a", "e"}


def test_room_is_the_budget_without_what_jobs_take():
    workers = [
        worker("a", memory={"budget_bytes": 100, "activations_bytes": 30}, resident={"m": 7}),
        worker("tight", memory={"budget_bytes": 100, "activations_bytes": 130}),
        worker("starting", state="starting", memory={"budget_bytes": 100}),
    ]
    places = {place.id: place for place in places_of(workers)}
    assert places.keys() == {"a", "tight"}
    assert (places["a"].room_bytes, places["a"].resident) == (70, {"m"})
    assert places["tight"].room_bytes == 0


def test_who_tells_no_room_is_left_out_of_the_plan():
    empty = {"budget_bytes": 25, "activations_bytes": 0}
    workers = [
        worker("cpu", memory={"budget_bytes": 0}),
        worker("new", state="busy"),
        worker("gpu0", memory=empty),
        worker("gpu1", memory=empty),
    ]
    demand = {
        "common": ModelDemand(uses=1000.0, num_bytes=10),
        "rare": ModelDemand(uses=1.0, num_bytes=20),
        "rarer": ModelDemand(uses=0.5, num_bytes=20),
    }
    plan = place(places_of(workers), demand, horizon_s=1800.0)
    assert sorted(plan.models) == ["gpu0", "gpu1"]
    assert plan.copies["common"] >= 1


def test_bytes_are_what_workers_tell_rather_than_what_a_download_has():
    workers = [worker("a", resident={"m": 7}), worker("b", resident={"m": 9, "n": 3})]
    assert bytes_of(workers, {"m": 8, "o": 4, "unknown": 0}) == {"m": 9, "n": 3, "o": 4}
