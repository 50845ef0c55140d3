"""Real processes whose starter is gone."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ourvidz.cluster.orphans import GROUP_VARIABLE, end_orphans, orphans

# Ignores the first signals, as a worker that finishes its job does.
PATIENT = """
import signal, sys, time
left = [int(sys.argv[1])]
def note(number, frame):
    left[0] -= 1
    if left[0] <= 0:
        sys.exit(0)
signal.signal(signal.SIGTERM, note)
print("ready", flush=True)
time.sleep(600)
"""


def start(gpus, parent, *, signals=1):
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT, str(signals), "--parent", str(parent)],
        env={**os.environ, GROUP_VARIABLE: "video/0/x", "CUDA_VISIBLE_DEVICES": gpus},
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.fixture
def made():
    found = []
    yield found
    for process in found:
        process.kill()
        process.wait()


def test_only_workers_without_their_actor_on_those_gpus_count(made):
    gone = 2**22 + 1  # nobody's number
    made += [start("7001,7002", gone), start("7003", gone), start("7001", os.getpid())]
    assert [process.pid for process in orphans(["7002"])] == [made[0].pid]
    assert orphans(["7004"]) == []


def test_who_ends_by_himself_is_only_waited_for(made):
    made.append(start("7001", 2**22 + 1))
    waited = threading.Thread(target=lambda: (time.monotonic(), made[0].wait()))
    waited.start()
    ended = threading.Timer(0.3, made[0].terminate)
    ended.start()
    assert end_orphans(["7001"], patience_s=60.0) == 1
    waited.join()
    assert made[0].returncode == 0


@pytest.mark.slow
def test_who_stays_is_told_again_and_then_killed(made):
    made += [start("7001", 2**22 + 1), start("7001", 2**22 + 1, signals=99)]
    reaper = threading.Thread(target=lambda: [process.wait() for process in made])
    reaper.start()
    assert end_orphans(["7001"], patience_s=0.0) == 2
    reaper.join()
    assert [process.returncode for process in made] == [0, -9]
    assert not any(psutil.pid_exists(process.pid) for process in made)
