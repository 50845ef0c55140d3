"""Signed URLs of this server, and the secret behind them."""

from __future__ import annotations

import re
import stat
import threading
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import Forbidden, InvalidRequest, StorageFailed
from ourvidz.storage.keys import check_key
from ourvidz.storage.open import open_signer, open_storage
from ourvidz.storage.urls import UrlSigner, content_disposition, load_secret

NOW = 1_800_000_000.0
SIGNER = UrlSigner(b"k" * 32, now=lambda: NOW)


def _parts(url: str) -> dict[str, str]:
    """A request's values, as a web server would hand them on."""
    address = urlsplit(url)
    _, files, bucket, key = unquote(address.path).split("/", 3)
    assert files == "files"
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    return {"bucket": bucket, "key": key, **query}


def _verify(signer: UrlSigner, parts: dict[str, str]) -> None:
    signer.verify(
        parts["bucket"],
        parts["key"],
        expires=parts["expires"],
        signature=parts["signature"],
        name=parts.get("name"),
    )


@pytest.mark.parametrize("name", [None, "My video – final & best?.mp4"])
def test_what_was_signed_verifies_until_it_expires(name):
    url = SIGNER.sign("image_high", "job_1/1/a~b=c.png", expires_s=60, name=name)
    assert re.fullmatch(
        r"/files/image_high/job_1/1/a~b(=|%3D)c\.png\?expires=1800000060&signature=[0-9a-f]{64}"
        r"(&name=\S+)?",
        url,
    )
    parts = _parts(url)
    assert parts.get("name") == name
    _verify(SIGNER, parts)
    _verify(UrlSigner(b"k" * 32, now=lambda: NOW + 59.9), parts)
    with pytest.raises(Forbidden, match="expired"):
        _verify(UrlSigner(b"k" * 32, now=lambda: NOW + 60), parts)


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "image_fast"},
        {"key": "job_1/1/b.png"},
        {"expires": "1800000061"},
        {"expires": "01800000060"},
        {"expires": " 1800000060"},
        {"expires": "1_800_000_060"},
        {"expires": "١٨٠٠٠٠٠٠٦٠"},
        {"expires": ""},
        {"expires": "-1"},
        {"expires": "9" * 5000},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ü" * 64},
        {"signature": "\udcff"},
        {"name": "other.png"},
        {"name": ""},
    ],
)
def test_anything_altered_is_refused(change):
    parts = _parts(SIGNER.sign("image_high", "job_1/1/a.png", expires_s=60, name="n.png"))
    with pytest.raises(Forbidden, match="does not match"):
        _verify(SIGNER, {**parts, **change})


def test_a_name_cannot_be_added_or_taken_away():
    without = _parts(SIGNER.sign("image_high", "job_1/1/a.png", expires_s=60))
    with pytest.raises(Forbidden):
        _verify(SIGNER, {**without, "name": "evil.html"})
    named = _parts(SIGNER.sign("image_high", "job_1/1/a.png", expires_s=60, name="a.png"))
    del named["name"]
    with pytest.raises(Forbidden):
        _verify(SIGNER, named)


def test_another_secret_does_not_verify():
    parts = _parts(SIGNER.sign("image_high", "job_1/1/a.png", expires_s=60))
    with pytest.raises(Forbidden):
        _verify(UrlSigner(b"j" * 32, now=lambda: NOW), parts)
    with pytest.raises(ValueError, match="short"):
        UrlSigner(b"")


@given(st.text(max_size=60))
def test_a_key_is_refused_or_stays_where_it_is_put(key):
    try:
        check_key(key)
    except InvalidRequest:
        return
    segments = key.split("/")
    assert all(s and s not in {".", ".."} and s.isascii() and s.isprintable() for s in segments)
    assert "\\" not in key


def test_local_storage_signs_what_the_server_verifies(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    url = open_storage(settings).signed_url("image_high", "job_1/1/a.png", expires_s=60, name="a b")
    _verify(open_signer(settings), _parts(url))


def test_the_secret_is_private_and_stays(tmp_path):
    path = tmp_path / "secret"
    first = load_secret(path)
    assert len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert load_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
    assert load_secret(tmp_path / "other") != first


def test_several_starting_at_once_agree_on_one_secret(tmp_path):
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        found.append(load_secret(tmp_path / "secret"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("content", ["", "zz", "ab"])
def test_a_damaged_secret_is_said_not_replaced(tmp_path, content):
    (tmp_path / "secret").write_text(content)
    with pytest.raises(StorageFailed) as caught:
        open_signer(Settings(data_dir=tmp_path))
    assert str(tmp_path) not in str(caught.value.to_dict())
    assert (tmp_path / "secret").read_text() == content


def test_content_disposition_carries_any_name_safely():
    assert content_disposition("a b.mp4") == (
        "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4"
    )
    header = content_disposition('naïve";x="%41.png')
    assert header == (
        'attachment; filename="na_ve_;x=__41.png"; '
        "filename*=UTF-8''na%C3%AFve%22%3Bx%3D%22%2541.png"
    )
    with pytest.raises(InvalidRequest):
        content_disposition("a\r\nX: y")
