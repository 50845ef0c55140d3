"""The queue is the person's: its order, its pause, its end; and it outlives its server."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS
from tests.studio.service import Service

SHAPES = ["a red circle", "a green star", "a blue square"]
SOON_S = 15.0  # from the press to the end of what it stopped, on shared processors
LONG = {"job_type": "video_fast", "num_inference_steps": 50, "num_frames": 49}


@pytest.fixture(scope="module")
def queue_service(tmp_path_factory):
    """A service of this file's own: it is paused, and its queue is emptied after each test."""
    running = Service(tmp_path_factory.mktemp("queue")).start()
    yield running
    running.stop()


@pytest.fixture
def emptied(queue_service):
    yield queue_service
    for job in queue_service.get("/jobs", state="queued")["data"]:
        queue_service.post(f"/jobs/{job['id']}/cancel")
    queue_service.post("/queue/resume", {"scope": "all"})


@pytest.fixture
def paused(emptied):
    """The service with its queue paused and three jobs in it."""
    emptied.post("/queue/pause", {"scope": "all"})
    for shape in SHAPES:
        emptied.submit(shape, num_inference_steps=2)
    return emptied


@pytest.fixture
def open_queue(open_window):
    def open_one(service):
        page = open_window()
        page.goto(f"{service.url}/queue")
        expect(page.get_by_role("button", name="Live")).to_be_visible()
        return page

    return open_one


def rows(page):
    return page.get_by_role("list", name="Waiting").get_by_role("listitem")


def handle(page, prompt):
    return page.get_by_role("button", name=f"Move “{prompt}”")


def order_of(service):
    """Prompts of what waits, as the service will take them."""
    jobs = service.get("/jobs", state="queued")["data"]
    jobs.sort(key=lambda job: (-job["priority"], job["position"], job["id"]))
    return [job["prompt"] for job in jobs]


def moving(page):
    return page.expect_response(re.compile("/move$"))


def is_ordered(page, service, *prompts):
    expect(rows(page)).to_contain_text(list(prompts))
    assert order_of(service) == list(prompts)


def entry(page, region, prompt):
    listed = page.get_by_role("region", name=region).get_by_role("listitem")
    return listed.filter(has_text=prompt)


def running(page, prompt):
    return entry(page, "Running", prompt)


def ended(page, prompt):
    return entry(page, "Just ended", prompt)


def test_jobs_are_moved_by_keys(paused, open_queue):
    page, other = open_queue(paused), open_queue(paused)
    circle, star, square = SHAPES
    is_ordered(page, paused, circle, star, square)
    handle(page, circle).focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("Picked up “a red circle” at place 1 of 3.")).to_be_attached()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_text("Place 3 of 3.")).to_be_attached()
    with moving(page):
        page.keyboard.press("Space")
    is_ordered(page, paused, star, square, circle)
    expect(handle(page, circle)).to_be_focused()
    is_ordered(other, paused, star, square, circle)

    page.keyboard.press("ArrowUp")
    expect(handle(page, square)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Home")
    expect(rows(page)).to_contain_text([square, star, circle])
    page.keyboard.press("Escape")
    is_ordered(page, paused, star, square, circle)


def test_a_carried_job_that_goes_leaves_the_others_to_the_keys(paused, open_queue):
    page = open_queue(paused)
    circle, star, square = SHAPES
    handle(page, square).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    expect(rows(page)).to_contain_text([circle, square, star])
    gone = next(job for job in paused.get("/jobs")["data"] if job["prompt"] == square)
    paused.post(f"/jobs/{gone['id']}/cancel")
    expect(rows(page)).to_contain_text([circle, star])
    handle(page, star).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    with moving(page):
        page.keyboard.press("Space")
    is_ordered(page, paused, star, circle)


def test_jobs_are_moved_by_dragging_and_by_their_menu(paused, open_queue):
    page = open_queue(paused)
    circle, star, square = SHAPES
    is_ordered(page, paused, circle, star, square)
    drag(page, handle(page, square), above=handle(page, circle))
    is_ordered(page, paused, square, circle, star)
    drag(page, handle(page, square), below=handle(page, circle))
    is_ordered(page, paused, circle, square, star)

    page.get_by_role("button", name="Actions for “a red circle”").click()
    with moving(page):
        page.get_by_role("menuitem", name="To the end").click()
    is_ordered(page, paused, square, star, circle)
    page.reload()
    is_ordered(page, paused, square, star, circle)


def drag(page, grip, *, above=None, below=None):
    box = (above or below).bounding_box()
    grip.hover()
    page.mouse.down()
    y = box["y"] - 4 if above else box["y"] + box["height"] + 4
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=8)
    with moving(page):
        page.mouse.up()


