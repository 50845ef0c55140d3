"""What was made is found, looked at, rated, used again, taken away and deleted."""

import re
import zipfile

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS

IMAGES = ["amber circle", "amber square"]
VIDEO = "amber star moving left"
FACTS = r"""
- dialog "Result":
  - list:
    - listitem: /Denoise [\d.]+ m?s/
  - term: Made in
  - definition: /^[\d.]+ m?s$/
  - term: Job type
  - definition: SDXL image fast
  - term: Model
  - definition: pocket-image
  - term: Seed
  - definition: "12"
  - term: Size
  - definition: 128 × 128
  - term: Steps
  - definition: "2"
  - term: Scheduler
  - definition: euler
  - term: File type
  - definition: PNG
"""


@pytest.fixture(scope="module")
def made(service):
    """Three results, the video last; other tests' results don't match their word."""
    jobs = {
        prompt: service.submit(prompt, seed=11 + index, num_inference_steps=2)
        for index, prompt in enumerate(IMAGES)
    }
    jobs[VIDEO] = service.submit(VIDEO, job_type="video_fast", num_inference_steps=2, num_frames=5)
    return {prompt: service.wait_for(job) for prompt, job in jobs.items()}


@pytest.fixture
def open_library(service, open_window):
    def open_one(query="?q=amber"):
        page = open_window()
        page.goto(f"{service.url}/library{query}")
        expect(page.get_by_role("button", name="Live")).to_be_visible()
        return page

    return open_one


def card(page, prompt):
    return page.get_by_role("grid", name="Results").get_by_role("gridcell").filter(has_text=prompt)


def heart(inside):
    return inside.get_by_role("button", name="Mark as favourite")


def lightbox(page):
    return page.get_by_role("dialog", name="Result", exact=True)


def test_results_appear_by_themselves_with_their_time(service, open_library):
    page = open_library("?q=violet")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    job = service.wait_for(service.submit("violet circle", num_inference_steps=2))
    expect(card(page, "violet circle")).to_contain_text(re.compile(r"SDXL image fast[\d.]+ m?s"))
    expect(card(page, "violet circle").get_by_role("img").first).to_be_attached()
    expect(page.get_by_text("1 result", exact=True)).to_be_visible()
    service.post("/jobs/delete", {"job_ids": [job["id"]]})
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_filters_stand_in_the_address_and_survive_a_reload(made, open_library):
    page = open_library("")
    search = page.get_by_role("searchbox", name="Search prompts")
    search.fill("amber")
    expect(page).to_have_url(re.compile(r"\?q=amber$"))
    expect(page.get_by_text("3 results")).to_be_visible()
    page.get_by_role("button", name="Images").click()
    expect(page.get_by_text("2 results")).to_be_visible()
    page.get_by_role("combobox", name="Order").select_option("Oldest first")
    expect(page).to_have_url(re.compile(r"\?q=amber&media=image&sort=old$"))
    page.reload()
    expect(search).to_have_value("amber")
    expect(page.get_by_role("button", name="Images")).to_have_attribute("aria-pressed", "true")
    cells = page.get_by_role("grid", name="Results").get_by_role("gridcell")
    expect(cells).to_contain_text(IMAGES)
    page.get_by_role("button", name="Clear filters").click()
    expect(search).to_have_value("")
    expect(page).to_have_url(re.compile(r"/library\?sort=old$"))


def test_favourites_and_stars_survive_a_reload_and_show_elsewhere(made, open_library):
    page, other = open_library(), open_library()
    chosen = IMAGES[0]
    heart(card(page, chosen)).click()
    card(page, chosen).get_by_title("4 stars").click()  # its radio is for readers and keys
    for window in (page, other):
        expect(heart(card(window, chosen))).to_have_attribute("aria-pressed", "true")
        expect(card(window, chosen).get_by_role("radio", name="4 stars")).to_be_checked()
    page.reload()
    expect(heart(card(page, chosen))).to_have_attribute("aria-pressed", "true")
    expect(card(page, chosen).get_by_role("radio", name="4 stars")).to_be_checked()
    page.get_by_role("button", name="Favourites", exact=True).click()
    expect(page.get_by_text("1 result", exact=True)).to_be_visible()
    heart(card(page, chosen)).click()
    expect(card(page, chosen)).to_be_hidden()
    expect(heart(card(other, chosen))).to_have_attribute("aria-pressed", "false")


