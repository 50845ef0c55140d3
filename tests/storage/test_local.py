"""The local folder alone: whole files or none, on the device, within the disk's room."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ourvidz.core.errors import DiskFull, IllegalState, StorageFailed
from ourvidz.storage.local import LocalStorage
from ourvidz.storage.urls import UrlSigner

BUCKET = "sdxl_image_fast"
KEY = "job_01/1/image-0.png"
SIGNER = UrlSigner(b"k" * 32)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "assets"


@pytest.fixture
def storage(root):
    return LocalStorage(root, signer=SIGNER)


def _put(storage, path, key=KEY):
    return storage.put_file(BUCKET, key, path, media_type="image/png")


def _leftovers(root: Path) -> list[Path]:
    return list((root / ".staging").iterdir())


def test_files_lie_where_an_operator_looks_for_them(storage, root, a_file):
    _put(storage, a_file(b"pixels"))
    assert (root / BUCKET / KEY).read_bytes() == b"pixels"
    assert _leftovers(root) == []


def test_content_and_names_are_on_the_device_before_put_returns(storage, root, a_file, monkeypatch):
    flushed: list[str] = []
    steps: list[tuple[str, str]] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        steps.append(("flush", flushed[-1]))
        real_fsync(descriptor)

    def link(source: Path, target: Path) -> None:
        steps.append(("publish", str(source)))
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    _put(storage, a_file())
    published = next(staged for step, staged in steps if step == "publish")
    assert steps[0] == ("flush", published)  # the content, before it got its name
    assert steps[1] == ("publish", published)
    folders = [root / BUCKET / "job_01/1", root / BUCKET / "job_01", root / BUCKET, root]
    assert flushed[1:] == [str(folder) for folder in folders]


def test_of_many_writers_of_one_key_one_wins_and_is_kept(storage, root, tmp_path):
    barrier, outcomes = threading.Barrier(8), []
    contents = {}
    for number in range(8):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes([number]) * 100_000)
        contents[number] = path

    def write(number: int) -> None:
        barrier.wait()
        try:
            _put(storage, contents[number])
        except IllegalState:
            outcomes.append((number, False))
        else:
            outcomes.append((number, True))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for number, won in outcomes if won]
    assert len(outcomes) == 8
    assert len(winners) == 1
    assert (root / BUCKET / KEY).read_bytes() == contents[winners[0]].read_bytes()
    assert _leftovers(root) == []


def test_writers_and_deleters_of_one_folder_do_not_hinder_each_other(storage, a_file):
    source, failures = a_file(), []

    def churn(number: int) -> None:
        try:
            for turn in range(40):
                _put(storage, source, key=f"job_01/1/{number}-{turn}")
                storage.delete(BUCKET, f"job_01/1/{number}-{turn}")
        except Exception as error:  # noqa: BLE001  # any at all fails the test
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(storage.list_objects(BUCKET)) == []


def test_deleting_leaves_no_empty_folders(storage, root, a_file):
    _put(storage, a_file())
    _put(storage, a_file(), key="job_01/2/a")
    storage.delete(BUCKET, KEY)
    assert sorted(p.name for p in (root / BUCKET / "job_01").iterdir()) == ["2"]
    storage.delete(BUCKET, "job_01/2/a")
    assert list((root / BUCKET).iterdir()) == []


def test_a_copy_takes_no_room_and_lives_by_itself(storage, root, a_file):
    _put(storage, a_file(b"x" * 1000))
    storage.copy(BUCKET, KEY, "user/v.png")
    assert (root / BUCKET / KEY).stat().st_ino == (root / BUCKET / "user/v.png").stat().st_ino
    assert storage.used_bytes() == 1000
    storage.delete(BUCKET, KEY)
    assert storage.stat(BUCKET, "user/v.png").num_bytes == 1000


def test_a_disk_without_hard_links_works_too(storage, root, a_file, monkeypatch):
    def link(source: Path, target: Path) -> None:  # as on exFAT and some network mounts
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))

    monkeypatch.setattr(os, "link", link)
    _put(storage, a_file(b"first"))
    with pytest.raises(IllegalState):
        _put(storage, a_file(b"second"))
    storage.copy(BUCKET, KEY, "user/v.png")
    assert (root / BUCKET / "user/v.png").read_bytes() == b"first"
    assert _leftovers(root) == []


def test_used_bytes_is_measured_once_a_minute(root, a_file):
    moment = [0.0]
    storage = LocalStorage(root, signer=SIGNER, monotonic=lambda: moment[0])
    assert storage.used_bytes() == 0
    _put(storage, a_file(b"x" * 10))
    moment[0] = 59.0
    assert storage.used_bytes() == 0
    moment[0] = 60.0
    assert storage.used_bytes() == 10


# Killed


def test_a_killed_writer_leaves_nothing_that_can_be_seen(root, tmp_path):
    source = tmp_path / "source"
    os.mkfifo(source)
    child = _child(
        "storage.put_file(bucket, key, source, media_type='x')", root=root, source=source
    )
    try:
        with source.open("wb", buffering=0) as writer:  # opens once the child reads
            writer.write(b"half")
            staging = root / ".staging"
            _wait_until(lambda: staging.is_dir() and any(staging.iterdir()))
            child.send_signal(signal.SIGKILL)
            child.wait(30)
    finally:
        child.kill()
        child.wait()
    leftover = _leftovers(root)
    assert len(leftover) == 1
    storage = LocalStorage(root, signer=SIGNER)
    assert storage.buckets() == ()
    assert _leftovers(root) == leftover  # it may be in use
    yesterday = time.time() - 90_000
    os.utime(leftover[0], (yesterday, yesterday))
    LocalStorage(root, signer=SIGNER)
    assert _leftovers(root) == []


# Full


def test_room_is_checked_before_anything_is_written(root, a_file):
    storage = LocalStorage(root, signer=SIGNER, reserve_bytes=2**62)
    with pytest.raises(DiskFull) as caught:
        _put(storage, a_file())
    assert str(root) not in str(caught.value.to_dict())
    assert "keep_bytes" in (caught.value.hint or "")
    assert storage.buckets() == ()


def test_a_file_over_the_process_limit_leaves_nothing(root, a_file):
    source = a_file(b"x" * 300_000)
    told = _outcome(
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "put(storage, bucket, key, source)",
        root=root,
        source=source,
    )
    assert told["code"] == "storage_failed"
    assert "too large" in told["message"]
    assert str(root) not in str(told)
    storage = LocalStorage(root, signer=SIGNER)
    assert storage.buckets() == ()
    assert _leftovers(root) == []


def test_a_disk_that_fills_up_while_writing_says_so_and_stays_whole(root, a_file, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    in_namespace = ["unshare", "-Urm"]
    probe = ["sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0"', str(mount)]
    if (
        not shutil.which("unshare")
        or subprocess.run([*in_namespace, *probe], check=False).returncode
    ):
        pytest.skip("this machine mounts no tmpfs in a user namespace")
    small, large = a_file(b"s" * 1000, "small.bin"), a_file(b"x" * 2_000_000, "large.bin")
    told = _outcome(
        f"put(storage, bucket, 'job_01/1/small', Path({str(small)!r}))\n"
        "put(storage, bucket, key, source)\n"
        "told['keys'] = [o.key for o in storage.list_objects(bucket)]\n"
        "told['staged'] = os.listdir(root / '.staging')\n"
        f"put(storage, bucket, 'job_01/2/small', Path({str(small)!r}))\n"
        "told['after'] = [o.key for o in storage.list_objects(bucket)]\n",
        root=mount / "assets",
        source=large,
        wrap=[
            *in_namespace,
            "sh",
            "-c",
            'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"',
            str(mount),
        ],
        reserve_bytes=-(2**40),  # so that only the disk itself can refuse
    )
    assert told["code"] == "disk_full"
    assert str(mount) not in told["message"]
    assert told["keys"] == ["job_01/1/small"]
    assert told["staged"] == []
    assert sorted(told["after"]) == ["job_01/1/small", "job_01/2/small"]


# Unusable


def test_a_data_directory_that_is_a_file_is_said_without_its_path(tmp_path):
    blocked = tmp_path / "data"
    blocked.write_text("")
    with pytest.raises(StorageFailed) as caught:
        LocalStorage(blocked / "assets", signer=SIGNER)
    assert str(tmp_path) not in str(caught.value.to_dict())


def test_a_folder_that_became_a_file_is_said_without_its_path(storage, root, a_file):
    (root / BUCKET).mkdir()
    (root / BUCKET / "job_01").write_text("")
    with pytest.raises(StorageFailed) as caught:
        _put(storage, a_file())
    assert str(root) not in str(caught.value.to_dict())
    assert _leftovers(root) == []


_CHILD = """
import json, os, resource, sys
from pathlib import Path
from ourvidz.core.errors import OurVidzError
from ourvidz.storage.local import LocalStorage
from ourvidz.storage.urls import UrlSigner
bucket, key = {bucket!r}, {key!r}
root, source = Path({root!r}), Path({source!r})
told = {{}}
def put(storage, *at):
    try:
        storage.put_file(*at, media_type="x")
    except OurVidzError as error:
        told.update(error.to_dict())
storage = LocalStorage(root, signer=UrlSigner(b"k" * 32), reserve_bytes={reserve_bytes})
{body}
print(json.dumps(told))
"""


def _child(body, *, root, source, wrap=(), reserve_bytes=0) -> subprocess.Popen[str]:
    program = _CHILD.format(
        bucket=BUCKET, key=KEY, root=str(root), source=str(source), body=body,
        reserve_bytes=reserve_bytes,
    )  # fmt: skip
    return subprocess.Popen(
        [*wrap, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )


def _outcome(body, **values) -> dict[str, str]:
    child = _child(body, **values)
    try:
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    return json.loads(said)


def _wait_until(condition, *, within_s: float = 30.0) -> None:
    ends = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        pause.wait(0.01)
