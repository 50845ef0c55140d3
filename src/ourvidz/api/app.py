"""The application, put together from four lists: routes, middleware, handlers, lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

import ourvidz
from ourvidz.api.benchmarks import Benchmarks
from ourvidz.api.deps import AppDeps
from ourvidz.api.errors import EXCEPTION_HANDLERS, ErrorRenderer
from ourvidz.api.live import LiveDesk
from ourvidz.api.metrics import make_metrics
from ourvidz.api.middleware import API_PREFIX, OPENAI_PREFIX, middleware_of
from ourvidz.api.openai.errors import error_body as openai_error_body
from ourvidz.api.openai.routes import router as openai_router
from ourvidz.api.openapi import describe
from ourvidz.api.performance import PerformanceDesk
from ourvidz.api.routes import (
    archives,
    assets,
    benchmarks,
    favourites,
    fleet,
    jobs,
    keys,
    live,
    models,
    performance,
    prompts,
    queue,
    ratings,
    session,
    studio,
    system,
)
from ourvidz.api.routes.system import DOCS_FILES, DOCS_FILES_URL
from ourvidz.api.session import AttemptLimiter
from ourvidz.api.studio import STUDIO_FILES
from ourvidz.perf.kept import KeptRecords

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _long_answers_end(app: FastAPI) -> AsyncIterator[None]:
    """Streams end with the server; clients come back and go on where they were."""
    deps: AppDeps = app.state.deps
    try:
        yield
    finally:
        deps.closing.set()


ROUTES: tuple[tuple[str, APIRouter], ...] = (
    ("", system.router),
    ("", assets.files_router),
    ("", archives.files_router),
    (API_PREFIX, jobs.router),
    (API_PREFIX, favourites.router),
    (API_PREFIX, archives.router),
    (API_PREFIX, queue.router),
    (API_PREFIX, assets.router),
    (API_PREFIX, models.router),
    (API_PREFIX, fleet.router),
    (API_PREFIX, prompts.router),
    (API_PREFIX, keys.router),
    (API_PREFIX, session.router),
    (API_PREFIX, live.router),
    (API_PREFIX, performance.router),
    (API_PREFIX, benchmarks.router),
    (API_PREFIX, ratings.router),
    (API_PREFIX, system.status_router),
    (OPENAI_PREFIX, openai_router),
    ("", studio.router),
)
MIDDLEWARE = middleware_of
ERROR_RENDERERS: Mapping[str, ErrorRenderer] = {f"{OPENAI_PREFIX}/": openai_error_body}
LIFESPAN: tuple[Lifespan, ...] = (_long_answers_end,)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for part in LIFESPAN:
            await stack.enter_async_context(part(app))
        yield


def create_app(deps: AppDeps, *, studio_files: Path = STUDIO_FILES) -> FastAPI:
    """Return the service over ``deps``. Starts nothing and opens nothing.

    Args:
        studio_files: where the studio's built files lie.
    """
    records = KeptRecords(deps.store)
    metrics = make_metrics(deps.store, records)
    app = FastAPI(
        title="OurVidz",
        version=ourvidz.__version__,
        docs_url=None,  # ours carries a content security policy
        redoc_url=None,
        lifespan=_lifespan,
        middleware=list(MIDDLEWARE(deps=deps, metrics=metrics, renderers=ERROR_RENDERERS)),
        exception_handlers=dict(EXCEPTION_HANDLERS),  # type: ignore[arg-type]
    )
    app.state.deps = deps
    app.state.metrics = metrics
    app.state.records = records
    app.state.performance = PerformanceDesk(
        deps.store, records, data_dir=deps.settings.data_dir, clock=deps.clock
    )
    app.state.attempts = AttemptLimiter(clock=deps.clock)
    app.state.benchmarks = Benchmarks(deps.settings)
    app.state.live = LiveDesk(deps.store, deps.clock, benchmarks=app.state.benchmarks)
    app.state.error_renderers = ERROR_RENDERERS
    app.state.started_at = deps.clock.now()
    app.state.studio = studio_files
    for prefix, router in ROUTES:
        app.include_router(router, prefix=prefix)
    app.mount(DOCS_FILES_URL, StaticFiles(directory=DOCS_FILES))
    describe(app)
    return app
