"""A browser, a service, and what every page must keep to: no errors, no breach of its policy."""

import os
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.studio.service import Service

DESKTOP = {"width": 1360, "height": 860}
PHONE = {"width": 360, "height": 740}
LOOK_MS = 50
WAIT_MS = 90_000  # for work of real models on shared processors
# What a browser says by itself when the service is away, as some tests make it be.
OFFLINE_WORDS = ("ERR_CONNECTION", "ERR_INTERNET_DISCONNECTED", "ERR_EMPTY", "ERR_INCOMPLETE")
# Answers that mean what they say: a wrong key was tried, no benchmark is running.
ANSWERS = (("/api/v1/session", "401"), ("/api/v1/benchmarks/active", "404"))

expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/studio/" in item.nodeid:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


def wait_until(page, condition, *, timeout_ms=WAIT_MS):
    """Wait for an expression to hold. The page's policy forbids what Playwright's own would do."""
    for _ in range(timeout_ms // LOOK_MS):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(LOOK_MS)
    raise AssertionError(f"it never came to hold: {condition}")


@pytest.fixture(scope="session")
def chromium():
    path = os.environ.get("OURVIDZ_CHROMIUM") or shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium here: apt-get install chromium")
        pytest.skip("No Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """One service for the tests that can share it."""
    running = Service(tmp_path_factory.mktemp("studio")).start()
    yield running
    running.stop()


@pytest.fixture
def own_service(tmp_path):
    """A service that the test may stop, pause or fill."""
    running = Service(tmp_path / "data").start()
    yield running
    running.stop()


@pytest.fixture
def open_window(chromium):
    """Open windows as different people would: each with its own storage.

    Errors on the console, exceptions and breaches of the content security policy fail the test.
    """
    contexts, problems = [], []

    def note(message):
        text = message.text
        address = message.location.get("url", "")
        is_expected = any(word in text for word in OFFLINE_WORDS) or any(
            address.endswith(end) and status in text for end, status in ANSWERS
        )
        if message.type == "error" and not is_expected:
            problems.append(f"{address}: {text}")

    def open_one(*, size=DESKTOP, scheme="light", **options):
        context = chromium.new_context(
            viewport=size, color_scheme=scheme, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_window):
    return open_window()
