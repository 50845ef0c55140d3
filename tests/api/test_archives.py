"""Many jobs at once: deleted, cancelled, and their files in one ZIP."""

import io
import tracemalloc
import zipfile
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from ourvidz.api.archive import archive_path, jobs_of_archive, names_of, zip_bytes, zip_chunks
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import NotFound
from ourvidz.core.ids import new_job_id
from ourvidz.jobs.model import StoredAsset
from ourvidz.storage.store import Opened
from ourvidz.storage.urls import UrlSigner
from tests.api.conftest import client_of
from tests.api.test_access import key_for
from tests.api.worker import finish_job

PROMPT = "a red circle moving left on a black background"
ARCHIVES = "/api/v1/archives"
DELETE = "/api/v1/jobs/delete"


def submit(client, headers=None, **values):
    answer = client.post("/api/v1/jobs", json={"prompt": PROMPT, **values}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def finished(client, deps, headers=None, **values):
    job_id = submit(client, headers, **values)
    finish_job(deps, job_id)
    return job_id


def unknown_id():
    return new_job_id(SystemClock().now())


def asset(**values):
    given = {
        "id": "asset_1",
        "job_id": "job_01k9w8n0c4kq4v7m2x5y6z7a8b",
        "tenant": "default",
        "index": 0,
        "bucket": "video_fast",
        "key": "a/1/video.mp4",
        "thumbnail_key": None,
        "media_type": "video/mp4",
        "num_bytes": 3,
        "facts": {"seed": 7},
        "created_at": 1.8e9,
        "deleted_at": None,
    }
    return StoredAsset(**{**given, **values})


class Streams:
    """Files by key, made piece by piece while they are read."""

    def __init__(self, **sizes):
        self._sizes = sizes

    def open(self, bucket, key):
        if key not in self._sizes:
            raise NotFound
        size = self._sizes[key]
        pieces = (bytes(65536) for _ in range(size // 65536))
        return Opened(num_bytes=size, start=0, end=size, chunks=pieces)


# Deleting


def test_several_jobs_are_deleted_and_the_others_named(client, deps):
    first, second = (finished(client, deps, seed=seed) for seed in (1, 2))
    queued, unknown = submit(client), unknown_id()
    asset = client.get(f"/api/v1/jobs/{first}").json()["assets"][0]
    body = {"job_ids": [first, queued, unknown, second, first]}
    answer = client.post(DELETE, json=body).json()
    assert answer["deleted"] == [first, second]
    kept = {each["id"]: each["error"]["code"] for each in answer["not_deleted"]}
    assert kept == {queued: "illegal_state", unknown: "not_found"}
    assert [job["id"] for job in client.get("/api/v1/jobs").json()["data"]] == [queued]
    assert client.get(asset["url"]).status_code == 404
    assert client.get(asset["thumbnail_url"]).status_code == 404


def test_jobs_of_others_are_neither_deleted_nor_packed(deps):
    client = client_of(deps)
    _, mine = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    _, theirs = key_for(deps, "jobs:read", "jobs:write", tenant="theirs")
    _, reader = key_for(deps, "jobs:read", tenant="mine")
    job_id = finished(client, deps, mine)
    body = {"job_ids": [job_id]}
    assert client.post(DELETE, json=body, headers=reader).status_code == 403
    answer = client.post(DELETE, json=body, headers=theirs).json()
    assert (answer["deleted"], len(answer["not_deleted"])) == ([], 1)
    assert client.post(ARCHIVES, json=body, headers=theirs).status_code == 404
    assert client.post(ARCHIVES, json=body, headers=reader).status_code == 200


@pytest.mark.parametrize("path", [DELETE, ARCHIVES])
@pytest.mark.parametrize("job_ids", [[], ["../x"], ["job_0"] * 501])
def test_lists_that_can_not_be_are_refused(shared_client, path, job_ids):
    assert shared_client.post(path, json={"job_ids": job_ids}).status_code == 400


# Archives


def test_an_archive_holds_the_files_under_names_that_say_what_they_are(client, deps):
    jobs = [finished(client, deps, seed=seed) for seed in (7, 7, 8)]
    made = client.post(ARCHIVES, json={"job_ids": jobs}).json()
    answer = client_of(deps, host="203.0.113.9").get(made["url"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-disposition"].startswith('attachment; filename="ourvidz-')
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    seeds = (7, 7, 8)
    wanted = [f"video_fast-{s}-{j[-6:]}.mp4" for s, j in zip(seeds, jobs, strict=True)]
    assert archive.namelist() == wanted
    for name, job_id in zip(wanted, jobs, strict=True):
        file = client.get(client.get(f"/api/v1/jobs/{job_id}").json()["assets"][0]["url"])
        assert archive.read(name) == file.content
        assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
    assert made["num_files"] == 3
    assert made["bytes"] == sum(entry.file_size for entry in archive.infolist())


def test_what_was_deleted_since_is_left_out(client, deps):
    jobs = [finished(client, deps, seed=seed) for seed in (1, 2)]
    url = client.post(ARCHIVES, json={"job_ids": jobs}).json()["url"]
    client.delete(f"/api/v1/jobs/{jobs[0]}")
    assert len(zipfile.ZipFile(io.BytesIO(client.get(url).content)).namelist()) == 1
    client.delete(f"/api/v1/jobs/{jobs[1]}")
    assert client.get(url).status_code == 404


def test_jobs_without_files_and_unknown_ones_are_refused(client):
    answer = client.post(ARCHIVES, json={"job_ids": [submit(client)]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "job_ids")
    assert client.post(ARCHIVES, json={"job_ids": [unknown_id()]}).status_code == 404


def test_an_address_can_neither_be_altered_nor_outlive_its_time(client, deps):
    job_id, other = (finished(client, deps, seed=seed) for seed in (1, 2))
    url = client.post(ARCHIVES, json={"job_ids": [job_id]}).json()["url"]
    query = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    elsewhere = client.post(ARCHIVES, json={"job_ids": [other]}).json()["url"]
    jobs = parse_qs(urlsplit(elsewhere).query)["jobs"][0]
    expires = str(int(query["expires"]) + 1)
    for change in ({"jobs": jobs}, {"expires": expires}, {"signature": "0" * 64}, {"jobs": "é"}):
        assert client.get("/files/archive", params={**query, **change}).status_code == 403
    assert client.get("/files/archive").status_code == 403
    late = replace(deps, signer=UrlSigner(b"s" * 32, now=lambda: 1000.0))
    path = archive_path(late, [job_id], expires_s=60)
    at = {"now": 1000.0}
    late = client_of(replace(deps, signer=UrlSigner(b"s" * 32, now=lambda: at["now"])))
    assert late.get(path).status_code == 200
    at["now"] = 1060.0
    assert late.get(path).status_code == 403


def test_storage_that_signs_by_itself_needs_no_signer_here(deps):
    client = client_of(replace(deps, signer=None))
    made = client.post(ARCHIVES, json={"job_ids": [finished(client, deps)]}).json()
    assert client.get(made["url"]).status_code == 200


def test_an_address_of_500_jobs_stays_below_9000_characters(deps):
    jobs = [unknown_id() for _ in range(500)]
    path = archive_path(deps, jobs, expires_s=60)
    assert len(path) < 9000
    query = {name: value[0] for name, value in parse_qs(urlsplit(path).query).items()}
    found = jobs_of_archive(
        deps, token=query["jobs"], expires=query["expires"], signature=query["signature"]
    )
    assert found == sorted(jobs)


def test_names_are_unique_and_need_no_seed():
    files = [asset(), asset(index=1), asset(facts={}), asset(bucket="image_fast", key="b/0.png")]
    assert names_of(files) == [
        "video_fast-7-6z7a8b.mp4",
        "video_fast-7-6z7a8b-2.mp4",
        "video_fast-6z7a8b.mp4",
        "image_fast-7-6z7a8b.png",
    ]


def test_a_large_archive_is_never_held_in_memory():
    num_bytes = 64 * 2**20
    storage = Streams(a=num_bytes, b=num_bytes)
    files = [asset(key="a"), asset(key="gone"), asset(key="b", index=1)]
    tracemalloc.start()
    total = sum(len(chunk) for chunk in zip_chunks(storage, files))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 2 * num_bytes
    assert peak < 4 * 2**20


GIB = 2**30


@pytest.mark.parametrize(
    "sizes",
    [
        (0,),
        (65536, 3 * 65536, 0),
        (2 * GIB - 65536,),  # beside the limit: zipfile leaves room for what might grow
        (2 * GIB, 65536),  # above it, and the second lies behind it
    ],
)
def test_the_length_is_known_before(sizes):
    assets = [
        asset(key=f"{n}.mp4", num_bytes=size, job_id=f"job_00000{n}")
        for n, size in enumerate(sizes)
    ]
    storage = Streams(**{f"{n}.mp4": size for n, size in enumerate(sizes)})
    assert sum(len(chunk) for chunk in zip_chunks(storage, assets)) == zip_bytes(assets)


def test_a_file_that_was_lost_is_left_out_of_the_length(client, deps):
    jobs = [finished(client, deps, seed=seed) for seed in (1, 2)]
    url = client.post(ARCHIVES, json={"job_ids": jobs}).json()["url"]
    lost = deps.store.assets(jobs[0])[0]
    deps.storage.delete(lost.bucket, lost.key)
    answer = client.get(url)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert len(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == 1


# Cancelling


CANCEL = "/api/v1/jobs/cancel"


def test_several_jobs_are_cancelled_and_the_others_told_apart(client, deps):
    done = finished(client, deps, seed=1)
    running = submit(client, seed=2)
    claimed = deps.store.claim("w", lease_s=60.0, overdue_s=1e9)
    queued, before, unknown = submit(client, seed=3), submit(client, seed=4), unknown_id()
    client.post(f"/api/v1/jobs/{before}/cancel")
    body = {"job_ids": [queued, done, running, unknown, before, queued]}
    answer = client.post(CANCEL, json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert claimed.id == running
    assert (found["cancelled"], found["ended"]) == ([queued, running], [done, before])
    assert [(e["id"], e["error"]["code"]) for e in found["not_cancelled"]] == [
        (unknown, "not_found")
    ]
    assert client.get(f"/api/v1/jobs/{queued}").json()["state"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{running}").json()["is_cancel_requested"] is True
    assert client.get(f"/api/v1/jobs/{done}").json()["state"] == "succeeded"


def test_a_batch_is_cancelled_as_a_whole(client, deps):
    jobs = [{"prompt": PROMPT, "seed": seed} for seed in range(4)]
    made = client.post("/api/v1/jobs/batch", json={"jobs": jobs}).json()
    ids = [job["id"] for job in made["data"]]
    finish_job(deps, ids[0])
    other = submit(client)
    found = client.post(CANCEL, json={"batch_id": made["batch_id"]}).json()
    assert sorted(found["cancelled"]) == sorted(ids[1:])
    assert (found["ended"], found["not_cancelled"]) == ([], [])
    assert client.get(f"/api/v1/jobs/{other}").json()["state"] == "queued"
    again = client.post(CANCEL, json={"batch_id": made["batch_id"]}).json()
    assert again == {"cancelled": [], "ended": [], "not_cancelled": []}


def test_jobs_of_others_are_not_cancelled(deps):
    client = client_of(deps)
    _, mine = key_for(deps, "jobs:read", "jobs:write", tenant="mine")
    _, theirs = key_for(deps, "jobs:read", "jobs:write", tenant="theirs")
    _, reader = key_for(deps, "jobs:read", tenant="mine")
    job_id = submit(client, mine)
    body = {"job_ids": [job_id]}
    assert client.post(CANCEL, json=body, headers=reader).status_code == 403
    found = client.post(CANCEL, json=body, headers=theirs).json()
    assert (found["cancelled"], len(found["not_cancelled"])) == ([], 1)
    assert client.post(CANCEL, json=body, headers=mine).json()["cancelled"] == [job_id]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"job_ids": []},
        {"job_ids": ["job_0"], "batch_id": "batch_0"},
        {"batch_id": "x"},
        {"job_ids": ["job_0"] * 501},
    ],
)
def test_what_does_not_say_which_jobs_is_refused(shared_client, body):
    assert shared_client.post(CANCEL, json=body).status_code == 400
