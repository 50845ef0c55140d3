"""E-divisive against ruptures (energy cost), scipy's energy distance and known truth."""

import itertools

import numpy as np
import pytest
import ruptures
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ourvidz.perf import stats
from ourvidz.perf.stats import change


class EnergyCost(ruptures.base.BaseCost):
    """``sum |x_i - x_j| / n``: what a split takes off it is E-divisive's statistic."""

    model = "energy"
    min_size = 1

    def fit(self, signal):
        self.signal = signal.reshape(-1, 1)
        self.distances = np.abs(signal.reshape(-1, 1) - signal.reshape(1, -1))
        return self

    def error(self, start, end):
        return self.distances[start:end, start:end].sum() / (end - start)


def splits_of_ruptures(values, *, min_size):
    """The pieces a circular search may find: each is a side, or one once the series is turned."""
    size = len(values)
    for start in (0, *range(min_size, size - 2 * min_size + 1)):
        cost = EnergyCost().fit(np.roll(values, -start))
        for end in range(start + min_size, size - min_size + 1):
            saved = cost.error(0, size) - cost.error(0, end - start) - cost.error(end - start, size)
            yield saved, start, end


def test_the_best_split_is_that_of_ruptures():
    rng = np.random.default_rng(1)
    for size, min_size, step in itertools.product((14, 40, 77), (2, 5), (0.0, 1.0, 4.0)):
        values = rng.normal(size=size)
        values[size // 3 :] += step
        found = stats.best_split(values, min_size=min_size)
        energy, start, end = max(splits_of_ruptures(values, min_size=min_size))
        assert (found.start, found.end) == (start, end)
        assert found.energy == pytest.approx(energy, rel=1e-9)
        if step == 4.0:
            search = ruptures.Binseg(custom_cost=EnergyCost(), min_size=min_size, jump=1)
            assert [found.index, size] == search.fit(values).predict(n_bkps=1)


@given(st.lists(st.integers(-20, 20).map(float), min_size=4, max_size=25))
@settings(max_examples=60)
def test_the_statistic_is_scipys_energy_distance(values):
    size, sample = len(values), np.array(values)
    energies = change._energies(np.abs(np.subtract.outer(sample, sample)), min_size=1)
    for start, end in itertools.combinations(range(size), 2):
        rest = np.concatenate([sample[:start], sample[end:]])
        distance = scipy.stats.energy_distance(sample[start:end], rest)
        expected = (end - start) * rest.size / size * distance**2
        assert energies[start, end] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("level", [1.05, 1.3])
@pytest.mark.parametrize("after", [40, 100, 200])
def test_a_slowdown_that_went_again_is_two_changes(level, after):
    rng = np.random.default_rng(after)
    values = rng.lognormal(0, 0.01, 80 + after)
    values[60:80] *= level
    came, went = stats.change_points(values)
    assert abs(came.index - 60) <= 1
    assert abs(went.index - 80) <= 1
    assert came.shift.estimate == pytest.approx(level - 1.0, abs=0.01)
    assert went.shift.estimate == pytest.approx(1.0 / level - 1.0, abs=0.01)


def test_a_middle_piece_is_divided_at_its_clearer_edge():
    values = [1.0, 1.1, 1.2, 9.0, 9.1, 9.2, *np.linspace(1.0, 1.2, 20)]
    found = stats.best_split(values, min_size=3)
    assert (found.start, found.end, found.index) == (3, 6, 6)
    mirrored = stats.best_split(values[::-1], min_size=3)
    assert (mirrored.start, mirrored.end, mirrored.index) == (20, 23, 20)


def test_several_changes_are_found_where_ruptures_finds_them():
    rng = np.random.default_rng(2)
    values = np.concatenate(
        [rng.normal(level, 0.02, size) for level, size in ((1.0, 30), (1.2, 25), (1.1, 35))]
    )
    found = [point.index for point in stats.change_points(values, on_ranks=False)]
    search = ruptures.Dynp(custom_cost=EnergyCost(), min_size=5, jump=1).fit(values)
    assert found == search.predict(n_bkps=2)[:-1]
    assert found == [30, 55]
    assert found == [point.index for point in stats.change_points(values)]


@pytest.mark.parametrize("seed", range(5))
def test_a_step_is_found_with_its_size(seed):
    rng = np.random.default_rng(seed)
    values = 10 * np.exp(rng.normal(0, 0.01, 60))
    values[25:] *= 1.05
    (point,) = stats.change_points(values)
    assert abs(point.index - 25) <= 1
    assert point.shift.is_relative
    assert 0.05 in point.shift.interval
    assert point.p_value <= 0.001
    assert (point.shift.num_before, point.shift.num_after) == (point.index, 60 - point.index)


def test_a_change_of_spread_alone_is_a_change():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 1, 50), rng.normal(0, 9, 50)])
    (point, *_) = stats.change_points(values, significance=0.01, num_permutations=999)
    assert abs(point.index - 50) <= 8
    assert not point.shift.is_relative


