"""The fixtures, and ways to vary them."""

import copy
import json
from pathlib import Path

DATA = Path(__file__).parent / "data"
NAMES = ("wan_july", "sdxl_july", "sdxl_august", "wan_august", "mixed")


def load(name, **changes):
    """Return a fixture; ``changes`` replace fields, ``config`` and ``metadata`` are merged."""
    payload = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    for section in ("config", "metadata"):
        payload[section] = {**payload[section], **changes.pop(section, {})}
    return {**payload, **copy.deepcopy(changes)}


def raw(payload):
    return json.dumps(payload).encode()
