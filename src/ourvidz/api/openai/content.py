"""A video's files: itself, its thumbnail, and a sheet of its frames, drawn when asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from fastapi import Request, Response

from ourvidz.api.deps import AppDeps
from ourvidz.api.files import stream_object
from ourvidz.core.errors import IllegalState, NotFound
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Job, StoredAsset
from ourvidz.media.frames import RgbFrame
from ourvidz.media.sheet import contact_sheet
from ourvidz.media.video import read_frames
from ourvidz.storage.store import AssetStorage

Variant = Literal["video", "thumbnail", "spritesheet"]
VARIANTS = "The MP4, a WEBP of its middle frame, or a WEBP sheet of up to 16 of its frames."

SHEET_FRAMES = 16
_SHEET_COLUMNS = 4
_SHEET_CELL_PX = 256
_WEBP = "image/webp"


def content_of(request: Request, deps: AppDeps, job: Job, variant: Variant) -> Response:
    """Return a file of a finished video job.

    Raises:
        IllegalState: it has no file: still at work, failed or cancelled.
        NotFound: its files have expired, or there is no thumbnail.
    """
    asset = _asset_of(deps, job)
    if variant == "spritesheet":
        sheet = spritesheet(deps.storage, asset)
        name = f"{job.id}-sheet.webp"
        return Response(
            sheet,
            media_type=_WEBP,
            headers={"Content-Disposition": f'inline; filename="{name}"'},
        )
    if variant == "video":
        return stream_object(
            request,
            deps.storage,
            asset.bucket,
            asset.key,
            media_type=asset.media_type,
            name=f"{job.id}.mp4",
        )
    if asset.thumbnail_key is None:
        raise NotFound("This video has no thumbnail.", param="variant")
    return stream_object(
        request,
        deps.storage,
        asset.bucket,
        asset.thumbnail_key,
        media_type=_WEBP,
        name=f"{job.id}.webp",
    )


def _asset_of(deps: AppDeps, job: Job) -> StoredAsset:
    if job.state is not JobState.SUCCEEDED:
        is_over = job.is_terminal
        raise IllegalState(
            f"Video {job.id!r} has no content: its job is {job.state.value}.",
            param="video_id",
            hint="Look at its error." if is_over else "Wait until its status is completed.",
        )
    assets = deps.store.assets(job.id)
    if not assets:
        raise NotFound(f"The files of video {job.id!r} have expired.", param="video_id")
    return assets[0]


def spritesheet(storage: AssetStorage, asset: StoredAsset) -> bytes:
    """Return a WEBP of up to 16 frames in rows of four, evenly spread, the first and last included.

    Raises:
        OutputInvalid: the stored file does not decode.
        NotFound, StorageFailed: see ``AssetStorage.open``.
    """
    with tempfile.TemporaryDirectory(prefix="ourvidz-sheet-") as folder:
        video, sheet = Path(folder, "video.mp4"), Path(folder, "sheet.webp")
        with video.open("wb") as file:
            file.writelines(storage.open(asset.bucket, asset.key).chunks)
        frames = _spread(video, int(asset.facts["num_frames"]))
        width = min(_SHEET_CELL_PX, frames[0].shape[1])
        contact_sheet(sheet, frames, columns=_SHEET_COLUMNS, cell_width=width)
        return sheet.read_bytes()


def _spread(video: Path, num_frames: int) -> list[RgbFrame]:
    """Return the chosen frames alone: a long video never lies in memory whole."""
    count = min(SHEET_FRAMES, num_frames)
    wanted = {round(place * (num_frames - 1) / max(1, count - 1)) for place in range(count)}
    return [frame.copy() for index, frame in enumerate(read_frames(video)) if index in wanted]
