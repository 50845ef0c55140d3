"""Who may do what: keys, scopes, tenants, quotas, hosts, origins, sizes."""

import json

import anyio
import pytest

from ourvidz.api.app import create_app
from ourvidz.api.auth import (
    ADMIN,
    KEY_PREFIX,
    SCOPES,
    hash_secret,
    is_loopback,
    is_well_formed,
    new_secret,
)
from ourvidz.api.keys import create_key
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.model import Quotas
from tests.api.conftest import client_of
from tests.api.worker import finish_job
from tests.clocks import ManualClock

PROMPT = {"prompt": "a red circle moving left"}


def key_for(deps, *scopes, tenant="default", quotas=None, expires_in_days=None):
    key, secret = create_key(
        store=deps.store,
        clock=SystemClock(),
        name="of a test",
        tenant=tenant,
        scopes=scopes or (ADMIN,),
        quotas=quotas,
        expires_in_days=expires_in_days,
    )
    return key, {"Authorization": f"Bearer {secret}"}


# Keys


def test_a_secret_has_its_prefix_its_length_and_a_checksum():
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith(KEY_PREFIX)
        assert len(secret) == len(KEY_PREFIX) + 43 + 6
        assert is_well_formed(secret)
        middle = len(KEY_PREFIX) + 20
        other = "a" if secret[middle] != "a" else "b"
        assert not is_well_formed(secret[:middle] + other + secret[middle + 1 :])
    assert not is_well_formed("")
    assert not is_well_formed("ov_live_" + "\u00e9" * 49)


def test_a_secret_is_shown_once_and_only_its_hash_is_kept(client, deps, settings):
    made = client.post("/api/v1/keys", json={"name": "site", "scopes": ["jobs:read"]})
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert made.json()["prefix"] == secret[: len(made.json()["prefix"])]
    header = {"Authorization": f"Bearer {secret}"}
    _, admin = key_for(deps)
    listed = client.get("/api/v1/keys", headers=admin)
    assert secret not in listed.text
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    deps.store.close()
    kept = b"".join(path.read_bytes() for path in settings.data_dir.glob("ourvidz.db*"))
    assert secret.encode() not in kept
    assert hash_secret(secret).encode() in kept


def test_without_any_key_only_this_machine_may_call(deps):
    assert client_of(deps).get("/api/v1/jobs").status_code == 200
    assert client_of(deps, host="::1").get("/api/v1/jobs").status_code == 200
    stranger = client_of(deps, host="192.0.2.7").get("/api/v1/jobs")
    assert stranger.status_code == 401
    assert stranger.headers["www-authenticate"] == "Bearer"
    proxied = client_of(deps).get("/api/v1/jobs", headers={"X-Forwarded-For": "192.0.2.7"})
    assert proxied.status_code == 401


def test_with_a_key_this_machine_needs_one_too(client, deps):
    _, header = key_for(deps)
    assert client.get("/api/v1/jobs").status_code == 401
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    for bad in ("Bearer nonsense", f"Bearer {new_secret()}", "Basic eDp5", "", "Bearer"):
        answer = client.get("/api/v1/jobs", headers={"Authorization": bad})
        assert answer.status_code == 401, bad
        assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_signs_of_life_need_no_key(client, deps, path):
    key_for(deps)
    assert client.get(path).json() == {"status": "ok"}


def test_a_revoked_or_expired_key_works_no_more(client, deps):
    _, admin = key_for(deps)
    key, header = key_for(deps, "jobs:read")
    _, short = key_for(deps, "jobs:read", expires_in_days=1e-9)
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    assert client.get("/api/v1/jobs", headers=short).status_code == 401
    assert client.delete(f"/api/v1/keys/{key.id}", headers=admin).json()["revoked_at"]
    assert client.get("/api/v1/jobs", headers=header).status_code == 401
    assert client.delete("/api/v1/keys/key_nothing", headers=admin).status_code == 404


