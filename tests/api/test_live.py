"""Changes of the whole service: all of them, to everybody who may know, and to nobody else."""

import json
from contextlib import ExitStack, contextmanager

import pytest

import ourvidz
from ourvidz.api import live
from ourvidz.api.benchmarks import Benchmarks
from ourvidz.api.keys import create_key
from ourvidz.api.live import MARGIN_S, LiveDesk
from ourvidz.core.clock import SystemClock
from ourvidz.jobs.model import Beat
from ourvidz.jobs.open import open_store
from tests.api.conftest import client_of, parse
from tests.api.test_benchmarks import RUN_ID
from tests.api.test_system import put_worker
from tests.api.worker import LEASE_S, WORKER, claim, finish_job, publish
from tests.clocks import ManualClock
from tests.jobs.factory import make_asset, make_job, make_request

PROMPT = {"prompt": "a red circle moving left"}
PATH = "/api/v1/events"


def submit(client, **values):
    return client.post("/api/v1/jobs", json=PROMPT | values).json()["id"]


class Listener:
    """Reads a stream's events one after the other."""

    def __init__(self, answer):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        self._lines = answer.iter_lines()

    def next(self):
        """Return the next event's name and data."""
        name = next(line for line in self._lines if line.startswith("event: "))
        data = next(self._lines)
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    def until(self, is_it):
        """Read events up to the first that ``is_it``; return that one's data."""
        while True:
            name, data = self.next()
            if is_it(name, data):
                return data

    def job(self, job_id, is_it=lambda job: True):
        """Return the first answer of a job that ``is_it``."""
        found = []

        def look(name, data):
            jobs = data["data"] if name == "jobs" else []
            found.extend(job for job in jobs if job["id"] == job_id and is_it(job))
            return bool(found)

        self.until(look)
        return found[0]

    def deletion(self, job_id):
        self.until(lambda name, data: name == "jobs" and job_id in data["deleted"])


@contextmanager
def listening(server, **options):
    with server.stream("GET", PATH, **options) as answer:
        listener = Listener(answer)
        yield listener


@contextmanager
def greeted(server, **options):
    with listening(server, **options) as listener:
        assert listener.next()[0] == "hello"
        yield listener


def test_the_stream_begins_with_a_hello(client):
    started_at = client.get("/api/v1/status").json()["started_at"]
    answer = client.get(PATH, params={"max_s": 0.01})
    assert answer.headers["cache-control"] == "no-store"
    (hello,) = parse(answer.text)
    assert hello["event"] == "hello"
    assert json.loads(hello["data"]) == {
        "server_started_at": started_at,
        "version": ourvidz.__version__,
    }


def test_a_job_is_followed_from_its_submit_to_its_files_and_its_deletion(server, deps):
    with greeted(server) as listener:
        job_id = submit(server)
        queued = listener.job(job_id)
        assert queued["state"] == "queued"
        assert queued["attempts"] is None
        job = claim(deps, job_id)
        listener.job(job_id, lambda job: job["state"] == "running")
        beat = Beat(job_id=job_id, token=job.token, progress={"phase": "denoise", "done": 3})
        deps.store.beat(WORKER, [beat], lease_s=LEASE_S)
        step = listener.job(job_id, lambda job: (job["progress"] or {}).get("step") == 3)
        assert step["progress"]["phase"] == "denoise"
        publish(deps, job)
        done = listener.job(job_id, lambda job: job["state"] == "succeeded")
        assert done["assets"][0]["url"].startswith(str(server.base_url))
        assert done == server.get("/api/v1/jobs").json()["data"][0] | {"assets": done["assets"]}
        server.put(f"/api/v1/jobs/{job_id}/favourite")
        listener.job(job_id, lambda job: job["is_favourite"])
        server.delete(f"/api/v1/jobs/{job_id}")
        listener.deletion(job_id)


