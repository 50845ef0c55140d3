"""Delivered files: their facts, their addresses, their bytes."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from ourvidz.api.auth import JobsReader, JobsWriter
from ourvidz.api.deps import Deps
from ourvidz.api.files import stream_object
from ourvidz.api.routes.common import (
    Cursor,
    Limit,
    View,
    errors,
    from_cursor,
    known_id,
    to_cursor,
)
from ourvidz.api.schemas import AssetAnswer, AssetPage, Deleted, SignedUrl
from ourvidz.api.views import file_name, iso, keys_of
from ourvidz.core.errors import InvalidRequest, NotFound, StorageFailed
from ourvidz.storage.keys import check_bucket, check_key

router = APIRouter(tags=["assets"])
files_router = APIRouter(tags=["files"])

_LONGEST_S = 7 * 24 * 3600  # what S3 allows
AssetId = Annotated[str, Path(description="The file's id.")]


@router.get("/assets", operation_id="list_assets", response_model=AssetPage, responses=errors())
def list_assets(
    deps: Deps, who: JobsReader, view: View, limit: Limit = 50, cursor: Cursor = None
) -> AssetPage:
    """List files, newest first."""
    found = deps.store.list_assets(
        tenant=who.tenant_filter, limit=limit + 1, after=from_cursor(cursor)
    )
    shown = found[:limit]
    return AssetPage(
        data=[view.asset(asset) for asset in shown],
        next_cursor=to_cursor(shown[-1].id) if len(found) > limit else None,
    )


@router.get(
    "/assets/{asset_id}",
    operation_id="get_asset",
    response_model=AssetAnswer,
    responses=errors(404),
)
def get_asset(asset_id: AssetId, deps: Deps, who: JobsReader, view: View) -> AssetAnswer:
    """Read one file's facts, with fresh addresses."""
    return view.asset(deps.store.asset(known_id(asset_id), tenant=who.tenant_filter))


@router.get(
    "/assets/{asset_id}/url",
    operation_id="sign_asset_url",
    response_model=SignedUrl,
    responses=errors(404),
)
def sign_asset_url(
    asset_id: AssetId,
    deps: Deps,
    who: JobsReader,
    view: View,
    expires_s: Annotated[
        int | None, Query(ge=1, le=_LONGEST_S, description="How long it works.")
    ] = None,
    is_download: Annotated[bool, Query(description="Browsers save it instead of showing.")] = False,
) -> SignedUrl:
    """Make an address that reads the file without a key until it expires."""
    asset = deps.store.asset(known_id(asset_id), tenant=who.tenant_filter)
    expires_s = expires_s or deps.settings.storage.signed_url_s
    name = file_name(asset) if is_download else None
    thumbnail = asset.thumbnail_key
    return SignedUrl(
        url=view.url(asset.bucket, asset.key, expires_s=expires_s, name=name),
        thumbnail_url=view.url(asset.bucket, thumbnail, expires_s=expires_s) if thumbnail else None,
        expires_at=iso(deps.clock.now().timestamp() + expires_s),
    )


@router.delete(
    "/assets/{asset_id}",
    operation_id="delete_asset",
    response_model=Deleted,
    responses=errors(404),
)
def delete_asset(asset_id: AssetId, deps: Deps, who: JobsWriter) -> Deleted:
    """Delete a file and its thumbnail; the job stays."""
    asset = deps.store.asset(known_id(asset_id), tenant=who.tenant_filter)
    deps.store.mark_assets_deleted([asset.id])
    for key in keys_of(asset):
        with contextlib.suppress(StorageFailed):  # the sweeper takes what stays
            deps.storage.delete(asset.bucket, key)
    return Deleted(id=asset.id)


BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in ("video/mp4", "image/png", "image/webp", "application/octet-stream")
        },
    },
    206: {"description": "The part of the file that Range asked for."},
    304: {"description": "The file that If-None-Match names."},
    416: {"description": "The Range lies outside of the file."},
}


@files_router.get(
    "/files/{bucket}/{key:path}",
    operation_id="read_file",
    response_class=Response,
    responses={**errors(404), **BYTES},
)
@files_router.head(
    "/files/{bucket}/{key:path}",
    operation_id="stat_file",
    response_class=Response,
    responses={**errors(404), **BYTES},
)
def read_file(
    bucket: str,
    key: str,
    request: Request,
    deps: Deps,
    expires: Annotated[str, Query(max_length=20)] = "",
    signature: Annotated[str, Query(max_length=128)] = "",
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Read a file that this server keeps, through a signed address.

    Takes Range, If-Range and If-None-Match.
    """
    if deps.signer is None:
        raise NotFound
    try:
        check_bucket(bucket)
        check_key(key)
    except InvalidRequest:
        raise NotFound from None
    deps.signer.verify(bucket, key, expires=expires, signature=signature, name=name)
    return stream_object(request, deps.storage, bucket, key, name=name)
