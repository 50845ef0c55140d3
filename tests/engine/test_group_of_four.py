"""One video over four processes; see ``test_group``."""

import numpy as np
import pytest
from group_jobs import frames_of, make_engine, make_request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    found = [make_engine(folder, size) for size in (1, 4)]
    yield found
    for engine in found:
        engine.close()


@pytest.mark.parametrize("fidelity", ["exact", "high"])
@pytest.mark.parametrize(
    "values", [{}, {"guidance_scale": 1.0}, {"num_frames": 13, "width": 160}], ids=str
)
def test_four_processes_make_the_same_video(engines, fidelity, values):
    request = make_request(fidelity=fidelity, **values)
    expected, found = (frames_of(engine, request) for engine in engines)
    difference = np.abs(found.astype(int) - expected.astype(int))
    # 8 bits round what differs in the last bit to another step now and then.
    assert difference.mean() < (0.01 if fidelity == "exact" else 0.5)
    assert difference.max() <= (1 if fidelity == "exact" else 24)
