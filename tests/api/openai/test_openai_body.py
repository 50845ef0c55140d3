"""Bodies as clients really encode them: the official client's own encoder, and httpx's."""

import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ourvidz.api.openai.body import canonical, read_fields
from ourvidz.core.errors import InvalidRequest


async def echo(request: Request) -> JSONResponse:
    try:
        return JSONResponse(canonical(await read_fields(request, max_bytes=10_000)))
    except InvalidRequest as error:
        return JSONResponse({"refused": error.message, "param": error.param}, 400)


@pytest.fixture(scope="module")
def client():
    with TestClient(Starlette(routes=[Route("/", echo, methods=["POST"])])) as client:
        yield client


def test_forms_and_json_say_the_same(client):
    fields = {"prompt": "a", "seed": "1", "extra_params[seed]": "2", "loras[]": ["x", "y"]}
    expected = {
        "prompt": "a",
        "seed": "1",
        "extra_params": {"seed": "2"},
        "loras": ["x", "y"],
    }
    assert client.post("/", data=fields).json() == expected
    assert client.post("/", json=expected).json() == expected


def test_a_file_stands_as_its_hash_whatever_the_boundary(client):
    def send(data):
        return client.post(
            "/", data={"prompt": "a"}, files={"input_reference": ("c.png", data, "image/png")}
        )

    first, again, other = send(b"1"), send(b"1"), send(b"2")
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert first.json() == again.json()
    assert first.json() != other.json()
    assert set(first.json()["input_reference"]) == {"sha256"}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"3",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_object_is_refused(client, body):
    answer = client.post("/", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["refused"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_other_bodies_are_refused(client, content_type):
    answer = client.post("/", content=b"prompt=a", headers={"content-type": content_type})
    assert answer.status_code == 400, answer.text


def test_malformed_and_excessive_forms_are_refused(client):
    def send(**kwargs):
        return client.post("/", **kwargs)

    twice = httpx.Request("POST", "http://x", data={"a": ["1", "2"]})
    assert send(content=twice.content, headers=twice.headers).json()["param"] == "a"
    nested = send(data={"a[b]": ["1", "2"]})
    assert nested.json()["param"] == "a[b]"
    mixed = send(data={"a": "1", "a[b]": "2"})
    assert mixed.status_code == 400
    many = send(data={f"f{index}": "1" for index in range(100)}, files={"x": b"1"})
    assert many.status_code == 400
    long = send(data={"prompt": "a" * 20_000}, files={"x": b"1"})
    assert long.status_code == 400
    files = send(data={}, files={"x": b"1", "y": b"2"})
    assert files.status_code == 400


def test_canonical_does_not_depend_on_order():
    one = json.dumps(canonical({"a": 1, "b": {"d": 1, "c": 2}}))
    assert one == json.dumps(canonical({"b": {"c": 2, "d": 1}, "a": 1}))
