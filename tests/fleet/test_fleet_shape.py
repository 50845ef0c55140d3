"""Cutting a machine's GPUs into groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.core.errors import InvalidRequest
from ourvidz.fleet.shape import GROUP_SIZES, Shape, cut, divisions

GPUS = tuple(str(index) for index in range(8))


def test_every_division_adds_up_and_there_are_as_many_as_by_hand():
    assert divisions(4) == ((4,), (2, 2), (2, 1, 1), (1, 1, 1, 1))
    assert len(divisions(8)) == 10
    assert divisions(3, largest=2) == ((2, 1), (1, 1, 1))


@given(st.data())
def test_a_cut_has_the_sizes_uses_every_gpu_once_and_is_aligned(data):
    number = data.draw(st.integers(1, 16))
    gpus = [f"g{index}" for index in range(number)]
    before = cut(gpus, data.draw(st.sampled_from(divisions(number))))
    sizes = data.draw(st.sampled_from(divisions(number)))
    after = cut(gpus, sizes, current=before)
    assert after.sizes == sizes
    assert sorted(gpu for group in after.groups for gpu in group) == sorted(gpus)
    for group in after.groups:
        start = gpus.index(group[0])
        assert start % len(group) == 0
        assert list(group) == gpus[start : start + len(group)]
    assert cut(gpus, sizes, current=after) == after  # nothing changes without need


def test_only_the_groups_that_must_change_do():
    alone = cut(GPUS, [1] * 8)
    mixed = cut(GPUS, [4, 1, 1, 1, 1], current=alone)
    assert mixed.groups[0] == ("0", "1", "2", "3")
    assert alone.changed(mixed) == (("0",), ("1",), ("2",), ("3",))
    assert mixed.changed(alone) == (("0", "1", "2", "3"),)
    odd = Shape(groups=(("0",), ("1",), ("2", "3"), ("4",), ("5",), ("6", "7")))
    pair_more = cut(GPUS, [2, 2, 2, 1, 1], current=odd)
    assert {("2", "3"), ("6", "7")} <= set(pair_more.groups)
    assert len(odd.changed(pair_more)) == 2


@pytest.mark.parametrize("sizes", [[4, 2], [3, 5], [8, 8], []])
def test_sizes_that_can_not_be_are_refused(sizes):
    with pytest.raises(InvalidRequest, match="can't be cut"):
        cut(GPUS, sizes)


def test_a_shape_refuses_strange_sizes_and_shared_gpus():
    with pytest.raises(InvalidRequest, match="3 GPUs"):
        Shape(groups=(("0", "1", "2"),))
    with pytest.raises(InvalidRequest, match="'1' is named more than once"):
        Shape(groups=(("0", "1"), ("1",)))
    assert set(GROUP_SIZES) == {1, 2, 4, 8}
