"""The controller with a real store; Ray's part is played by a table of groups."""

import contextlib
import threading

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.cluster.controller import Controller
from ourvidz.cluster.plan import GroupState, Node, Start
from ourvidz.cluster.shape import Pool
from ourvidz.cluster.waiting import node_named, reason, wait_gone, wait_ready
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
        self.answers[name] |= {"is_draining": True, "is_drained": True}

    def remove(self, name):
        del self.answers[name]


def worker(pid, state="idle"):
    return WorkerInfo(
        id=f"w{pid}", host="h", pid=pid, device="cuda:0", state=state, started_at=0.0, seen_at=0.0,
        models=(), resident={}, jobs=(), facts={},
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
    return Controller(holder="one", wishes=wishes, store=store, placer=table, beat_s=5.0)


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
    for name, text in (("nod", "2 nodes"), ("x", "No node 'x'")):
        with pytest.raises(Exception, match=text):
            node_named(report, name)


def test_a_drained_node_that_is_gone_is_forgotten(wishes, table, controller):
    wishes.change(lambda shape: shape.cordon("node0").cordon("node9"))
    controller.step()
    assert wishes.shape().cordoned == ("node0",)
