"""Protocol runs: start one, follow it, cancel it, read what was measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import anyio
from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ourvidz.api.auth import MetricsReader, PerformanceWriter, Principal
from ourvidz.api.benchmark_schemas import (
    BenchmarkBrief,
    BenchmarkEvent,
    BenchmarkEvents,
    BenchmarkPage,
    BenchmarkReport,
    BenchmarkRequest,
    BenchmarkStarted,
)
from ourvidz.api.benchmarks import Benchmarks, Started, Wanted
from ourvidz.api.deps import AppDeps, Deps, base_url_of
from ourvidz.api.events import BEAT_S, MEDIA_TYPE, RETRY_MS, STREAM_SCHEMA, last_event_id
from ourvidz.api.keys import create_key
from ourvidz.api.routes.common import After, Cursor, LastEventId, Limit, MaxS, errors, page_of
from ourvidz.api.views import iso, scrubbed
from ourvidz.perf.protocol.results import (
    INTERRUPTED,
    RUNNING,
    list_runs,
    read_run,
    run_folder,
)

router = APIRouter(tags=["benchmarks"])

_KEY_SCOPES = ("jobs:read", "jobs:write", "metrics:read")
_KEY_DAYS = 2.0  # longer than any run; it is revoked when the run ends
_ANYWHERE = frozenset({"0.0.0.0", "::", ""})
_LOOPBACK = "127.0.0.1"
_POLL_S = 0.5  # a file is asked, not the store
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events, as JSON or as a stream.",
        "content": {MEDIA_TYPE: {"schema": STREAM_SCHEMA}},
    },
    204: {"description": "The run has ended and there is nothing behind Last-Event-ID."},
}

RunId = Annotated[
    str,
    Path(
        max_length=100,
        description="The run's id.",
        examples=["bench_01k9w8n0c4kq4v7m2x5y6z7a8b"],
    ),
]


def _benchmarks_of(request: Request) -> Benchmarks:
    return cast("Benchmarks", request.app.state.benchmarks)


Bench = Annotated[Benchmarks, Depends(_benchmarks_of)]


@router.get(
    "/benchmarks",
    operation_id="list_benchmarks",
    response_model=BenchmarkPage,
    responses=errors(),
)
def list_benchmarks(
    bench: Bench, who: MetricsReader, limit: Limit = 50, cursor: Cursor = None
) -> BenchmarkPage:
    """List protocol runs that are kept here, newest first, whoever started them."""
    del who
    last = bench.last()
    active = last.run_id if last is not None and last.is_running else None
    shown, next_cursor = page_of(
        list_runs(bench.directory), lambda each: each.id, limit=limit, cursor=cursor
    )
    return BenchmarkPage(
        data=[BenchmarkBrief(**each.to_dict(), is_active=each.id == active) for each in shown],
        next_cursor=next_cursor,
    )


@router.post(
    "/benchmarks",
    operation_id="start_benchmark",
    status_code=202,
    response_model=BenchmarkStarted,
    responses=errors(409, 507),
)
def start_benchmark(
    body: BenchmarkRequest, request: Request, deps: Deps, bench: Bench, who: PerformanceWriter
) -> BenchmarkStarted:
    """Start a protocol run through this service, in a process of its own; one at a time.

    Its jobs go through the queue as anybody's: for figures that mean something, nothing else should
    run meanwhile, which pre-flight checks.
    """
    names = [deps.catalogue.job_type(name).name for name in body.job_types]
    for name in names or deps.catalogue.job_types:
        deps.catalogue.preset(name, body.preset)
    made: list[str] = []

    def make_secret() -> str | None:
        key = _key_for(deps, who)
        if key is None:
            return None
        made.append(key[0])
        return key[1]

    def forget_key() -> None:
        for key_id in made:
            deps.store.revoke_key(key_id)

    wanted = Wanted(
        suite=body.suite,
        job_types=tuple(dict.fromkeys(names)),
        preset=body.preset,
        seed=body.seed,
        is_forced=body.is_forced,
    )
    try:
        started = bench.start(
            wanted,
            url=_own_url(request, deps),
            make_secret=make_secret,
            now=iso(deps.store.now()),
            on_end=forget_key,
        )
    except Exception:
        forget_key()
        raise
    return _started(started)


@router.get(
    "/benchmarks/active",
    operation_id="active_benchmark",
    response_model=BenchmarkStarted | None,
    responses=errors(),
)
def active_benchmark(bench: Bench, who: MetricsReader) -> BenchmarkStarted | None:
    """Read the last run that the service started: whether it runs, and why it ended early.

    Null: the service has started none yet.
    """
    del who
    last = bench.last()
    return None if last is None else _started(last)


@router.post(
    "/benchmarks/active/cancel",
    operation_id="cancel_benchmark",
    status_code=202,
    response_model=BenchmarkStarted,
    responses=errors(404),
)
def cancel_benchmark(bench: Bench, who: PerformanceWriter) -> BenchmarkStarted:
    """Stop the run that runs within a step. What ended until then is kept and reported."""
    del who
    return _started(bench.cancel())


@router.get(
    "/benchmarks/{run_id}",
    operation_id="get_benchmark",
    response_model=BenchmarkReport,
    responses=errors(404),
)
def get_benchmark(run_id: RunId, bench: Bench, who: MetricsReader) -> BenchmarkReport:
    """Read a run's report; of one under way, what is there so far."""
    del who
    return BenchmarkReport(**scrubbed(read_run(bench.directory, run_id).to_dict()))


