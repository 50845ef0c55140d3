"""The files of many jobs in one ZIP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from ourvidz.api.archive import (
    MAX_TOKEN_CHARS,
    archive_path,
    jobs_of_archive,
    present,
    zip_bytes,
    zip_chunks,
)
from ourvidz.api.auth import JobsReader
from ourvidz.api.deps import Deps, absolute_url
from ourvidz.api.files import disposition
from ourvidz.api.many_schemas import ArchiveAnswer, JobIds
from ourvidz.api.routes.common import errors
from ourvidz.api.views import iso
from ourvidz.core.errors import InvalidRequest, NotFound

router = APIRouter(tags=["assets"])
files_router = APIRouter(tags=["files"])

_MEDIA_TYPE = "application/zip"
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The archive.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/archives",
    operation_id="make_archive",
    response_model=ArchiveAnswer,
    responses=errors(404, 413),
)
def make_archive(body: JobIds, request: Request, deps: Deps, who: JobsReader) -> ArchiveAnswer:
    """Make an address that reads the files of several jobs as one ZIP, without a key.

    The address holds the jobs themselves; a proxy before this server has to let 9,000 characters
    pass for 500 of them. Ask again once it has expired.
    """
    job_ids = list(dict.fromkeys(body.job_ids))
    jobs = deps.store.jobs_of(job_ids, tenant=who.tenant_filter)
    for job_id in job_ids:
        if job_id not in jobs:
            raise NotFound(f"There is no job {job_id!r}.", param="job_ids")
    assets = [asset for found in deps.store.assets_of(job_ids).values() for asset in found]
    if not assets:
        raise InvalidRequest(
            "None of these jobs has a file.",
            param="job_ids",
            hint="Name jobs that succeeded and whose files are not deleted.",
        )
    expires_s = deps.settings.storage.signed_url_s
    path = archive_path(deps, job_ids, expires_s=expires_s)
    return ArchiveAnswer(
        url=absolute_url(request, deps.settings, path),
        expires_at=iso(deps.clock.now().timestamp() + expires_s),
        num_files=len(assets),
        bytes=sum(asset.num_bytes for asset in assets),
    )


@files_router.get(
    "/files/archive",
    operation_id="read_archive",
    response_class=Response,
    responses={**errors(404), **_ZIP},
)
def read_archive(
    deps: Deps,
    jobs: Annotated[str, Query(max_length=MAX_TOKEN_CHARS)] = "",
    expires: Annotated[str, Query(max_length=20)] = "",
    signature: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """Read the files of several jobs as one ZIP, through an address of `make_archive`.

    A file that was deleted in the meantime is left out. The length is told before.
    """
    job_ids = jobs_of_archive(deps, token=jobs, expires=expires, signature=signature)
    found = deps.store.assets_of(job_ids)
    listed = [asset for job_id in job_ids for asset in found.get(job_id, ())]
    assets = present(deps.storage, listed)
    if not assets:
        raise NotFound
    name = f"ourvidz-{deps.clock.now():%Y%m%d-%H%M%S}.zip"
    headers = {
        "Content-Disposition": disposition(name, is_shown=False),
        "Content-Length": str(zip_bytes(assets)),
    }
    return StreamingResponse(
        zip_chunks(deps.storage, assets), headers=headers, media_type=_MEDIA_TYPE
    )
