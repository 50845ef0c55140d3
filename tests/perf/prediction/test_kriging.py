import numpy as np
import pytest

from ourvidz.perf.prediction.kriging import Kriging, Places


def places(names, *, first=0):
    n = len(names)
    return Places(
        sensitivities=np.full((n, 1), 0.5),
        names=tuple((name,) for name in names),
        order=np.arange(first, first + n, dtype=float),
    )


def simulated(n=60, *, special=1.0, noise=0.03, seed=3):
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice(["a", "b", "c"], n)]
    logs = np.array([special if name == "c" else 0.0 for name in names])
    return names, logs + rng.normal(0, noise, n)


def test_a_name_has_its_own_level():
    names, logs = simulated()
    fitted = Kriging(places(names), logs, has_levels=True)
    special = fitted.at(places(["c"], first=60))
    usual = fitted.at(places(["a"], first=60))
    assert special.mean == pytest.approx(1.0, abs=0.05)
    assert usual.mean == pytest.approx(0.0, abs=0.05)
    assert special.sd < 0.06


def test_a_new_name_is_less_certain():
    names, logs = simulated()
    fitted = Kriging(places(names), logs, has_levels=True)
    assert fitted.at(places(["d"], first=60)).sd > 3 * fitted.at(places(["a"], first=60)).sd


def test_without_levels_names_say_nothing():
    names, logs = simulated(special=0.0)
    fitted = Kriging(places(names), logs, has_levels=False)
    here, there = (fitted.at(places([name], first=60)) for name in ("a", "d"))
    assert (here.mean, here.sd) == (there.mean, there.sd)


def test_estimates_from_before_are_those_of_a_process_that_saw_no_more():
    names, logs = simulated(n=30)
    whole = Kriging(places(names), logs, has_levels=True)
    index = 20
    # The same scales, fewer records: by the formula of conditional normal distributions.
    kernel = whole_covariance(whole, names)
    before, own = slice(0, index), index
    mean = kernel[own, before] @ np.linalg.solve(kernel[before, before], logs[before])
    variance = kernel[own, own] - kernel[own, before] @ np.linalg.solve(
        kernel[before, before], kernel[before, own]
    )
    found = whole.before(index)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.sd == pytest.approx(np.sqrt(variance), rel=1e-6)


def whole_covariance(fitted, names):
    return np.linalg.inv(fitted._inverse)


def test_one_record_far_off_moves_little():
    names, logs = simulated(special=0.0)
    spoiled = logs.copy()
    spoiled[50] += 3.0
    clean = Kriging(places(names), logs, has_levels=True).at(places([names[50]], first=60))
    found = Kriging(places(names), spoiled, has_levels=True).at(places([names[50]], first=60))
    assert abs(found.mean - clean.mean) < 0.15


def test_one_record_is_enough():
    found = Kriging(places(["a"]), np.array([0.0]), has_levels=True)
    assert found.at(places(["a"], first=1)).sd > 0
