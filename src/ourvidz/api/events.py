"""A job's history as server-sent events: gapless, resumable, ending with the job.

The store is asked again and again; nothing is kept in this process, so a stream can be resumed at
any server. An ``id`` is the event's ``seq``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ourvidz.api.deps import AppDeps
from ourvidz.api.schemas import EventAnswer, EventPage
from ourvidz.api.views import event_answer
from ourvidz.api.waiting import pause
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.jobs.model import Event, EventKind
from ourvidz.jobs.watching import ChangeWatch

MEDIA_TYPE = "text/event-stream"
# Of one event in the stream. OpenAPI 3.1 has no word for a stream of them.
STREAM_SCHEMA = {
    "title": "ServerSentEvent",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The event's seq: send it as Last-Event-ID."},
        "event": {"type": "string", "description": "The event's kind."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "The event, as in the JSON answer.",
        },
    },
}
LOG_KINDS = frozenset({EventKind.LOG, EventKind.NOTE})

BEAT_S = 15.0  # silence after which proxies would close the connection
RETRY_MS = 2000  # what a browser waits before it connects again
_PAGE = 500
MAX_SEQ = 2**53 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamWish:
    """What a client wants to read."""

    job_id: str
    after: int
    kinds: frozenset[EventKind] | None = None  # None: all
    max_s: float | None = None  # end after so long; the client comes again


def last_event_id(header: str | None) -> int:
    """Return the seq that a client saw last.

    Raises:
        InvalidRequest: not a number that a stream of ours gave.
    """
    if not header:
        return 0
    if not (header.isascii() and header.isdecimal()) or int(header) > MAX_SEQ:
        raise InvalidRequest(
            "Last-Event-ID is not one of this stream.",
            param="Last-Event-ID",
            hint="Send the id of the last event, or leave it out.",
        )
    return int(header)


def event_page(deps: AppDeps, wish: StreamWish) -> EventPage:
    """Return what there is now behind ``wish.after``."""
    events = deps.store.events(wish.job_id, after=wish.after, limit=_PAGE)
    last_seq = events[-1].seq if events else wish.after
    return EventPage(
        data=[event_answer(event) for event in _of(wish, events)],
        last_seq=last_seq,
        is_finished=_is_over(deps, wish.job_id, last_seq),
    )


def stream_response(deps: AppDeps, wish: StreamWish) -> Response:
    """Return the stream, or 204 where nothing can come any more: browsers then stop asking."""
    if wish.after and _is_over(deps, wish.job_id, wish.after):
        return Response(status_code=204)
    return StreamingResponse(
        _stream(deps, wish),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(deps: AppDeps, wish: StreamWish) -> AsyncIterator[str]:
    started_s = said_s = deps.clock.monotonic()
    after = wish.after
    watch = ChangeWatch(deps.store)
    yield f"retry: {RETRY_MS}\n\n"
    while not deps.closing.is_set():
        events = await run_in_threadpool(deps.store.events, wish.job_id, after=after, limit=_PAGE)
        for event in _of(wish, events):
            yield as_text(event_answer(event))
        now_s = deps.clock.monotonic()
        if events:
            after, said_s = events[-1].seq, now_s
            continue
        if await run_in_threadpool(_has_ended, deps, wish.job_id, after):
            return
        if wish.max_s is not None and now_s - started_s >= wish.max_s:
            return
        if now_s - said_s >= BEAT_S:
            said_s = now_s
            yield ": still here\n\n"
        await pause(watch, deps.settings.queue.poll_s)


def as_text(event: EventAnswer) -> str:
    """Return one event as it stands in the stream. JSON has no raw line breaks."""
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"


def _of(wish: StreamWish, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if wish.kinds is None or event.kind in wish.kinds]


def _is_over(deps: AppDeps, job_id: str, seq: int) -> bool:
    job = deps.store.get(job_id)
    return job.is_terminal and seq >= job.event_seq


def _has_ended(deps: AppDeps, job_id: str, seq: int) -> bool:
    try:
        return _is_over(deps, job_id, seq)
    except NotFound:  # deleted while somebody read along
        return True