@router.get(
    "/benchmarks/{run_id}/events",
    operation_id="benchmark_events",
    response_model=BenchmarkEvents,
    responses={**errors(404), **_STREAM},
)
def benchmark_events(
    run_id: RunId,
    deps: Deps,
    bench: Bench,
    who: MetricsReader,
    after: After = None,
    max_s: MaxS = None,
    last_event_id_header: LastEventId = None,
) -> Response | BenchmarkEvents:
    """Follow a run as server-sent events: each of its jobs that ended, then the end.

    With `after` the answer is JSON and comes at once.
    """
    del who
    run_folder(bench.directory, run_id)
    if after is not None:
        return _events_after(bench, run_id, after)
    seen = last_event_id(last_event_id_header)
    if seen:
        found = _events_after(bench, run_id, seen)
        if found.is_finished and not found.data:
            return Response(status_code=204)
    return StreamingResponse(
        _stream(deps, bench, run_id, seen, max_s),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    deps: AppDeps, bench: Benchmarks, run_id: str, after: int, max_s: float | None
) -> AsyncIterator[str]:
    started_s = said_s = deps.clock.monotonic()
    yield f"retry: {RETRY_MS}\n\n"
    while not deps.closing.is_set():
        found = await run_in_threadpool(_events_after, bench, run_id, after)
        for event in found.data:
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        now_s = deps.clock.monotonic()
        if found.is_finished:
            return
        if found.data:
            after, said_s = found.last_seq, now_s
        if max_s is not None and now_s - started_s >= max_s:
            return
        if now_s - said_s >= BEAT_S:
            said_s = now_s
            yield ": still here\n\n"
        await anyio.sleep(_POLL_S)


def _events_after(bench: Benchmarks, run_id: str, after: int) -> BenchmarkEvents:
    """Return what there is behind ``after``: lines of finished runs, then the end."""
    is_over = _is_over(bench, run_id)  # before the lines: what ends now is told next time
    folder = run_folder(bench.directory, run_id)
    plan, report = folder.plan(), folder.report()
    num_planned = len(plan.cases) * plan.repeats
    runs = folder.runs()
    events: list[BenchmarkEvent] = []
    num_done = 0
    for seq, run in enumerate(runs, start=1):
        num_done += not run.is_warm_up
        if seq > after:
            events.append(
                BenchmarkEvent(
                    seq=seq,
                    kind="run",
                    key=run.key,
                    case=run.case,
                    job_type=run.job_type,
                    job_id=run.job_id,
                    is_warm_up=run.is_warm_up,
                    state=run.body.get("state"),
                    wall_s=run.wall_s,
                    error=run.error,
                    faults=list(run.faults),
                    num_done=num_done,
                    num_planned=num_planned,
                )
            )
    last_seq = len(runs)
    if is_over:
        last_seq += 1
        if last_seq > after:
            events.append(
                BenchmarkEvent(
                    seq=last_seq,
                    kind="end",
                    num_done=num_done,
                    num_planned=num_planned,
                    status=INTERRUPTED if report is None else report.status,
                    outcome=None if report is None else report.outcome,
                )
            )
    return BenchmarkEvents(data=events, last_seq=max(last_seq, after), is_finished=is_over)


def _is_over(bench: Benchmarks, run_id: str) -> bool:
    """Whether nothing comes any more: a report is there, or its process is known to be gone."""
    last = bench.last()
    if last is not None and last.run_id == run_id:
        return not last.is_running
    report = run_folder(bench.directory, run_id).report()
    return report is not None and report.status != RUNNING


def _started(found: Started) -> BenchmarkStarted:
    return BenchmarkStarted(
        is_running=found.is_running,
        run_id=found.run_id,
        started_at=found.started_at,
        suite=found.suite,
        job_types=list(found.job_types),
        preset=found.preset,
        seed=found.seed,
        error=None if found.error is None else dict(found.error),
    )


def _key_for(deps: AppDeps, who: Principal) -> tuple[str, str] | None:
    """Return id and secret of a key of the run's own.

    None where nobody has a key: the first one would end that clients here need none.
    """
    if not deps.store.keys():
        return None
    key, secret = create_key(
        store=deps.store,
        clock=deps.clock,
        name="benchmark",
        tenant=who.tenant,
        scopes=_KEY_SCOPES,
        expires_in_days=_KEY_DAYS,
    )
    return key.id, secret


def _own_url(request: Request, deps: AppDeps) -> str:
    """Return where the service listens on this machine, not where a proxy does."""
    server = request.scope.get("server")
    if server is None or server[1] is None:
        return base_url_of(request, deps.settings)
    host = deps.settings.server.host
    host = _LOOPBACK if host in _ANYWHERE else host
    return f"http://{f'[{host}]' if ':' in host else host}:{server[1]}"
