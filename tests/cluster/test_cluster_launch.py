"""Programs are kept alive, ended with their keeper, and nodes know a head that is gone."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ourvidz.cluster.launch import (
    Keeper,
    Kept,
    StaleCheck,
    drain_node,
    head_programs,
    node_under,
    session_of,
    session_under,
)
from ourvidz.cluster.wishes import Wishes

NOTE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
SESSION = "session_2026-11-22_08-12-15_909541_1127"


def program(tmp_path, name, **values):
    return Kept(name=name, command=(sys.executable, "-c", NOTE, str(tmp_path / name)), **values)


def started(tmp_path, name):
    path = tmp_path / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(condition, what):
    deadline_s = time.monotonic() + 60
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, what
        pause.wait(0.02)


@pytest.fixture
def keep():
    """Run a keeper on a thread; end it after the test."""
    running = []

    def start(*programs):
        stopping = threading.Event()
        keeper = Keeper(programs, stop_s=20.0)
        thread = threading.Thread(target=keeper.run, args=(stopping,))
        thread.start()
        running.append((stopping, thread))
        return stopping, thread

    yield start
    for stopping, thread in running:
        stopping.set()
        thread.join()


def test_a_program_that_ends_is_started_again_and_ended_with_its_keeper(tmp_path, keep):
    stopping, thread = keep(program(tmp_path, "one"))
    wait_for(lambda: len(started(tmp_path, "one")) == 1, "no start")
    os.kill(started(tmp_path, "one")[0], signal.SIGKILL)
    wait_for(lambda: len(started(tmp_path, "one")) == 2, "no second start")
    stopping.set()
    thread.join()
    assert not psutil.pid_exists(started(tmp_path, "one")[-1])


def test_who_follows_a_program_is_started_anew_with_it(tmp_path, keep):
    keep(program(tmp_path, "head"), program(tmp_path, "controller", follows="head"))
    wait_for(lambda: started(tmp_path, "head") and started(tmp_path, "controller"), "no start")
    os.kill(started(tmp_path, "controller")[0], signal.SIGKILL)
    wait_for(lambda: len(started(tmp_path, "controller")) == 2, "no second controller")
    assert len(started(tmp_path, "head")) == 1
    os.kill(started(tmp_path, "head")[0], signal.SIGKILL)
    wait_for(lambda: len(started(tmp_path, "controller")) == 3, "no third controller")
    wait_for(lambda: len(started(tmp_path, "head")) == 2, "no second head")


def test_a_stale_program_is_ended_and_started_anew(tmp_path, keep):
    stale = threading.Event()

    def is_stale(pid):
        if stale.is_set() and psutil.Process(pid).is_running():
            stale.clear()
            return True
        return False

    keep(program(tmp_path, "node", is_stale=is_stale))
    wait_for(lambda: len(started(tmp_path, "node")) == 1, "no start")
    stale.set()
    wait_for(lambda: len(started(tmp_path, "node")) == 2, "no second start")
    assert not psutil.pid_exists(started(tmp_path, "node")[0])


def test_a_program_ends_when_its_keeper_is_killed(tmp_path):
    code = (
        "import sys, threading; from ourvidz.cluster.launch import Keeper, Kept;"
        "Keeper([Kept(name='x', command=sys.argv[1:])], stop_s=1.0).run(threading.Event())"
    )
    keeper = subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, "-c", NOTE, str(tmp_path / "x")]
    )
    wait_for(lambda: started(tmp_path, "x"), "no start")
    keeper.kill()
    keeper.wait()
    wait_for(lambda: not psutil.pid_exists(started(tmp_path, "x")[0]), "it lives on")


def test_the_head_is_told_to_keep_to_itself(tmp_path):
    def head_of(host):
        return head_programs(
            host=host, port=6379, folder=tmp_path, controller=("c",), environment={"A": "b"}
        )

    head, controller = head_of("127.0.0.1")
    words = " ".join(head.command)
    assert "--include-dashboard=False" in words
    assert "--disable-usage-stats" in words
    assert "--num-gpus=0" in words
    assert head.environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"  # loopback alone
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in head_of("10.0.0.1")[0].environment
    assert head.environment["A"] == controller.environment["A"] == "b"
    assert controller.follows == head.name


def test_a_session_is_read_from_a_command_line():
    words = ["raylet", f"--raylet_socket_name=/tmp/ray/{SESSION}/sockets/raylet", "--x"]
    assert session_of(words) == SESSION
    assert session_of(["raylet"]) is None


@pytest.fixture
def node_pid(tmp_path):
    """The starter of a process with the name and the command line of Ray's node."""
    raylet = tmp_path / "raylet"
    raylet.symlink_to(sys.executable)
    code = "import time; time.sleep(600)"
    words = [str(raylet), "-c", code, f"--at=/tmp/ray/{SESSION}/sockets", "--node_id=node0"]
    run = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    starter = subprocess.Popen([sys.executable, "-c", run, *words])
    wait_for(lambda: session_under(starter.pid), "no node")
    yield starter.pid
    for child in psutil.Process(starter.pid).children():
        child.kill()
    starter.wait()


def test_the_session_of_the_node_under_a_process_is_found(node_pid):
    assert session_under(node_pid) == SESSION
    assert node_under(node_pid) == "node0"
    assert session_under(2**22 + 1) is None  # nobody's number
    assert node_under(2**22 + 1) is None


@pytest.mark.parametrize(
    ("reported", "leads", "is_stale"),
    [(SESSION, True, False), ("session_2", True, True), ("session_2", False, False)],
)
def test_staleness_needs_a_leader_and_another_session(
    database_url, node_pid, reported, leads, is_stale
):
    wishes = Wishes(database_url, name="main")
    wishes.create()
    wishes.lead("one", for_s=600.0)
    wishes.report("one", session=reported, report={})
    if not leads:
        wishes.let_go("one")
    assert StaleCheck(wishes, every_s=0.0)(node_pid) is is_stale


def test_a_node_that_ends_is_drained_first(database_url, node_pid):
    wishes = Wishes(database_url, name="main")
    wishes.create()
    drain_node(wishes, node_pid, timeout_s=0.0)
    assert wishes.shape().cordoned == ()  # nobody leads: it would wait for nothing
    wishes.lead("one", for_s=600.0)
    wishes.report("one", session=SESSION, report={"groups": [{"node_id": "node0"}]})
    leaving = threading.Thread(
        target=drain_node, args=(wishes, node_pid), kwargs={"timeout_s": 600.0}
    )
    leaving.start()
    wait_for(lambda: wishes.shape().cordoned == ("node0",), "not marked")
    assert leaving.is_alive()
    elsewhere = {"revision": wishes.shape().revision, "groups": [{"node_id": "node1"}]}
    wait_for(
        lambda: wishes.report("one", session=SESSION, report=elsewhere) or not leaving.is_alive(),
        "it waits for others' groups",
    )


def test_a_database_that_is_down_makes_no_node_stale(node_pid):
    assert not StaleCheck(Wishes("postgresql://127.0.0.1:1/x", name="main"), every_s=0.0)(node_pid)
