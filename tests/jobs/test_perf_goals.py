"""Goals in both stores: kept in order, forgotten one at a time."""

import pytest

from ourvidz.catalog.config import GoalEntry
from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.perf.planned import KeptGoal, goal_to_json, kept_goals


def test_goals_are_kept_in_order_and_forgotten(store):
    assert store.goals() == ()
    for number in (2, 1):
        store.add_goal({"id": f"goal_{number}", "text": "ü\n%'"})
    assert [each["id"] for each in store.goals()] == ["goal_2", "goal_1"]
    with pytest.raises(IllegalState):
        store.add_goal({"id": "goal_1"})
    store.remove_goal("goal_2")
    assert store.goals() == ({"id": "goal_1", "text": "ü\n%'"},)
    with pytest.raises(NotFound):
        store.remove_goal("goal_2")


def test_goals_of_settings_come_before_kept_ones(store):
    entry = GoalEntry(job_type="video_fast", seconds=20.0, state="warm")
    kept = KeptGoal(id="goal_1", source="api", entry=entry)
    store.add_goal(goal_to_json(kept))
    of_settings = KeptGoal(id="settings:1", source="settings", entry=entry)
    assert kept_goals([entry], store) == (of_settings, kept)
    store.add_goal({"id": "goal_2", "job_type": "video_fast"})
    with pytest.raises(InvalidRequest, match="goal_2"):
        kept_goals([], store)