def test_the_last_use_of_a_key_is_noted(client, deps):
    _, admin = key_for(deps)
    key, header = key_for(deps, "jobs:read")
    client.get("/api/v1/jobs", headers=header)
    listed = client.get("/api/v1/keys", headers=admin).json()["data"]
    assert next(one for one in listed if one["id"] == key.id)["last_used_at"]


NEEDS = {
    "jobs:read": [("GET", "/api/v1/jobs"), ("GET", "/api/v1/assets"), ("GET", "/api/v1/catalog")],
    "jobs:write": [("POST", "/api/v1/jobs"), ("POST", "/api/v1/enhance")],
    "queue:write": [("POST", "/api/v1/queue/pause"), ("POST", "/api/v1/queue/resume")],
    "models:write": [("POST", "/api/v1/models/pocket-video/load")],
    "keys:write": [("GET", "/api/v1/keys"), ("POST", "/api/v1/keys")],
    "metrics:read": [
        ("GET", "/metrics"),
        ("GET", "/api/v1/performance/matrix"),
        ("GET", "/api/v1/benchmarks"),
    ],
    "performance:write": [
        ("POST", "/api/v1/performance/goals"),
        ("POST", "/api/v1/benchmarks/active/cancel"),
    ],
}
BODIES = {
    "/api/v1/jobs": PROMPT,
    "/api/v1/enhance": PROMPT,
    "/api/v1/queue/pause": {},
    "/api/v1/performance/goals": {"job_type": "video_fast", "seconds": 20.0},
    "/api/v1/queue/resume": {},
    "/api/v1/keys": {"name": "x", "scopes": ["keys:write"]},
}


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != ADMIN])
def test_each_scope_opens_its_own_doors_and_no_others(client, deps, scope):
    _, header = key_for(deps, scope)
    for needed, doors in NEEDS.items():
        for method, path in doors:
            body = BODIES.get(path) if method == "POST" else None
            answer = client.request(method, path, headers=header, json=body)
            if needed == scope:
                assert answer.status_code not in (401, 403), (path, answer.text)
            else:
                assert answer.status_code == 403, (path, scope)
                assert answer.json()["error"]["code"] == "forbidden"


def test_nobody_grants_what_he_lacks(client, deps):
    _, header = key_for(deps, "keys:write", "jobs:read", tenant="a")
    asked = [
        ({"name": "x", "scopes": ["jobs:read"]}, 201),
        ({"name": "x", "scopes": ["jobs:write"]}, 403),
        ({"name": "x", "scopes": ["admin"]}, 403),
        ({"name": "x", "scopes": ["jobs:read"], "tenant": "b"}, 403),
        ({"name": "x", "scopes": ["nothing"]}, 403),
    ]
    for body, status in asked:
        assert client.post("/api/v1/keys", json=body, headers=header).status_code == status, body
    _, admin = key_for(deps)
    for body in ({"name": "x", "scopes": ["nothing"]}, {"name": "\n", "scopes": ["jobs:read"]}):
        assert client.post("/api/v1/keys", json=body, headers=admin).status_code == 400


def test_a_raised_priority_needs_a_scope(client, deps):
    _, header = key_for(deps, "jobs:write")
    for priority, status in ((0, 201), (-5, 201), (5, 403)):
        body = PROMPT | {"priority": priority}
        assert client.post("/api/v1/jobs", json=body, headers=header).status_code == status


# Tenants


