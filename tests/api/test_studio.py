"""The studio's page and files: public, cached as their names allow, and nothing else's place."""

import pytest
from starlette.testclient import TestClient

from ourvidz.api.app import create_app
from ourvidz.api.keys import create_key
from ourvidz.api.studio import PAGES, accepts, is_studio, page_policy
from ourvidz.catalog.config import Settings
from ourvidz.core.clock import SystemClock
from tests.api.conftest import LOOPBACK

PAGE = "<!doctype html><title>OurVidz</title>"
SCRIPT = "console.log('ready')" * 40


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "studio"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text(PAGE, encoding="utf-8")
    (root / "favicon.svg").write_text("<svg/>", encoding="utf-8")
    (root / "manifest.webmanifest").write_text("{}", encoding="utf-8")
    (root / "theme.js").write_text("1", encoding="utf-8")
    (root / "assets" / "index-1a2b.js").write_text(SCRIPT, encoding="utf-8")
    (root / "assets" / "inter-9f.woff2").write_bytes(b"font")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    return root


@pytest.fixture
def client(deps, files):
    app = create_app(deps, studio_files=files)
    return TestClient(app, base_url=LOOPBACK, client=("192.0.2.7", 5))


ADDRESSES = ("/", *(f"/{page}" for page in PAGES), "/performance/jobs/job_x", "/compare/a/b")


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_address_of_the_studio_is_its_page_without_a_key(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == answer.headers["etag"]
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert client.post(path).status_code == 405


def test_the_page_runs_and_shows_its_own_alone(client):
    policy = client.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["font-src"] == rules["connect-src"] == "'self'"
    assert rules["img-src"] == rules["media-src"] == "'self' blob: data:"
    assert "unsafe" not in policy
    elsewhere = {"kind": "s3", "endpoint": "https://store.example:9000/x"}
    policy = page_policy(Settings(storage=elsewhere, server={"public_url": "https://v.example/"}))
    origins = "'self' https://v.example https://store.example:9000"
    assert f"connect-src {origins};" in policy
    assert f"media-src {origins} blob: data:;" in policy
    assert "amazonaws.com" in page_policy(Settings(storage={"kind": "s3"}))


def test_files_with_a_hash_in_their_name_are_kept_for_ever(client):
    script = client.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert script.text == SCRIPT
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in script.headers
    assert client.get("/assets/inter-9f.woff2").headers["content-type"] == "font/woff2"


def test_text_is_packed_for_clients_that_take_it(client, files):
    path = "/assets/index-1a2b.js"
    packed = client.get(path, headers={"Accept-Encoding": "deflate, gzip;q=0.8"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert packed.text == SCRIPT  # the client has unpacked it
    assert int(packed.headers["content-length"]) < len(SCRIPT) / 5
    plain = client.head(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert int(plain.headers["content-length"]) == len(SCRIPT)
    assert plain.headers["etag"] != packed.headers["etag"]
    font = client.get("/assets/inter-9f.woff2", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in font.headers


def test_a_new_build_is_packed_anew(client, files):
    headers = {"Accept-Encoding": "gzip"}
    before = client.get("/", headers=headers)
    (files / "index.html").write_text("<!doctype html><title>New</title>", encoding="utf-8")
    again = client.get("/", headers={**headers, "If-None-Match": before.headers["etag"]})
    assert (again.status_code, again.text) == (200, "<!doctype html><title>New</title>")


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [("br", True), ("gzip, BR;q=0.1", True), ("br; q=0", False), ("gzip", False), ("", False)],
)
def test_what_a_client_takes(header, is_taken):
    assert accepts(header, "br") is is_taken


@pytest.mark.parametrize("name", ["favicon.svg", "manifest.webmanifest", "theme.js"])
def test_files_with_fixed_names_are_asked_for_again(client, name):
    answer = client.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "missing.js",
        "../index.html",
        "..%2findex.html",
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "%2fetc%2fpasswd",
        "%00",
        "x" * 5000,
        "",
    ],
)
def test_nothing_outside_of_the_assets_is_served(client, name):
    answer = client.get(f"/assets/{name}")
    assert answer.status_code in (401, 404), name
    assert answer.json()["error"]["hint"]


def test_a_link_out_of_the_folder_is_not_followed(client, files):
    (files / "assets" / "link.txt").symlink_to(files.parent / "secret.txt")
    assert client.get("/assets/link.txt").status_code == 404


@pytest.mark.parametrize("path", ["/", "/library"])
def test_without_a_built_studio_the_page_says_how_to_build_it(deps, tmp_path, path):
    app = create_app(deps, studio_files=tmp_path / "none")
    answer = TestClient(app, base_url=LOOPBACK, client=("127.0.0.1", 5)).get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert "make studio" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/jobs", "/v1/models", "/metrics", "/queues", "/assets", "/index.html", "/theme", "/x"],
)
def test_what_is_not_the_studios_still_needs_a_key(client, path):
    assert not is_studio(path)
    assert client.get(path).status_code == 401


def test_the_rest_of_the_service_keeps_its_addresses(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert "swagger" in client.get("/docs").text
    assert client.get("/files/nothing").status_code in (400, 403, 404)


def test_the_studio_uses_up_nobodys_requests(deps, files):
    from ourvidz.jobs.model import Quotas

    _, secret = create_key(
        store=deps.store,
        clock=SystemClock(),
        name="few",
        tenant="default",
        scopes=["jobs:read"],
        quotas=Quotas(requests_per_minute=1),
    )
    client = TestClient(create_app(deps, studio_files=files), base_url=LOOPBACK)
    header = {"Authorization": f"Bearer {secret}"}
    for _ in range(3):
        assert client.get("/assets/index-1a2b.js", headers=header).status_code == 200
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    assert client.get("/api/v1/jobs", headers=header).status_code == 429


def test_a_foreign_page_cannot_load_the_studio(client):
    answer = client.get("/", headers={"Host": "rebound.example"})
    assert answer.status_code == 403
