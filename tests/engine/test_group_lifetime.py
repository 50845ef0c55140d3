"""How a group starts, is lost and starts again. Real processes, over gloo."""

import os
import signal
import subprocess

import pytest
import torch
import torch.distributed as dist

from ourvidz.core.errors import RankLost
from ourvidz.engine.group import ranks as group_ranks
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import DecodeChunk, FollowerSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def processes(monkeypatch):
    """All that were started."""
    found = []
    start = subprocess.Popen

    def recorded(*arguments, **options):
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    return found


@pytest.fixture
def make_group(processes):
    groups = []

    def make(size):
        settings = FollowerSettings(
            dtype="auto", vram_bytes=None, host_cache_bytes=0, cache_dir=None, num_threads=1
        )
        groups.append(Group(size=size, device=torch.device("cpu"), settings=settings))
        return groups[-1]

    yield make
    for group in groups:
        group.close()
    assert all(process.returncode is not None for process in processes)


def test_one_that_ends_while_it_starts_does_not_hinder_the_next_start(make_group, processes):
    group = make_group(2)
    first = group.start()
    processes[0].kill()
    with pytest.raises(RankLost, match="Rank 1 of 2 ended"):
        first.result(timeout=60)
    assert group.start().result(timeout=60).size == 2


def test_an_interrupted_meeting_does_not_hinder_the_next(make_group):
    dist.distributed_c10d._world.group_count = 1  # as one that failed in the middle leaves it
    assert make_group(2).start().result(timeout=60).size == 2


def test_what_ends_the_leader_gently_does_not_end_the_others(make_group, processes):
    group = make_group(2)
    group.start().result(timeout=60)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        processes[0].send_signal(number)
    assert os.getpgid(processes[0].pid) != os.getpgrp()  # a terminal's Ctrl-C is ours alone
    group.close()
    assert processes[0].returncode == 0


def test_a_leader_that_fails_to_meet_starts_again(make_group, processes, monkeypatch):
    group = make_group(2)
    with monkeypatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "no-such-interface")
        first = group.start()
        with pytest.raises(RankLost, match=r"Rank 1 of 2 ended|did not meet"):
            first.result(timeout=60)
    second = group.start()
    assert second is not first
    assert second.result(timeout=60).size == 2
    assert processes[0].returncode is not None


def test_a_group_that_could_not_be_started_may_be_started_again(make_group, processes, monkeypatch):
    group = make_group(3)
    start = subprocess.Popen
    with monkeypatch.context() as patch:

        def refuse(command, **options):
            if processes:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return start(command, **options)

        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(BlockingIOError):
            group.start()
    assert processes[0].returncode is not None
    assert group.start().result(timeout=60).size == 3


def test_all_others_end_when_one_is_lost(make_group, processes):
    group = make_group(3)
    group.start().result(timeout=60)
    processes[0].kill()
    processes[1].wait(timeout=20)
    assert not group.facts()["is_ready"]


def test_a_failing_abort_does_not_keep_the_group_from_starting_again(
    make_group, processes, monkeypatch
):
    group = make_group(2)
    group.start().result(timeout=60)
    job = group.new_job()
    (ready,) = group.expect(job)
    with monkeypatch.context() as patch:

        def fail():
            raise RuntimeError("NCCL error")

        patch.setattr(group_ranks, "leave", fail)
        processes[0].kill()
        with pytest.raises(RankLost):
            ready.result(timeout=60)
        with pytest.raises(RankLost):
            group.expect(group.new_job())
        second = group.start()
    second.result(timeout=60)
    with pytest.raises(RankLost, match="began with is gone"):
        group.ranks(job)


def test_why_one_ended_is_told(make_group):
    group = make_group(2)
    group.start().result(timeout=60)
    job = group.new_job()
    (ready,) = group.expect(job)
    group.send(DecodeChunk(job=job))  # which was not begun
    with pytest.raises(RankLost, match=rf"Rank 1 of 2 ended .*: KeyError: {job}"):
        ready.result(timeout=60)
