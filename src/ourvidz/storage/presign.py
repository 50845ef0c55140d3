"""Presigned GET with a file name (AWS Signature Version 4, query form).

obstore signs too, but takes no further query, and S3 refuses a query that was not signed.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """An S3 key pair; ``session_token`` where it is a temporary one."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def presign_get(
    url: str,
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
    expires_s: int,
    query: dict[str, str] | None = None,
) -> str:
    """Return ``url`` with ``query`` and a signature over both.

    Args:
        url: Address of the object, its path percent-encoded already, without a query.
        credentials: Who signs.
        region: S3 region.
        now: The time of signing, in UTC.
        expires_s: How long it works; S3 takes 1 to 604,800 seconds.
        query: Further parameters, such as ``response-content-disposition``.
    """
    address = urlsplit(url)
    day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/{region}/s3/aws4_request"
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    encoded = "&".join(
        f"{_encode(name)}={_encode(parameters[name])}" for name in sorted(parameters)
    )
    request = "\n".join(
        ["GET", address.path, encoded, f"host:{address.netloc}", "", "host", "UNSIGNED-PAYLOAD"]
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, "\n".join(["AWS4-HMAC-SHA256", moment, scope, digest])).hex()
    return f"{url}?{encoded}&X-Amz-Signature={signature}"


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
