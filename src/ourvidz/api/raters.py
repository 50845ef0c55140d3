"""Who says something of an output, without his name."""

from __future__ import annotations

import hashlib

from ourvidz.api.auth import Principal

_LOCAL = "local"
_DIGEST_CHARS = 24


def rater_of(who: Principal, name: str | None = None) -> str:
    """Return who says something, by the key and a digest of the name it goes with."""
    owner = who.key_id or _LOCAL
    if not name:
        return owner
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    return f"{owner}:{digest[:_DIGEST_CHARS]}"
