"""Where ranks meet: folders of leaders that were killed go, others stay."""

import subprocess
import sys

from ourvidz.engine.group.folder import MeetingFolder

KILLED = """
import os, signal, sys
from pathlib import Path
from ourvidz.engine.group.folder import MeetingFolder
folder = MeetingFolder(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_leader_left_is_removed(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    ours = MeetingFolder(tmp_path)
    assert list(tmp_path.iterdir()) == [ours.path]
    assert ours.path != left
    ours.remove()


def test_what_a_living_leader_has_stays(tmp_path):
    first, second = MeetingFolder(tmp_path), MeetingFolder(tmp_path)
    assert {first.path, second.path} == set(tmp_path.iterdir())
    for each in (first, second):
        each.remove()
    assert not list(tmp_path.iterdir())
