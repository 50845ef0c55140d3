"""Buckets of an object store that speaks S3: Amazon's, MinIO, R2, Ceph; and Supabase's.

A bucket is named after the job type. S3 allows no underscore in a bucket's name, so that
``sdxl_image_fast`` is the bucket ``sdxl-image-fast`` there; Supabase's keep the name as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from ourvidz.core.errors import IllegalState, NotFound, StorageFailed
from ourvidz.storage.faults import (
    code_of,
    is_passing,
    status_of,
    storage_errors_as_ours,
    unreadable_source,
)
from ourvidz.storage.keys import check_bucket, check_key, check_name
from ourvidz.storage.presign import Credentials, presign_get
from ourvidz.storage.reading import list_folder, open_object, stat_object
from ourvidz.storage.store import Opened, StoredObject
from ourvidz.storage.urls import check_expiry, content_disposition

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Config

PART_BYTES = 8 * 2**20  # files above this go up in parts of this size
_MAX_URL_S = 604_800  # S3's own limit
_UPLOADS_AT_ONCE = 4  # more would time out on a slow line
_NOT_IMPLEMENTED = 501
_BUCKET_NAME = re.compile(r"<Name>([^<]{1,100})</Name>")
_ADMIN_URL_S = timedelta(minutes=5)
_HINT_MAKE_BUCKET = "create the bucket by hand, or give the access key the right to"
_HINT_TAKEN = "set storage.bucket_prefix to something of your own"
_OURS = "BucketAlreadyOwnedByYou"
_TAKEN = "BucketAlreadyExists"


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How long a failing object store is put up with. Seconds."""

    max_retries: int = 5
    first_wait_s: float = 0.2  # doubles, with jitter
    max_wait_s: float = 5.0
    request_timeout_s: float = 60.0  # of one request, a part of an upload for example
    connect_timeout_s: float = 5.0
    give_up_after_s: float = 120.0  # no request is tried again after this


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Place:
    """Where the buckets are. Without credentials the usual AWS sources are asked."""

    endpoint: str | None
    region: str
    credentials: Credentials | None
    bucket_prefix: str
    is_supabase: bool
    known_buckets: tuple[str, ...]  # the job types