def test_tenants_do_not_exist_for_each_other(client, deps):
    _, one = key_for(deps, *(scope for scope in SCOPES if scope != ADMIN), tenant="one")
    _, two = key_for(deps, *(scope for scope in SCOPES if scope != ADMIN), tenant="two")
    made = client.post("/api/v1/jobs", json=PROMPT, headers=one).json()
    other = client.post("/api/v1/jobs", json=PROMPT, headers=two).json()
    path = f"/api/v1/jobs/{made['id']}"
    doors = [
        ("GET", path, None),
        ("GET", f"{path}/events?after=0", None),
        ("GET", f"{path}/events", None),
        ("GET", f"{path}/logs?after=0", None),
        ("POST", f"{path}/cancel", None),
        ("POST", f"{path}/retry", None),
        ("POST", f"{path}/move", {"front": True}),
        ("POST", f"/api/v1/jobs/{other['id']}/move", {"before": made["id"]}),
        ("DELETE", path, None),
    ]
    for method, door, body in doors:
        answer = client.request(method, door, json=body, headers=two)
        assert answer.status_code == 404, door
    assert client.get("/api/v1/jobs", headers=two).json()["data"][0]["id"] == other["id"]
    assert len(client.get("/api/v1/jobs", headers=two).json()["data"]) == 1
    assert client.get("/api/v1/queue", headers=two).json()["by_state"]["queued"] == 1

    finish_job(deps, made["id"])
    asset = client.get(path, headers=one).json()["assets"][0]["id"]
    for method, door in (
        ("GET", f"/api/v1/assets/{asset}"),
        ("GET", f"/api/v1/assets/{asset}/url"),
        ("DELETE", f"/api/v1/assets/{asset}"),
    ):
        assert client.request(method, door, headers=two).status_code == 404
    assert client.get("/api/v1/assets", headers=two).json()["data"] == []
    assert client.get(f"/api/v1/assets/{asset}", headers=one).status_code == 200
    _, admin = key_for(deps)
    assert len(client.get("/api/v1/jobs", headers=admin).json()["data"]) == 2


def test_an_idempotency_key_is_the_tenants_own(client, deps):
    _, one = key_for(deps, "jobs:write", tenant="one")
    _, two = key_for(deps, "jobs:write", tenant="two")
    same = {"Idempotency-Key": "same"}
    first = client.post("/api/v1/jobs", json=PROMPT, headers=one | same)
    second = client.post("/api/v1/jobs", json=PROMPT, headers=two | same)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


# Quotas


def test_requests_a_minute_slide(make_app_deps):
    clock = ManualClock()
    deps = make_app_deps(clock=clock)
    client = client_of(deps)
    _, header = key_for(deps, "jobs:read", quotas=Quotas(requests_per_minute=3))
    _, free = key_for(deps, "jobs:read")
    for _ in range(3):
        assert client.get("/api/v1/jobs", headers=header).status_code == 200
        clock.advance(10)
    refused = client.get("/api/v1/jobs", headers=header)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.headers["retry-after"] == "30"
    assert refused.headers["x-should-retry"] == "true"
    assert client.get("/api/v1/jobs", headers=free).status_code == 200
    clock.advance(30.5)
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    assert client.get("/api/v1/jobs", headers=header).status_code == 429


def test_a_keys_queued_jobs_and_device_time_are_limited(client, deps):
    _, header = key_for(deps, "jobs:write", quotas=Quotas(queued_jobs=2))
    jobs = {"jobs": [PROMPT] * 3}
    assert client.post("/api/v1/jobs/batch", json=jobs, headers=header).status_code == 429
    for status in (201, 201, 429):
        assert client.post("/api/v1/jobs", json=PROMPT, headers=header).status_code == status
    _, poor = key_for(deps, "jobs:write", quotas=Quotas(device_seconds_per_day=1.0))
    refused = client.post("/api/v1/jobs", json=PROMPT, headers=poor)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


def test_keys_without_limits_take_the_operators(make_app_deps, settings):
    quotas = settings.quotas.model_copy(update={"queued_jobs": 1})
    deps = make_app_deps(settings.model_copy(update={"quotas": quotas}))
    client = client_of(deps)
    _, header = key_for(deps, "jobs:write")
    _, larger = key_for(deps, "jobs:write", quotas=Quotas(queued_jobs=5))
    for given, statuses in ((header, (201, 429)), (larger, (201, 201))):
        for status in statuses:
            assert client.post("/api/v1/jobs", json=PROMPT, headers=given).status_code == status


