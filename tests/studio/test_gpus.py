"""The panel of workers: models are loaded and unloaded, and a worker is drained, by hand."""

import re

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS

MODEL = "pocket-image"


@pytest.fixture
def panel(own_service, page):
    page.goto(f"{own_service.url}/performance/gpus")
    expect(page.get_by_role("button", name=f"Load {MODEL}")).to_be_enabled(timeout=WAIT_MS)
    return page


def resident(service):
    (worker,) = service.get("/workers")["data"]
    return worker["resident"]


def test_a_model_is_loaded_and_unloaded_by_hand(own_service, panel):
    row = panel.get_by_role("listitem").filter(has_text=MODEL).first
    assert MODEL not in resident(own_service)
    expect(row).to_contain_text("Not loaded")
    panel.get_by_role("button", name=f"Load {MODEL}").click()
    expect(row).to_contain_text(re.compile(r"Loaded, [\d.]+ [KMG]iB"), timeout=WAIT_MS)
    assert resident(own_service)[MODEL] > 0
    panel.get_by_role("button", name=f"Unload {MODEL}").click()
    expect(row).to_contain_text("Not loaded", timeout=WAIT_MS)
    assert MODEL not in resident(own_service)


def test_a_worker_is_drained_after_a_question(own_service, panel):
    (worker,) = own_service.get("/workers")["data"]
    drain = panel.get_by_role("button", name=f"Drain {worker['id']}")
    question = panel.get_by_role("dialog")
    drain.click()
    expect(question).to_contain_text(worker["id"])
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_be_hidden()
    assert own_service.get("/workers")["data"][0]["state"] == "idle"
    drain.click()
    question.get_by_role("button", name="Drain", exact=True).click()
    # It finishes, ends and leaves the list; its supervisor starts another one in its place.
    expect(panel.get_by_text(worker["id"], exact=True)).to_be_hidden(timeout=WAIT_MS)
