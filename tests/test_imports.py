"""What may be imported without torch stays so, checked in a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers")


@pytest.mark.parametrize(
    "module",
    [
        "ourvidz.core.job",
        "ourvidz.catalog.resolve",
        "ourvidz.perf.ledger",
        "ourvidz.media.video",
        "ourvidz.cli.main",
        "ourvidz.worker.assemble",
        "ourvidz.checkpoints.pull",
        "ourvidz.checkpoints.inspect",
        "ourvidz.checkpoints.verify",
        "ourvidz.api.app",
        "ourvidz.bridge.service",
        "ourvidz.jobs.open",
        "ourvidz.storage.open",
        "ourvidz.policy.build",
        "ourvidz.upkeep.loop",
        "ourvidz.worker.heartbeat_process",
        "ourvidz.worker.service",
        "ourvidz.worker.supervisor",
        "ourvidz.worker.testing",
    ],
)
def test_it_imports_without_torch(module):
    code = (
        f"import {module}, sys; "
        f"found = [name for name in {HEAVY!r} if name in sys.modules]; "
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
