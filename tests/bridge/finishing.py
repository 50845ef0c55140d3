"""Finishes jobs through the store with real files, as a worker would and without its models."""

from ourvidz.core.ids import new_id
from ourvidz.core.request import MediaType
from ourvidz.jobs.model import NewAsset
from ourvidz.media.image import write_png
from ourvidz.media.probe import probe
from ourvidz.media.thumbnail import thumbnail_of_file
from ourvidz.media.video import VideoWriter
from ourvidz.storage.store import attempt_prefix
from tests.media.pictures import gradient

WORKER = "worker-7"


def claim(house):
    return house.store.claim(WORKER, lease_s=60.0, overdue_s=900.0)


def write_file(request, index, folder):
    """Write one real file of the size that the request asks for."""
    if request.media_type is MediaType.VIDEO:
        path = folder / f"out-{index}.mp4"
        frame = gradient(request.width, request.height)
        with VideoWriter(
            path, width=request.width, height=request.height, fps=request.fps, preset="ultrafast"
        ) as writer:
            for _ in range(request.num_frames):
                writer.write(frame)
        return path
    path = folder / f"out-{index}.png"
    write_png(path, gradient(request.width, request.height, shift=index))
    return path


def store_file(house, job, index, folder):
    """Upload a file and its thumbnail under the attempt's own keys."""
    path = write_file(job.request, index, folder)
    thumbnail = path.with_suffix(".thumb.webp")
    thumbnail_of_file(path, thumbnail)
    facts = probe(path)
    bucket, prefix = job.request.job_type, attempt_prefix(job.id, job.token)
    for file, media_type in ((path, facts.media_type), (thumbnail, "image/webp")):
        house.storage.put_file(bucket, f"{prefix}/{file.name}", file, media_type=media_type)
    return NewAsset(
        id=new_id("asset", house.submitter.clock.now()),
        index=index,
        bucket=bucket,
        key=f"{prefix}/{path.name}",
        thumbnail_key=f"{prefix}/{thumbnail.name}",
        media_type=facts.media_type,
        num_bytes=facts.file_bytes,
        facts={
            "width": facts.width,
            "height": facts.height,
            "num_frames": facts.num_frames,
            "seed": job.request.item_seeds[index],
        },
    )


def finish(house, job, folder):
    """Finish a claimed job."""
    folder.mkdir(parents=True, exist_ok=True)
    assets = [store_file(house, job, index, folder) for index in range(job.request.num_images)]
    assert house.store.finish(job.id, job.token, result={}, assets=assets)


def content(house, bucket, key):
    return b"".join(house.storage.open(bucket, key).chunks)