def test_a_job_is_stopped_in_the_middle_of_its_steps_and_tried_again(emptied, open_queue):
    page = open_queue(emptied)
    prompt = "a slow yellow triangle"
    job = emptied.submit(prompt, **LONG)
    card = running(page, prompt)
    expect(card).to_contain_text(re.compile(r"Denoise · step [1-9]\d? of 50"), timeout=WAIT_MS)
    preview = card.get_by_role("img", name=f"Preview of {prompt}")
    expect(preview).to_be_visible(timeout=WAIT_MS)
    assert preview.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    pressed = time.monotonic()
    page.get_by_role("button", name=f"Cancel “{prompt}”").click()
    expect(card.get_by_text("Cancelling…")).to_be_visible(timeout=2000)
    stopped = emptied.wait_for(job, "cancelled")
    assert time.monotonic() - pressed < SOON_S
    assert stopped["assets"] == []

    row = ended(page, prompt)
    expect(row).to_contain_text("Cancelled")
    expect(card).to_be_hidden()
    emptied.post("/queue/pause", {"scope": "all"})
    row.get_by_role("button", name=f"Try “{prompt}” again").click()
    expect(rows(page)).to_contain_text([prompt])
    expect(row).to_be_hidden()
    assert order_of(emptied) == [prompt]


def test_one_window_pauses_and_another_resumes(emptied, open_queue):
    here, there = open_queue(emptied), open_queue(emptied)
    here.get_by_role("button", name="Pause all").click()
    expect(there.get_by_text("The queue is paused")).to_be_visible()
    expect(there.get_by_role("banner").get_by_text("Paused")).to_be_visible()
    job = emptied.submit("a patient red circle", num_inference_steps=2)
    for window in (here, there):
        expect(rows(window).get_by_text("Paused", exact=True).filter(visible=True)).to_be_visible()
    there.get_by_role("button", name="Resume all").click()
    expect(here.get_by_text("The queue is paused")).to_be_hidden()
    emptied.wait_for(job)
    for window in (here, there):
        expect(ended(window, "a patient red circle")).to_contain_text("Done")


def test_the_queue_outlives_its_server(own_service, open_queue):
    page = open_queue(own_service)
    circle, star, square = SHAPES
    slow = own_service.submit("a slow yellow triangle", **{**LONG, "num_frames": 29})
    expect(running(page, "a slow yellow triangle")).to_contain_text("Denoise", timeout=WAIT_MS)
    page.get_by_role("button", name="Pause all").click()
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    jobs = {shape: own_service.submit(shape, num_inference_steps=2) for shape in SHAPES}
    own_service.post(f"/jobs/{jobs[square]}/move", {"front": True})
    is_ordered(page, own_service, square, circle, star)

    own_service.stop()
    expect(page.get_by_role("button", name="Offline")).to_be_visible()
    expect(rows(page)).to_contain_text([square, circle, star])  # the last state stays in sight
    own_service.start()
    expect(page.get_by_role("button", name="Live")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    kept = [prompt for prompt in order_of(own_service) if prompt in jobs]
    assert kept == [square, circle, star]
    expect(rows(page)).to_contain_text(kept)

    page.get_by_role("button", name="Resume all").click()
    done = {shape: own_service.wait_for(job) for shape, job in jobs.items()}
    assert sorted(jobs, key=lambda shape: done[shape]["started_unix_s"]) == kept
    own_service.wait_for(slow)
    for prompt in [*SHAPES, "a slow yellow triangle"]:
        expect(ended(page, prompt)).to_contain_text("Done")
    assert len(own_service.get("/jobs")["data"]) == 4
