"""Structured logs: one JSON object a line, with the worker and the job that it is about."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_job: ContextVar[str | None] = ContextVar("ourvidz_job", default=None)

# An absolute path of two or more parts; "GiB/s" and "https://host/path" are none.
_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@+~-]+/)+[\w.@+~-]*|\b[A-Za-z]:\\[^\s'\"]+")


@contextmanager
def about_job(key: str) -> Generator[None]:
    """Within the block, log lines of this thread are about the attempt ``key`` (job/token)."""
    mark = _job.set(key)
    try:
        yield
    finally:
        _job.reset(mark)


def without_paths(text: str) -> str:
    """Return ``text`` for clients: absolute paths of this machine replaced by an ellipsis."""
    return _PATH.sub("…", text)


class JsonFormatter(logging.Formatter):
    """A line of JSON a record: time, level, logger, worker, job, message, traceback."""

    def __init__(self, worker_id: str) -> None:
        super().__init__()
        self._worker_id = worker_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        key = _job.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "worker": self._worker_id,
            "message": record.getMessage(),
        }
        if key is not None:
            line["job"] = key.partition("/")[0]
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


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
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(worker_id))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("ourvidz").setLevel(level)
