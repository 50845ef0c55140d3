import numpy as np
import pytest

from ourvidz.perf.prediction.linear import fit_shares

PRIOR = np.array([1.0, 0.1, 0.001])


def fitted(rows, seconds):
    return fit_shares(
        np.asarray(rows, float), np.asarray(seconds, float), PRIOR, weights=np.ones(len(seconds))
    )


def rows_of(sizes):
    return np.array([[1.0, size, size**2] for size in sizes])


def test_known_coefficients_are_found():
    rows = rows_of(np.linspace(5, 400, 60))
    truth = np.array([3.0, 0.2, 0.004])
    assert rows @ fitted(rows, rows @ truth) == pytest.approx(rows @ truth, rel=0.05)


def test_one_workload_keeps_the_priors_proportions():
    rows = rows_of([100] * 5)
    found = fitted(rows, 4 * rows @ PRIOR)
    assert found / PRIOR == pytest.approx([4, 4, 4], rel=1e-6)


def test_no_coefficient_falls_below_zero():
    rows = rows_of([10, 20, 40, 80])
    found = fitted(np.repeat(rows, 10, axis=0), np.repeat([8.0, 4.0, 2.0, 1.0], 10))
    assert (found >= 0).all()
    assert (found == 0).any()


def test_records_far_off_count_less():
    rng = np.random.default_rng(1)
    rows = rows_of(rng.uniform(10, 300, 50))
    truth = np.array([2.0, 0.3, 0.002])
    seconds = rows @ truth * np.exp(rng.normal(0, 0.01, 50))
    seconds[::10] *= 6.0
    assert rows @ fitted(rows, seconds) == pytest.approx(rows @ truth, rel=0.05)