def test_a_job_that_ends_between_two_looks_is_told(server, deps):
    old = submit(server)
    deps.store.cancel(old)
    with greeted(server) as listener:
        job_id = submit(server)
        finish_job(deps, job_id)
        listener.job(job_id, lambda job: job["state"] == "succeeded")
        deps.store.retry(old)  # of before the connection; cancelled again at once
        deps.store.cancel(old)
        listener.job(old, lambda job: job["state"] == "cancelled")
        deps.store.delete_job(old)
        listener.deletion(old)


def test_the_order_of_a_queue_can_be_told_from_its_jobs(server, deps):
    first, second, third = (submit(server, seed=seed) for seed in range(3))
    with greeted(server) as listener:
        server.post(f"/api/v1/jobs/{third}/move", json={"before": second})
        listener.job(third)
        server.post(f"/api/v1/jobs/{second}/move", json={"priority": 5})
        listener.job(second)
    jobs = server.get("/api/v1/jobs", params={"state": "queued"}).json()["data"]
    ordered = sorted(jobs, key=lambda job: (-job["priority"], job["position"], job["id"]))
    assert [job["id"] for job in ordered] == [second, first, third]
    assert [claim(deps).id for _ in range(3)] == [second, first, third]


def test_the_queue_is_told_when_it_changed(server):
    with greeted(server) as listener:
        server.post("/api/v1/queue/pause", json={"scope": "video_fast"})
        listener.until(lambda name, data: name == "queue" and data["paused"] == ["video_fast"])
        job_id = submit(server)
        assert listener.job(job_id)["is_held"]
        queue = listener.until(lambda name, data: name == "queue")
        assert queue["by_state"] == {"queued": 1}
        server.post("/api/v1/queue/resume", json={"scope": "video_fast"})
        assert not listener.job(job_id)["is_held"]
        listener.until(lambda name, data: name == "queue" and data["paused"] == [])


def test_workers_are_told_when_more_than_their_sign_of_life_changed(server, deps):
    started_at = deps.store.now()
    put_worker(deps, started_at=started_at)
    with greeted(server) as listener:
        put_worker(deps, started_at=started_at)
        submit(server)
        listener.until(lambda name, data: name == "queue")  # and nothing of workers before it
        put_worker(deps, started_at=started_at, state="busy")
        name, data = listener.next()
        assert (name, data["data"][0]["state"]) == ("workers", "busy")
        assert data == server.get("/api/v1/workers").json()
        deps.store.remove_worker(WORKER)
        assert listener.until(lambda name, data: name == "workers") == {"data": []}


def test_a_tenant_learns_of_his_own_jobs_alone(server, deps):
    headers = {}
    for tenant, scope in (("a", "jobs:read"), ("b", "jobs:read"), ("default", "admin")):
        _, secret = create_key(
            store=deps.store,
            clock=SystemClock(),
            name=tenant,
            tenant=tenant,
            scopes=[scope, "jobs:write"],
        )
        headers[tenant] = {"Authorization": f"Bearer {secret}"}
    put_worker(deps)
    with (
        greeted(server, headers=headers["a"]) as own,
        greeted(server, headers=headers["default"]) as operator,
    ):
        others = server.post("/api/v1/jobs", json=PROMPT, headers=headers["b"]).json()["id"]
        deps.store.cancel(others)
        deps.store.delete_job(others)
        server.post("/api/v1/jobs", json=PROMPT, headers=headers["a"])
        seen = []
        own.until(lambda name, data: seen.append((name, data)) or (name == "jobs" and data["data"]))
        assert others not in json.dumps(seen)
        assert own.until(lambda name, data: name == "queue")["by_state"] == {"queued": 1}
        put_worker(deps, state="busy")
        workers = own.until(lambda name, data: name == "workers")
        assert workers["data"][0]["jobs"] == []
        operator.deletion(others)
        operator.until(lambda name, data: name == "workers" and data["data"][0]["jobs"])
    assert server.get(PATH).status_code == 401
    _, blind = create_key(
        store=deps.store,
        clock=SystemClock(),
        name="blind",
        tenant="a",
        scopes=["metrics:read"],
    )
    assert server.get(PATH, headers={"Authorization": f"Bearer {blind}"}).status_code == 403


