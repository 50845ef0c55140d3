"""What is imported when a job's first denoising step begins: nothing that no job needs by then."""

import json
import subprocess
import sys

import pytest

from ourvidz.cli.generate import _process_start_s
from ourvidz.core.clock import SystemClock
from ourvidz.models.imports import DEFERRED

# Runs a command and leaves where its first step would begin.
RUN = """
import json, os, sys
from ourvidz.cli import progress
from ourvidz.core.event import PhaseStarted
from ourvidz.core.phase import Phase

def show(self, event):
    if isinstance(event, PhaseStarted) and event.phase is Phase.DENOISE:
        waiting = [name for name, module in sys.modules.items()
                   if getattr(module, "__dict__", {}).get("__ourvidz_deferred__") == "waiting"]
        print(json.dumps({"modules": list(sys.modules), "waiting": waiting}), flush=True)
        os._exit(0)

progress.JobProgress.show = show
from ourvidz.cli.main import main
main()
"""

NEVER = (
    "diffusers.pipelines",
    "fastapi",
    "jax",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "psycopg",
    "tensorflow",
    "torch.utils.tensorboard",
    "torch._inductor.compile_fx",
    "transformers.pipelines",
    "transformers.trainer",
    "uvicorn",
)


@pytest.mark.parametrize(
    "job_type", ["video_fast", pytest.param("sdxl_image_fast", marks=pytest.mark.slow)]
)
def test_what_is_imported_before_the_first_step(job_type, tmp_path, monkeypatch):
    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(tmp_path / "data"))
    words = ["generate", "a red circle", "--job-type", job_type, "--profile", "pocket"]
    words += ["--device", "cpu", "--num-inference-steps", "1", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "diffusers.models.modeling_utils" in found["modules"]
    assert set(found["waiting"]) >= {name for name in DEFERRED if name in found["modules"]}
    assert not [
        name
        for name in found["modules"]
        if any(name == each or name.startswith(f"{each}.") for each in NEVER)
    ]


def test_a_process_began_when_it_was_started():
    code = "from ourvidz.cli.generate import _process_start_s\n"
    code += "from ourvidz.core.clock import SystemClock\nprint(_process_start_s(SystemClock()))"
    before_s = SystemClock().monotonic()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after_s = SystemClock().monotonic()
    tick_s = 0.02  # the system counts in hundredths
    assert before_s - tick_s <= float(done.stdout) <= after_s


@pytest.mark.parametrize("text", ["", "1 (python)", "1 (a) b) S 1 x"])
def test_without_the_systems_account_psutil_is_asked(monkeypatch, text):
    from ourvidz.cli import generate

    monkeypatch.setattr(generate.Path, "read_text", lambda *_, **__: text)
    assert generate._start_ticks() is None
    clock = SystemClock()
    assert _process_start_s(clock) <= clock.monotonic()
