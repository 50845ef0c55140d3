"""A key in a browser: in a cookie that scripts can't read and other sites can't use."""

import logging
from http.cookies import SimpleCookie

import pytest

from ourvidz.api.auth import SCOPES, new_secret
from ourvidz.api.keys import create_key
from ourvidz.api.session import COOKIE, AttemptLimiter, network_of
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import QuotaExceeded
from ourvidz.core.logs import JsonLines
from ourvidz.jobs.model import Quotas
from tests.api.conftest import LOOPBACK, client_of
from tests.clocks import ManualClock

PATH = "/api/v1/session"
JOBS = "/api/v1/jobs"
PROMPT = {"prompt": "a red circle moving left"}
OWN = {"Origin": LOOPBACK}


def make_key(deps, *scopes, **values):
    return create_key(
        store=deps.store,
        clock=SystemClock(),
        name="of a browser",
        tenant="studio",
        scopes=scopes or ("jobs:read", "jobs:write"),
        **values,
    )


@pytest.fixture
def secret(deps):
    return make_key(deps)[1]


def hand_in(client, secret, **options):
    return client.post(PATH, json={"key": secret}, **options)


def cookie_of(answer):
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


def test_a_key_is_handed_in_once_and_opens_what_it_may(client, secret):
    assert client.get(JOBS).status_code == 401
    made = hand_in(client, secret)
    assert made.status_code == 200
    assert made.json() == {
        "is_authenticated": True,
        "needs_key": True,
        "tenant": "studio",
        "scopes": ["jobs:read", "jobs:write"],
        "key_name": "of a browser",
    }
    assert client.get(PATH).json() == made.json()
    assert client.get(JOBS).status_code == 200
    assert client.post(JOBS, json=PROMPT, headers=OWN).status_code == 201
    assert client.get("/metrics").status_code == 403
    assert client.post("/api/v1/queue/pause", json={}, headers=OWN).status_code == 403
    ended = client.delete(PATH)
    assert ended.json()["is_authenticated"] is False
    assert client.get(JOBS).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client, secret):
    cookie = cookie_of(hand_in(client, secret))
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    assert not cookie["secure"]  # over plain HTTP the browser would not send it back
    assert int(cookie["max-age"]) == 180 * 24 * 3600
    ended = cookie_of(client.delete(PATH))
    assert (ended.value, ended["max-age"], ended["path"]) == ("", "0", "/")


def test_over_tls_the_cookie_stays_there(deps, secret, settings, make_app_deps):
    client = client_of(deps, base_url="https://127.0.0.1:8000")
    assert cookie_of(hand_in(client, secret))["secure"]
    server = settings.server.model_copy(update={"public_url": "https://v.example"})
    behind = client_of(make_app_deps(settings.model_copy(update={"server": server})))
    proxied = hand_in(behind, secret, headers={"Host": "v.example", "X-Forwarded-For": "1.2.3.4"})
    assert cookie_of(proxied)["secure"]
    assert not cookie_of(hand_in(behind, secret))["secure"]


def test_the_cookie_ends_with_its_key(client, deps):
    _, secret = make_key(deps, expires_in_days=1)
    assert int(cookie_of(hand_in(client, secret))["max-age"]) <= 24 * 3600


def test_a_wrong_key_sets_no_cookie(client, deps, secret):
    key, revoked = make_key(deps)
    deps.store.revoke_key(key.id)
    _, expired = make_key(deps, expires_in_days=1e-9)
    for wrong in ("nonsense", new_secret(), revoked, expired, secret[:-1]):
        answer = hand_in(client, wrong)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"
        assert "set-cookie" not in answer.headers
    assert client.get(PATH).json()["is_authenticated"] is False
    for body in ({}, {"key": ""}, {"key": 1}, {"key": "x" * 201}, {"key": secret, "more": 1}):
        assert client.post(PATH, json=body).status_code == 400
    padded = hand_in(client, f" {secret}\n")
    assert cookie_of(padded).value == secret


def test_a_cookie_whose_key_was_revoked_opens_nothing(client, deps):
    make_key(deps)
    key, secret = make_key(deps)
    hand_in(client, secret)
    assert client.get(JOBS).status_code == 200
    deps.store.revoke_key(key.id)
    assert client.get(JOBS).status_code == 401
    assert client.get(PATH).json() == {
        "is_authenticated": False,
        "needs_key": True,
        "tenant": None,
        "scopes": [],
        "key_name": None,
    }


