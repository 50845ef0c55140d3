"""Batches of images over four processes; see ``test_group_images``."""

import pytest
from group_images import difference_of, make_image_request, run_batch
from group_jobs import frames_of, make_engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four-images")
    found = [make_engine(folder, size) for size in (1, 4)]
    yield found
    for engine in found:
        engine.close()


@pytest.mark.parametrize("fidelity", ["exact", "high"])
@pytest.mark.parametrize(
    "values",
    [
        {"num_images": 6},
        {"num_images": 5, "guidance_scale": 1.0},  # two ranks predict, four decode
        {"num_images": 2},
    ],
    ids=str,
)
def test_four_processes_make_the_same_images(engines, fidelity, values):
    request = make_image_request(fidelity=fidelity, **values)
    expected, found = (frames_of(engine, request) for engine in engines)
    assert difference_of(found, expected).max() <= 1  # a CPU has no 8 bits for images


def test_jobs_batched_together_are_shared(engines):
    alone, group = engines
    requests = [make_image_request(num_images=number, seed=number) for number in (1, 2, 3)]
    found, _ = run_batch(group, requests)
    for images, request in zip(found, requests, strict=True):
        assert difference_of(images, frames_of(alone, request)).max() <= 1
