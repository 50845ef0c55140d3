"""New performance records and what is said of them, as server-sent events.

As ``events``: the store is asked again and again, an ``id`` is the record's number, so that a
stream can be resumed at any server. It has no end but ``max_s`` and the server's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ourvidz.api.deps import AppDeps
from ourvidz.api.events import BEAT_S, MEDIA_TYPE, RETRY_MS
from ourvidz.api.performance import PerformanceDesk, Seen
from ourvidz.api.performance_schemas import (
    AlarmAnswer,
    PerformanceEvent,
    PerformanceEvents,
    RecordBrief,
)
from ourvidz.api.waiting import pause
from ourvidz.core.phase import Phase
from ourvidz.jobs.watching import ChangeWatch

if TYPE_CHECKING:
    from ourvidz.perf.kept import KeptRecord
    from ourvidz.perf.scoring import RaisedAlarm

_PAGE = 50


def record_brief(kept: KeptRecord) -> RecordBrief:
    """Return a record as lists tell of it."""
    record = kept.record
    return RecordBrief(
        seq=kept.seq,
        job_id=record.id,
        at=record.at.isoformat(),
        job_type=record.job_type,
        state=record.state,
        origin=record.origin.value,
        total_s=record.total_s,
        run_s=record.run_s,
        queue_wait_s=None
        if record.total_s is None
        else record.phases_s.get(Phase.QUEUE_WAIT.value, 0.0),
        is_success=record.is_success,
        failure=record.failure,
        flags=list(record.flags),
    )


def newest_alarms(desk: PerformanceDesk) -> tuple[RaisedAlarm, ...]:
    """Return the installation's alarms as of now."""

    def make(seen: Seen) -> tuple[RaisedAlarm, ...]:
        from ourvidz.perf.scoring import alarms

        return alarms(seen.survey.own, decisions=seen.survey.decisions)

    return desk.answer("alarms", make, is_dated=False)


def events_after(desk: PerformanceDesk, after: int) -> PerformanceEvents:
    """Return the next events behind ``after``, at most a page of them."""
    from ourvidz.perf.scoring import score_job
    from ourvidz.perf.stats import Score

    seen = desk.look()
    page = [each for each in seen.kept.records if each.seq > after][:_PAGE]
    raised = newest_alarms(desk) if page else ()
    found: list[PerformanceEvent] = []
    for each in page:
        record = each.record
        score = score_job(record, seen.survey.own, decisions=seen.survey.decisions)
        found.append(
            PerformanceEvent(
                seq=each.seq,
                kind="record",
                record=record_brief(each),
                score=None if score.score is None else score.score.value,
                slow=[one.measure for one in score.measures if one.score is Score.SLOW],
                is_watched=score.is_watched,
                alarms=alarm_answers([one for one in raised if one.record == record.id]),
            )
        )
    return PerformanceEvents(data=found, last_seq=page[-1].seq if page else after)


def alarm_answers(raised: Sequence[RaisedAlarm]) -> list[AlarmAnswer]:
    """Return alarms as clients see them."""
    from ourvidz.perf.plain import plain

    return [AlarmAnswer(**plain(each)) for each in raised]


def stream_response(
    deps: AppDeps, desk: PerformanceDesk, *, after: int | None, max_s: float | None
) -> Response:
    """Return the stream: what is behind ``after`` and what comes; without it, only what comes."""
    return StreamingResponse(
        _stream(deps, desk, after, max_s),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    deps: AppDeps, desk: PerformanceDesk, after: int | None, max_s: float | None
) -> AsyncIterator[str]:
    started_s = said_s = deps.clock.monotonic()
    watch = ChangeWatch(deps.store)
    if after is None:
        seen = await run_in_threadpool(desk.look)
        after = seen.kept.newest
    yield f"retry: {RETRY_MS}\n\n"
    while not deps.closing.is_set():
        found = await run_in_threadpool(events_after, desk, after)
        for event in found.data:
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        now_s = deps.clock.monotonic()
        if found.data:
            after, said_s = found.last_seq, now_s
            continue
        if max_s is not None and now_s - started_s >= max_s:
            return
        if now_s - said_s >= BEAT_S:
            said_s = now_s
            yield ": still here\n\n"
        await pause(watch, deps.settings.queue.poll_s)
