"""The dashboard: what runs, what became slower, why, and what somebody decided about it."""

import os
import re
import signal
import threading

import psutil
import pytest
from playwright.sync_api import expect

from tests.studio.conftest import WAIT_MS
from tests.studio.service import Service

RUNS = 7  # of each side: enough for a verdict (mission: 5 + 5 end to end)
FROZEN_S = 4.0
QUICK = {"num_inference_steps": 8, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def slowed(tmp_path_factory):
    """A service whose images became slower: its worker was frozen for seconds in each later one."""
    service = Service(tmp_path_factory.mktemp("slowed")).start()
    try:
        for seed in range(RUNS + 1):  # the first one loads the model
            service.wait_for(service.submit("a red circle on white", seed=seed, **QUICK))
        for seed in range(RUNS):
            job = service.submit("a red circle on white", seed=seed, **QUICK)
            service.follow_until(job, "claimed")
            freeze(service, FROZEN_S)
            service.wait_for(job)
            told = service.get("/performance/records", limit=1)["data"][0]
            assert told["job_id"] == job
            assert told["run_s"] >= FROZEN_S, "it ended before its worker was frozen"
        yield service
    finally:
        service.stop()


def freeze(service, seconds):
    """Stop the process that runs the models; its heartbeat goes on beside it."""
    (worker,) = [
        process
        for process in psutil.Process(service.pid).children()
        if "worker" in process.cmdline()
    ]
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        threading.Event().wait(seconds)  # the fault itself
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def test_an_injected_slowdown_is_named_and_decided_about(slowed, open_window):
    page, other = open_window(), open_window()
    page.goto(f"{slowed.url}/performance")
    alarms = page.get_by_role("region", name="Needs a look")
    expect(alarms.get_by_text("SDXL image fast, resident became slower")).to_be_visible(
        timeout=WAIT_MS
    )
    for window in (page, other):
        window.goto(f"{slowed.url}/performance/trends")
    card = page.get_by_role("article").filter(has_text="Regression").first
    expect(card).to_be_visible(timeout=WAIT_MS)
    expect(card).to_contain_text(f"{RUNS} after")
    card.get_by_role("button", name="Investigate").click()
    card.get_by_role("textbox", name="Why").fill("somebody froze the worker")
    card.get_by_role("button", name="Save decision").click()
    for window in (page, other):
        decided = window.get_by_role("article").filter(has_text="somebody froze the worker")
        expect(decided.first).to_contain_text("Under investigation", timeout=WAIT_MS)
    decisions = slowed.get("/performance/decisions")["data"]
    assert [each["verb"] for each in decisions] == ["investigate"]


def test_the_matrix_tells_the_trend_and_every_chart_has_its_table(slowed, page):
    page.goto(f"{slowed.url}/performance")
    row = page.get_by_role("row").filter(has_text="SDXL image fast").filter(has_text="slower")
    expect(row.first).to_be_visible(timeout=WAIT_MS)
    pending = page.get_by_role("row").filter(has_text="Pending")
    expect(pending.first.get_by_text("Run benchmark")).to_be_visible()
    page.goto(f"{slowed.url}/performance/trends")
    chart = page.get_by_role("figure").first
    chart.get_by_role("button", name="Show as table").click()
    expect(chart.get_by_role("row")).not_to_have_count(0)
    chart.get_by_role("button", name=re.compile("^Download")).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export as CSV").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.count("\n") > RUNS


def test_one_job_shows_its_whole_account(slowed, page):
    job = slowed.get("/jobs", state="succeeded", limit=1)["data"][0]
    page.goto(f"{slowed.url}/performance/jobs/{job['id']}")
    main = page.get_by_role("main")
    for phase in ("Denoise", "Decode", "Save file"):
        expect(main.get_by_text(phase, exact=True).first).to_be_visible(timeout=WAIT_MS)
    expect(main.get_by_role("heading", name=re.compile("Environment"))).to_be_visible()


def test_what_runs_now_is_followed_phase_by_phase(service, page):
    page.goto(f"{service.url}/performance")
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    job = service.submit(
        "a red circle moving left", job_type="video_fast", num_inference_steps=30, num_frames=17
    )
    running = page.get_by_role("region", name="Now running")
    expect(running.get_by_text("a red circle moving left")).to_be_visible(timeout=WAIT_MS)
    expect(running.get_by_text("Denoise").first).to_be_visible(timeout=WAIT_MS)
    service.post(f"/jobs/{job}/cancel")
    expect(page.get_by_text("Nothing is running")).to_be_visible(timeout=WAIT_MS)


def test_a_run_of_the_protocol_is_followed_in_two_windows_over_one_stream_each(
    service, open_window
):
    windows = [open_window(), open_window()]
    streams = {window: [] for window in windows}
    for window in windows:
        window.on(
            "request",
            lambda request, window=window: (
                streams[window].append(request.url)
                if request.resource_type == "eventsource"
                else None
            ),
        )
        window.goto(f"{service.url}/performance/protocol")
        expect(window.get_by_role("button", name="Live")).to_be_visible()
    page = windows[0]
    page.get_by_role("checkbox", name="SDXL image fast").check()
    page.get_by_role("button", name="Quick").click()
    page.get_by_role("switch", name="Run although pre-flight refuses").click()
    page.get_by_role("button", name="Start run").click()
    for window in windows:
        expect(window.get_by_text(re.compile("^[1-3] of 3 runs done$"))).to_be_visible(
            timeout=2 * WAIT_MS
        )
    for window in windows:
        expect(window.get_by_text(re.compile("^Protocol, Quick, 3 of 3"))).to_be_visible(
            timeout=2 * WAIT_MS
        )
        assert {url.split("/api/v1")[1] for url in streams[window]} == {"/events"}
    assert not service.get("/benchmarks/active")["is_running"]
