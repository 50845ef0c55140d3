"""S3 alone: presigned URLs, bucket names, retries and what is said when patience ends."""

from __future__ import annotations

import hashlib
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx
import obstore
import pytest
from obstore.store import S3Store

from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.core.errors import (
    ConfigInvalid,
    DiskFull,
    IllegalState,
    NotFound,
    OurVidzError,
    StorageFailed,
)
from ourvidz.storage.open import open_storage, s3_place
from ourvidz.storage.presign import Credentials, presign_get
from ourvidz.storage.s3 import PART_BYTES, S3Storage
from tests.storage.conftest import QUICK, SECRET_KEY
from tests.storage.servers import Fault

if TYPE_CHECKING:
    from obstore.store import S3Config

BUCKET = "video_fast"
KEY = "job_01/1/video.mp4"


def _put(storage, path, key=KEY):
    return storage.put_file(BUCKET, key, path, media_type="video/mp4")


def _read(storage, key=KEY) -> bytes:
    return b"".join(storage.open(BUCKET, key).chunks)


@pytest.fixture
def s3(moto, settings_of):
    return open_storage(settings_of("s3", moto.url))


# Presigned URLs


@pytest.mark.parametrize("kind", ["s3", "supabase"])
def test_a_presigned_url_is_fetched(moto, settings_of, a_file, kind):
    storage = open_storage(settings_of(kind, moto.url))
    _put(storage, a_file(b"frames"))
    answer = httpx.get(storage.signed_url(BUCKET, KEY, expires_s=60))
    assert (answer.status_code, answer.content) == (200, b"frames")
    assert answer.headers["content-type"] == "video/mp4"
    named = httpx.get(storage.signed_url(BUCKET, KEY, expires_s=60, name="My vidéo.mp4"))
    assert (named.status_code, named.content) == (200, b"frames")
    assert named.headers["content-disposition"] == (
        "attachment; filename=\"My vid_o.mp4\"; filename*=UTF-8''My%20vid%C3%A9o.mp4"
    )


def test_a_url_works_for_seven_days_at_most(s3):
    for name in (None, "a.mp4"):
        query = parse_qs(urlsplit(s3.signed_url(BUCKET, KEY, expires_s=10**9, name=name)).query)
        assert query["X-Amz-Expires"] == ["604800"]
        assert SECRET_KEY not in str(query)


