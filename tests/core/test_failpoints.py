"""Fail points do nothing unless the environment asks, and then exactly what it says."""

import os
import signal
import subprocess
import sys

from ourvidz.core.failpoints import reach

CODE = (
    "from ourvidz.core.failpoints import reach\n"
    "for _ in range(3): print('at', flush=True); reach('here')\n"
)


def run(**environment):
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_nothing_happens_unless_asked(monkeypatch):
    monkeypatch.delenv("OURVIDZ_FAIL_AT", raising=False)
    reach("here")
    done = run(OURVIDZ_FAIL_AT="elsewhere")
    assert (done.returncode, done.stdout.count("at")) == (0, 3)


def test_the_nth_time_kills():
    done = run(OURVIDZ_FAIL_AT="here:2")
    assert (done.returncode, done.stdout.count("at")) == (-signal.SIGKILL, 2)


def test_only_the_first_process_fails_with_a_marker(tmp_path):
    marker = tmp_path / "failed"
    first = run(OURVIDZ_FAIL_AT="here", OURVIDZ_FAIL_ONCE=str(marker))
    second = run(OURVIDZ_FAIL_AT="here", OURVIDZ_FAIL_ONCE=str(marker))
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 0)
    assert marker.exists()
