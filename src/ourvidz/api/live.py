"""What changes in the whole service, as server-sent events.

One desk looks at the store for all streams of a process; each stream reads from the desk's log what
its client may see. Nothing survives a connection: a client begins by reading everything, which
``hello`` asks it to do, again where more has changed than is worth telling one by one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

import ourvidz
from ourvidz.api.auth import Principal, authenticate
from ourvidz.api.benchmarks import Benchmarks
from ourvidz.api.deps import AppDeps
from ourvidz.api.events import BEAT_S, MEDIA_TYPE, RETRY_MS
from ourvidz.api.live_schemas import LiveBenchmark, LiveFigures, LiveHello, LiveJobs
from ourvidz.api.overview import queue_answer, worker_list
from ourvidz.api.schemas import Answer, QueueAnswer, WorkerList
from ourvidz.api.session import authorization_of, is_forwarded
from ourvidz.api.views import Viewer
from ourvidz.api.waiting import pause
from ourvidz.core.clock import Clock
from ourvidz.core.errors import StoreUnavailable, Unauthorized
from ourvidz.jobs.changes import Changes, Deletion
from ourvidz.jobs.model import Job, WorkerInfo
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.watching import ChangeWatch
from ourvidz.perf.protocol.results import RUNS

LOOK_S = 0.25  # between two looks of one stream, at least
CHECK_S = 30.0  # a key that was revoked, or has expired, hears no more after it
_SHARED_S = 0.1  # a look serves every stream for so long
_UNCHANGED_S = 1.0  # where nothing was written: workers may have fallen silent
_IDLE_S = 30.0  # nobody has looked for so long: nobody listens
MARGIN_S = 10.0  # longer than a transaction takes from its time to its end
MOST_CHANGES = 1000  # more at once are read faster than told
_MOST_KEPT = 2000
_PAGE = 200  # jobs of one event
_IDS = 500  # of one statement
_RECORDS = 100  # more new ones are not read: all figures are another ones then
_FIGURES_SCOPE = "metrics:read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A job as it became; None: it was deleted."""

    number: int
    job_id: str
    tenant: str
    job: Job | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the performance figures follow from."""

    newest: int = 0  # record
    number: int = 0  # of records
    num_decisions: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a reader has not seen yet."""

    number: int  # to ask from the next time
    is_gap: bool  # there was more than is kept
    changes: tuple[Change, ...]
    queue_number: int  # grows when the queue may have changed
    workers: tuple[WorkerInfo, ...]
    measured: tuple[str, ...]  # job types that have new records
    are_figures_new: bool  # of every job type
    benchmark: LiveBenchmark | None


