"""From a prompt to a playing video, and everything that fills the form on the way."""

import base64
import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS

# The element itself: a promise that is kept once the picture moves.
PLAYS = """video => new Promise((resolve, reject) => {
  const fail = () => reject(new Error(video.error?.message ?? "no picture"));
  const look = () => {
    if (video.error) fail();
    else if (video.currentTime > 0.1 && video.videoWidth > 0) resolve(video.currentTime);
  };
  video.addEventListener("error", fail);
  video.addEventListener("timeupdate", look);
  look();
})"""


@pytest.fixture
def create(service, page):
    page.goto(service.url)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(prompt_of(page)).to_be_focused()
    return page


def prompt_of(page):
    return page.get_by_role("textbox", name="Prompt", exact=True)


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def latest(page, prompt):
    """The tile of a job under the form."""
    tiles = page.get_by_role("region", name="Latest").get_by_role("link")
    return tiles.filter(has_text=prompt).first


def toast(page, text):
    return page.get_by_role("status").filter(has_text=text)


def newest(service, prompt):
    return service.get("/jobs", text=prompt)["data"][0]


def choose_one_quick_image(page):
    page.get_by_role("button", name="Images", exact=True).click()
    page.get_by_role("radio", name="SDXL image fast").check()
    images = page.get_by_role("spinbutton", name="Images")
    images.fill("1")
    slider(page, "Steps").press("Home")
    expect(slider(page, "Steps")).to_have_value("1")
    expect(images).to_have_value("1")


def test_a_prompt_becomes_a_playing_video(create, service):
    prompt = "a red circle moving left over a black background"
    page = create
    page.keyboard.type(prompt)
    page.get_by_role("radio", name="Video high").check()
    page.get_by_role("radio", name="Video fast", exact=True).check()
    page.get_by_role("button", name="1 s", exact=True).click()
    expect(page.get_by_text("17 frames · 1.1 s").first).to_be_visible()
    page.get_by_role("spinbutton", name="Steps").fill("40")

    expected = page.get_by_role("region", name="Expected time")
    expect(slider(page, "Steps")).to_have_value("25")  # what is typed counts once it is left
    prompt_of(page).click()
    expect(slider(page, "Steps")).to_have_value("40")
    expect(expected.get_by_text(re.compile(r"^about [\d.]+ (ms|s)$"))).to_be_visible()
    expect(expected).to_contain_text(re.compile(r"9 of 10 jobs take [\d.]+( s –|–)"))

    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Added to the queue.").first).to_be_visible()
    tile = latest(page, prompt)
    expect(tile).to_contain_text(re.compile(r"Denoise \d+/40 *\d+ %"), timeout=WAIT_MS)
    expect(tile).to_contain_text(re.compile(r"Video fast *[\d.]+ s"), timeout=WAIT_MS)
    job = newest(service, prompt)
    assert (job["num_frames"], job["num_inference_steps"]) == (17, 40)
    ledger = job["ledger"]
    made_s = ledger["total_s"] - ledger["phases_s"].get("queue_wait", 0)  # the wait is not its own
    expect(tile).to_contain_text(f"{made_s:.0f} s" if made_s >= 9.95 else f"{made_s:.1f} s")

    page.get_by_role("button", name="Play videos").click()
    assert tile.locator("video").evaluate(PLAYS) > 0.1  # hidden from readers: the link names it

    tile.click()
    player = page.get_by_label(f"Video: {prompt}")
    player.focus()
    page.keyboard.press("Space")
    assert player.evaluate(PLAYS) > 0.1


def test_only_frame_counts_that_the_model_makes_can_be_chosen(create):
    length = slider(create, "Length")
    expect(length).to_have_value("33")
    length.press("Home")
    expect(length).to_have_value("5")
    for count in (9, 13, 17, 21):
        length.press("ArrowRight")
        expect(length).to_have_value(str(count))
        expect(length).to_have_attribute("aria-valuetext", re.compile(f"^{count} frames · "))
    legal = length.evaluate(
        """slider => [18, 20, 22, 31, 240].map(wish => {
          const same = slider.cloneNode();
          same.value = wish;
          return Number(same.value);
        })"""
    )
    assert [count % 4 for count in legal] == [1] * 5
    length.press("End")
    expect(length).to_have_value("241")
    create.get_by_role("button", name="Reset length to 33 frames").click()
    expect(length).to_have_value("33")