def test_the_lightbox_tells_everything_and_leads_on(made, open_library):
    page = open_library()
    square = made["amber square"]
    card(page, "amber square").get_by_role("link").click()
    box = lightbox(page)
    expect(box.get_by_role("img", name="amber square")).to_be_visible()
    picture = box.get_by_role("img", name="amber square")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    expect(box).to_match_aria_snapshot(FACTS)
    expect(box.get_by_text(square["id"])).to_be_visible()

    page.keyboard.press("ArrowRight")  # newest first: the next one is older
    expect(page).to_have_url(re.compile(f"/library/{made['amber circle']['id']}"))
    expect(box).to_match_aria_snapshot(FACTS.replace('"12"', '"11"'))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(box.get_by_label(f"Video: {VIDEO}")).to_be_visible()
    expect(box.get_by_role("button", name="Previous")).to_be_disabled()
    page.keyboard.press("5")
    expect(box.get_by_role("radio", name="5 stars")).to_be_checked()
    box.get_by_title("2 stars").click()
    page.keyboard.press("3")  # with the focus on a star
    expect(box.get_by_role("radio", name="3 stars")).to_be_checked()
    page.reload()
    expect(box.get_by_role("radio", name="3 stars")).to_be_checked()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/library\?q=amber$"))


def test_all_settings_are_reused_and_the_form_before_comes_back(made, open_library):
    page = open_library()
    navigation = page.get_by_role("navigation", name="Main")
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    navigation.get_by_role("link", name="Create").click()
    prompt.fill("a form that was being filled")
    navigation.get_by_role("link", name="Library").click()
    card(page, "amber square").get_by_role("link").click()
    lightbox(page).get_by_role("button", name="All settings").click()
    expect(prompt).to_have_value("amber square")
    expect(page.get_by_role("radio", name="SDXL image fast")).to_be_checked()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("12")
    expect(page.get_by_role("slider", name="Steps")).to_have_value("2")
    told = page.get_by_role("status").filter(has_text="All settings are in the form")
    told.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value("a form that was being filled")
    expect(page.get_by_role("radio", name="Video fast", exact=True)).to_be_checked()


def test_two_are_selected_and_come_as_one_zip(made, open_library):
    page = open_library()
    for prompt in IMAGES:
        card(page, prompt).get_by_role("checkbox").check()
    selection = page.get_by_role("region", name="Selection")
    expect(selection).to_contain_text("2 selected")
    with page.expect_download() as started:
        selection.get_by_role("button", name="Download as ZIP").click()
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == 2
        assert all(archive.read(name).startswith(b"\x89PNG") for name in names)
    page.keyboard.press("Escape")
    expect(selection).to_be_hidden()


def test_many_are_deleted_after_a_question_and_not_before(service, open_library):
    jobs = [service.submit(f"crimson circle {each}", num_inference_steps=1) for each in "ab"]
    for job in jobs:
        service.wait_for(job)
    page = open_library("?q=crimson")
    page.get_by_role("checkbox", name="Select: crimson circle a").check()
    page.get_by_role("checkbox", name="Select: crimson circle b").check()
    remove = page.get_by_role("region", name="Selection").get_by_role("button", name="Delete")
    question = page.get_by_role("dialog", name="Delete 2 results?")
    remove.click()
    question.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("2 results", exact=True)).to_be_visible()

    remove.click()
    question.get_by_role("button", name="Delete 2 results").click()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    told = page.get_by_role("status").filter(has_text="Deleted 2 results")
    told.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 results", exact=True)).to_be_visible()

    page.get_by_role("checkbox", name="Select: crimson circle a").check()
    page.get_by_role("checkbox", name="Select: crimson circle b").check()
    remove.click()
    with page.expect_response(re.compile("/jobs/delete$"), timeout=WAIT_MS) as answer:
        question.get_by_role("button", name="Delete 2 results").click()
    assert sorted(answer.value.json()["deleted"]) == sorted(jobs)
    assert service.get("/jobs", text="crimson")["data"] == []
    expect(page.get_by_text("Nothing matches")).to_be_visible()
