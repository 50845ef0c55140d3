"""How a group's processes end."""

import subprocess

import torch

from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import FollowerSettings


def test_the_others_end_by_themselves_when_the_group_is_closed(monkeypatch):
    processes = []
    start = subprocess.Popen

    def recorded(*arguments, **options):
        processes.append(start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    settings = FollowerSettings(
        dtype="auto", vram_bytes=None, host_cache_bytes=None, cache_dir=None, num_threads=1
    )
    group = Group(size=2, device=torch.device("cpu"), settings=settings)
    group.start().result(timeout=120)
    group.close()
    assert [process.returncode for process in processes] == [0]  # and not killed
