"""Signs of life, metrics, what runs here, and the documentation page."""

from __future__ import annotations

import base64
import hashlib
import platform
import re
from pathlib import Path
from typing import Any, Final, cast

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

import ourvidz
from ourvidz.api.auth import Anyone, MetricsReader
from ourvidz.api.deps import Deps
from ourvidz.api.metrics import CONTENT_TYPE, Metrics
from ourvidz.api.routes.common import errors
from ourvidz.api.schemas import ErrorResponse, Health, StatusAnswer
from ourvidz.api.views import iso, scrubbed

router = APIRouter(tags=["system"])
status_router = APIRouter(tags=["system"])

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorResponse, "description": "The store can't be reached."},
    500: {"model": ErrorResponse, "description": "Something unexpected."},
    400: {"model": ErrorResponse, "description": "The request is not valid."},
    403: {"model": ErrorResponse, "description": "The host or origin is not allowed."},
}


@router.get("/healthz", operation_id="healthz", response_model=Health, responses=_NOT_READY)
async def healthz() -> Health:
    """Say that the process is alive; asks nothing and needs no key."""
    return Health()


@router.get("/readyz", operation_id="readyz", response_model=Health, responses=_NOT_READY)
def readyz(deps: Deps) -> Health:
    """Say that jobs can be taken: the store answers and has its schema. Needs no key."""
    deps.store.counts()
    return Health()


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={
        **errors(),
        200: {"description": "Prometheus' text form.", "content": {"text/plain": {}}},
    },
)
def metrics(request: Request, who: MetricsReader) -> Response:
    """Read metrics for Prometheus."""
    del who
    own = cast("Metrics", request.app.state.metrics)
    return Response(own.text(), headers={"Content-Type": CONTENT_TYPE})


@status_router.get(
    "/status", operation_id="get_status", response_model=StatusAnswer, responses=errors()
)
def get_status(request: Request, deps: Deps, who: Anyone) -> StatusAnswer:
    """Read versions, uptime and what this server is made of."""
    del who
    now = deps.clock.now()
    supervisor = deps.supervisor_status
    return StatusAnswer(
        version=ourvidz.__version__,
        python=platform.python_version(),
        profile=deps.settings.profile,
        started_at=iso(request.app.state.started_at.timestamp()),
        uptime_s=round((now - request.app.state.started_at).total_seconds(), 3),
        store="postgres" if deps.settings.database_url else "sqlite",
        storage=deps.settings.storage.kind,
        num_workers=len(deps.store.workers()),
        supervisor=scrubbed(dict(supervisor())) if supervisor else None,
    )


# The page's scripts, of the installed package: nothing is fetched from a public network.
DOCS_FILES: Final = Path(fastapi_offline.__file__).parent / "static"
DOCS_FILES_URL: Final = "/docs/static"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Show the documentation page, whose scripts this server has itself."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="OurVidz API",
            swagger_js_url=f"{DOCS_FILES_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{DOCS_FILES_URL}/swagger-ui.css",
            swagger_favicon_url="data:,",
        ).body
    )
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in _INLINE_SCRIPT.findall(page.decode())
    )
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})
