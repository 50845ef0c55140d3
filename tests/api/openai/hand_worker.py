"""A worker that a test moves by hand: it claims, tells progress, and ends jobs with real files."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ourvidz.api.deps import AppDeps
from ourvidz.core.clock import SystemClock
from ourvidz.core.ids import new_id
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import Beat, Job, NewAsset, WorkerInfo
from ourvidz.media.image import write_png
from ourvidz.media.thumbnail import write_thumbnail
from ourvidz.media.video import VideoWriter
from ourvidz.storage.store import attempt_prefix

LIMIT_S = 20.0
_PAUSE_S = 0.02


def until(check: Callable[[], object], *, limit_s: float = LIMIT_S) -> object:
    """Return the first true answer of ``check``; fail when none came in time."""
    end_s = time.monotonic() + limit_s
    while not (found := check()):
        assert time.monotonic() < end_s, "nothing happened in time"
        threading.Event().wait(_PAUSE_S)
    return found


class HandWorker:
    """Claims and ends jobs of one store."""

    def __init__(self, deps: AppDeps, name: str = "hand") -> None:
        self._deps = deps
        self.store = deps.store
        self.name = name
        now = SystemClock().now().timestamp()
        self.store.put_worker(
            WorkerInfo(
                id=name,
                host="here",
                pid=1,
                device="cpu",
                state="idle",
                started_at=now,
                seen_at=now,
                models=(),
                resident={},
                jobs=(),
                facts={},
            )
        )

    def try_claim(self) -> Job | None:
        return self.store.claim(self.name, lease_s=30.0, overdue_s=900.0)

    def claim(self) -> Job:
        job = until(self.try_claim)
        assert isinstance(job, Job)
        return job

    def tell(self, job: Job, **progress: object) -> bool:
        """Write progress; return whether the job is to be cancelled."""
        beat = Beat(job_id=job.id, token=job.token, progress=progress or None)
        return self.store.beat(self.name, [beat], lease_s=30.0)[job.id].cancel_requested

    def stop_when_cancelled(self, job: Job) -> None:
        until(lambda: self.tell(job))
        assert self.store.confirm_cancel(job.id, job.token)

    def enhance(self, job: Job, prompt: str) -> None:
        enhancement = {"original_prompt": job.request.prompt, "enhanced_prompt": prompt}
        assert self.store.set_enhancement(job.id, job.token, enhancement)

    def fail(self, job: Job, *, code: str, message: str) -> None:
        error = {"code": code, "message": message, "param": None, "hint": None}
        assert self.store.fail(job.id, job.token, error=error, retry_in_s=None)

    def finish(self, job: Job) -> None:
        """Publish real files of the requested size, grey growing with the frame or item."""
        assert self.publish(job)

    def publish(self, job: Job) -> bool:
        """As ``finish``; False where the job was cancelled meanwhile."""
        with tempfile.TemporaryDirectory() as folder:
            assets = self._files(job, Path(folder))
        result = {"timing": {"total_s": 1.0, "phases_s": {"denoise": 1.0}}}
        return self.store.finish(job.id, job.token, result=result, assets=assets)

    @contextmanager
    def serving(self):
        """Finish every job as it comes, in a thread."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                job = self.try_claim()
                if job is None:
                    stop.wait(_PAUSE_S)
                else:
                    self.publish(job)

        thread = threading.Thread(target=work, name=f"worker-{self.name}")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def _files(self, job: Job, folder: Path) -> list[NewAsset]:
        request = job.request
        if request.media_type is MediaType.VIDEO:
            path = folder / "0.mp4"
            frames = [_grey(job, index) for index in range(request.num_frames)]
            with VideoWriter(
                path, width=request.width, height=request.height, fps=request.fps
            ) as writer:
                for frame in frames:
                    writer.write(frame)
            return [self._put(job, 0, path, "video/mp4", frames[len(frames) // 2], folder)]
        assets: list[NewAsset] = []
        for index in range(request.num_images):
            path, picture = folder / f"{index}.png", _grey(job, index)
            write_png(path, picture)
            assets.append(self._put(job, index, path, "image/png", picture, folder))
        return assets

    def _put(
        self, job: Job, index: int, path: Path, media_type: str, picture: np.ndarray, folder: Path
    ) -> NewAsset:
        bucket, prefix = job.request.job_type, attempt_prefix(job.id, job.token)
        thumbnail = folder / f"{index}.thumb.webp"
        write_thumbnail(thumbnail, picture)
        stored = self._deps.storage.put_file(
            bucket, f"{prefix}/{path.name}", path, media_type=media_type
        )
        small = self._deps.storage.put_file(
            bucket, f"{prefix}/{thumbnail.name}", thumbnail, media_type="image/webp"
        )
        return NewAsset(
            id=new_id("asset", SystemClock().now()),
            index=index,
            bucket=bucket,
            key=stored.key,
            thumbnail_key=small.key,
            media_type=media_type,
            num_bytes=stored.num_bytes,
            facts={
                "width": job.request.width,
                "height": job.request.height,
                "num_frames": job.request.num_frames,
                "seed": job.request.item_seeds[index],
            },
        )


def _grey(job: Job, index: int) -> np.ndarray:
    value = min(250, 40 + 6 * index)
    picture = np.full((job.request.height, job.request.width, 3), value, dtype=np.uint8)
    picture[: job.request.height // 2, : job.request.width // 2] = (200, 30, 30)
    return picture
