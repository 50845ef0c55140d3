import dataclasses

import pytest

from ourvidz.cluster.shape import ClusterShape, Pool
from ourvidz.core.errors import InvalidRequest, UnknownName

VIDEO = Pool(
    name="video",
    num_gpus=2,
    floor=1,
    ceiling=4,
    models=("wan2.1-t2v-1.3b",),
    version="7",
    labels={"zone": "a"},
)


def test_a_shape_comes_back_from_the_database_as_it_went():
    shape = ClusterShape(pools=(VIDEO, Pool(name="image")), cordoned=("n1",))
    shape = dataclasses.replace(shape, cordoned_hosts=("h1",), revision=7)
    found = ClusterShape.from_json(shape.to_json())
    assert (found, found.revision) == (shape, 7)


def test_what_a_newer_version_has_added_is_left_out():
    text = ClusterShape(pools=(VIDEO,)).to_json().replace('"floor"', '"hue": 3, "floor"')
    assert ClusterShape.from_json(text).pools == (VIDEO,)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"name": "Video"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"num_gpus": 3}, "gpus"),
        ({"floor": 5}, "ceiling"),
        ({"floor": -1}, "ceiling"),
        ({"ceiling": 10**6}, "ceiling"),
        ({"target_wait_s": 0.0}, "target_wait"),
    ],
)
def test_values_that_cannot_be_are_named(values, param):
    with pytest.raises(InvalidRequest) as raised:
        dataclasses.replace(VIDEO, **values)
    assert raised.value.param == param


@pytest.mark.parametrize(
    "values",
    [{"num_gpus": 4}, {"models": ()}, {"version": "8"}, {"labels": {}}, {"uses_test_engine": True}],
)
def test_what_groups_are_made_of_makes_another_generation(values):
    assert dataclasses.replace(VIDEO, **values).generation != VIDEO.generation


@pytest.mark.parametrize("values", [{"floor": 0}, {"ceiling": 9}, {"target_wait_s": 5.0}])
def test_how_many_there_are_does_not(values):
    assert dataclasses.replace(VIDEO, **values).generation == VIDEO.generation


def test_pools_are_put_changed_and_taken_by_name():
    shape = ClusterShape().with_pool(VIDEO).with_pool(Pool(name="image"))
    assert [pool.name for pool in shape.pools] == ["image", "video"]
    changed = shape.changed("video", lambda pool: dataclasses.replace(pool, ceiling=8))
    assert changed.pool("video").ceiling == 8
    assert [pool.name for pool in shape.without("video").pools] == ["image"]
    assert shape.without(None).pools == ()
    with pytest.raises(UnknownName, match="audio") as raised:
        shape.changed("audio", lambda pool: pool)
    assert "image, video" in raised.value.hint


def test_a_node_is_cordoned_once_and_let_go():
    shape = ClusterShape().cordon("n2").cordon("n1").cordon("n2")
    assert shape.cordoned == ("n1", "n2")
    assert shape.uncordon("n1").cordoned == ("n2",)


def test_a_host_that_is_cordoned_stays_so_under_any_node_id():
    shape = ClusterShape().cordon("n1", hostname="h1")
    assert shape.is_cordoned("n1", "other")
    assert shape.is_cordoned("n2", "h1")
    assert not shape.is_cordoned("n2", "h2")
    assert shape.uncordon("n1", "h1") == ClusterShape()