class LiveDesk:
    """Keeps the last changes of the store, found when somebody asks. For all threads."""

    def __init__(
        self, store: JobStore, clock: Clock, *, benchmarks: Benchmarks | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._benchmarks = benchmarks
        self._lock = threading.Lock()
        self._looked_s: float | None = None
        self._version: int | None = None
        self._now = 0.0  # the store's, of the last look
        self._after = 0  # deletions up to here are over
        self._marks: dict[str, Hashable] = {}  # of what was touched within the margin
        self._deletions: set[int] = set()
        self._number = 0
        self._floor = 0  # who has seen less than this has missed something
        self._queue_number = 0
        self._log: OrderedDict[str, Change] = OrderedDict()  # the newest last
        self._paused: tuple[str, ...] = ()
        self._workers: tuple[WorkerInfo, ...] = ()
        self._figures = Figures()
        self._figures_number = 0  # when the figures of every job type became others
        self._measured: dict[str, int] = {}  # when a job type's did
        self._benchmark: LiveBenchmark | None = None
        self._queues: dict[str | None, tuple[int, QueueAnswer]] = {}
        self._queue_lock = threading.Lock()

    def queue(
        self, number: int, tenant: str | None, make: Callable[[], QueueAnswer]
    ) -> QueueAnswer:
        """Return a tenant's queue as of a number of its own, made once for all readers."""
        with self._queue_lock:
            kept = self._queues.get(tenant)
            if kept is None or kept[0] < number:
                kept = (number, make())
                self._queues[tenant] = kept
            return kept[1]

    def news(self, number: int | None) -> News:
        """Return what came behind ``number``; None: where to begin."""
        with self._lock:
            self._look()
            is_gap = number is not None and number < self._floor
            changes: list[Change] = []
            if number is not None and not is_gap:
                for change in reversed(self._log.values()):
                    if change.number <= number:
                        break
                    changes.append(change)
            return News(
                number=self._number,
                is_gap=is_gap,
                changes=tuple(reversed(changes)),
                queue_number=self._queue_number,
                workers=self._workers,
                measured=tuple(
                    job_type
                    for job_type, since in sorted(self._measured.items())
                    if number is not None and since > number
                ),
                are_figures_new=number is not None and self._figures_number > number,
                benchmark=self._benchmark,
            )

    def _look(self) -> None:
        now_s = self._clock.monotonic()
        since_s = None if self._looked_s is None else now_s - self._looked_s
        version = self._store.version()
        if since_s is not None:
            is_unchanged = version is not None and version == self._version
            if since_s < (_UNCHANGED_S if is_unchanged else _SHARED_S):
                return
        if since_s is None or since_s > _IDLE_S or not self._go_on():
            self._begin()
        # Only after a look that succeeded; its version was read before: what came since is new.
        self._looked_s, self._version = now_s, version

    def _begin(self) -> None:
        """Take the store as it is for known."""
        changes = self._store.changes(since=self._store.now() - MARGIN_S, after=None)
        self._after = changes.before
        self._remember(changes)
        self._paused = changes.paused
        self._workers = self._store.workers()
        self._figures = self._read_figures()
        self._benchmark = self._read_benchmark()
        self._number += 1
        self._start_over()

    def _start_over(self) -> None:
        self._log.clear()
        self._floor = self._queue_number = self._number

    def _go_on(self) -> bool:
        """Note what changed since the last look; False where the store's clock was set back."""
        changes = self._store.changes(since=self._now - MARGIN_S, after=self._after)
        if changes.now < self._now:
            return False
        touched = [
            each.job_id for each in changes.touched if self._marks.get(each.job_id) != each.mark
        ]
        deleted = [each for each in changes.deletions if each.seq not in self._deletions]
        workers = self._store.workers()
        jobs = list(self._read(touched)) if len(touched) <= MOST_CHANGES else []
        figures = self._read_figures()
        measured = self._measured_since(figures)
        benchmark = self._read_benchmark()
        # All that can fail is done.
        self._number += 1
        if len(touched) + len(deleted) > MOST_CHANGES:
            self._start_over()
        else:
            self._note(jobs, deleted)
        if changes.paused != self._paused or len(workers) != len(self._workers):
            self._queue_number = self._number
        self._paused, self._workers = changes.paused, workers
        if measured is None:
            self._figures_number = self._number
        else:
            self._measured.update(dict.fromkeys(measured, self._number))
        self._figures, self._benchmark = figures, benchmark
        self._remember(changes)
        return True

    def _read_figures(self) -> Figures:
        newest, number = self._store.perf_head()
        return Figures(newest=newest, number=number, num_decisions=len(self._store.decisions()))

    def _measured_since(self, now: Figures) -> set[str] | None:
        """Return the job types that have new records; None: the figures of all are new."""
        before = self._figures
        num_new = now.number - before.number
        if now.num_decisions != before.num_decisions or not 0 <= num_new <= _RECORDS:
            return None
        if now.newest == before.newest:
            return set() if num_new == 0 else None
        records = self._store.perf_records(after=before.newest, limit=_RECORDS)
        return {each.job_type for each in records}

    def _read_benchmark(self) -> LiveBenchmark | None:
        last = None if self._benchmarks is None else self._benchmarks.last()
        if self._benchmarks is None or last is None:
            return None
        return LiveBenchmark(
            is_running=last.is_running,
            run_id=last.run_id,
            started_at=last.started_at,
            num_ended=0 if last.run_id is None else _num_ended(self._benchmarks, last.run_id),
        )

    def _read(self, job_ids: Sequence[str]) -> Iterator[Job]:
        for begin in range(0, len(job_ids), _IDS):
            yield from self._store.jobs_of(job_ids[begin : begin + _IDS]).values()

    def _note(self, jobs: Sequence[Job], deleted: Sequence[Deletion]) -> None:
        for job in jobs:
            before = self._log.get(job.id)
            if before is None or before.job is None or _place(before.job) != _place(job):
                self._queue_number = self._number
            self._keep(job.id, job.tenant, job)
        for each in deleted:
            self._queue_number = self._number
            self._keep(each.job_id, each.tenant, None)
        while len(self._log) > _MOST_KEPT:
            _, oldest = self._log.popitem(last=False)
            self._floor = max(self._floor, oldest.number)

    def _keep(self, job_id: str, tenant: str, job: Job | None) -> None:
        self._log[job_id] = Change(number=self._number, job_id=job_id, tenant=tenant, job=job)
        self._log.move_to_end(job_id)

    def _remember(self, changes: Changes) -> None:
        """Keep what the next look will read again, and no more."""
        self._now = changes.now
        self._marks = {each.job_id: each.mark for each in changes.touched}
        over = [each.seq for each in changes.deletions if each.at < changes.now - MARGIN_S]
        self._after = max(over, default=self._after)
        self._deletions = {each.seq for each in changes.deletions if each.seq > self._after}


def _num_ended(benchmarks: Benchmarks, run_id: str) -> int:
    try:
        return (benchmarks.directory / run_id / RUNS).read_bytes().count(b"\n")
    except OSError:  # nothing ended yet
        return 0


def _place(job: Job) -> tuple[object, ...]:
    return job.state, job.is_held, job.priority, job.position


def live_response(
    deps: AppDeps,
    desk: LiveDesk,
    view: Viewer,
    who: Principal,
    *,
    started_at: str,
    max_s: float | None,
) -> Response:
    """Return the stream of what ``who`` may see."""
    reader = _Reader(deps=deps, desk=desk, view=view, who=who, started_at=started_at)
    return StreamingResponse(
        _stream(deps, reader, max_s),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(deps: AppDeps, reader: _Reader, max_s: float | None) -> AsyncIterator[str]:
    started_s = said_s = checked_s = deps.clock.monotonic()
    watch = ChangeWatch(deps.store)
    yield f"retry: {RETRY_MS}\n\n"
    while not deps.closing.is_set():
        is_due = deps.clock.monotonic() - checked_s >= CHECK_S
        try:
            if is_due and not await run_in_threadpool(reader.is_welcome):
                return
            texts = await run_in_threadpool(reader.read)
        except StoreUnavailable:  # the client connects again, and begins anew
            return
        for text in texts:
            yield text
        now_s = deps.clock.monotonic()
        checked_s = now_s if is_due else checked_s
        if max_s is not None and now_s - started_s >= max_s:
            return
        if texts:
            said_s = now_s
        elif now_s - said_s >= BEAT_S:
            said_s = now_s
            yield ": still here\n\n"
        await anyio.sleep(LOOK_S)
        await pause(watch, deps.settings.queue.poll_s)


@dataclass(kw_only=True, slots=True)
class _Reader:
    """Turns a desk's news into one client's events."""

    deps: AppDeps
    desk: LiveDesk
    view: Viewer
    who: Principal
    started_at: str
    _number: int | None = None
    _queue_number: int = 0
    _queue: QueueAnswer | None = None
    _workers: WorkerList | None = field(default=None)
    _benchmark: LiveBenchmark | None = None

    def is_welcome(self) -> bool:
        """Whether the client's key still is what it was when the stream began."""
        request = self.view.request
        try:
            now = authenticate(
                store=self.deps.store,
                quotas=self.deps.settings.quotas,
                authorization=authorization_of(request.headers),
                client_host=request.client.host if request.client else None,
                is_forwarded=is_forwarded(request.headers),
            )
        except Unauthorized:
            return False
        return now == self.who

    def read(self) -> list[str]:
        """Return the events that are due."""
        is_first = self._number is None
        news = self.desk.news(self._number)
        self._number = news.number
        tenant = self.who.tenant_filter
        workers = worker_list([replace(each, seen_at=0.0) for each in news.workers], tenant)
        if is_first or news.is_gap:
            self._queue_number, self._queue, self._workers = news.queue_number, None, workers
            self._benchmark = news.benchmark
            return [self._hello()]
        texts = self._jobs(news.changes)
        if news.queue_number > self._queue_number:
            self._queue_number = news.queue_number
            texts += self._changed_queue()
        if workers != self._workers:
            self._workers = workers
            texts.append(as_text("workers", worker_list(news.workers, tenant)))
        if self.who.may(_FIGURES_SCOPE):
            texts += self._performance(news)
        return texts

    def _performance(self, news: News) -> list[str]:
        texts: list[str] = []
        if news.measured or news.are_figures_new:
            figures = LiveFigures(job_types=list(news.measured), are_all=news.are_figures_new)
            texts.append(as_text("figures", figures))
        if news.benchmark is not None and news.benchmark != self._benchmark:
            self._benchmark = news.benchmark
            texts.append(as_text("benchmark", news.benchmark))
        return texts

    def _hello(self) -> str:
        hello = LiveHello(server_started_at=self.started_at, version=ourvidz.__version__)
        return as_text("hello", hello)

    def _jobs(self, changes: Sequence[Change]) -> list[str]:
        tenant = self.who.tenant_filter
        seen = [each for each in changes if tenant in (None, each.tenant)]
        jobs = [each.job for each in seen if each.job is not None]
        deleted = [each.job_id for each in seen if each.job is None]
        # A viewer remembers what it has read for one answer; a stream outlives that.
        view = Viewer(deps=self.view.deps, request=self.view.request)
        texts: list[str] = []
        while jobs or deleted:
            page, jobs = jobs[:_PAGE], jobs[_PAGE:]
            texts.append(as_text("jobs", LiveJobs(data=view.jobs(page), deleted=deleted)))
            deleted = []
        return texts

    def _changed_queue(self) -> list[str]:
        """Return the queue's event, unless only time has passed in it."""
        tenant = self.who.tenant_filter
        answer = self.desk.queue(
            self._queue_number, tenant, lambda: queue_answer(self.deps, tenant)
        )
        timeless = answer.model_copy(update={"oldest_queued_s": None, "empty_in": None})
        if timeless == self._queue:
            return []
        self._queue = timeless
        return [as_text("queue", answer)]


def as_text(name: str, data: Answer) -> str:
    """Return one event as it stands in the stream. JSON has no raw line breaks."""
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
