"""What the routes work with: handed in once, found through the request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from ourvidz.api.tokens import length_check
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.core.clock import Clock, SystemClock
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Submitter
from ourvidz.net.client import GuardedClient
from ourvidz.perf.prediction import Forecaster, local_rates
from ourvidz.perf.records import StoreRecords
from ourvidz.policy.policy import ContentPolicy
from ourvidz.storage.store import AssetStorage
from ourvidz.storage.urls import UrlSigner


@dataclass(frozen=True, kw_only=True, slots=True)
class AppDeps:
    """Everything that the service is made of. Whoever builds it closes it."""

    settings: Settings
    catalogue: Catalogue
    store: JobStore
    storage: AssetStorage
    submitter: Submitter
    policy: ContentPolicy
    signer: UrlSigner | None = None  # of files that this server keeps itself
    forecaster: Forecaster = field(default_factory=Forecaster)
    client: GuardedClient = field(default_factory=GuardedClient)  # to addresses of strangers
    clock: Clock = field(default_factory=SystemClock)
    supervisor_status: Callable[[], Mapping[str, Any]] | None = None  # workers of this process
    closing: threading.Event = field(default_factory=threading.Event)  # set: end long answers


def make_deps(
    *,
    settings: Settings,
    catalogue: Catalogue,
    store: JobStore,
    storage: AssetStorage,
    policy: ContentPolicy,
    signer: UrlSigner | None = None,
    client: GuardedClient | None = None,
    clock: Clock | None = None,
    supervisor_status: Callable[[], Mapping[str, Any]] | None = None,
) -> AppDeps:
    """Return the parts put together as ``settings`` say."""
    clock = clock or SystemClock()
    forecaster = Forecaster(StoreRecords(store), rates=local_rates(settings.device), clock=clock)
    return AppDeps(
        settings=settings,
        catalogue=catalogue,
        store=store,
        storage=storage,
        submitter=Submitter(
            store=store,
            catalogue=catalogue,
            settings=settings,
            policy=policy,
            clock=clock,
            expect=forecaster.expect_cold,
            check_length=length_check(settings, catalogue),
        ),
        forecaster=forecaster,
        policy=policy,
        signer=signer,
        client=client or GuardedClient(allow_private=settings.webhooks.allow_private, clock=clock),
        clock=clock,
        supervisor_status=supervisor_status,
    )


def deps_of(request: Request) -> AppDeps:
    """Return what the application was created with."""
    return cast("AppDeps", request.app.state.deps)


Deps = Annotated[AppDeps, Depends(deps_of)]


def base_url_of(request: Request, settings: Settings) -> str:
    """Return how this client reaches the service, without a slash at the end.

    The operator's ``public_url``, else the request's own scheme and (checked) host.
    """
    if settings.server.public_url:
        return settings.server.public_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}"


def absolute_url(request: Request, settings: Settings, url: str) -> str:
    """Return ``url`` with the service's own address before it, unless it has one already."""
    return base_url_of(request, settings) + url if url.startswith("/") else url
