"""Files: signed addresses, ranges, names, deletion."""

import re

import pytest

from ourvidz.api.files import byte_range, disposition
from tests.api.conftest import client_of
from tests.api.worker import finish_job


@pytest.fixture
def asset(client, deps):
    made = client.post("/api/v1/jobs", json={"prompt": "a red circle", "seed": 5}).json()
    finish_job(deps, made["id"])
    return client.get(f"/api/v1/jobs/{made['id']}").json()["assets"][0]


def test_the_whole_file_comes_with_safe_headers(client, asset):
    answer = client.get(asset["url"])
    assert answer.status_code == 200
    assert len(answer.content) == asset["bytes"]
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(asset["bytes"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    head = client.head(asset["url"])
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(asset["bytes"])


@pytest.mark.parametrize(
    ("header", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=7-", slice(7, None)), ("bytes=-5", slice(-5, None))],
)
def test_a_range_is_that_part(client, asset, header, part):
    whole = client.get(asset["url"]).content
    answer = client.get(asset["url"], headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == whole[part]
    assert re.fullmatch(rf"bytes \d+-\d+/{len(whole)}", answer.headers["content-range"])


def test_a_range_outside_is_416(client, asset):
    answer = client.get(asset["url"], headers={"Range": f"bytes={asset['bytes']}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{asset['bytes']}"


def test_an_etag_saves_sending_again(client, asset):
    etag = client.get(asset["url"]).headers["etag"]
    assert client.get(asset["url"], headers={"If-None-Match": etag}).status_code == 304
    other = {"Range": "bytes=0-3", "If-Range": '"another"'}
    assert client.get(asset["url"], headers=other).status_code == 200
    same = {"Range": "bytes=0-3", "If-Range": etag}
    assert client.get(asset["url"], headers=same).status_code == 206


@pytest.mark.parametrize(
    ("header", "size", "want"),
    [
        (None, 10, None),
        ("bytes=-", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-1", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=2-99", 10, (2, 10)),
        ("bytes=-99", 10, (0, 10)),
        ("bytes=9-9", 10, (9, 10)),
    ],
)
def test_ranges_are_read_as_the_standard_says(header, size, want):
    assert byte_range(header, size) == want


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_outside_are_told_apart(header, size):
    with pytest.raises(ValueError, match="bytes"):
        byte_range(header, size)


def test_no_name_breaks_out_of_its_header():
    header = disposition('a"\r\nSet-Cookie: x=1\r\n"ü.png', is_shown=False)
    assert "\r" not in header
    assert "\n" not in header
    assert header.startswith("attachment; ")
    assert header.count('"') == 2
    header.encode("latin-1")


def test_an_altered_address_reads_nothing(client, asset):
    url = asset["url"]
    for altered in (
        url.split("?")[0],
        re.sub(r"expires=\d+", "expires=99999999999", url),
        re.sub(r"signature=.", "signature=x", url),
        url + "&name=other.png",
        url.replace("video.mp4", "thumb.webp"),
    ):
        assert client.get(altered).status_code == 403, altered


@pytest.mark.parametrize(
    "path",
    ["/files/../secret", "/files/a/..%2f..%2fsecret", "/files/%2e%2e/secret", "/files/a/%00"],
)
def test_no_path_leads_out_of_the_storage(shared_client, path):
    answer = shared_client.get(path, params={"expires": "1", "signature": "x"})
    assert answer.status_code in (401, 403, 404)
    assert "error" in answer.json()


def test_a_signed_address_needs_no_key(make_app_deps, settings):
    deps = make_app_deps()
    local = client_of(deps)
    made = local.post("/api/v1/jobs", json={"prompt": "a red circle"}).json()
    finish_job(deps, made["id"])
    url = local.get(f"/api/v1/jobs/{made['id']}").json()["assets"][0]["url"]
    stranger = client_of(deps, host="203.0.113.9")
    assert stranger.get(f"/api/v1/jobs/{made['id']}").status_code == 401
    assert stranger.get(url).status_code == 200


def test_a_download_has_a_name_and_an_expiry(client, asset):
    answer = client.get(
        f"/api/v1/assets/{asset['id']}/url", params={"is_download": True, "expires_s": 60}
    )
    got = client.get(answer.json()["url"])
    assert got.headers["content-disposition"].startswith(
        f'attachment; filename="{asset["job_id"]}-0.mp4"'
    )
    for expires_s in (0, 10**9):
        bad = client.get(f"/api/v1/assets/{asset['id']}/url", params={"expires_s": expires_s})
        assert bad.status_code == 400


def test_assets_are_listed_newest_first_in_pages(client, deps):
    ids = []
    for seed in range(3):
        made = client.post("/api/v1/jobs", json={"prompt": "a", "seed": seed}).json()
        finish_job(deps, made["id"])
        ids.append(client.get(f"/api/v1/jobs/{made['id']}").json()["assets"][0]["id"])
    page = client.get("/api/v1/assets", params={"limit": 2}).json()
    rest = client.get("/api/v1/assets", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [asset["id"] for asset in page["data"] + rest["data"]] == ids[::-1]
    assert rest["next_cursor"] is None


def test_a_deleted_asset_is_gone_and_its_job_stays(client, deps, asset):
    path = f"/api/v1/assets/{asset['id']}"
    assert client.get(path).json()["id"] == asset["id"]
    assert client.delete(path).status_code == 200
    assert client.get(path).status_code == 404
    assert client.get(asset["url"]).status_code == 404
    assert list(deps.storage.list_objects("video_fast")) == []
    job = client.get(f"/api/v1/jobs/{asset['job_id']}").json()
    assert (job["state"], job["assets"]) == ("succeeded", [])


def test_the_operators_public_address_is_in_links(make_app_deps, settings):
    server = settings.server.model_copy(update={"public_url": "https://vidz.example/"})
    deps = make_app_deps(settings.model_copy(update={"server": server}))
    local = client_of(deps)
    made = local.post("/api/v1/jobs", json={"prompt": "a red circle"}).json()
    assert made["links"]["self"] == f"https://vidz.example/api/v1/jobs/{made['id']}"
    finish_job(deps, made["id"])
    job = local.get(f"/api/v1/jobs/{made['id']}").json()
    assert job["assets"][0]["url"].startswith("https://vidz.example/files/")
