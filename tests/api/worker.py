"""Does by hand what a worker does to jobs: claims, reports, publishes real files, fails."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ourvidz.core.clock import SystemClock
from ourvidz.core.ids import new_id
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import Job, NewAsset
from ourvidz.storage.store import attempt_prefix

WORKER = "worker-of-tests"
LEASE_S = 60.0


def claim(deps, job_id: str | None = None) -> Job:
    """Claim jobs until the wanted one (or, without an id, the next) is claimed; return it."""
    while True:
        job = deps.store.claim(WORKER, lease_s=LEASE_S, overdue_s=1e9)
        assert job is not None, "nothing to claim"
        if job_id in (None, job.id):
            return job


def finish_job(deps, job_id: str | None = None, *, enhanced: str | None = None) -> Job:
    """Claim and finish a job with one real file and thumbnail in storage; return it as it is."""
    job = claim(deps, job_id)
    if enhanced is not None:
        enhancement = {
            "original_prompt": job.request.prompt,
            "enhanced_prompt": enhanced,
            "answer": enhanced,
            "verdict": "usable",
            "model": "pocket-enhancer",
            "num_tokens_in": 5,
            "num_tokens_out": 9,
            "num_tokens_prompt": 9,
            "num_tokens_truncated": 0,
        }
        assert deps.store.set_enhancement(job.id, job.token, enhancement)
    publish(deps, job)
    return deps.store.get(job.id)


def publish(deps, job: Job) -> None:
    """Upload files of a claimed job and finish it."""
    request = job.request
    with tempfile.TemporaryDirectory() as folder:
        path = _write(request, Path(folder))
        prefix = attempt_prefix(job.id, job.token)
        thumbnail = Path(folder) / "thumb.webp"
        Image.new("RGB", (16, 16), "red").save(thumbnail)
        key, thumbnail_key = f"{prefix}/{path.name}", f"{prefix}/{thumbnail.name}"
        stored = deps.storage.put_file(
            request.job_type, key, path, media_type=request.media_type.value
        )
        deps.storage.put_file(request.job_type, thumbnail_key, thumbnail, media_type="image/webp")
    is_video = request.media_type is MediaType.VIDEO
    asset = NewAsset(
        id=new_id("asset", SystemClock().now()),
        index=0,
        bucket=request.job_type,
        key=key,
        thumbnail_key=thumbnail_key,
        media_type=request.media_type.value,
        num_bytes=stored.num_bytes,
        facts={
            "media_type": request.media_type.value,
            "width": request.width,
            "height": request.height,
            "num_frames": request.num_frames,
            "fps": float(request.fps) if is_video else None,
            "duration_s": request.num_frames / request.fps if is_video else None,
            "bytes": stored.num_bytes,
            "seed": request.seed,
        },
    )
    timing = {
        "total_s": 1.5,
        "phases_s": {"queue_wait": 0.5, "denoise": 0.9},
        "unattributed_s": 0.1,
        "step_s": 0.03,
        "state": "resident",
        "compile_state": "eager",
    }
    assert deps.store.finish(
        job.id,
        job.token,
        result={"timing": timing},
        assets=[asset],
        adjustments=[{"code": "note", "text": "as asked"}],
        record={"workload": request.workload, "job_type": request.job_type, **timing},
        device_s=0.9,
    )


def fail(deps, job_id: str, *, message: str = "It went wrong.", code: str = "output_invalid"):
    """Claim a job and let it fail for good."""
    job = claim(deps, job_id)
    error = {"code": code, "message": message, "param": None, "hint": None}
    assert deps.store.fail(job.id, job.token, error=error, retry_in_s=None)
    return deps.store.get(job_id)


def _write(request, folder: Path) -> Path:
    """Write a real PNG, or a real MP4 of a few frames."""
    noise = np.random.default_rng(request.seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    if request.media_type is MediaType.IMAGE:
        path = folder / "image.png"
        Image.fromarray(noise).save(path)
        return path
    import av

    path = folder / "video.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=request.fps)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shift in range(5):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, shift * 4, axis=1), format="rgb24")
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path
