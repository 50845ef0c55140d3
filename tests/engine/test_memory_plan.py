"""What leaves the device: never too much, never what is held, the cheapest first."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.engine.memory_plan import (
    ActivationPeaks,
    Derived,
    DeviceView,
    HostCache,
    HostCopy,
    MemoryPressure,
    Place,
    Plan,
    Speeds,
    Weights,
    budget_of,
    decayed,
    plan_evictions,
)

GIB = 2**30
GB = 10**9


def weights(name: str, num_bytes: int = GB, **values) -> Weights:
    merged = {"file_bytes": num_bytes, "use": 1.0, **values}
    model, _, component = name.partition(".")
    return Weights(key=(model, component or "unet"), num_bytes=num_bytes, **merged)


# ---- Properties, on any device


@st.composite
def devices(draw) -> tuple[list[Weights], int, HostCache]:
    sizes = st.integers(0, 40)
    spans = st.floats(0, 20)
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), unique=True, max_size=8
        )
    )
    made = [
        Weights(
            key=key,
            num_bytes=draw(sizes) * GB,
            file_bytes=draw(sizes) * GB,
            use=draw(spans),
            is_held=draw(st.booleans()),
            is_in_page_cache=draw(st.booleans()),
            is_whole=draw(st.booleans()),
            derived=tuple(
                Derived(name=name, num_bytes=draw(sizes) * GB, build_s=draw(spans))
                for name in draw(st.lists(st.sampled_from("12"), unique=True))
            ),
        )
        for key in keys
    ]
    copies = [
        HostCopy(
            key=key,
            num_bytes=draw(sizes) * GB,
            value=draw(st.floats(0, 1e-8)),
            is_on_device=key in keys,
        )
        for key in draw(st.lists(st.sampled_from([*keys, ("z", "x"), ("z", "y")]), unique=True))
    ]
    copied = {copy.key for copy in copies}
    made = [replace(each, has_host_copy=each.key in copied) for each in made]
    budget = sum(copy.num_bytes for copy in copies) + draw(sizes) * GB
    return (
        made,
        draw(st.integers(-5, 200)) * GB,
        HostCache(budget_bytes=budget, copies=tuple(copies)),
    )


def left_after(before: list[Weights], plan: Plan) -> list[Weights]:
    gone = {each.key for each in plan.evictions if each.derived is None}
    parts = {(each.key, each.derived) for each in plan.evictions}
    return [
        replace(each, derived=tuple(d for d in each.derived if (each.key, d.name) not in parts))
        for each in before
        if each.key not in gone
    ]


def total(those: list[Weights]) -> int:
    return sum(each.total_bytes for each in those)


@given(devices())
def test_it_frees_what_is_needed_or_all_that_may_go(device):
    before, needed, host = device
    plan = plan_evictions(before, needed_bytes=needed, host=host)
    after = left_after(before, plan)
    assert total(before) - total(after) == plan.freed_bytes
    assert plan.is_enough == (plan.freed_bytes >= needed)
    if not plan.is_enough:
        assert total([each for each in after if not each.is_held]) == 0


@given(devices())
def test_what_is_held_stays_whole(device):
    before, needed, host = device
    after = left_after(before, plan_evictions(before, needed_bytes=needed, host=host))
    assert [each for each in after if each.is_held] == [each for each in before if each.is_held]


@given(devices())
def test_nothing_goes_that_need_not(device):
    before, needed, host = device
    plan = plan_evictions(before, needed_bytes=needed, host=host)
    gone = {each.key for each in plan.evictions if each.derived is None}
    for each in plan.evictions:
        if each.derived is None or each.key not in gone:
            assert plan.freed_bytes - each.freed_bytes < needed


@given(devices(), st.randoms(use_true_random=False))
def test_the_order_of_what_it_is_told_changes_nothing(device, order: random.Random):
    before, needed, host = device
    shuffled, copies = list(before), list(host.copies)
    order.shuffle(shuffled)
    order.shuffle(copies)
    other = plan_evictions(shuffled, needed_bytes=needed, host=replace(host, copies=tuple(copies)))
    assert other == plan_evictions(before, needed_bytes=needed, host=host)


@given(devices())
def test_the_host_never_holds_more_than_its_budget(device):
    before, needed, host = device
    plan = plan_evictions(before, needed_bytes=needed, host=host)
    kept = {copy.key: copy.num_bytes for copy in host.copies if copy.key not in plan.dropped_copies}
    sizes = {each.key: each.num_bytes for each in before}
    moved = {
        each.key: sizes[each.key]
        for each in plan.evictions
        if each.to is Place.HOST and each.key not in kept
    }
    assert sum((kept | moved).values()) <= host.budget_bytes
    # Who is said to go to the host finds a copy there, and nothing half made goes there.
    whole = {each.key for each in before if each.is_whole}
    assert moved.keys() <= whole
    gone = {each.key for each in plan.evictions if each.derived is None}
    assert not gone & set(plan.dropped_copies)


# ---- Choices


def test_rarely_used_goes_before_often_used():
    plan = plan_evictions([weights("a", use=5.0), weights("b", use=0.1)], needed_bytes=GB)
    assert [each.key[0] for each in plan.evictions] == ["b"]


def test_what_comes_back_quickly_goes_first():
    pair = [weights("a"), weights("b", is_in_page_cache=True), weights("c", has_host_copy=True)]
    order = [
        [each.key[0] for each in plan_evictions(pair, needed_bytes=n * GB).evictions]
        for n in (1, 2, 3)
    ]
    assert order == [["c"], ["c", "b"], ["c", "b", "a"]]


def test_what_is_quick_to_make_again_goes_before_its_component():
    fp8 = Derived(name="fp8", num_bytes=GB // 2, build_s=0.05)
    component = weights("a", derived=(fp8,))
    (only,) = plan_evictions([component], needed_bytes=GB // 4).evictions
    assert (only.derived, only.to, only.freed_bytes) == ("fp8", None, GB // 2)
    plan = plan_evictions([component], needed_bytes=GB)
    assert [each.derived for each in plan.evictions] in ([None], ["fp8", None])
    (whole,) = plan_evictions([replace(component, is_whole=False)], needed_bytes=1).evictions
    assert (whole.derived, whole.freed_bytes) == (None, GB + GB // 2)


def test_one_that_is_enough_spares_the_smaller_ones_chosen_before():
    small, large = weights("small", GB, use=0.1), weights("large", 10 * GB)
    plan = plan_evictions([small, large], needed_bytes=10 * GB)
    assert [each.key[0] for each in plan.evictions] == ["large"]


def test_only_what_is_slow_to_read_again_is_copied_to_the_host():
    host = HostCache(budget_bytes=50 * GB)
    for is_cached, place in ((True, Place.PAGE_CACHE), (False, Place.HOST)):
        (only,) = plan_evictions(
            [weights("a", 11 * GB, is_in_page_cache=is_cached)], needed_bytes=1, host=host
        ).evictions
        assert only.to is place
    (only,) = plan_evictions([weights("a", 11 * GB)], needed_bytes=1).evictions
    assert only.to is Place.DISK  # no budget for copies


def test_a_better_copy_takes_the_place_of_a_worse_and_of_a_spare_one():
    old = HostCopy(key=("old", "unet"), num_bytes=GB, value=1e-12)
    spare = HostCopy(key=("spare", "unet"), num_bytes=GB, value=1.0, is_on_device=True)
    precious = HostCopy(key=("precious", "unet"), num_bytes=GB, value=1.0)
    for copies, dropped, place in (
        ((old,), (old.key,), Place.HOST),
        ((spare,), (spare.key,), Place.HOST),
        ((precious,), (), Place.DISK),
    ):
        host = HostCache(budget_bytes=GB, copies=copies)
        plan = plan_evictions([weights("new")], needed_bytes=1, host=host)
        assert (plan.dropped_copies, plan.evictions[0].to) == (dropped, place)


# ---- The real models in 44 GiB

WAN = [
    weights("wan.transformer", int(2.84 * GB)),
    weights("wan.text_encoder", int(11.36 * GB)),
    weights("wan.vae", int(0.5 * GB)),
]
SDXL = [
    weights("sdxl.unet", int(5.14 * GB)),
    weights("sdxl.text_encoder", int(0.25 * GB)),
    weights("sdxl.text_encoder_2", int(1.39 * GB)),
    weights("sdxl.vae", int(0.33 * GB)),
]
QWEN = [weights("qwen.model", int(15.2 * GB))]
FP8 = {
    ("wan", "transformer"): Derived(name="fp8", num_bytes=int(1.42 * GB), build_s=0.1),
    ("sdxl", "unet"): Derived(name="fp8", num_bytes=int(2.57 * GB), build_s=0.1),
    ("qwen", "model"): Derived(name="fp8", num_bytes=int(7.6 * GB), build_s=0.3),
}
WAN_ACTIVATIONS, SDXL_ACTIVATIONS = 4 * GIB, 8 * GIB  # 480x832x81; a batch of 12
# As it would be on a card: the context is not the allocator's.
BUDGET = budget_of(
    DeviceView(
        total_bytes=140 * GIB,
        free_bytes=140 * GIB - GIB // 2,
        reserved_bytes=0,
        allocated_bytes=0,
    ),
    vram_bytes=44 * GIB,
)


def fit(those: list[Weights], activations: int, host: HostCache | None = None) -> Plan:
    return plan_evictions(
        those, needed_bytes=total(those) + activations - BUDGET, host=host, speeds=Speeds()
    )


def test_all_three_families_stay_on_44_gib():
    """In bf16 everything is resident at once, with room for the largest batch."""
    plan = fit([*WAN, *SDXL, *QWEN], SDXL_ACTIVATIONS)
    assert plan == Plan()
    assert total([*WAN, *SDXL, *QWEN]) == pytest.approx(37.0e9, rel=0.01)


def test_with_8_bit_copies_the_rarest_used_waits_in_host_memory():
    """Prompts come from the embedding cache, so that UMT5 is used least; it goes to the host."""
    uses = {("wan", "text_encoder"): 0.3, ("wan", "transformer"): 9.0, ("wan", "vae"): 9.0}
    everything = [
        replace(
            each,
            use=uses.get(each.key, 3.0),
            derived=(FP8[each.key],) if each.key in FP8 else (),
        )
        for each in (*WAN, *SDXL, *QWEN)
    ]
    plan = fit(everything, SDXL_ACTIVATIONS, HostCache(budget_bytes=32 * GIB))
    after = left_after(everything, plan)
    assert total(after) + SDXL_ACTIVATIONS <= BUDGET
    kept = {each.key for each in after}
    assert {("wan", "transformer"), ("wan", "vae"), ("sdxl", "unet"), ("qwen", "model")} <= kept
    assert all(each.to in (None, Place.HOST) for each in plan.evictions)  # nothing from disk
    assert [(each.key, each.derived) for each in plan.evictions] == [
        (("wan", "text_encoder"), None)
    ]


def test_a_running_video_keeps_its_weights_while_the_enhancer_leaves():
    held = [replace(each, is_held=True) for each in WAN]
    plan = fit([*held, *SDXL, *QWEN], 20 * GIB, HostCache(budget_bytes=32 * GIB))
    assert {each.key[0] for each in plan.evictions} <= {"sdxl", "qwen"}
    assert plan.is_enough
    assert all(each.to is Place.HOST for each in plan.evictions)


# ---- Small sums


def test_a_use_counts_half_after_its_half_life():
    assert decayed(4.0, 0) == 4.0
    assert decayed(4.0, 600) == 2.0
    assert decayed(4.0, -1) == 4.0


def test_activations_are_the_largest_of_the_last_workloads():
    peaks = ActivationPeaks(floor_bytes=10, max_workloads=2)
    assert (peaks.expected_bytes, peaks.of("a")) == (10, None)
    peaks.learn("a", 50)
    peaks.learn("a", 30)
    peaks.learn("b", 20)
    assert (peaks.expected_bytes, peaks.of("a")) == (50, 50)
    peaks.learn("c", 5)
    assert (peaks.expected_bytes, peaks.of("a")) == (20, None)


@pytest.mark.parametrize(
    ("free", "reserved", "vram", "expected"),
    [
        (99, 0, None, 99),  # a context of 1
        (59, 40, None, 99),  # what this process reserved is its own
        (30, 40, None, 70),  # others took 30
        (99, 0, 44, 43),  # the pretended card has a context too
        (40, 0, 44, 40),  # others leave less than it
        (99, 0, 200, 99),  # pretending more adds nothing
    ],
)
def test_the_budget(free, reserved, vram, expected):
    view = DeviceView(
        total_bytes=100 * GIB,
        free_bytes=free * GIB,
        reserved_bytes=reserved * GIB,
        allocated_bytes=0,
    )
    budget = budget_of(view, vram_bytes=vram and vram * GIB)
    assert budget == expected * GIB


def test_pressure_levels():
    def pressure(weights_bytes: int, budget_bytes: int = 100) -> MemoryPressure:
        return MemoryPressure(
            budget_bytes=budget_bytes,
            weights_bytes=weights_bytes,
            derived_bytes=5,
            arriving_bytes=5,
            activations_bytes=10,
            host_bytes=0,
            host_budget_bytes=0,
        )

    assert [pressure(n).level for n in (70, 71, 80, 81)] == ["ok", "tight", "tight", "full"]
    assert pressure(81).free_bytes == -1
    assert pressure(10**6, budget_bytes=0).level == "ok"  # no limit is known
    assert pressure(70).facts()["free_bytes"] == 10