def test_new_records_and_decisions_are_told_to_who_may_read_figures(server, deps):
    secrets = {}
    for scopes in (("jobs:read",), ("jobs:read", "metrics:read")):
        _, secrets[scopes] = create_key(
            store=deps.store, clock=SystemClock(), name="x", tenant="default", scopes=[*scopes]
        )
    blind, seeing = ({"Authorization": f"Bearer {secret}"} for secret in secrets.values())
    with greeted(server, headers=seeing) as listener, greeted(server, headers=blind) as other:
        job = leave_record(deps.store, "sdxl_image_fast")
        figures = listener.until(lambda name, data: name == "figures")
        assert figures == {"job_types": ["sdxl_image_fast"], "are_all": False}
        deps.store.add_decision({"id": "dec_1"})
        figures = listener.until(lambda name, data: name == "figures")
        assert figures == {"job_types": [], "are_all": True}
        seen = []
        deps.store.delete_job(job)
        other.until(
            lambda name, data: seen.append(name) or (name == "jobs" and job in data["deleted"])
        )
        assert "figures" not in seen


def test_a_run_of_the_protocol_is_told_as_it_goes_on(server, deps):
    runs = Benchmarks(deps.settings)
    folder = runs.directory / RUN_ID
    with greeted(server) as listener:
        folder.mkdir(parents=True)
        state = {"suite": "quick", "job_types": [], "preset": "baseline", "seed": 7, "pid": 1}
        (runs.directory / ".service.err").write_text(f"{RUN_ID}  begins")
        (runs.directory / ".service.json").write_text(
            json.dumps(state | {"started_at": "2026-01-05T08:00:00Z"})
        )
        told = listener.until(lambda name, data: name == "benchmark")
        assert told == {
            "is_running": False,  # nobody holds its lock
            "run_id": RUN_ID,
            "started_at": "2026-01-05T08:00:00Z",
            "num_ended": 0,
        }
        (folder / "runs.jsonl").write_text("{}\n{}\n")
        assert listener.until(lambda name, data: name == "benchmark")["num_ended"] == 2


def test_many_clients_hear_the_same(server):
    with ExitStack() as stack:
        listeners = [stack.enter_context(greeted(server)) for _ in range(12)]
        job_id = submit(server)
        for listener in listeners:
            listener.job(job_id)


def key_for(deps, name):
    return create_key(
        store=deps.store,
        clock=SystemClock(),
        name=name,
        tenant=name,
        scopes=("jobs:read", "jobs:write"),
    )


def test_a_key_that_was_revoked_hears_no_more_and_others_do(server, deps, monkeypatch):
    monkeypatch.setattr(live, "CHECK_S", 0.0)
    made = [key_for(deps, name) for name in "ab"]
    headers = [{"Authorization": f"Bearer {secret}"} for _, secret in made]
    with greeted(server, headers=headers[0]) as lost, greeted(server, headers=headers[1]) as kept:
        job = server.post("/api/v1/jobs", json=PROMPT, headers=headers[0]).json()
        lost.job(job["id"])
        deps.store.revoke_key(made[0][0].id)
        with pytest.raises(StopIteration):
            lost.until(lambda name, data: False)
        job = server.post("/api/v1/jobs", json=PROMPT, headers=headers[1]).json()
        kept.job(job["id"])


def test_who_needed_no_key_hears_no_more_once_there_is_one(server, deps, monkeypatch):
    monkeypatch.setattr(live, "CHECK_S", 0.0)
    with greeted(server) as listener:
        key_for(deps, "first")
        with pytest.raises(StopIteration):
            listener.until(lambda name, data: False)


