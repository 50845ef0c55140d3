"""Every error has one body, a documented status, and says nothing of this machine."""

import logging

import pytest
from starlette.testclient import TestClient

from ourvidz.api.app import create_app
from ourvidz.api.errors import STATUS_BY_CODE, answer_of, status_of
from ourvidz.core import errors
from ourvidz.core.errors import OurVidzError
from ourvidz.core.redact import without_paths
from tests.api.conftest import LOOPBACK, client_of

EVERY_ERROR = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, OurVidzError)
]


def body_of(answer):
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


@pytest.mark.parametrize("cls", EVERY_ERROR)
def test_every_error_of_ours_has_a_status_and_no_path(cls):
    answer = answer_of(cls("can't read '/srv/secret/model.bin'", hint="see /srv/secret/log.txt"))
    assert 400 <= answer.status <= 599
    assert answer.status == status_of(cls())
    assert "secret" not in answer.message + (answer.hint or "")
    assert answer.message


def test_what_a_client_can_mend_is_no_server_error():
    for cls in EVERY_ERROR:
        if issubclass(cls, errors.InvalidRequest):
            assert status_of(cls()) < 500, cls


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("can't write '/a/b/c.png': full", "can't write '(path)': full"),
        ("read at 3 GiB/s, 1/2 done", "read at 3 GiB/s, 1/2 done"),
        ("see https://example.com/a/b", "see https://example.com/a/b"),
        ("(/home/me/x)", "((path))"),
        ("/etc/passwd", "(path)"),
        ("and/or", "and/or"),
    ],
)
def test_paths_are_left_out_and_nothing_else(text, want):
    assert without_paths(text) == want


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/jobs/job_none", 404, "not_found"),
        ("GET", "/api/v1/jobs/..%2f..%2fetc", 404, "not_found"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs?limit=0", 400, "invalid_request"),
        ("GET", "/api/v1/jobs?limit=x", 400, "invalid_request"),
        ("POST", "/api/v1/models/none/load", 404, "not_found"),
        ("POST", "/api/v1/models/pocket-video/load", 409, "illegal_state"),
        ("POST", "/api/v1/workers/none/drain", 404, "not_found"),
    ],
)
def test_the_frameworks_errors_have_our_body(shared_client, method, path, status, code):
    answer = shared_client.request(method, path)
    assert answer.status_code == status
    error = body_of(answer)
    assert error["code"] == code
    assert set(error) == {"code", "message", "param", "hint"}
    if status == 405:
        assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"{" * 5000, b'{"prompt": NaN}', b"\xff\xfe", b"1" * 5000],
)
def test_a_body_that_is_no_job_is_400(shared_client, content):
    answer = shared_client.post(
        "/api/v1/jobs", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert body_of(answer)["message"]


def test_text_that_no_database_takes_is_400(shared_client):
    for body in (
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a", "metadata": {"k": "\\udfff"}}',
        b'{"prompt": "a", "metadata": {"\\ud800": 1}}',
        b'{"prompt": "a", "negative_prompt": "\\u0000"}',
        b'{"prompt": "a", "metadata": {"n": NaN}}',
    ):
        answer = shared_client.post(
            "/api/v1/jobs", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, body


class Broken:
    """A store whose every use fails in the given way."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise self._error

        return fail


def broken_client(deps, error):
    from dataclasses import replace

    return client_of(replace(deps, store=Broken(error)), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (errors.StoreUnavailable("host db.internal at /var/run/pg is down"), 503, "retry-after"),
        (errors.StoreFull(), 507, "x-should-retry"),
        (errors.DiskFull("no space left to write '/srv/secret'"), 507, "x-should-retry"),
    ],
)
def test_a_store_in_trouble_is_said_with_when_to_come_again(deps, error, status, header):
    client = broken_client(deps, error)
    for path in ("/api/v1/jobs", "/readyz", "/metrics"):
        answer = client.get(path)
        assert answer.status_code == status
        assert header in answer.headers
        assert body_of(answer)["code"] == error.code
        for secret in ("internal", "/var", "secret"):
            assert secret not in answer.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/queue", "/v1/models"])
def test_what_nobody_expected_is_500_with_an_id_and_the_trace_is_logged(deps, caplog, path):
    from dataclasses import replace

    error = ZeroDivisionError("at /srv/secret/place.py")
    deps = replace(deps, catalogue=Broken(error), store=BrokenQueue(deps.store, error))
    app = create_app(deps)
    client = TestClient(app, base_url=LOOPBACK, client=("127.0.0.1", 5))
    with caplog.at_level(logging.ERROR, logger="ourvidz.error"):
        answer = client.get(path)
    assert answer.status_code == 500
    assert body_of(answer)["code"] == "internal_error"
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.text
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = [one for one in caplog.records if one.name == "ourvidz.error"]
    assert record.request_id == request_id
    assert record.exc_info


class BrokenQueue:
    """The real store, but that counting fails."""

    def __init__(self, store, error):
        self._store = store
        self._error = error

    def counts(self, **options):
        raise self._error

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_the_table_of_statuses_names_codes_that_exist():
    known = {cls.code for cls in EVERY_ERROR} | {"method_not_allowed"}
    assert set(STATUS_BY_CODE) <= known
