"""What the leader has of a job that other ranks work on too, whatever its family."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from ourvidz.core.errors import RankLost
from ourvidz.core.event import JobEvent
from ourvidz.core.phase import Phase, Span
from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext, wait_until_done, workload_of
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import Begin, End, Load
from ourvidz.engine.variants import Variant

_log = logging.getLogger(__name__)


class GroupJob:
    """A job from ``begin``, when the others start to load it, to ``end``."""

    def __init__(self, group: Group, context: JobContext, request: GenerationRequest) -> None:
        """Take what the others have to know; nothing is said yet."""
        self._group = group
        self._context = context
        self._phase = Phase.LOAD_UNET if request.family == "sdxl" else Phase.LOAD_TRANSFORMER
        self._job = group.new_job()
        self._is_begun = False
        self._begin = Begin(
            job=self._job,
            family=request.family,
            request=request,
            folders=_folders_of(context, request.model),
            variants=_variants_of(context, request.model),
            techniques=context.techniques,
            activation_bytes=context.residency.activation_bytes(workload_of(request)),
        )

    def begin(self) -> Generator[JobEvent, None, Sequence[Future[Any]]]:
        """Meet the others, starting them if they are gone, and tell them; return what to wait for.

        Raises:
            RankLost: one of them is gone.
        """
        start_s = self._context.clock.monotonic()
        joined = self._group.start()
        self._record([joined], start_s)
        yield from wait_until_done(self._context, self._phase, [joined])
        start_s = self._context.clock.monotonic()
        pending = self._group.expect(self._job)
        self._is_begun = True
        self._group.send(self._begin)
        self._record(pending, start_s)
        return pending

    def _record(self, futures: Sequence[Future[Any]], start_s: float) -> None:
        """Put into the ledger, when all are done, what may have been waited for since then."""
        if all(future.done() for future in futures):
            return
        lock, num_pending = threading.Lock(), len(futures)

        def done(_: Future[Any]) -> None:  # in any of the threads that listen
            nonlocal num_pending
            with lock:
                num_pending -= 1
                if num_pending:
                    return
            self._context.recorder.add(
                Span(
                    phase=self._phase,
                    start_s=start_s,
                    end_s=self._context.clock.monotonic(),
                    is_background=True,
                    facts={"what": "other ranks"},
                )
            )

        for future in futures:
            future.add_done_callback(done)

    def end(self) -> None:
        """Let the others forget the job. Idempotent; raises nothing."""
        if not self._is_begun:
            return
        self._is_begun = False
        try:
            self._group.send(End(job=self._job))
        except Exception as error:  # noqa: BLE001 - a group that is lost forgets by itself
            _log.info("the others were not told that job %d is over: %s", self._job, error)
        self._group.forget(self._job)

    @property
    def size(self) -> int:
        """How many ranks work on it."""
        return self._group.size


def load_on_others(
    group: Group, context: JobContext, *, family: str, model_id: str
) -> Generator[JobEvent, None, None]:
    """Load on the other ranks what jobs of a model need there, if they are there. Any thread.

    Where one of them is lost or can't, the next job says so.

    Raises:
        OutOfMemory: of one of them.
        Cancelled: the context's token was set.
    """
    joined = group.present
    if joined is None:
        return
    job = group.new_job()
    try:
        yield from wait_until_done(context, Phase.STARTUP, [joined])
        pending = group.expect(job)
        group.send(
            Load(
                job=job,
                family=family,
                model_id=model_id,
                folders=_folders_of(context, model_id),
                variants=_variants_of(context, model_id),
            )
        )
        yield from wait_until_done(context, Phase.STARTUP, pending)
    except RankLost as error:
        _log.warning("%s is not loaded on the other ranks: %s", model_id, error)
    finally:
        with suppress(RankLost):
            group.send(End(job=job))
        group.forget(job)


def _folders_of(context: JobContext, model_id: str) -> Mapping[str, Path]:
    return {each: context.locate(each) for each in {model_id, context.base_of(model_id)}}


def _variants_of(context: JobContext, model_id: str) -> Mapping[str, Variant]:
    return {id: variant for id, variant in context.variants.items() if id == model_id}
