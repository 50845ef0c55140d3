"""The controller with a real store; Ray's part is played by a table of groups."""

import contextlib
import dataclasses
import threading

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.cluster.controller import Controller
from ourvidz.cluster.plan import Drain, GroupState, Node, Start
from ourvidz.cluster.shape import Pool
from ourvidz.cluster.waiting import (
    is_on,
    node_named,
    own_hostname,
    reason,
    unclaimed,
    wait_gone,
    wait_ready,
)
from ourvidz.cluster.wishes import Wishes
from ourvidz.core.errors import CapacityMissing, ClusterUnavailable
from ourvidz.jobs.model import WorkerInfo
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy


class Table:
    """Groups as they would answer. What starts reports to the store at once."""

    session = "session_1"

    def __init__(self, store, *sizes):
        self.store = store
        self.answers = {}
        self.now_s = 0.0
        self.fleet = [
            Node(id=f"node{i}", address=f"10.0.0.{i}", hostname=f"host{i}", num_gpus=size)
            for i, size in enumerate(sizes)
        ]

    def nodes(self):
        return tuple(self.fleet)

    def groups(self):
        return dict(self.answers)

    def start(self, action: Start):
        pid = 100 + len(self.answers)
        self.answers[action.name] = {
            "node_id": action.node_id, "host": "h", "pid": pid, "actor_pid": 1, "starts": 1,
            "last_exit": None, "gpus": ["0"] * action.pool.num_gpus, "is_draining": False,
            "is_drained": False, "fault": None,
        }  # fmt: skip
        self.store.put_worker(worker(pid))
        return True

    def drain(self, name):
        if self.answers[name] is not None:
            self.answers[name] |= {"is_draining": True, "is_drained": True}

    def remove(self, name):
        del self.answers[name]


def worker(pid, state="idle", jobs=()):
    return WorkerInfo(
        id=f"w{pid}", host="h", pid=pid, device="cuda:0", state=state, started_at=0.0, seen_at=0.0,
        models=(), resident={}, jobs=jobs, facts={},
    )  # fmt: skip


@pytest.fixture
def settings(database_url, tmp_path):
    return Settings(database_url=database_url, data_dir=tmp_path)


@pytest.fixture
def store(settings):
    with contextlib.closing(open_store(settings)) as made:
        made.migrate()
        yield made


@pytest.fixture
def wishes(database_url):
    made = Wishes(database_url, name="main")
    made.create()
    return made


@pytest.fixture
def table(store):
    return Table(store, 2, 2)


@pytest.fixture
def controller(wishes, store, table):
    return Controller(
        holder="one",
        wishes=wishes,
        store=store,
        placer=table,
        beat_s=5.0,
        monotonic_s=lambda: table.now_s,
    )


def want(wishes, **values):
    pool = Pool(**{"name": "video", "floor": 2, "ceiling": 4, **values})
    wishes.change(lambda shape: shape.with_pool(pool))
    return pool


def test_it_starts_what_is_wanted_and_reports_it(wishes, table, controller):
    pool = want(wishes)
    controller.step()
    assert sorted(table.answers) == [f"video/{i}/{pool.generation}" for i in range(2)]
    controller.step()
    report = wishes.seen().report
    assert report["pools"]["video"]["ready"] == 2
    assert {group["node_id"] for group in report["groups"]} == {"node0", "node1"}
    assert wishes.seen().session == "session_1"


def test_a_group_whose_worker_is_silent_is_not_ready(wishes, store, table, controller):
    want(wishes, floor=1)
    controller.step()
    store.put_worker(worker(100, state="starting"))
    controller.step()
    assert wishes.seen().report["groups"][0]["state"] == GroupState.STARTING


def test_another_controller_finds_everything_as_it_is(wishes, store, table, controller):
    want(wishes)
    controller.step()
    other = Controller(holder="two", wishes=wishes, store=store, placer=table, beat_s=5.0)
    assert other.step() is None  # the first one leads
    wishes.let_go("one")
    assert other.step().actions == ()
    assert controller.step() is None


def test_a_long_queue_has_more_groups_up_to_the_ceiling(settings, wishes, store, table, controller):
    want(wishes, floor=1, ceiling=3, target_wait_s=1.0, models=("pocket-image",))
    controller.step()
    controller.step()
    assert len(table.answers) == 1
    submitter = Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
    )
    submitter.submit([Draft(prompt="a red circle", job_type="video_fast")] * 5)  # not this pool's
    controller.step()
    assert len(table.answers) == 1
    submitter.submit([Draft(prompt="a red circle", job_type="sdxl_image_fast")] * 20)
    controller.step()
    assert len(table.answers) == 3


