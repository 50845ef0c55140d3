"""What every storage does, on a real folder and a real HTTP S3."""

from __future__ import annotations

import time

import pytest

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound, StorageFailed
from ourvidz.storage.store import attempt_prefix

BUCKET = "sdxl_image_fast"
KEY = "job_01/1/image-0.png"


def _read(storage, key=KEY, **span) -> bytes:
    return b"".join(storage.open(BUCKET, key, **span).chunks)


def _put(storage, path, key=KEY, media_type="image/png"):
    return storage.put_file(BUCKET, key, path, media_type=media_type)


def test_a_file_comes_back_as_it_went_in(storage, a_file):
    content = bytes(range(256)) * 3000  # several chunks
    before = time.time()
    stored = _put(storage, a_file(content))
    assert (stored.bucket, stored.key, stored.num_bytes) == (BUCKET, KEY, len(content))
    assert abs(stored.modified_at - before) < 120
    assert storage.stat(BUCKET, KEY) == stored
    opened = storage.open(BUCKET, KEY)
    assert (opened.num_bytes, opened.start, opened.end) == (len(content), 0, len(content))
    assert b"".join(opened.chunks) == content


def test_an_empty_file_is_a_file(storage, a_file):
    assert _put(storage, a_file(b"")).num_bytes == 0
    assert _read(storage) == b""
    with pytest.raises(InvalidRequest):
        storage.open(BUCKET, KEY, start=0, end=1)


def test_a_zombie_cannot_replace_what_exists(storage, a_file):
    _put(storage, a_file(b"published"))
    with pytest.raises(IllegalState) as caught:
        _put(storage, a_file(b"of a zombie"))
    assert KEY in caught.value.message
    assert _read(storage) == b"published"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 1, b"0"),
        (3, 7, b"3456"),
        (9, None, b"9"),
        (9, 10, b"9"),
        (4, 400, b"456789"),
    ],
)
def test_ranges_are_read_exactly(storage, a_file, start, end, expected):
    _put(storage, a_file())
    opened = storage.open(BUCKET, KEY, start=start, end=end)
    assert (opened.num_bytes, opened.start, opened.end) == (10, start, start + len(expected))
    assert b"".join(opened.chunks) == expected


@pytest.mark.parametrize(("start", "end"), [(-1, None), (3, 3), (5, 2), (10, None), (10, 20)])
def test_ranges_that_hold_nothing_are_refused(storage, a_file, start, end):
    _put(storage, a_file())
    with pytest.raises(InvalidRequest) as caught:
        storage.open(BUCKET, KEY, start=start, end=end)
    assert caught.value.param == "range"


def test_copy_replaces_and_leaves_the_source(storage, a_file):
    _put(storage, a_file(b"first"))
    _put(storage, a_file(b"the second"), key="job_01/2/image-0.png")
    storage.copy(BUCKET, KEY, "user-1/video.png")
    stored = storage.copy(BUCKET, "job_01/2/image-0.png", "user-1/video.png")
    assert (stored.key, stored.num_bytes) == ("user-1/video.png", 10)
    assert _read(storage, "user-1/video.png") == b"the second"
    assert _read(storage) == b"first"
    assert storage.copy(BUCKET, KEY, KEY).num_bytes == 5
    storage.delete(BUCKET, "job_01/2/image-0.png")
    assert _read(storage, "user-1/video.png") == b"the second"
    # The same again, as after a crash between copying and saying so.
    storage.copy(BUCKET, "user-1/video.png", "user-1/video.png")
    storage.copy(BUCKET, KEY, "user-1/again.png")
    storage.copy(BUCKET, KEY, "user-1/again.png")
    assert sorted(o.key for o in storage.list_objects(BUCKET)) == [
        KEY,
        "user-1/again.png",
        "user-1/video.png",
    ]


def test_what_is_not_there_is_not_found(storage, a_file):
    for _ in range(2):  # without the bucket, then with it
        for call in (
            lambda: storage.stat(BUCKET, "job_01/9/x"),
            lambda: storage.open(BUCKET, "job_01/9/x"),
            lambda: storage.open(BUCKET, "job_01"),  # a folder is no object
            lambda: storage.copy(BUCKET, "job_01/9/x", "job_01/9/y"),
        ):
            with pytest.raises(NotFound):
                call()
        _put(storage, a_file(), key=f"job_01/{time.time_ns()}/z")


