"""Ids: sortable by time, unique without a server."""

from __future__ import annotations

import secrets
from datetime import datetime

# Crockford base 32: no I, L, O, U, so that ids survive being read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10  # 50 bits of milliseconds: enough until the year 37,000
_RANDOM_CHARS = 16  # 80 random bits, as ULID has


def new_job_id(now: datetime) -> str:
    """Return ``job_`` and 26 characters that sort by ``now``."""
    return new_id("job", now)


def new_id(prefix: str, now: datetime) -> str:
    """Return ``prefix_`` and 26 characters that sort by ``now`` (the ULID layout, lower case)."""
    millis = int(now.timestamp() * 1000)
    time_part = "".join(
        _ALPHABET[(millis >> (5 * shift)) & 31] for shift in reversed(range(_TIME_CHARS))
    )
    random_part = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return f"{prefix}_{time_part}{random_part}"