def test_who_has_a_job_is_not_drained_for_an_empty_queue(wishes, store, table, controller):
    want(wishes, floor=3)
    controller.step()
    want(wishes, floor=0)
    store.put_worker(worker(100, state="busy", jobs=("a",)))
    store.put_worker(worker(102, jobs=("b",)))  # its files are on their way
    for _ in range(60):
        table.now_s += 60.0
        controller.step()
    assert {answer["pid"] for answer in table.answers.values()} == {100, 102}
    store.put_worker(worker(102))
    for _ in range(60):
        table.now_s += 60.0
        controller.step()
    assert [answer["pid"] for answer in table.answers.values()] == [100]


def test_a_pool_that_is_gone_is_drained_and_removed(wishes, table, controller):
    want(wishes)
    controller.step()
    wishes.change(lambda shape: shape.without("video"))
    stopping = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stopping,), kwargs={"look_s": 0.05})
    thread.start()
    try:
        wait_gone(wishes, lambda group: True, timeout_s=30.0)
    finally:
        stopping.set()
        thread.join()
    assert table.answers == {}
    assert not wishes.seen().has_controller  # it gave the lead up


def silence(table, *names):
    for name in names or tuple(table.answers):
        table.answers[name] = None


def test_a_group_that_does_not_answer_is_removed_when_it_has_to_go(wishes, table, controller):
    want(wishes, floor=1, ceiling=1)
    controller.step()
    silence(table)
    controller.step()
    wishes.change(lambda shape: shape.without("video"))
    table.now_s += 9.0
    controller.step()  # it may only be slow: it is asked to drain, and can't be
    assert table.answers
    table.now_s += 1.0
    controller.step()
    assert table.answers == {}


def test_a_silent_group_of_a_dead_node_is_removed_at_once_when_it_has_to_go(
    wishes, table, controller
):
    want(wishes, floor=2)
    controller.step()
    controller.step()
    silence(table)
    del table.fleet[0]
    want(wishes, floor=0, ceiling=0)
    controller.step()
    assert len(table.answers) == 1
    assert table.groups().keys() == {"video/1/" + want(wishes, floor=0, ceiling=0).generation}


def test_a_silent_group_that_is_wanted_stays(wishes, table, controller):
    """Ray itself starts it elsewhere, with room."""
    want(wishes, floor=1)
    controller.step()
    silence(table)
    for _ in range(5):
        table.now_s += 60.0
        controller.step()
    assert len(table.answers) == 1


def test_who_leads_again_goes_on_from_what_there_is(wishes, store, table, controller):
    want(wishes, floor=0, ceiling=4)
    for _ in range(2):  # as somebody else has left it
        controller.step()
    want(wishes, floor=4)
    controller.step()
    other = Controller(holder="two", wishes=wishes, store=store, placer=table, beat_s=5.0)
    wishes.let_go("one")
    want(wishes, floor=0)
    other.step()
    assert controller.step() is None
    for name in list(table.answers)[2:]:
        table.remove(name)
    wishes.let_go("two")
    controller.step()
    assert wishes.seen().report["pools"]["video"]["target"] == 2
    assert len(table.answers) == 2


def test_a_wait_for_capacity_says_what_is_missing(wishes, table, controller):
    cases = [
        (Pool(name="video", num_gpus=4, floor=1), "the largest has 2"),
        (Pool(name="video", floor=9, ceiling=9), "5 more need 1 free GPU"),
        (Pool(name="video", labels={"zone": "a"}), "no node has the labels"),
    ]
    for pool, text in cases:
        wishes.change(lambda shape, pool=pool: shape.with_pool(pool))
        for _ in range(4):
            controller.step()
        assert text in reason(wishes.seen().report, pool)
    with pytest.raises(CapacityMissing, match=r"0 of 1 groups after 0 s: no node has the labels"):
        wait_ready(wishes, pool, timeout_s=0.0)
    table.fleet.clear()
    controller.step()
    assert reason(wishes.seen().report, Pool(name="video")) == "there is no node"


def test_a_wait_without_a_controller_says_who_is_missing(wishes):
    with pytest.raises(ClusterUnavailable) as raised:
        wait_ready(wishes, want(wishes), timeout_s=0.0)
    assert "ourvidz cluster head" in raised.value.hint


def test_a_node_is_known_by_id_address_and_host(wishes, controller):
    controller.step()
    report = wishes.seen().report
    assert node_named(report, "node1") == node_named(report, "10.0.0.1") == "node1"
    assert node_named(report, "host0") == "node0"
    assert own_hostname(report, "node0") == "host0"
    shared = {"nodes": [{**node, "hostname": "h"} for node in report["nodes"]]}
    assert own_hostname(shared, "node0") is None  # it would mean others too
    for name, text in (("nod", "2 nodes"), ("x", "No node 'x'")):
        with pytest.raises(Exception, match=text):
            node_named(report, name)


