"""The studio: its page at every address of its own, and its files. Nothing here needs a key."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from ourvidz.api.deps import Deps
from ourvidz.api.studio import (
    ASK_AGAIN,
    ASSETS,
    FOR_EVER,
    PAGES,
    TOP_FILES,
    studio_file,
    studio_page,
)

router = APIRouter(include_in_schema=False)

_METHODS = ["GET", "HEAD"]


def _root(request: Request) -> Path:
    return cast("Path", request.app.state.studio)


def page(request: Request, deps: Deps) -> Response:
    """Show the studio; which view it is, the page reads from its address."""
    return studio_page(_root(request), request.headers, deps.settings)


def asset(name: str, request: Request) -> Response:
    """Read a file whose name changes with its content."""
    return studio_file(_root(request) / ASSETS, name, request.headers, cache=FOR_EVER)


def top_file(request: Request) -> Response:
    """Read a file that browsers look for by its name."""
    name = request.url.path.removeprefix("/")
    return studio_file(_root(request), name, request.headers, cache=ASK_AGAIN)


router.add_api_route("/", page, methods=_METHODS)
for _page in PAGES:
    router.add_api_route(f"/{_page}", page, methods=_METHODS)
    router.add_api_route(f"/{_page}/{{view:path}}", page, methods=_METHODS)
router.add_api_route(f"/{ASSETS}/{{name:path}}", asset, methods=_METHODS)
for _file in TOP_FILES:
    router.add_api_route(f"/{_file}", top_file, methods=_METHODS)
