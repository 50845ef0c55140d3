"""Which models lie where."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ourvidz.fleet.placement import ModelDemand, WorkerPlace, exchange, place

GB = 10**9
HORIZON_S = 1800.0


def workers(count, *, room=24 * GB, **held):
    return [
        WorkerPlace(
            id=f"w{index}",
            room_bytes=room,
            resident=frozenset(name for name, owners in held.items() if index in owners),
        )
        for index in range(count)
    ]


def image(uses, **values):
    return ModelDemand(uses=uses, **{"num_bytes": 7 * GB, "load_s": 1.0, **values})


def test_rare_models_get_a_first_copy_before_common_ones_get_many():
    demand = {"common": image(1000.0), **{f"rare{index}": image(100.0) for index in range(4)}}
    plan = place(workers(3), demand, horizon_s=HORIZON_S)  # room for nine
    assert set(plan.copies) == set(demand)
    assert plan.copies["common"] == 3  # one on each
    assert all(models[0] == "common" for models in plan.models.values())
    held = [model for models in plan.models.values() for model in models]
    assert {f"rare{index}" for index in range(4)} < set(held)


def test_work_brings_as_many_copies_as_it_keeps_busy():
    busy = image(4 * HORIZON_S / 20.0, work_s=20.0, num_bytes=20 * GB)  # four workers' time
    plan = place(workers(6), {"busy": busy, "rare": image(3.0, num_bytes=20 * GB)}, horizon_s=1800)
    assert plan.copies["busy"] >= 4
    assert plan.copies["rare"] == 1


def test_a_model_stays_where_it_is():
    demand = {"a": image(10.0, num_bytes=20 * GB), "b": image(10.0, num_bytes=20 * GB)}
    plan = place(workers(2, a={1}, b={0}), demand, horizon_s=HORIZON_S)
    assert plan.of("w0") == ("b",)
    assert plan.of("w1") == ("a",)


def test_a_worker_is_given_only_what_it_runs():
    special = WorkerPlace(id="w9", room_bytes=24 * GB, models=frozenset({"b"}))
    demand = {"a": image(10.0), "b": image(1.0)}
    plan = place([*workers(1), special], demand, horizon_s=HORIZON_S)
    assert plan.of("w9") == ("b",)
    assert plan.of("nobody") == ()


def test_with_room_for_all_everything_is_everywhere_most_used_first():
    demand = {"a": image(1.0), "b": image(5.0), "unused": image(0.0)}
    plan = place(workers(2), demand, horizon_s=HORIZON_S)
    assert plan.models == {"w0": ("b", "a"), "w1": ("b", "a")}
    assert plan.copies == {"a": 2, "b": 2}


def test_what_is_bound_to_one_model_adds_no_room_for_others():
    bound = [
        WorkerPlace(id=f"v{index}", room_bytes=80 * GB, models=frozenset({"wan"}))
        for index in range(8)
    ]
    free = WorkerPlace(id="w", room_bytes=80 * GB, resident=frozenset({"c"}))
    demand = {
        "a": image(1.0, num_bytes=40 * GB),
        "b": image(1.0, num_bytes=40 * GB),
        "c": image(1000.0, num_bytes=10 * GB),
        "wan": image(5.0, num_bytes=15 * GB),
    }
    plan = place([free, *bound], demand, horizon_s=HORIZON_S)
    assert plan.of("w")[0] == "c"
    assert len(plan.of("w")) == 3  # with one of the two rare ones
    assert all(plan.of(worker.id) == ("wan",) for worker in bound)
    found = exchange(
        plan.of("w"),
        resident=["c"],
        held={"c", "wan"},
        room_bytes=80 * GB,
        sizes={model: each.num_bytes for model, each in demand.items()},
    )
    assert found.leaving == ()


def test_workers_that_run_one_model_alone_take_it_first():
    special = WorkerPlace(id="z", room_bytes=24 * GB, models=frozenset({"b"}))
    demand = {"a": image(10.0, num_bytes=20 * GB), "b": image(1.0, num_bytes=20 * GB)}
    plan = place([*workers(1), special], demand, horizon_s=HORIZON_S)
    assert (plan.of("w0"), plan.of("z")) == (("a",), ("b",))


def test_large_rare_models_leave_out_no_dear_one():
    demand = {
        "a": image(1.0, num_bytes=60 * GB, load_s=8.0),
        "b": image(1.0, num_bytes=60 * GB, load_s=8.0),
        "dear": image(1000.0, num_bytes=40 * GB, load_s=5.0),
    }
    plan = place(workers(2, room=80 * GB), demand, horizon_s=HORIZON_S)
    assert plan.copies == {"a": 1, "dear": 1}  # all three are no more than both have in all
    assert sorted(plan.models.values()) == [("a",), ("dear",)]


def test_what_fits_no_worker_takes_no_room_from_others():
    demand = {"huge": image(100.0, num_bytes=30 * GB), "a": image(1.0), "b": image(1.0)}
    plan = place(workers(2), demand, horizon_s=HORIZON_S)
    assert plan.copies == {"a": 2, "b": 2}


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=6),
    st.lists(st.tuples(st.floats(0, 500), st.integers(1, 40)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_no_worker_gets_more_than_fits_and_order_does_not_matter(rooms, models, rng):
    places = [WorkerPlace(id=f"w{index}", room_bytes=room * GB) for index, room in enumerate(rooms)]
    demand = {
        f"m{index}": image(uses, num_bytes=size * GB) for index, (uses, size) in enumerate(models)
    }
    plan = place(places, demand, horizon_s=HORIZON_S)
    for worker in places:
        part = plan.of(worker.id)
        assert sum(demand[model].num_bytes for model in part) <= worker.room_bytes
        assert max(Counter(part).values(), default=1) == 1
    held = Counter(model for models in plan.models.values() for model in models)
    assert plan.copies == held
    shuffled = list(places)
    rng.shuffle(shuffled)
    assert place(shuffled, demand, horizon_s=HORIZON_S) == plan


SIZES = {"a": 10, "b": 10, "c": 10, "d": 10}


def test_only_what_nobody_has_makes_others_leave():
    values = {"resident": ["a", "b"], "room_bytes": 25, "sizes": SIZES}
    second = exchange(["b", "c"], held={"a", "b", "c"}, **values)
    assert (second.missing, second.leaving) == ((), ())
    first = exchange(["b", "c"], held={"a", "b"}, **values)
    assert (first.missing, first.leaving) == (("c",), ("a",))


def test_the_least_useful_leaves_and_no_more_than_needed():
    found = exchange(["c"], resident=["a", "b"], held={"a", "b"}, room_bytes=20, sizes=SIZES)
    assert found.leaving == ("a",)
    fits = exchange(["c"], resident=["a", "b"], held={"a", "b"}, room_bytes=30, sizes=SIZES)
    assert (fits.missing, fits.leaving) == (("c",), ())
