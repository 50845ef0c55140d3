import json
import random

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.history.report import markdown, report_of
from ourvidz.perf.history.schema import NamedHistory

VALUES = (
    0,
    1,
    -1,
    1e300,
    1e8,
    "",
    "x",
    "10",
    "[red]",
    "9/0",
    None,
    True,
    [],
    {},
    [1],
    "2025-07-07",
)


def paths(value, path=()):
    """Give the path of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*path, key))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_in_a_file_it_is_reported_or_refused(parse, content, seed):
    rng = random.Random(seed)
    place = content
    path = rng.choice(list(paths(content)))
    for part in path[:-1]:
        place = place[part]
    if rng.random() < 0.3:
        del place[path[-1]]
    else:
        place[path[-1]] = rng.choice(VALUES)
    try:
        history = parse(content)
    except InvalidRequest:
        return
    report = report_of(NamedHistory(name="h", history=history))
    json.dumps(report.to_json(), allow_nan=False)
    assert markdown(report).count("\n- `") == len(history.claims)


def test_a_history_without_claims_or_phases_is_reported(parse, content):
    content["claims"] = []
    content["records"] = [{**content["records"][0], "phases_s": {}, "step_s": None, "doubt": None}]
    report = report_of(NamedHistory(name="h", history=parse(content)))
    assert (report.claims, report.candidates) == ((), ())
    assert (report.success.stated, report.success.recomputed) == (1, 1)