FOREIGN = (
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:8001"},
    {"Origin": LOOPBACK, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
)


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_cookie_changes_nothing_unless_the_own_page_asks(client, secret, headers):
    hand_in(client, secret)
    assert client.post(JOBS, json=PROMPT, headers=headers).status_code == 403
    assert client.delete(f"{JOBS}/job_x", headers=headers).status_code == 403
    assert client.get(JOBS).json()["data"] == []


def test_an_allowed_foreign_page_cannot_use_the_cookie_either(
    settings, make_app_deps, deps, secret
):
    server = settings.server.model_copy(update={"allowed_origins": ("https://site.example",)})
    client = client_of(make_app_deps(settings.model_copy(update={"server": server})))
    hand_in(client, secret)
    site = {"Origin": "https://site.example"}
    assert client.post(JOBS, json=PROMPT, headers=site).status_code == 403
    header = {"Authorization": f"Bearer {secret}"}
    assert client.post(JOBS, json=PROMPT, headers=site | header).status_code == 201


@pytest.mark.parametrize("headers", [OWN, {"Sec-Fetch-Site": "same-origin"}])
def test_the_own_page_may_change_things(client, secret, headers):
    hand_in(client, secret)
    assert client.post(JOBS, json=PROMPT, headers=headers).status_code == 201


def test_a_header_goes_before_the_cookie(client, deps, secret):
    _, reader = make_key(deps, "jobs:read")
    hand_in(client, secret)
    header = {"Authorization": f"Bearer {reader}"}
    assert client.get(PATH, headers=header).json()["scopes"] == ["jobs:read"]
    assert client.post(JOBS, json=PROMPT, headers=header).status_code == 403
    wrong = {"Authorization": f"Bearer {new_secret()}"}
    assert client.get(JOBS, headers=wrong).status_code == 401
    right = {"Authorization": f"Bearer {secret}"}  # needs no page of ours
    assert client.post(JOBS, json=PROMPT, headers=right).status_code == 201


def test_without_any_key_this_machine_needs_none(client, deps):
    assert client.get(PATH).json() == {
        "is_authenticated": True,
        "needs_key": False,
        "tenant": "default",
        "scopes": sorted(SCOPES),
        "key_name": None,
    }
    assert hand_in(client, new_secret()).status_code == 401
    client.cookies.set(COOKIE, "left over")
    assert client.get(JOBS).status_code == 200
    assert client.post(JOBS, json=PROMPT).status_code == 201
    stranger = client_of(deps, host="192.0.2.7").get(PATH).json()
    assert (stranger["is_authenticated"], stranger["needs_key"]) == (False, True)
    proxied = client.get(PATH, headers={"X-Forwarded-For": "192.0.2.7"}).json()
    assert (proxied["is_authenticated"], proxied["needs_key"]) == (False, True)


def test_a_cookies_requests_count_as_its_keys(client, deps):
    _, secret = make_key(deps, quotas=Quotas(requests_per_minute=2))
    hand_in(client, secret)
    assert [client.get(JOBS).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get(PATH).status_code == 200


def test_a_foreign_page_can_hand_in_nothing(client, secret):
    answer = hand_in(client, secret, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_wrong_keys_are_counted_by_address(make_app_deps):
    clock = ManualClock()
    deps = make_app_deps(clock=clock)
    _, secret = make_key(deps)
    client = client_of(deps)
    for _ in range(10):
        assert hand_in(client, secret).status_code == 200
    for _ in range(10):
        assert hand_in(client, new_secret()).status_code == 401
    answer = hand_in(client, secret)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "set-cookie" not in answer.headers
    clock.advance(61)
    assert hand_in(client, secret).status_code == 200


def test_one_clients_wrong_keys_are_not_anothers():
    clock = ManualClock()
    limiter = AttemptLimiter(clock=clock)
    for _ in range(10):
        limiter.begin("192.0.2.7")
    with pytest.raises(QuotaExceeded):
        limiter.begin("192.0.2.7")
    limiter.begin("192.0.2.8")
    assert network_of("2001:db8:1:2::3") == network_of("2001:db8:1:2:ffff::")
    assert network_of("2001:db8:1:2::3") != network_of("2001:db8:1:3::3")
    assert network_of(None) == ""


def test_addresses_are_forgotten_after_their_minute():
    clock = ManualClock()
    limiter = AttemptLimiter(clock=clock)
    for number in range(10_001):
        limiter.begin(f"client-{number}")
    clock.advance(61)
    limiter.begin("another")
    assert len(limiter._times_s) == 1


def test_a_key_stands_in_no_log(client, secret, caplog):
    wrong = new_secret()
    with caplog.at_level(logging.DEBUG):
        hand_in(client, wrong)
        hand_in(client, secret)
        client.post(PATH, json={"key": [secret]})
        client.get(JOBS)
        client.post(JOBS, json=PROMPT)
        client.delete(PATH)
    assert any(record.name == "ourvidz.access" for record in caplog.records)
    for record in caplog.records:
        for text in (record.getMessage(), JsonLines().format(record), str(record.__dict__)):
            assert secret not in text
            assert wrong not in text
