"""The whole way without a mouse, and the whole way on a phone."""

import re

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import PHONE, WAIT_MS

MOST_TABS = 80


def reach(page, target, key="Tab"):
    """Press Tab until the focus is on the target, as one who sees where it is."""
    expect(target).to_be_attached()
    for _ in range(MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            return target
        page.keyboard.press(key)
    pytest.fail(f"{MOST_TABS} tabs don't lead to {target}")


def prompt_of(page):
    return page.get_by_role("textbox", name="Prompt", exact=True)


def card(page, prompt):
    return page.get_by_role("grid", name="Results").get_by_role("link", name=prompt)


def tile(page, prompt):
    return page.get_by_role("region", name="Latest").get_by_role("link").filter(has_text=prompt)


def test_an_image_is_made_opened_and_favoured_by_keys_alone(service, page):
    prompt = "a keyed red circle"
    keys = page.keyboard
    page.goto(f"{service.url}/queue")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    reach(page, page.get_by_role("link", name="Create"))
    keys.press("Enter")
    expect(prompt_of(page)).to_be_focused()
    keys.type(prompt)
    reach(page, page.get_by_role("button", name="Images", exact=True))
    keys.press("Enter")
    fast = page.get_by_role("radio", name="SDXL image fast")
    expect(fast).to_be_checked()
    reach(page, page.get_by_role("slider", name="Steps"))
    keys.press("Home")
    keys.press("ArrowRight")
    images = reach(page, page.get_by_role("spinbutton", name="Images"))
    keys.press("Control+a")
    keys.type("1")
    keys.press("Control+Enter")
    expect(page.get_by_text("Added to the queue.").first).to_be_visible()
    expect(images).to_have_value("1")
    expect(tile(page, prompt)).to_contain_text(re.compile(r"[\d.]+ m?s$"), timeout=WAIT_MS)
    job = service.get("/jobs", text=prompt)["data"][0]
    assert (job["num_images"], job["num_inference_steps"]) == (1, 2)

    reach(page, page.get_by_role("link", name="Open the library"))
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Library", level=1)).to_be_visible()
    reach(page, page.get_by_role("searchbox", name="Search prompts"))
    keys.type("keyed")
    expect(page.get_by_text("1 result", exact=True)).to_be_visible()
    reach(page, card(page, prompt))
    keys.press("Enter")
    box = page.get_by_role("dialog", name="Result", exact=True)
    expect(box.get_by_role("img", name=prompt)).to_be_visible()
    favourite = reach(page, box.get_by_role("button", name="Mark as favourite"))
    keys.press("Space")
    expect(favourite).to_have_attribute("aria-pressed", "true")
    keys.press("Escape")
    expect(box).to_be_hidden()
    expect(card(page, prompt)).to_be_focused()
    keys.press("s")
    keys.press("f")
    shown = page.get_by_role("grid", name="Results")
    expect(shown.get_by_role("radio", name="1 star")).to_be_checked()
    expect(shown.get_by_role("button", name="Mark as favourite")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_an_image_is_made_and_looked_at_on_a_phone(service, open_window):
    prompt = "a tapped green star"
    page = open_window(size=PHONE, has_touch=True, is_mobile=True)
    page.goto(service.url)
    expect(page.get_by_role("button", name="Live")).to_be_attached()
    navigation = page.get_by_role("navigation", name="Main").filter(visible=True)
    prompt_of(page).tap()
    prompt_of(page).fill(prompt)
    page.get_by_role("button", name="Images", exact=True).tap()
    images = page.get_by_role("spinbutton", name="Images")
    images.tap()
    images.fill("1")
    steps = page.get_by_role("spinbutton", name="Steps")
    steps.tap()
    steps.fill("2")
    generate = page.get_by_role("button", name="Generate")
    expect(generate).to_be_in_viewport()
    expect(page.get_by_text(re.compile(r"^about [\d.]+ m?s$")).last).to_be_in_viewport()
    generate.tap()
    expect(page.get_by_text("Added to the queue.").filter(visible=True)).to_be_in_viewport()
    expect(tile(page, prompt)).to_contain_text(re.compile(r"[\d.]+ m?s$"), timeout=WAIT_MS)

    service.post("/queue/pause", {"scope": "all"})
    try:
        navigation.get_by_role("link", name="Queue").tap()
        for each in ("a first tap", "a second tap"):
            service.submit(each, num_inference_steps=2)
        waiting = page.get_by_role("list", name="Waiting").get_by_role("listitem")
        rows = waiting.filter(has_text=" tap")
        expect(rows).to_contain_text(["a first tap", "a second tap"])
        page.get_by_role("button", name="Actions for “a second tap”").tap()
        page.get_by_role("menuitem", name="One up").tap()
        expect(rows).to_contain_text(["a second tap", "a first tap"])
        for each in ("a first tap", "a second tap"):
            page.get_by_role("button", name=f"Cancel “{each}”").tap()
        expect(rows).to_have_count(0)
        page.get_by_role("button", name="Resume all").tap()
        expect(page.get_by_role("button", name="Pause all")).to_be_visible()
    finally:
        service.post("/queue/resume", {"scope": "all"})

    navigation.get_by_role("link", name="Library").tap()
    card(page, prompt).tap()
    box = page.get_by_role("dialog", name="Result", exact=True)
    expect(box.get_by_role("img", name=prompt)).to_be_in_viewport()
    favourite = box.get_by_role("button", name="Mark as favourite")
    favourite.tap()
    expect(favourite).to_have_attribute("aria-pressed", "true")
    box.get_by_role("button", name="Close").tap()
    expect(box).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