def test_an_answer_says_which_of_two_is_the_newer(server, deps):
    def version(job):
        return job["event_seq"], job["changed_unix_s"]

    with greeted(server) as listener:
        job_id = submit(server)
        seen = [listener.job(job_id)]
        server.put(f"/api/v1/jobs/{job_id}/favourite")
        seen.append(listener.job(job_id, lambda job: job["is_favourite"]))
        assert seen[1]["event_seq"] == seen[0]["event_seq"]  # a mark is no event
        claim(deps, job_id)
        seen.append(listener.job(job_id, lambda job: job["state"] == "running"))
        server.post(f"/api/v1/jobs/{job_id}/cancel")
        seen.append(listener.job(job_id, lambda job: job["is_cancel_requested"]))
    versions = [version(job) for job in seen]
    assert versions == sorted(set(versions))
    assert version(server.get(f"/api/v1/jobs/{job_id}").json()) == versions[-1]
    assert seen[-1]["changed_at"].startswith("20")


def test_a_closing_server_ends_the_stream(server, deps):
    with greeted(server) as listener:
        deps.closing.set()
        with pytest.raises(StopIteration):
            listener.next()


# The desk, over both stores


@pytest.fixture(scope="module")
def postgres_url():
    from tests.jobs.servers import postgres_server

    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, settings):
    if request.param == "postgres":
        import psycopg

        url = request.getfixturevalue("postgres_url")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        settings = settings.model_copy(update={"database_url": url})
    opened = open_store(settings)
    opened.migrate()
    yield opened
    opened.close()


def put(store, number=1):
    made = store.submit([make_job() for _ in range(number)])
    return [job.id for job in made.jobs]


def leave_record(store, job_type):
    (job,) = store.submit([make_job(request=make_request(job_type=job_type))]).jobs
    token = store.claim("w", lease_s=LEASE_S, overdue_s=1e9).token
    assert store.finish(job.id, token, result={}, assets=[make_asset(1)], record={"total_s": 1.0})
    return job.id


def ids_of(news):
    return [change.job_id for change in news.changes]


def test_a_desk_tells_each_reader_what_it_has_not_seen(store):
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    put(store)
    first = desk.news(None)
    assert first.changes == ()
    (job_id,) = put(store)
    clock.advance(1)
    second = desk.news(first.number)
    assert ids_of(second) == [job_id]
    assert second.changes[0].job is not None
    assert ids_of(desk.news(second.number)) == []
    store.cancel(job_id)
    store.delete_job(job_id)
    clock.advance(1)
    third = desk.news(second.number)
    assert ids_of(third) == [job_id]
    assert third.changes[0].job is None
    assert ids_of(desk.news(first.number)) == [job_id]  # as it is now, once
    assert third.queue_number > second.queue_number > first.queue_number


def test_one_look_serves_all_readers_for_a_moment(store):
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    (job_id,) = put(store)
    assert ids_of(desk.news(begun.number)) == []
    clock.advance(1)
    assert ids_of(desk.news(begun.number)) == [job_id]


def test_progress_is_no_change_of_the_queue(store):
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    put(store)
    job = store.claim("w", lease_s=LEASE_S, overdue_s=1e9)
    clock.advance(1)
    running = desk.news(begun.number)
    store.beat("w", [Beat(job_id=job.id, token=job.token, progress={"done": 1})], lease_s=LEASE_S)
    clock.advance(1)
    told = desk.news(running.number)
    assert ids_of(told) == [job.id]
    assert told.queue_number == running.queue_number


def test_each_reader_learns_which_figures_are_new_to_it(store):
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    leave_record(store, "video_fast")  # before anybody looked: hello covers it
    begun = desk.news(None)
    assert (begun.measured, begun.are_figures_new) == ((), False)
    leave_record(store, "sdxl_image_fast")
    clock.advance(1)
    first = desk.news(begun.number)
    assert (first.measured, first.are_figures_new) == (("sdxl_image_fast",), False)
    leave_record(store, "video_fast")
    clock.advance(1)
    assert desk.news(first.number).measured == ("video_fast",)
    late = desk.news(begun.number)
    assert late.measured == ("sdxl_image_fast", "video_fast")
    assert desk.news(late.number).measured == ()
    store.add_decision({"id": "dec_1"})
    clock.advance(1)
    decided = desk.news(late.number)
    assert (decided.measured, decided.are_figures_new) == ((), True)
    assert not desk.news(decided.number).are_figures_new


