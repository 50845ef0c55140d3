"""What is computed in a clever order is bit for bit what the definitions say, written plainly."""

import itertools
import math

import numpy as np
import pytest

from ourvidz.perf import stats
from ourvidz.perf.prediction import kriging
from ourvidz.perf.stats import alarms, change
from ourvidz.perf.stats.bootstrap import bootstrap_interval, row_medians
from ourvidz.perf.stats.ranks import midranks

ENOUGH = 25


def all_orders(size, *, block, num_permutations):
    blocks = -(-size // block)
    if blocks <= change.LARGEST_EXACT_N:
        picks = np.array(list(itertools.permutations(range(blocks))))
    else:
        rows = np.tile(np.arange(blocks), (num_permutations, 1))
        picks = np.random.default_rng(change.SEED).permuted(rows, axis=1)
    runs = (picks[:, :, None] * block + np.arange(block)).reshape(len(picks), -1)
    return runs[runs < size].reshape(len(picks), size), blocks <= change.LARGEST_EXACT_N


def energy(distances, piece, rest):
    across = distances[np.ix_(piece, rest)].mean()
    within = distances[np.ix_(piece, piece)].mean() + distances[np.ix_(rest, rest)].mean()
    return len(piece) * len(rest) / len(distances) * (2.0 * across - within)


def pieces(size, *, min_size, width=1):
    """Sides at every run; middle pieces at the edges of steps of so many runs."""
    yield from ((0, end) for end in range(min_size, size - min_size + 1))
    edges = [edge for edge in range(0, size, width) if min_size <= edge <= size - min_size]
    middles = itertools.combinations(edges, 2)
    yield from ((start, end) for start, end in middles if end - start >= min_size)


def largest_energies(distances, orders, *, min_size):
    """The same from sums over rectangles, for all orders of one piece at a time."""
    size = len(distances)
    corners = np.zeros((len(orders), size + 1, size + 1))
    permuted = distances[orders[:, :, None], orders[:, None, :]]
    corners[:, 1:, 1:] = permuted.cumsum(axis=1).cumsum(axis=2)

    def total(rows, columns):
        (top, bottom), (left, right) = rows, columns
        high, low = corners[:, bottom], corners[:, top]
        return high[:, right] - high[:, left] - low[:, right] + low[:, left]

    best = np.zeros(len(orders))
    for start, end in pieces(size, min_size=min_size, width=-(-size // change._MOST_STEPS)):
        piece, whole = (start, end), (0, size)
        m, n = end - start, size - end + start
        within = total(piece, piece)
        across = total(piece, whole) - within
        rest = total(whole, whole) - 2.0 * across - within
        best = np.maximum(best, (2.0 * across - n / m * within - m / n * rest) / size)
    return best


def p_value(ranks, orders, is_exact, *, min_size):
    distances = np.abs(ranks[:, None] - ranks[None, :])
    (bar,) = largest_energies(distances, np.arange(ranks.size)[None], min_size=min_size)
    best = largest_energies(distances, orders, min_size=min_size)
    hits = np.flatnonzero(best >= bar * (1.0 - 1e-9))
    if is_exact:
        return hits.size / len(orders)
    if hits.size >= ENOUGH:
        return ENOUGH / (int(hits[ENOUGH - 1]) + 1)
    return (hits.size + 1) / (len(orders) + 1)


def clearer_edge(distances, start, end):
    before, piece, after = range(start), range(start, end), range(end, len(distances))
    edges = [(end, piece, after)] if start == 0 else [(start, before, piece), (end, piece, after)]
    return earliest((neighbours(distances, left, right), edge) for edge, left, right in edges)[1]


def neighbours(distances, left, right):
    both = [*left, *right]
    part = distances[np.ix_(both, both)]
    return energy(part, range(len(left)), range(len(left), len(both)))


def best_piece(distances, *, min_size):
    size, found = len(distances), []
    for start, end in pieces(size, min_size=min_size):
        rest = [*range(start), *range(end, size)]
        found.append((energy(distances, range(start, end), rest), start, end))
    return earliest(found)


def earliest(found):
    """Of those that are largest but for rounding."""
    found = list(found)
    largest = max(each[0] for each in found)
    return next(each for each in found if each[0] >= largest * (1.0 - 1e-9))


def plain_change_points(values, *, significance, num_permutations, block, min_size=5):
    found, stretches = {}, [(0, len(values))]
    while stretches:
        start, end = stretches.pop()
        if end - start < 2 * min_size:
            continue
        ranks = midranks(values[start:end])
        distances = np.abs(ranks[:, None] - ranks[None, :])
        best, *edges = best_piece(distances, min_size=min_size)
        if best <= 0.0:
            continue
        orders, is_exact = all_orders(ranks.size, block=block, num_permutations=num_permutations)
        p = p_value(ranks, orders, is_exact, min_size=min_size)
        if p <= significance * (0.2 if edges[0] else 1.0):
            index = start + clearer_edge(distances, *edges)
            found[index] = (pytest.approx(best, rel=1e-9), p, is_exact)
            stretches += [(start, index), (index, end)]
    return found


def wandering(rng, size):
    values = np.exp(rng.normal(0.0, 0.03, size))
    for _ in range(rng.integers(0, 4)):
        values[rng.integers(0, size) :] *= rng.choice([0.9, 1.05, 1.2, 1.5])
    return np.round(values, 2) if rng.random() < 0.3 else values


QUICK = (8, 10, 13, 16, 27, 40, 70)
WHOLE = (8, 10, 13, 24, 40, 64, 101)


@pytest.mark.parametrize(
    ("options", "sizes", "least_found"),
    [
        ({"significance": 0.01, "num_permutations": 299, "block": 1}, QUICK, 5),
        ({"significance": 0.05, "num_permutations": 199, "block": 1}, QUICK, 5),
        ({"significance": 0.2, "num_permutations": 99, "block": 3}, QUICK, 5),
        pytest.param(
            {"significance": 0.005, "num_permutations": 999, "block": 1},
            WHOLE,
            10,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"significance": 0.05, "num_permutations": 199, "block": 1},
            WHOLE,
            10,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"significance": 0.2, "num_permutations": 99, "block": 3},
            WHOLE,
            10,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_change_points(options, sizes, least_found):
    rng = np.random.default_rng(17)
    num_found = 0
    for size in sizes:
        for _ in range(4 if sizes is WHOLE else 3):
            values = wandering(rng, size)
            found = {
                each.index: (each.energy, each.p_value, each.is_exact)
                for each in stats.change_points(values, **options)
            }
            assert found == plain_change_points(values, **options)
            num_found += len(found)
    assert num_found > least_found


def test_orders_are_the_same_however_they_are_asked_for():
    whole = change._Orders(30, block=1, num_permutations=500, seed=3)
    parts = change._Orders(30, block=1, num_permutations=500, seed=3)
    taken = [parts.take(start, start + 70) for start in range(0, 500, 70)]
    assert (np.concatenate(taken) == whole.take(0, 500)).all()
    assert (parts.take(10, 20) == whole.take(10, 20)).all()


def test_first_alarms():
    rng = np.random.default_rng(5)
    num_found = 0
    for _ in range(30):
        values = wandering(rng, int(rng.integers(5, 200)))
        policy = alarms.AlarmPolicy(num_series=int(rng.integers(1, 60)), num_runs=200)
        judged = (alarms.judge(values[:end], policy) for end in range(1, values.size + 1))
        first = next((each for each in judged if each is not None), None)
        assert alarms.first_alarm(values, policy) == first
        num_found += first is not None
    assert num_found > 5


def test_intervals_of_medians():
    rng = np.random.default_rng(6)
    for size in (*range(3, 20), 95, 200):
        values = wandering(rng, size)
        plain = bootstrap_interval(values, statistic=lambda rows: row_medians(rows))
        assert bootstrap_interval(values) == plain
    constant = [2.0] * 9
    assert bootstrap_interval(constant).low == bootstrap_interval(constant).high == 2.0


def likeliest(parts, logs, levels, extra):
    best, best_value = None, -math.inf
    for noise, level, drift in itertools.product(kriging._NOISES, levels, kriging._DRIFTS):
        scales = kriging._Scales(noise=noise, level=level, drift=drift)
        covariance = kriging._sum(parts, scales) + noise**2 * np.diag(extra)
        lower = np.linalg.cholesky(covariance)
        solved = np.linalg.solve(lower, logs)
        value = -0.5 * float(solved @ solved) - float(np.log(np.diag(lower)).sum())
        value -= kriging._doubt(noise)
        if value > best_value:
            best, best_value = scales, value
    return best


def test_the_likeliest_scales():
    rng = np.random.default_rng(8)
    chosen = set()
    for number in range(40):
        n = int(rng.integers(1, 50))
        places = kriging.Places(
            sensitivities=rng.random((n, 3)),
            names=tuple((f"h{rng.integers(3)}", f"w{rng.integers(4)}") for _ in range(n)),
            order=np.sort(rng.integers(0, 400, n)).astype(float),
        )
        parts = kriging._kernels(places, places)
        drift = np.cumsum(rng.normal(0.0, rng.choice([0.0, 0.1]), n))
        logs = rng.normal(0.0, rng.choice([0.01, 0.05, 0.3]), n) + drift
        extra = np.where(rng.random(n) < 0.1, 4.0, 1.0)
        levels = kriging._LEVELS if number % 2 else (0.0,)
        found = kriging._likeliest(parts, logs, levels, extra)
        assert found == likeliest(parts, logs, levels, extra)
        chosen.add(found)
    assert len(chosen) > 8


def test_what_no_matrix_allows_is_not_chosen():
    bad = np.array([[1.0, 2.0], [2.0, 1.0]])
    found = kriging._factors(np.stack([np.eye(2), bad]))
    assert (found[0] == np.eye(2)).all()
    assert np.isnan(found[1]).all()
