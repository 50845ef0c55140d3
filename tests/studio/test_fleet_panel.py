"""The panel of the fleet, on a machine without a GPU: one node, one processor, nothing made up."""

import re

from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS


def figure(panel, name):
    """Return the value that stands under a name."""
    return panel.locator("dl > div").filter(has_text=name).locator("dd").first


def test_a_processor_is_shown_as_what_it_is_and_followed_live(own_service, page):
    page.goto(f"{own_service.url}/performance/fleet")
    panel = page.get_by_role("region", name="Fleet")
    nodes = panel.get_by_role("figure", name="Machines and groups")
    group = nodes.get_by_role("listitem").filter(has_text="CPU").last
    expect(group).to_contain_text("Idle", timeout=WAIT_MS)
    expect(figure(panel, "Machines")).to_have_text("1")
    expect(figure(panel, "GPUs")).to_have_text("0")
    for name in ("GPU time used", "Goodput"):
        expect(figure(panel, name)).to_have_text("–")
    expect(panel).to_contain_text("No GPU works here")
    expect(panel).to_contain_text("No job succeeded in this period.")

    job = own_service.submit("a red circle")
    expect(group).to_contain_text("pocket-image", timeout=WAIT_MS)
    own_service.wait_for(job)
    cost = panel.get_by_role("figure", name="Cost of a job").get_by_role("listitem")
    expect(cost).to_contain_text("SDXL image fast", timeout=WAIT_MS)
    expect(cost).to_contain_text("on CPU")

    nodes.get_by_role("button", name="Show as table").click()
    (worker,) = own_service.get("/workers")["data"]
    row = nodes.get_by_role("row").filter(has_text=worker["id"])
    expect(row.get_by_role("cell")).to_have_text(
        [worker["host"], worker["id"], re.compile(r"."), "0", "Idle", "0", "pocket-image", "–", "–"]
    )
    nodes.get_by_role("button", name="Download").click()
    with page.expect_download() as told:
        page.get_by_role("menuitem", name="Export as CSV").click()
    with open(told.value.path(), encoding="utf-8") as file:
        header, line = file.read().splitlines()
    assert header.startswith("Machine,Worker,")
    assert worker["id"] in line

    page.get_by_role("button", name="24 hours").click()
    expect(page).to_have_url(re.compile(r"period=day"))
    expect(cost).to_contain_text("SDXL image fast")