class S3Storage:
    """``AssetStorage`` on an object store, path-style."""

    def __init__(
        self,
        place: S3Place,
        *,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Ask nothing yet; the first call does.

        Args:
            place: Where and as whom.
            retry: Patience with failures.
            sleep: Waits between tries of what obstore does not retry itself.
            now: Aware current time, for signatures.
        """
        self._place = place
        self._endpoint = (place.endpoint or f"https://s3.{place.region}.amazonaws.com").rstrip("/")
        self._retry = retry or RetryPolicy()
        self._sleep = sleep
        self._now = now
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, bool], S3Store] = {}
        self._has_conditional_put = not place.is_supabase  # Supabase ignores If-None-Match

    def put_file(self, bucket: str, key: str, path: Path, *, media_type: str) -> StoredObject:
        """Upload a file under a new key; above 8 MiB in parts. Makes the bucket if need be.

        Files in parts, and all on a store without conditional writes, rely on the check before:
        two writers of one key at the same moment are not told apart. Keys of attempts are unique.
        """
        store = self._store(bucket)
        check_key(key)
        try:
            num_bytes = path.stat().st_size
            content = path.read_bytes() if num_bytes <= PART_BYTES else None
        except OSError as error:
            raise unreadable_source(error) from error
        self._refuse_existing(bucket, key)
        attributes = {"Content-Type": media_type}
        with storage_errors_as_ours("keep", bucket, key):
            if content is None:
                self._in_bucket(
                    bucket,
                    lambda: obstore.put(
                        store,
                        key,
                        path,
                        attributes=attributes,
                        use_multipart=True,
                        chunk_size=PART_BYTES,
                        max_concurrency=_UPLOADS_AT_ONCE,
                    ),
                )
            else:
                self._in_bucket(bucket, lambda: self._put_new(bucket, key, content, attributes))
        return self.stat(bucket, key)

    def copy(self, bucket: str, key: str, to_key: str) -> StoredObject:
        """Copy within a bucket, replacing ``to_key``; the store does it by itself."""
        store = self._store(bucket)
        check_key(key)
        check_key(to_key)
        if key != to_key:
            with storage_errors_as_ours("copy", bucket, key):
                obstore.copy(store, key, to_key)
        return self.stat(bucket, to_key)

    def open(self, bucket: str, key: str, *, start: int = 0, end: int | None = None) -> Opened:
        """Read an object, or bytes ``start`` to ``end`` (exclusive) of it.

        Raises:
            InvalidRequest: an empty range, or one that begins at or beyond the object's end.
        """
        check_key(key)
        return open_object(self._store(bucket), bucket, key, start=start, end=end)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Return an object's facts."""
        check_key(key)
        return stat_object(self._store(bucket), bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        """Delete. Idempotent."""
        store = self._store(bucket, retries=False)
        check_key(key)
        try:
            with storage_errors_as_ours("delete", bucket, key):
                self._patiently(lambda: obstore.delete(store, key))
        except NotFound:
            return

    def list_objects(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects in the folder ``prefix`` and below; all of the bucket if empty."""
        try:
            yield from list_folder(self._store(bucket), bucket, prefix=prefix)
        except NotFound:
            return  # no such bucket yet

    def buckets(self) -> tuple[str, ...]:
        """Return the buckets of job types that exist; no other bucket of the same account."""
        known = {self._remote_name(name): name for name in self._place.known_buckets}
        try:
            found = set(_BUCKET_NAME.findall(self._admin("GET", "", "list", "its buckets")))
        except StorageFailed:
            # The key may not list the account's buckets: ask for each by itself.
            return tuple(sorted(name for name in known.values() if self._exists(name)))
        return tuple(sorted(name for remote, name in known.items() if remote in found))

    def signed_url(self, bucket: str, key: str, *, expires_s: int, name: str | None = None) -> str:
        """Return the store's own presigned URL, valid for ``expires_s`` (at most 7 days).

        ``name`` needs the access key in the settings or in AWS_ACCESS_KEY_ID; with credentials
        from elsewhere (an instance's role) the URL comes without it.
        """
        store = self._store(bucket)
        check_key(key)
        check_name(name)
        expires_s = min(check_expiry(expires_s), _MAX_URL_S)
        credentials = self._place.credentials or _environment_credentials()
        if name is None or credentials is None:
            with storage_errors_as_ours("sign", bucket, key):
                return obstore.sign(store, "GET", key, timedelta(seconds=expires_s))
        remote = self._remote_name(bucket)
        return presign_get(
            f"{self._endpoint}/{quote(remote)}/{quote(key)}",
            credentials=credentials,
            region=self._place.region,
            now=self._now(),
            expires_s=expires_s,
            query={"response-content-disposition": content_disposition(name)},
        )

    def used_bytes(self) -> int | None:
        """Return None: an object store can't say without listing everything."""
        return None

    def _remote_name(self, bucket: str) -> str:
        if not self._place.is_supabase:
            # One to one: a hyphen of one's own becomes the other character that S3 allows.
            bucket = bucket.replace("-", ".").replace("_", "-").lower()
        return f"{self._place.bucket_prefix}{bucket}"

    def _store(self, bucket: str, *, retries: bool = True) -> S3Store:
        check_bucket(bucket)
        with self._lock:
            known = self._stores.get((bucket, retries))
            if known is None:
                known = self._connect(self._remote_name(bucket), retries=retries)
                self._stores[bucket, retries] = known
            return known

    def _connect(
        self, remote: str, *, retries: bool = True, virtual_endpoint: str | None = None
    ) -> S3Store:
        endpoint = virtual_endpoint or self._endpoint
        config: S3Config = {}
        if self._place.credentials is not None:
            config["access_key_id"] = self._place.credentials.access_key_id
            config["secret_access_key"] = self._place.credentials.secret_access_key
            if self._place.credentials.session_token:
                config["session_token"] = self._place.credentials.session_token
        return S3Store(
            remote,
            endpoint=endpoint,
            # The AWS_ENDPOINT_URL_S3 of another program must not redirect ours.
            aws_endpoint_url_s3=endpoint,
            region=self._place.region,
            virtual_hosted_style_request=virtual_endpoint is not None,
            disable_bulk_delete=True,  # not every store knows it
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=self._retry.connect_timeout_s),
                "read_timeout": timedelta(seconds=self._retry.request_timeout_s),
                # Of a whole read, however large and however slow its reader.
                "timeout": timedelta(hours=6),
            },
            retry_config=_retry_config(self._retry) if retries else {"max_retries": 0},
            config=config,
        )

    def _refuse_existing(self, bucket: str, key: str) -> None:
        try:
            self.stat(bucket, key)
        except NotFound:
            return
        except StorageFailed as error:
            # Without the right to list, S3 says 403 of a key that does not exist.
            if error.__cause__ is None or status_of(error.__cause__) != 403:
                raise
            return
        raise IllegalState(f"The storage holds {bucket}/{key} already; it is never written again.")

    def _put_new(self, bucket: str, key: str, content: bytes, attributes: dict[str, str]) -> None:
        """Write unless the key exists."""
        if self._has_conditional_put:
            try:
                self._put_if_new(bucket, key, content, attributes)
                return
            except BaseError as error:
                if status_of(error) != _NOT_IMPLEMENTED:
                    raise
                self._has_conditional_put = False
        obstore.put(self._store(bucket), key, content, attributes=attributes, use_multipart=False)

    def _put_if_new(
        self, bucket: str, key: str, content: bytes, attributes: dict[str, str]
    ) -> None:
        # A try without an answer may be the one that wrote what the next try finds.
        is_first = True
        store = self._store(bucket, retries=False)

        def put() -> None:
            nonlocal is_first
            was_first, is_first = is_first, False
            try:
                obstore.put(store, key, content, attributes=attributes, mode="create")
            except AlreadyExistsError:
                if was_first or not self._holds(bucket, key, content):
                    raise

        self._patiently(put)

    def _patiently(self, call: Callable[[], object]) -> None:
        """Try again what obstore does not: conditional writes and deletions that timed out."""
        for wait_s in self._waits():
            try:
                call()
                return
            except BaseError as error:
                if wait_s is None or not is_passing(error):
                    raise
                self._sleep(wait_s)

    def _holds(self, bucket: str, key: str, content: bytes) -> bool:
        """Whether an object is exactly this content."""
        found = obstore.get(self._store(bucket), key)
        if found.meta["size"] != len(content):
            return False
        digest = hashlib.sha256(found.bytes()).digest()
        return digest == hashlib.sha256(content).digest()

    def _waits(self) -> Iterator[float | None]:
        """Yield how long to wait after each try; None after the last."""
        started, wait_s = time.monotonic(), self._retry.first_wait_s
        for _ in range(self._retry.max_retries):
            if time.monotonic() - started > self._retry.give_up_after_s:
                break
            yield wait_s
            wait_s = min(wait_s * 2, self._retry.max_wait_s)
        yield None

    def _in_bucket(self, bucket: str, put: Callable[[], object]) -> None:
        """Run an upload; where the bucket is missing, make it and run it again."""
        try:
            put()
        except FileNotFoundError as error:
            if code_of(error) not in {"NoSuchBucket", None}:
                raise
            self._make_bucket(bucket)
            put()

    def _make_bucket(self, bucket: str) -> None:
        remote = self._remote_name(bucket)
        body = None
        if self._place.endpoint is None and self._place.region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{self._place.region}</LocationConstraint>"
                "</CreateBucketConfiguration>"
            )
        self._admin("PUT", f"/{quote(remote)}", "make", f"the bucket {remote}", body=body)

    def _exists(self, bucket: str) -> bool:
        try:
            with storage_errors_as_ours("list", bucket):
                obstore.list_with_delimiter(self._store(bucket))
        except NotFound:
            return False
        return True

    def _admin(
        self, method: str, path: str, verb: str, what: str, *, body: str | None = None
    ) -> str:
        """Make a request about buckets, which obstore has no call for; it signs the address."""
        signer = self._connect("unused", virtual_endpoint=f"{self._endpoint}{path}")
        status, text = 0, ""
        for wait_s in self._waits():
            with storage_errors_as_ours(verb, what):
                url = obstore.sign(signer, "PUT" if method == "PUT" else "GET", "", _ADMIN_URL_S)
            try:
                answer = httpx.request(
                    method,
                    url,
                    content=body,
                    timeout=httpx.Timeout(
                        self._retry.request_timeout_s, connect=self._retry.connect_timeout_s
                    ),
                )
                status, text = answer.status_code, answer.text
            except httpx.HTTPError:
                status, text = 0, ""
            is_final = 0 < status < 500 or status == _NOT_IMPLEMENTED
            if is_final or wait_s is None:
                break
            self._sleep(wait_s)
        if 200 <= status < 300 or f"<Code>{_OURS}<" in text:
            return text
        raise _admin_failure(verb, what, status, text)


def _admin_failure(verb: str, what: str, status: int, text: str) -> StorageFailed:
    if not status:
        return StorageFailed(
            f"The storage can't {verb} {what}: it can't be reached.",
            hint="check storage.endpoint and the network",
        )
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    code = found[1] if found else ""
    hint = _HINT_TAKEN if code == _TAKEN else _HINT_MAKE_BUCKET
    return StorageFailed(
        f"The storage can't {verb} {what}: it answered {f'{status} {code}'.strip()}.", hint=hint
    )


def _environment_credentials() -> Credentials | None:
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    return Credentials(
        access_key_id=key,
        secret_access_key=secret,
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
    )


def _retry_config(retry: RetryPolicy) -> RetryConfig:
    return {
        "max_retries": retry.max_retries,
        "retry_timeout": timedelta(seconds=retry.give_up_after_s),
        "backoff": {
            "init_backoff": timedelta(seconds=retry.first_wait_s),
            "max_backoff": timedelta(seconds=retry.max_wait_s),
            "base": 2,
        },
    }
