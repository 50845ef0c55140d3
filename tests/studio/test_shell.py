"""What surrounds every view: pages, keys, appearance, the service's state."""

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import PHONE
from tests.studio.service import Service

PAGES = ["Create", "Queue", "Library", "Compare", "Grid", "Performance"]


def heading(page, name):
    return page.get_by_role("heading", name=name, level=1, exact=True)


def is_live(page):
    return page.get_by_role("button", name="Live")


@pytest.mark.parametrize("size", [None, PHONE], ids=["desktop", "phone"])
def test_every_page_opens_from_the_navigation_and_by_its_address(service, open_window, size):
    page = open_window(size=size) if size else open_window()
    page.goto(service.url)
    navigation = page.get_by_role("navigation", name="Main").filter(visible=True)
    for name in PAGES:
        navigation.get_by_role("link", name=name).click()
        expect(heading(page, name)).to_be_visible()
        expect(page).to_have_title(re.compile(f"^{name}"))
        page.reload()
        expect(heading(page, name)).to_be_visible()


def test_an_address_that_names_nothing_says_so(service, page):
    page.goto(f"{service.url}/queue/nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")


def test_single_keys_open_pages_until_they_are_switched_off(service, page):
    page.goto(f"{service.url}/queue")
    expect(is_live(page)).to_be_visible()
    page.keyboard.press("3")
    expect(heading(page, "Library")).to_be_visible()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Go to Library")
    sheet.get_by_role("switch", name="Single-key shortcuts").click()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.keyboard.press("2")
    page.keyboard.press("?")
    expect(heading(page, "Library")).to_be_visible()
    expect(sheet).to_be_hidden()


def test_the_appearance_follows_the_system_until_somebody_chooses(service, open_window):
    page = open_window(scheme="dark")
    page.goto(service.url)
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_the_first_tab_leads_to_the_content(service, page):
    page.goto(f"{service.url}/performance")
    expect(is_live(page)).to_be_visible()
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_two_windows_show_the_same_queue(service, open_window):
    windows = [open_window(), open_window()]
    for window in windows:
        window.goto(f"{service.url}/queue")
        expect(is_live(window)).to_be_visible()
    service.post("/queue/pause", {"scope": "all"})
    try:
        for window in windows:
            expect(window.get_by_role("banner").get_by_text("Paused")).to_be_visible()
        job = service.submit("a red circle on white")
        for window in windows:
            row = window.get_by_text("a red circle on white")
            expect(row.first).to_be_visible()
        service.post(f"/jobs/{job}/cancel")
    finally:
        service.post("/queue/resume", {"scope": "all"})
    for window in windows:
        expect(window.get_by_role("banner").get_by_text("Paused")).to_be_hidden()


def test_a_lost_service_is_told_and_found_again(own_service, page):
    page.goto(f"{own_service.url}/queue")
    expect(is_live(page)).to_be_visible()
    own_service.stop()
    expect(page.get_by_role("button", name="Offline")).to_be_visible()
    expect(page.get_by_text("nothing you queued is lost")).to_be_visible()
    own_service.start()
    expect(is_live(page)).to_be_visible(timeout=60_000)
    expect(page.get_by_text("nothing you queued is lost")).to_be_hidden()


def test_a_key_is_entered_once_and_no_script_can_read_it(tmp_path, page):
    made = subprocess.run(
        [
            *(sys.executable, "-m", "ourvidz.cli", "keys", "create", "--name", "studio"),
            *("--scope", "jobs:read", "--scope", "jobs:write"),
        ],
        env={"OURVIDZ_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    secret = re.search(r"ov_live_\w+", made.stdout + made.stderr).group()
    service = Service(tmp_path / "data", "--no-worker").start()
    try:
        page.goto(f"{service.url}/library")
        expect(page.get_by_role("heading", name="This service needs a key")).to_be_visible()
        field = page.get_by_label("API key")
        field.fill(secret[:-1] + ("a" if secret[-1] != "a" else "b"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("The API key is not known.")).to_be_visible()
        field.fill(secret)
        page.get_by_role("button", name="Sign in").click()
        expect(heading(page, "Library")).to_be_visible()
        expect(is_live(page)).to_be_visible()
        assert secret not in page.evaluate(
            "document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
        )
        page.reload()
        expect(heading(page, "Library")).to_be_visible()
        page.get_by_role("button", name="More", exact=True).click()
        page.get_by_role("menuitem", name="Sign out").click()
        expect(page.get_by_role("heading", name="This service needs a key")).to_be_visible()
    finally:
        service.stop()
