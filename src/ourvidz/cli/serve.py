"""``ourvidz serve``: the API, the chores beside the queue, and the workers of this machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.core.errors import ConfigInvalid, InvalidRequest, MissingDependency

if TYPE_CHECKING:
    import threading

    from ourvidz.api.deps import AppDeps
    from ourvidz.jobs.store import JobStore
    from ourvidz.upkeep.loop import Upkeep
    from ourvidz.worker.supervisor import Supervisor, WorkerSlot

_ORPHAN_S = 24 * 3600.0  # older than any upload
_LAST_ANSWERS_S = 5  # what open requests get when the server stops
_MAX_WORKERS = 64
_PACKAGES = (
    "fastapi",
    "httpx",
    "multipart",
    "obstore",
    "prometheus_client",
    "regex",
    "tokenizers",
    "uvicorn",
)
_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(name="serve")(serve)


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; beyond loopback needs a key.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The data directory: jobs, files, models.")
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the API; workers run elsewhere.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=_MAX_WORKERS,
            help="How many workers; left out: one a GPU, or one on the CPU.",
        ),
    ] = None,
) -> None:
    """Start the service: API, queue and workers, without any other server.

    It answers within seconds; models load with the first job that needs them. Ctrl-C or SIGTERM:
    running jobs may finish within `queue.drain_s`, then they go back to the queue. A second one
    ends at once. No job is lost either way.
    """
    settings = _settings(host, port, data)
    _require_packages()
    slots = None if no_worker else _slots(settings, workers)
    stops = _Stops()
    with ExitStack() as stack:
        _run(settings, slots, stops, stack)
    if stops.count > 1:
        sys.exit(_INTERRUPTED)


def _settings(host: str | None, port: int | None, data: Path | None) -> Settings:
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    overrides: dict[str, Any] = {"server": server} if server else {}
    if data is not None:
        overrides["data_dir"] = data
    return load_settings(**overrides)


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"The service needs the package {missing[0]!r}.", hint="Install ourvidz[serve]."
        )


def _run(
    settings: Settings, slots: tuple[WorkerSlot, ...] | None, stops: _Stops, stack: ExitStack
) -> None:
    from ourvidz.api.app import create_app
    from ourvidz.api.deps import make_deps
    from ourvidz.core.logs import write_json_lines
    from ourvidz.jobs.open import open_store
    from ourvidz.policy.build import build_policy
    from ourvidz.storage.open import open_signer, open_storage
    from ourvidz.worker.supervisor import Supervisor

    store = open_store(settings)
    stack.callback(store.close)
    store.migrate()
    refuse_strangers(settings, store)
    listener = _listen(settings.server.host, settings.server.port)
    stack.callback(listener.close)
    write_json_lines()  # from here on; what went wrong before is said to people
    supervisor = None if slots is None else Supervisor(settings=settings, slots=slots)
    deps = make_deps(
        settings=settings,
        catalogue=catalogue_of(settings),
        store=store,
        storage=open_storage(settings),
        policy=build_policy(settings.policy),
        signer=open_signer(settings) if settings.storage.kind == "local" else None,
        supervisor_status=None if supervisor is None else lambda: _status(supervisor),
    )
    upkeep = make_upkeep(deps)
    stack.callback(upkeep.stop)
    upkeep.start()
    if supervisor is not None:
        stack.callback(supervisor.stop)
        supervisor.start()
        _keep_reforming(settings, store, supervisor, slots or (), stack)
    stops.install(deps.closing)
    _serve_until_stopped(create_app(deps), listener, deps, stops)
    stops.is_draining = True


def _keep_reforming(
    settings: Settings,
    store: JobStore,
    supervisor: Supervisor,
    slots: tuple[WorkerSlot, ...],
    stack: ExitStack,
) -> None:
    """Group the GPUs that were planned anew as the queue changes, where that is the policy."""
    from ourvidz.worker.reforming import Reformer

    gpus = [gpu for slot in slots for gpu in slot.gpus]
    if settings.fleet.policy == "mixed" and len(gpus) > 1:
        reformer = Reformer(settings=settings, store=store, supervisor=supervisor, gpus=gpus)
        stack.callback(reformer.stop)
        reformer.start()


def refuse_strangers(settings: Settings, store: JobStore) -> None:
    """Raise where others could reach the service without a key.

    Raises:
        ConfigInvalid: it would listen beyond loopback, and no key is valid.
    """
    from ourvidz.api.auth import is_loopback

    now = store.now()
    keys = store.keys()
    has_key = any(
        key.revoked_at is None and (key.expires_at is None or key.expires_at > now) for key in keys
    )
    if not is_loopback(settings.server.host) and not has_key:
        raise ConfigInvalid(
            f"Refusing to listen on {settings.server.host!r} while no API key exists: "
            "anybody could use this machine.",
            param="server.host",
            hint="Make a key first: ourvidz keys create --name me",
        )


def make_upkeep(deps: AppDeps) -> Upkeep:
    """Return the chores: reaping, messages to others, retention, sweeping, digests."""
    from ourvidz.bridge.callbacks import SitePoster, legacy_renderer
    from ourvidz.upkeep.digests import write_digests
    from ourvidz.upkeep.loop import Upkeep
    from ourvidz.upkeep.outbox import OutboxSender
    from ourvidz.upkeep.retention import expire
    from ourvidz.upkeep.sweep import sweep_orphans
    from ourvidz.upkeep.webhook import WebhookRenderer

    settings, store, storage = deps.settings, deps.store, deps.storage
    sender = OutboxSender(
        store,
        SitePoster(settings, deps.client),
        {
            "webhook": WebhookRenderer(
                settings.webhooks.secrets, base_url=settings.server.public_url or ""
            ),
            "legacy": legacy_renderer(settings, store, storage),
        },
        deps.clock,
        timeout_s=settings.webhooks.timeout_s,
    )
    return Upkeep(
        store=store,
        queue=settings.queue,
        outbox=sender,
        sweeps={
            "retention": lambda: expire(
                store,
                storage,
                keep_days=settings.storage.keep_days,
                keep_bytes=settings.storage.keep_bytes,
            ),
            "sweep": lambda: sweep_orphans(
                store, storage, older_than_s=_ORPHAN_S, now=deps.clock.now().timestamp()
            ),
            "digests": lambda: write_digests(settings, store, now=deps.clock.now()),
        },
    )


def _slots(settings: Settings, number: int | None) -> tuple[WorkerSlot, ...]:
    from ourvidz.worker.supervisor import plan_slots

    slots = plan_slots(settings)
    if number is None:
        return slots
    if number <= len(slots):
        return slots[:number]
    if slots[0].device.startswith("cuda"):
        raise InvalidRequest(
            f"{number} workers for {len(slots)} GPUs.",
            param="workers",
            hint="One worker a GPU: each keeps its models on it.",
        )
    return tuple(replace(slots[0], name=f"{slots[0].name}{index}") for index in range(number))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's wait off: 40 ms an answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        raise ConfigInvalid(
            f"Can't listen on {host!r}, port {port}: {error.strerror or error}.",
            param="server.port",
            hint="Another service may have it; choose one with --port, 0 for any free one.",
        ) from error
    return listener


def _serve_until_stopped(app: Any, listener: socket.socket, deps: AppDeps, stops: _Stops) -> None:
    import uvicorn

    host = deps.settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nobody connects to these
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listener.getsockname()[1]}"

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            typer.echo(f"OurVidz is ready at {url} (API documentation at {url}/docs)")
            sys.stdout.flush()

    running = Announcing(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # ours is structured
            proxy_headers=False,  # anybody could write them
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
    )
    stops.on_stop = lambda: setattr(running, "should_exit", True)
    if stops.count == 0:
        # uvicorn takes the signals while it runs; ours take over when it has ended.
        running.handle_exit = stops.handle  # type: ignore[method-assign]
        running.run(sockets=[listener])


class _Stops:
    """Counts signals to stop: the first one ends gently, a second one while draining at once."""

    def __init__(self) -> None:
        self.count = 0
        self.is_draining = False
        self.on_stop: Callable[[], object] = lambda: None
        self._closing: threading.Event | None = None
        self._last: int | None = None

    def install(self, closing: threading.Event) -> None:
        """Take the signals; ``closing`` is set by the first of them."""
        self._closing = closing
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        del number, frame
        self.count += 1
        if self._closing is not None:
            self._closing.set()
        self.on_stop()
        if self.is_draining:
            os._exit(_INTERRUPTED)  # the kernel tells the workers, who give their jobs back


def _status(supervisor: Supervisor) -> Mapping[str, Any]:
    return {"workers": _without_pids(asdict(status) for status in supervisor.status())}


def _without_pids(statuses: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "pid"} for one in statuses]
