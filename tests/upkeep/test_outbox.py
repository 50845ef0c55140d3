"""Messages: a real store, a real HTTP receiver, signatures checked by two official packages."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import openai
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from ourvidz.core.errors import ConfigInvalid, FetchFailed, StorageFailed
from ourvidz.jobs.model import Callback, NewJob
from ourvidz.net.client import GuardedClient
from ourvidz.upkeep.outbox import SCHEDULE_S, OutboxSender, Post
from ourvidz.upkeep.webhook import MAX_PAYLOAD_BYTES, WebhookRenderer
from tests.clocks import ManualClock
from tests.upkeep.outbox_parts import Receiver, finish_job, open_test_store, request, webhook

OLD, NEW = (
    SecretStr("whsec_" + base64.b64encode(bytes([number] * 32)).decode()) for number in (1, 2)
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path, clock):
    store = open_test_store(tmp_path, clock)
    yield store
    store.close()


def _sender(store, renderers=None, client=None, draw=lambda: 0.0, **options):
    return OutboxSender(
        store,
        client or GuardedClient(allow_private=True),
        renderers or {"webhook": WebhookRenderer((NEW, OLD), base_url="https://vidz.example/")},
        draw=draw,
        **options,
    )


def _outbox(store, job_id="job_1"):
    return store.outbox(job_id)


def test_a_finished_job_is_told_once(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url), metadata={"shot": 7}, assets=2)
        sender = _sender(store)
        assert sender.send_due() == 1
        assert sender.send_due() == 0
    ((path, headers, _),) = receiver.seen
    assert path == "/hook"
    assert headers["content-type"] == "application/json"
    (body,) = receiver.bodies
    assert body["type"] == "job.succeeded"
    assert body["timestamp"].endswith("+00:00")
    data = body["data"]
    assert (data["id"], data["state"], data["metadata"]) == ("job_1", "succeeded", {"shot": 7})
    assert data["links"]["self"] == "https://vidz.example/api/v1/jobs/job_1"
    assert [asset["index"] for asset in data["assets"]] == [0, 1]
    assert all(asset["url"].startswith("https://vidz.example/") for asset in data["assets"])
    assert "prompt" not in json.dumps(body)


def test_signatures_verify_with_both_official_packages(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        _sender(store).send_due()
    ((_, headers, body),) = receiver.seen
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (OLD, NEW):
        text = secret.get_secret_value()
        assert Webhook(text).verify(body, headers)["type"] == "job.succeeded"
        client = openai.OpenAI(api_key="unused", webhook_secret=text)
        client.webhooks.verify_signature(body, headers)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.verify_signature(body + b" ", headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(text).verify(body, {**headers, "webhook-id": "msg_0"})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"3" * 32).decode()).verify(body, headers)


def test_without_secrets_nothing_is_signed(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        _sender(store, {"webhook": WebhookRenderer(())}).send_due()
    ((_, headers, _),) = receiver.seen
    assert "webhook-signature" not in headers
    assert receiver.bodies[0]["data"]["links"]["self"] == "/api/v1/jobs/job_1"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all!!", "whsec_" + "QUFB" * 40]
)
def test_bad_secrets_are_refused_without_being_shown(secret):
    with pytest.raises(ConfigInvalid) as invalid:
        WebhookRenderer([SecretStr(secret)])
    assert not secret or secret not in str(invalid.value.to_dict()).replace("whsec_ and", "")


def test_the_schedule_is_kept_and_the_id_stays(store, clock):
    with Receiver(500) as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store)
        for number, wait_s in enumerate(SCHEDULE_S, start=1):
            if wait_s:
                clock.advance(wait_s - 0.5)
                assert sender.send_due() == 0
                clock.advance(0.5)
            assert sender.send_due() == 1
            assert len(receiver.seen) == number
        clock.advance(10 * 24 * 3600)
        assert sender.send_due() == 0
    assert len(receiver.seen) == len(SCHEDULE_S) == 10
    assert len({headers["webhook-id"] for _, headers, _ in receiver.seen}) == 1
    assert receiver.seen[0][1]["webhook-id"].startswith("msg_")
    (message,) = _outbox(store)
    assert "500" in message["error"]


def test_jitter_only_lengthens(store, clock):
    with Receiver(500) as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store, draw=lambda: 1.0)
        sender.send_due()
        clock.advance(5.9)
        assert sender.send_due() == 0
        clock.advance(0.1)
        assert sender.send_due() == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_every_other_status_is_tried_again(store, clock, status):
    with Receiver(status, 200) as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store)
        sender.send_due()
        clock.advance(5)
        assert sender.send_due() == 1
        clock.advance(1e6)
        assert sender.send_due() == 0
    assert len(receiver.seen) == 2


def test_gone_gives_up_at_once(store, clock):
    with Receiver(410) as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store)
        sender.send_due()
        clock.advance(1e6)
        assert sender.send_due() == 0
    assert len(receiver.seen) == 1


def test_retry_after_is_honoured(store, clock):
    with Receiver(503, retry_after="90") as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store)
        sender.send_due()
        clock.advance(89)
        assert sender.send_due() == 0
        clock.advance(1)
        assert sender.send_due() == 1


def test_a_receiver_that_is_down_costs_the_others_nothing(store, clock):
    with Receiver() as down:
        pass
    with Receiver() as receiver:
        for number in range(6):
            finish_job(store, f"job_{number}", webhook(down.url), webhook(receiver.url))
        assert _sender(store).send_due() == 12
        assert len(receiver.seen) == 6
        clock.advance(5)
        assert _sender(store).send_due() == 6


def test_private_addresses_are_not_posted_to(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        _sender(store, client=GuardedClient()).send_due()
        assert receiver.seen == []
    assert "url_refused" in _outbox(store)[0]["error"]


def test_a_sender_that_died_leaves_its_messages_to_the_next(store, clock):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        assert len(store.claim_outbox(limit=5, lease_s=300)) == 1  # and never settled
        assert _sender(store).send_due() == 0
        clock.advance(301)
        assert _sender(store).send_due() == 1
        assert len(receiver.seen) == 1


def test_failures_of_a_renderer_are_tried_again(store, clock):
    attempts = []

    def copies_first(item, job, assets):
        attempts.append((item.event, job.id, len(assets)))
        if len(attempts) == 1:
            raise StorageFailed
        if len(attempts) == 2:
            raise KeyError("a mistake")
        return [Post(url=item.url, content=f"part {part}".encode(), headers={}) for part in (1, 2)]

    with Receiver() as receiver:
        callback = Callback(kind="legacy", url=receiver.url, events=("succeeded",))
        finish_job(store, "job_1", callback, assets=2)
        sender = _sender(store, {"legacy": copies_first})
        sender.send_due()
        assert "storage_failed" in _outbox(store)[0]["error"]
        clock.advance(5)
        sender.send_due()
        assert "KeyError" in _outbox(store)[0]["error"]
        assert "a mistake" not in _outbox(store)[0]["error"]
        clock.advance(300)
        sender.send_due()
        assert [body for _, _, body in receiver.seen] == [b"part 1", b"part 2"]
    assert attempts == [("succeeded", "job_1", 2)] * 3


def test_the_second_request_waits_for_the_first(store, clock):
    def two(item, job, assets):
        return [Post(url=item.url, content=bytes([65 + part]), headers={}) for part in (0, 1)]

    with Receiver(500, 200) as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store, {"webhook": two})
        sender.send_due()
        assert [body for _, _, body in receiver.seen] == [b"A"]
        clock.advance(5)
        sender.send_due()
        assert [body for _, _, body in receiver.seen] == [b"A", b"A", b"B"]


def test_an_empty_rendering_is_delivered(store, clock):
    finish_job(store, "job_1", webhook("http://127.0.0.1:9/"))
    sender = _sender(store, {"webhook": lambda item, job, assets: ()})
    assert sender.send_due() == 1
    clock.advance(1e6)
    assert sender.send_due() == 0


def test_an_unknown_kind_waits_for_a_process_that_knows_it(store, clock):
    with Receiver() as receiver:
        callback = Callback(kind="legacy", url=receiver.url, events=("succeeded",))
        finish_job(store, "job_1", callback)
        _sender(store).send_due()
        clock.advance(5)
        post = Post(url=receiver.url, content=b"x", headers={})
        _sender(store, {"legacy": lambda item, job, assets: [post]}).send_due()
        assert len(receiver.seen) == 1


def test_a_long_run_of_requests_is_cut_before_the_lease_ends(store):
    clock = ManualClock()

    class Slow:
        def __init__(self):
            self.posts = 0

        def post(self, url, *, content, headers, timeout_s):
            self.posts += 1
            clock.advance(timeout_s)
            if self.posts > 50:
                raise AssertionError("endless")
            return type("Result", (), {"status": 200, "retry_after_s": None})()

    slow = Slow()
    posts = [Post(url="http://127.0.0.1:9/", content=b"", headers={})] * 100
    finish_job(store, "job_1", webhook("http://127.0.0.1:9/"))
    sender = OutboxSender(
        store, slow, {"webhook": lambda item, job, assets: posts}, clock, timeout_s=10
    )
    sender.send_due()
    assert slow.posts < 20
    assert "too many" in _outbox(store)[0]["error"]


def test_deleted_jobs_are_given_up(store, clock):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        store.delete_job("job_1")
        _sender(store).send_due()
        clock.advance(1e6)
        assert _sender(store).send_due() == 0
        assert receiver.seen == []


def test_stop_ends_between_messages(store):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url))
        sender = _sender(store)
        sender.stop()
        assert sender.send_due() == 0
        assert receiver.seen == []


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_other_ends_are_told_too(store, outcome):
    with Receiver() as receiver:
        callback = Callback(kind="webhook", url=receiver.url)
        store.submit([NewJob(id="job_1", request=request(), callbacks=(callback,))])
        if outcome == "cancelled":
            store.cancel("job_1")
        else:
            job = store.claim("worker-1", lease_s=60, overdue_s=900)
            store.fail("job_1", job.token, error={"code": "output_invalid"}, retry_in_s=None)
        _sender(store).send_due()
    (body,) = receiver.bodies
    assert body["type"] == f"job.{outcome}"
    assert body["data"]["state"] == outcome
    assert body["data"]["assets"] == []
    error = body["data"]["error"]
    assert error is None if outcome == "cancelled" else error["code"] == "output_invalid"


@pytest.mark.parametrize(
    ("metadata", "assets"),
    [({"big": "x" * 30_000}, 2), ({"big": "€" * 6_600}, 2), ({}, 400), ({"big": "x" * 9999}, 90)],
)
def test_bodies_stay_below_the_limit(store, metadata, assets):
    with Receiver() as receiver:
        finish_job(store, "job_1", webhook(receiver.url), metadata=metadata, assets=assets)
        assert _sender(store).send_due() == 1
    ((_, headers, body),) = receiver.seen
    assert len(body) < MAX_PAYLOAD_BYTES
    data = json.loads(body)["data"]
    assert data["shortened"] is True
    assert data["id"] == "job_1"
    assert data["assets"]
    Webhook(NEW.get_secret_value()).verify(body, headers)


def test_what_the_client_raises_is_a_failed_try(store):
    class Broken:
        def post(self, url, *, content, headers, timeout_s):
            raise FetchFailed("'site.example' could not be reached.")

    finish_job(store, "job_1", webhook("http://127.0.0.1:9/"))
    _sender(store, client=Broken()).send_due()
    assert "could not be reached" in _outbox(store)[0]["error"]


def test_running_is_told_where_asked_for(store):
    with Receiver() as receiver:
        callback = replace(webhook(receiver.url), events=("claimed",))
        finish_job(store, "job_1", callback)
        _sender(store).send_due()
    (body,) = receiver.bodies
    assert body["type"] == "job.claimed"
    assert (body["data"]["state"], body["data"]["finished_at"]) == ("running", None)
    assert body["data"]["assets"] == []
