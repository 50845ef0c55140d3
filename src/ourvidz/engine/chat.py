"""An enhancer that runs elsewhere: any server that speaks OpenAI's chat completions.

The address is the operator's own, so that it may be a private one and plain HTTP. What comes back
is a stranger's text like any language model's: bounded here, judged by ``answers``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

from ourvidz.core.errors import (
    ConfigInvalid,
    EnhancementFailed,
    MissingDependency,
    OurVidzError,
)

MAX_ANSWER_BYTES = 256 * 1024
_PATH = "/chat/completions"
_WHY = {
    401: "it refused the key",
    403: "it refused the key",
    404: "it knows no such address or model",
    429: "it has too many requests",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatAnswer:
    """What the model wrote."""

    text: str
    is_finished: bool  # it ended by itself, within its token budget
    refusal: str  # why the server or the model gave no answer; empty where it did
    num_tokens_in: int  # as the server counts; 0 where it does not tell
    num_tokens_out: int


class ChatEndpoint:
    """One model behind one address. Callable from any thread; keeps no connection."""

    def __init__(self, *, url: str, model: str, key: str | None, timeout_s: float) -> None:
        """Check the address; nothing is asked yet.

        Args:
            url: the server's base (``https://host/v1``) or the whole address.
            model: as the server calls it.
            key: bearer key, if it needs one.
            timeout_s: of one question, from connecting to the last byte.

        Raises:
            ConfigInvalid: no HTTP address.
            MissingDependency: the packages of the ``serve`` extra are not installed.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigInvalid(
                f"enhancer_url is no HTTP address: {url!r}.",
                param="enhancer_url",
                hint="Give the server's base: https://host/v1.",
            )
        try:
            from ourvidz.net.client import GuardedClient
        except ImportError as error:
            raise MissingDependency(
                "enhancer_url needs httpx.", hint="pip install 'ourvidz[serve]'"
            ) from error
        self._client = GuardedClient(allow_private=True)
        self.url = _whole_address(url)
        self.model = model
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._timeout_s = timeout_s

    def begin(self, *, system: str, prompt: str, max_tokens: int) -> Future[ChatAnswer]:
        """Ask on a thread of its own; the answer as ``ask`` gives it."""
        future: Future[ChatAnswer] = Future()

        def run() -> None:
            try:
                future.set_result(self.ask(system=system, prompt=prompt, max_tokens=max_tokens))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

        # A daemon: a job that was cancelled meanwhile must not keep the process from ending.
        threading.Thread(target=run, name="enhancer", daemon=True).start()
        return future

    def ask(self, *, system: str, prompt: str, max_tokens: int) -> ChatAnswer:
        """Ask once and return the answer.

        Args:
            system: what the model is told.
            prompt: what the person wrote.
            max_tokens: longest answer.

        Raises:
            EnhancementFailed: no answer, with the reason in words that show neither key nor body.
        """
        body = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
            ],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": False,
        }
        content = json.dumps(body).encode()
        try:
            answered = self._client.ask(
                self.url,
                content=content,
                headers=self._headers,
                max_bytes=MAX_ANSWER_BYTES,
                timeout_s=self._timeout_s,
            )
        except OurVidzError as error:  # refused, unreachable, too slow, too long
            raise EnhancementFailed(error.message) from error
        if answered.status != 200:
            why = _WHY.get(answered.status)
            told = f"it answered {answered.status}"
            raise EnhancementFailed(f"{told}: {why}." if why else f"{told}.")
        try:
            return _answer_of(json.loads(answered.content))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise EnhancementFailed("what it answered is no chat completion.") from None


def _whole_address(url: str) -> str:
    base, question, query = url.partition("?")
    base = base.rstrip("/")
    if not base.endswith(_PATH):
        is_host_alone = base.count("/") == 2
        base += f"/v1{_PATH}" if is_host_alone else _PATH
    return base + question + query


def _answer_of(body: Any) -> ChatAnswer:
    choice: Mapping[str, Any] = body["choices"][0]
    message: Mapping[str, Any] = choice["message"]
    text, refusal = message.get("content") or "", message.get("refusal") or ""
    if not isinstance(text, str) or not isinstance(refusal, str):
        raise TypeError("content of parts")
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        refusal = refusal or "the server's content filter"
    usage = body.get("usage") or {}
    return ChatAnswer(
        text=text,
        is_finished=reason != "length",
        refusal=refusal,
        num_tokens_in=_count(usage, "prompt_tokens"),
        num_tokens_out=_count(usage, "completion_tokens"),
    )


def _count(usage: Any, name: str) -> int:
    value = cast("Mapping[str, Any]", usage).get(name)
    return value if isinstance(value, int) and value >= 0 else 0
