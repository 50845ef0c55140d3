"""The operator's modes, what is logged, and a model behind a real HTTP server."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from ourvidz.catalog.config import PolicyConfig
from ourvidz.core.errors import ConfigInvalid
from ourvidz.policy.build import build_policy
from ourvidz.policy.policy import Stage
from ourvidz.policy.rules import MAX_TEXT_CHARS


def _check(policy, prompt, stage=Stage.GIVEN):
    return policy.check(prompt, stage=stage)


def test_off_is_content_neutral():
    policy = build_policy(PolicyConfig(deny={"cats": "cat"}))
    for prompt in ("a cat", "a nude woman", "a bloody battle", "x" * 50_000, ""):
        assert _check(policy, prompt).is_allowed


def test_rules_refuse_by_name_in_any_case_and_disguise():
    policy = build_policy(PolicyConfig(mode="rules", deny={"cats": r"\bcats?\b", "logo": "acme"}))
    assert _check(policy, "a dog").is_allowed
    assert _check(policy, "a category").is_allowed
    for prompt in ("a CAT", "ｃａｔ", "c\u200bat"):
        assert _check(policy, prompt).rule == "cats"
    assert _check(policy, "ACME car").rule == "logo"


def test_rules_see_the_raw_text_too():
    policy = build_policy(PolicyConfig(mode="rules", deny={"hidden": "\u200b"}))
    assert _check(policy, "a\u200bb").rule == "hidden"


def test_a_very_long_prompt_is_refused_unread_under_rules():
    policy = build_policy(PolicyConfig(mode="rules", deny={"cats": "cat"}))
    assert _check(policy, "x" * MAX_TEXT_CHARS).is_allowed
    assert _check(policy, "x" * (MAX_TEXT_CHARS + 1)).rule == "too_long"


@pytest.mark.parametrize(
    "pattern",
    ["(", "[a-", "*", "", "x" * 1001, "(a+)+b", "(a*)*", "(?:x+)+y", "(a{2,})+", "a|", ".*", "x?"],
)
def test_bad_patterns_are_named(pattern):
    with pytest.raises(ConfigInvalid) as invalid:
        build_policy(PolicyConfig(mode="rules", deny={"bad": pattern}))
    assert invalid.value.param == "policy.deny.bad"


def test_good_patterns_with_repeats_are_taken():
    build_policy(PolicyConfig(mode="rules", deny={"good": r"\b(?:foo|ba+r)s?\s+baz{2,3}\b"}))


def test_refusals_are_logged_without_the_text(caplog):
    policy = build_policy(PolicyConfig(mode="rules", deny={"cats": "cat"}))
    with caplog.at_level(logging.DEBUG, logger="ourvidz.policy"):
        _check(policy, "secret zebra")
        assert caplog.records == []
        for prompt, rule in (("zebra cat", "cats"), ("zebra nude child", "sexual_content_with_")):
            caplog.clear()
            _check(policy, prompt, Stage.ENHANCED)
            (record,) = caplog.records
            line = record.getMessage()
            assert record.name == "ourvidz.policy"
            assert rule in line
            assert "enhanced" in line
            assert hashlib.sha256(prompt.encode()).hexdigest() in line
            assert "zebra" not in line


def test_unpaired_surrogates_do_not_break_the_log():
    policy = build_policy(PolicyConfig(mode="rules", deny={"cats": "cat"}))
    assert _check(policy, "cat \ud800").rule == "cats"


class _Model:
    """An OpenAI-compatible endpoint whose answer a test sets."""

    def __init__(self):
        self.status, self.content, self.seen = 200, b"", []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                model.seen.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(model.status)
                self.send_header("content-length", str(len(model.content)))
                self.end_headers()
                self.wfile.write(model.content)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/chat/completions"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def says(self, text):
        self.content = json.dumps({"choices": [{"message": {"content": text}}]}).encode()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def model():
    model = _Model()
    yield model
    model.close()


def _model_policy(url):
    return build_policy(
        PolicyConfig(
            mode="model",
            model_url=url,
            model_name="judge-1",
            model_key=SecretStr("k-1"),
            deny={"cats": "cat"},
        )
    )


@pytest.mark.parametrize("answer", ["allow", "Allow.", " ALLOWED", '"allow"'])
def test_the_model_allows(model, answer):
    model.says(answer)
    assert _check(_model_policy(model.url), "a dog").is_allowed
    ((path, headers, body),) = model.seen
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer k-1"
    assert body["model"] == "judge-1"
    assert body["temperature"] == 0
    assert json.loads(body["messages"][1]["content"]) == {"stage": "given", "prompt": "a dog"}


@pytest.mark.parametrize("answer", ["deny", "Deny: violence", "DENIED"])
def test_the_model_denies(model, answer):
    model.says(answer)
    assert _check(_model_policy(model.url), "a dog").rule == "model"


@pytest.mark.parametrize("answer", ["", "I would not allow it", "maybe", "allowance", None, 7])
def test_an_unclear_answer_is_a_refusal(model, answer):
    model.says(answer)
    assert _check(_model_policy(model.url), "a dog").rule == "model_unavailable"


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b"oops"),
        (302, b""),
        (200, b"no json"),
        (200, b"{}"),
        (200, b'{"choices": []}'),
        (200, b"[]"),
        (200, b" " * 70_000),
    ],
)
def test_a_broken_endpoint_is_a_refusal(model, status, content):
    model.status, model.content = status, content
    verdict = _check(_model_policy(model.url), "a dog")
    assert (verdict.is_allowed, verdict.rule) == (False, "model_unavailable")


def test_an_unreachable_endpoint_is_a_refusal(model):
    model.close()
    assert _check(_model_policy(model.url), "a dog").rule == "model_unavailable"


def test_the_model_is_not_asked_what_the_rules_refuse(model):
    model.says("allow")
    policy = _model_policy(model.url)
    assert _check(policy, "a nude child").rule == "sexual_content_with_minors"
    assert _check(policy, "a cat").rule == "cats"
    assert model.seen == []


@pytest.mark.parametrize("url", [None, "", "localhost:8000/v1"])
def test_a_model_needs_an_endpoint(url):
    with pytest.raises(ConfigInvalid):
        build_policy(PolicyConfig(mode="model", model_url=url))