def test_many_new_records_are_not_read_one_by_one(store, monkeypatch):
    monkeypatch.setattr(live, "_RECORDS", 1)
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    leave_record(store, "video_fast")
    leave_record(store, "sdxl_image_fast")
    clock.advance(1)
    news = desk.news(begun.number)
    assert (news.measured, news.are_figures_new) == ((), True)


def test_more_than_can_be_told_is_a_gap(store, monkeypatch):
    monkeypatch.setattr(live, "MOST_CHANGES", 10)
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    put(store, 11)
    clock.advance(1)
    gap = desk.news(begun.number)
    assert gap.is_gap
    assert gap.changes == ()
    (job_id,) = put(store)
    clock.advance(1)
    after = desk.news(gap.number)
    assert not after.is_gap
    assert ids_of(after) == [job_id]


def test_who_reads_too_slowly_has_a_gap(store, monkeypatch):
    monkeypatch.setattr(live, "_MOST_KEPT", 3)
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    for _ in range(4):
        put(store)
        clock.advance(1)
        newest = desk.news(desk.news(None).number)
    assert desk.news(begun.number).is_gap
    assert not newest.is_gap


def test_nobody_pays_for_what_happened_while_nobody_listened(store):
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    put(store, 3)
    clock.advance(3600)
    assert desk.news(begun.number).is_gap
    (job_id,) = put(store)
    again = desk.news(None)
    clock.advance(1)
    assert ids_of(desk.news(again.number)) == [job_id]


def test_what_ends_late_is_still_told(settings):
    """A transaction keeps the time of its begin, and others may end in between."""
    store_clock, clock = ManualClock(), ManualClock()
    store = open_store(settings, clock=store_clock)
    store.migrate()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    store_clock.advance(MARGIN_S)
    put(store)
    clock.advance(1)
    seen = desk.news(begun.number)
    store_clock.advance(-0.9 * MARGIN_S)
    (late,) = put(store)
    store_clock.advance(0.9 * MARGIN_S)
    clock.advance(1)
    assert ids_of(desk.news(seen.number)) == [late]
    store.close()


def test_a_store_whose_clock_was_set_back_is_taken_anew(settings):
    store_clock, clock = ManualClock(), ManualClock()
    store = open_store(settings, clock=store_clock)
    store.migrate()
    desk = LiveDesk(store, clock)
    begun = desk.news(None)
    store_clock.advance(-3600)
    put(store)
    clock.advance(1)
    gap = desk.news(begun.number)
    assert gap.is_gap
    (job_id,) = put(store)
    clock.advance(1)
    assert ids_of(desk.news(gap.number)) == [job_id]
    store.close()


def test_old_jobs_cost_a_look_nothing(store):
    """Neither does a look read them, nor does the first one tell of them."""
    clock = ManualClock()
    desk = LiveDesk(store, clock)
    put(store, 50)
    begun = desk.news(None)
    clock.advance(1)
    assert desk.news(begun.number).changes == ()


def test_the_stream_says_hello_again_after_a_gap(server, deps, monkeypatch):
    monkeypatch.setattr(live, "MOST_CHANGES", 5)
    with greeted(server) as listener:
        jobs = [PROMPT | {"seed": seed} for seed in range(10)]
        server.post("/api/v1/jobs/batch", json={"jobs": jobs})
        assert listener.next()[0] == "hello"
        job_id = submit(server)
        listener.job(job_id)


def test_the_document_tells_what_the_stream_holds(client):
    document = client.get("/openapi.json").json()
    content = document["paths"][PATH]["get"]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
    event = content["text/event-stream"]["schema"]["properties"]
    meant = document["components"]["schemas"]["LiveEvent"]["properties"]
    assert event["event"]["enum"] == meant["event"]["enum"]
    assert event["data"]["contentSchema"]["anyOf"] == meant["data"]["anyOf"]


def test_a_key_that_may_not_listen_opens_nothing(deps):
    assert client_of(deps, host="192.0.2.7").get(PATH).status_code == 401
