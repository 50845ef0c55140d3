import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")
SCRIPT = Path(__file__).with_name("out_of_memory_job.py")


@pytest.mark.slow
def test_it_is_caught_cleaned_and_says_what_would_fit(tiny_models, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tiny_models), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    message, hint, files = done.stdout.strip().splitlines()
    assert "ran out of memory" in message
    frames = int(hint.split("--num-frames ")[1].rstrip("."))
    assert frames % 4 == 1
    assert frames < 241
    assert files == "['clip.json', 'clip.mp4', 'clip.thumb.webp']"  # the engine went on