def test_stable_series_have_change_points_no_more_often_than_said():
    rng = np.random.default_rng(4)
    rows = rng.lognormal(0, 0.05, (300, 30))
    hits = sum(
        bool(stats.change_points(row, significance=0.05, num_permutations=499)) for row in rows
    )
    assert hits > 0
    assert stats.wilson_interval(hits, len(rows), level=0.95).low <= 0.05


def test_small_series_are_tested_exactly():
    values = [1.0, 1.1, 1.2, 5.0, 5.1, 5.2]
    (point,) = stats.change_points(values, min_size=2, significance=0.12, on_ranks=False)
    assert point.is_exact
    assert point.index == 3
    best = stats.best_split(values, min_size=2).energy
    orders = list(itertools.permutations(values))
    as_good = [
        order for order in orders if stats.best_split(order, min_size=2).energy >= best * (1 - 1e-9)
    ]
    assert point.p_value == pytest.approx(len(as_good) / len(orders))


@pytest.mark.parametrize("n", [1, 2, 9])
def test_too_few_runs_have_no_change_points(n):
    assert stats.best_split(range(n)) is None
    assert stats.change_points(range(n), significance=0.99) == ()


def test_constants_never_change():
    assert stats.change_points([3.0] * 50, significance=0.99) == ()


def test_a_constant_that_changes_is_found_despite_its_ties():
    (point,) = stats.change_points([3.0] * 20 + [4.0] * 20)
    assert point.index == 20
    assert point.shift.estimate == pytest.approx(1 / 3)


def test_ten_runs_are_too_few_for_one_in_a_thousand():
    # The two days of the 2025 history: five runs and two, five and five would not do either.
    assert stats.change_points([1.0, 1.1, 1.2, 1.3, 1.4, 9.0, 9.1, 9.2, 9.3, 9.4]) == ()


def test_outliers_hide_no_step():
    rng = np.random.default_rng(7)
    values = rng.lognormal(0, 0.01, 60)
    values[30:] *= 1.05
    values[[3, 11, 24, 33, 52]] *= [3.0, 2.0, 4.0, 2.0, 3.0]
    (point,) = stats.change_points(values)
    assert abs(point.index - 30) <= 2
    assert stats.change_points(values, on_ranks=False) == ()


def test_blocks_keep_neighbours_together():
    rng = np.random.default_rng(5)
    hits = {1: 0, 6: 0}
    for _ in range(40):
        noise = rng.normal(size=60)
        for run in range(1, 60):
            noise[run] += 0.6 * noise[run - 1]
        for block in (1, 6):
            found = stats.change_points(noise, significance=0.05, block=block, num_permutations=199)
            hits[block] += bool(found)
    assert hits[6] < hits[1] / 2


@pytest.mark.parametrize(("size", "block"), [(9, 1), (20, 1), (20, 3), (44, 5), (6, 6), (5, 9)])
def test_every_order_holds_every_run_once(size, block):
    source = change._Orders(size, block=block, num_permutations=99, seed=1)
    orders, is_exact = source.take(0, source.total), source.is_exact
    assert len(orders) == source.total
    assert is_exact == (-(-size // block) <= 8)
    assert (np.sort(orders, axis=1) == np.arange(size)).all()
    starts = np.arange(0, size, block)
    for order in orders[:50]:
        for start in starts:
            place = int(np.flatnonzero(order == start)[0])
            whole = np.arange(start, min(start + block, size))
            assert np.array_equal(order[place : place + whole.size], whole)


def test_the_same_answer_each_time_and_by_the_seed():
    values = np.random.default_rng(6).normal(size=60)
    values[30:] += 2.0
    first = stats.change_points(values, significance=0.05)
    assert first == stats.change_points(values, significance=0.05)
    assert first[0].index == stats.change_points(values, significance=0.05, seed=1)[0].index