def test_delete_is_idempotent(storage, a_file):
    storage.delete(BUCKET, KEY)
    _put(storage, a_file())
    storage.delete(BUCKET, KEY)
    storage.delete(BUCKET, KEY)
    assert list(storage.list_objects(BUCKET)) == []
    _put(storage, a_file(b"may be written again once gone"))


def test_listing_by_attempt_takes_no_other_attempt(storage, a_file):
    for key in ("job_01/1/a", "job_01/1/b/c", "job_01/10/a", "job_010/1/a", "user/a"):
        _put(storage, a_file(key.encode()), key=key)
    assert {o.key: o.num_bytes for o in storage.list_objects(BUCKET)} == {
        key: len(key)
        for key in ("job_01/1/a", "job_01/1/b/c", "job_01/10/a", "job_010/1/a", "user/a")
    }
    of_attempt = storage.list_objects(BUCKET, prefix=attempt_prefix("job_01", 1))
    assert sorted(o.key for o in of_attempt) == ["job_01/1/a", "job_01/1/b/c"]
    assert len(list(storage.list_objects(BUCKET, prefix="job_01/"))) == 3
    assert list(storage.list_objects("image_high")) == []


def test_buckets_are_named_after_job_types(storage, a_file):
    assert storage.buckets() == ()
    for bucket in ("image_high", BUCKET):
        storage.put_file(bucket, KEY, a_file(), media_type="image/png")
    assert storage.buckets() == ("image_high", BUCKET)


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "../x", "a/../b", "a/..", "..", ".", "a/./b", "a//b", "a/", "a\\b",
        "..\\x", "a\x00b", "a\nb", "a b", "a%2e%2e/b", "a#1", "a?b", ".staging/x", "a/.hidden",
        "ü", "x" * 201, "/".join(["x" * 150] * 8),
    ],
)  # fmt: skip
def test_keys_that_the_server_did_not_make_are_refused(storage, a_file, key):
    source = a_file()
    for call in (
        lambda: _put(storage, source, key=key),
        lambda: storage.open(BUCKET, key),
        lambda: storage.stat(BUCKET, key),
        lambda: storage.delete(BUCKET, key),
        lambda: storage.copy(BUCKET, key, "a"),
        lambda: storage.copy(BUCKET, "a", key),
        lambda: storage.signed_url(BUCKET, key, expires_s=60),
    ):
        with pytest.raises(InvalidRequest):
            call()
    assert storage.buckets() == ()


@pytest.mark.parametrize("bucket", ["", ".", "..", ".staging", "a/b", "../assets", "a b", "x" * 64])
def test_buckets_that_cannot_be_are_refused(storage, a_file, bucket):
    source = a_file()
    for call in (
        lambda: storage.put_file(bucket, KEY, source, media_type="image/png"),
        lambda: storage.open(bucket, KEY),
        lambda: storage.delete(bucket, KEY),
        lambda: list(storage.list_objects(bucket)),
        lambda: storage.signed_url(bucket, KEY, expires_s=60),
    ):
        with pytest.raises(InvalidRequest):
            call()


def test_bad_names_and_expiries_of_urls_are_refused(storage):
    for name in ("", "a/b", "a\\b", "a\r\nSet-Cookie: x", "x" * 201):
        with pytest.raises(InvalidRequest):
            storage.signed_url(BUCKET, KEY, expires_s=60, name=name)
    with pytest.raises(InvalidRequest):
        storage.signed_url(BUCKET, KEY, expires_s=0)


def test_a_source_that_is_gone_is_told_without_its_path(storage, tmp_path):
    with pytest.raises(StorageFailed) as caught:
        _put(storage, tmp_path / "gone.png")
    assert str(tmp_path) not in str(caught.value.to_dict())
    with pytest.raises(NotFound):
        storage.stat(BUCKET, KEY)


def test_large_files_arrive_whole(storage, a_file):
    content = b"".join(i.to_bytes(4, "big") for i in range(9 * 2**18))  # 9 MiB: two parts
    assert _put(storage, a_file(content), media_type="video/mp4").num_bytes == len(content)
    assert _read(storage) == content
    assert _read(storage, start=2**23 - 2, end=2**23 + 2) == content[2**23 - 2 : 2**23 + 2]
    with pytest.raises(IllegalState):
        _put(storage, a_file(content[:-1]))
