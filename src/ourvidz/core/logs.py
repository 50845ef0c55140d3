"""Logs of every process: one JSON object a line, the same fields on every line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

# What a LogRecord carries anyway; all else on it was passed as ``extra`` and is shown.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def _no_fields() -> Mapping[str, Any]:
    return {}


class JsonLines(logging.Formatter):
    """Formats a record, its extra fields and its trace as one line of JSON."""

    def __init__(self, fields: Callable[[], Mapping[str, Any]] = _no_fields) -> None:
        """``fields`` says what else is true at that moment: which worker, which job."""
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def write_json_lines(
    *, level: int = logging.INFO, fields: Callable[[], Mapping[str, Any]] = _no_fields
) -> None:
    """Send every log of this process from ``level`` on to stderr as JSON lines. Call once."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
