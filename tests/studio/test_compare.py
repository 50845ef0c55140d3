"""Compare and Grid: results side by side, in step, voted on blind; sweeps that fill in live."""

import re

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS, wait_until

VIDEO = {"job_type": "video_fast", "num_inference_steps": 2, "num_frames": 17}


@pytest.fixture(scope="module")
def images(service):
    jobs = [service.submit("a red circle on white", seed=1, guidance_scale=g) for g in (2.0, 6.0)]
    return [service.wait_for(job)["id"] for job in jobs]


@pytest.fixture(scope="module")
def videos(service):
    jobs = [service.submit("a red circle moving left", seed=seed, **VIDEO) for seed in (1, 2)]
    return [service.wait_for(job)["id"] for job in jobs]


def every_video(condition):
    return f"[...document.querySelectorAll('main video')].every((v) => {condition})"


def compare(page, service, jobs):
    page.goto(f"{service.url}/compare?jobs={','.join(jobs)}")
    expect(page.get_by_role("heading", name="Compare", level=1)).to_be_visible()


def test_two_images_under_a_slider_and_their_difference(service, images, page):
    compare(page, service, images)
    for name in (1, 2):
        picture = page.get_by_role("img", name=f"Result {name}: a red circle on white").first
        expect(picture).to_be_visible()
    page.get_by_role("button", name="Slider", exact=True).click()
    divider = page.get_by_role("slider", name="Divider between the results")
    before = float(divider.get_attribute("aria-valuenow"))
    divider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert float(divider.get_attribute("aria-valuenow")) > before
    page.get_by_role("button", name="Difference", exact=True).click()
    expect(page.get_by_text(re.compile(r"Mean difference [\d.]+ of 255"))).to_be_visible()


def test_the_settings_show_what_differs_and_nothing_else(service, images, page):
    compare(page, service, images)
    table = page.get_by_role("table", name="Settings")
    rows = table.get_by_role("row")
    expect(rows.filter(has_text="Guidance")).to_contain_text("2")
    expect(rows.filter(has_text="Steps")).to_have_count(0)
    page.get_by_role("switch", name="Only differences").click()
    expect(rows.filter(has_text="Steps")).to_have_count(1)


def test_two_videos_play_and_step_together(service, videos, page):
    compare(page, service, videos)
    players = page.locator("main video")
    expect(players).to_have_count(2)
    wait_until(page, every_video("v.readyState >= 2"))
    page.get_by_role("button", name="Play", exact=True).click()
    wait_until(page, every_video("v.currentTime > 0.2"))
    page.get_by_role("button", name="Pause", exact=True).click()
    times = "[...document.querySelectorAll('main video')].map((v) => v.currentTime)"
    wait_until(page, every_video("v.paused"))
    frame_s = 1 / service.get(f"/jobs/{videos[0]}")["fps"]
    first, second = page.evaluate(times)
    assert abs(first - second) <= frame_s
    page.get_by_role("button", name="One frame back").click()
    wait_until(page, f"{times}[0] < {first} - {frame_s / 2}")
    stepped = page.evaluate(times)
    assert abs(stepped[0] - stepped[1]) <= frame_s / 2


def test_a_blind_vote_tells_afterwards_which_was_which(service, images, page):
    compare(page, service, images)
    page.get_by_role("button", name="Vote blind", exact=True).click()
    voting = page.get_by_role("tabpanel", name="Blind vote")
    expect(voting.get_by_role("img").first).to_be_visible()
    expect(voting.get_by_text("Guidance")).to_have_count(0)
    voting.get_by_role("button", name=re.compile("^A is better|^A$|Choose A")).first.click()
    expect(voting.get_by_text("Guidance").first).to_be_visible()
    assert service.get("/performance/win-rates")


def test_a_sweep_fills_in_while_it_is_watched(service, page):
    page.goto(f"{service.url}/grid")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a blue square on white")
    page.get_by_label("Job type").first.select_option("sdxl_image_fast")
    axes = page.get_by_role("region", name="Axes")
    if not axes.get_by_label("Parameter of axis 1").is_visible():
        axes.get_by_role("button", name="Add axis").click()
    axes.get_by_label("Parameter of axis 1").select_option("num_inference_steps")
    suggested = axes.get_by_role("button", name=re.compile("^Remove \\d"))
    expect(suggested).not_to_have_count(0)
    for _ in range(suggested.count()):
        suggested.first.click()
    axes.get_by_label("Add values of Steps").fill("2 to 6 by 2")
    axes.get_by_role("button", name="Add", exact=True).first.click()
    start = page.get_by_role("button", name=re.compile("^Start 3 jobs"))
    expect(start).to_be_enabled()
    start.click()
    expect(page).to_have_url(re.compile("/grid/batch_"))
    progress = page.get_by_role("progressbar", name="Progress of the grid")
    expect(progress).to_be_visible()
    expect(page.get_by_text("3 of 3 done")).to_be_visible(timeout=WAIT_MS)
    matrix = page.get_by_role("region", name=re.compile("^Results by"))
    expect(matrix.get_by_role("button", name=re.compile("^Open"))).to_have_count(3)
    page.reload()
    expect(page.get_by_text("3 of 3 done")).to_be_visible()
    boxes = matrix.get_by_role("button", name=re.compile("^Choose"))
    boxes.nth(0).click()
    boxes.nth(2).click()
    page.get_by_role("button", name="Compare 2").click()
    expect(page).to_have_url(re.compile("/compare"))
    table = page.get_by_role("table", name="Settings")
    expect(table.get_by_role("row").filter(has_text="Steps")).to_have_count(1)