# Hosts and origins


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8000", False),
        ("192.0.2.1", False),
        ("0.0.0.0:8000", False),
        ("[::1", False),
        ("", False),
        ("127.0.0.1@evil.example", False),
    ],
)
def test_only_known_hosts_are_answered(shared_client, host, is_known):
    answer = shared_client.get("/api/v1/jobs", headers={"Host": host})
    assert answer.status_code == (200 if is_known else 403)
    if not is_known:
        assert answer.json()["error"]["param"] == "Host"


def test_beyond_loopback_addresses_and_the_operators_names_are_answered(make_app_deps, settings):
    update = {"host": "0.0.0.0", "allowed_hosts": ("vidz.example",)}
    server = settings.server.model_copy(update=update)
    client = client_of(make_app_deps(settings.model_copy(update={"server": server})))
    for host, status in (
        ("192.0.2.1:8000", 200),
        ("vidz.example", 200),
        ("evil.example", 403),
        ("0.0.0.0:8000", 403),
    ):
        assert client.get("/healthz", headers={"Host": host}).status_code == status, host


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://127.0.0.1:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("file://", 403),
    ],
)
def test_pages_of_other_origins_may_not_call(shared_client, origin, status):
    for path in ("/api/v1/jobs", "/v1/models", "/healthz"):
        answer = shared_client.get(path, headers={"Origin": origin})
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_origin_may_call_and_ask_first(make_app_deps, settings):
    server = settings.server.model_copy(update={"allowed_origins": ("https://site.example",)})
    client = client_of(make_app_deps(settings.model_copy(update={"server": server})))
    origin = {"Origin": "https://site.example"}
    answer = client.get("/api/v1/jobs", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "https://site.example"
    asked = client.options(
        "/api/v1/jobs",
        headers=origin
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert asked.status_code == 200
    assert client.get("/api/v1/jobs", headers={"Origin": "https://x.example"}).status_code == 403


def test_every_answer_carries_safe_headers(shared_client):
    for path in ("/api/v1/jobs", "/nothing", "/docs", "/v1/models"):
        headers = shared_client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-request-id"].startswith("req_")
    assert (
        "unsafe-inline" not in shared_client.get("/api/v1/jobs").headers["content-security-policy"]
    )


# Sizes


@pytest.fixture
def small(make_app_deps, settings):
    server = settings.server.model_copy(update={"max_body_bytes": 2000})
    return client_of(make_app_deps(settings.model_copy(update={"server": server})))


def test_a_large_body_is_refused_by_its_length(small):
    answer = small.post("/api/v1/jobs", json=PROMPT | {"negative_prompt": "x" * 3000})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    assert small.post("/api/v1/jobs", json=PROMPT).status_code == 201


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/videos"])
def test_a_body_is_counted_whatever_its_length_says(small, path):
    body = json.dumps(PROMPT | {"negative_prompt": "x" * 3000}).encode()
    sent = []

    def parts():
        for start in range(0, len(body), 100):
            sent.append(start)
            yield body[start : start + 100]

    answer = small.post(path, content=parts(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    lied = small.post(
        path, content=body, headers={"Content-Type": "application/json", "Content-Length": "10"}
    )
    assert lied.status_code == 413
    assert "error" in lied.json()


def test_a_stranger_cannot_make_the_server_read_a_body(deps):
    """The refusal comes before the body: a receive that would wait for ever is never called."""

    app = create_app(deps)

    async def call():
        started = []

        async def receive():
            raise AssertionError("the body was read")

        async def send(message):
            if message["type"] == "http.response.start":
                started.append(message["status"])

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/api/v1/jobs",
            "raw_path": b"/api/v1/jobs",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")],
            "client": ("192.0.2.7", 5),
            "server": ("127.0.0.1", 8000),
        }
        await app(scope, receive, send)
        return started

    assert anyio.run(call) == [401]


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (None, True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_told_from_all_else(host, is_local):
    assert is_loopback(host) is is_local


def test_a_key_needs_a_scope(deps):
    with pytest.raises(OurVidzError):
        create_key(store=deps.store, clock=SystemClock(), name="x", tenant="default", scopes=())