def test_a_seed_is_locked_stepped_and_used(create, service):
    page = create
    choose_one_quick_image(page)
    expect(page.get_by_text("A new one for every job.")).to_be_visible()
    page.get_by_role("button", name="Locked").click()
    seed = page.get_by_role("textbox", name="Seed")
    seed.fill("4294967296")
    expect(page.get_by_text("A whole number from 0 to 4294967295.")).to_be_visible()
    seed.fill("41")
    expect(page.get_by_text("The same seed and settings give the same result.")).to_be_visible()
    page.get_by_role("button", name="Next seed (+1)").click()
    expect(seed).to_have_value("42")
    prompt_of(page).fill("a seeded blue square")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Added to the queue.").first).to_be_visible()
    assert newest(service, "a seeded blue square")["seed"] == 42

    page.get_by_role("button", name="Draw a new seed").click()
    expect(seed).not_to_have_value("42")
    page.get_by_role("button", name="Use the last seed").click()
    expect(seed).to_have_value("42")


def test_an_enhanced_prompt_is_shown_beside_its_original_taken_and_undone(create):
    page = create
    prompt_of(page).fill("a red circle")
    page.get_by_role("button", name="Enhance prompt").click()
    review = page.get_by_role("region", name="Enhanced prompt")
    expect(review).to_be_visible(timeout=WAIT_MS)
    yours = review.get_by_role("heading", name="Yours").bounding_box()
    theirs = review.get_by_role("heading", name="Enhanced", exact=True).bounding_box()
    assert yours["y"] == theirs["y"]
    assert yours["x"] + yours["width"] < theirs["x"]
    expect(review.get_by_role("insertion").first).to_be_visible()

    review.get_by_role("button", name="Edit").click()
    edited = review.get_by_role("textbox", name="Edit the enhanced prompt")
    enhanced = edited.input_value()
    assert len(enhanced) > len("a red circle")
    edited.fill(f"{enhanced} Seen from above.")
    review.get_by_role("button", name="Use enhanced").click()
    expect(review).to_be_hidden()
    expect(prompt_of(page)).to_have_value(f"{enhanced} Seen from above.")
    page.get_by_role("button", name="Undo").click()
    expect(prompt_of(page)).to_have_value("a red circle")


@pytest.mark.parametrize(
    ("file_name", "media_type", "asked", "shown"),
    [
        (
            "star.png",
            "image/png",
            {"num_inference_steps": 3, "num_images": 1},
            ("SDXL image fast", {"spinbutton": ("Images", "1"), "slider": ("Steps", "3")}),
        ),
        (
            "star.mp4",
            "video/mp4",
            {"job_type": "video_high", "num_inference_steps": 2, "num_frames": 5},
            ("Video high", {"spinbutton": ("Steps", "2"), "slider": ("Length", "5")}),
        ),
    ],
    ids=["picture", "video"],
)
def test_a_dropped_file_fills_the_form_and_can_be_undone(
    create, service, file_name, media_type, asked, shown
):
    page = create
    job = service.wait_for(service.submit(f"a dropped {file_name}", seed=77, **asked))
    file = httpx.get(httpx.URL(service.url).join(job["assets"][0]["url"])).content
    prompt_of(page).fill("what stood there before")
    held = page.evaluate_handle(
        """([text, name, type]) => {
          const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], name, {type}));
          return data;
        }""",
        [base64.b64encode(file).decode(), file_name, media_type],
    )
    prompt_of(page).dispatch_event("dragenter", {"dataTransfer": held})
    expect(page.get_by_text("Drop the file to read its settings")).to_be_visible()
    prompt_of(page).dispatch_event("drop", {"dataTransfer": held})
    expect(page.get_by_text("Drop the file to read its settings")).to_be_hidden()
    expect(prompt_of(page)).to_have_value(f"a dropped {file_name}")
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("77")
    job_type, fields = shown
    expect(page.get_by_role("radio", name=job_type)).to_be_checked()
    for role, (name, value) in fields.items():
        expect(page.get_by_role(role, name=name, exact=True)).to_have_value(value)
    toast(page, f"Settings read from {file_name}").get_by_role("button", name="Undo").click()
    expect(prompt_of(page)).to_have_value("what stood there before")
    expect(page.get_by_role("radio", name="Video fast", exact=True)).to_be_checked()


def test_the_draft_survives_a_reload(create):
    page = create
    choose_one_quick_image(page)
    prompt_of(page).fill("a draft that is not lost")
    page.get_by_role("button", name="Locked").click()
    page.get_by_role("textbox", name="Seed").fill("5")
    page.reload()
    expect(prompt_of(page)).to_have_value("a draft that is not lost")
    expect(page.get_by_role("radio", name="SDXL image fast")).to_be_checked()
    expect(page.get_by_role("spinbutton", name="Images")).to_have_value("1")
    expect(slider(page, "Steps")).to_have_value("1")
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("5")
