"""From the old lists into the store: once each, whatever stops the bridge on the way."""

import json
import threading

import pytest

from ourvidz.bridge.mover import RECOUNT_S
from ourvidz.bridge.queues import QueueUnavailable, open_queues
from ourvidz.catalog.config import BridgeConfig
from ourvidz.core.errors import ConfigInvalid, StoreUnavailable
from ourvidz.core.job import JobState
from ourvidz.jobs.model import Dedup, Source
from ourvidz.jobs.submission import Draft
from tests.bridge.payloads import NAMES, load, raw
from tests.bridge.servers import TOKEN, RedisServer, serve, upstash_handler, wait_until
from tests.clocks import ManualClock


class Killed(BaseException):
    """The process ends here: nothing of ours may catch it."""


@pytest.mark.parametrize("name", NAMES)
def test_each_payload_becomes_its_job(any_house, push, lists, name):
    payload = load(name)
    queue = "sdxl_queue" if name.startswith("sdxl") else "wan_queue"
    push(payload, queue=queue)
    any_house.bridge().run_once()
    (job,) = any_house.jobs()
    assert (job.state, job.source) == (JobState.QUEUED, Source.BRIDGE)
    assert job.request.job_type == payload["type"]
    assert job.request.prompt == payload["prompt"]
    assert job.legacy == payload
    assert job.metadata == {"legacy_id": payload["id"]}
    assert job.callbacks[0].facts["job_id"] == payload["id"]
    assert "scaled_to_profile" in {note["code"] for note in job.adjustments}
    assert lists() == {}


def test_the_oldest_come_first_and_the_queues_take_turns(house, push):
    push(*(load("wan_august", id=f"w{n}") for n in range(3)))
    push(*(load("sdxl_august", id=f"s{n}") for n in range(2)), queue="sdxl_queue")
    house.bridge().run_once()
    ids = [job.metadata["legacy_id"] for job in house.jobs()]
    assert ids == ["s0", "w0", "s1", "w1", "w2"]


def test_a_job_delivered_twice_is_one_job(any_house, push, lists):
    push(load("wan_july"), load("wan_july"))
    bridge = any_house.bridge()
    bridge.run_once()
    push(load("wan_july", prompt="the same id with another prompt"), queue="sdxl_queue")
    any_house.bridge(name="elsewhere").run_once()
    (job,) = any_house.jobs()
    assert job.request.prompt == load("wan_july")["prompt"]
    assert (bridge.mover.tally.stored, bridge.mover.tally.known) == (1, 1)
    assert lists() == {}


def test_an_id_that_somebody_else_took_is_refused_and_does_not_block(house, push, site):
    house.submitter.submit(
        [Draft(prompt="a blue star")], dedup=Dedup(key="legacy:wan_job_77", body_hash="another")
    )
    push(load("wan_august"), load("wan_july"))
    house.bridge().run_once()
    assert [job.metadata["legacy_id"] for job in house.jobs()] == [load("wan_july")["id"]]
    assert [body["job_id"] for body in site.bodies] == ["wan_job_77"]


