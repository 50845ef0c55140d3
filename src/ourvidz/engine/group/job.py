"""What the leader has of a job that other ranks work on too, whatever its family."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

from ourvidz.core.request import GenerationRequest
from ourvidz.engine.context import JobContext
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import Begin, End

_log = logging.getLogger(__name__)


class GroupJob:
    """A job from ``begin``, when the others start to load it, to ``end``."""

    def __init__(self, group: Group, context: JobContext, request: GenerationRequest) -> None:
        """Take what the others have to know; nothing is said yet."""
        self._group = group
        self._job = group.new_job()
        self._is_begun = False
        self._begin = Begin(
            job=self._job,
            family=request.family,
            request=request,
            folders={
                model_id: context.locate(model_id)
                for model_id in {request.model, context.base_of(request.model)}
            },
            variants={
                id: variant for id, variant in context.variants.items() if id == request.model
            },
            techniques=context.techniques,
        )

    def begin(self) -> list[Future[Any]]:
        """Tell the others, once they have been met; return what to wait for.

        Raises:
            RankLost: one of them is gone.
        """
        pending = self._group.expect(self._job)
        self._group.send(self._begin)
        self._is_begun = True
        return list(pending)

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
