"""The plan, asked again and again against a small world that does what it says."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.cluster.plan import Drain, Group, GroupState, Node, Remove, Start, plan
from ourvidz.cluster.shape import ClusterShape, Pool


def node(name, num_gpus=8, **labels):
    return Node(id=name, address=name, hostname=name, num_gpus=num_gpus, labels=labels)


class World:
    """Groups and nodes; actions take effect at once, and what starts is ready a step later."""

    def __init__(self, *nodes):
        self.nodes = list(nodes)
        self.groups = {}
        self.fewest = Counter()

    def free(self, node_id):
        (found,) = [each for each in self.nodes if each.id == node_id]
        used = sum(g.num_gpus for g in self.groups.values() if g.node_id == node_id)
        return found.num_gpus - used

    def step(self, shape, **targets):
        found = plan(shape, targets, list(self.groups.values()), self.nodes)
        for name, group in self.groups.items():
            if group.state is GroupState.STARTING:
                self.groups[name] = dataclasses.replace(group, state=GroupState.READY)
            elif group.state is GroupState.DRAINING:
                self.groups[name] = dataclasses.replace(group, state=GroupState.DRAINED)
        for action in found.actions:
            match action:
                case Start():
                    assert action.name not in self.groups
                    assert self.free(action.node_id) >= action.pool.num_gpus
                    self.groups[action.name] = Group(
                        name=action.name,
                        state=GroupState.STARTING,
                        node_id=action.node_id,
                        num_gpus=action.pool.num_gpus,
                    )
                case Drain():
                    group = self.groups[action.name]
                    self.groups[action.name] = dataclasses.replace(group, state=GroupState.DRAINING)
                case Remove():
                    assert self.groups.pop(action.name).state is GroupState.DRAINED
        return found

    def settle(self, shape, **targets):
        ready = []
        for _ in range(200):
            was_steady = self.is_steady()
            if not self.step(shape, **targets).actions and was_steady:
                return ready
            ready.append(self.ready())
        raise AssertionError("it never settles")

    def is_steady(self):
        return all(group.state is GroupState.READY for group in self.groups.values())

    def ready(self):
        return sum(group.state is GroupState.READY for group in self.groups.values())

    def on(self, node_id):
        return sorted(g.pool for g in self.groups.values() if g.node_id == node_id)


SINGLES = Pool(name="image", num_gpus=1, floor=4, ceiling=16, version="1")


def test_groups_spread_over_nodes_and_over_pools():
    world = World(node("a"), node("b"))
    shape = ClusterShape(pools=(SINGLES, Pool(name="video", num_gpus=2, floor=2, ceiling=2)))
    world.settle(shape)
    assert world.on("a") == world.on("b") == ["image", "image", "video"]


def test_the_largest_groups_are_placed_first():
    world = World(node("a"), node("b"))
    shape = ClusterShape(pools=(SINGLES, Pool(name="whole", num_gpus=8, floor=1)))
    world.settle(shape)
    assert sorted([world.on("a"), world.on("b")]) == [["image"] * 4, ["whole"]]


def test_what_has_no_room_is_told_and_starts_when_a_node_comes():
    world = World(node("a", 2))
    shape = ClusterShape(pools=(SINGLES,))
    assert world.step(shape).unplaced == {"image": 2}
    world.nodes.append(node("b", 8))
    world.settle(shape)
    assert len(world.groups) == 4


def test_groups_stay_on_nodes_with_their_labels():
    world = World(node("a", zone="x"), node("b", zone="y"))
    world.settle(ClusterShape(pools=(dataclasses.replace(SINGLES, labels={"zone": "y"}),)))
    assert world.on("a") == []
    assert len(world.on("b")) == 4


def test_fewer_are_drained_the_highest_number_first():
    world = World(node("a"))
    shape = ClusterShape(pools=(SINGLES,))
    world.settle(shape, image=6)
    found = world.step(shape, image=4)
    assert [(type(a), a.name.split("/")[1]) for a in found.actions] == [(Drain, "5"), (Drain, "4")]


def test_fewer_are_drained_who_is_not_ready_then_idle_then_busy():
    world = World(node("a"))
    shape = ClusterShape(pools=(SINGLES,))
    world.settle(shape, image=7)
    for name, group in world.groups.items():
        changes = {"is_busy": group.index in {5, 6}}
        if group.index == 0:
            changes = {"state": GroupState.STARTING}
        world.groups[name] = dataclasses.replace(group, **changes)
    found = world.step(shape, image=1)
    assert [action.name.split("/")[1] for action in found.actions] == ["0", "4", "3", "2", "1", "6"]


def test_a_version_rolls_one_at_a_time_without_less_capacity_where_there_is_room():
    world = World(node("a"))
    world.settle(ClusterShape(pools=(SINGLES,)))
    new = dataclasses.replace(SINGLES, version="2")
    ready = world.settle(ClusterShape(pools=(new,)))
    assert min(ready) >= 4
    assert len(world.groups) == 4
    assert {group.generation for group in world.groups.values()} == {new.generation}


def test_a_version_rolls_with_one_less_where_there_is_none():
    world = World(node("a", 4))
    world.settle(ClusterShape(pools=(SINGLES,)))
    ready = world.settle(ClusterShape(pools=(dataclasses.replace(SINGLES, version="2"),)))
    assert min(ready) == 3


def test_a_version_whose_workers_never_start_replaces_no_second_group():
    world = World(node("a"))
    world.settle(ClusterShape(pools=(SINGLES,)))
    shape = ClusterShape(pools=(dataclasses.replace(SINGLES, version="broken"),))
    for _ in range(20):
        world.step(shape)
        for name, group in world.groups.items():
            if not name.endswith(SINGLES.generation) and group.state is GroupState.READY:
                world.groups[name] = dataclasses.replace(group, state=GroupState.STARTING)
    assert world.ready() == 4


def test_a_node_is_emptied_and_its_groups_start_elsewhere():
    world = World(node("a"), node("b"))
    shape = ClusterShape(pools=(SINGLES,))
    world.settle(shape)
    world.settle(shape.cordon("a"))
    assert world.on("a") == []
    assert len(world.on("b")) == 4


def test_a_drained_host_stays_empty_under_another_node_id():
    world = World(node("a"), node("b"))
    shape = ClusterShape(pools=(SINGLES,)).cordon("old", hostname="a")
    world.settle(shape)
    assert world.on("a") == []
    world.settle(ClusterShape(pools=(SINGLES,)).cordon("old", hostname="b"))
    assert (len(world.on("a")), world.on("b")) == (4, [])


def test_the_groups_of_a_pool_that_is_gone_are_drained():
    world = World(node("a"))
    world.settle(ClusterShape(pools=(SINGLES,)))
    world.settle(ClusterShape())
    assert world.groups == {}


def test_a_silent_group_keeps_its_name_and_place():
    """A node that died: Ray itself restarts its groups elsewhere."""
    silent = Group(name=f"image/0/{SINGLES.generation}", state=GroupState.STARTING)
    found = plan(ClusterShape(pools=(SINGLES,)), {"image": 1}, [silent], [node("a")])
    assert found.actions == ()


@pytest.mark.parametrize("why", ["cordon", "gone", "too many", "version"])
def test_who_can_not_be_asked_to_drain_is_removed(why):
    lost = Group(
        name=f"image/0/{SINGLES.generation}",
        state=GroupState.STARTING,
        node_id="a",
        is_lost=True,
    )
    shape, target = ClusterShape(pools=(SINGLES,)), 1
    match why:
        case "cordon":
            shape = shape.cordon("a")
        case "gone":
            shape = ClusterShape()
        case "too many":
            target = 0
        case _:
            shape = ClusterShape(pools=(dataclasses.replace(SINGLES, version="2"),))
    found = plan(shape, {"image": target}, [lost], [node("a", 1)])
    assert Remove(name=lost.name) in found.actions
    assert not any(isinstance(action, Drain) for action in found.actions)


@pytest.mark.parametrize("why", ["cordon", "gone"])
def test_nobody_is_drained_twice(why):
    leaving = Group(
        name=f"image/0/{SINGLES.generation}", state=GroupState.DRAINING, node_id="a", num_gpus=1
    )
    shape = ClusterShape(pools=(SINGLES,)).cordon("a") if why == "cordon" else ClusterShape()
    found = plan(shape, {}, [leaving], [node("a")])
    assert not any(isinstance(action, Drain) for action in found.actions)


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 6), st.integers(0, 3)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 3),
)
def test_whatever_is_wanted_it_settles_with_as_many_as_fit(sizes, pools, cordoned):
    world = World(*(node(f"n{index}", size) for index, size in enumerate(sizes)))
    for version in range(2):
        shape = ClusterShape(
            pools=tuple(
                Pool(name=f"p{i}", num_gpus=gpus, floor=floor, ceiling=16, version=str(v * version))
                for i, (gpus, floor, v) in enumerate(pools)
            ),
            cordoned=(f"n{cordoned}",),
        )
        world.settle(shape)
        found = plan(shape, {}, list(world.groups.values()), world.nodes)
        assert world.on(f"n{cordoned}") == []
        for pool in shape.pools:
            own = [group for group in world.groups.values() if group.pool == pool.name]
            assert len(own) + found.unplaced.get(pool.name, 0) == pool.floor
            assert {group.generation for group in own} <= {pool.generation}