def test_our_signature_is_the_one_of_amazons_documentation():
    # "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", its example.
    url = presign_get(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        credentials=Credentials(
            access_key_id="AKIAIOSFODNN7EXAMPLE",
            secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        region="us-east-1",
        now=datetime(2013, 5, 24, tzinfo=UTC),
        expires_s=86400,
    )
    assert url.endswith(
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize("session_token", [None, "temporary/+="])
def test_our_signature_is_obstores(session_token):
    credentials = Credentials(
        access_key_id="AKID", secret_access_key=SECRET_KEY, session_token=session_token
    )
    config: S3Config = {
        "endpoint": "https://p.storage.supabase.co/storage/v1/s3",
        "aws_endpoint_url_s3": "https://p.storage.supabase.co/storage/v1/s3",
        "region": "eu-west-1",
        "access_key_id": "AKID",
        "secret_access_key": SECRET_KEY,
    }
    if session_token is not None:
        config["session_token"] = session_token
    store = S3Store("video_fast", config=config)
    theirs = obstore.sign(store, "GET", KEY, timedelta(seconds=77))
    query = parse_qs(urlsplit(theirs).query)
    moment = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = presign_get(
        f"https://p.storage.supabase.co/storage/v1/s3/video_fast/{KEY}",
        credentials=credentials,
        region="eu-west-1",
        now=moment,
        expires_s=77,
    )
    assert urlsplit(ours)._replace(query="") == urlsplit(theirs)._replace(query="")
    assert parse_qs(urlsplit(ours).query) == query


# Buckets


def test_s3_bucket_names_hold_no_underscore_and_supabases_do(proxy, settings_of, a_file):
    for kind, expected in (("s3", "video-fast"), ("supabase", "video_fast")):
        settings = settings_of(kind, proxy.url)
        storage = open_storage(settings)
        _put(storage, a_file())
        assert proxy.count("PUT", f"/{settings.storage.bucket_prefix}{expected}/{KEY}") >= 1
        assert storage.buckets() == (BUCKET,)


def test_a_bucket_is_made_once(proxy, faulty, a_file):
    _put(faulty, a_file())
    _put(faulty, a_file(), key="job_01/1/again.mp4")
    assert proxy.count("PUT", "/?X-Amz") == 1


def test_large_files_make_their_bucket_too(proxy, faulty, a_file):
    content = b"x" * (PART_BYTES + 1)
    assert _put(faulty, a_file(content)).num_bytes == len(content)
    assert proxy.count("PUT", "partNumber=") == 2


def test_a_bucket_that_may_not_be_made_is_named_with_what_to_do(proxy, faulty, a_file):
    proxy.fail(Fault(how="answer", method="PUT", path="/?X-Amz", status=403, code="AccessDenied"))
    with pytest.raises(StorageFailed, match=r"make the bucket \S*video-fast: .*403") as caught:
        _put(faulty, a_file())
    assert "create the bucket" in (caught.value.hint or "")


def test_a_bucket_of_somebody_else_asks_for_a_prefix(proxy, faulty, a_file):
    proxy.fail(
        Fault(how="answer", method="PUT", path="/?X-Amz", status=409, code="BucketAlreadyExists")
    )
    with pytest.raises(StorageFailed) as caught:
        _put(faulty, a_file())
    assert "bucket_prefix" in (caught.value.hint or "")


def test_a_bucket_made_by_another_worker_meanwhile_is_fine(proxy, faulty, a_file):
    proxy.fail(
        Fault(
            how="answer_late", method="PUT", path="/?X-Amz", status=409,
            code="BucketAlreadyOwnedByYou",
        )
    )  # fmt: skip
    assert _put(faulty, a_file()).num_bytes == 10


def test_buckets_are_found_without_the_right_to_list_them(proxy, faulty, a_file):
    _put(faulty, a_file())
    proxy.fail(Fault(how="answer", method="GET", path="/?X-Amz", status=403, code="AccessDenied"))
    assert faulty.buckets() == (BUCKET,)
    assert not any(fault.times for fault in proxy.faults)


def test_foreign_buckets_are_not_ours(moto, settings_of, a_file):
    settings = settings_of("s3", moto.url)
    prefix = settings.storage.bucket_prefix
    httpx.put(f"{moto.url}/{prefix}backups").raise_for_status()
    storage = open_storage(settings)
    _put(storage, a_file())
    assert storage.buckets() == (BUCKET,)


# Failures that pass


@pytest.mark.parametrize("how", ["answer", "drop", pytest.param("hang", marks=pytest.mark.slow)])
def test_what_fails_twice_then_works_works(proxy, faulty, a_file, how):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    calls = {
        "PUT": lambda: _put(faulty, a_file(b"frames")),
        "HEAD": lambda: faulty.stat(BUCKET, KEY),
        "GET": lambda: _read(faulty),
        "DELETE": lambda: faulty.delete(BUCKET, "job_01/1/first.mp4"),
    }
    for method, call in calls.items():
        before = proxy.count(method)
        proxy.fail(Fault(how=how, method=method, times=2))
        call()
        assert proxy.count(method) == before + 3
    proxy.fail(Fault(how=how, method="GET", times=2))
    assert [o.key for o in faulty.list_objects(BUCKET)] == [KEY]
    proxy.fail(Fault(how=how, method="PUT", times=2))
    faulty.copy(BUCKET, KEY, "user/v.mp4")
    proxy.fail(Fault(how=how, method="GET", times=2))
    assert faulty.buckets() == (BUCKET,)
    assert _read(faulty, "user/v.mp4") == b"frames"


@pytest.mark.parametrize("how", ["answer_late", "drop_late"])
def test_a_put_that_was_done_but_not_answered_is_no_conflict(proxy, faulty, a_file, how):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    proxy.fail(Fault(how=how, method="PUT", path=KEY))
    assert _put(faulty, a_file(b"frames")).num_bytes == 6
    assert _read(faulty) == b"frames"


def test_a_key_taken_between_two_tries_is_a_conflict(proxy, faulty, a_file, settings_of):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    sneaky = a_file(b"other!", "other.bin")

    def write_first() -> None:
        remote = next(path for method, path in proxy.seen if method == "PUT" and KEY in path)
        httpx.put(f"{proxy.upstream.url}{remote}", content=sneaky.read_bytes()).raise_for_status()

    proxy.fail(Fault(how="answer", method="PUT", path=KEY, before=write_first))
    with pytest.raises(IllegalState):
        _put(faulty, a_file(b"frames"))
    assert _read(faulty) == b"other!"


def test_the_check_before_is_not_the_only_guard(proxy, faulty, a_file):
    # A second writer comes after the check: the write itself must be refused.
    _put(faulty, a_file(), key="job_01/1/first.mp4")

    def write_first() -> None:
        remote = next(path for method, path in proxy.seen if method == "HEAD" and KEY in path)
        httpx.put(f"{proxy.upstream.url}{remote}", content=b"other!").raise_for_status()

    proxy.fail(
        Fault(how="answer", method="HEAD", path=KEY, status=404, code="", before=write_first)
    )
    with pytest.raises(IllegalState):
        _put(faulty, a_file(b"frames"))
    assert _read(faulty) == b"other!"


def test_a_store_without_conditional_writes_still_takes_files(proxy, faulty, a_file):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    proxy.fail(
        Fault(
            how="answer", method="PUT", header="If-None-Match", status=501, code="NotImplemented",
            times=99,
        )
    )  # fmt: skip
    assert _put(faulty, a_file(b"frames")).num_bytes == 6
    with pytest.raises(IllegalState):
        _put(faulty, a_file(b"frames"))
    assert sum(fault.times for fault in proxy.faults) == 98  # asked once, then known


def test_keys_that_may_not_list_can_still_write(proxy, faulty, a_file):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    proxy.fail(Fault(how="answer", method="HEAD", path=KEY, status=403, code="AccessDenied"))
    assert _put(faulty, a_file(b"frames")).num_bytes == 6


def test_a_download_cut_half_way_goes_on(proxy, faulty, a_file):
    content = bytes(range(256)) * 8192
    _put(faulty, a_file(content))
    proxy.fail(Fault(how="cut", method="GET", path=KEY))
    assert hashlib.sha256(_read(faulty)).digest() == hashlib.sha256(content).digest()


def test_a_part_that_fails_once_is_sent_again(proxy, faulty, a_file):
    content = b"p" * (PART_BYTES + 5)
    proxy.fail(Fault(how="answer", method="PUT", path="partNumber=1", times=2, status=500))
    assert _put(faulty, a_file(content)).num_bytes == len(content)
    assert _read(faulty) == content


# Failures that stay


@pytest.mark.parametrize(
    ("how", "reason"), [("answer", "503 SlowDown"), ("drop", "reached"), ("hang", "in time")]
)
def test_what_keeps_failing_ends_in_a_bounded_number_of_tries(
    proxy, faulty, a_file, tmp_path, how, reason
):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    proxy.fail(Fault(how=how, method="PUT", path=KEY, times=99))
    with pytest.raises(StorageFailed, match=reason) as caught:
        _put(faulty, a_file(b"frames"))
    assert caught.value.is_retryable
    _tells_nothing(caught.value, tmp_path)
    assert proxy.count("PUT", KEY) == QUICK.max_retries + 1
    proxy.faults.clear()
    with pytest.raises(NotFound):
        faulty.stat(BUCKET, KEY)


def test_half_an_upload_in_parts_is_never_visible(proxy, faulty, a_file):
    proxy.fail(Fault(how="answer", method="PUT", path="partNumber=2", times=99, status=500))
    with pytest.raises(StorageFailed):
        _put(faulty, a_file(b"p" * (PART_BYTES + 5)))
    proxy.faults.clear()
    assert proxy.count("DELETE", "uploadId=") == 1  # the parts that had arrived
    assert list(faulty.list_objects(BUCKET)) == []
    with pytest.raises(NotFound):
        faulty.open(BUCKET, KEY)


@pytest.mark.parametrize(
    ("status", "code", "expected", "hint"),
    [
        (403, "AccessDenied", StorageFailed, "access_key_id"),
        (403, "SignatureDoesNotMatch", StorageFailed, "access_key_id"),
        (401, "InvalidAccessKeyId", StorageFailed, "access_key_id"),
        (413, "EntityTooLarge", StorageFailed, "size limit"),
        (400, "EntityTooLarge", StorageFailed, "size limit"),
        (507, "XMinioStorageFull", DiskFull, "keep_bytes"),
        (400, "QuotaExceeded", DiskFull, "keep_bytes"),
    ],
)
def test_what_no_retry_mends_is_said_at_once(proxy, faulty, a_file, status, code, expected, hint):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    proxy.fail(Fault(how="answer", method="PUT", path=KEY, times=99, status=status, code=code))
    with pytest.raises(expected) as caught:
        _put(faulty, a_file(b"frames"))
    assert proxy.count("PUT", KEY) == 1
    assert hint in (caught.value.hint or "")


def test_nobody_listening_is_said(settings_of, a_file, tmp_path):
    storage = S3Storage(s3_place(settings_of("s3", "http://127.0.0.1:1")), retry=QUICK)
    for call in (
        lambda: _put(storage, a_file()),
        lambda: storage.stat(BUCKET, KEY),
        lambda: storage.open(BUCKET, KEY),
        lambda: storage.delete(BUCKET, KEY),
        lambda: storage.copy(BUCKET, KEY, "a"),
        lambda: list(storage.list_objects(BUCKET)),
        storage.buckets,
    ):
        with pytest.raises(StorageFailed, match="can't be reached") as caught:
            call()
        _tells_nothing(caught.value, tmp_path)


def test_messages_hold_no_secret_path_or_address(proxy, faulty, a_file, tmp_path):
    _put(faulty, a_file(), key="job_01/1/first.mp4")
    for how in ("answer", "drop"):
        proxy.fail(Fault(how=how, path=KEY, times=5))
        with pytest.raises(StorageFailed) as caught:
            faulty.open(BUCKET, KEY)
        _tells_nothing(caught.value, tmp_path)
        proxy.faults.clear()


def _tells_nothing(error: OurVidzError, tmp_path) -> None:
    said = str(error.to_dict())
    assert "127.0.0.1" not in said
    assert str(tmp_path) not in said
    assert SECRET_KEY not in "".join(traceback.format_exception(error))
    assert SECRET_KEY not in repr(error)


# Settings


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"kind": "supabase"}, "storage.endpoint"),
        ({"kind": "s3", "access_key_id": "a"}, "storage.secret_access_key"),
        ({"kind": "s3", "secret_access_key": "s"}, "storage.access_key_id"),
    ],
)
def test_half_a_configuration_is_refused(tmp_path, values, param):
    with pytest.raises(ConfigInvalid) as caught:
        open_storage(Settings(data_dir=tmp_path, storage=StorageConfig(**values)))
    assert caught.value.param == param


def test_secrets_stay_out_of_reprs(settings_of):
    place = s3_place(settings_of("s3", "http://127.0.0.1:1"))
    assert SECRET_KEY not in repr(place)
    assert SECRET_KEY not in repr(S3Storage(place).__dict__)
