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


def test_the_best_split_is_that_of_ruptures():
    rng = np.random.default_rng(1)
    for size, min_size, step in itertools.product((12, 40, 77), (2, 5), (0.0, 1.0, 4.0)):
        values = rng.normal(size=size)
        values[size // 3 :] += step
        found = stats.best_split(values, min_size=min_size)
        search = ruptures.Binseg(custom_cost=EnergyCost(), min_size=min_size, jump=1).fit(values)
        (index, _) = search.predict(n_bkps=1)
        assert found.index == index
        cost = search.cost
        saved = cost.error(0, size) - cost.error(0, index) - cost.error(index, size)
        assert found.energy == pytest.approx(saved, rel=1e-9)


@given(st.lists(st.integers(-20, 20).map(float), min_size=4, max_size=25))
@settings(max_examples=60)
def test_the_statistic_is_scipys_energy_distance(values):
    size = len(values)
    totals = np.abs(np.subtract.outer(values, values)).sum(axis=1)
    before = change._before(np.array(values), np.arange(size)[None, :])
    energies = change._energies(before, totals[None, :])[0]
    for m in range(1, size):
        distance = scipy.stats.energy_distance(values[:m], values[m:])
        expected = m * (size - m) / size * distance**2
        assert energies[m - 1] == pytest.approx(expected, rel=1e-6, abs=1e-6)


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


def test_stable_series_have_change_points_as_often_as_said():
    rng = np.random.default_rng(4)
    rows = rng.lognormal(0, 0.05, (300, 30))
    hits = sum(
        bool(stats.change_points(row, significance=0.05, num_permutations=499)) for row in rows
    )
    assert 0.05 in stats.wilson_interval(hits, len(rows), level=0.999)


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
    values[30:] += 1.0
    first = stats.change_points(values, significance=0.05)
    assert first == stats.change_points(values, significance=0.05)
    assert first[0].index == stats.change_points(values, significance=0.05, seed=1)[0].index
