"""A job store and a storage, and jobs that run through both, without a worker."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from ourvidz.catalog.config import Settings
from ourvidz.core.ids import new_id, new_job_id
from ourvidz.core.request import Fidelity, GenerationRequest, MediaType
from ourvidz.jobs.model import NewAsset, NewJob
from ourvidz.jobs.open import open_store
from ourvidz.storage.open import open_storage
from ourvidz.storage.store import attempt_prefix
from ourvidz.upkeep.sweep import Swept, sweep_orphans

BUCKET = "image_fast"
REQUEST = GenerationRequest(
    job_type=BUCKET,
    preset="balanced",
    profile="pocket",
    model="pocket-video",
    family="wan",
    media_type=MediaType.IMAGE,
    prompt="a lighthouse",
    negative_prompt="",
    seed=1,
    width=64,
    height=64,
    num_frames=1,
    fps=16,
    num_images=1,
    num_inference_steps=4,
    guidance_scale=1.0,
    scheduler="unipc",
    flow_shift=5.0,
    fidelity=Fidelity.EXACT,
)
# Files written now are two hours old by then.
LATER = time.time() + 7200.0


class Service:
    """A store and a storage, and jobs that run through both."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self.store = open_store(settings)
        self.store.migrate()
        self.storage = open_storage(settings)
        self.settings = settings
        self._file = scratch / "image.png"
        self._file.write_bytes(b"pixels")

    def submit(self) -> str:
        job_id = new_job_id(datetime.now(UTC))
        self.store.submit([NewJob(id=job_id, request=REQUEST)])
        return job_id

    def claim(self) -> tuple[str, int]:
        job = self.store.claim("worker", lease_s=60.0, overdue_s=900.0)
        assert job is not None
        return job.id, job.token

    def write(self, key: str) -> str:
        self.storage.put_file(BUCKET, key, self._file, media_type="image/png")
        return key

    def write_attempt(self, job_id: str, token: int, name: str = "0.png") -> str:
        return self.write(f"{attempt_prefix(job_id, token)}/{name}")

    def finish(self, job_id: str, token: int, key: str, **facts: object) -> NewAsset:
        asset = NewAsset(
            id=new_id("asset", datetime.now(UTC)),
            index=0,
            bucket=BUCKET,
            key=key,
            thumbnail_key=f"{attempt_prefix(job_id, token)}/0.webp",
            media_type="image/png",
            num_bytes=6,
            facts=facts,
        )
        assert self.store.finish(job_id, token, result={}, assets=[asset])
        return asset

    def published(self, **facts: object) -> NewAsset:
        """Run one job to its end; its files are under its own attempt."""
        self.submit()
        job_id, token = self.claim()
        key = self.write_attempt(job_id, token)
        self.write_attempt(job_id, token, "0.webp")
        return self.finish(job_id, token, key, **facts)

    def kept(self) -> set[str]:
        return {found.key for found in self.storage.list_objects(BUCKET)}

    def sweep(self, *, now: float = LATER) -> Swept:
        return sweep_orphans(self.store, self.storage, older_than_s=3600.0, now=now)
