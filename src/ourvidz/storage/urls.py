"""Signed URLs of files that this server keeps itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from ourvidz.core.errors import Forbidden, InvalidRequest
from ourvidz.storage.files import flush_folder, place_new
from ourvidz.storage.keys import check_bucket, check_key, check_name

FILES_PATH = "/files"

_SECRET_BYTES = 32
_FILES = "files-v1"  # what a signature is for; other purposes have other names
_HINT_NEW_LINK = "ask for the asset again to get a fresh link"
_MAX_EXPIRES_CHARS = 12


class UrlSigner:
    """Makes and checks ``/files/{bucket}/{key}?expires=UNIX&signature=HEX[&name=...]``.

    The signature (HMAC-SHA256) covers bucket, key, expiry and name: none can be changed.
    """

    def __init__(self, secret: bytes, *, now: Callable[[], float] = time.time) -> None:
        """``now`` gives Unix seconds."""
        if len(secret) < _SECRET_BYTES:
            raise ValueError("the secret is too short")
        self._secret = secret
        self._now = now

    def sign(self, bucket: str, key: str, *, expires_s: int, name: str | None = None) -> str:
        """Return a path with query that reads one file for ``expires_s`` seconds.

        Raises:
            InvalidRequest: a bucket, key or name that can't be, or ``expires_s`` below 1.
        """
        check_bucket(bucket)
        check_key(key)
        check_name(name)
        check_expiry(expires_s)
        expires = int(self._now()) + expires_s
        query = {"expires": str(expires), "signature": self._signature(bucket, key, expires, name)}
        if name is not None:
            query["name"] = name
        return f"{FILES_PATH}/{quote(bucket)}/{quote(key)}?{urlencode(query, quote_via=quote)}"

    def verify(
        self, bucket: str, key: str, *, expires: str, signature: str, name: str | None = None
    ) -> None:
        """Return if ``sign`` made this, and it has not expired; values as the query holds them.

        Raises:
            Forbidden: altered, expired or not made here.
        """
        self._check([_FILES, bucket, key], [name], expires=expires, signature=signature)

    def sign_text(self, purpose: str, text: str, *, expires_s: int) -> dict[str, str]:
        """Return the query values ``expires`` and ``signature`` of anything else than a file.

        Raises:
            InvalidRequest: ``expires_s`` below 1.
        """
        check_expiry(expires_s)
        expires = int(self._now()) + expires_s
        return {"expires": str(expires), "signature": self._digest([purpose, text, expires])}

    def verify_text(self, purpose: str, text: str, *, expires: str, signature: str) -> None:
        """Return if ``sign_text`` made this for ``purpose``, and it has not expired.

        Raises:
            Forbidden: altered, expired or not made here.
        """
        self._check([purpose, text], [], expires=expires, signature=signature)

    def _check(
        self,
        before: list[str | None],
        after: list[str | None],
        *,
        expires: str,
        signature: str,
    ) -> None:
        is_number = expires.isascii() and expires.isdigit() and len(expires) <= _MAX_EXPIRES_CHARS
        # A number that can't be is compared too, so that time tells nothing.
        moment = int(expires) if is_number else 0
        wanted = self._digest([*before, moment, *after])
        is_ours = hmac.compare_digest(wanted.encode(), signature.encode(errors="replace"))
        if not (is_ours and is_number and expires == str(moment)):
            raise Forbidden("The link's signature does not match.", hint=_HINT_NEW_LINK)
        if moment <= self._now():
            raise Forbidden("The link has expired.", hint=_HINT_NEW_LINK)

    def _signature(self, bucket: str, key: str, expires: int, name: str | None) -> str:
        return self._digest([_FILES, bucket, key, expires, name])

    def _digest(self, fields: list[str | int | None]) -> str:
        # JSON keeps the fields apart: no two sets of values give the same text.
        text = json.dumps(fields)
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def check_expiry(expires_s: int) -> int:
    """Return ``expires_s``. Raises InvalidRequest below 1 second."""
    if expires_s < 1:
        raise InvalidRequest(f"expires_s is {expires_s}, the least is 1.", param="expires_s")
    return expires_s


def content_disposition(name: str) -> str:
    """Return the header that makes a browser save a file as ``name`` (RFC 6266).

    Raises:
        InvalidRequest: a name with a slash or control character.
    """
    check_name(name)
    plain = "".join(c if c.isascii() and c not in '"%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def load_secret(path: Path) -> bytes:
    """Return the secret kept in a file; the first caller of several makes it, mode 0600.

    Raises:
        OSError: the file can't be read or made.
        ValueError: it holds something else.
    """
    if not path.exists():
        _make_secret(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    if len(secret) < _SECRET_BYTES:
        raise ValueError("the file is too short")
    return secret


def _make_secret(path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            place_new(partial, path)  # unlike a rename it never replaces another process's secret
        except FileExistsError:
            return
        flush_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
