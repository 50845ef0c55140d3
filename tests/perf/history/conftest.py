import json

import pytest

from ourvidz.perf.history import shipped
from ourvidz.perf.history.schema import parse_history, parse_recipes, with_recipes
from ourvidz.perf.history.shelf import resources


def _file(name):
    return resources.files("ourvidz.perf.history").joinpath("data", name).read_bytes()


@pytest.fixture
def content():
    """The shipped file's content, to change."""
    return json.loads(_file("history-2025-07.json"))


@pytest.fixture
def parse():
    """Read changed content with the shipped recipes."""
    recipes = parse_recipes(_file("recipes-2025-07.json"))
    return lambda content: with_recipes(parse_history(json.dumps(content), name="h.json"), recipes)


@pytest.fixture(scope="session")
def history():
    return shipped().history