def test_a_drained_node_that_is_gone_for_long_is_forgotten(wishes, table, controller):
    wishes.change(lambda shape: shape.cordon("node0").cordon("node9"))
    table.now_s += 299.0
    controller.step()  # its first look
    assert wishes.shape().cordoned == ("node0", "node9")
    table.now_s += 299.0
    controller.step()
    assert wishes.shape().cordoned == ("node0", "node9")
    table.now_s += 1.0
    controller.step()
    assert wishes.shape().cordoned == ("node0",)


def test_a_drain_outlives_the_head(wishes, store, table):
    """Its nodes join the next head under other ids, one after the other."""
    want(wishes, floor=1)
    wishes.change(lambda shape: shape.cordon("node0", hostname="host0"))
    fleet, table.fleet, table.session = table.fleet, [], "session_2"
    after = Controller(
        holder="two",
        wishes=wishes,
        store=store,
        placer=table,
        beat_s=5.0,
        monotonic_s=lambda: table.now_s,
    )
    for _ in range(3):
        after.step()
        table.now_s += 600.0
    table.fleet = [dataclasses.replace(node, id=f"new-{node.id}") for node in fleet]
    after.step()
    after.step()
    assert {answer["node_id"] for answer in table.answers.values()} == {"new-node1"}


def test_a_wait_takes_no_report_of_an_older_wish(wishes, table, controller):
    """The step that read the wish before the drain may have started a group since."""
    want(wishes, floor=2)
    controller.step()
    stale = wishes.seen().report
    assert stale["groups"] == []
    wishes.change(lambda shape: shape.cordon("node0"))
    wishes.report("one", session="session_1", report=stale)  # as late as can be
    with pytest.raises(CapacityMissing, match="still draining"):
        wait_gone(wishes, lambda group: is_on(group, "node0"), timeout_s=0.0)
    controller.step()
    with pytest.raises(CapacityMissing, match="still draining"):
        wait_gone(wishes, lambda group: is_on(group, "node0"), timeout_s=0.0)
    controller.step()
    controller.step()
    wait_gone(wishes, lambda group: is_on(group, "node0"), timeout_s=0.0)


def test_another_controller_knows_where_a_silent_group_is(wishes, store, table, controller):
    want(wishes, floor=2, ceiling=2)
    for _ in range(3):
        controller.step()
    wishes.let_go("one")
    silence(table)
    wishes.change(lambda shape: shape.cordon("node0"))
    other = Controller(holder="two", wishes=wishes, store=store, placer=table, beat_s=5.0)
    found = other.step()
    assert {group["node_id"] for group in wishes.seen().report["groups"]} == {"node0", "node1"}
    assert Drain in [type(action) for action in found.actions]
    wishes.let_go("two")
    table.session = "session_2"
    silence(table)
    Controller(holder="three", wishes=wishes, store=store, placer=table, beat_s=5.0).step()
    groups = wishes.seen().report["groups"]
    assert {group["node_id"] for group in groups} == {None}
    assert is_on(groups[0], "node0")  # for all that is known


def test_a_lead_that_another_one_had_meanwhile_is_a_new_one(wishes, table, controller):
    """It was not asked for a while, as when the database is away."""
    want(wishes, floor=4)
    controller.step()
    controller.step()
    want(wishes, floor=0)
    wishes.let_go("one")
    wishes.lead("two", for_s=-1.0)
    for name in list(table.answers)[1:]:  # which did this, and has ended since
        table.remove(name)
    controller.step()
    assert wishes.seen().report["pools"]["video"]["target"] == 1


def test_a_queue_that_takes_long_to_count_is_counted_less_often(
    wishes, store, table, controller, monkeypatch
):
    looked_s = []

    def count_slowly():
        looked_s.append(table.now_s)
        table.now_s += 0.5
        return ()

    monkeypatch.setattr(store, "queued_work", count_slowly)
    want(wishes)
    for at_s in range(12):
        table.now_s = float(at_s)
        controller.step()
    assert looked_s == [0.0, 10.0]


def test_what_no_pool_claims_is_told(settings, wishes, store, controller):
    want(wishes, models=("pocket-image",))
    Submitter(
        store=store,
        catalogue=catalogue_of(settings),
        settings=settings,
        policy=build_policy(settings.policy),
    ).submit([Draft(prompt="a red circle", job_type="video_fast")] * 2)
    controller.step()
    text = unclaimed(wishes.seen().report)
    assert text == "jobs wait that no pool claims: generate:pocket-video (2)"
    assert unclaimed({}) is None


def test_a_group_of_the_name_of_one_that_was_silent_is_not_taken_for_it(wishes, table, controller):
    want(wishes, floor=1, ceiling=1)
    controller.step()
    silence(table)
    controller.step()
    (name,) = table.answers
    table.remove(name)  # by another hand
    controller.step()  # made anew
    table.now_s += 10.0
    silence(table)
    wishes.change(lambda shape: shape.without("video"))
    controller.step()
    assert table.answers  # it may only be slow
