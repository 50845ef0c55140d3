"""An enhancer behind a real HTTP server: what is asked, what comes back, and what goes wrong."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import (
    Cancelled,
    ConfigInvalid,
    EnhancementFailed,
    EnhancementRefused,
    ModelMissing,
)
from ourvidz.core.event import FramesReady, Note, PhaseStarted, PromptEnhanced, Waiting
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.engine.chat import MAX_ANSWER_BYTES, ChatEndpoint
from ourvidz.engine.context import Patience
from ourvidz.perf.ledger import device_seconds, exclusive_phases_s
from ourvidz.worker.assemble import assemble_worker
from tests.net.servers import RawServer, reply

RICH = "A bright red circle glides slowly to the left over a deep and calm black backdrop."
KEY = "sk-very-secret"


def completion(text=RICH, *, finish_reason="stop", **message):
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 71, "completion_tokens": 19, "total_tokens": 90},
    }


def answering(body, status="200 OK"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawServer(reply(status, data, content_type="application/json"))


def hang(connection, server):
    server.released.wait(30)


def endpoint(server, **changes):
    values = {"url": f"{server.url}/v1", "model": "tiny-chat", "key": KEY, "timeout_s": 20.0}
    return ChatEndpoint(**values | changes)


def ask(made):
    return made.ask(system="Write more.", prompt='say "ü"', max_tokens=64)


# The protocol


def test_it_asks_as_openais_clients_do():
    with answering(completion()) as server:
        answer = ask(endpoint(server))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    assert f"authorization: bearer {KEY}" in lines
    asked = json.loads(body)
    assert asked["messages"] == [
        {"role": "system", "content": "Write more."},
        {"role": "user", "content": 'say "ü"'},
    ]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("tiny-chat", 64, 0)
    assert answer.text == RICH
    assert (answer.is_finished, answer.refusal) == (True, "")
    assert (answer.num_tokens_in, answer.num_tokens_out) == (71, 19)


def test_without_a_key_none_is_sent():
    with answering(completion()) as server:
        ask(endpoint(server, key=None))
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://host:1", "http://host:1/v1/chat/completions"),
        ("http://host:1/", "http://host:1/v1/chat/completions"),
        ("https://host/v1", "https://host/v1/chat/completions"),
        ("https://host/api/v1/", "https://host/api/v1/chat/completions"),
        ("https://host/x/chat/completions", "https://host/x/chat/completions"),
        ("https://host/x?version=1", "https://host/x/chat/completions?version=1"),
    ],
)
def test_a_base_or_a_whole_address(url, whole):
    assert ChatEndpoint(url=url, model="m", key=None, timeout_s=1.0).url == whole


def test_an_address_of_another_kind_is_a_mistake_in_the_settings():
    with pytest.raises(ConfigInvalid) as caught:
        ChatEndpoint(url="file:///etc/passwd", model="m", key=None, timeout_s=1.0)
    assert caught.value.param == "enhancer_url"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"error": {"message": f"Incorrect API key {KEY}"}}, "401 Unauthorized", "refused the key"),
        ({}, "429 Too Many Requests", "too many requests"),
        ({}, "500 Internal Server Error", "answered 500"),
        ({}, "302 Found", "answered 302"),
        (b"{not json", "200 OK", "no chat completion"),
        (b"\xff\xfe", "200 OK", "no chat completion"),
        ([], "200 OK", "no chat completion"),
        ({"choices": []}, "200 OK", "no chat completion"),
        (completion([{"type": "text"}]), "200 OK", "no chat completion"),
        (b"[" * 100_000, "200 OK", "no chat completion"),
        (b" " * (MAX_ANSWER_BYTES + 1), "200 OK", "more than"),
    ],
)
def test_what_is_no_answer_says_why_and_shows_no_secret(body, status, words):
    with answering(body, status) as server, pytest.raises(EnhancementFailed) as caught:
        ask(endpoint(server))
    assert words in caught.value.message
    assert KEY not in caught.value.message


def test_one_that_hangs_or_is_not_there():
    with RawServer(hang) as server, pytest.raises(EnhancementFailed, match="in time"):
        ask(endpoint(server, timeout_s=0.2))
    with pytest.raises(EnhancementFailed, match="could not be reached"):
        ask(endpoint(server))


def test_refusals_in_the_protocols_own_words():
    with answering(completion(None, refusal="I can't help with that.")) as server:
        assert ask(endpoint(server)).refusal == "I can't help with that."
    with answering(completion("", finish_reason="content_filter")) as server:
        assert "filter" in ask(endpoint(server)).refusal
    with answering(completion(finish_reason="length")) as server:
        assert not ask(endpoint(server)).is_finished


def test_counts_that_are_missing_or_odd_are_nought():
    for usage in (None, {}, {"prompt_tokens": "7", "completion_tokens": -1}):
        with answering(completion() | {"usage": usage}) as server:
            answer = ask(endpoint(server))
        assert (answer.num_tokens_in, answer.num_tokens_out) == (0, 0)


# In the engine, without any enhancer's checkpoint


@pytest.fixture(scope="module")
def settings(tiny_models, tmp_path_factory):
    root = tmp_path_factory.mktemp("without-enhancer")
    for model_id in ("wan2.1-t2v-1.3b", "sdxl-base-1.0"):
        (root / model_id).symlink_to(tiny_models / model_id)
    return Settings(profile="full", models_dir=root, data_dir=root / "data", device="cpu")


class Chat(RawServer):
    """One server for all jobs here, whose answer each test sets."""

    def __init__(self):
        super().__init__(lambda connection, server: self.answer(connection, server))
        self.say(completion())

    def say(self, body, status="200 OK"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = reply(status, data)
        self.requests.clear()


@pytest.fixture(scope="module")
def chat():
    with Chat() as server:
        yield server


def open_engine(settings, **values):
    changed = Settings(**settings.model_dump() | values)
    catalogue = catalogue_of(changed)
    return assemble_worker(settings=changed, catalogue=catalogue, clock=SystemClock()).engine


@pytest.fixture(scope="module")
def engine(settings, chat):
    values = {"enhancer_url": chat.url, "enhancer_model": "chat", "enhancer_api_key": KEY}
    made = open_engine(settings, **values)
    yield made
    made.close()


@pytest.fixture(scope="module")
def impatient(settings, chat):
    made = open_engine(settings, enhancer_url=chat.url, enhancer_timeout_s=0.2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def without_enhancer(settings):
    made = open_engine(settings)
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask_job(settings):
    def make(job_type="image7b_fast_enhanced", on_failure="fallback"):
        changed = settings.model_copy(
            update={
                "enhancement": settings.enhancement.model_copy(update={"on_failure": on_failure})
            }
        )
        small = {"width": 64, "height": 64, "num_inference_steps": 1}
        frames = {"num_frames": 5} if job_type.startswith("video") else {}
        batch = {"num_images": 1} if job_type.startswith("sdxl") else {}
        return resolve(
            catalogue=catalogue_of(changed),
            settings=changed,
            prompt="a red circle",
            seed=1,
            job_type=job_type,
            values=small | frames | batch,
        )

    return make


class Ran:
    """One job to its end: its events, its spans and its result."""

    def __init__(self, engine, request, *, only_enhances=True, **values):
        self.recorder = SpanRecorder(SystemClock())
        run = engine.enhance_only if only_enhances else engine.generate
        self._events = run(request, recorder=self.recorder, **{"cancel": CancelToken(), **values})
        self.events = []
        self.result = None

    def all(self):
        while True:
            try:
                self.events.append(next(self._events))
            except StopIteration as stop:
                self.result = stop.value
                return self

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_an_answer_is_used_counted_and_timed(engine, chat, ask_job):
    chat.say(completion(f'Sure! Here is the prompt:\n"{RICH}"'))
    request = ask_job()
    ran = Ran(engine, request).all()
    enhancement = ran.result.enhancement
    assert ran.result.prompt == enhancement.enhanced_prompt == RICH
    assert (enhancement.verdict, enhancement.model) == ("usable", "chat")
    assert (enhancement.num_tokens_in, enhancement.num_tokens_out) == (71, 19)
    assert enhancement.num_tokens_prompt > 0
    assert len(ran.of(PromptEnhanced)) == 1
    assert ran.of(Note) == []
    spans = ran.recorder.spans()
    start_s, end_s = min(s.start_s for s in spans), max(s.end_s for s in spans)
    phases_s = exclusive_phases_s(spans, start_s=start_s, end_s=end_s)
    assert phases_s["enhance.run"] > 0
    assert "enhance.load" not in phases_s
    assert device_seconds(s for s in spans if s.phase is Phase.ENHANCE_RUN) == 0
    asked = json.loads(chat.requests[0].partition(b"\r\n\r\n")[2])
    assert asked["messages"][0]["content"] == request.enhancement.template
    assert asked["messages"][1]["content"] == "a red circle"
    assert asked["max_tokens"] == request.enhancement.max_new_tokens


@pytest.mark.parametrize("job", [job for job in JOB_TYPES if job.is_enhanced], ids=lambda j: j.name)
def test_job_types_with_an_enhancer_need_no_checkpoint_of_one(
    engine, without_enhancer, chat, ask_job, job
):
    request = ask_job(job.name)
    with pytest.raises(ModelMissing):
        Ran(without_enhancer, request).all()
    chat.say(completion())
    ran = Ran(engine, request, only_enhances=False).all()
    assert ran.result.prompt == RICH
    assert np.concatenate([event.frames for event in ran.of(FramesReady)]).shape[1] == 64
    assert not any("qwen" in model for model in engine.resident())


UNUSABLE = [
    ({"body": {}, "status": "401 Unauthorized"}, "unavailable", "refused the key"),
    ({"body": {}, "status": "429 Too Many Requests"}, "unavailable", "too many requests"),
    ({"body": {}, "status": "500 Oops"}, "unavailable", "answered 500"),
    ({"body": b"{"}, "unavailable", "no chat completion"),
    ({"body": completion("I'm sorry, but I can't help with that.")}, "refused", "can't help"),
    ({"body": completion(None, refusal="No.")}, "refused", "No."),
    ({"body": completion(finish_reason="length")}, "runaway", "token budget"),
    (
        {"body": completion("Красный круг медленно движется влево на чёрном фоне.")},
        "off_language",
        "script",
    ),
    ({"body": completion("")}, "empty", "no text"),
]


@pytest.mark.parametrize(("answer", "verdict", "words"), UNUSABLE)
def test_without_a_usable_answer_ones_own_prompt_is_used_or_the_job_fails(
    engine, chat, ask_job, answer, verdict, words
):
    chat.say(**answer)
    ran = Ran(engine, ask_job()).all()
    error = EnhancementRefused if verdict == "refused" else EnhancementFailed
    with pytest.raises(error) as caught:
        Ran(engine, ask_job(on_failure="fail")).all()
    assert ran.result.prompt == "a red circle"
    assert ran.result.enhancement.enhanced_prompt is None
    assert ran.result.enhancement.verdict == verdict
    (note,) = ran.of(Note)
    assert words in note.text
    assert words in caught.value.message
    assert KEY not in note.text + caught.value.message


def test_a_time_limit_is_an_unusable_answer_too(impatient, ask_job, chat):
    chat.answer = lambda connection, server: connection.recv(1)  # until the client leaves
    ran = Ran(impatient, ask_job()).all()
    assert ran.result.enhancement.verdict == "unavailable"
    assert "in time" in ran.of(Note)[0].text


def test_while_it_waits_others_may_have_the_thread_and_a_cancel_is_heard(engine, chat, ask_job):
    cancel, may_answer = CancelToken(), threading.Event()
    chat.answer = lambda connection, server: may_answer.wait(30)
    ran = Ran(engine, ask_job(), cancel=cancel, patience=Patience(block_s=0.0))
    kinds = [next(ran._events) for _ in range(6)]
    assert PhaseStarted(phase=Phase.ENHANCE_RUN) in kinds
    assert isinstance(kinds[-1], Waiting)
    cancel.cancel()
    with pytest.raises(Cancelled):
        ran.all()
    may_answer.set()


def test_the_key_is_shown_nowhere(settings):
    changed = Settings(**settings.model_dump() | {"enhancer_api_key": KEY})
    assert KEY not in repr(changed) + str(changed.model_dump())
