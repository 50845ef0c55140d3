"""Every route under ``/v1``."""

from __future__ import annotations

from fastapi import APIRouter

from ourvidz.api.openai import images, models, unsupported, videos

router = APIRouter(tags=["openai"])
# First what has a fixed name: /videos/characters must not be read as a video's id.
router.include_router(unsupported.router)
router.include_router(videos.router)
router.include_router(images.router)
router.include_router(models.router)