def test_a_crash_before_the_store_has_it(any_house, push, lists, monkeypatch):
    push(load("wan_july"), load("wan_august"))
    bridge = any_house.bridge()
    monkeypatch.setattr(type(bridge.mover), "_submit", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        bridge.run_once()
    monkeypatch.undo()
    assert lists() == {"wan_queue": 1, "wan_queue:bridge:here": 1}
    assert any_house.jobs() == ()
    any_house.bridge().run_once()
    assert [job.metadata["legacy_id"] for job in any_house.jobs()] == [
        load("wan_july")["id"],
        "wan_job_77",
    ]
    assert lists() == {}


def test_a_crash_after_the_store_has_it(any_house, push, lists, monkeypatch):
    push(load("wan_july"))
    bridge = any_house.bridge()
    monkeypatch.setattr(type(bridge.queues), "remove", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        bridge.run_once()
    monkeypatch.undo()
    assert lists() == {"wan_queue:bridge:here": 1}
    assert len(any_house.jobs()) == 1
    again = any_house.bridge()
    again.run_once()
    assert len(any_house.jobs()) == 1
    assert (again.mover.tally.stored, again.mover.tally.known) == (0, 1)
    assert lists() == {}


def test_another_bridges_entries_are_left_alone(house, push, redis, lists):
    redis.lpush("wan_queue:bridge:elsewhere", raw(load("wan_august")))
    push(load("wan_july"))
    house.bridge().run_once()
    assert [job.metadata["legacy_id"] for job in house.jobs()] == [load("wan_july")["id"]]
    assert lists() == {"wan_queue:bridge:elsewhere": 1}


def test_poison_is_put_aside_and_said(any_house, push, redis, lists, caplog):
    poison = [b"{not json", b'{"type": "video_fast"}', b"[]"]
    push(*poison, load("wan_july"))
    bridge = any_house.bridge()
    bridge.run_once()
    assert len(any_house.jobs()) == 1
    assert lists() == {"wan_queue:bridge:dead": 3}
    assert redis.lrange("wan_queue:bridge:dead", 0, -1) == poison[::-1]
    assert bridge.mover.tally.dead == 3
    said = [r.getMessage() for r in caplog.records if "bridge:dead" in r.getMessage()]
    assert len(said) == 3
    assert "it has no id" in said[1]


def test_bytes_that_are_no_text_do_not_stay_either(any_house, push, lists):
    push(b"\xff\xfe\x00", load("wan_july"))
    any_house.bridge().run_once()
    assert len(any_house.jobs()) == 1
    left = lists()
    assert left.pop("wan_queue:bridge:dead") == 1
    assert "wan_queue:bridge:here" not in left
    assert "wan_queue" not in left


def test_a_store_that_can_not_be_reached_keeps_the_entry(house, push, lists, monkeypatch):
    push(load("wan_july"))
    bridge = house.bridge()

    def refuse(*_, **__):
        raise StoreUnavailable()

    monkeypatch.setattr(type(house.submitter), "submit", refuse)
    with pytest.raises(StoreUnavailable):
        bridge.run_once()
    assert lists() == {"wan_queue:bridge:here": 1}
    monkeypatch.undo()
    bridge.run_once()
    assert len(house.jobs()) == 1
    assert lists() == {}


def test_redis_goes_away_and_comes_back(tmp_path, make_house, caplog):
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    house = make_house(redis_url=server.url)
    stop = threading.Event()
    bridge = house.bridge()
    thread = threading.Thread(target=bridge.run, args=(stop,), daemon=True)
    thread.start()
    try:
        server.client.lpush("wan_queue", raw(load("wan_august", id="before")))
        wait_until(lambda: len(house.jobs()) == 1, "the first job")
        # As if the server had gone before the bridge got the answer to its LMOVE.
        server.client.lpush("wan_queue:bridge:here", raw(load("wan_august", id="held")))
        server.stop()
        wait_until(lambda: "the bridge waits" in caplog.text, "the bridge's complaint")
        server.start()
        server.client.lpush("wan_queue", raw(load("wan_august", id="after")))
        wait_until(lambda: len(house.jobs()) == 3, "the jobs after the return")
        wait_until(lambda: not server.client.keys(), "empty lists")
    finally:
        stop.set()
        thread.join(10)
        bridge.close()
        server.stop()
    assert not thread.is_alive()
    assert [job.metadata["legacy_id"] for job in house.jobs()] == ["before", "held", "after"]


def test_what_another_process_of_the_same_name_left_is_found_in_time(house, redis, lists):
    """A rolling restart: the old process is killed after the new one has counted."""
    clock = house.submitter.clock = ManualClock()
    bridge = house.bridge()
    bridge.run_once()
    redis.lpush("wan_queue:bridge:here", raw(load("wan_july")))
    bridge.run_once()
    assert house.jobs() == ()
    clock.advance(RECOUNT_S)
    bridge.run_once()
    assert len(house.jobs()) == 1
    assert lists() == {}


def test_an_answer_that_was_lost_loses_nothing(make_house, redis_server, push, lists):
    """Upstash ran the LMOVE and the connection broke: the entry waits on the processing list."""
    lose = ["LMOVE"]
    with serve(upstash_handler(redis_server.url, lose=lose)) as url:
        house = make_house(upstash_url=url, upstash_token=TOKEN)
        push(load("sdxl_july"), queue="sdxl_queue")
        bridge = house.bridge()
        with pytest.raises(QueueUnavailable):
            bridge.mover.step()
        assert lose == []
        assert lists() == {"sdxl_queue:bridge:here": 1}
        bridge.run_once()
        assert len(house.jobs()) == 1
        assert lists() == {}


def test_a_wrong_upstash_token_is_said(make_house, redis_server, push):
    with serve(upstash_handler(redis_server.url)) as url:
        house = make_house(upstash_url=url, upstash_token="wrong")
        push(load("wan_july"))
        with pytest.raises(QueueUnavailable, match="WRONGPASS"):
            house.bridge().run_once()


def test_no_client_waits_for_ever():
    upstash = open_queues(BridgeConfig(upstash_url="http://127.0.0.1:9", upstash_token="t"))
    assert upstash._client._http._client.timeout.read == 30.0
    plain = open_queues(BridgeConfig(redis_url="redis://127.0.0.1:9"))
    assert plain._client.connection_pool.connection_kwargs["socket_timeout"] == 30.0


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"redis_url": "redis://h", "upstash_url": "https://u"},
        {"upstash_url": "https://u"},
        {"redis_url": "nonsense"},
    ],
)
def test_settings_that_name_no_queue_are_refused(config):
    with pytest.raises(ConfigInvalid):
        open_queues(BridgeConfig(**config))


@pytest.mark.parametrize("url", [None, "site.example", "ftp://site.example"])
def test_a_bridge_without_a_site_does_not_start(make_house, url):
    with pytest.raises(ConfigInvalid, match="site_url"):
        make_house(site_url=url).bridge()


def test_every_payload_is_kept_whole_by_the_store(house, push):
    payload = load("mixed", extra={"deep": [1, None, True, 2.5, "\u2603"]})
    push(json.dumps(payload, ensure_ascii=False).encode())
    house.bridge().run_once()
    assert house.jobs()[0].legacy == payload
