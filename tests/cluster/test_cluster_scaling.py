import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from ourvidz.cluster.scaling import Scale, scaled
from ourvidz.cluster.shape import Pool

POOL = Pool(name="video", floor=1, ceiling=8, target_wait_s=60.0)


def after(now, queued_s, at_s):
    return scaled(POOL, now, queued_s=queued_s, at_s=at_s, cool_s=300.0)


def test_a_longer_queue_has_more_groups_at_once():
    assert after(Scale(target=1), 60.0, 0.0).target == 1
    assert after(Scale(target=1), 61.0, 0.0).target == 2
    assert after(Scale(target=1), 300.0, 0.0).target == 5


def test_never_beyond_floor_and_ceiling():
    assert after(Scale(target=1), 1e9, 0.0).target == 8
    assert after(Scale(target=0), 0.0, 0.0).target == 1
    narrowed = dataclasses.replace(POOL, ceiling=2)
    assert scaled(narrowed, Scale(target=8), queued_s=1e9, at_s=0.0).target == 2


def test_an_empty_queue_takes_groups_away_slowly_and_one_by_one():
    now = after(Scale(target=3), 0.0, 0.0)
    assert now == Scale(target=3, low_since_s=0.0)
    now = after(now, 0.0, 299.0)
    assert now.target == 3
    now = after(now, 0.0, 300.0)
    assert now == Scale(target=2, low_since_s=300.0)
    assert after(now, 0.0, 599.0).target == 2
    assert after(now, 0.0, 600.0).target == 1


def test_a_burst_meanwhile_starts_the_wait_anew():
    now = after(Scale(target=3), 0.0, 0.0)
    now = after(now, 170.0, 200.0)  # three are needed
    assert now == Scale(target=3)
    assert after(now, 0.0, 300.0) == Scale(target=3, low_since_s=300.0)


def test_never_fewer_than_are_at_work():
    pool = dataclasses.replace(POOL, floor=0)
    now = Scale(target=3)
    for at_s in range(0, 3600, 60):
        now = scaled(pool, now, queued_s=0.0, num_busy=2, at_s=float(at_s))
    assert now.target == 2
    assert scaled(pool, Scale(target=0), queued_s=0.0, num_busy=1, at_s=0.0).target == 1
    narrowed = dataclasses.replace(pool, ceiling=1)
    assert scaled(narrowed, Scale(target=2), queued_s=0.0, num_busy=2, at_s=0.0).target == 1


@given(
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 100)), max_size=60),
    st.integers(0, 12),
)
def test_a_flickering_queue_never_has_groups_start_and_end_in_turns(looks, target):
    """Within one cool-down the target only grows."""
    now, at_s, seen = Scale(target=target), 0.0, []
    for queued_s, wait_s in looks:
        at_s += wait_s
        now = after(now, queued_s, at_s)
        assert POOL.floor <= now.target <= POOL.ceiling
        if seen and now.target < seen[-1][1]:
            lower_since = [t for t, n in seen if at_s - t < 300.0 and n < seen[-1][1]]
            assert not lower_since
            assert now.target == seen[-1][1] - 1
        seen.append((at_s, now.target))
