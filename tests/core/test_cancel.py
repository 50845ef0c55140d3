"""Cancel tokens: who is asked to stop by whom."""

import pytest

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled


def test_a_parent_stops_its_children():
    parent = CancelToken()
    child = CancelToken(parent=parent)
    child.raise_if_cancelled()
    parent.cancel()
    assert child.is_cancelled
    with pytest.raises(Cancelled):
        child.raise_if_cancelled()


def test_a_child_stops_alone():
    parent = CancelToken()
    child, other = CancelToken(parent=parent), CancelToken(parent=parent)
    child.cancel()
    assert child.is_cancelled
    assert not parent.is_cancelled
    assert not other.is_cancelled
