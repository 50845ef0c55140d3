"""What holds of every view: nothing that axe calls serious, nothing cut off, both appearances."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.studio.conftest import DESKTOP, PHONE

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
VIEWS = {
    "create": "/",
    "queue": "/queue",
    "library": "/library",
    "lightbox": "/library/{image}",
    "compare": "/compare?jobs={image},{other}",
    "compare videos": "/compare?jobs={video},{video_other}",
    "grid": "/grid",
    "overview": "/performance",
    "trends": "/performance/trends",
    "queue and failures": "/performance/queue",
    "gpus": "/performance/gpus",
    "fleet": "/performance/fleet",
    "quality": "/performance/quality",
    "goals": "/performance/goals",
    "protocol": "/performance/protocol",
    "ledger": "/performance/jobs/{video}",
}


@pytest.fixture(scope="module")
def jobs(service):
    """Results of both kinds, what waits and what was stopped."""
    small = {"num_inference_steps": 2, "num_frames": 5}
    names = {
        "image": service.submit("a red circle on white", seed=1),
        "other": service.submit("a blue square on black", seed=2, num_images=2),
        "video": service.submit("a red circle moving left", job_type="video_fast", seed=1, **small),
        "video_other": service.submit(
            "a red circle moving left", job_type="video_fast", seed=2, **small
        ),
    }
    for job in names.values():
        service.wait_for(job)
    service.post("/queue/pause", {"scope": "all"})
    service.submit("a green star that waits")
    stopped = service.submit("a star that was stopped")
    service.post(f"/jobs/{stopped}/cancel")
    yield names
    service.post("/queue/resume", {"scope": "all"})


def opened(window, service, jobs, view):
    window.goto(service.url + VIEWS[view].format(**jobs))
    expect(window.get_by_role("button", name="Live")).to_be_attached()
    expect(window.get_by_text("Loading…").first).to_be_hidden()
    expect(window.get_by_role("heading", level=1).first).to_be_attached()
    window.evaluate("document.fonts.ready")
    return window


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible_and_fits(service, jobs, open_window, view, size, scheme):
    window = opened(open_window(size=size, scheme=scheme), service, jobs, view)
    found = Axe().run(window, options={"runOnly": {"type": "tag", "values": RULES}})
    serious = [
        f"{each['id']}: {node['html'][:160]}"
        for each in found.response["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
    assert serious == []
    width, wide = window.evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert wide <= width
