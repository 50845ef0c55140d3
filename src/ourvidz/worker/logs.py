"""Structured logs: one JSON object a line, with the worker and the job that it is about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ourvidz.core.logs import write_json_lines
from ourvidz.core.redact import without_paths

_job: ContextVar[str | None] = ContextVar("ourvidz_job", default=None)


@contextmanager
def about_job(key: str) -> Generator[None]:
    """Within the block, log lines of this thread are about the attempt ``key`` (job/token)."""
    mark = _job.set(key)
    try:
        yield
    finally:
        _job.reset(mark)


class JobLogHandler(logging.Handler):
    """Hands what is logged about a job, INFO and above, to ``tell(attempt key, data)``."""

    def __init__(self, tell: Callable[[str, dict[str, Any]], None]) -> None:
        super().__init__(level=logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the message on, free of paths and without its traceback."""
        key = _job.get()
        if key is None:
            return
        text = without_paths(record.getMessage())
        self._tell(key, {"level": record.levelname.lower(), "text": text})


def log_to_stderr(worker_id: str, *, level: int = logging.INFO) -> None:
    """Send every record of this process to stderr as JSON lines."""

    def fields() -> dict[str, Any]:
        key = _job.get()
        return {"worker": worker_id} | ({} if key is None else {"job": key.partition("/")[0]})

    write_json_lines(level=logging.WARNING, fields=fields)  # libraries say too much below it
    logging.getLogger("ourvidz").setLevel(level)
