"""Jobs and assets to try stores with."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

from ourvidz.core.ids import new_id, new_job_id
from ourvidz.core.request import EnhancementPlan, Fidelity, GenerationRequest, MediaType
from ourvidz.jobs.model import Callback, JobKind, NewAsset, NewJob

_MILLIS = itertools.count(1_767_225_600_000)

REQUEST = GenerationRequest(
    job_type="sdxl_image_fast",
    preset="baseline",
    profile="pocket",
    model="image-model",
    family="sdxl",
    media_type=MediaType.IMAGE,
    prompt="a red circle",
    negative_prompt="",
    seed=7,
    width=64,
    height=64,
    num_frames=1,
    fps=1,
    num_images=1,
    num_inference_steps=4,
    guidance_scale=5.0,
    scheduler="euler",
    flow_shift=None,
    fidelity=Fidelity.EXACT,
)
PLAN = EnhancementPlan(
    model="enhancer-model",
    template="Write more.",
    max_new_tokens=64,
    on_failure="fallback",
    languages=("en",),
)


def make_request(**changes) -> GenerationRequest:
    if changes.get("job_type", "").startswith("video"):
        video = {"family": "wan", "media_type": MediaType.VIDEO, "num_frames": 17, "fps": 8}
        changes = {"model": "video-model", **video, **changes}
    return replace(REQUEST, **changes)


def make_job(*, request=None, job_id=None, **fields) -> NewJob:
    """A job with an id that sorts after all earlier ones of this process."""
    moment = datetime.fromtimestamp(next(_MILLIS) / 1000, UTC)
    return NewJob(id=job_id or new_job_id(moment), request=request or make_request(), **fields)


def make_enhance_job(**fields) -> NewJob:
    request = make_request(job_type="sdxl_image_fast_enhanced", enhancement=PLAN)
    return make_job(request=request, kind=JobKind.ENHANCE, **fields)


def make_asset(token: int = 1, *, index: int = 0, num_bytes: int = 100, **fields) -> NewAsset:
    moment = datetime.fromtimestamp(next(_MILLIS) / 1000, UTC)
    asset_id = new_id("asset", moment)
    return NewAsset(
        id=asset_id,
        index=index,
        bucket="images",
        key=fields.pop("key", f"{asset_id}/{token}/{index}.png"),
        thumbnail_key=f"{asset_id}/{token}/{index}.webp",
        media_type="image/png",
        num_bytes=num_bytes,
        facts={"width": 64, "token": token},
    )


def make_callback(*events: str) -> Callback:
    return Callback(kind="webhook", url="https://example.org/hook", events=events, facts={"n": 1})
