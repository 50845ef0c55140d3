"""What went wrong in a storage, in our own words: never a path, an address or a secret."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Generator

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from ourvidz.core.errors import (
    DiskFull,
    IllegalState,
    InvalidRequest,
    NotFound,
    OurVidzError,
    StorageFailed,
)

# obstore raises one class for most failures; what tells them apart stands in its text.
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_STATUS = 507
_FULL_CODES = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
_HINT_FULL = "free space, or set storage.keep_days or storage.keep_bytes"
_HINT_DENIED = "check storage.access_key_id and storage.secret_access_key, and what they may do"
_HINT_REACH = "check storage.endpoint and the network"
_HINT_SIZE = "raise the size limit of files in the storage's own settings"
_REQUEST_TIMEOUT = 408
_TOO_MANY = 429
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an obstore error, where it is about one."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def code_of(error: BaseException) -> str | None:
    """Return S3's own word for an error (``NoSuchBucket``), where the answer held one."""
    found = _CODE.search(str(error))
    return found[1] if found else None


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a moment later."""
    status = status_of(error)
    if status is not None:
        is_server_error = status >= _SERVER_ERROR and status not in {_NOT_IMPLEMENTED, _FULL_STATUS}
        return is_server_error or status in {_REQUEST_TIMEOUT, _TOO_MANY}
    return isinstance(error, BaseError) and "HTTP error" in str(error)


@contextlib.contextmanager
def storage_errors_as_ours(verb: str, bucket: str, key: str = "") -> Generator[None]:
    """Raise our errors in place of obstore's and the operating system's.

    Args:
        verb: What was tried, as in "can't <verb> bucket/key".
        bucket: Where.
        key: And what; empty for the bucket itself.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        raise translate(error, verb, f"{bucket}/{key}" if key else bucket) from error


def translate(error: Exception, verb: str, what: str) -> OurVidzError:
    """Return what to raise in place of an obstore error or ``OSError``."""
    text = str(error)
    status, code, number = status_of(error), code_of(error), _errno(error, text)
    if number in _FULL or status == _FULL_STATUS or code in _FULL_CODES:
        return DiskFull(f"The storage has no room to {verb} {what}.", hint=_HINT_FULL)
    if isinstance(error, AlreadyExistsError | FileExistsError):
        return IllegalState(f"The storage holds {what} already; it is never written again.")
    if isinstance(error, FileNotFoundError) or status == 404:
        return NotFound(f"The storage holds no {what}.")
    if status == 416 or "range was invalid" in text:
        return InvalidRequest(f"The range lies outside of {what}.", param="range")
    reason, hint = _reason(error, text, status, code, number)
    return StorageFailed(f"The storage can't {verb} {what}: {reason}.", hint=hint)


def no_room(verb: str, what: str) -> DiskFull:
    """Return the error for a disk that is known to be too full beforehand."""
    return DiskFull(f"The storage has no room to {verb} {what}.", hint=_HINT_FULL)


def unreadable_source(error: OSError) -> StorageFailed:
    """Return the error for a file to be stored that is gone or can't be read."""
    reason = os.strerror(error.errno or errno.EIO).lower()
    return StorageFailed(f"The file to be stored can't be read: {reason}.")


def _errno(error: Exception, text: str) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(text)
    return int(found[1]) if found else None


def _reason(
    error: Exception, text: str, status: int | None, code: str | None, number: int | None
) -> tuple[str, str | None]:
    """Return why, in a few words, and what to do about it."""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {401, 403}:
        return f"access was denied ({code or status or 'no rights'})", _HINT_DENIED
    if status == 413 or code == "EntityTooLarge":
        return "the file is larger than the storage takes", _HINT_SIZE
    if status is not None:
        return f"it answered {status}{f' {code}' if code else ''}", None
    if "kind: Timeout" in text or "TimedOut" in text:
        return "it did not answer in time", _HINT_REACH
    if "HTTP error" in text:
        return "it can't be reached", _HINT_REACH
    if number is not None:
        return os.strerror(number).lower(), None
    return "it failed", None
