"""The studio's pictures in the documentation: ``python -m benchmarks.studio_pictures``.

A real service with the pocket models makes a small library and a little history; a real Chromium
takes every view, light and dark, wide and on a phone.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.studio import ANSWER_S, Site, running_site

OUT = Path("docs/images/studio")
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1360, "height": 860},
    "phone": {"width": 390, "height": 800},
}
SETTLE_MS = 1800
READ_MS = 60_000
LOOK_MS = 200
# What lies further down is drawn when somebody comes near it.
IS_ANY_IN_SIGHT = """(parts) => parts.some((part) => {
  const { top, bottom } = part.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
})"""
QUALITY = 82
IMAGES = (
    "a large blue star to the left of a yellow circle",
    "a red circle on a white background",
    "a green triangle above a pink square",
    "an orange diamond on a gray background",
    "a small yellow star on navy blue",
    "a purple square to the right of a white circle",
)
VIDEOS = (
    "a red circle moving left on a black background",
    "a small yellow star drops down on navy blue",
    "a green triangle getting bigger on white",
    "a large purple diamond rising, gray background",
)
VIEWS = {
    "create": "/",
    "queue": "/queue",
    "library": "/library",
    "lightbox": "/library/{video}",
    "compare": "/compare?jobs={image},{other_image}",
    "compare-video": "/compare?jobs={video},{other_video}",
    "grid": "/grid/{batch}",
    "performance": "/performance",
    "trends": "/performance/trends",
    "queue-wait": "/performance/queue",
    "gpus": "/performance/gpus",
    "quality": "/performance/quality",
    "goals": "/performance/goals",
    "protocol": "/performance/protocol",
    "ledger": "/performance/jobs/{video}",
}


def post(site: Site, path: str, body: object) -> dict[str, object]:
    """Send a request to the service and return its answer."""
    answer = httpx.post(f"{site.url}/api/v1{path}", json=body, timeout=ANSWER_S)
    answer.raise_for_status()
    return answer.json()


def make_library(site: Site) -> dict[str, str]:
    """Make what the pictures show; return the ids that addresses name."""
    image = {"job_type": "sdxl_image_fast", "num_images": 1}
    jobs = [{"prompt": prompt, **image, "seed": 7} for prompt in IMAGES]
    jobs += [{"prompt": IMAGES[0], **image, "seed": 8, "num_inference_steps": 8}]
    jobs += [{"prompt": prompt, "job_type": "video_fast", "seed": 7} for prompt in VIDEOS]
    jobs += [{"prompt": VIDEOS[0], "job_type": "video_fast", "seed": 7, "preset": "aggressive"}]
    made = httpx.post(f"{site.url}/api/v1/jobs/batch", json={"jobs": jobs}, timeout=ANSWER_S)
    made.raise_for_status()
    ids = [job["id"] for job in made.json()["data"]]
    grid = post(
        site,
        "/jobs/grid",
        {
            "base": {"prompt": IMAGES[2], **image, "seed": 3},
            "axes": {"num_inference_steps": [4, 8, 15], "guidance_scale": [2.0, 6.0]},
        },
    )
    site.wait_until_done()
    first_video = len(IMAGES) + 1
    for index, stars in enumerate((5, 4, 5, 3, 4)):
        httpx.put(
            f"{site.url}/api/v1/jobs/{ids[index]}/rating", json={"stars": stars}, timeout=ANSWER_S
        ).raise_for_status()
    httpx.put(f"{site.url}/api/v1/jobs/{ids[first_video]}/favourite", timeout=ANSWER_S)
    return {
        "image": ids[0],
        "other_image": ids[len(IMAGES)],
        "video": ids[first_video],
        "other_video": ids[-1],
        "batch": str(grid["batch_id"]),
    }


def known_library(data: Path, site: Site) -> dict[str, str]:
    """Make the library, or find the one that was made before."""
    note = data / "pictures.json"
    if not note.exists():
        note.write_text(json.dumps(make_library(site)), encoding="utf-8")
    return json.loads(note.read_text(encoding="utf-8"))


def keep_busy(site: Site) -> None:
    """Let something run and something wait while the pictures are taken."""
    body = {"job_type": "video_high", "seed": 11}
    site.submit_all([{"prompt": prompt, **body} for prompt in VIDEOS])


def take(browser: Browser, site: Site, ids: dict[str, str], names: list[str], out: Path) -> None:
    """Take the views in both sizes and both appearances."""
    for size, viewport in SIZES.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport=viewport,
                color_scheme=scheme,
                device_scale_factor=1.5 if size == "phone" else 1,
                reduced_motion="reduce",
            )
            for name in names:
                page.goto(site.url + VIEWS[name].format(**ids))
                picture(page, out / f"{name}-{size}-{scheme}.webp")
            page.close()


def picture(page: Page, path: Path) -> None:
    """Write what the window shows."""
    page.get_by_role("button", name="Live").wait_for(state="attached")
    page.wait_for_timeout(SETTLE_MS)
    end_s = time.monotonic() + READ_MS / 1000
    while page.locator("main .animate-pulse").evaluate_all(IS_ANY_IN_SIGHT):
        assert time.monotonic() < end_s, f"{page.url} still waits for its data"
        page.wait_for_timeout(LOOK_MS)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.save(path, quality=QUALITY, method=6)


def main() -> None:
    """Make a library and take its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--views", nargs="*", default=list(VIEWS), choices=list(VIEWS))
    parser.add_argument("--data", type=Path, help="Keep the library here, and use it again.")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        with running_site(data, is_real=True) as site, sync_playwright() as playwright:
            ids = known_library(data, site)
            keep_busy(site)
            browser = playwright.chromium.launch(
                executable_path=arguments.chromium, args=["--no-sandbox"]
            )
            take(browser, site, ids, arguments.views, arguments.out)
            browser.close()


if __name__ == "__main__":
    main()
