"""A grid whose worker dies, and what lies above a window that is open."""

import os
import re
import signal

import psutil
import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS
from tests.studio.service import Service

IS_ON_TOP = """element => {
  const { x, y, width, height } = element.getBoundingClientRect();
  const found = document.elementFromPoint(x + width / 2, y + height / 2);
  return found !== null && (element.contains(found) || found.contains(element));
}"""


@pytest.fixture
def frail(tmp_path):
    """A service that gives a job up when its worker dies once."""
    service = Service(tmp_path / "data", OURVIDZ_QUEUE__MAX_CRASHES="1").start()
    yield service
    service.stop()


def kill_worker(service):
    children = psutil.Process(service.pid).children()
    (worker,) = [each for each in children if "worker" in each.cmdline()]
    os.kill(worker.pid, signal.SIGKILL)


def start_grid(page, service, *, steps):
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
    axes.get_by_label("Add values of Steps").fill(steps)
    axes.get_by_role("button", name="Add", exact=True).first.click()
    page.get_by_role("button", name=re.compile("^Start 2 jobs")).click()
    expect(page).to_have_url(re.compile("/grid/batch_"))
    return page.get_by_role("region", name=re.compile("^Results by"))


def test_a_cell_whose_worker_died_says_why_and_is_tried_again(frail, page):
    frail.wait_for(frail.submit("a first circle", num_inference_steps=1))  # the model is loaded
    matrix = start_grid(page, frail, steps="2 to 50 by 48")
    jobs = {job["num_inference_steps"]: job for job in frail.get("/jobs", limit=2)["data"]}
    frail.wait_for(jobs[2]["id"])
    long = jobs[50]
    frail.follow_until(long["id"], "claimed")
    kill_worker(frail)
    failed = frail.wait_for(long["id"], "failed")
    expect(matrix.get_by_text("Failed", exact=True)).to_be_visible(timeout=WAIT_MS)
    reason = matrix.get_by_text(failed["error"]["message"])
    expect(reason).to_be_visible()
    matrix.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("2 of 2 done")).to_be_visible(timeout=WAIT_MS)
    expect(matrix.get_by_role("button", name=re.compile("^Open"))).to_have_count(2)


def test_hints_lie_above_an_open_window(service, page):
    matrix = start_grid(page, service, steps="2 to 4 by 2")
    expect(page.get_by_text("2 of 2 done")).to_be_visible(timeout=WAIT_MS)
    matrix.get_by_role("button", name=re.compile("^Open")).first.click()
    window = page.get_by_role("dialog")
    window.get_by_role("button", name="Next result").hover()
    hint = page.locator("[data-radix-popper-content-wrapper]")
    expect(hint).to_be_visible()
    assert hint.evaluate(IS_ON_TOP)


def test_news_of_a_job_lie_above_an_open_window_and_are_put_away_there(service, page):
    matrix = start_grid(page, service, steps="2 to 3 by 1")
    expect(page.get_by_text("2 of 2 done")).to_be_visible(timeout=WAIT_MS)
    matrix.get_by_role("button", name=re.compile("^Open")).first.click()
    window = page.get_by_role("dialog")
    expect(window).to_be_visible()
    service.wait_for(service.submit("a red circle on white", num_inference_steps=40))
    news = page.get_by_role("status").filter(has_text="a red circle on white")
    expect(news).to_contain_text("SDXL image fast is ready")
    assert news.evaluate(IS_ON_TOP)
    news.get_by_role("button", name="Dismiss").click()
    expect(news).to_be_hidden()
    expect(window).to_be_visible()
